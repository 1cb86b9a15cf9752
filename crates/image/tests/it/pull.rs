//! Pulls from honest and hostile registries.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use openmesh_blueprint::document::ImageReference;
use openmesh_image::effect::open;
use openmesh_image::oci::{DOCKER_MANIFEST, INDEX, MANIFEST, OciError, print_digest};
use openmesh_image::pull::{Client, Credential, Patience, Progress, PullError, Settings};
use openmesh_primitives::sha256;

use crate::bench::{Baked, Pack, Room, quick_room as room};
use crate::registry::{Asked, Registry, Reply, Shelf, Then};

/// Longer than a busy machine takes for an answer on loopback.
const STALL: Duration = Duration::from_secs(30);

fn patience() -> Patience {
    Patience { stall: STALL, pause: Duration::from_millis(1), pause_max: Duration::from_secs(2), attempts: 3, rate: 1 }
}

fn client() -> Client {
    Client::new(Settings { patience: patience(), ..Settings::default() }).unwrap()
}

fn with_password(registry: &Registry) -> Client {
    let credential = Credential { username: "ann".into(), password: "hunter2".into() };
    let credentials = BTreeMap::from([(registry.address.to_string(), credential)]);
    Client::new(Settings { credentials, patience: patience(), ..Settings::default() }).unwrap()
}

fn reference(registry: &Registry, tag: &str) -> ImageReference {
    format!("{}/a/b{tag}", registry.address).parse().unwrap()
}

fn image() -> Baked {
    let noise: String = (0..20_000_u64).map(|n| format!("{:x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect();
    Baked::of(&[Pack::new().folder("etc").file("etc/a", "one").done(), Pack::new().file("b", &noise).done()])
}

fn layer_path(image: &Baked) -> String {
    format!("/v2/a/b/blobs/{}", print_digest(&sha256(&[&image.layers[1]])))
}

async fn pull(client: &Client, room: &Room, reference: &ImageReference) -> Result<(), PullError> {
    client.pull(&room.store, reference, "test", &open, &|_| ()).await.map(drop)
}

/// An honest registry, but for one path.
async fn but(image: &Baked, path: String, answer: impl Fn(&Asked, Reply) -> Reply + Send + Sync + 'static) -> Registry {
    let shelf = Shelf::of("1", image);
    Registry::start(move |asked| {
        let honest = shelf.answer(asked);
        if asked.path == path { answer(asked, honest) } else { honest }
    })
    .await
}

#[tokio::test]
async fn a_tag_is_resolved_once_and_pinned() {
    let image = image();
    let shelf = Shelf::of("1", &image);
    let registry = Registry::start(move |asked| shelf.answer(asked)).await;
    let (room, client, reference) = (room(), client(), reference(&registry, ":1"));
    let heard = Mutex::new(Vec::new());
    let follow = |progress| heard.lock().unwrap().push(progress);
    let pulled = client.pull(&room.store, &reference, "web", &open, &follow).await.unwrap();
    assert_eq!(pulled.digest, image.digest());
    assert_eq!(room.store.references().unwrap(), BTreeMap::from([(reference.to_string(), image.digest())]));
    assert_eq!(room.store.leases().unwrap()["web"], BTreeSet::from([image.digest()]));
    assert!(room.store.verify(&image.digest()).unwrap().is_empty());
    let heard = heard.into_inner().unwrap();
    assert_eq!(heard[0], Progress::Resolved { digest: image.digest(), by_tag: true });
    let bytes = pulled.packed;
    assert_eq!(heard.last(), Some(&Progress::Bytes { done: bytes, bytes }));
    // By digest, nothing is asked for again.
    let before = registry.asked().len();
    let pinned = ImageReference { digest: Some(pulled.digest), ..reference };
    client.pull(&room.store, &pinned, "web", &open, &|_| ()).await.unwrap();
    assert_eq!(registry.asked().len(), before);
}

#[tokio::test]
async fn a_platform_is_chosen_from_an_index() {
    let image = image();
    let manifest = |architecture: &str, bytes: &[u8]| {
        serde_json::json!({ "mediaType": MANIFEST, "digest": print_digest(&sha256(&[bytes])), "size": bytes.len(),
            "platform": { "os": "linux", "architecture": architecture } })
    };
    let index = |manifests: Vec<serde_json::Value>| {
        serde_json::json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests }).to_string().into_bytes()
    };
    let right = index(vec![manifest("arm64", b"x"), manifest("amd64", &image.manifest)]);
    let wrong = index(vec![manifest("arm64", b"x"), manifest("s390x", b"y")]);
    let mut shelf = Shelf::of("1", &image);
    shelf.document("many", INDEX, &right);
    shelf.document("none", INDEX, &wrong);
    let registry = Registry::start(move |asked| shelf.answer(asked)).await;
    let (room, client) = (room(), client());
    let pulled = client.pull(&room.store, &reference(&registry, ":many"), "web", &open, &|_| ()).await.unwrap();
    assert_eq!((pulled.digest, pulled.manifest_digest), (sha256(&[&right]), image.digest()));
    assert_eq!(room.store.image(&pulled.digest).unwrap().manifest_digest, image.digest());
    let error = pull(&client, &room, &reference(&registry, ":none")).await.unwrap_err();
    assert!(
        error.to_string().ends_with("there is no image for linux/amd64; there is one for: linux/arm64, linux/s390x"),
        "{error}"
    );
}

#[tokio::test]
async fn other_bytes_than_asked_for() {
    let image = image();
    let path = layer_path(&image);
    let registry = but(&image, path.clone(), |_, mut reply| {
        reply.body[100] ^= 1;
        reply
    })
    .await;
    let room = room();
    let error = pull(&client(), &room, &reference(&registry, ":1")).await.unwrap_err();
    assert!(matches!(error, PullError::Digest { wanted, .. } if wanted == sha256(&[&image.layers[1]])), "{error}");
    assert_eq!(registry.count(&path), 1, "a wrong digest does not pass with time");
    assert!(room.store.state(&image.digest()).is_none());

    // A manifest by digest, and one by tag whose header says another digest.
    let other = b"{}".to_vec();
    let shelf = Shelf::of("1", &image);
    let registry = Registry::start(move |asked| match asked.path.as_str() {
        "/v2/a/b/manifests/1" => shelf.answer(asked).with("docker-content-digest", print_digest(&sha256(&[b"x"]))),
        path if path.contains("manifests") => Reply::new(200, other.clone()),
        _ => shelf.answer(asked),
    })
    .await;
    let room = crate::bench::quick_room();
    let pinned = ImageReference { digest: Some(image.digest()), ..reference(&registry, ":1") };
    assert!(matches!(pull(&client(), &room, &pinned).await, Err(PullError::Digest { .. })));
    assert!(matches!(pull(&client(), &room, &reference(&registry, ":1")).await, Err(PullError::Digest { .. })));
}

#[tokio::test]
async fn a_break_is_resumed() {
    let image = image();
    let registry =
        but(&image, layer_path(&image), |asked, reply| if asked.before < 2 { reply.cut(5_000) } else { reply }).await;
    let room = room();
    pull(&client(), &room, &reference(&registry, ":1")).await.unwrap();
    let path = layer_path(&image);
    let from: Vec<usize> = registry.asked().iter().filter(|asked| asked.path == path).map(Asked::from).collect();
    assert_eq!(from, [0, 5_000, 10_000]);
    assert!(room.store.verify(&image.digest()).unwrap().is_empty());
}

#[tokio::test]
async fn a_pull_goes_on_where_another_process_stopped() {
    let image = image();
    let registry = but(&image, layer_path(&image), |_, reply| reply).await;
    let digest = sha256(&[&image.layers[1]]);
    for (part, from) in [
        (image.layers[1][..7_000].to_vec(), vec![7_000]),
        (vec![9; 7_000], vec![7_000, 0]),
        (vec![9; 1 << 20], vec![0]),
    ] {
        let room = room();
        let partial = room.store.root().join("partial").join(digest.to_string());
        std::fs::write(&partial, part).unwrap();
        let before = registry.asked().len();
        pull(&client(), &room, &reference(&registry, ":1")).await.unwrap();
        let path = layer_path(&image);
        let asked: Vec<usize> =
            registry.asked()[before..].iter().filter(|asked| asked.path == path).map(Asked::from).collect();
        assert_eq!(asked, from);
        assert!(!partial.exists());
        room.store.check(&digest).unwrap();
    }
}

#[tokio::test]
async fn ranges_that_are_not_known_or_not_those_asked_for() {
    let image = image();
    let body = image.layers[1].clone();
    let whole = body.clone();
    let registry = but(&image, layer_path(&image), move |asked, reply| match asked.before {
        0 => reply.cut(5_000),
        _ => Reply::new(200, whole.clone()),
    })
    .await;
    let room = room();
    pull(&client(), &room, &reference(&registry, ":1")).await.unwrap();
    room.store.check(&sha256(&[&image.layers[1]])).unwrap();

    let registry = but(&image, layer_path(&image), move |asked, reply| match asked.before {
        0 => reply.cut(5_000),
        _ => Reply::new(206, &body[1..]).with("content-range", format!("bytes 1-{}/{}", body.len() - 1, body.len())),
    })
    .await;
    let error = pull(&client(), &crate::bench::quick_room(), &reference(&registry, ":1")).await.unwrap_err();
    assert!(matches!(error, PullError::Range { wanted: 5_000, .. }), "{error}");
}

#[tokio::test]
async fn bodies_that_do_not_end_and_bodies_that_do_not_go_on() {
    let image = image();
    let room = room();
    // Longer than the manifest says, with and without saying so.
    let registry =
        but(&image, layer_path(&image), |_, reply| Reply { length: None, ..reply }.then(Then::Endless)).await;
    let error = pull(&client(), &room, &reference(&registry, ":1")).await.unwrap_err();
    assert!(matches!(error, PullError::Long { .. }), "{error}");
    let registry =
        but(&image, layer_path(&image), |_, reply| Reply { length: Some(1 << 40), ..reply }.then(Then::Endless)).await;
    let error = pull(&client(), &crate::bench::quick_room(), &reference(&registry, ":1")).await.unwrap_err();
    assert!(matches!(error, PullError::Size { found, .. } if found == 1 << 40), "{error}");
    for length in [None, Some(1 << 40)] {
        let registry = Registry::start(move |_| Reply { length, ..Reply::new(200, "{") }.then(Then::Endless)).await;
        let error = pull(&client(), &room, &reference(&registry, ":1")).await.unwrap_err();
        assert!(matches!(error, PullError::Long { most: 4_194_304, .. }), "{error}");
    }
    // Silence before the head cannot be told from silence in the body.
    let registry = but(&image, layer_path(&image), |_, reply| reply.cut(0).then(Then::Stall)).await;
    let hasty = Patience { stall: Duration::from_secs(2), ..patience() };
    let hasty = Client::new(Settings { patience: hasty, ..Settings::default() }).unwrap();
    let error = pull(&hasty, &crate::bench::quick_room(), &reference(&registry, ":1")).await.unwrap_err();
    assert!(matches!(error, PullError::Stalled { .. }), "{error}");
    assert_eq!(registry.count(&layer_path(&image)), 3);
}

#[tokio::test]
async fn only_what_may_pass_is_tried_again() {
    let image = image();
    let shelf = Shelf::of("1", &image);
    for (status, asked_times) in
        [(404, 1), (403, 1), (400, 1), (501, 1), (500, 3), (429, 3), (503, 3), (507, 3), (522, 3)]
    {
        let registry = Registry::start(move |_| Reply::new(status, "{}")).await;
        let error = pull(&client(), &room(), &reference(&registry, ":1")).await.unwrap_err();
        assert_eq!(registry.asked().len(), asked_times, "{status}: {error}");
    }
    let honest = shelf.clone();
    let registry = Registry::start(move |asked| match asked.before {
        0 => Reply::new(429, "").with("retry-after", "0"),
        1 => Reply::new(503, "").with("retry-after", "1"),
        _ => honest.answer(asked),
    })
    .await;
    let heard = Mutex::new(Vec::new());
    let follow = |progress| heard.lock().unwrap().push(progress);
    client().pull(&room().store, &reference(&registry, ":1"), "web", &open, &follow).await.unwrap();
    let heard = heard.into_inner().unwrap();
    assert!(
        heard.iter().any(|p| matches!(p, Progress::Again { pause, .. } if *pause == Duration::from_secs(1))),
        "{heard:?}"
    );

    let registry = Registry::start(|_| Reply::new(429, "").with("retry-after", "86400")).await;
    let error = pull(&client(), &room(), &reference(&registry, ":1")).await.unwrap_err();
    assert!(matches!(error, PullError::Busy { seconds: 86_400, .. }), "{error}");
    assert_eq!(registry.asked().len(), 1);
}

#[tokio::test]
async fn redirects_take_no_credentials_along() {
    let image = image();
    let shelf = Shelf::of("1", &image);
    let store = shelf.clone();
    let elsewhere = Registry::start(move |asked| store.answer(asked)).await;
    let target = elsewhere.address;
    let registry = Registry::start(move |asked| match asked.header("authorization") {
        None => Reply::new(401, "").with("www-authenticate", "Basic realm=\"x\""),
        Some(_) if asked.path.contains("blobs") => {
            Reply::new(307, "").with("location", format!("http://{target}{}", asked.path))
        }
        Some(_) => shelf.answer(asked),
    })
    .await;
    pull(&with_password(&registry), &room(), &reference(&registry, ":1")).await.unwrap();
    assert!(registry.asked().iter().any(|asked| asked.header("authorization") == Some("Basic YW5uOmh1bnRlcjI=")));
    assert_eq!(elsewhere.asked().len(), 3);
    assert!(elsewhere.asked().iter().all(|asked| asked.header("authorization").is_none()));

    for location in ["file:///etc/passwd", "ftp://127.0.0.1/", "http://ann:x@127.0.0.1/", ""] {
        let registry = Registry::start(move |_| Reply::new(302, "").with("location", location)).await;
        let error = pull(&client(), &room(), &reference(&registry, ":1")).await.unwrap_err();
        let expected = if location.is_empty() {
            matches!(error, PullError::Redirects(_))
        } else {
            matches!(error, PullError::Redirect { .. })
        };
        assert!(expected, "{location}: {error}");
        assert!(registry.asked().len() <= 6);
    }
}

#[tokio::test]
async fn tokens_are_fetched_and_fetched_again() {
    let image = image();
    let shelf = Shelf::of("1", &image);
    let port = std::sync::Arc::new(std::sync::OnceLock::new());
    let known: std::sync::Arc<std::sync::OnceLock<std::net::SocketAddr>> = std::sync::Arc::clone(&port);
    let registry = Registry::start(move |asked| {
        if asked.path.starts_with("/token") {
            return Reply::new(200, format!("{{\"token\":\"t{}\"}}", asked.before));
        }
        // The first token is good for documents only: it has run out when blobs are asked for.
        let good = if asked.path.contains("blobs") { "Bearer t1" } else { "Bearer t0" };
        match asked.header("authorization") {
            Some(token) if token == good || token == "Bearer t1" => shelf.answer(asked),
            _ => {
                let challenge = format!(
                    "Bearer realm=\"http://{}/token\",service=\"s\",scope=\"repository:a/b:pull\"",
                    known.get().unwrap()
                );
                Reply::new(401, "").with("www-authenticate", challenge)
            }
        }
    })
    .await;
    port.set(registry.address).unwrap();
    let room = room();
    pull(&client(), &room, &reference(&registry, ":1")).await.unwrap();
    assert!(room.store.state(&image.digest()).is_some());
    assert!(registry.asked().iter().any(|asked| asked.path == "/token?service=s&scope=repository%3Aa%2Fb%3Apull"));
}

#[tokio::test]
async fn a_password_goes_to_no_stranger() {
    let stranger = Registry::start(|_| Reply::new(200, "{\"token\":\"t\"}")).await;
    for realm in [
        format!("http://{}/token", stranger.address),
        "https://token.example.org/".into(),
        "http://ann:x@127.0.0.1/".into(),
        "nonsense".into(),
    ] {
        let challenge = format!("Bearer realm=\"{realm}\",service=\"s\"");
        let registry = Registry::start(move |_| Reply::new(401, "").with("www-authenticate", challenge.clone())).await;
        let error = pull(&with_password(&registry), &room(), &reference(&registry, ":1")).await.unwrap_err();
        assert!(matches!(error, PullError::Realm { .. }), "{error}");
        assert!(!error.to_string().contains("hunter2"));
    }
    // Without credentials nothing is asked of other services of this machine either.
    let challenge = format!("Bearer realm=\"http://{}/token\"", stranger.address);
    let registry = Registry::start(move |_| Reply::new(401, "").with("www-authenticate", challenge.clone())).await;
    assert!(matches!(pull(&client(), &room(), &reference(&registry, ":1")).await, Err(PullError::Realm { .. })));
    assert_eq!(stranger.asked().len(), 0);
    // A password that is not known, and one that is wrong.
    let registry = Registry::start(|_| Reply::new(401, "").with("www-authenticate", "Basic realm=\"x\"")).await;
    let error = pull(&client(), &room(), &reference(&registry, ":1")).await.unwrap_err();
    assert!(error.to_string().contains("configure credentials"), "{error}");
    let error = pull(&with_password(&registry), &room(), &reference(&registry, ":1")).await.unwrap_err();
    assert!(error.to_string().contains("credentials were not accepted"), "{error}");
}

#[tokio::test]
async fn documents_that_are_not_what_they_should_be() {
    let image = image();
    let text = String::from_utf8(image.manifest.clone()).unwrap();
    let layer = format!(
        "{{\"mediaType\":\"{}\",\"digest\":\"{}\",\"size\":1}},",
        crate::bench::GZIP,
        print_digest(&sha256(&[b"x"]))
    );
    let many = text.replace("\"layers\":[", &format!("\"layers\":[{}", layer.repeat(10_000)));
    type Case = (&'static str, String, fn(&OciError) -> bool);
    let cases: [Case; 9] = [
        (DOCKER_MANIFEST, text.clone(), |e| matches!(e, OciError::MediaTypeDiffers { .. })),
        ("text/html", text.replace(MANIFEST, "text/html"), |e| matches!(e, OciError::MediaType { .. })),
        (MANIFEST, text.replace("tar+gzip", "tar+lzma"), |e| matches!(e, OciError::MediaType { .. })),
        (MANIFEST, text.replace("sha256:", "sha512:"), |e| matches!(e, OciError::Digest(_))),
        (MANIFEST, text.replacen("\"size\":", "\"size\":-", 1), |e| matches!(e, OciError::Size { .. })),
        (MANIFEST, text.replacen("\"layers\"", "\"manifests\":[],\"layers\"", 1), |e| matches!(e, OciError::Ambiguous)),
        (MANIFEST, many, |e| matches!(e, OciError::TooManyLayers(10_002))),
        (MANIFEST, "<html>".into(), |e| matches!(e, OciError::Form(_))),
        (MANIFEST, "[".repeat(100_000), |e| matches!(e, OciError::Form(_))),
    ];
    for (kind, body, expected) in cases {
        let shown: String = body.chars().take(80).collect();
        let registry = Registry::start(move |_| Reply::new(200, body.clone()).with("content-type", kind)).await;
        let room = room();
        match pull(&client(), &room, &reference(&registry, ":1")).await.unwrap_err() {
            PullError::Document { cause, .. } => assert!(expected(&cause), "{shown}: {cause}"),
            other => panic!("{shown}: {other}"),
        }
        assert!(room.store.references().unwrap().is_empty());
    }
}

/// Every door of a pull fails once: afterwards a second pull ends well, and before it nothing has a name that is not whole.
#[tokio::test]
async fn a_failure_at_every_door_leaves_old_or_new() {
    let image = image();
    let shelf = Shelf::of("1", &image);
    let registry = Registry::start(move |asked| shelf.answer(asked)).await;
    let client = client();
    let mut doors = 0;
    loop {
        let room = room();
        let passed = std::sync::atomic::AtomicUsize::new(0);
        let effect = |_: &str| {
            let passage = passed.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            if passage == doors { Err(std::io::Error::from_raw_os_error(28)) } else { Ok(()) }
        };
        let result = client.pull(&room.store, &reference(&registry, ":1"), "web", &effect, &|_| ()).await;
        if result.is_ok() {
            break;
        }
        for entry in std::fs::read_dir(room.store.root().join("blobs/sha256")).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if let Ok(digest) = name.parse() {
                room.store.check(&digest).unwrap();
            }
        }
        let root = room.store.root().to_path_buf();
        drop(room.store);
        let again = openmesh_image::store::Store::open(&root, crate::bench::platform(), &open).unwrap();
        client.pull(&again, &reference(&registry, ":1"), "web", &open, &|_| ()).await.unwrap();
        assert!(again.verify(&image.digest()).unwrap().is_empty());
        doors += 1;
    }
    assert!(doors > 20, "{doors} passages");
    println!("{doors} passages");
}

/// Debian's registry over a folder that is written as it keeps its own.
struct DebianRegistry {
    child: std::process::Child,
    address: std::net::SocketAddr,
    _folder: tempfile::TempDir,
}

impl Drop for DebianRegistry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl DebianRegistry {
    /// Serves an image as `a/b:1`; `None` where the program is not installed.
    fn start(image: &Baked) -> Option<DebianRegistry> {
        use std::io::BufRead as _;
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("docker/registry/v2");
        let write = |path: String, bytes: &[u8]| {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        };
        let manifest = image.digest().to_string();
        for blob in image.layers.iter().chain([&image.config, &image.manifest]) {
            let digest = sha256(&[blob]).to_string();
            write(format!("blobs/sha256/{}/{digest}/data", &digest[..2]), blob);
            write(format!("repositories/a/b/_layers/sha256/{digest}/link"), format!("sha256:{digest}").as_bytes());
        }
        for path in [
            format!("revisions/sha256/{manifest}/link"),
            "tags/1/current/link".into(),
            format!("tags/1/index/sha256/{manifest}/link"),
        ] {
            write(format!("repositories/a/b/_manifests/{path}"), format!("sha256:{manifest}").as_bytes());
        }
        let config = folder.path().join("config.yml");
        let text = format!(
            "version: 0.1\nlog: {{ level: info, formatter: text }}\nstorage: {{ filesystem: {{ rootdirectory: {} }} }}\nhttp: {{ addr: 127.0.0.1:0 }}\n",
            folder.path().display()
        );
        std::fs::write(&config, text).unwrap();
        let mut command = std::process::Command::new("docker-registry");
        command.arg("serve").arg(&config).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped());
        let Ok(mut child) = command.spawn() else {
            crate::bench::skipped("docker-registry is not installed (apt-get install docker-registry)");
            return None;
        };
        let mut lines = std::io::BufReader::new(child.stderr.take().unwrap()).lines();
        let found = lines.by_ref().map_while(Result::ok).find_map(|line| {
            line.split_once("listening on ").and_then(|(_, rest)| rest.split(['"', ' ', ',']).next()?.parse().ok())
        });
        // What it says later has to go somewhere, or it waits.
        std::thread::spawn(move || lines.for_each(drop));
        Some(DebianRegistry { child, address: found.expect("the registry says its address"), _folder: folder })
    }
}

#[tokio::test]
async fn debians_own_registry() {
    let image = image();
    let Some(registry) = DebianRegistry::start(&image) else { return };
    let room = room();
    let digest = sha256(&[&image.layers[1]]);
    // The first half is there: the registry's own ranges bring the rest.
    let half = &image.layers[1][..image.layers[1].len() / 2];
    std::fs::write(room.store.root().join("partial").join(digest.to_string()), half).unwrap();
    let reference: ImageReference = format!("{}/a/b:1", registry.address).parse().unwrap();
    pull(&client(), &room, &reference).await.unwrap();
    assert!(room.store.verify(&image.digest()).unwrap().is_empty());
    let absent: ImageReference = format!("{}/a/b:2", registry.address).parse().unwrap();
    assert!(matches!(pull(&client(), &room, &absent).await, Err(PullError::NotFound(_))));
}
