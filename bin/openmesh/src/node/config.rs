//! A node's configuration: `node.toml` in its home, over what `run.toml` says where `openmesh up` wrote one.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use openmesh_ledger::Genesis;
use openmesh_primitives::{Digest, Height, ValidatorKey};
use openmesh_storage::StoreConfig;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

pub use super::operator::{Alerts, MeantRole, Webhook};

/// `node.toml`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeConfig {
    /// Address of the API and Studio; port 0 takes any free one.
    pub api: SocketAddr,
    /// Names of the API in a browser (`studio.example`, `10.0.0.7:8420`), for signing in; its own address where none are
    /// given. Behind a proxy, the proxy's name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub public_hosts: Vec<String>,
    /// Hash of the genesis that this home is for. Where the home has no genesis.json, it is fetched from peers and has to have this hash;
    /// where it has one, that has to have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub genesis: Option<Digest>,
    /// Role that the node is meant to have; an archive keeps every block.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<MeantRole>,
    /// The face of the Xnode's agent on this machine, to which `/v1/xnode` is passed on; `{}` for nobody's.
    #[serde(default)]
    pub xnode: Xnode,
    /// Consensus among validators.
    pub consensus: Consensus,
    /// Gossip of transactions and exchange of content.
    pub network: Network,
    /// Collecting data.
    #[serde(default)]
    pub collect: Collect,
    /// Limits of what may be asked of this node.
    #[serde(default)]
    pub limits: Limits,
    /// The ledger's store.
    #[serde(default)]
    pub storage: Storage,
    /// Joining a running network, and letting others join.
    #[serde(default)]
    pub sync: Sync,
    /// Everything that wakes the operator.
    #[serde(default)]
    pub alerts: Alerts,
    /// Drills: deliberate faults, for showing that the network withstands them.
    #[serde(default)]
    pub drill: Drill,
}

/// `[consensus]`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consensus {
    /// Address to listen on.
    pub listen: SocketAddr,
    /// Multiaddresses of the other validators.
    pub peers: Vec<String>,
    /// Longest time between two blocks where there is no work, in milliseconds.
    #[serde(default = "idle_block_ms")]
    pub idle_block_ms: u64,
}

fn idle_block_ms() -> u64 {
    1_000
}

/// `[network]`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// Multiaddresses to listen on.
    pub listen: Vec<String>,
    /// Multiaddresses of peers.
    pub peers: Vec<String>,
}

/// `[collect]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Collect {
    /// Reach all venues through this address (a server of simulated or replayed venues) instead of their own.
    pub gateway: Option<String>,
    /// JSON-RPC of an Ethereum node; without it, chain sources are not collected here.
    pub ethereum: Option<String>,
    /// The chain served there is a recording with missing numbers.
    #[serde(default)]
    pub ethereum_sparse: bool,
    /// Sources that are collected whether or not this validator is assigned to them: `"all"`, or a list of ids. Live data of
    /// others is not in the API of this node.
    #[serde(default)]
    pub keep_live: KeepLive,
}

/// `keep_live`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "\"all\", or a list of ids of sources, is expected")]
pub enum KeepLive {
    /// Every registered source.
    All(Every),
    /// Those with these ids.
    Only(BTreeSet<String>),
}

/// The word `all`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Every {
    /// `all`.
    All,
}

impl Default for KeepLive {
    fn default() -> KeepLive {
        KeepLive::Only(BTreeSet::new())
    }
}

/// `[limits]`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Disk for content, in bytes: chunks that the network agreed on.
    pub content_bytes_max: u64,
    /// Disk for raw frames as this site received them, in bytes; the oldest go where there is no room.
    pub raw_bytes_max: u64,
    /// Longest query, in milliseconds.
    pub query_ms_max: u64,
    /// Memory of all queries together, in bytes.
    pub query_bytes_max: u64,
    /// Rows of one result.
    pub query_rows_max: u32,
    /// Queries at once.
    pub queries_max: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            content_bytes_max: 20 << 30,
            raw_bytes_max: 10 << 30,
            query_ms_max: 30_000,
            query_bytes_max: 512 << 20,
            query_rows_max: 10_000,
            queries_max: 4,
        }
    }
}

/// Epochs for which blocks are kept where nothing else is said: a fortnight of hours, twice the trust period. So the header of any block
/// that a person may still trust is here, and what a node that was away for a week needs.
const RETAIN_EPOCHS: u64 = 336;

/// `[storage]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Storage {
    /// Epochs (an hour of block time each, where the genesis says nothing else) for which blocks, receipts, their indices and
    /// facts are kept; 336, two weeks, where nothing is said, and for ever with 0. The state, what light clients need and the tables stay in any
    /// case.
    pub retain_epochs: Option<u64>,
    /// Keeps every block and fact for ever, and takes them all when it joins, as long as a connected peer holds the next one.
    pub archive: bool,
    /// Lets an archive that has blocks go on from a snapshot, with a gap, where no peer holds its next block. Its file then stays
    /// beside the new one, in `until-HEIGHT`.
    pub archive_may_skip: bool,
    /// Heights before the last for which proofs and chunks of the state can be made; their blocks stay in any case. A full block
    /// adds some megabytes.
    pub proof_heights: u64,
    /// Hours of rows that each table keeps, back from its own newest hour; without it for ever.
    pub retain_hours: Option<u32>,
}

impl Default for Storage {
    fn default() -> Storage {
        Storage {
            retain_epochs: None,
            archive: false,
            archive_may_skip: false,
            proof_heights: StoreConfig::default().proof_heights,
            retain_hours: None,
        }
    }
}

impl Storage {
    /// Epochs for which blocks are kept; `None` for ever.
    pub fn kept_epochs(&self) -> Option<u64> {
        match (self.archive, self.retain_epochs) {
            (true, _) | (_, Some(0)) => None,
            (false, Some(epochs)) => Some(epochs),
            (false, None) => Some(RETAIN_EPOCHS),
        }
    }

    /// Refuses that an archive with blocks up to this height goes on from a snapshot, unless somebody has said that it may.
    ///
    /// # Errors
    /// Where it may not; with what to do.
    pub fn may_join_over(&self, height: Height) -> Result<(), Failure> {
        if !self.archive || self.archive_may_skip || height == 0 {
            return Ok(());
        }
        Err(Failure::new(format!(
            "this archive ends at height {height}, no connected peer holds the block after it, and a snapshot would leave a gap"
        ))
        .hint(
            "connect it to a node that has the blocks (network.peers in node.toml, an archive), or set storage.archive_may_skip = true: \
             then it goes on behind the gap, and what it has stays in a folder beside, data/ledger/until-HEIGHT",
        ))
    }

    /// A warning for a home that never said how long blocks are kept, while it has all of them: they are removed some day.
    pub fn removal_warning(&self, oldest_block: Height) -> Option<String> {
        (!self.archive && self.retain_epochs.is_none() && oldest_block == 1).then(|| {
            format!(
                "blocks older than {RETAIN_EPOCHS} epochs will be removed with their receipts, and none has been yet: node.toml does not \
                 say how long they are kept; storage.archive = true keeps all, storage.retain_epochs = {RETAIN_EPOCHS} silences this"
            )
        })
    }
}

/// `[sync]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sync {
    /// A block that is known from elsewhere, `HEIGHT:HASH`: a join by snapshot begins there instead of at the genesis' validators.
    pub trust: Option<String>,
    /// Longest age of a trusted block, hours.
    pub trust_period_hours: u64,
    /// Heights between two snapshots that others may join by.
    pub snapshot_interval_heights: u64,
}

impl Default for Sync {
    fn default() -> Sync {
        Sync {
            trust: None,
            // A week: in that time whoever signed for another chain is found, and struck from the set.
            trust_period_hours: 7 * 24,
            snapshot_interval_heights: openmesh_sync::SNAPSHOT_INTERVAL_HEIGHTS,
        }
    }
}

impl Sync {
    /// The trusted block: height and hash.
    ///
    /// # Errors
    /// Where `trust` is of another form.
    pub fn trusted(&self) -> Result<Option<(Height, Digest)>, Failure> {
        let Some(text) = &self.trust else { return Ok(None) };
        let parse = || {
            let (height, hash) = text.split_once(':')?;
            Some((height.parse().ok()?, hash.parse().ok()?))
        };
        parse().map(Some).ok_or_else(|| {
            Failure::usage(format!("node.toml: sync.trust = {text:?}: HEIGHT:HASH is expected"))
                .hint("the hash of a block is in GET /v1/blocks/HEIGHT of a node that you trust")
        })
    }
}

/// `[drill]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drill {
    /// Alter the prices of this stream (`kraken/BTC.USD/trades`) before attesting.
    pub alter: Option<String>,
    /// Flip a bit of each chunk of the state that is sent to a node that joins.
    #[serde(default)]
    pub spoil_snapshots: bool,
    /// Flip a bit of the genesis that is sent to whoever does not have it.
    #[serde(default)]
    pub spoil_genesis: bool,
    /// Tell those who join a time that is so many milliseconds ahead of this machine's clock.
    #[serde(default)]
    pub clock_ahead_ms: i64,
    /// Repeat what others commit to and attest, in place of what the collectors have.
    #[serde(default)]
    pub copy: bool,
}

/// The files of a node's home.
#[derive(Clone, Debug)]
pub struct Files {
    /// The home.
    pub home: PathBuf,
}

impl Files {
    /// The files of this home.
    pub fn of(home: &Path) -> Files {
        Files { home: home.to_path_buf() }
    }

    /// Configuration.
    pub fn config(&self) -> PathBuf {
        self.home.join("node.toml")
    }

    /// Settings that a start by `openmesh up` chose; a node that is started by hand has none.
    pub fn run(&self) -> PathBuf {
        self.home.join("run.toml")
    }

    /// Genesis.
    pub fn genesis(&self) -> PathBuf {
        self.home.join("genesis.json")
    }

    /// The validator's key: 64 hexadecimal digits.
    pub fn key(&self) -> PathBuf {
        self.home.join("validator.key")
    }

    /// A file or folder of the node's data.
    pub fn data(&self, what: &str) -> PathBuf {
        self.home.join("data").join(what)
    }

    /// Reads the validator's key. Fails where it is absent or is not 64 hexadecimal digits.
    pub fn read_key(&self) -> Result<ValidatorKey, Failure> {
        let path = self.key();
        let wrong = |what: String| {
            Failure::usage(format!("{}: {what}", path.display())).hint(
                "a home's key exists once: bring it back from where it was backed up; with another key it is another node (openmesh init --home DIR)",
            )
        };
        let text = std::fs::read_to_string(&path).map_err(|e| wrong(e.to_string()))?;
        let mut seed = [0; 32];
        hex::decode_to_slice(text.trim(), &mut seed)
            .map_err(|_| wrong("64 hexadecimal digits are expected".to_owned()))?;
        Ok(ValidatorKey::from_seed(seed))
    }

    /// The card of an operator, for a genesis that several make.
    pub fn card(&self) -> PathBuf {
        self.home.join("card.json")
    }

    /// Reads the genesis. Fails where it is absent or not readable.
    pub fn read_genesis(&self) -> Result<Genesis, Failure> {
        read_genesis(&self.genesis())
    }
}

/// Reads a genesis. Fails where it is absent or not readable; the file is named, and the place in it.
pub fn read_genesis(path: &Path) -> Result<Genesis, Failure> {
    let bytes = std::fs::read(path).map_err(|e| Failure::usage(format!("{}: {e}", path.display())))?;
    serde_json::from_slice(&bytes).map_err(|e| Failure::usage(format!("{}: {e}", path.display())))
}

/// The Xnode's agent beside a node.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Xnode {
    /// Address of its face.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub face: Option<SocketAddr>,
}

impl Default for Xnode {
    /// The usual face, whether an agent runs or not: it is asked when somebody asks for it.
    fn default() -> Xnode {
        Xnode { face: Some(openmesh_agent::FACE) }
    }
}

impl NodeConfig {
    /// Reads and checks the configuration of a home.
    ///
    /// # Errors
    /// Where there is none, or it is not understood; the file is named.
    pub fn read(files: &Files) -> Result<NodeConfig, Failure> {
        if !files.config().exists() {
            return Err(Failure::usage(format!("{} is missing", files.config().display()))
                .hint("a node's home holds node.toml; openmesh init --home DIR makes one, and openmesh up those of a network on this machine"));
        }
        merged(files, read_table(&files.run())?.unwrap_or_default())
    }
}

/// `node.toml` of a home over this content of `run.toml`.
///
/// # Errors
/// Where `node.toml` cannot be read or both together are not understood; the file is named.
pub fn merged(files: &Files, run: toml::Table) -> Result<NodeConfig, Failure> {
    let path = files.config();
    let mut table = run;
    let person = read_table(&path)?.unwrap_or_default();
    if says_how_long(&person) {
        // That `openmesh up` chose a validator as its archive is no answer to a person who says how long.
        table.get_mut("storage").and_then(toml::Value::as_table_mut).and_then(|storage| storage.remove("archive"));
    }
    merge(&mut table, person);
    let mut config: NodeConfig = table.try_into().map_err(|e| Failure::usage(format!("{}: {e}", path.display())))?;
    config.storage.archive |= config.role == Some(MeantRole::Archive);
    Ok(config)
}

/// Returns true where blocks are to be kept for a stated time.
fn says_how_long(table: &toml::Table) -> bool {
    let storage = table.get("storage").and_then(toml::Value::as_table);
    storage.is_some_and(|storage| storage.contains_key("retain_epochs"))
}

/// The content of a file; `None` where there is none.
///
/// # Errors
/// Where it cannot be read or is no TOML; it is named.
pub fn read_table(path: &Path) -> Result<Option<toml::Table>, Failure> {
    match std::fs::read_to_string(path) {
        Ok(text) => text.parse().map(Some).map_err(|e| Failure::usage(format!("{}: {e}", path.display()))),
        // A link to nowhere is there: somebody wanted a file.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && path.symlink_metadata().is_err() => Ok(None),
        Err(error) => Err(Failure::usage(format!("{}: {error}", path.display()))),
    }
}

/// Puts each value of `over` into `table`, table by table.
fn merge(table: &mut toml::Table, over: toml::Table) {
    for (key, value) in over {
        match (table.get_mut(&key), value) {
            (Some(toml::Value::Table(under)), toml::Value::Table(over)) => merge(under, over),
            (_, value) => drop(table.insert(key, value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_keys_are_refused() {
        let text = "api = \"127.0.0.1:0\"\n[consensus]\nlisten = \"127.0.0.1:0\"\npeers = []\n[network]\nlisten = []\npeers = []\n";
        assert!(toml::from_str::<NodeConfig>(text).is_ok());
        let error = toml::from_str::<NodeConfig>(&format!("{text}colour = 1\n")).unwrap_err();
        assert!(error.to_string().contains("colour"), "{error}");
    }

    #[test]
    fn an_archive_by_its_role_keeps_everything() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::of(dir.path());
        let rest = "api = \"127.0.0.1:1\"\nROLE[consensus]\nlisten = \"127.0.0.1:2\"\npeers = []\n[network]\nlisten = []\npeers = []\n";
        let read = |role: &str| {
            std::fs::write(files.config(), rest.replace("ROLE", role)).unwrap();
            NodeConfig::read(&files).unwrap()
        };
        assert!(read("role = \"archive\"\n").storage.kept_epochs().is_none());
        assert_eq!(read("role = \"full\"\n").storage.kept_epochs(), Some(RETAIN_EPOCHS));
        let config = read("");
        assert_eq!((config.role, config.genesis, &config.alerts), (None, None, &Alerts::default()));
        // As `openmesh up` writes it, values before tables.
        let again: NodeConfig = toml::from_str(&toml::to_string(&read("role = \"validator\"\n")).unwrap()).unwrap();
        assert_eq!(again.role, Some(MeantRole::Validator));
    }

    #[test]
    fn what_a_person_wrote_counts_before_what_a_start_chose() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::of(dir.path());
        std::fs::write(files.config(), "api = \"0.0.0.0:80\"\n[limits]\nquery_ms_max = 5\n").unwrap();
        let error = NodeConfig::read(&files).unwrap_err();
        assert!(error.message().contains("node.toml"), "{error:?}");
        std::fs::write(
            files.run(),
            "api = \"127.0.0.1:1\"\n[consensus]\nlisten = \"127.0.0.1:2\"\npeers = []\n[network]\nlisten = []\npeers = []\n\
             [limits]\nquery_ms_max = 7\nqueries_max = 3\n[storage]\nretain_epochs = 24\nretain_hours = 48\n",
        )
        .unwrap();
        let config = NodeConfig::read(&files).unwrap();
        assert_eq!((config.api.port(), config.consensus.listen.port()), (80, 2));
        assert_eq!((config.limits.query_ms_max, config.limits.queries_max), (5, 3));
        assert_eq!((config.storage.retain_epochs, config.storage.retain_hours), (Some(24), Some(48)));
    }

    #[test]
    fn blocks_are_kept_for_a_fortnight_unless_somebody_says_otherwise() {
        let kept = |text: &str| toml::from_str::<Storage>(text).unwrap().kept_epochs();
        assert_eq!((kept(""), kept("retain_epochs = 7")), (Some(RETAIN_EPOCHS), Some(7)));
        assert_eq!((kept("retain_epochs = 0"), kept("archive = true\nretain_epochs = 7")), (None, None));
        assert!(RETAIN_EPOCHS >= 2 * Sync::default().trust_period_hours, "what may be trusted is held, with room");
    }

    #[test]
    fn an_archive_is_not_skipped_over_unless_somebody_says_so() {
        let may = |text: &str, height| toml::from_str::<Storage>(text).unwrap().may_join_over(height);
        let refused = may("archive = true", 7).unwrap_err();
        assert!(refused.message().contains("ends at height 7"), "{refused:?}");
        assert!(format!("{refused:?}").contains("storage.archive_may_skip = true"), "{refused:?}");
        assert!(may("archive = true", 0).is_ok(), "a new one takes what there is");
        assert!(may("archive = true\narchive_may_skip = true", 7).is_ok() && may("", 7).is_ok());
    }

    #[test]
    fn a_home_that_never_said_how_long_is_warned_before_the_first_removal() {
        let warning = |text: &str, oldest| toml::from_str::<Storage>(text).unwrap().removal_warning(oldest);
        let warned = warning("", 1).unwrap();
        assert!(warned.contains("older than 336 epochs will be removed") && warned.contains("storage.archive = true"));
        assert_eq!((warning("", 0), warning("", 2)), (None, None), "nothing there yet; removed before");
        for said in ["archive = true", "retain_epochs = 336", "retain_epochs = 0"] {
            assert_eq!(warning(said, 1), None, "{said}");
        }
    }

    #[test]
    fn a_person_who_says_how_long_outweighs_the_archive_that_a_start_chose() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::of(dir.path());
        let rest = "api = \"127.0.0.1:1\"\n[consensus]\nlisten = \"127.0.0.1:2\"\npeers = []\n[network]\nlisten = []\npeers = []\n";
        std::fs::write(files.run(), format!("{rest}[storage]\narchive = true\n")).unwrap();
        let kept = |person: &str| {
            std::fs::write(files.config(), person).unwrap();
            NodeConfig::read(&files).unwrap().storage.kept_epochs()
        };
        assert_eq!((kept(""), kept("[storage]\nproof_heights = 7\n")), (None, None));
        assert_eq!(kept("[storage]\nretain_epochs = 7\n"), Some(7));
        assert_eq!(kept("[storage]\narchive = false\n"), Some(RETAIN_EPOCHS));
        assert_eq!(kept("[storage]\narchive = true\nretain_epochs = 7\n"), None);
    }

    #[test]
    fn a_trusted_block_is_a_height_and_a_hash() {
        let trusted = |text: &str| Sync { trust: Some(text.to_owned()), ..Sync::default() }.trusted();
        let hash = Digest([7; 32]);
        assert_eq!(trusted(&format!("12:{hash}")).unwrap(), Some((12, hash)));
        assert_eq!(Sync::default().trusted().unwrap(), None);
        for text in ["", "12", "12:", "x:00", "12:00"] {
            assert!(trusted(text).unwrap_err().message().contains("HEIGHT:HASH"), "{text}");
        }
    }

    #[test]
    fn sources_are_kept_live_by_a_word_or_by_their_ids() {
        let read = |text: &str| toml::from_str::<Collect>(text).map(|collect| collect.keep_live);
        assert_eq!(read("").unwrap(), KeepLive::Only(BTreeSet::new()));
        assert_eq!(read("keep_live = \"all\"").unwrap(), KeepLive::All(Every::All));
        assert_eq!(read("keep_live = [\"kraken\"]").unwrap(), KeepLive::Only(BTreeSet::from(["kraken".into()])));
        let error = read("keep_live = \"kraken\"").unwrap_err();
        assert!(error.to_string().contains("list of ids of sources"), "{error}");
        let written = toml::to_string(&Collect { keep_live: KeepLive::All(Every::All), ..Collect::default() }).unwrap();
        assert!(written.contains("keep_live = \"all\""), "{written}");
    }
}
