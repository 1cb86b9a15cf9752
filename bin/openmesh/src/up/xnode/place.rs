//! Names, folders and addresses of the agent that goes with a home, and the right to start it.

use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use openmesh_agent::{FACE, Name, Settings, Subnet};
use openmesh_primitives::sha256;
use openmesh_storage::files::write_whole;
use serde::{Deserialize, Serialize};
use tokio::process::Command;

use super::subnet;
use crate::failure::Failure;
use crate::up::home;
use crate::up::settings::free_port;

/// Instance name of the agent that goes with the usual home.
pub const USUAL: &str = "default";
/// Digits of the hash that stand in the name of another home's agent.
const NAME_DIGITS: usize = 8;

/// Right to be root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// This process is root.
    Root,
    /// `sudo` lets its user be root without a question.
    Sudo,
}

impl Right {
    /// The right of this process; none where there is no way without a question.
    pub async fn find() -> Option<Right> {
        if rustix::process::geteuid().is_root() {
            return Some(Right::Root);
        }
        let mut asks = Command::new("sudo");
        asks.args(["-n", "true"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        asks.status().await.is_ok_and(|status| status.success()).then_some(Right::Sudo)
    }

    /// Word in front of a command that a person types.
    pub fn word() -> &'static str {
        if rustix::process::geteuid().is_root() { "" } else { "sudo " }
    }
}

/// Place of an agent: everything by which it is told from the others of the machine.
#[derive(Clone, Debug)]
pub struct Place {
    /// Settings of the agent.
    pub settings: Settings,
    /// It goes with a home that is not the usual one, below which its folder lies.
    pub is_own: bool,
    /// Folder of its lock and record, below the network's.
    pub folder: PathBuf,
    /// File of the choices for it, in its home and not in its own folder: that is root's.
    notes: PathBuf,
    /// File that its output is appended to.
    pub log: PathBuf,
}

/// Choices for the agent of another home, which stay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Noted {
    /// Folder in which it keeps everything.
    pub state: PathBuf,
    /// Network of its applications.
    pub subnet: String,
    /// Port of its face.
    pub face_port: u16,
}

impl Noted {
    /// The choices in a file; none where nothing was chosen.
    fn read(file: &Path) -> Option<Noted> {
        serde_json::from_slice(&std::fs::read(file).ok()?).ok()
    }

    /// Writes them.
    fn write(&self, file: &Path) -> std::io::Result<()> {
        write_whole(file, &serde_json::to_vec_pretty(self)?)
    }
}

impl Place {
    /// Place of the agent that goes with a home: that of the machine for the usual one, and one of its own for every other.
    ///
    /// # Errors
    /// The path of this program is not known, or no place for its choices can be written.
    pub fn of(given: Option<&Path>, root: &Path) -> Result<Place, Failure> {
        let base = home::base(given)?;
        let base = base.canonicalize().map_err(|e| Failure::from_display(base.display(), &e))?;
        let usual = home::base(None).ok().and_then(|usual| usual.canonicalize().ok());
        let is_own = usual.as_ref() != Some(&base);
        let name = if is_own { own_name(&base)? } else { named(USUAL)? };
        let mut settings = Settings::usual(name).map_err(|e| Failure::from_display("the path of this program", &e))?;
        let notes = base.join("xnode.json");
        if is_own {
            let (below, usual) = (base.join(home::AGENT), settings.state);
            // Of a home that was copied the choices stand for another one's agent.
            let noted = Noted::read(&notes).map(|noted| noted.state).filter(|state| [&below, &usual].contains(&state));
            settings.state = noted.unwrap_or(if is_passable(&base) { below } else { usual });
        }
        let folder = home::agent_folder(root);
        Ok(Place { settings, is_own, log: folder.join("agent.log"), folder, notes })
    }

    /// Chooses what is not chosen yet: network and address of the face. Those of the machine's agent are the usual ones.
    ///
    /// # Errors
    /// Nothing is free, or the choice cannot be written.
    pub fn choose(&mut self) -> Result<(), Failure> {
        if !self.is_own {
            return Ok(());
        }
        let state = &self.settings.state;
        let former = Noted::read(&self.notes);
        let subnet = match former.as_ref().and_then(|noted| noted.subnet.parse::<Subnet>().ok()) {
            Some(subnet) => subnet,
            None => subnet::choose(seed(state), &subnet::taken(&self.settings.ids))
                .ok_or_else(|| Failure::new("this machine has no free network for applications"))?,
        };
        let face_port = free_port(former.as_ref().map(|noted| noted.face_port))?;
        let noted = Noted { state: state.clone(), subnet: subnet.to_string(), face_port };
        if former.as_ref() != Some(&noted) {
            noted.write(&self.notes).map_err(|e| Failure::from_display(self.notes.display(), &e))?;
        }
        self.settings.subnet = Some(subnet);
        self.settings.face = Some(SocketAddr::from(([127, 0, 0, 1], face_port)));
        Ok(())
    }

    /// Address of the face where nothing better is known: that of the file of settings, where it can be read, else the chosen one.
    pub fn face(&self) -> SocketAddr {
        let told = self.settings.clone().with_file().ok().and_then(|settings| settings.face);
        told.or(self.settings.face).unwrap_or(FACE)
    }

    /// Options that name this agent on a command line, with its folder where it is not the usual one.
    pub fn named(&self) -> Vec<String> {
        if !self.is_own {
            return Vec::new();
        }
        let state = self.settings.state.display().to_string();
        vec!["--agent".into(), self.settings.name.to_string(), "--agent-state".into(), state]
    }

    /// Command line of the agent.
    pub fn arguments(&self) -> Vec<String> {
        let mut arguments = vec!["xnode".to_string(), "agent".into(), "--home".into()];
        arguments.push(self.folder.display().to_string());
        arguments.extend(self.named());
        let chosen = [("--face", self.settings.face.filter(|_| self.is_own).map(|face| face.to_string()))];
        let subnet = [("--subnet", self.settings.subnet.map(|subnet| subnet.to_string()))];
        for (option, value) in chosen.into_iter().chain(subnet) {
            arguments.extend(value.into_iter().flat_map(|value| [option.to_string(), value]));
        }
        arguments
    }
}

fn named(text: &str) -> Result<Name, Failure> {
    text.parse().map_err(|e| Failure::from_display(format!("the agent's name {text}"), &e))
}

/// Name of the agent of another home.
fn own_name(base: &Path) -> Result<Name, Failure> {
    let hash = sha256(&[base.as_os_str().as_encoded_bytes()]).to_string();
    named(&format!("up-{}", hash.get(..NAME_DIGITS).unwrap_or(&hash)))
}

/// Returns true where the ids of applications find their way through a folder and all above it: what lies in a closed one is no place for their files.
fn is_passable(folder: &Path) -> bool {
    folder.ancestors().all(|folder| std::fs::metadata(folder).is_ok_and(|about| about.mode() & 0o001 != 0))
}

/// Place at which the search for a network begins.
fn seed(state: &Path) -> u32 {
    let hash = sha256(&[state.as_os_str().as_encoded_bytes()]).to_string();
    u32::from_str_radix(hash.get(..8).unwrap_or_default(), 16).unwrap_or(0)
}

/// Returns true where an agent of this name runs, by the kernel's list of sockets (`/proc/net/unix`): each holds its name there as long as it lives.
pub fn runs(sockets: &str, name: &Name) -> bool {
    let own = format!("@openmesh-agent/{name}");
    sockets.lines().any(|line| line.split_whitespace().next_back() == Some(own.as_str()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// A folder through which everybody finds a way.
    fn open_folder() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
        dir
    }

    #[test]
    fn an_agent_keeps_nothing_in_a_closed_folder_and_stays_where_it_is() {
        let dir = open_folder();
        let home = dir.path().join("home");
        std::fs::create_dir(&home).unwrap();
        let closed = |mode| std::fs::set_permissions(&home, std::fs::Permissions::from_mode(mode)).unwrap();
        closed(0o700);
        let mut place = Place::of(Some(home.as_path()), &home).unwrap();
        assert!(!place.settings.state.starts_with(dir.path()), "{:?}", place.settings.state);
        assert!(place.settings.state.ends_with(place.settings.name.as_str()));
        place.choose().unwrap();
        closed(0o711);
        let again = Place::of(Some(home.as_path()), &home).unwrap();
        assert_eq!(again.settings.state, place.settings.state, "what is in it would be lost to sight");
    }

    #[test]
    fn each_home_has_an_agent_of_its_own() {
        let dir = open_folder();
        let homes = ["one", "two"].map(|name| dir.path().join(name));
        let places = homes.each_ref().map(|home| {
            std::fs::create_dir_all(home.join("simulated")).unwrap();
            let mut place = Place::of(Some(home.as_path()), &home.join("simulated")).unwrap();
            place.choose().unwrap();
            place
        });
        let [one, two] = &places;
        assert!(one.is_own && one.settings.name.as_str().starts_with("up-"), "{:?}", one.settings.name);
        assert_ne!(one.settings.name, two.settings.name);
        assert_ne!(one.settings.state, two.settings.state);
        assert!(one.settings.subnet.is_some_and(|subnet| subnet != openmesh_agent::SUBNET));
        assert!(one.settings.state.starts_with(homes[0].canonicalize().unwrap()));
        assert!(one.settings.face.is_some_and(|face| face.ip().is_loopback() && face != FACE));
        // The same again at the next start.
        let mut again = Place::of(Some(homes[0].as_path()), &homes[0].join("simulated")).unwrap();
        again.choose().unwrap();
        assert_eq!(again.settings.subnet, one.settings.subnet);
        assert_eq!(again.settings.name, one.settings.name);
    }

    #[test]
    fn the_command_line_is_understood() {
        use clap::Parser as _;
        let dir = tempfile::tempdir().unwrap();
        let mut place = Place::of(Some(dir.path()), dir.path()).unwrap();
        place.choose().unwrap();
        let cli = crate::cli::Cli::try_parse_from([vec!["openmesh".to_string()], place.arguments()].concat()).unwrap();
        let crate::cli::Command::Xnode(crate::cli::XnodeCommand::Agent(read)) = cli.command else {
            panic!("not the agent")
        };
        assert_eq!((read.face, read.subnet), (place.settings.face, place.settings.subnet));
        assert_eq!((&read.agent.agent, read.home.as_ref()), (&place.settings.name, Some(&place.folder)));
        assert_eq!(read.agent.agent_state.as_ref(), Some(&place.settings.state));
    }

    #[test]
    fn a_running_agent_is_known_by_its_name() {
        let sockets = "Num RefCount Protocol Flags Type St Inode Path\n\
            0000: 00000002 00000000 00010000 0001 01 31337 /run/openmesh/xnodes/other/agent.socket\n\
            0000: 00000002 00000000 00010000 0001 01 31338 @openmesh-agent/default\n\
            0000: 00000003 00000000 00000000 0001 03 31339\n";
        let name = |text: &str| text.parse::<Name>().unwrap();
        assert!(runs(sockets, &name("default")));
        assert!(!runs(sockets, &name("defaul")) && !runs(sockets, &name("other")) && !runs("", &name("default")));
    }
}
