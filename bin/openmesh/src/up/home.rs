//! The folders of local networks: where each kind of market's network stands, who may supervise it, and what lies in it.

use std::fs::File;
use std::path::{Path, PathBuf};

use openmesh_primitives::sha256;

use super::board::Board;
use super::market::Market;
use super::terminal::down_command;
use crate::cli::UpArgs;
use crate::failure::Failure;
use crate::node::config::Files;
use crate::presence;

/// Folder of an agent's record below a network, and of everything that an agent keeps below a home of its own. It is no network.
pub const AGENT: &str = "xnode";

/// A local network's folder, of which this process is the only supervisor.
pub struct Home {
    root: PathBuf,
    /// The command that stops it.
    down: String,
    /// Held open: the lock goes with the process, however it ends.
    _lock: File,
}

/// A validator's home.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeHome {
    /// Name for people.
    pub name: String,
    /// Folder.
    pub dir: PathBuf,
}

impl NodeHome {
    /// The home of a validator by its number in the genesis.
    pub fn of(root: &Path, number: usize) -> NodeHome {
        let name = format!("validator-{number}");
        NodeHome { dir: root.join(&name), name }
    }

    /// Its files.
    pub fn files(&self) -> Files {
        Files::of(&self.dir)
    }
}

/// The folder that holds the networks: as given, or `.openmesh` in the person's own.
pub fn base(home: Option<&Path>) -> Result<PathBuf, Failure> {
    if let Some(home) = home {
        return Ok(home.to_path_buf());
    }
    let user =
        std::env::var_os("HOME").ok_or_else(|| Failure::usage("HOME is not set").hint("name a folder with --home"))?;
    Ok(PathBuf::from(user).join(".openmesh"))
}

/// The networks in a folder, or the one that the folder is itself.
pub fn networks(base: &Path) -> Result<Vec<PathBuf>, Failure> {
    let is_network = |path: &Path| lock_file(path).is_file();
    if is_network(base) {
        return Ok(vec![base.to_path_buf()]);
    }
    let entries = match std::fs::read_dir(base) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Failure::from_display(base.display(), &error)),
    };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut found: Vec<PathBuf> = paths.filter(|path| !path.ends_with(AGENT) && is_network(path)).collect();
    found.sort();
    Ok(found)
}

/// The folders of a network in which processes may run: the validators', then the venues' server's.
pub fn process_folders(root: &Path) -> Vec<PathBuf> {
    let named = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("validator-"));
    let entries = std::fs::read_dir(root).into_iter().flatten();
    let mut folders: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(named).collect();
    folders.sort();
    folders.push(venues_folder(root));
    folders
}

/// The folder of the venues' server.
pub fn venues_folder(root: &Path) -> PathBuf {
    root.join("venues")
}

/// The folder that holds the lock and the record of the network's agent of the Xnode.
pub fn agent_folder(root: &Path) -> PathBuf {
    root.join(AGENT)
}

/// The lock of a network's supervisor.
pub fn lock_file(root: &Path) -> PathBuf {
    root.join("lock")
}

/// The network's genesis.
pub fn genesis_file(root: &Path) -> PathBuf {
    root.join("genesis.json")
}

/// The key of the account that the genesis of a local network endows.
pub fn faucet_file(root: &Path) -> PathBuf {
    root.join("faucet.key")
}

impl Home {
    /// Opens (or makes) the folder of this kind of market and locks it.
    ///
    /// # Errors
    /// Where the folder cannot be made, or another supervisor has it.
    pub fn open(arguments: &UpArgs, market: &Market) -> Result<Home, Failure> {
        let root = base(arguments.home.as_deref())?.join(match market {
            Market::Live => "live".to_string(),
            Market::Simulated => "simulated".to_string(),
            Market::Replay(folder) => {
                let name = format!("{}\n{}", folder.display(), arguments.sets.join(","));
                format!("replay-{}", &sha256(&[name.as_bytes()]).to_string()[..8])
            }
        });
        std::fs::create_dir_all(&root).map_err(|e| {
            Failure::from_display(root.display(), &e).hint("name a folder in which you may write with --home")
        })?;
        let root = root.canonicalize().map_err(|e| Failure::from_display(root.display(), &e))?;
        let path = lock_file(&root);
        let down = down_command(arguments.home.as_deref());
        match presence::try_lock(&path).map_err(|e| Failure::from_display(path.display(), &e))? {
            Some(lock) => Ok(Home { root, down, _lock: lock }),
            None => Err(supervised(&root, &down)),
        }
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The command that stops the network, for a person.
    pub fn down(&self) -> &str {
        &self.down
    }
}

/// Another supervisor has this network: who, and where it is looked at.
fn supervised(root: &Path, down: &str) -> Failure {
    let who = Board::read(root).map_or(String::new(), |board| format!(" (process {})", board.process.pid));
    let studio = presence::find(&NodeHome::of(root, 0).dir)
        .and_then(|(record, _)| Some(record.ready?.get("api")?.as_str()?.to_owned()))
        .map_or(String::new(), |api| format!("; Studio is at http://{api}/"));
    Failure::new(format!("the network in {} runs already, started by another openmesh up{who}{studio}", root.display()))
        .hint(format!("{down} stops it; up --home DIR starts another network beside it"))
}
