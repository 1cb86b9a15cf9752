//! Settings of an agent.

use std::fs;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use openmesh_access::site::Names;
use openmesh_blueprint::Document;
use openmesh_blueprint::document::{Name, Subnet};
use openmesh_image::recipe::{Kitchen, Mirror};
use openmesh_primitives::Address;
use openmesh_xnode::marks;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::error::AgentError;
use crate::manager::Manager;
use crate::pages::Pages;

/// Folder of what outlives the machine's run.
const STATE: &str = "/var/lib/openmesh/xnodes";
/// Folder of what does not.
const RUN: &str = "/run/openmesh/xnodes";
/// Sources of Debian packages as the machine has them.
const SOURCES: [&str; 2] = ["/etc/apt/sources.list.d/debian.sources", "/etc/apt/sources.list"];
/// Release of Debian for recipes where the machine is none.
const SUITE: &str = "bookworm";

/// Instance name whose agent has a face without being told: two at one address would be in each other's way.
const DEFAULT_NAME: &str = "default";
/// The face of that agent. 7780 is given to nobody by IANA.
pub const FACE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7780);
/// Network of applications in a document that names none.
pub const SUBNET: Subnet = Subnet { address: Ipv4Addr::new(10, 89, 0, 0), prefix: 16 };
/// Port at which guests of that agent store their backups. 7790 is given to nobody by IANA.
pub const LEND_PORT: u16 = 7790;
/// File of the kernel with addresses of IPv6; there where it has IPv6.
const IPV6: &str = "/proc/net/if_inet6";
/// Names of hosts in settings: the domains under which one machine is reached.
const HOSTS_MAX: usize = 64;

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
    /// Address of the face: HTTP for people, on loopback. None where there is no face; port 0 takes a free one, which then stands in [`Settings::face_file`].
    pub face: Option<SocketAddr>,
    /// People, and names under which they ask.
    pub people: People,
    /// Files of the pages that the face serves.
    pub pages: Pages,
    /// Network of applications in place of [`SUBNET`], which a second agent of a machine cannot have too. A document that names another one has that.
    pub subnet: Option<Subnet>,
    /// Ports at which the door serves domains.
    pub door_ports: DoorPorts,
    /// Place of the backups of other machines.
    pub lend: LendPlace,
    /// Set to true once the agent answers.
    pub serves: Option<Arc<watch::Sender<bool>>>,
    /// Manager of services that has started it; none where nobody has.
    pub manager: Option<Manager>,
    /// File that gives the machine its document; none where people alone deploy.
    pub document: Option<DocumentFile>,
}

/// A file that gives a machine its document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentFile {
    /// Its path.
    pub path: PathBuf,
    /// Name in which its documents are taken, for the history.
    pub by: String,
}

/// Place of the backups of other machines, to which this one lends room.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LendPlace {
    /// Address at which guests are answered, once there is a loan. Without it nothing can be lent.
    pub listen: Option<SocketAddr>,
    /// Folder of their objects; one in the agent's own folder without it.
    pub folder: Option<PathBuf>,
}

impl LendPlace {
    /// Checks the values; words where one cannot be.
    fn check(&self) -> Result<(), String> {
        if let Some(listen) = self.listen.filter(|listen| (1..1024).contains(&listen.port())) {
            return Err(format!("lend.listen: {listen} has a port below 1024, and the lender has no right to those"));
        }
        match self.folder.as_ref().filter(|folder| !folder.is_absolute() || folder.parent().is_none()) {
            Some(folder) => Err(format!("lend.folder: `{}` is no path of a folder from the root", folder.display())),
            None => Ok(()),
        }
    }

    /// The usual one: every address of the machine. A socket of IPv6 takes IPv4 too.
    fn usual() -> LendPlace {
        let all = match Path::new(IPV6).exists() {
            true => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            false => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        };
        LendPlace { listen: Some(SocketAddr::new(all, LEND_PORT)), folder: None }
    }
}

/// Ports at which the door serves domains: those of HTTP, where an address names none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DoorPorts {
    /// Without TLS.
    pub http: u16,
    /// With TLS.
    pub https: u16,
}

impl Default for DoorPorts {
    fn default() -> DoorPorts {
        DoorPorts { http: 80, https: 443 }
    }
}

/// People, and names under which they ask.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct People {
    /// Wallet of the first owner; it counts as long as nobody is an owner.
    pub owner: Option<Address>,
    /// Names under which the agent is asked through the door, beside those of loopback.
    pub hosts: Vec<String>,
    /// Chain that is asked about contract wallets.
    pub chain: Option<Chain>,
}

/// A chain that knows contract wallets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chain {
    /// Its number.
    pub id: u64,
    /// Address of the JSON-RPC of a node.
    pub rpc: String,
}

/// The file of settings that people write, `xnode.toml` in the agent's folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SettingsFile {
    /// Wallet of the first owner.
    pub owner: Option<Address>,
    /// Address of the face.
    pub face: Option<SocketAddr>,
    /// Names under which the agent is asked through the door.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// Chain that is asked about contract wallets.
    pub chain: Option<Chain>,
    /// Place of the backups of other machines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lend: Option<LendPlace>,
}

impl SettingsFile {
    /// Checks the values; words where one cannot be.
    fn check(&self) -> Result<(), String> {
        if let Some(face) = self.face.filter(|face| !face.ip().is_loopback()) {
            return Err(format!("face: {face} is not on loopback; the door carries the face to the outside, with TLS"));
        }
        if self.hosts.len() > HOSTS_MAX {
            return Err(format!("hosts: there are {}, and at most {HOSTS_MAX} are taken", self.hosts.len()));
        }
        let odd = self.hosts.iter().find(|host| Names::new([host.to_string()]).kind(host).is_none());
        if let Some(host) = odd {
            return Err(format!("hosts: `{host}` is no name of a host, such as xnode.example.org"));
        }
        self.lend.as_ref().map_or(Ok(()), LendPlace::check)?;
        let rpc = self.chain.as_ref().map(|chain| (&chain.rpc, reqwest::Url::parse(&chain.rpc)));
        match rpc {
            Some((_, Ok(url))) if matches!(url.scheme(), "http" | "https") => Ok(()),
            Some((rpc, _)) => Err(format!("chain.rpc: `{rpc}` is no address, such as https://rpc.example.org")),
            None => Ok(()),
        }
    }

    /// The file's text, with a word on each setting.
    fn to_toml(&self) -> String {
        let quoted = |text: &str| toml::Value::from(text).to_string();
        let mut text = String::from(
            "# Settings of this Xnode: written once by `openmesh xnode init`, edited by people, read when the agent starts.\n",
        );
        if let Some(owner) = &self.owner {
            text += &format!(
                "\n# Wallet of the first owner. It counts as long as nobody is an owner.\nowner = \"{owner}\"\n"
            );
        }
        if let Some(face) = &self.face {
            text += &format!("\n# Address at which people ask, on loopback.\nface = \"{face}\"\n");
        }
        if !self.hosts.is_empty() {
            let hosts: Vec<String> = self.hosts.iter().map(|host| quoted(host)).collect();
            text += &format!("\n# Names under which the door leads here.\nhosts = [{}]\n", hosts.join(", "));
        }
        if let Some(chain) = &self.chain {
            let (id, rpc) = (chain.id, quoted(&chain.rpc));
            text += &format!(
                "\n# Chain that is asked about contract wallets (ERC-1271).\n[chain]\nid = {id}\nrpc = {rpc}\n"
            );
        }
        if let Some(lend) = &self.lend {
            text += "\n# Place of the backups of other machines, to which this one lends room.\n[lend]\n";
            if let Some(listen) = &lend.listen {
                text += &format!("listen = \"{listen}\"\n");
            }
            if let Some(folder) = &lend.folder {
                text += &format!("folder = {}\n", quoted(&folder.display().to_string()));
            }
        }
        text
    }
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
            run: Settings::usual_run(&name),
            face: (name.as_str() == DEFAULT_NAME).then_some(FACE),
            lend: if name.as_str() == DEFAULT_NAME { LendPlace::usual() } else { LendPlace::default() },
            name,
            programs,
            runc: None,
            kitchen: kitchen(),
            ids: PathBuf::from(STATE).join("ids.json"),
            people: People::default(),
            pages: Pages::default(),
            subnet: None,
            door_ports: DoorPorts::default(),
            serves: None,
            manager: None,
            document: None,
        })
    }

    /// Usual folder of what does not outlive the machine's run.
    pub(crate) fn usual_run(name: &Name) -> PathBuf {
        PathBuf::from(RUN).join(name.as_str())
    }

    /// A document as this agent places it: in the agent's own network where it names none.
    pub(crate) fn placed(&self, document: &Document) -> Document {
        let mut placed = document.clone();
        if let Some(own) = self.subnet.filter(|_| placed.machine.subnet == SUBNET) {
            placed.machine.subnet = own;
        }
        placed
    }

    /// The socket at which the agent answers.
    pub fn socket(&self) -> PathBuf {
        self.run.join("agent.socket")
    }

    /// File with the address at which the face answers, while it does.
    pub fn face_file(&self) -> PathBuf {
        self.run.join("face")
    }

    /// Folder of members, sessions, keys and the audit log.
    pub fn access_folder(&self) -> PathBuf {
        self.state.join("access")
    }

    /// The file of settings that people write.
    pub fn file(&self) -> PathBuf {
        Settings::file_in(&self.state)
    }

    /// The file of settings in the state folder of an agent.
    pub(crate) fn file_in(state: &Path) -> PathBuf {
        state.join("xnode.toml")
    }

    /// The file in the state folder of an agent that it holds locked as long as it lives.
    pub(crate) fn lock_in(state: &Path) -> PathBuf {
        state.join("agent.lock")
    }

    /// These settings, with those of the file in their places.
    ///
    /// # Errors
    /// The file cannot be read, or a value in it cannot be.
    pub fn with_file(self) -> Result<Settings, AgentError> {
        let Some(file) = self.read_file()? else { return Ok(self) };
        let mut settings = self;
        settings.face = file.face.or(settings.face);
        settings.people.owner = file.owner.or(settings.people.owner);
        settings.people.hosts.extend(file.hosts);
        settings.people.chain = file.chain.or(settings.people.chain);
        if let Some(lend) = file.lend {
            settings.lend.listen = lend.listen.or(settings.lend.listen);
            settings.lend.folder = lend.folder.or(settings.lend.folder);
        }
        Ok(settings)
    }

    /// Owners that there are, or the one that these settings name where there is none.
    ///
    /// # Errors
    /// The files of access cannot be read.
    pub fn owners(&self) -> Result<Vec<Address>, AgentError> {
        let owners = openmesh_access::owners(&self.access_folder())?;
        Ok(if owners.is_empty() { self.people.owner.into_iter().collect() } else { owners })
    }

    fn read_file(&self) -> Result<Option<SettingsFile>, AgentError> {
        let path = self.file();
        let text = match fs::read_to_string(&path) {
            Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(None),
            text => text.map_err(AgentError::file("reading", &path))?,
        };
        let file = toml::from_str::<SettingsFile>(&text).map_err(|cause| cause.to_string());
        let file = file.and_then(|file| file.check().map(|()| file));
        file.map(Some).map_err(|words| AgentError::Settings { path, words })
    }

    /// Writes the file of settings, once. Returns false where it is there with these values.
    ///
    /// # Errors
    /// Another owner is named, the file has other values, a value cannot be, or the file cannot be written.
    pub fn init(&self, wish: &SettingsFile) -> Result<bool, AgentError> {
        let path = self.file();
        wish.check().map_err(|words| AgentError::Settings { path: path.clone(), words })?;
        let folder = self.access_folder();
        let owners = openmesh_access::owners(&folder)?;
        if let Some(owner) = owners.first().filter(|_| wish.owner.is_some_and(|owner| !owners.contains(&owner))) {
            return Err(AgentError::Owned { path: folder, owner: *owner });
        }
        match self.read_file()? {
            Some(file) if file == *wish => return Ok(false),
            Some(SettingsFile { owner: Some(owner), .. }) if wish.owner != Some(owner) => {
                return Err(AgentError::Owned { path, owner });
            }
            Some(_) => {
                let words = "it is there with other values, and is not written over; edit it by hand".into();
                return Err(AgentError::Settings { path, words });
            }
            None => {}
        }
        marks::replace(&path, wish.to_toml().as_bytes()).map_err(AgentError::file("writing", &path))?;
        Ok(true)
    }
}

/// The release of this machine, and its own sources.
fn kitchen() -> Kitchen {
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let suite = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    let sources = SOURCES.into_iter().find(|path| std::path::Path::new(path).exists()).unwrap_or(SOURCES[1]);
    Kitchen { suite: suite.unwrap_or(SUITE).trim_matches('"').to_string(), mirror: Mirror::Sources(sources.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(folder: &std::path::Path) -> Settings {
        let usual = Settings::usual("test".parse().unwrap()).unwrap();
        Settings { state: folder.into(), ..usual }
    }

    fn wish(owner: u8) -> SettingsFile {
        SettingsFile { owner: Some(Address([owner; 20])), ..SettingsFile::default() }
    }

    #[test]
    fn settings_are_written_once_and_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path());
        let whole = SettingsFile {
            face: Some("127.0.0.1:0".parse().unwrap()),
            hosts: vec!["xnode.example.org".into(), "box.local".into()],
            chain: Some(Chain { id: 5, rpc: "https://rpc.example.org/a\"b".into() }),
            lend: Some(LendPlace { listen: Some("[::]:7791".parse().unwrap()), folder: Some("/mnt/lent".into()) }),
            ..wish(1)
        };
        assert!(settings.init(&whole).unwrap());
        assert!(!settings.init(&whole).unwrap(), "the same again changes nothing");
        assert!(matches!(settings.init(&wish(2)), Err(AgentError::Owned { .. })));
        assert!(matches!(settings.init(&wish(1)), Err(AgentError::Settings { .. })));
        let read = settings.clone().with_file().unwrap();
        assert_eq!((read.face, read.people.owner), (whole.face, whole.owner));
        assert_eq!((read.people.hosts, read.people.chain, Some(read.lend)), (whole.hosts, whole.chain, whole.lend));
        fs::write(settings.file(), "owner = \"0x12\"\n").unwrap();
        let error = settings.clone().with_file().unwrap_err().to_string();
        assert!(error.contains("xnode.toml") && error.contains("40 hexadecimal digits"), "{error}");
        fs::write(settings.file(), "ownr = \"x\"\n").unwrap();
        assert!(settings.with_file().unwrap_err().to_string().contains("ownr"));
    }

    #[test]
    fn values_that_cannot_be_are_refused_before_anything_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path());
        let face = |face: &str| SettingsFile { face: Some(face.parse().unwrap()), ..wish(1) };
        let host = |host: &str| SettingsFile { hosts: vec![host.into()], ..wish(1) };
        let rpc = |rpc: &str| SettingsFile { chain: Some(Chain { id: 1, rpc: rpc.into() }), ..wish(1) };
        let lend = |listen: &str, folder: &str| {
            let place = LendPlace { listen: Some(listen.parse().unwrap()), folder: Some(folder.into()) };
            SettingsFile { lend: Some(place), ..wish(1) }
        };
        for wrong in [
            face("0.0.0.0:7780"),
            face("[2001:db8::1]:80"),
            host("https://a.b"),
            host("a b"),
            host(""),
            rpc("ftp://a"),
            rpc("x"),
            lend("0.0.0.0:443", "/mnt/lent"),
            lend("0.0.0.0:7790", "lent"),
            lend("0.0.0.0:7790", "/"),
        ] {
            assert!(matches!(settings.init(&wrong), Err(AgentError::Settings { .. })), "{wrong:?}");
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_document_without_a_network_is_placed_in_that_of_the_agent() {
        let own: Subnet = "172.20.16.0/20".parse().unwrap();
        let settings = Settings { subnet: Some(own), ..settings(std::path::Path::new("/nowhere")) };
        let plain = Document::parse("version: 1\n").unwrap();
        assert_eq!(plain.machine.subnet, SUBNET);
        assert_eq!(settings.placed(&plain).machine.subnet, own);
        let named = Document::parse("version: 1\nmachine: {subnet: 10.1.2.0/24}\n").unwrap();
        assert_eq!(settings.placed(&named), named);
        let without = Settings { subnet: None, ..settings };
        assert_eq!(without.placed(&plain), plain);
    }

    #[test]
    fn only_the_default_agent_has_a_face_and_lends_without_being_told() {
        let [usual, second] = ["default", "second"].map(|name| Settings::usual(name.parse().unwrap()).unwrap());
        assert!(usual.face.is_some_and(|face| face.ip().is_loopback()) && usual.lend.listen.is_some());
        assert_eq!((second.face, second.lend), (None, LendPlace::default()));
    }
}
