//! A registry on loopback that is as honest or as hostile as a test wants.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use openmesh_image::oci::{MANIFEST, print_digest};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::bench::Baked;

/// A request as it came.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    pub path: String,
    pub headers: BTreeMap<String, String>,
    /// Requests for the same path before it.
    pub before: usize,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// First byte that is asked for.
    pub fn from(&self) -> usize {
        let range = self.header("range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-'));
        range.map_or(0, |from| from.parse().unwrap())
    }
}

/// Behaviour after the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    Close,
    Stall,
    Endless,
}

#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Length that is said; `None` says nothing and ends by closing.
    pub length: Option<usize>,
    pub then: Then,
}

impl Reply {
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Reply {
        let body = body.into();
        Reply { status, headers: Vec::new(), length: Some(body.len()), body, then: Then::Close }
    }

    pub fn with(mut self, name: &str, value: impl Into<String>) -> Reply {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sends only the first bytes of what it says.
    pub fn cut(mut self, bytes: usize) -> Reply {
        self.body.truncate(bytes);
        self
    }

    pub fn then(mut self, then: Then) -> Reply {
        self.then = then;
        self
    }
}

type Answers = dyn Fn(&Asked) -> Reply + Send + Sync;

/// A server that lives as long as this value.
pub struct Registry {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Registry {
    pub async fn start(answers: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Registry {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (answers, log): (Arc<Answers>, _) = (Arc::new(answers), Arc::clone(&asked));
        let task = tokio::spawn(async move {
            let mut open = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                open.spawn(serve(stream, Arc::clone(&answers), Arc::clone(&log)));
            }
        });
        Registry { address, asked, task }
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// Requests whose path ends so.
    pub fn count(&self, end: &str) -> usize {
        self.asked().iter().filter(|asked| asked.path.ends_with(end)).count()
    }
}

async fn serve(mut stream: TcpStream, answers: Arc<Answers>, log: Arc<Mutex<Vec<Asked>>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let text = String::from_utf8(head).unwrap();
    let mut lines = text.lines();
    let path = lines.next().unwrap().split(' ').nth(1).unwrap().to_string();
    let headers = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.into()))
        .collect();
    let asked = {
        let mut log = log.lock().unwrap();
        let before = log.iter().filter(|asked| asked.path == path).count();
        log.push(Asked { path, headers, before });
        log.last().unwrap().clone()
    };
    let reply = answers(&asked);
    let mut head = format!("HTTP/1.1 {} X\r\nconnection: close\r\n", reply.status);
    if let Some(length) = reply.length {
        head += &format!("content-length: {length}\r\n");
    }
    for (name, value) in &reply.headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += "\r\n";
    if stream.write_all(head.as_bytes()).await.is_err() || stream.write_all(&reply.body).await.is_err() {
        return;
    }
    match reply.then {
        Then::Close => {
            let _ = stream.shutdown().await;
        }
        // Until the client goes.
        Then::Stall => drop(stream.read(&mut [0]).await),
        Then::Endless => while stream.write_all(&[0; 4_096]).await.is_ok() {},
    }
}

/// Answers of an honest registry with images by tag, in the repository `a/b`.
#[derive(Clone, Default)]
pub struct Shelf {
    /// Media type and bytes by path.
    pub things: BTreeMap<String, (String, Vec<u8>)>,
}

impl Shelf {
    pub fn of(tag: &str, image: &Baked) -> Shelf {
        let mut shelf = Shelf::default();
        shelf.document(tag, MANIFEST, &image.manifest);
        for blob in image.layers.iter().chain([&image.config]) {
            shelf.blob(blob);
        }
        shelf
    }

    pub fn document(&mut self, tag: &str, kind: &str, bytes: &[u8]) {
        let digest = print_digest(&openmesh_primitives::sha256(&[bytes]));
        for name in [tag, &digest] {
            self.things.insert(format!("/v2/a/b/manifests/{name}"), (kind.into(), bytes.to_vec()));
        }
    }

    pub fn blob(&mut self, bytes: &[u8]) {
        let digest = print_digest(&openmesh_primitives::sha256(&[bytes]));
        self.things.insert(format!("/v2/a/b/blobs/{digest}"), ("application/octet-stream".into(), bytes.to_vec()));
    }

    pub fn answer(&self, asked: &Asked) -> Reply {
        let Some((kind, bytes)) = self.things.get(&asked.path) else { return Reply::new(404, "{}") };
        let from = asked.from();
        if from == 0 {
            return Reply::new(200, bytes.clone()).with("content-type", kind.as_str());
        }
        if from >= bytes.len() {
            return Reply::new(416, "");
        }
        let range = format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len());
        Reply::new(206, &bytes[from..]).with("content-type", kind.as_str()).with("content-range", range)
    }
}
