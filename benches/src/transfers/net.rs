//! The network under load: validators as processes of their own, on loopback, with accounts that the generator knows.

use std::hash::{BuildHasher as _, RandomState};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use openmesh_ledger::{Genesis, GenesisValidator, Params};
use openmesh_primitives::{AccountKey, Amount, Timestamp, ValidatorKey, sha256};

use super::arguments::TransfersArgs;
use super::protocol::Protocol;
use crate::door::Door;
use crate::network::Process;
use crate::proc::{processor_time, processor_time_of_threads};

/// A network of nobody else.
const CHAIN_ID: u64 = 84_299;
/// Shares of the saturated rate, in per cent, that are run as open loop where no rates are given.
pub const SHARES: [u64; 3] = [25, 50, 75];
/// Balance of each account.
const BALANCE: Amount = Amount::open(1_000);

/// The transactions of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload {
    /// Signed transfers.
    Transfers,
    /// `key=value` without a signature, as long as a signed transfer.
    Pairs,
}

/// The running network.
pub struct Net {
    /// Its name in figures.
    pub name: String,
    pub protocol: Protocol,
    pub payload: Payload,
    pub(super) children: Vec<Process>,
    /// Addresses of the APIs, `127.0.0.1:PORT`.
    pub hosts: Vec<String>,
    /// Accounts that have sent nothing yet.
    pub(super) senders: Vec<AccountKey>,
    /// Accounts of one run.
    pub(super) senders_each: usize,
    /// Most that a transfer pays: a thousand times the least base fee, which rises while blocks are more than half full.
    pub fee: Amount,
    pub(super) root: PathBuf,
    /// True when the folder was made for this run alone.
    pub(super) temporary: bool,
}

impl Net {
    /// Starts the validators from nothing and waits until their doors are open.
    pub async fn start(arguments: &TransfersArgs) -> anyhow::Result<Net> {
        let program = arguments.product.path()?;
        let last = arguments.last_bin.clone().unwrap_or_else(|| program.clone());
        let root = match &arguments.home {
            Some(home) => home.clone(),
            None => std::env::temp_dir().join(format!("openmesh-bench-{}", std::process::id())),
        };
        if root.join("genesis.json").exists() {
            bail!("{} holds a network already: name a folder that does not exist", root.display());
        }
        eprintln!("{} accounts, {} validators in {}", arguments.accounts, arguments.validators, root.display());
        let runs = 1 + arguments.rates.len().max(SHARES.len()) as u32;
        let senders = senders(arguments.accounts * runs)?;
        let homes = prepare(&root, arguments.validators as usize, &senders)?;
        let mut net = Net {
            name: "openmesh".into(),
            protocol: Protocol::Openmesh,
            payload: Payload::Transfers,
            children: Vec::new(),
            hosts: Vec::new(),
            senders,
            senders_each: arguments.accounts as usize,
            fee: fee(),
            root,
            temporary: arguments.home.is_none(),
        };
        match net.spawn((&program, &last), &homes).await {
            Ok(()) => Ok(net),
            Err(failure) => {
                net.stop().await;
                Err(failure)
            }
        }
    }

    async fn spawn(&mut self, (program, last): (&Path, &Path), homes: &[PathBuf]) -> anyhow::Result<()> {
        for (number, home) in homes.iter().enumerate() {
            let program = if number + 1 == homes.len() { last } else { program };
            let arguments = ["node", "--home", home.to_str().context("a path")?];
            self.children.push(Process::start(program, &arguments, home.join("node.log"))?);
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

    /// An account with which nothing is sent before the runs that are still to come.
    pub fn last_sender(&self) -> Option<&AccountKey> {
        self.senders.last()
    }

    /// The network's number.
    pub const fn chain_id() -> u64 {
        CHAIN_ID
    }

    /// Processor time that the validators have used so far.
    pub fn processor_time(&self) -> Duration {
        self.children.iter().filter_map(Process::pid).map(processor_time).sum()
    }

    /// Processor time that those threads of the validators have used whose name begins so.
    pub fn processor_time_of_threads(&self, name: &str) -> Duration {
        self.children.iter().filter_map(Process::pid).map(|pid| processor_time_of_threads(pid, name)).sum()
    }

    /// A counter of each validator's metrics.
    ///
    /// # Errors
    /// A validator does not answer, or has no such counter.
    pub async fn counters(&self, name: &str) -> anyhow::Result<Vec<u64>> {
        let mut counters = Vec::new();
        for host in &self.hosts {
            let request = format!("GET /metrics HTTP/1.1\r\nHost: {host}\r\n\r\n");
            let (status, body) = Door::open(host).await?.ask(request.as_bytes()).await?;
            ensure!(status == 200, "/metrics of {host} answers {status}");
            let text = String::from_utf8(body).context("metrics that are no text")?;
            let figure = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            let figure = figure.with_context(|| format!("{host} has no metric {name}"))?;
            counters.push(figure.trim().parse().with_context(|| format!("{name} of {host} is {figure}"))?);
        }
        Ok(counters)
    }

    /// The home of the first validator.
    pub fn first_home(&self) -> PathBuf {
        home(&self.root, 0)
    }

    /// Stops the last validator, whose door is used no more.
    pub async fn stop_last(&mut self) {
        self.hosts.pop();
        if let Some(child) = self.children.pop() {
            child.stop().await;
        }
    }

    /// Stops the validators; what they wrote stays.
    pub async fn halt(&mut self) {
        let stops = std::mem::take(&mut self.children).into_iter().map(Process::stop);
        futures::future::join_all(stops).await;
    }

    /// Stops the validators, and removes what they wrote where nobody asked to keep it.
    pub async fn stop(&mut self) {
        self.halt().await;
        if self.temporary
            && let Err(error) = std::fs::remove_dir_all(&self.root)
        {
            eprintln!("{} is left: {error}", self.root.display());
        }
    }
}

fn home(root: &Path, number: usize) -> PathBuf {
    root.join(format!("validator-{number}"))
}

/// Accounts of runs.
pub fn senders(count: u32) -> anyhow::Result<Vec<AccountKey>> {
    (0..count).map(sender).collect()
}

/// Most that a transfer pays, by the default network's rules.
pub fn fee() -> Amount {
    Amount(Params::default().accounts.fee_min.0 * 1_000)
}

fn sender(number: u32) -> anyhow::Result<AccountKey> {
    let seed = sha256(&[b"openmesh bench account", &number.to_be_bytes()]);
    AccountKey::from_bytes(seed.0).context("no key")
}

/// Ports of a validator on this machine.
pub struct Ports {
    pub api: u16,
    pub consensus: u16,
    pub network: u16,
}

/// First of the ports that validators get here, and their number: the kernel gives none of them to whoever asks for any before a validator listens there.
const PORTS: (u16, u16) = (5_000, 5_000);

/// Free ports, all held until all are known.
pub fn free_ports(count: usize) -> anyhow::Result<Vec<Ports>> {
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
    let homes: Vec<PathBuf> = (0..count).map(|number| home(root, number)).collect();
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
        allocation: Default::default(),
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
