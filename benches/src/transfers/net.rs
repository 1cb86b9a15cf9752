//! The network under load: validators as processes of their own, on loopback, with accounts that the generator knows.

use std::hash::{BuildHasher as _, RandomState};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use openmesh_ledger::{Genesis, GenesisValidator, Params};
use openmesh_primitives::{AccountKey, Amount, Timestamp, ValidatorKey, sha256};

use super::arguments::TransfersArgs;
use crate::network::Process;
use crate::proc::processor_time;

/// A network of nobody else.
const CHAIN_ID: u64 = 84_299;
/// Shares of the saturated rate, in per cent, that are run as open loop where no rates are given.
pub const SHARES: [u64; 3] = [25, 50, 75];
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
    pub async fn start(arguments: &TransfersArgs) -> anyhow::Result<Net> {
        let root = match &arguments.home {
            Some(home) => home.clone(),
            None => std::env::temp_dir().join(format!("openmesh-bench-{}", std::process::id())),
        };
        if root.join("genesis.json").exists() {
            bail!("{} holds a network already: name a folder that does not exist", root.display());
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
        match net.spawn(&arguments.product.path()?, &homes).await {
            Ok(()) => Ok(net),
            Err(failure) => {
                net.stop().await;
                Err(failure)
            }
        }
    }

    async fn spawn(&mut self, binary: &Path, homes: &[PathBuf]) -> anyhow::Result<()> {
        for home in homes {
            let arguments = ["node", "--home", home.to_str().context("a path")?];
            self.children.push(Process::start(binary, &arguments, home.join("node.log"))?);
        }
        for (child, home) in self.children.iter_mut().zip(homes) {
            self.hosts.push(child.ready(home).await?);
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
        self.children.iter().filter_map(Process::pid).map(processor_time).sum()
    }

    /// Stops the validators, and removes what they wrote where nobody asked to keep it.
    pub async fn stop(&mut self) {
        let stops = std::mem::take(&mut self.children).into_iter().map(Process::stop);
        futures::future::join_all(stops).await;
        if self.temporary
            && let Err(error) = std::fs::remove_dir_all(&self.root)
        {
            eprintln!("{} is left: {error}", self.root.display());
        }
    }
}

fn sender(number: u32) -> anyhow::Result<AccountKey> {
    let seed = sha256(&[b"openmesh bench account", &number.to_be_bytes()]);
    AccountKey::from_bytes(seed.0).context("no key")
}

/// Ports of a validator on this machine.
struct Ports {
    api: u16,
    consensus: u16,
    network: u16,
}

/// First of the ports that validators get here, and their number: the kernel gives none of them to whoever asks for any before a validator listens there.
const PORTS: (u16, u16) = (5_000, 5_000);

/// Free ports, all held until all are known.
fn free_ports(count: usize) -> anyhow::Result<Vec<Ports>> {
    let (first, many) = PORTS;
    let begin = RandomState::new().hash_one(0) % u64::from(many);
    let mut all = (0..u64::from(many)).filter_map(|step| u16::try_from((begin + step) % u64::from(many)).ok());
    let mut held = Vec::new();
    let mut free = || -> anyhow::Result<u16> {
        let found = all.find_map(|step| TcpListener::bind((Ipv4Addr::LOCALHOST, first + step)).ok());
        let listener = found.context("this machine has no free port")?;
        let port = listener.local_addr()?.port();
        held.push(listener);
        Ok(port)
    };
    (0..count).map(|_| Ok(Ports { api: free()?, consensus: free()?, network: free()? })).collect()
}

/// The home of each validator: a key, the genesis and the settings.
fn prepare(root: &Path, count: usize, senders: &[AccountKey]) -> anyhow::Result<Vec<PathBuf>> {
    let homes: Vec<PathBuf> = (0..count).map(|number| root.join(format!("validator-{number}"))).collect();
    let mut validators = Vec::new();
    for (number, home) in homes.iter().enumerate() {
        std::fs::create_dir_all(home).with_context(|| home.display().to_string())?;
        let key = ValidatorKey::generate().context("no key")?;
        put(&home.join("validator.key"), format!("{}\n", hex::encode(key.seed())).as_bytes())?;
        let name = format!("validator-{number}");
        validators.push(GenesisValidator { public_key: key.public(), power: 100, name, payout: None });
    }
    let genesis = Genesis {
        chain_id: CHAIN_ID,
        name: "openmesh-bench".into(),
        time: Timestamp::from_millis(Timestamp::now().millis()),
        validators,
        accounts: senders.iter().map(|s| (s.address(), BALANCE)).collect(),
        sources: Vec::new(),
        source_owners: Default::default(),
        params: Params::default(),
    };
    let text = serde_json::to_vec(&genesis)?;
    put(&root.join("genesis.json"), &text)?;
    let ports = free_ports(count)?;
    for (number, home) in homes.iter().enumerate() {
        put(&home.join("node.toml"), settings(&ports, number)?.as_bytes())?;
        put(&home.join("genesis.json"), &text)?;
    }
    Ok(homes)
}

/// The `node.toml` of a validator.
fn settings(ports: &[Ports], number: usize) -> anyhow::Result<String> {
    let at = |port: u16| format!("/ip4/127.0.0.1/tcp/{port}");
    let others = || ports.iter().enumerate().filter(|(n, _)| *n != number).map(|(_, p)| p);
    let own = &ports[number];
    let settings = serde_json::json!({
        "api": format!("127.0.0.1:{}", own.api),
        "consensus": {
            "listen": format!("127.0.0.1:{}", own.consensus),
            "peers": others().map(|p| at(p.consensus)).collect::<Vec<_>>(),
        },
        "network": {
            "listen": [at(own.network)],
            "peers": others().map(|p| at(p.network)).collect::<Vec<_>>(),
        },
    });
    Ok(toml::to_string(&settings)?)
}

fn put(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    std::fs::write(path, bytes).with_context(|| path.display().to_string())
}
