//! Documents deployed, changed and removed through the agent's socket; agents that die and come back.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures::StreamExt as _;
use openmesh_agent::client::ClientError;
use openmesh_agent::views::{
    Application, ApplicationState, Deployment, Event, EventKind, Generation, LogLine, Node, Secret,
};
use openmesh_agent::{AgentError, Client, Settings};
use openmesh_image::oci::Platform;
use openmesh_image::recipe::{Kitchen, Mirror};
use openmesh_image::store::Store;
use reqwest::Method;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::pantry::{ask, image, server};

/// Patience with a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// The machine's lack for an agent; nothing where there can be one.
fn lacking() -> Option<&'static str> {
    if !rustix::process::geteuid().is_root() {
        return Some("an agent needs root");
    }
    let nft = ["/usr/sbin/nft", "/sbin/nft"].iter().any(|path| Path::new(path).exists());
    (!nft).then_some("an agent needs nft (Debian package nftables)")
}

/// Folder with the programs of an agent, built where they are not there.
fn programs() -> PathBuf {
    let exe = std::env::current_exe().unwrap();
    let folder = exe.ancestors().nth(2).unwrap().to_path_buf();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let build = |arguments: &[&str]| {
        let built =
            Command::new(&cargo).args(["build", "--quiet", "--locked"]).args(arguments).current_dir(root).output();
        let built = built.unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    };
    if !folder.join("openmesh-shim").exists() || !folder.join("openmesh-unpack").exists() {
        build(&["-p", "openmesh-shim", "-p", "openmesh-image", "--bins"]);
    }
    let target = folder.parent().unwrap().to_str().unwrap();
    build(&["--manifest-path", "crates/cage/helper/Cargo.toml", "--target-dir", target]);
    folder
}

/// An agent that runs: its end is asked for by the one and awaited by the other.
type Running = (oneshot::Sender<()>, JoinHandle<Result<(), AgentError>>);

/// An agent of a test's own.
struct World {
    settings: Settings,
    client: Client,
    running: Option<Running>,
    number: u32,
    folder: TempDir,
}

impl World {
    fn new() -> Option<World> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        if let Some(lacking) = lacking() {
            println!("skipped: {lacking}");
            return None;
        }
        let number = (std::process::id() << 4) + NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
        let settings = Settings {
            name: format!("a{number:x}").parse().unwrap(),
            state: folder.path().join("state"),
            run: folder.path().join("run"),
            programs: programs(),
            runc: None,
            kitchen: Kitchen { suite: "bookworm".into(), mirror: Mirror::Address("http://127.0.0.1:9/".into()) },
            ids: folder.path().join("ids.json"),
        };
        let client = Client::new(&settings.socket()).unwrap();
        Some(World { settings, client, running: None, number, folder })
    }

    async fn start(&mut self) {
        let (end, ends) = oneshot::channel();
        let ends = async move { drop(ends.await) };
        let task = tokio::spawn(openmesh_agent::run(self.settings.clone(), ends));
        self.running = Some((end, task));
        let begun = std::time::Instant::now();
        while self.get::<Node>("").await.is_err() {
            if self.running.as_ref().is_some_and(|(_, task)| task.is_finished()) {
                let (_, task) = self.running.take().unwrap();
                panic!("{:?}", task.await);
            }
            assert!(begun.elapsed() < PATIENCE, "no agent");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn stop(&mut self) {
        let (end, task) = self.running.take().unwrap();
        end.send(()).unwrap();
        task.await.unwrap().unwrap();
    }

    fn image(&self, script: &str) -> String {
        let store = Store::open(&self.settings.state.join("images"), Platform::here(), &|_| Ok(())).unwrap();
        format!("localhost/web@sha256:{}", image(&store, script))
    }

    /// A document with a subnet that no other test has at the same time.
    fn document(&self, applications: &str) -> String {
        let (high, low) = (192 + self.number / 16 % 32, self.number % 16 * 16);
        format!("version: 1\nmachine: {{subnet: 10.{high}.{low}.0/24}}\n{applications}")
    }

    async fn get<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.client.ask(self.client.request(Method::GET, path)).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: impl Into<reqwest::Body>,
    ) -> Result<Deployment, ClientError> {
        self.client.ask(self.client.request(method, path).body(body)).await
    }

    /// Deploys, and follows the events until the agent rests.
    async fn deploy(&self, document: String) -> Vec<Event> {
        let taken = self.send(Method::POST, "/applications?by=alice&reason=a+test", document).await;
        self.follow(&taken.unwrap_or_else(|error| panic!("{error}"))).await
    }

    async fn follow(&self, taken: &Deployment) -> Vec<Event> {
        let path = format!("/events?follow=true&from={}", taken.events);
        let events = self.client.lines::<Event>(self.client.request(Method::GET, &path)).await.unwrap();
        let mut events = pin!(events);
        let mut found = Vec::new();
        let rested = tokio::time::timeout(PATIENCE, async {
            while let Some(event) = events.next().await {
                let event = event.unwrap();
                let is_rest = event.kind == EventKind::Rest && event.generation == taken.generation;
                found.push(event);
                if is_rest {
                    return;
                }
            }
        });
        assert!(rested.await.is_ok(), "no rest: {found:#?}");
        found
    }

    async fn application(&self, name: &str) -> Application {
        self.get(&format!("/applications/{name}")).await.unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // Everything of it goes, whatever the test came to.
        let settings = self.settings.clone();
        let running = self.running.take();
        let removed = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            if let Some((end, task)) = running {
                drop(end);
                let _ = runtime.block_on(task);
            }
            let service = openmesh_agent::Service::open(settings).unwrap();
            runtime.block_on(service.agent().remove_everything(&|_| Ok(())))
        });
        let removed = removed.join();
        if !std::thread::panicking() {
            removed.unwrap().unwrap();
            let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
            assert!(!mounts.contains(self.folder.path().to_str().unwrap()), "{mounts}");
        }
    }
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

async fn answer(method: &'static str, port: u16, path: &'static str) -> Option<String> {
    tokio::task::spawn_blocking(move || ask(method, ("127.0.0.1", port), path)).await.unwrap()
}

fn web(image: &str, port: u16) -> String {
    format!(
        "applications:\n  web:\n    image: \"{image}\"\n    ports: {{http: {{port: 8080, publish: {{port: {port}, address: 127.0.0.1}}}}}}\n    \
         volumes: {{data: {{path: /data, size: 16MiB}}}}\n    health: {{http: {{port: http}}}}\n    limits: {{memory: 128MiB}}\n    \
         variables: {{TOKEN: {{secret: token}}}}\n    switch: {{gate: 60s, probation: 0ms, drain: 1s}}\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_becomes_an_application_that_outlives_its_agent() {
    let Some(mut world) = World::new() else { return };
    world.start().await;
    let (image, port) = (world.image(&server("one")), free_port());
    // Without its secret nothing is made.
    let refused = world.send(Method::POST, "/applications", world.document(&web(&image, port))).await;
    let Err(ClientError::Refused(failure)) = refused else { panic!("{refused:?}") };
    assert_eq!(
        (failure.code.as_str(), failure.message.contains("no secret `token`")),
        ("unresolved", true),
        "{failure:?}"
    );
    let set: u32 =
        world.client.ask(world.client.request(Method::PUT, "/secrets/token").body("correct horse")).await.unwrap();
    assert_eq!(set, 1);
    // A plan changes nothing.
    let plan = world.send(Method::POST, "/applications?plan=true", world.document(&web(&image, port))).await.unwrap();
    assert!(plan.plan.contains("make volume web/data") || plan.steps > 5, "{}", plan.plan);
    assert_eq!(world.get::<Node>("").await.unwrap().wanted, 0);
    let events = world.deploy(world.document(&web(&image, port))).await;
    assert!(events.iter().filter(|event| event.kind == EventKind::Done).count() > 5, "{events:#?}");
    assert_eq!(answer("GET", port, "/").await.as_deref(), Some("one\n"));
    assert_eq!(answer("POST", port, "/kept").await.as_deref(), Some("one\nkept\n"));
    let application = world.application("web").await;
    assert_eq!((application.state, application.cause), (ApplicationState::Running, None));
    assert_eq!(application.ports["http"], Some(format!("127.0.0.1:{port}/tcp")));
    let lines =
        world.client.lines::<LogLine>(world.client.request(Method::GET, "/applications/web/logs")).await.unwrap();
    let lines: Vec<LogLine> = lines.map(Result::unwrap).collect().await;
    assert!(lines.iter().any(|line| line.text == "one listens" && line.stream == "stdout"), "{lines:?}");
    let secrets: Vec<Secret> = world.get("/secrets").await.unwrap();
    assert_eq!(secrets[0].used_by["web"], 1);
    // The agent goes, the application stays; another agent finds everything as it is.
    world.stop().await;
    assert_eq!(answer("GET", port, "/").await.as_deref(), Some("one\nkept\n"));
    world.start().await;
    let (_, from) = (0, world.get::<Node>("").await.unwrap());
    assert_eq!((from.current, from.wanted), (1, 1));
    let two = world.image(&server("two"));
    world.deploy(world.document(&web(&two, port))).await;
    assert_eq!(answer("GET", port, "/").await.as_deref(), Some("two\nkept\n"));
    // Back to the first generation, as a new one.
    let back = world.send(Method::POST, "/generations/1/restore?by=bob", "").await.unwrap();
    assert_eq!(back.generation, 3);
    world.follow(&back).await;
    assert_eq!(answer("GET", port, "/").await.as_deref(), Some("one\nkept\n"));
    let generations: Vec<Generation> = world.get("/generations").await.unwrap();
    assert_eq!(
        generations.iter().map(|found| (found.number, found.serves)).collect::<Vec<_>>(),
        [(3, true), (2, false), (1, false)]
    );
    assert_eq!(generations[0].by, "bob");
    let removed = world.send(Method::DELETE, "/applications/web?data=keep", "").await.unwrap();
    world.follow(&removed).await;
    assert_eq!(answer("GET", port, "/").await, None);
    assert_eq!(world.get::<Vec<Application>>("/applications").await.unwrap(), []);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_said_and_changes_nothing() {
    let Some(mut world) = World::new() else { return };
    world.start().await;
    let refused = async |method: Method, path: &str, body: String| match world.send(method, path, body).await {
        Err(ClientError::Refused(failure)) => failure,
        other => panic!("{path}: {other:?}"),
    };
    let failure =
        refused(Method::POST, "/applications", "version: 1\napplications: {web: {imagee: x, prots: {}}}".into()).await;
    assert_eq!(failure.code, "document");
    assert!(failure.message.lines().count() >= 2 && failure.message.contains("image"), "{}", failure.message);
    let failure = refused(Method::DELETE, "/applications/web", String::new()).await;
    assert_eq!(failure.code, "no_generation");
    let events = world.deploy(world.document("applications: {}\n")).await;
    assert!(events.iter().any(|event| event.kind == EventKind::Wanted && event.text.contains("alice")));
    let failure = refused(Method::DELETE, "/applications/web", String::new()).await;
    assert_eq!(
        (failure.code.as_str(), failure.message.as_str()),
        ("no_application", "there is no application `web`; there are none")
    );
    let failure = refused(Method::POST, "/applications?expected=7", world.document("applications: {}\n")).await;
    assert_eq!(failure.code, "changed");
    let failure = refused(Method::POST, "/generations/9/restore", String::new()).await;
    assert_eq!(failure.code, "no_generation");
    let failure = refused(Method::PUT, "/secrets/token", String::new()).await;
    assert_eq!(failure.code, "value");
    let failure = refused(Method::PUT, "/secrets/TOKEN", "x".into()).await;
    assert_eq!(failure.code, "value");
    // An image that cannot be had: its registry and the cause are named.
    let text = world.document("applications:\n  web: {image: \"127.0.0.1:9/web:1\"}\n");
    let failure = refused(Method::POST, "/applications", text).await;
    assert!(failure.code == "image" && failure.message.starts_with("web: "), "{failure:?}");
    // A second agent of the same name does not begin.
    let second = openmesh_agent::run(world.settings.clone(), std::future::pending()).await;
    assert!(matches!(second, Err(AgentError::Running { .. })), "{second:?}");
    assert_eq!(world.get::<Node>("").await.unwrap().wanted, 1);
    world.stop().await;
}
