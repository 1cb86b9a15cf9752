//! An agent of a test's own, with its machine.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Once, OnceLock};
use std::time::Duration;

use futures::StreamExt as _;
use openmesh_agent::client::ClientError;
use openmesh_agent::views::{Application, Deployment, Event, EventKind, Node};
use openmesh_agent::{AgentError, Client, DoorPorts, LendPlace, Pages, People, Settings};
use openmesh_image::oci::Platform;
use openmesh_image::recipe::{Kitchen, Mirror};
use openmesh_image::store::Store;
use reqwest::{Method, RequestBuilder};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::pantry::{ask, image};
pub use crate::ports::free_port;
use crate::ports::take;

/// Patience with a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// Variable by which `openmesh-tests` says that the programs of an agent lie beside the tests and are those of this code.
const PROGRAMS_ARE_BUILT: &str = "OPENMESH_PROGRAMS_ARE_BUILT";
/// Places of tests among subnets and ports to choose from: these are ten for each, from 20000 on.
const PLACES: u32 = 1_000;

/// The agent's client whose requests have an end: an answer that is lost fails with words instead of letting its test hang.
pub struct Asker {
    client: Client,
    /// Longest time of a request, with everything that is read of its answer.
    pub limit: Duration,
}

impl Asker {
    /// A request of a path below `/v1/xnode`.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, path).timeout(self.limit)
    }
}

impl std::ops::Deref for Asker {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

/// The machine's lack for an agent; nothing where there can be one.
fn lacking() -> Option<&'static str> {
    if !rustix::process::geteuid().is_root() {
        return Some("an agent needs root");
    }
    let nft = ["/usr/sbin/nft", "/sbin/nft"].iter().any(|path| Path::new(path).exists());
    (!nft).then_some("an agent needs nft (Debian package nftables)")
}

/// Folder with the programs of an agent, built once where they are not there.
fn programs() -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER
        .get_or_init(|| {
            let exe = std::env::current_exe().unwrap();
            let folder = exe.ancestors().nth(2).unwrap().to_path_buf();
            if !folder.join("openmesh-shim").exists() || !folder.join("openmesh-unpack").exists() {
                build(&["-p", "openmesh-shim", "-p", "openmesh-image", "--bins"]);
            }
            if !folder.join("openmesh-lender").exists() {
                build(&["-p", "openmesh-lender", "--bins"]);
            }
            if std::env::var_os(PROGRAMS_ARE_BUILT).is_none() {
                let target = folder.parent().unwrap().to_str().unwrap();
                build(&["--manifest-path", "crates/cage/helper/Cargo.toml", "--target-dir", target]);
            }
            folder
        })
        .clone()
}

/// Lets the door's program as it is now lie beside the other ones.
pub fn build_door() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if std::env::var_os(PROGRAMS_ARE_BUILT).is_none() {
            build(&["-p", "openmesh-door", "--bins"]);
        }
    });
}

/// Builds programs of the workspace.
fn build(arguments: &[&str]) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo).args(["build", "--quiet", "--locked"]).args(arguments).current_dir(root).output();
    let built = built.unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
}

/// A place among subnets and ports to choose from, held by the name of a socket: nobody else of this machine has it meanwhile.
fn place(number: u32) -> (u32, UnixListener) {
    let mut all = (0..PLACES).map(|more| (number + more) % PLACES);
    all.find_map(|place| Some((place, take(&format!("openmesh-agent-test-{place}"))?))).unwrap()
}

/// Settings of an agent with everything of it in one folder, which lends at any port.
pub fn settings(name: &str, folder: &Path, programs: PathBuf, door_ports: DoorPorts) -> Settings {
    Settings {
        name: name.parse().unwrap(),
        state: folder.join("state"),
        run: folder.join("run"),
        programs,
        runc: None,
        kitchen: Kitchen { suite: "bookworm".into(), mirror: Mirror::Address("http://127.0.0.1:9/".into()) },
        ids: folder.join("ids.json"),
        face: None,
        people: People::default(),
        pages: Pages::default(),
        subnet: None,
        door_ports,
        lend: LendPlace { listen: Some("127.0.0.1:0".parse().unwrap()), folder: None },
        serves: None,
        manager: None,
        document: None,
    }
}

/// An agent that runs: its end is asked for by the one and awaited by the other.
pub type Running = (oneshot::Sender<()>, JoinHandle<Result<(), AgentError>>);

/// An agent of a test's own.
pub struct World {
    pub settings: Settings,
    pub client: Asker,
    pub running: Option<Running>,
    place: u32,
    folder: TempDir,
    _holds_place: UnixListener,
}

impl World {
    /// An agent's folders and names; none where the machine can hold no agent.
    pub fn new() -> Option<World> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        if let Some(lacking) = lacking() {
            println!("skipped: {lacking}");
            return None;
        }
        // Of so few letters that a name stands in those of links. Of 64 worlds the first has gone long before the last comes.
        let number = (std::process::id() << 6) + NEXT.fetch_add(1, Ordering::Relaxed) % 64;
        let (place, holds_place) = place(number);
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
        let door_ports = DoorPorts { http: free_port(), https: free_port() };
        let settings = settings(&format!("a{number:x}"), folder.path(), programs(), door_ports);
        // Longer than the patience of those who wait for something: their words come first.
        let client = Asker { client: Client::new(&settings.socket()).unwrap(), limit: PATIENCE * 2 };
        Some(World { settings, client, running: None, place, folder, _holds_place: holds_place })
    }

    /// Starts the agent, and waits until it answers.
    pub async fn start(&mut self) {
        let (end, ends) = oneshot::channel();
        let ends = async move { drop(ends.await) };
        let task = tokio::spawn(openmesh_agent::run(self.settings.clone(), ends));
        self.running = Some((end, task));
        let begun = std::time::Instant::now();
        while let Err(error) = self.get::<Node>("").await {
            if self.running.as_ref().is_some_and(|(_, task)| task.is_finished()) {
                let (_, task) = self.running.take().unwrap();
                panic!("{:?}", task.await);
            }
            assert!(begun.elapsed() < PATIENCE, "no agent: {error}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Ends the agent.
    pub async fn stop(&mut self) {
        let (end, task) = self.running.take().unwrap();
        end.send(()).unwrap();
        left(task).await;
    }

    /// Reference of an image with a script.
    pub fn image(&self, script: &str) -> String {
        let store = Store::open(&self.settings.state.join("images"), Platform::here(), &|_| Ok(())).unwrap();
        format!("localhost/web@sha256:{}", image(&store, script))
    }

    /// A document with a subnet and with ports to choose from that no other test has at the same time: subnets of the Xnode's tests have third bytes that 16
    /// divides.
    pub fn document(&self, applications: &str) -> String {
        let (high, low) = (192 + self.place / 240, self.place % 16 * 16 + 1 + self.place / 16 % 15);
        let first = 20_000 + self.place * 10;
        let ports = format!("{{first: {first}, last: {}}}", first + 9);
        format!("version: 1\nmachine: {{ports: {ports}, subnet: 10.{high}.{low}.0/24}}\n{applications}")
    }

    /// Asks for a value.
    pub async fn get<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.client.ask(self.client.request(Method::GET, path)).await
    }

    /// Asks for a change.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        body: impl Into<reqwest::Body>,
    ) -> Result<Deployment, ClientError> {
        self.client.ask(self.client.request(method, path).body(body)).await
    }

    /// Deploys, and follows the events until the agent rests.
    pub async fn deploy(&self, document: String) -> Vec<Event> {
        let taken = self.send(Method::POST, "/applications?by=alice&reason=a+test", document).await;
        self.follow(&taken.unwrap_or_else(|error| panic!("{error}"))).await
    }

    /// Follows the events of a deployment until the agent rests in its generation or a later one.
    pub async fn follow(&self, taken: &Deployment) -> Vec<Event> {
        self.follow_to(taken, EventKind::Rest).await
    }

    /// Follows the events of a deployment until one of this kind in its generation or a later one.
    pub async fn follow_to(&self, taken: &Deployment, kind: EventKind) -> Vec<Event> {
        let path = format!("/events?follow=true&from={}", taken.events);
        let events = self.client.lines::<Event>(self.client.request(Method::GET, &path)).await.unwrap();
        let mut events = pin!(events);
        let mut found = Vec::new();
        let followed = tokio::time::timeout(PATIENCE, async {
            while let Some(event) = events.next().await {
                let event = event.unwrap();
                let is_last = event.kind == kind && event.generation >= taken.generation;
                found.push(event);
                if is_last {
                    return;
                }
            }
        });
        assert!(followed.await.is_ok(), "no {kind:?}: {found:#?}");
        found
    }

    /// An application.
    pub async fn application(&self, name: &str) -> Application {
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
                let left = runtime.block_on(async { tokio::time::timeout(PATIENCE, task).await });
                assert!(left.is_ok(), "the agent has not left within {PATIENCE:?}");
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

/// Waits until an agent has left that was told to, or has handed over.
pub async fn left(task: JoinHandle<Result<(), AgentError>>) {
    let left = tokio::time::timeout(PATIENCE, task).await;
    left.unwrap_or_else(|_| panic!("the agent has not left within {PATIENCE:?}")).unwrap().unwrap();
}

/// Body of an answer on loopback; none where nobody answers.
pub async fn answer(method: &'static str, port: u16, path: &'static str) -> Option<String> {
    tokio::task::spawn_blocking(move || ask(method, ("127.0.0.1", port), path)).await.unwrap()
}

/// A document of a web server with a volume and a secret.
pub fn web(image: &str, port: u16) -> String {
    format!(
        "applications:\n  web:\n    image: \"{image}\"\n    ports: {{http: {{port: 8080, publish: {{port: {port}, address: 127.0.0.1}}}}}}\n    \
         volumes: {{data: {{path: /data, size: 16MiB}}}}\n    health: {{http: {{port: http}}}}\n    limits: {{memory: 128MiB}}\n    \
         variables: {{TOKEN: {{secret: token}}}}\n    switch: {{gate: 60s, probation: 0ms, drain: 1s}}\n"
    )
}

/// A document of a web server with a volume, and without a secret.
pub fn plain(image: &str, port: u16) -> String {
    web(image, port).replace("    variables: {TOKEN: {secret: token}}\n", "")
}
