//! A node on a port of its own: recorded or generated blocks over HTTP, with failures on order.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use openmesh_evm::replay::ReplayChain;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::chain::Made;
use super::replay_of;

/// Single fault of a node in place of an answer.
pub enum Fault {
    /// An HTTP status, and headers.
    Status(u16, &'static str),
    /// A body in place of the answer.
    Body(Vec<u8>),
    /// The next answer in which this stands has it replaced.
    Replace(String, String),
    /// Ends the connection.
    Hangup,
}

struct State {
    chain: ReplayChain,
    faults: VecDeque<Fault>,
}

/// A running node. Ends with the runtime.
#[derive(Clone)]
pub struct Node {
    pub url: String,
    state: Arc<Mutex<State>>,
}

impl Node {
    pub async fn start(chain: ReplayChain) -> Node {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/key-that-must-not-be-printed", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State { chain, faults: VecDeque::new() }));
        let node = Node { url, state };
        let serving = node.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serving.clone().serve(stream));
            }
        });
        node
    }

    /// Of generated blocks, all visible.
    pub async fn of(blocks: &[Made]) -> Node {
        let node = Node::start(replay_of(&blocks[..1])).await;
        node.switch(blocks);
        node
    }

    /// From now on another chain.
    pub fn switch(&self, blocks: &[Made]) {
        let chain = replay_of(blocks);
        while chain.advance().is_some() {}
        self.state.lock().unwrap().chain = chain;
    }

    pub fn advance(&self) -> Option<u64> {
        self.state.lock().unwrap().chain.advance()
    }

    pub fn fail(&self, fault: Fault) {
        self.state.lock().unwrap().faults.push_back(fault);
    }

    /// Status line's rest, headers, body; none to hang up.
    fn answer(&self, request: &[u8]) -> Option<(u16, &'static str, Vec<u8>)> {
        let mut state = self.state.lock().unwrap();
        let body = state.chain.answer(request);
        match state.faults.pop_front() {
            None => Some((200, "", body)),
            Some(Fault::Status(status, headers)) => Some((status, headers, b"no".to_vec())),
            Some(Fault::Body(body)) => Some((200, "", body)),
            Some(Fault::Hangup) => None,
            Some(Fault::Replace(from, to)) => {
                let text = String::from_utf8(body).unwrap();
                if !text.contains(&from) {
                    state.faults.push_front(Fault::Replace(from, to));
                    return Some((200, "", text.into_bytes()));
                }
                Some((200, "", text.replace(&from, &to).into_bytes()))
            }
        }
    }

    async fn serve(self, stream: TcpStream) {
        let mut stream = BufReader::new(stream);
        while let Some(request) = request(&mut stream).await {
            let Some((status, headers, body)) = self.answer(&request) else { return };
            let head = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\n{headers}\r\n", body.len());
            if stream.write_all(&[head.as_bytes(), &body].concat()).await.is_err() {
                return;
            }
        }
    }
}

/// A request's body; none at the connection's end.
async fn request(stream: &mut BufReader<TcpStream>) -> Option<Vec<u8>> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let line = line.trim_end().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(body)
}
