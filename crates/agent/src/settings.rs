//! Settings of an agent.

use std::path::PathBuf;

use openmesh_blueprint::document::Name;
use openmesh_image::recipe::{Kitchen, Mirror};

/// Folder of what outlives the machine's run.
const STATE: &str = "/var/lib/openmesh/xnodes";
/// Folder of what does not.
const RUN: &str = "/run/openmesh/xnodes";
/// Sources of Debian packages as the machine has them.
const SOURCES: [&str; 2] = ["/etc/apt/sources.list.d/debian.sources", "/etc/apt/sources.list"];
/// Release of Debian for recipes where the machine is none.
const SUITE: &str = "bookworm";

/// Settings of an agent.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its instance name.
    pub name: Name,
    /// Folder of what outlives the machine's run.
    pub state: PathBuf,
    /// Folder of what does not.
    pub run: PathBuf,
    /// Folder with `openmesh-shim`, `openmesh-cage-helper` and `openmesh-unpack`.
    pub programs: PathBuf,
    /// runc, where it makes containers in place of libcontainer.
    pub runc: Option<PathBuf>,
    /// The machine's part in recipes.
    pub kitchen: Kitchen,
    /// List of the ranges of user ids that the agents of this machine hold.
    pub ids: PathBuf,
}

impl Settings {
    /// Settings of an agent at the usual places, with the programs beside the present one.
    ///
    /// # Errors
    /// The present program has no path.
    pub fn usual(name: Name) -> std::io::Result<Settings> {
        let own = std::env::current_exe()?;
        let programs = own.parent().map(PathBuf::from).unwrap_or_default();
        Ok(Settings {
            state: PathBuf::from(STATE).join(name.as_str()),
            run: PathBuf::from(RUN).join(name.as_str()),
            name,
            programs,
            runc: None,
            kitchen: kitchen(),
            ids: PathBuf::from(STATE).join("ids.json"),
        })
    }

    /// The socket at which the agent answers.
    pub fn socket(&self) -> PathBuf {
        self.run.join("agent.socket")
    }
}

/// The release of this machine, and its own sources.
fn kitchen() -> Kitchen {
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let suite = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    let sources = SOURCES.into_iter().find(|path| std::path::Path::new(path).exists()).unwrap_or(SOURCES[1]);
    Kitchen { suite: suite.unwrap_or(SUITE).trim_matches('"').to_string(), mirror: Mirror::Sources(sources.into()) }
}
