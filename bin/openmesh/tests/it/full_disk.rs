//! Disks that are full, and then have room again: of one validator, of all four, and of single folders.
//!
//! Each validator's data lies on a small memory file system in a mount namespace of the network's own, which ends with the network.
//! That needs root, or a system that gives namespaces to its users; without either the test fails and says so.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use openmesh_ledger::{AccountTransaction, AccountsAction, Action, Transaction};
use openmesh_primitives::{AccountKey, Address, Amount};
use serde_json::{Value, json};

use crate::network::{Network, PATIENCE, Processes, binary, signal};
use crate::path::SIMULATED;

/// Size of each validator's disk, in mebibytes: a few times what a node wants to be free.
const DISK_MIB: u64 = 256;
/// Size of the disk of a single folder, in mebibytes.
const FOLDER_MIB: u64 = 80;
/// A full disk is said everywhere within so much.
const SAID_MAX: Duration = Duration::from_secs(10);
/// Fee of the transfers, in 10^-18 OPEN: above the least one.
const FEE: Amount = Amount(1_000_000_000_000_000);

/// Lays file systems over the folders in the variable `DISKS` (`FOLDER:MEBIBYTES ...`), keeps what they hold, and becomes the command.
const SCRIPT: &str = r#"
# A namespace begins with every mount of the machine: a volume that it keeps can be unmounted by nobody, nor ends a network that it keeps.
sed -nE 's@^([^ ]+ ){4}([^ ]+) .* - (nsfs |overlay openmesh ).*@\2@p' /proc/self/mountinfo | while read -r point; do umount -l "$point"; done 2> /dev/null
grep -o ' /[^ ]*/volumes/[0-9a-f]*/mount ' /proc/self/mountinfo | while read -r point; do umount -l "$point"; done 2> /dev/null
# Nor can what other tests mount of their own files.
grep ' - [^ ]* /dev/loop' /proc/self/mountinfo | cut -d ' ' -f 5 | grep "^${TMPDIR:-/tmp}/" | while read -r point; do umount -l "$point"; done 2> /dev/null
set -e
for disk in $DISKS; do
    folder=${disk%:*}
    mkdir -p "$folder" "$folder.kept"
    cp -a "$folder/." "$folder.kept/"
    mount -t tmpfs -o "size=${disk##*:}m" tmpfs "$folder"
    cp -a "$folder.kept/." "$folder/"
done
exec "$@"
"#;

/// Arguments of `unshare` that give a namespace of mounts here; fails where none do.
fn namespace() -> Vec<&'static str> {
    let ways = [vec!["--mount"], vec!["--mount", "--map-root-user"]];
    let works = |way: &&Vec<&str>| {
        let probe = std::env::temp_dir();
        let mut command = std::process::Command::new("unshare");
        command.args(way.iter()).args(["--", "mount", "-t", "tmpfs", "tmpfs"]).arg(probe);
        command.output().is_ok_and(|output| output.status.success())
    };
    let found = ways.iter().find(works).cloned();
    found.expect("NO SMALL DISKS CAN BE MADE HERE: this test needs root, or namespaces for users (unshare --mount)")
}

/// A network whose folders of data are disks of their own.
async fn start(home: &Path, disks: &[(PathBuf, u64)]) -> Network {
    let list: Vec<String> = disks.iter().map(|(folder, mib)| format!("{}:{mib}", folder.display())).collect();
    let mut command = tokio::process::Command::new("unshare");
    let environment: Vec<_> =
        binary().as_std().get_envs().map(|(k, v)| (k.to_owned(), v.map(ToOwned::to_owned))).collect();
    for (key, value) in environment {
        command.env(key, value.unwrap_or_default());
    }
    command.args(namespace()).args(["--", "sh", "-c", SCRIPT, "sh", env!("CARGO_BIN_EXE_openmesh")]);
    command.env("DISKS", list.join(" ")).kill_on_drop(true);
    Network::start_as(&mut command, home, &SIMULATED).await
}

/// The same folder as the network sees it.
fn seen_by(network: &Network, folder: &Path) -> PathBuf {
    PathBuf::from(format!("/proc/{}/root{}", network.pid(), folder.display())).join("ballast")
}

/// Fills a disk to its last byte.
fn fill(ballast: &Path) {
    let mut file = std::fs::File::create(ballast).expect("ballast");
    for size in [1 << 20, 4_096, 1] {
        let block = vec![7; size];
        loop {
            match file.write(&block) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => break,
                Err(error) => panic!("ballast: {error}"),
            }
        }
    }
}

fn empty(ballast: &Path) {
    std::fs::remove_file(ballast).expect("ballast");
}

fn data(home: &Path, validator: usize) -> PathBuf {
    home.join(format!("simulated/validator-{validator}/data"))
}

fn code(body: &Value) -> &str {
    body["error"]["code"].as_str().unwrap_or_default()
}

/// Waits until a node whose disk is full says so on every path, in its metrics and in its log, all of it within its time.
async fn says_it(network: &Network, home: &Path, node: usize, since: Instant) {
    for path in ["/v1/status", "/v1/sources"] {
        loop {
            if let Ok((503, body)) = network.try_get(node, path).await
                && code(&body) == "disk_full"
            {
                break;
            }
            assert!(since.elapsed() < SAID_MAX, "node {node}: {path} does not say that the disk is full");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    let metrics = String::from_utf8(network.bytes(node, "/metrics").await).unwrap();
    assert!(metrics.contains("openmesh_disk_waiting 1"), "{metrics}");
    let free = metrics.lines().find_map(|line| line.strip_prefix("openmesh_disk_free_bytes{folder=\"ledger\"} "));
    assert!(free.is_some_and(|free| free.parse::<u64>().unwrap() < 64 << 20), "{metrics}");
    let log = std::fs::read_to_string(home.join(format!("simulated/validator-{node}/node.log"))).unwrap();
    assert!(log.contains("the disk is full"), "the log of node {node} does not say it");
    assert!(since.elapsed() < SAID_MAX, "node {node} took {:?} to say it", since.elapsed());
    println!("node {node} said that its disk is full after {:.1?}", since.elapsed());
}

/// Asserts that the doctor tells a person of a node whose disk is full. The time of that program is no node's.
async fn the_doctor_says_it(network: &Network, node: usize) {
    let doctor = binary().args(["doctor", "--api", &network.apis[node]]).output().await.unwrap();
    let said = String::from_utf8_lossy(&doctor.stdout);
    assert!(!doctor.status.success() && said.contains("waits for room on its disk"), "{said}");
}

async fn height(network: &Network, node: usize) -> u64 {
    network.get(node, "/v1/status").await["height"].as_u64().unwrap()
}

/// Blocks and agreed chunks that were seen.
#[derive(Default)]
struct Seen {
    blocks: BTreeMap<u64, String>,
    chunks: BTreeMap<String, String>,
}

impl Seen {
    /// Looks at every node that answers.
    async fn look(&mut self, network: &Network) {
        for node in 0..network.apis.len() {
            if let Ok((200, page)) = network.try_get(node, "/v1/blocks?limit=100").await {
                for block in page["items"].as_array().into_iter().flatten() {
                    let (Some(height), Some(hash)) = (block["height"].as_u64(), block["hash"].as_str()) else {
                        continue;
                    };
                    let first = self.blocks.entry(height).or_insert_with(|| hash.to_owned());
                    assert_eq!(first, hash, "a fork at height {height}");
                }
            }
            if let Ok((200, page)) = network.try_get(node, "/v1/chunks?status=accepted&limit=500").await {
                for chunk in page["items"].as_array().into_iter().flatten() {
                    let name = format!("{}/{}/{}", chunk["source"], chunk["stream"], chunk["window"]);
                    let Some(cid) = chunk["cid"].as_str() else { continue };
                    let first = self.chunks.entry(name.clone()).or_insert_with(|| cid.to_owned());
                    assert_eq!(first, cid, "two chunks for {name}");
                }
            }
        }
    }

    /// Every block and every agreed chunk is at every node.
    async fn is_everywhere(&self, network: &Network) {
        let newest = *self.blocks.keys().last().expect("blocks were seen");
        for node in 0..network.apis.len() {
            network.until(node, "/v1/status", "catching up", |s| s["height"].as_u64() > Some(newest + 3)).await;
            for (height, hash) in &self.blocks {
                let block = network.get(node, &format!("/v1/blocks/{height}")).await;
                assert_eq!(
                    block["hash"].as_str(),
                    Some(hash.as_str()),
                    "block {height} at node {node}: lost or forked"
                );
            }
            for (name, cid) in &self.chunks {
                let raw = network.bytes(node, &format!("/v1/chunks/{cid}/raw")).await;
                assert!(!raw.is_empty(), "{name} at node {node}");
            }
            network
                .until(node, "/v1/status", "full tables", |s| s["tables"]["chunks_awaited"].as_u64() < Some(40))
                .await;
            let tables = network.get(node, "/v1/status").await["tables"].clone();
            assert_eq!(tables["chunks_missing"], 0, "node {node}: {tables}");
        }
    }
}

/// An account that sends transfers one after the other.
struct Client {
    key: AccountKey,
    chain_id: u64,
    nonce: u64,
    accepted: Vec<String>,
}

impl Client {
    async fn new(network: &Network, home: &Path) -> Client {
        let text = std::fs::read_to_string(home.join("simulated/faucet.key")).unwrap();
        let bytes: [u8; 32] = hex::decode(text.trim()).unwrap().try_into().unwrap();
        let key = AccountKey::from_bytes(bytes).unwrap();
        let chain_id = network.get(0, "/v1/status").await["chain_id"].as_u64().unwrap();
        let account = network.get(0, &format!("/v1/accounts/{}", key.address())).await;
        Client { key, chain_id, nonce: account["nonce"].as_u64().unwrap(), accepted: Vec::new() }
    }

    /// Sends the next one to a node; returns whether it was accepted.
    async fn send(&mut self, network: &Network, node: usize) -> bool {
        let action = Action::Accounts(AccountsAction::Transfer { to: Address([9; 20]), amount: Amount(1) });
        let signed = AccountTransaction::sign(&self.key, self.chain_id, self.nonce, FEE, action).unwrap();
        let bytes = hex::encode(Transaction::Account(signed).encode());
        let http = reqwest::Client::builder().timeout(Duration::from_secs(5)).build().unwrap();
        let request = http.post(format!("{}/v1/transactions", network.apis[node])).json(&json!({ "bytes": bytes }));
        let Ok(answer) = request.send().await else { return false };
        let ok = answer.status().is_success();
        let Ok(body) = answer.json::<Value>().await else { return false };
        if ok {
            self.accepted.push(body["hash"].as_str().unwrap().to_owned());
            self.nonce += 1;
        }
        ok
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_then_all_say_so_lose_nothing_and_go_on_by_themselves() {
    let directory = tempfile::tempdir().unwrap();
    let home = directory.path();
    let network = Network::start(home, &SIMULATED).await;
    network.until(0, "/v1/status", "an agreed chunk", |s| s["chunks_accepted"].as_u64() > Some(0)).await;
    assert_eq!(network.stop().await, 0);

    let folders = [(data(home, 1).join("raw"), FOLDER_MIB), (data(home, 2).join("lake"), FOLDER_MIB)];
    let mut disks: Vec<_> = (0..4).map(|n| (data(home, n), DISK_MIB)).collect();
    disks.extend(folders.iter().cloned());
    let network = start(home, &disks).await;
    network.until(0, "/v1/status", "more chunks", |s| s["chunks_accepted"].as_u64() > Some(12)).await;
    let before = network.processes().running();
    let (mut seen, mut client) = (Seen::default(), Client::new(&network, home).await);
    seen.look(&network).await;

    folders_of_their_own(&network, &folders, &mut seen).await;
    one(&network, home, &mut seen, &mut client).await;
    for round in 0..2 {
        all(&network, home, &mut seen, &mut client, round).await;
    }
    assert_eq!(network.processes().running(), before, "no process ended");
    killed_while_full(&network, home, &mut seen).await;

    seen.is_everywhere(&network).await;
    for hash in &client.accepted {
        let path = format!("/v1/transactions/{hash}");
        network.until(0, &path, "an accepted transaction", |t| t["height"].as_u64().is_some()).await;
    }
    println!(
        "{} blocks, {} chunks, {} transactions: all there",
        seen.blocks.len(),
        seen.chunks.len(),
        client.accepted.len()
    );
    assert!(client.accepted.len() >= 10 && seen.chunks.len() > 20);
    assert_eq!(network.stop().await, 0);
}

/// Raw frames and tables on disks of their own: their nodes go on, and say it.
async fn folders_of_their_own(network: &Network, folders: &[(PathBuf, u64)], seen: &mut Seen) {
    let since = Instant::now();
    for (folder, _) in folders {
        fill(&seen_by(network, folder));
    }
    for (node, what) in [(1, "raw"), (2, "lake")] {
        loop {
            let status = network.get(node, "/v1/status").await;
            let full = |disk: &Value| disk["folder"].as_str().is_some_and(|folder| folder.ends_with(what));
            if status["disks"].as_array().unwrap().iter().any(full) {
                break;
            }
            assert!(since.elapsed() < SAID_MAX, "node {node} does not say that {what} is full: {status:#}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let doctor = binary().args(["doctor", "--api", &network.apis[node]]).output().await.unwrap();
        let said = String::from_utf8_lossy(&doctor.stdout);
        assert!(!doctor.status.success() && said.contains(&format!("/{what} is full: ")), "{said}");
    }
    println!("full disks of single folders were said after {:.1?}", since.elapsed());
    let now = height(network, 0).await;
    for node in 0..4 {
        network.until(node, "/v1/status", "blocks meanwhile", |s| s["height"].as_u64() > Some(now + 8)).await;
    }
    seen.look(network).await;
    for (folder, _) in folders {
        empty(&seen_by(network, folder));
    }
    for node in [1, 2] {
        network.until(node, "/v1/status", "room", |s| s["disks"].as_array().is_some_and(Vec::is_empty)).await;
    }
}

/// One of four: the others agree on blocks and chunks without it.
async fn one(network: &Network, home: &Path, seen: &mut Seen, client: &mut Client) {
    let ballast = seen_by(network, &data(home, 3));
    let since = Instant::now();
    fill(&ballast);
    says_it(network, home, 3, since).await;
    the_doctor_says_it(network, 3).await;
    let status = network.get(0, "/v1/status").await;
    let (height, chunks) = (status["height"].as_u64(), status["chunks_accepted"].as_u64());
    for n in 0..4 {
        assert!(client.send(network, n % 3).await, "the others take transactions");
    }
    for node in 0..3 {
        let more = |s: &Value| {
            s["height"].as_u64() > height.map(|h| h + 5) && s["chunks_accepted"].as_u64() > chunks.map(|c| c + 5)
        };
        network.until(node, "/v1/status", "agreement without the fourth", more).await;
    }
    seen.look(network).await;
    let (_, body) = network.try_get(3, "/v1/status").await.unwrap();
    assert_eq!(code(&body), "disk_full", "it still waits: {body}");
    empty(&ballast);
    let reached = self::height(network, 0).await;
    network.until(3, "/v1/status", "the fourth", |s| s["height"].as_u64() > Some(reached)).await;
}

/// All of them at once, while clients send.
async fn all(network: &Network, home: &Path, seen: &mut Seen, client: &mut Client, round: u64) {
    network.until(0, "/v1/status", "a block", |s| s["height"].as_u64() > Some(round)).await;
    seen.look(network).await;
    let ballasts: Vec<PathBuf> = (0..4).map(|n| seen_by(network, &data(home, n))).collect();
    let since = Instant::now();
    let filling: Vec<_> = ballasts
        .iter()
        .map(|ballast| {
            let ballast = ballast.clone();
            tokio::task::spawn_blocking(move || fill(&ballast))
        })
        .collect();
    for _ in 0..6 {
        client.send(network, 0).await;
    }
    for filled in filling {
        filled.await.unwrap();
    }
    for node in 0..4 {
        says_it(network, home, node, since).await;
    }
    for node in 0..4 {
        the_doctor_says_it(network, node).await;
    }
    assert!(!client.send(network, 0).await, "nothing is accepted that could be lost");
    ballasts.iter().for_each(|ballast| empty(ballast));
    let newest = *seen.blocks.keys().last().unwrap();
    for node in 0..4 {
        network.until(node, "/v1/status", "blocks again", |s| s["height"].as_u64() > Some(newest + 3)).await;
    }
    seen.look(network).await;
}

/// A process that is killed while its disk is full starts again, waits, and goes on.
async fn killed_while_full(network: &Network, home: &Path, seen: &mut Seen) {
    let ballast = seen_by(network, &data(home, 2));
    fill(&ballast);
    let waits = |network: &Network| {
        let url = format!("{}/v1/status", network.apis[2]);
        async move {
            let deadline = Instant::now() + PATIENCE;
            loop {
                if let Ok(answer) = reqwest::get(&url).await
                    && let Ok(body) = answer.json::<Value>().await
                    && code(&body) == "disk_full"
                {
                    return;
                }
                assert!(Instant::now() < deadline, "node 2 does not say that its disk is full");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    };
    waits(network).await;
    let pid = pid_of(network.processes(), 2);
    signal(pid, rustix::process::Signal::KILL);
    let deadline = Instant::now() + PATIENCE;
    while pid_of(network.processes(), 2) == pid {
        assert!(Instant::now() < deadline, "node 2 was not started again");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    waits(network).await;
    seen.look(network).await;
    empty(&ballast);
    let reached = height(network, 0).await;
    network.until(2, "/v1/status", "the killed one", |s| s["height"].as_u64() > Some(reached)).await;
}

fn pid_of(processes: &Processes, validator: usize) -> u32 {
    processes.running().get(&format!("validator-{validator}")).copied().unwrap_or_default()
}
