//! The network under load: validators as processes of their own, on loopback, with accounts that the generator knows.

use std::path::{Path, PathBuf};
use std::time::Duration;

use openmesh_ledger::{Genesis, GenesisValidator, Params};
use openmesh_primitives::{AccountKey, Address, Amount, Timestamp, ValidatorKey, sha256};

use crate::cli::TransfersArgs;
use crate::failure::Failure;
use crate::node::config::{Collect, Consensus, Drill, Limits, Network, NodeConfig, Storage, Sync};
use crate::up::home::NodeHome;
use crate::up::network::write_key;
use crate::up::process::{Process, Program};
use crate::up::settings::{free_ports, local, multiaddress};

/// A network of nobody else.
const CHAIN_ID: u64 = 84_299;
/// Shares of the saturated rate, in per cent, that are run as open loop where no rates are given.
pub const SHARES: [u64; 3] = [25, 50, 75];
/// Longest start of a validator.
const READY: Duration = Duration::from_secs(60);
/// Longest stop of the validators.
const DRAIN: Duration = Duration::from_secs(10);
/// Balance of each account.
const BALANCE: Amount = Amount::open(1_000);

/// The running network.
pub struct Net {
    children: Vec<Process>,
    /// Addresses of the APIs, `127.0.0.1:PORT`.
    pub hosts: Vec<String>,
    /// Accounts that have sent nothing yet.
    senders: Vec<AccountKey>,
    /// Accounts of one run.
    senders_each: usize,
    /// Least fee.
    pub fee: Amount,
    root: PathBuf,
    /// True when the folder was made for this run alone.
    temporary: bool,
}

impl Net {
    /// Starts the validators from nothing and waits until their doors are open.
    pub async fn start(arguments: &TransfersArgs) -> Result<Net, Failure> {
        let root = match &arguments.home {
            Some(home) => home.clone(),
            None => std::env::temp_dir().join(format!("openmesh-bench-{}", std::process::id())),
        };
        if root.join("genesis.json").exists() {
            return Err(Failure::usage(format!("{} holds a network already", root.display()))
                .hint("a benchmark begins with an empty one: name a folder that does not exist"));
        }
        eprintln!("{} accounts, {} validators in {}", arguments.accounts, arguments.validators, root.display());
        let runs = 1 + arguments.rates.len().max(SHARES.len()) as u32;
        let senders = (0..arguments.accounts * runs).map(sender).collect::<Result<Vec<_>, _>>()?;
        let homes = prepare(&root, arguments.validators as usize, &senders)?;
        let mut net = Net {
            children: Vec::new(),
            hosts: Vec::new(),
            senders,
            senders_each: arguments.accounts as usize,
            fee: Params::default().accounts.fee_min,
            root,
            temporary: arguments.home.is_none(),
        };
        match net.spawn(&homes).await {
            Ok(()) => Ok(net),
            Err(failure) => {
                net.stop().await;
                Err(failure)
            }
        }
    }

    async fn spawn(&mut self, homes: &[NodeHome]) -> Result<(), Failure> {
        for home in homes {
            self.children.push(Program::node(home).following().start()?);
        }
        for child in &mut self.children {
            let ready = child.ready(READY).await?;
            self.hosts.push(ready.get("api").and_then(|a| a.as_str()).unwrap_or_default().to_string());
        }
        Ok(())
    }

    /// Number of validators.
    pub fn len(&self) -> usize {
        self.hosts.len()
    }

    /// Accounts of one run.
    pub const fn senders_each(&self) -> usize {
        self.senders_each
    }

    /// Accounts that have sent nothing yet, for one run.
    pub fn take_senders(&mut self) -> Vec<AccountKey> {
        let rest = self.senders.split_off(self.senders_each.min(self.senders.len()));
        std::mem::replace(&mut self.senders, rest)
    }

    /// The network's number.
    pub const fn chain_id() -> u64 {
        CHAIN_ID
    }

    /// Processor time that the validators have used so far.
    pub fn processor_time(&self) -> Duration {
        self.children.iter().map(Process::pid).map(processor_time).sum()
    }

    /// Stops the validators, and removes what they wrote where nobody asked to keep it.
    pub async fn stop(&mut self) {
        let stops = std::mem::take(&mut self.children).into_iter().map(|child| child.stop(DRAIN));
        futures::future::join_all(stops).await;
        if self.temporary
            && let Err(error) = std::fs::remove_dir_all(&self.root)
        {
            eprintln!("{} is left: {error}", self.root.display());
        }
    }
}

/// Processor time of a process, from `/proc/<pid>/stat`: fields 14 and 15 in ticks of a hundredth second (proc(5)).
pub fn processor_time(pid: u32) -> Duration {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name in parentheses may hold blanks.
    let rest = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: u64 = rest.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

fn sender(number: u32) -> Result<AccountKey, Failure> {
    let seed = sha256(&[b"openmesh bench account", &number.to_be_bytes()]);
    AccountKey::from_bytes(seed.0).map_err(|e| Failure::from_display("no key", &e))
}

fn prepare(root: &Path, count: usize, senders: &[AccountKey]) -> Result<Vec<NodeHome>, Failure> {
    let homes: Vec<NodeHome> = (0..count).map(|number| NodeHome::of(root, number)).collect();
    let mut validators = Vec::new();
    for home in &homes {
        std::fs::create_dir_all(&home.dir).map_err(|e| Failure::from_display(home.dir.display(), &e))?;
        let key = ValidatorKey::generate().map_err(|e| Failure::from_display("no key", &e))?;
        write_key(&home.files().key(), &key.seed())?;
        let name = home.name.clone();
        validators.push(GenesisValidator { public_key: key.public(), power: 100, name, payout: None });
    }
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let accounts: Vec<(Address, Amount)> = senders.iter().map(|s| (s.address(), BALANCE)).collect();
    let genesis = Genesis {
        chain_id: CHAIN_ID,
        name: "openmesh-bench".into(),
        time: Timestamp::from_millis(i64::try_from(now.as_millis()).unwrap_or_default()),
        validators,
        accounts,
        sources: Vec::new(),
        source_owners: Default::default(),
        params: Params::default(),
    };
    let text = serde_json::to_vec(&genesis).map_err(|e| Failure::from_display("genesis", &e))?;
    put(&root.join("genesis.json"), &text)?;
    let ports = free_ports(count)?;
    for (number, home) in homes.iter().enumerate() {
        let at = |port: u16| multiaddress(local(port));
        let others = ports.iter().enumerate().filter(|(n, _)| *n != number).map(|(_, p)| p);
        let config = NodeConfig {
            api: local(ports[number].api),
            public_hosts: Vec::new(),
            consensus: Consensus {
                listen: local(ports[number].consensus),
                peers: others.clone().map(|p| at(p.consensus)).collect(),
                idle_block_ms: 1_000,
            },
            network: Network {
                listen: vec![at(ports[number].network)],
                peers: others.map(|p| at(p.network)).collect(),
            },
            collect: Collect::default(),
            limits: Limits::default(),
            storage: Storage::default(),
            sync: Sync::default(),
            drill: Drill::default(),
        };
        let text_of = toml::to_string(&config).map_err(|e| Failure::from_display("node.toml", &e))?;
        put(&home.files().config(), text_of.as_bytes())?;
        put(&home.files().genesis(), &text)?;
    }
    Ok(homes)
}

fn put(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    openmesh_storage::files::write_whole(path, bytes).map_err(|e| Failure::from_display(path.display(), &e))
}
