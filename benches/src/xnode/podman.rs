//! A podman with storage, network and configuration of its own, none of which the machine's own one sees.
//!
//! It lives in a network namespace: its bridge and its rules of the firewall go with that, and are in nobody's way before. A thread that asks what podman publishes
//! enters it; what podman itself starts from such a thread is in it from its first moment, without another program in between.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;
use nix::sched::{CloneFlags, setns};

use super::machine;

/// Configuration. Limits of open files and processes are lowered, since raising them takes a capability that not every machine gives.
const CONFIGURATION: &str = r#"[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "none"
[network]
network_backend = "cni"
"#;

/// Folder in which the programs of container networks note addresses, whatever their configuration says.
const NETWORKS: &str = "/var/lib/cni";

/// A podman of its own.
pub struct Podman {
    /// Its name with its version.
    pub name: String,
    program: PathBuf,
    folder: PathBuf,
    /// Name of the network namespace.
    namespace: String,
    /// Nobody had [`NETWORKS`] before.
    makes_networks: bool,
    is_removed: bool,
}

impl Podman {
    /// Makes its folders and its network namespace.
    ///
    /// # Errors
    /// Podman is not installed, or the machine makes no network namespaces.
    pub fn new(name: &str, folder: &Path) -> anyhow::Result<Podman> {
        let program = machine::program("podman", "podman")?;
        let version = machine::version(Command::new(&program).arg("--version"))?;
        std::fs::create_dir_all(folder)?;
        std::fs::write(folder.join("containers.conf"), CONFIGURATION)?;
        let (folder, namespace) = (folder.into(), name.to_string());
        let makes_networks = !Path::new(NETWORKS).exists();
        let name_of_it = format!("podman {version}");
        let podman = Podman { name: name_of_it, program, folder, namespace, makes_networks, is_removed: false };
        machine::run(Command::new("ip").args(["netns", "add", name]))?;
        machine::run(Command::new("ip").args(["-netns", name, "link", "set", "lo", "up"]))?;
        Ok(podman)
    }

    /// A command of it, which runs in its folder.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        for (option, folder) in [("root", "root"), ("runroot", "run"), ("tmpdir", "tmp"), ("network-config-dir", "net")]
        {
            command.arg(format!("--{option}")).arg(self.folder.join(folder));
        }
        command.args(arguments).env("CONTAINERS_CONF", self.folder.join("containers.conf")).stdin(Stdio::null());
        command.current_dir(&self.folder);
        command
    }

    /// Runs a command to its end, and returns what it prints.
    pub fn run(&self, arguments: &[&str]) -> anyhow::Result<String> {
        machine::run(&mut self.command(arguments))
    }

    /// Folder for what a container is given.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Does something in its network namespace.
    pub fn within<T: Send>(&self, act: impl FnOnce() -> anyhow::Result<T> + Send) -> anyhow::Result<T> {
        let path = Path::new("/run/netns").join(&self.namespace);
        let file = File::open(&path).with_context(|| path.display().to_string())?;
        let enter = || -> anyhow::Result<T> {
            setns(&file, CloneFlags::CLONE_NEWNET).with_context(|| format!("entering {}", path.display()))?;
            act()
        };
        std::thread::scope(|scope| scope.spawn(enter).join()).unwrap_or_else(|_| anyhow::bail!("a thread has panicked"))
    }

    /// Removes containers, images, storage and network.
    pub fn end(mut self) -> anyhow::Result<()> {
        self.remove()
    }

    fn remove(&mut self) -> anyhow::Result<()> {
        if std::mem::replace(&mut self.is_removed, true) {
            return Ok(());
        }
        let containers = self.within(|| self.run(&["rm", "--all", "--force", "--time", "0"]));
        // Storage mounts its own folder while it is used.
        let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
        let points: Vec<&str> = mounts.lines().filter_map(|line| line.split(' ').nth(4)).collect();
        for point in points.iter().rev().filter(|point| Path::new(point).starts_with(&self.folder)) {
            machine::run(Command::new("umount").arg(point))?;
        }
        let namespace = machine::run(Command::new("ip").args(["netns", "delete", &self.namespace]));
        containers.and(namespace)?;
        if self.makes_networks && Path::new(NETWORKS).exists() {
            std::fs::remove_dir_all(NETWORKS).context(NETWORKS)?;
        }
        std::fs::remove_dir_all(&self.folder).with_context(|| self.folder.display().to_string())
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            eprintln!("podman of the measurement is not removed: {error:#}");
        }
    }
}
