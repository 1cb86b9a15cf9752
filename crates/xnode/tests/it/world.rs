//! An agent of a test's own, with images of this machine's programs; nothing of it is left when the test ends.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use openmesh_blueprint::catalogue::{Catalogue, ImageFacts};
use openmesh_blueprint::document::{Name, Size};
use openmesh_blueprint::generation::{Cause, Disposal};
use openmesh_blueprint::inventory::InstanceId;
use openmesh_blueprint::resolve::Allocations;
use openmesh_blueprint::{Document, Generation, resolve};
use openmesh_image::oci::Platform;
use openmesh_image::pull::{Client, Settings};
use openmesh_image::tar::{Entry, Kind, Writer};
use openmesh_primitives::Timestamp;
use openmesh_xnode::machine::NoSecrets;
use openmesh_xnode::{Agent, Machine, Paths, Programs, open};
use tempfile::TempDir;

use crate::ports::take;

/// Patience with a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// Variable by which `openmesh-tests` says that the programs of an agent lie beside the tests and are those of this code.
pub const PROGRAMS_ARE_BUILT: &str = "OPENMESH_PROGRAMS_ARE_BUILT";
/// Places of tests among subnets and ids.
const PLACES: u32 = 64 * 16;
/// Programs of the images: what the servers of the tests need.
const PROGRAMS: [&str; 3] = ["/bin/sh", "/bin/cat", "/usr/bin/perl"];

/// The machine's lack for an agent; nothing where there can be one.
pub fn lacking() -> Option<&'static str> {
    if !rustix::process::geteuid().is_root() {
        return Some("an agent needs root");
    }
    if !["/usr/sbin/nft", "/sbin/nft"].iter().any(|path| Path::new(path).exists()) {
        return Some("an agent needs nft (Debian package nftables)");
    }
    (!Path::new("/usr/bin/perl").exists()).then_some("these tests need /usr/bin/perl (Debian package perl-base)")
}

/// Folder of the programs that are built beside this one.
fn target() -> PathBuf {
    let exe = std::env::current_exe().unwrap();
    exe.ancestors().nth(2).unwrap().to_path_buf()
}

/// Programs of an agent; built once where they are not there.
fn programs() -> Programs {
    static BUILT: OnceLock<Programs> = OnceLock::new();
    BUILT
        .get_or_init(|| {
            let folder = target();
            let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
            let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
            let build = |arguments: &[&str]| {
                let built = Command::new(&cargo)
                    .args(["build", "--quiet", "--locked"])
                    .args(arguments)
                    .current_dir(root)
                    .output();
                let built = built.unwrap();
                assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
            };
            if !folder.join("openmesh-shim").exists() || !folder.join("openmesh-unpack").exists() {
                build(&["-p", "openmesh-shim", "-p", "openmesh-image", "--bins"]);
            }
            if std::env::var_os(PROGRAMS_ARE_BUILT).is_none() {
                let target = folder.parent().unwrap().to_str().unwrap();
                build(&["--manifest-path", "crates/cage/helper/Cargo.toml", "--target-dir", target]);
            }
            Programs {
                shim: folder.join("openmesh-shim"),
                cage: folder.parent().unwrap().join("debug/openmesh-cage-helper"),
                unpack: folder.join("openmesh-unpack"),
                runc: None,
            }
        })
        .clone()
}

/// A number that no other test of this machine has.
fn number() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    (std::process::id() << 6) + NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A place among the subnets and ids of tests, held by the name of a socket: nobody else of this machine has it meanwhile.
fn place(number: u32) -> (u32, UnixListener) {
    let mut all = (0..PLACES).map(|more| (number + more) % PLACES);
    all.find_map(|place| Some((place, take(&format!("openmesh-xnode-test-{place}"))?))).unwrap()
}

/// An agent with its folders.
pub struct World {
    agent: Option<Agent>,
    pub name: Name,
    folder: TempDir,
    images: BTreeMap<String, ImageFacts>,
    pub generations: Vec<Generation>,
    /// Fate of the data of applications that go.
    pub disposals: BTreeMap<Name, Disposal>,
    /// The network is another one than the first.
    pub is_moved: bool,
    place: u32,
    _holds_place: UnixListener,
}

impl World {
    /// An agent with nothing on it; none, with a word, where the machine lacks something.
    pub fn new() -> Option<World> {
        if let Some(lacking) = lacking() {
            println!("skipped: {lacking}");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
        let number = number();
        let (place, holds_place) = place(number);
        let name: Name = format!("t{number:x}").parse().unwrap();
        let agent = Some(Agent::new(machine(folder.path(), &name)));
        let (images, generations, disposals) = (BTreeMap::new(), Vec::new(), BTreeMap::new());
        let is_moved = false;
        Some(World { agent, name, folder, images, generations, disposals, is_moved, place, _holds_place: holds_place })
    }

    /// Another agent for the same folders, with another machine.
    pub fn with(&mut self, change: impl FnOnce(&mut Machine)) {
        drop(self.agent.take());
        let mut machine = machine(self.folder.path(), &self.name);
        change(&mut machine);
        self.agent = Some(Agent::new(machine));
    }

    /// Another agent for the same folders, as after a death.
    pub fn again(&mut self) {
        // Two never work on one state.
        drop(self.agent.take());
        self.agent = Some(Agent::new(machine(self.folder.path(), &self.name)));
    }

    /// Lets something be done while no agent is there; another one comes afterwards.
    pub fn without_agent<T>(&mut self, act: impl FnOnce() -> T) -> T {
        drop(self.agent.take());
        let done = act();
        self.agent = Some(Agent::new(machine(self.folder.path(), &self.name)));
        done
    }

    /// Folder of state and run of the agent.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Opens another agent of this state and name.
    pub fn second(&self) -> Result<Machine, openmesh_xnode::XnodeError> {
        try_machine(self.folder.path(), &self.name)
    }

    /// The agent.
    pub fn agent(&self) -> &Agent {
        self.agent.as_ref().unwrap()
    }

    /// Folders of the agent.
    pub fn paths(&self) -> &Paths {
        &self.agent().machine().paths
    }

    /// Puts an image into the store: the programs of this machine and a script of Perl.
    pub fn image(&mut self, reference: &str, script: &str) {
        let store = &self.agent().machine().images;
        let layer = layer(script);
        let layer_size = layer.len();
        let diff_id = store.put(&layer, &open).unwrap();
        let platform = Platform::here();
        let config = serde_json::json!({
            "os": platform.os, "architecture": platform.architecture,
            "config": { "Env": ["PATH=/usr/bin:/bin"], "Entrypoint": ["/usr/bin/perl", "/server.pl"], "User": "1000:1000" },
            "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{diff_id}")] },
        });
        let config = serde_json::to_vec(&config).unwrap();
        let config_digest = store.put(&config, &open).unwrap();
        let manifest = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": format!("sha256:{config_digest}"), "size": config.len() },
            "layers": [{ "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": format!("sha256:{diff_id}"), "size": layer_size }],
        });
        let digest = store.put(&serde_json::to_vec(&manifest).unwrap(), &open).unwrap();
        store.lease_also("test", digest, &open).unwrap();
        let bytes = Size(layer_size as u64);
        self.images.insert(reference.to_string(), ImageFacts { digest, packed: bytes, unpacked: bytes });
    }

    /// The generation of a document after the last one, with a subnet that no other test has at the same time.
    pub fn resolve(&mut self, applications: &str) -> Generation {
        let (first, low) = (if self.is_moved { 192 } else { 128 }, self.place % 16 * 16);
        let high = first + self.place / 16;
        let text = format!("version: 1\nmachine: {{subnet: 10.{high}.{low}.0/24}}\n{applications}");
        let document = Document::parse(&text).unwrap_or_else(|problems| panic!("{problems:#?}"));
        let images = self.images.iter().map(|(reference, facts)| (reference.parse().unwrap(), *facts));
        let catalogue = Catalogue { images: images.collect(), ..Catalogue::default() };
        let allocations = Allocations {
            node: "kitchen".parse().unwrap(),
            taken: BTreeMap::new(),
            busy: self.busy(),
            first_id: 0x4000_0000 + self.place * 0x10_0000,
            id_ranges: 16,
            secrets: BTreeMap::new(),
            committed: self.generations.last().map_or(0, |generation| generation.number),
            disposals: self.disposals.clone(),
            gone: BTreeSet::new(),
            highest: 0,
            gpus: self.agent().gpus().unwrap(),
        };
        let cause = Cause { by: "test".into(), reason: "a test".into(), at: Timestamp::now() };
        let generation = resolve(&document, &catalogue, &allocations, self.generations.last(), cause);
        let generation = generation.unwrap_or_else(|reasons| panic!("{reasons:#?}"));
        self.generations.push(generation.clone());
        generation
    }

    fn busy(&self) -> BTreeMap<Ipv4Addr, (Name, InstanceId)> {
        self.agent().busy().unwrap()
    }

    /// Deploys a document, and returns the steps that were done.
    pub fn deploy(&mut self, text: &str) -> u32 {
        let generation = self.resolve(text);
        self.agent().want(&generation, &open).unwrap();
        self.converge()
    }

    /// Lets the agent work until it rests.
    pub fn converge(&self) -> u32 {
        runtime()
            .block_on(self.agent().converge(PATIENCE, &open))
            .unwrap_or_else(|error| panic!("{error}\n{}", self.logs()))
    }

    /// Last words of every instance and of what made it.
    pub fn logs(&self) -> String {
        let found = Command::new("find")
            .arg(self.folder.path())
            .args(["(", "-path", "*/logs/*", "-o", "-name", "driver.log", ")", "-type", "f"])
            .output();
        let files = String::from_utf8_lossy(&found.unwrap().stdout).into_owned();
        let shell = format!(
            "ip -br addr; ip route; for n in {}/run/names/*; do echo $n; nsenter --net=$n/net ip -br addr; nsenter --net=$n/net ip route; done",
            self.folder.path().display()
        );
        let network = Command::new("sh").args(["-c", &shell]).output().unwrap();
        println!("{}", String::from_utf8_lossy(&network.stdout));
        files.lines().map(|file| format!("{file}:\n{}\n", std::fs::read_to_string(file).unwrap_or_default())).collect()
    }

    /// Traces of the agent on this machine.
    pub fn traces(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let name = format!("openmesh-{}", self.name);
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let read = |file: &str| std::fs::read_to_string(entry.path().join(file)).unwrap_or_default();
            if read("cgroup").contains(&name) || read("cmdline").contains(self.folder.path().to_str().unwrap()) {
                found.insert(format!("process {}: {}", entry.path().display(), read("cmdline").replace('\0', " ")));
            }
        }
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let ours = mounts.lines().filter(|line| line.contains(self.folder.path().to_str().unwrap()));
        found.extend(ours.map(|line| format!("mount {line}")));
        let tables = Command::new("nft").args(["list", "tables"]).output().unwrap();
        let text = String::from_utf8_lossy(&tables.stdout).into_owned();
        found.extend(text.lines().filter(|line| line.ends_with(&name)).map(|line| format!("nft {line}")));
        found
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // A test that failed may have none at the moment; a second panic would end every other test too.
        let Some(agent) = &self.agent else {
            return eprintln!("{}: it is left as it is", self.folder.path().display());
        };
        let removed = runtime().block_on(agent.remove_everything(&open));
        if !std::thread::panicking() {
            removed.unwrap();
            assert_eq!(self.traces(), BTreeSet::new());
        }
    }
}

/// The agent of a folder that another process has made.
pub fn open_agent(folder: &Path, name: &Name) -> Agent {
    Agent::new(machine(folder, name))
}

fn machine(folder: &Path, name: &Name) -> Machine {
    let mut opened = None;
    // What another test starts at this moment holds the lock that was let go here, until its program runs.
    until("the lock of the agent before", || {
        opened = match try_machine(folder, name) {
            Err(openmesh_xnode::XnodeError::AnotherAgent { .. }) => None,
            other => Some(other.unwrap()),
        };
        opened.is_some()
    });
    opened.unwrap()
}

fn try_machine(folder: &Path, name: &Name) -> Result<Machine, openmesh_xnode::XnodeError> {
    let paths = Paths::new(folder.join("state"), folder.join("run"));
    let client = Client::new(Settings::default()).unwrap();
    Machine::open(name.clone(), paths, programs(), client, Box::new(NoSecrets), &open)
}

pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Files of the images by their paths: programs, their libraries, the modules of Perl. Found and read once.
fn files() -> &'static BTreeMap<PathBuf, Vec<u8>> {
    static FILES: OnceLock<BTreeMap<PathBuf, Vec<u8>>> = OnceLock::new();
    FILES.get_or_init(|| {
        let said = |program: &str, arguments: &[&str]| {
            let output = Command::new(program).args(arguments).output().unwrap();
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        let mut found: BTreeSet<PathBuf> = PROGRAMS.iter().map(PathBuf::from).collect();
        for program in PROGRAMS {
            let text = said("ldd", &[program]);
            found.extend(text.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from));
        }
        let modules = said("/usr/bin/perl", &["-MSocket", "-e", "print map { qq($_\\n) } values %INC"]);
        let base = |file: &str| Some(format!("{}/perl-base", file.split_once("/perl-base/")?.0));
        for folder in modules.lines().filter_map(base).collect::<BTreeSet<String>>() {
            found.extend(said("find", &[folder.as_str(), "-type", "f"]).lines().map(PathBuf::from));
        }
        let with_content = |file: PathBuf| {
            let content = std::fs::read(&file).unwrap();
            (file, content)
        };
        found.into_iter().map(with_content).collect()
    })
}

/// An archive with the programs, their libraries and a script.
fn layer(script: &str) -> Vec<u8> {
    let files = files();
    let mut folders: BTreeSet<PathBuf> =
        ["proc", "sys", "dev", "tmp", "run", "data", "etc"].iter().map(PathBuf::from).collect();
    let mut writer = Writer::new(Vec::new());
    for file in files.keys() {
        folders.extend(
            file.strip_prefix("/")
                .unwrap()
                .ancestors()
                .skip(1)
                .filter(|path| path.parent().is_some())
                .map(Path::to_path_buf),
        );
    }
    let entry = |name: &Path, kind, mode, size| Entry {
        name: name.as_os_str().as_encoded_bytes().to_vec(),
        kind,
        mode,
        uid: 0,
        gid: 0,
        mtime: 0,
        size,
        link: Vec::new(),
        xattrs: Vec::new(),
    };
    for folder in &folders {
        let mode = if folder == Path::new("tmp") { 0o1777 } else { 0o755 };
        writer.append(&entry(folder, Kind::Directory, mode, 0), &mut std::io::empty()).unwrap();
    }
    for (file, bytes) in files {
        let name = file.strip_prefix("/").unwrap();
        writer.append(&entry(name, Kind::File, 0o755, bytes.len() as u64), &mut bytes.as_slice()).unwrap();
    }
    let text = [("server.pl", script), ("etc/passwd", "root:x:0:0::/:/bin/sh\napp:x:1000:1000::/:/bin/sh\n")];
    for (name, content) in text {
        writer
            .append(&entry(Path::new(name), Kind::File, 0o644, content.len() as u64), &mut content.as_bytes())
            .unwrap();
    }
    writer.finish().unwrap()
}

/// A server that answers every request with a word and what it finds in a file that it appends to.
pub fn server(word: &str) -> String {
    format!(
        r#"$| = 1; use Socket;
socket(S, PF_INET, SOCK_STREAM, 6); setsockopt(S, SOL_SOCKET, SO_REUSEADDR, 1); bind(S, sockaddr_in(8080, INADDR_ANY)) or die "bind: $!"; listen(S, 64);
print "{word} listens\n"; $SIG{{TERM}} = sub {{ print "{word} ends\n"; exit 0 }};
while (1) {{ accept(C, S) or next; my $head = ''; while (<C>) {{ $head .= $_; last if /^\r?$/ }}
  if ($head =~ m{{^POST /(\S*)}}) {{ open(F, '>>', '/data/words') or die "data: $!"; print F "$1\n"; close F; }}
  my $body = "{word}\n"; if (open(F, '<', '/data/words')) {{ $body .= join('', <F>); close F; }}
  print C "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: " . length($body) . "\r\n\r\n$body"; close C; }}
"#
    )
}

/// The body of an answer; none where nobody answers.
pub fn ask(method: &str, address: (&str, u16), path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    // Nobody who is asked by these tests lets an answer wait on purpose.
    stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.split_once("\r\n\r\n").map(|(_, body)| body.to_string())
}

/// Waits until something is so, with a deadline.
pub fn until(what: &str, mut so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !so() {
        assert!(begun.elapsed() < PATIENCE, "{what}: not after {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
