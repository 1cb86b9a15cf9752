//! A container of a test: its root file system, its bundle, its group, and what ends with it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use openmesh_cage::cgroup::{Group, Layout};
use openmesh_cage::config::Config;
use openmesh_cage::driver::{self, Container, Driver, DriverError, Libcontainer, Runc};
use openmesh_cage::instance::{GroupPath, IdRange, Identity, Instance, Joined, Limits, Machine, MemoryFiles, Root};
use openmesh_cage::{bundle, open_door};
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};
use tempfile::TempDir;

/// Patience with a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Numbers of system calls on this machine: `mount`, `setgid`, `setuid`.
pub const NUMBERS: [u32; 3] = if cfg!(target_arch = "aarch64") { [40, 144, 146] } else { [165, 106, 105] };
/// Programs of the root file systems: what the scripts of the tests use.
const PROGRAMS: [&str; 8] =
    ["/bin/sh", "/bin/cat", "/bin/sleep", "/bin/ls", "/bin/chown", "/usr/bin/id", "/usr/bin/perl", "/bin/hostname"];

/// The machine's lack for containers; nothing where they can be made.
pub fn lacking() -> Option<&'static str> {
    if !rustix::process::geteuid().is_root() {
        return Some("these tests need root");
    }
    if Layout::find().is_err() {
        return Some("these tests need control groups for cpu, memory and pids");
    }
    let perl = Path::new("/usr/bin/perl").exists();
    (!perl).then_some("these tests need /usr/bin/perl (Debian package perl-base)")
}

/// Returns true where a program can be linked with libseccomp.
fn has_libseccomp() -> bool {
    let folders = ["/usr/lib", "/usr/local/lib", "/lib"].map(PathBuf::from);
    let below = |folder: &PathBuf| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect::<Vec<_>>()
    };
    let deeper = folders.iter().flat_map(below).collect::<Vec<_>>();
    folders.iter().chain(&deeper).any(|folder| folder.join("libseccomp.so").exists())
}

/// Path of libcontainer's helper, which is a workspace of its own; built once for all tests. Says what is missing where it cannot be.
///
/// # Panics
/// It does not compile although nothing is missing.
pub fn helper() -> Result<PathBuf, String> {
    static BUILT: OnceLock<Result<Option<PathBuf>, String>> = OnceLock::new();
    let built = BUILT
        .get_or_init(|| {
            if !has_libseccomp() {
                return Ok(None);
            }
            let exe = std::env::current_exe().map_err(|cause| cause.to_string())?;
            let profile = exe.ancestors().nth(2).ok_or("no target folder")?;
            let target = profile.parent().ok_or("no target folder")?;
            let program = target.join("debug/openmesh-cage-helper");
            // By `openmesh-tests`, for everybody.
            if std::env::var_os("OPENMESH_PROGRAMS_ARE_BUILT").is_some() {
                return Ok(Some(program));
            }
            let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("helper/Cargo.toml");
            let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
            let built = Command::new(cargo)
                .args(["build", "--quiet", "--locked", "--manifest-path"])
                .arg(manifest)
                .env("CARGO_TARGET_DIR", target)
                .output()
                .map_err(|cause| cause.to_string())?;
            if !built.status.success() {
                return Err(String::from_utf8_lossy(&built.stderr).into_owned());
            }
            Ok(Some(program))
        })
        .clone();
    match built {
        Ok(Some(path)) => Ok(path),
        Ok(None) => Err("libseccomp is missing (Debian package libseccomp-dev)".into()),
        Err(text) => panic!("openmesh-cage-helper cannot be built: {text}"),
    }
}

/// Runs a test for each driver of this machine, and says what is missing for the others.
pub fn with_drivers(test: impl Fn(World)) {
    if let Some(lacking) = lacking() {
        println!("skipped: {lacking}");
        return;
    }
    let runc = ["/usr/sbin/runc", "/usr/bin/runc"].map(PathBuf::from).into_iter().find(|path| path.exists());
    match runc {
        Some(program) => test(World::new(|root| Box::new(Runc { program, root }))),
        None => println!("skipped with runc: it is not installed (Debian package runc)"),
    }
    match helper() {
        Ok(program) => test(World::new(|root| Box::new(Libcontainer { program, root }))),
        Err(text) => println!("skipped with libcontainer: {text}"),
    }
}

/// A number that no other test of this machine has.
fn number() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    (std::process::id() << 6) + NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Path of a group that no other test of this machine has.
pub fn group_path() -> GroupPath {
    let mut nonce = [0; 4];
    let read = File::open("/dev/urandom").and_then(|mut file| std::io::Read::read_exact(&mut file, &mut nonce));
    read.unwrap();
    GroupPath { agent: format!("test-{:x}-{:08x}", number(), u32::from_ne_bytes(nonce)), instance: "app.0".into() }
}

/// A container that is yet to be made.
pub struct World {
    pub instance: Instance,
    pub driver: Box<dyn Driver>,
    pub container: Container,
    pub group: Group,
    pub folder: TempDir,
    pub pid: Option<Pid>,
}

impl World {
    fn new(driver: impl FnOnce(PathBuf) -> Box<dyn Driver>) -> World {
        // What loses its parent comes here: the first process of runc.
        rustix::process::set_child_subreaper(Some(rustix::process::getpid())).unwrap();
        let folder = tempfile::tempdir().unwrap();
        // An instance's own ids have to find its root.
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o711)).unwrap();
        let path = group_path();
        let ids = IdRange { first: 0x4000_0000 + (number() % 0x2000) * 65_536, count: 65_536 };
        let root = folder.path().join("root");
        populate(&root, ids.first);
        let instance = Instance {
            hostname: "app".into(),
            machine: Machine::own().unwrap(),
            command: vec!["/bin/sleep".into(), "1000".into()],
            variables: BTreeMap::from([("GREETING".into(), "good day".into())]),
            workdir: "/".into(),
            user: Identity::default(),
            root: Root { path: root.display().to_string(), writable: false },
            binds: Vec::new(),
            devices: Vec::new(),
            memory: MemoryFiles { tmp_bytes: 1 << 20, run_bytes: 1 << 20, shm_bytes: 1 << 20 },
            limits: Limits { processors_milli: 1_000, memory_bytes: 128 << 20, processes: 64 },
            capabilities: BTreeSet::new(),
            ids,
            namespaces: Joined::default(),
            group: path.clone(),
        };
        let bundle = folder.path().join("bundle");
        std::fs::create_dir(&bundle).unwrap();
        let container = Container {
            id: format!("{}-app.0", path.agent),
            bundle,
            pid_file: folder.path().join("pid"),
            log: folder.path().join("log"),
        };
        let states = folder.path().join("states");
        std::fs::create_dir(&states).unwrap();
        let group = Group::new(Layout::find().unwrap(), path);
        World { instance, driver: driver(states), container, group, folder, pid: None }
    }

    /// Runs a script of the shell.
    pub fn script(&mut self, script: &str) -> &mut World {
        self.instance.command = vec!["/bin/sh".into(), "-c".into(), script.into()];
        self
    }

    /// Runs a script of Perl, which can make any system call.
    pub fn perl(&mut self, script: &str) -> &mut World {
        self.instance.command = vec!["/usr/bin/perl".into(), "-e".into(), script.into()];
        self
    }

    pub fn config(&self) -> Config {
        bundle::config(&self.instance).unwrap()
    }

    /// Makes group and container.
    pub fn create(&mut self) -> Result<u32, DriverError> {
        let config = self.config();
        bundle::write(&config, &self.container.bundle, &open_door).unwrap();
        self.group.make(&open_door).unwrap();
        self.group.limit(&config.linux.resources, &open_door).unwrap();
        let output = File::create(self.output_file()).unwrap();
        let error = output.try_clone().unwrap();
        let made = driver::create(&*self.driver, &self.container, output.into(), error.into(), &open_door);
        reap_intermediates();
        self.pid = made.as_ref().ok().and_then(|pid| Pid::from_raw(pid.cast_signed()));
        made
    }

    pub fn start(&mut self) -> u32 {
        let pid = self.create().unwrap();
        driver::start(&*self.driver, &self.container, &open_door).unwrap();
        pid
    }

    /// Runs to the end: how it ended and what it said.
    pub fn run(&mut self) -> (WaitStatus, String) {
        self.start();
        let status = self.wait();
        (status, self.output())
    }

    /// Waits for the end of the first process, as its parent.
    pub fn wait(&mut self) -> WaitStatus {
        let status = reap(self.pid.unwrap());
        self.pid = None;
        status
    }

    fn output_file(&self) -> PathBuf {
        self.folder.path().join("output")
    }

    pub fn output(&self) -> String {
        std::fs::read_to_string(self.output_file()).unwrap_or_default()
    }

    /// Waits until the application has said something.
    pub fn wait_output(&self, part: &str) {
        until(part, || self.output().contains(part));
    }

    /// Ends and removes everything.
    pub fn delete(&mut self) {
        driver::delete(&*self.driver, &self.container, &open_door).unwrap();
        if self.pid.is_some() {
            self.wait();
        }
        self.group.remove(&open_door).unwrap();
    }

    /// Asserts that nothing with the name of the test is there any more.
    pub fn assert_gone(&self) {
        let left = traces(&self.container.id, self.folder.path());
        assert!(left.is_empty(), "{}: left behind: {left:#?}", self.driver.name());
        assert!(!self.driver.keeps(&self.container), "{} keeps its state", self.driver.name());
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(pid) = self.pid {
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
        let _ = self.group.kill_all(&open_door);
        // A test that failed may not have come to this; a first process has no end before.
        reap_strays(&self.container.id);
        let _ = driver::delete(&*self.driver, &self.container, &open_door);
        if let Some(pid) = self.pid.take() {
            let begun = Instant::now();
            while let Ok(None) = rustix::process::waitpid(Some(pid), WaitOptions::NOHANG) {
                if begun.elapsed() > PATIENCE {
                    eprintln!("{}: its first process {pid:?} does not end, and is left", self.container.id);
                    break;
                }
                reap_strays(&self.container.id);
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        let _ = self.group.remove(&open_door);
    }
}

/// Waits for the end of a child, with a deadline.
pub fn reap(pid: Pid) -> WaitStatus {
    let mut found = None;
    until("the end of a process", || {
        match rustix::process::waitpid(Some(pid), WaitOptions::NOHANG) {
            Ok(ended) => found = ended,
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => panic!("{pid:?} is no child: {errno}"),
        }
        found.is_some()
    });
    found.unwrap().1
}

/// Control groups, mounts and processes that carry an agent's name or lie in a folder.
pub fn traces(id: &str, folder: &Path) -> Vec<String> {
    let agent = format!("openmesh-{}", id.trim_end_matches("-app.0"));
    let mut left = Vec::new();
    for root in Layout::find().unwrap().roots() {
        let path = root.join(&agent);
        if path.exists() {
            left.push(path.display().to_string());
        }
    }
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let folder = folder.display().to_string();
    left.extend(mounts.lines().filter(|line| line.contains(&folder)).map(ToString::to_string));
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let read = |name: &str| std::fs::read_to_string(entry.path().join(name)).unwrap_or_default();
        // Children of this process that nobody waits for: the process between libcontainer's helper and the first one.
        if read("stat").rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('Z')) {
            continue;
        }
        if read("cgroup").contains(&agent) || read("cmdline").contains(&format!("{id}\0")) {
            left.push(format!("{}: {}", entry.path().display(), read("cmdline").replace('\0', " ")));
        }
    }
    left
}

/// Takes the ends of the processes between libcontainer's helper and the first process, which are children of this process too. A shim reaps
/// whatever ends; until then such a process counts as one of its group's.
fn reap_intermediates() {
    reap_dead(|name, _| name == "youki:[1:INTER]");
}

/// Takes the ends of an instance's processes that were left to this process.
fn reap_strays(id: &str) {
    let agent = format!("openmesh-{}", id.trim_end_matches("-app.0"));
    reap_dead(|_, process| std::fs::read_to_string(process.join("cgroup")).is_ok_and(|text| text.contains(&agent)));
}

/// Takes the ends of children, chosen by their names and folders in `/proc`.
fn reap_dead(chosen: impl Fn(&str, &Path) -> bool) {
    let own = std::process::id().to_string();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let Some((before, after)) = stat.rsplit_once(')') else { continue };
        let mut after = after.split_whitespace();
        let is_own = after.next() == Some("Z") && after.next() == Some(&own);
        let name = before.split_once('(').map(|(_, name)| name).unwrap_or_default();
        if is_own && chosen(name, &entry.path()) {
            let pid = entry.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw);
            let _ = rustix::process::waitpid(pid, WaitOptions::NOHANG);
        }
    }
}

/// Fills a root file system with programs of this machine and their libraries, owned by an instance's ids.
pub fn populate(root: &Path, owner: u32) {
    for folder in ["proc", "sys", "dev", "tmp", "run", "data", "usr"] {
        std::fs::create_dir_all(root.join(folder)).unwrap();
    }
    std::fs::set_permissions(root.join("tmp"), PermissionsExt::from_mode(0o1777)).unwrap();
    let mut files: BTreeSet<PathBuf> = PROGRAMS.iter().map(PathBuf::from).collect();
    for program in PROGRAMS {
        let listed = Command::new("ldd").arg(program).output().unwrap();
        let text = String::from_utf8_lossy(&listed.stdout).into_owned();
        files.extend(text.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from));
    }
    for file in files {
        let target = root.join(file.strip_prefix("/").unwrap());
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::copy(&file, &target).unwrap();
    }
    std::fs::create_dir_all(root.join("etc")).unwrap();
    let mut passwd = File::create(root.join("etc/passwd")).unwrap();
    writeln!(passwd, "root:x:0:0::/:/bin/sh\napp:x:1000:1000::/:/bin/sh").unwrap();
    let owner = format!("{owner}:{owner}");
    let done = Command::new("chown").args(["-R", &owner]).arg(root).stdout(Stdio::null()).status().unwrap();
    assert!(done.success());
}

/// Waits until something is so, with a deadline.
pub fn until(what: &str, mut so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !so() {
        assert!(begun.elapsed() < PATIENCE, "{what}: not after {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
