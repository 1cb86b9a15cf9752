//! CometBFT's validators, as `cometbft testnet` makes them: processes of their own on loopback, with the application inside.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use openmesh_primitives::AccountKey;
use tokio::process::Command;

use super::net::{Net, Payload, Ports, fee, free_ports};
use super::protocol::Protocol;
use crate::door::Door;
use crate::network::Process;

/// Longest start until the validators make blocks.
const READY: Duration = Duration::from_secs(60);
/// Time between two looks at whether they do.
const READY_POLL: Duration = Duration::from_millis(100);
/// Height at which they do.
const READY_HEIGHT: u64 = 2;

/// An application, by CometBFT's name for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum App {
    /// CometBFT's own, which verifies no signature.
    Kvstore,
    /// That of `benches/cometbft`, which verifies ours.
    Transfers,
}

/// Settings beside those that name ports and peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settings {
    /// As `cometbft testnet` writes them.
    Default,
    /// With [`BEST`].
    Best,
}

/// The best configuration that was found: blocks follow each other sooner, the pool holds more and is not checked again after each
/// block, packets leave sooner and without a rate, and no transaction is indexed.
const BEST: [(&str, &str); 9] = [
    ("consensus.timeout_commit", "100ms"),
    ("consensus.peer_gossip_sleep_duration", "10ms"),
    ("mempool.recheck", "false"),
    ("mempool.size", "50000"),
    ("mempool.cache_size", "200000"),
    ("p2p.flush_throttle_timeout", "10ms"),
    ("p2p.send_rate", "51200000"),
    ("p2p.recv_rate", "51200000"),
    ("tx_index.indexer", "null"),
];

/// The plan of a network.
pub struct Setup<'a> {
    /// The program of `benches/cometbft`.
    pub program: &'a Path,
    pub validators: usize,
    pub app: App,
    pub settings: Settings,
    /// Further changes of the best configuration, `section.key=value`.
    pub set: &'a [String],
    /// Accounts of the one run.
    pub senders: Vec<AccountKey>,
}

impl App {
    const fn word(self) -> &'static str {
        match self {
            App::Kvstore => "kvstore",
            App::Transfers => "transfers",
        }
    }

    /// The transactions that it takes.
    const fn payload(self) -> Payload {
        match self {
            App::Kvstore => Payload::Pairs,
            App::Transfers => Payload::Transfers,
        }
    }
}

impl Settings {
    const fn word(self) -> &'static str {
        match self {
            Settings::Default => "default",
            Settings::Best => "best",
        }
    }
}

/// Name of such a network in figures.
pub fn name(app: App, settings: Settings) -> String {
    format!("cometbft_{}_{}", app.word(), settings.word())
}

/// Starts the validators from nothing and waits until they make blocks.
///
/// # Errors
/// The program cannot be run, its configuration has another form, or no block comes in time.
pub async fn start(setup: Setup<'_>) -> anyhow::Result<Net> {
    let name = name(setup.app, setup.settings);
    let root = std::env::temp_dir().join(format!("openmesh-bench-{}-{name}", std::process::id()));
    let ports = free_ports(setup.validators)?;
    let mut net = Net {
        name,
        protocol: Protocol::CometBft,
        payload: setup.app.payload(),
        children: Vec::new(),
        hosts: ports.iter().map(|own| format!("127.0.0.1:{}", own.api)).collect(),
        senders_each: setup.senders.len(),
        senders: setup.senders,
        fee: fee(),
        root,
        temporary: true,
    };
    let changes = changes(setup.app, setup.settings, setup.set);
    match begin(&mut net, setup.program, &ports, changes).await {
        Ok(()) => Ok(net),
        Err(failure) => {
            net.stop().await;
            Err(failure.context(net.name))
        }
    }
}

/// The changes of a validator's configuration, without its ports and peers.
fn changes(app: App, settings: Settings, set: &[String]) -> anyhow::Result<Vec<(String, String)>> {
    // Ours writes warnings and errors alone too.
    let common = [("proxy_app", app.word()), ("log_level", "error")];
    let best: &[(&str, &str)] = if settings == Settings::Best { &BEST } else { &[] };
    let known = common
        .iter()
        .chain(best)
        .map(|(name, value)| Ok::<_, anyhow::Error>(((*name).to_owned(), (*value).to_owned())));
    let further = set.iter().filter(|_| settings == Settings::Best).map(|text| {
        let (name, value) =
            text.split_once('=').with_context(|| format!("--set {text}: SECTION.KEY=VALUE is expected"))?;
        Ok::<_, anyhow::Error>((name.to_owned(), value.to_owned()))
    });
    known.chain(further).collect()
}

async fn begin(
    net: &mut Net,
    program: &Path,
    ports: &[Ports],
    changes: anyhow::Result<Vec<(String, String)>>,
) -> anyhow::Result<()> {
    let changes = changes?;
    let homes = testnet(program, &net.root, ports.len()).await?;
    let mut ids = Vec::new();
    for home in &homes {
        ids.push(id(program, home).await?);
    }
    for (number, home) in homes.iter().enumerate() {
        let file = home.join("config").join("config.toml");
        let mut text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        for (name, value) in changes.iter().cloned().chain(places(ports, &ids, number)) {
            text = set(&text, &name, &value).with_context(|| file.display().to_string())?;
        }
        std::fs::write(&file, text).with_context(|| file.display().to_string())?;
        let arguments = ["start", "--home", home.to_str().context("a path")?];
        net.children.push(Process::start(program, &arguments, home.join("node.log"))?);
    }
    let deadline = tokio::time::Instant::now() + READY;
    for (child, host) in net.children.iter_mut().zip(&net.hosts) {
        while height(host).await.is_none_or(|height| height < READY_HEIGHT) {
            child.runs()?;
            ensure!(tokio::time::Instant::now() < deadline, "{host} makes no block within {} s", READY.as_secs());
            tokio::time::sleep(READY_POLL).await;
        }
    }
    Ok(())
}

/// Ports of a validator, and its peers.
fn places(ports: &[Ports], ids: &[String], number: usize) -> [(String, String); 3] {
    let others = ports.iter().zip(ids).enumerate().filter(|(n, _)| *n != number);
    let peers: Vec<String> = others.map(|(_, (port, id))| format!("{id}@127.0.0.1:{}", port.consensus)).collect();
    let own = &ports[number];
    [
        ("rpc.laddr".into(), format!("tcp://127.0.0.1:{}", own.api)),
        ("p2p.laddr".into(), format!("tcp://127.0.0.1:{}", own.consensus)),
        ("p2p.persistent_peers".into(), peers.join(",")),
    ]
}

/// Has CometBFT make the validators' homes.
async fn testnet(program: &Path, root: &Path, validators: usize) -> anyhow::Result<Vec<PathBuf>> {
    let (out, home, count) =
        (root.display().to_string(), root.join("unused").display().to_string(), validators.to_string());
    said(program, &["testnet", "--v", &count, "--o", &out, "--home", &home]).await?;
    Ok((0..validators).map(|number| root.join(format!("node{number}"))).collect())
}

/// Name of a node among its peers.
async fn id(program: &Path, home: &Path) -> anyhow::Result<String> {
    let home = home.display().to_string();
    let text = said(program, &["show-node-id", "--home", &home]).await?;
    let id = text.lines().last().unwrap_or_default().trim();
    ensure!(id.len() == 40 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{text:?} is no node's id");
    Ok(id.to_owned())
}

/// Runs the program to its end; returns what it wrote.
async fn said(program: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(program).args(arguments).output().await;
    let output =
        output.with_context(|| format!("{}: go build -o FILE . in benches/cometbft makes it", program.display()))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if !output.status.success() {
        bail!("{} {}: {}{}", program.display(), arguments.join(" "), text(&output.stdout), text(&output.stderr));
    }
    Ok(text(&output.stdout))
}

/// Height of a node that answers.
async fn height(host: &str) -> Option<u64> {
    let status = Door::open(host).await.ok()?.get(host, "/status").await.ok()?;
    status.pointer("/result/sync_info/latest_block_height")?.as_str()?.parse().ok()
}

/// Sets a value that stands in CometBFT's configuration already: `key`, or `section.key`.
fn set(text: &str, name: &str, value: &str) -> anyhow::Result<String> {
    let (section, key) = name.split_once('.').unwrap_or(("", name));
    let (mut current, mut found, mut lines) = ("", false, Vec::new());
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            current = name;
        }
        match line.split_once('=') {
            Some((before, old)) if current == section && before.trim() == key => {
                let quote = if old.trim_start().starts_with('"') { "\"" } else { "" };
                lines.push(format!("{key} = {quote}{value}{quote}"));
                found = true;
            }
            _ => lines.push(line.to_owned()),
        }
    }
    ensure!(found, "there is no {name} to set");
    Ok(lines.join("\n") + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_set_in_its_section_alone() {
        let text = "# size = 1\nproxy_app = \"x\"\n[rpc]\nladdr = \"a\"\n[p2p]\nladdr = \"b\"\nsend_rate = 5\n";
        let changed = set(text, "p2p.laddr", "c").and_then(|text| set(&text, "p2p.send_rate", "7"));
        let expected = "# size = 1\nproxy_app = \"x\"\n[rpc]\nladdr = \"a\"\n[p2p]\nladdr = \"c\"\nsend_rate = 7\n";
        assert_eq!(changed.unwrap(), expected);
        assert!(set(text, "proxy_app", "kvstore").unwrap().contains("proxy_app = \"kvstore\"\n"));
        assert_eq!(set(text, "mempool.size", "1").unwrap_err().to_string(), "there is no mempool.size to set");
    }

    #[test]
    fn further_settings_are_of_the_best_configuration_alone() {
        let set = ["mempool.size=7".to_owned()];
        assert_eq!(changes(App::Kvstore, Settings::Default, &set).unwrap().len(), 2);
        let best = changes(App::Kvstore, Settings::Best, &set).unwrap();
        assert_eq!(best.last(), Some(&("mempool.size".to_owned(), "7".to_owned())));
        assert!(changes(App::Kvstore, Settings::Best, &["x".to_owned()]).is_err());
    }
}
