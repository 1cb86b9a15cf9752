//! Generations: a document with every choice made.
//!
//! The *portable* part is the same for the same document and catalogue on every machine, and has a hash. The *placement* part is this machine's:
//! host ports, addresses, user ids, lines of data, versions of secrets. Both are plain values with one canonical byte form, and neither plan nor
//! executor chooses anything beside them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::Ipv4Addr;

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_primitives::{Digest, Timestamp, canonical, sha256};

use crate::document::{
    Application, Content, Gpus, HostAddress, ImageReference, Name, Port, Protocol, Registry, Reserve, Size, Store,
    Subnet, Wish,
};
use crate::gpu::PciAddress;
use crate::text::{Out, Shape};

/// User ids of one application on the host.
pub const IDS_OF_APPLICATION: u32 = 65_536;

/// Form of [`Tail`].
const TAIL_VERSION: u8 = 1;

/// A document with every choice made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generation {
    /// Number, from 1.
    pub number: u64,
    /// Number of the generation that it follows; 0 for the first.
    pub parent: u64,
    /// Its maker, moment and reason.
    pub cause: Cause,
    /// The part that is the same everywhere.
    pub portable: Portable,
    /// The part of this machine.
    pub placement: Placement,
}

/// GPUs by application: those that it asks for, and those that its instances have.
type Tail = BTreeMap<Name, (Option<Gpus>, Vec<BTreeSet<PciAddress>>)>;

/// The canonical bytes are those of the fields in their order, and behind them a [`Tail`] where an application has or asks for GPUs. Without one they are, to
/// the last byte, those of versions that knew no GPUs, so that generations of before are read and no revision changes.
impl BorshSerialize for Generation {
    fn serialize<W: borsh::io::Write>(&self, writer: &mut W) -> borsh::io::Result<()> {
        (self.number, self.parent, &self.cause, &self.portable, &self.placement).serialize(writer)?;
        let tail = self.tail();
        if tail.is_empty() { Ok(()) } else { (TAIL_VERSION, tail).serialize(writer) }
    }
}

impl BorshDeserialize for Generation {
    fn deserialize_reader<R: borsh::io::Read>(reader: &mut R) -> borsh::io::Result<Generation> {
        let parts = <(u64, u64, Cause, Portable, Placement)>::deserialize_reader(reader)?;
        let (number, parent, cause, portable, placement) = parts;
        let mut generation = Generation { number, parent, cause, portable, placement };
        let mut version = [0];
        if reader.read(&mut version)? == 0 {
            return Ok(generation);
        }
        let wrong = |words: &str| borsh::io::Error::new(borsh::io::ErrorKind::InvalidData, words);
        if version != [TAIL_VERSION] {
            return Err(wrong("something unknown lies behind the generation"));
        }
        let tail = Tail::deserialize_reader(reader)?;
        for (name, (wish, given)) in &tail {
            let resolved = generation.portable.applications.get_mut(name);
            let resolved = resolved.ok_or_else(|| wrong("GPUs of an application that is not there"))?;
            let placed = generation.placement.applications.get_mut(name);
            let placed = placed.ok_or_else(|| wrong("GPUs of an application that has no place"))?;
            resolved.application.gpus.clone_from(wish);
            placed.gpus.clone_from(given);
        }
        // One value has one form.
        if tail.is_empty() || generation.tail() != tail {
            return Err(wrong("an entry without GPUs"));
        }
        Ok(generation)
    }
}

/// Maker, moment and reason of a generation: for the history, in no hash.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Cause {
    /// Wallet, key or part of the agent.
    pub by: String,
    /// A line for people.
    pub reason: String,
    /// Its moment.
    pub at: Timestamp,
}

/// The part of a generation that is the same everywhere.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Portable {
    /// Applications.
    pub applications: BTreeMap<Name, Resolved>,
    /// Sign-ins to registries.
    pub registries: Vec<Registry>,
    /// Places for backups.
    pub backups: BTreeMap<Name, Store>,
}

/// An application with its image, template and limits chosen.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Resolved {
    /// Its image.
    pub image: ResolvedImage,
    /// The application without its origin, with the template filled in and every limit there.
    pub application: Application,
}

/// An image with its digest.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ResolvedImage {
    /// Digest of its manifest or index.
    pub digest: Digest,
    /// Bytes to fetch.
    pub packed: Size,
    /// Bytes on disk.
    pub unpacked: Size,
    /// Its source.
    pub source: ImageSource,
}

/// Source of an image.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum ImageSource {
    /// A registry.
    Registry(ImageReference),
    /// The recipe with this hash.
    Recipe(Digest),
}

impl fmt::Display for ImageSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ImageSource::Registry(reference) => match &reference.tag {
                Some(tag) => write!(f, "{}/{}:{tag}", reference.registry, reference.repository),
                None => write!(f, "{}/{}", reference.registry, reference.repository),
            },
            ImageSource::Recipe(hash) => write!(f, "recipe {}", short(hash)),
        }
    }
}

/// The part of a generation that is this machine's.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Placement {
    /// Name of the machine.
    pub node: Name,
    /// Addresses of the applications.
    pub subnet: Subnet,
    /// Parts of the machine that are kept from applications.
    pub reserve: Reserve,
    /// Applications.
    pub applications: BTreeMap<Name, Placed>,
    /// Volumes without an application, by id.
    pub retired: BTreeMap<VolumeId, Retired>,
    /// Things that were given back, and are not given to others for an hour.
    pub freed: BTreeMap<Resource, Freed>,
}

/// Things of the machine that one owner has at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub enum Resource {
    /// A port of the host.
    Port(u16, Protocol),
    /// An address of the subnet.
    Address(Ipv4Addr),
    /// First of [`IDS_OF_APPLICATION`] user ids.
    Ids(u32),
}

/// A thing that was given back.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Freed {
    /// Application that had it, which gets it again.
    pub owner: Name,
    /// Moment at which it was given back.
    pub at: Timestamp,
}

/// An application on this machine.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Placed {
    /// First of its user ids on the host.
    pub first_id: u32,
    /// Address of each instance.
    pub addresses: Vec<Ipv4Addr>,
    /// Published ports by name.
    pub ports: BTreeMap<Name, HostPort>,
    /// Volumes by name.
    pub volumes: BTreeMap<Name, PlacedVolume>,
    /// Versions of its secrets.
    pub secrets: BTreeMap<Name, u32>,
    /// Essence of what last ran on the lines in use; `None` before anything ran.
    pub ran: Option<Digest>,
    /// GPUs of each instance; none where it asks for none, or is not to run.
    #[borsh(skip)]
    pub gpus: Vec<BTreeSet<PciAddress>>,
}

/// A port of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct HostPort {
    /// Address.
    pub address: HostAddress,
    /// Number.
    pub port: u16,
    /// Protocol.
    pub protocol: Protocol,
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = std::net::SocketAddr::new(self.address.0, self.port);
        write!(f, "{address}/{}", self.protocol)
    }
}

/// Id of a volume: 32 hexadecimal digits, in its marker file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct VolumeId(String);

impl VolumeId {
    /// The id of a volume that a generation makes. It follows from its arguments, so that making it again gives the same one.
    pub fn of(node: &Name, application: &Name, volume: &Name, born: u64) -> VolumeId {
        let hash = sha256(&[b"openmesh volume 1", &canonical::encode(&(node, application, volume, born))]);
        VolumeId(hash.to_string()[..32].to_string())
    }
}

impl fmt::Display for VolumeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A volume on this machine.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct PlacedVolume {
    /// Its id.
    pub id: VolumeId,
    /// Number of the first generation with it that was committed, or could be: from then on it is there or missing, and never made anew.
    pub born: u64,
    /// Line that the application uses.
    pub line: u32,
    /// The line is a clone of the one in use at the switch; else it is there already, or the first.
    pub clone: bool,
    /// Highest number that a line was given.
    pub last_line: u32,
}

/// Fate of the data of an application that is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub enum Disposal {
    /// It stays until a person says otherwise.
    Keep,
    /// It goes after a day, if a backup was made since.
    Backup,
    /// It goes after a day.
    Wipe,
}

/// A volume without an application.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Retired {
    /// Application that had it.
    pub application: Name,
    /// Its name there.
    pub name: Name,
    /// The volume.
    pub volume: PlacedVolume,
    /// Its fate.
    pub disposal: Disposal,
    /// Moment of the removal.
    pub since: Timestamp,
}

/// Version of an application as an instance carries it in its name: 12 hexadecimal digits. It changes with whatever an instance sees, and with
/// nothing else.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct Revision(String);

/// A text that is no id or revision.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {form}")]
pub struct BadText {
    /// The text.
    pub text: String,
    /// The form that is expected.
    pub form: &'static str,
}

fn hexadecimal(text: &str, digits: usize, form: &'static str) -> Result<String, BadText> {
    let fits = text.len() == digits && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if fits { Ok(text.to_string()) } else { Err(BadText { text: text.to_string(), form }) }
}

impl std::str::FromStr for Revision {
    type Err = BadText;

    fn from_str(text: &str) -> Result<Revision, BadText> {
        hexadecimal(text, 12, "a revision of 12 hexadecimal digits").map(Revision)
    }
}

impl std::str::FromStr for VolumeId {
    type Err = BadText;

    fn from_str(text: &str) -> Result<VolumeId, BadText> {
        hexadecimal(text, 32, "an id of a volume, 32 hexadecimal digits").map(VolumeId)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The application without whatever an instance does not see: doors, tests, times, backups, jobs, order and number of instances.
fn seen(application: &Application) -> Application {
    let ports = application.ports.iter().map(|(name, port)| (name.clone(), Port { publish: None, ..port.clone() }));
    let default = Application::absent().unwrap_or_else(|| application.clone());
    let volumes = application.volumes.iter().map(|(name, volume)| {
        let mut volume = volume.clone();
        // A volume grows under a running instance, and its backups are none of its business.
        (volume.size, volume.backup) = (Size(0), true);
        (name.clone(), volume)
    });
    Application {
        description: None,
        volumes: volumes.collect(),
        ports: ports.collect(),
        domains: BTreeMap::new(),
        after: BTreeSet::new(),
        health: None,
        backup: None,
        jobs: BTreeMap::new(),
        switch: default.switch,
        instances: 1,
        wish: Wish::Running,
        ..application.clone()
    }
}

/// Hash of all that an instance sees, but for its lines of data.
pub fn essence(resolved: &Resolved, placed: &Placed) -> Digest {
    let parts = (resolved.image.digest, seen(&resolved.application), placed.first_id, &placed.secrets);
    let bytes = canonical::encode(&parts);
    match &resolved.application.gpus {
        None => sha256(&[b"openmesh essence 1", &bytes]),
        Some(wish) => sha256(&[b"openmesh essence 1", &bytes, &canonical::encode(&(wish, &placed.gpus))]),
    }
}

/// The revision of an application: its essence and its lines.
pub fn revision(resolved: &Resolved, placed: &Placed) -> Revision {
    let lines: BTreeMap<&VolumeId, u32> = placed.volumes.values().map(|volume| (&volume.id, volume.line)).collect();
    let essence = essence(resolved, placed);
    let hash = sha256(&[b"openmesh revision 1", &canonical::encode(&(essence, lines))]);
    Revision(short(&hash))
}

/// First 12 hexadecimal digits of a hash, for people and names.
pub(crate) fn short(hash: &Digest) -> String {
    hash.to_string()[..12].to_string()
}

/// MAC address of an address: local, and the same whenever the address is.
pub fn mac(address: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = address.octets();
    [0x02, 0x4f, a, b, c, d]
}

impl Portable {
    /// Secrets that the machine itself uses, each with its use in words: sign-ins to registries, places for backups.
    pub fn machine_secrets(&self) -> impl Iterator<Item = (String, &Name)> {
        fn of(content: &Content) -> Option<&Name> {
            match content {
                Content::Secret(name) => Some(name),
                Content::Text(_) => None,
            }
        }
        let registries = self
            .registries
            .iter()
            .filter_map(|registry| Some((format!("the registry {}", registry.host), of(&registry.password)?)));
        let stores = self.backups.iter().flat_map(move |(name, store)| {
            let used = [&store.key, &store.secret].into_iter().flatten().filter_map(of);
            used.map(move |secret| (format!("the place for backups {name}"), secret))
        });
        registries.chain(stores)
    }

    /// SHA-256 of the canonical bytes, with the GPUs that applications ask for behind them where there are some.
    pub fn hash(&self) -> Digest {
        let all = self.applications.iter();
        let wishes: BTreeMap<&Name, &Gpus> =
            all.filter_map(|(name, resolved)| Some((name, resolved.application.gpus.as_ref()?))).collect();
        let bytes = canonical::encode(self);
        match wishes.is_empty() {
            true => sha256(&[b"openmesh portable 1", &bytes]),
            false => sha256(&[b"openmesh portable 1", &bytes, &canonical::encode(&wishes)]),
        }
    }
}

impl Generation {
    fn tail(&self) -> Tail {
        let of = |(name, resolved): (&Name, &Resolved)| {
            let wish = resolved.application.gpus.clone();
            let given = self.placement.applications.get(name).map(|placed| placed.gpus.clone()).unwrap_or_default();
            (wish.is_some() || !given.is_empty()).then(|| (name.clone(), (wish, given)))
        };
        self.portable.applications.iter().filter_map(of).collect()
    }

    /// Revision of an application; `None` where the generation does not have it.
    pub fn revision(&self, name: &Name) -> Option<Revision> {
        let resolved = self.portable.applications.get(name)?;
        Some(revision(resolved, self.placement.applications.get(name)?))
    }

    /// Both parts as they are printed and compared. The cause and the numbers are not in it.
    pub fn write(&self) -> Out {
        let applications = self.portable.applications.iter().map(|(name, resolved)| (name.as_str(), resolved.write()));
        let placed = self.placement.applications.iter().map(|(name, placed)| (name.as_str(), placed.write()));
        let retired = self.placement.retired.iter().map(|(id, retired)| {
            let line = format!("{}/{}, {:?}", retired.application, retired.name, retired.disposal).to_lowercase();
            (id.to_string(), Out::text(line))
        });
        let placement = Out::map([
            ("node", Out::text(self.placement.node.as_str())),
            ("subnet", self.placement.subnet.write()),
            ("reserve", self.placement.reserve.write()),
            ("applications", Out::map(placed)),
            ("retired", Out::map(retired)),
        ]);
        let portable = Out::map([
            ("applications", Out::map(applications)),
            ("registries", self.portable.registries.write()),
            ("backups", self.portable.backups.write()),
        ]);
        Out::map([("portable", portable), ("placement", placement)])
    }

    /// The generation as text, for people and for tests.
    pub fn to_text(&self) -> String {
        let head = format!(
            "# Generation {} after {}, portable {}\n# {}: {}\n",
            self.number,
            self.parent,
            self.portable.hash(),
            self.cause.by,
            self.cause.reason
        );
        head + &self.write().to_yaml()
    }
}

impl Resolved {
    fn write(&self) -> Out {
        let image =
            Out::text(format!("{} {}", self.image.source, crate::document::names::print_digest(&self.image.digest)));
        let Out::Map(mut pairs) = self.application.write() else { return image };
        pairs.insert(0, ("image".to_string(), image));
        Out::Map(pairs)
    }
}

impl Placed {
    fn write(&self) -> Out {
        let texts =
            |items: Vec<(String, String)>| Out::map(items.into_iter().map(|(key, text)| (key, Out::text(text))));
        let ports = self.ports.iter().map(|(name, port)| (name.to_string(), port.to_string())).collect();
        let volumes =
            self.volumes.iter().map(|(name, volume)| (name.to_string(), format!("{} line {}", volume.id, volume.line)));
        let secrets =
            self.secrets.iter().map(|(name, version)| (name.to_string(), format!("version {version}"))).collect();
        let mut parts = vec![
            ("ids", Out::text(format!("{}+{IDS_OF_APPLICATION}", self.first_id))),
            ("addresses", Out::List(self.addresses.iter().map(|address| Out::text(address.to_string())).collect())),
            ("ports", texts(ports)),
            ("volumes", texts(volumes.collect())),
            ("secrets", texts(secrets)),
        ];
        if !self.gpus.is_empty() {
            let words = |gpus: &BTreeSet<PciAddress>| {
                Out::text(gpus.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
            };
            parts.push(("gpus", Out::List(self.gpus.iter().map(words).collect())));
        }
        Out::map(parts)
    }
}
