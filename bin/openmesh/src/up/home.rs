//! The folder of a local network: keys, genesis, and a home for each validator.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use openmesh_ledger::{Genesis, GenesisValidator, Origin, Params, SourceKind, SourceSpec};
use openmesh_primitives::{AccountKey, Amount, Timestamp, ValidatorKey, sha256};
use serde::{Deserialize, Serialize};

use super::Market;
use crate::cli::UpArgs;
use crate::failure::Failure;
use crate::node::config::{Collect, Consensus, Drill, Files, Limits, Network, NodeConfig};

/// Chain ids of local networks, one for each kind of market, so that a transaction of one never counts in another.
const CHAIN_IDS: [u64; 3] = [84_201, 84_202, 84_203];
/// Length of a market window, in milliseconds of the venue's clock.
const WINDOW_MS: u64 = 10_000;
/// What the faucet account of a local network holds.
const FAUCET: Amount = Amount::open(100_000_000);

/// What the venues' server prints when it is ready.
#[derive(Debug, Serialize, Deserialize)]
pub struct VenuesReady {
    /// Address.
    pub venues: SocketAddr,
    /// What it serves.
    pub catalogue: Vec<CatalogueEntry>,
    /// Recordings that are replayed, and those of the same venues that are not, as lines for people.
    pub sets: Vec<String>,
}

/// A source that the venues' server serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogueEntry {
    /// Id of the source.
    pub id: String,
    /// Exchange or chain.
    pub exchange: String,
    /// `market` or `chain`.
    pub kind: SourceKind,
    /// Instruments.
    pub symbols: Vec<String>,
    /// Feeds.
    pub feeds: Vec<String>,
}

/// A local network's folder.
pub struct Home {
    root: PathBuf,
    /// Held open: the lock goes with the process, however it ends.
    _lock: File,
}

/// A validator's home.
pub struct NodeHome {
    /// Name for people.
    pub name: String,
    /// Folder.
    pub dir: PathBuf,
}

impl Home {
    /// Opens (or makes) the folder of this kind of market and locks it.
    pub fn open(arguments: &UpArgs, market: &Market) -> Result<Home, Failure> {
        let base = match &arguments.home {
            Some(home) => home.clone(),
            None => {
                let user = std::env::var_os("HOME")
                    .ok_or_else(|| Failure::usage("HOME is not set").hint("name a folder with --home"))?;
                PathBuf::from(user).join(".openmesh")
            }
        };
        let root = base.join(match market {
            Market::Live => "live".to_string(),
            Market::Simulated => "simulated".to_string(),
            Market::Replay(folder) => {
                let name = format!("{}\n{}", folder.display(), arguments.sets.join(","));
                format!("replay-{}", &sha256(&[name.as_bytes()]).to_string()[..8])
            }
        });
        std::fs::create_dir_all(&root).map_err(|e| Failure::from_display(root.display(), &e))?;
        let root = root.canonicalize().map_err(|e| Failure::from_display(root.display(), &e))?;
        let path = root.join("lock");
        let lock = File::create(&path).map_err(|e| Failure::from_display(path.display(), &e))?;
        lock.try_lock().map_err(|_| {
            Failure::new(format!("another openmesh up runs in {}", root.display()))
                .hint("stop it, or give this one a folder of its own with --home")
        })?;
        Ok(Home { root, _lock: lock })
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The network's genesis.
    pub fn genesis_file(&self) -> PathBuf {
        self.root.join("genesis.json")
    }

    /// Where the venues' server listens: the port of the last run where it is free, so that addresses stay.
    pub fn venues_address(&self) -> String {
        let path = self.root.join("venues.port");
        let last = std::fs::read_to_string(&path).ok().and_then(|t| t.trim().parse::<u16>().ok());
        let port = last.filter(|p| is_free(*p)).or_else(free_port).unwrap_or(0);
        if let Err(error) = std::fs::write(&path, port.to_string()) {
            tracing::warn!(%error, "the venues' port is not remembered");
        }
        format!("127.0.0.1:{port}")
    }

    /// Makes what is missing and writes each validator's configuration for this run.
    pub fn prepare(
        &self,
        arguments: &UpArgs,
        market: &Market,
        gateway: Option<&str>,
        catalogue: Option<&Vec<CatalogueEntry>>,
    ) -> Result<Vec<NodeHome>, Failure> {
        let count = arguments.validators as usize;
        let nodes: Vec<NodeHome> = (0..count)
            .map(|n| NodeHome { name: format!("validator-{n}"), dir: self.root.join(format!("validator-{n}")) })
            .collect();
        if !self.genesis_file().exists() {
            let fallback = live_catalogue();
            self.create(&nodes, market, catalogue.unwrap_or(&fallback))?;
        }
        let genesis: Genesis = read_json(&self.genesis_file())?;
        if genesis.validators.len() != count {
            return Err(Failure::usage(format!(
                "the network in {} has {} validators, not {count}",
                self.root.display(),
                genesis.validators.len()
            ))
            .hint("leave --validators as it was, or begin another network with --home"));
        }
        let ports = ports(arguments.port, count)?;
        let multiaddress = |port: u16| format!("/ip4/127.0.0.1/tcp/{port}");
        for (number, node) in nodes.iter().enumerate() {
            let others = |pick: fn(&Ports) -> u16| -> Vec<String> {
                ports.iter().enumerate().filter(|(n, _)| *n != number).map(|(_, p)| multiaddress(pick(p))).collect()
            };
            let chain = genesis.sources.iter().any(|s| s.kind == SourceKind::Chain);
            let config = NodeConfig {
                api: local(ports[number].api),
                public_hosts: Vec::new(),
                consensus: Consensus {
                    listen: local(ports[number].consensus),
                    peers: others(|p| p.consensus),
                    idle_block_ms: 1_000,
                },
                network: Network { listen: vec![multiaddress(ports[number].network)], peers: others(|p| p.network) },
                collect: Collect {
                    gateway: gateway.map(String::from),
                    ethereum: gateway.filter(|_| chain).map(|g| format!("{g}/ethereum")),
                    ethereum_sparse: matches!(market, Market::Replay(_)),
                },
                limits: Limits::default(),
                drill: Drill { alter: drill(arguments, number)? },
            };
            let text = toml::to_string(&config).map_err(|e| Failure::from_display("node.toml", &e))?;
            write(&Files::of(&node.dir).config(), text.as_bytes())?;
            std::fs::copy(self.genesis_file(), Files::of(&node.dir).genesis())
                .map_err(|e| Failure::from_display(node.dir.display(), &e))?;
        }
        Ok(nodes)
    }

    fn create(&self, nodes: &[NodeHome], market: &Market, catalogue: &[CatalogueEntry]) -> Result<(), Failure> {
        let mut validators = Vec::new();
        for node in nodes {
            std::fs::create_dir_all(&node.dir).map_err(|e| Failure::from_display(node.dir.display(), &e))?;
            let key = ValidatorKey::generate().map_err(|e| Failure::from_display("no key", &e))?;
            write_secret(&Files::of(&node.dir).key(), &key.seed())?;
            validators.push(GenesisValidator {
                public_key: key.public(),
                power: 100,
                name: node.name.clone(),
                payout: None,
            });
        }
        let faucet = AccountKey::generate().map_err(|e| Failure::from_display("no key", &e))?;
        write_secret(&self.root.join("faucet.key"), &faucet.to_bytes())?;
        let (chain_id, name, origin) = match market {
            Market::Live => (CHAIN_IDS[0], "openmesh-local", Origin::Live),
            Market::Simulated => (CHAIN_IDS[1], "openmesh-local-simulated", Origin::Simulated),
            Market::Replay(_) => (CHAIN_IDS[2], "openmesh-local-replay", Origin::Replay),
        };
        let sources = catalogue
            .iter()
            .map(|entry| SourceSpec {
                id: entry.id.clone(),
                exchange: entry.exchange.clone(),
                kind: entry.kind,
                symbols: in_order(&entry.symbols),
                feeds: in_order(&entry.feeds),
                window_ms: WINDOW_MS,
                origin,
            })
            .collect();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let genesis = Genesis {
            chain_id,
            name: name.into(),
            time: Timestamp::from_millis(i64::try_from(now.as_millis()).unwrap_or_default()),
            validators,
            accounts: vec![(faucet.address(), FAUCET)],
            sources,
            params: Params::default(),
        };
        let text = serde_json::to_vec_pretty(&genesis).map_err(|e| Failure::from_display("genesis", &e))?;
        // Written last: a folder with a genesis is complete.
        write(&self.genesis_file(), &text)
    }
}

/// The ledger wants lists in ascending order.
fn in_order(list: &[String]) -> Vec<String> {
    let set: std::collections::BTreeSet<String> = list.iter().cloned().collect();
    set.into_iter().collect()
}

/// What a local network collects from the live venues.
fn live_catalogue() -> Vec<CatalogueEntry> {
    let entry = |exchange: &str, symbols: &[&str], feeds: &[&str]| CatalogueEntry {
        id: exchange.into(),
        exchange: exchange.into(),
        kind: SourceKind::Market,
        symbols: symbols.iter().map(|s| (*s).to_string()).collect(),
        feeds: feeds.iter().map(|s| (*s).to_string()).collect(),
    };
    let spot = ["trades", "book", "ticker"];
    let perpetual = ["trades", "book", "ticker", "funding", "mark_price"];
    vec![
        entry("binance", &["BTC.USDT", "ETH.USDT"], &spot),
        entry("binance_futures", &["BTC.USDT-PERP", "ETH.USDT-PERP"], &perpetual),
        entry("bybit", &["BTC.USDT", "BTC.USDT-PERP"], &perpetual),
        entry("coinbase", &["BTC.USD", "ETH.USD"], &spot),
        entry("kraken", &["BTC.USD", "ETH.USD"], &spot),
        entry("okx", &["BTC.USDT", "BTC.USDT-PERP"], &perpetual),
    ]
}

/// Ports of a validator on this machine.
pub struct Ports {
    /// Of the API.
    pub api: u16,
    /// Of consensus.
    pub consensus: u16,
    /// Of gossip and content.
    pub network: u16,
}

/// The API's ports follow each other from the wanted one; the others are any free ones.
pub fn ports(api: u16, count: usize) -> Result<Vec<Ports>, Failure> {
    // Held until all are chosen, so that none is given twice.
    let mut held = Vec::new();
    let mut any = || -> Result<u16, Failure> {
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|e| Failure::from_display("no free port", &e))?;
        let port = listener.local_addr().map_err(|e| Failure::from_display("no free port", &e))?.port();
        held.push(listener);
        Ok(port)
    };
    let mut all = Vec::new();
    for number in 0..count {
        let wanted = api.checked_add(u16::try_from(number).unwrap_or(u16::MAX));
        let api = match (api, wanted) {
            (0, _) | (_, None) => any()?,
            (_, Some(port)) if is_free(port) => port,
            (_, Some(port)) => {
                return Err(Failure::new(format!("port {port} is taken"))
                    .hint("name another first port with --port, or let any free ones be taken with --port 0"));
            }
        };
        all.push(Ports { api, consensus: any()?, network: any()? });
    }
    Ok(all)
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

fn free_port() -> Option<u16> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).ok()?.local_addr().ok().map(|a| a.port())
}

/// A port of this machine alone.
pub fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// `N:SOURCE/SYMBOL/FEED` for this validator.
fn drill(arguments: &UpArgs, number: usize) -> Result<Option<String>, Failure> {
    let Some(text) = &arguments.drill_alter else { return Ok(None) };
    let wrong = || Failure::usage(format!("--drill-alter {text}: N:SOURCE/SYMBOL/FEED is expected"));
    let (validator, stream) = text.split_once(':').ok_or_else(wrong)?;
    let validator: usize = validator.parse().map_err(|_| wrong())?;
    if stream.split('/').count() != 3 || validator >= arguments.validators as usize {
        return Err(wrong());
    }
    Ok((validator == number).then(|| stream.to_string()))
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, Failure> {
    let bytes = std::fs::read(path).map_err(|e| Failure::from_display(path.display(), &e))?;
    serde_json::from_slice(&bytes).map_err(|e| Failure::from_display(path.display(), &e))
}

/// Writes a file whole or not at all.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let draft = path.with_extension("draft");
    std::fs::write(&draft, bytes)
        .and_then(|()| std::fs::rename(&draft, path))
        .map_err(|e| Failure::from_display(path.display(), &e))
}

/// Writes a key that only its owner can read.
pub fn write_secret(path: &Path, key: &[u8; 32]) -> Result<(), Failure> {
    use std::io::Write;
    std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| writeln!(file, "{}", hex::encode(key)))
        .map_err(|e| Failure::from_display(path.display(), &e))
}
