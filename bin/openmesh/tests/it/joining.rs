//! A new node joins validators that do not have the first blocks any more: by a snapshot, with a liar among those who serve it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use openmesh_ledger::{EpochsParams, Genesis, GenesisValidator, Params};
use openmesh_primitives::{Address, Amount, Timestamp, ValidatorKey, sha256};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Child;

use crate::network::{PATIENCE, binary};
use crate::ports::free_port;

/// Validators; the last one spoils the chunks that it serves.
const VALIDATORS: u8 = 4;
/// Accounts, enough for more chunks than one.
const ACCOUNTS: u32 = 6_000;
/// Longest wait for anything while a million accounts are made.
const LONG: Duration = Duration::from_secs(1_200);

/// A node in a process of its own, with what it writes.
struct Node {
    process: Child,
    api: String,
    log: Arc<Mutex<String>>,
}

impl Node {
    /// Starts `openmesh node`; it may not be ready yet.
    fn start(home: &Path, api: &str) -> Node {
        let mut command = binary();
        command.args(["node", "--home"]).arg(home).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = command.spawn().expect("openmesh node");
        let mut lines = BufReader::new(process.stderr.take().expect("stderr")).lines();
        let log = Arc::new(Mutex::new(String::new()));
        let written = Arc::clone(&log);
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                written.lock().unwrap().push_str(&(line + "\n"));
            }
        });
        Node { process, api: format!("http://{api}"), log }
    }

    async fn get(&self, path: &str) -> Option<(u16, Value)> {
        let answer = http().get(format!("{}{path}", self.api)).send().await.ok()?;
        let status = answer.status().as_u16();
        Some((status, answer.json().await.unwrap_or(Value::Null)))
    }

    /// Asks again and again until the answer is as wanted.
    async fn until(&self, path: &str, wanted: impl Fn(u16, &Value) -> bool) -> Value {
        self.until_within(PATIENCE, path, wanted).await
    }

    async fn until_within(&self, limit: Duration, path: &str, wanted: impl Fn(u16, &Value) -> bool) -> Value {
        let deadline = Instant::now() + limit;
        let mut last = None;
        while Instant::now() < deadline {
            last = self.get(path).await;
            if let Some((status, body)) = &last
                && wanted(*status, body)
            {
                return body.clone();
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{path} of {}: {last:?}\n{}", self.api, self.log.lock().unwrap());
    }

    fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }
}

fn http() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().timeout(Duration::from_secs(10)).build().expect("client")
}

fn key(number: u8) -> ValidatorKey {
    ValidatorKey::from_seed([number + 1; 32])
}

fn genesis(accounts: u32) -> Genesis {
    let validator = |n| GenesisValidator { public_key: key(n).public(), power: 1, name: format!("v{n}"), payout: None };
    let address = |n: u32| {
        let mut address = [0; 20];
        address.copy_from_slice(&sha256(&[&n.to_be_bytes()]).0[..20]);
        Address(address)
    };
    Genesis {
        chain_id: 84_777,
        name: "joining".into(),
        time: Timestamp::from_millis(Timestamp::now().millis()),
        validators: (0..VALIDATORS).map(validator).collect(),
        accounts: (0..accounts).map(|n| (address(n), Amount::open(1))).collect(),
        sources: Vec::new(),
        source_owners: Default::default(),
        // Blocks are kept for an epoch: three seconds.
        params: Params { epochs: EpochsParams { epoch_ms: 3_000, ..EpochsParams::default() }, ..Params::default() },
    }
}

/// Free addresses: API, consensus, network of each node. Some nodes start much later, so that nobody else may be given them.
fn addresses(nodes: usize) -> Vec<[String; 3]> {
    (0..nodes).map(|_| [(); 3].map(|()| format!("127.0.0.1:{}", free_port()))).collect()
}

fn multiaddress(address: &str) -> String {
    let (host, port) = address.split_once(':').unwrap();
    format!("/ip4/{host}/tcp/{port}")
}

/// Writes the homes of four validators and a fifth node that is none.
fn homes(root: &Path, addresses: &[[String; 3]], accounts: u32, proof_heights: u64) -> Vec<PathBuf> {
    let genesis = serde_json::to_vec(&genesis(accounts)).unwrap();
    let write = |number: usize| {
        let home = root.join(format!("node-{number}"));
        std::fs::create_dir_all(&home).unwrap();
        let others = |which: usize| -> Vec<String> {
            let others = addresses.iter().enumerate().filter(|(n, _)| *n != number && *n < VALIDATORS as usize);
            others.map(|(_, address)| multiaddress(&address[which])).collect()
        };
        let [api, consensus, network] = &addresses[number];
        let settings = format!(
            "api = \"{api}\"\n[consensus]\nlisten = \"{consensus}\"\npeers = {:?}\nidle_block_ms = 200\n\
             [network]\nlisten = [\"{}\"]\npeers = {:?}\n\
             [storage]\nretain_epochs = 1\nproof_heights = {proof_heights}\n[sync]\nsnapshot_interval_heights = 10\n\
             [drill]\nspoil_snapshots = {}\n",
            others(1),
            multiaddress(network),
            others(2),
            number == VALIDATORS as usize - 1,
        );
        std::fs::write(home.join("node.toml"), settings).unwrap();
        std::fs::write(home.join("genesis.json"), &genesis).unwrap();
        std::fs::write(home.join("validator.key"), hex(&key(number as u8).seed())).unwrap();
        home
    };
    (0..addresses.len()).map(write).collect()
}

/// A block that was there, and where to look for it.
fn is_gone(status: u16, body: &Value) -> bool {
    status == 404 && body["error"]["hint"].as_str().is_some_and(|hint| hint.contains("storage.archive"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fifth_node_joins_by_a_snapshot_and_names_the_liar() {
    let root = tempfile::tempdir().unwrap();
    let addresses = addresses(VALIDATORS as usize + 1);
    let homes = homes(root.path(), &addresses, ACCOUNTS, 60);
    let start = |n: usize| Node::start(&homes[n], &addresses[n][0]);
    let validators: Vec<Node> = (0..VALIDATORS as usize).map(start).collect();
    for validator in &validators {
        validator.until("/v1/status", |status, _| status == 200).await;
    }
    // The first blocks are gone everywhere: the genesis' state leads nowhere any more.
    for validator in &validators {
        validator.until("/v1/blocks/1", is_gone).await;
    }

    let mut joiner = start(VALIDATORS as usize);
    let status = joiner.until("/v1/status", |status, body| status == 200 && body["height"].as_u64() > Some(0)).await;
    assert!(status["oldest_block"].as_u64() > Some(1), "it does not claim to have what it has not: {status}");
    let log = joiner.log();
    assert!(log.contains("joining by a snapshot whose header is certified"), "{log}");
    // The liar, by its name on the network, and nobody else.
    let liar = openmesh_network::peer_id(sha256(&[b"openmesh peer identity", &key(VALIDATORS - 1).seed()]).0).unwrap();
    let named: Vec<&str> = log.lines().filter(|line| line.contains("a peer lied while this node joins")).collect();
    assert!(!named.is_empty() && named.iter().all(|line| line.contains(&liar.to_string())), "{liar} in\n{log}");

    // It follows, and has the same state: the next header names its root.
    let from = status["height"].as_u64().unwrap();
    joiner.until("/v1/status", |_, body| body["height"].as_u64() >= Some(from + 20)).await;
    let here = joiner.until(&format!("/v1/blocks/{}", from + 20), |status, _| status == 200).await;
    let there = validators[0].until(&format!("/v1/blocks/{}", from + 20), |status, _| status == 200).await;
    assert_eq!((&here["hash"], &here["state_root"]), (&there["hash"], &there["state_root"]));
    assert!(here["hash"].is_string() && here["state_root"].is_string(), "{here}");

    // Killed and started again it is where it was, and joins no second time.
    joiner.process.kill().await.unwrap();
    let joiner = start(VALIDATORS as usize);
    joiner.until("/v1/status", |_, body| body["height"].as_u64() > Some(from + 20)).await;
    assert!(!joiner.log().contains("joining by a snapshot"), "{}", joiner.log());
}

/// Figures, printed: `cargo test -p openmesh --test it joining -- --ignored --nocapture`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes to make a million accounts at four validators; prints figures"]
async fn measure_a_join_with_a_million_accounts() {
    let root = tempfile::tempdir().unwrap();
    let addresses = addresses(VALIDATORS as usize + 1);
    // So many that the blocks after the snapshot are still there when it is built.
    let homes = homes(root.path(), &addresses, 1_000_000, 600);
    let start = |n: usize| Node::start(&homes[n], &addresses[n][0]);
    let validators: Vec<Node> = (0..VALIDATORS as usize).map(start).collect();
    for validator in &validators {
        validator.until_within(LONG, "/v1/blocks/1", is_gone).await;
    }
    let begun = Instant::now();
    let joiner = start(VALIDATORS as usize);
    let joined = joiner
        .until_within(LONG, "/v1/status", |status, body| status == 200 && body["height"].as_u64() > Some(0))
        .await;
    let ready = begun.elapsed();
    let tip = validators[0].until("/v1/status", |status, _| status == 200).await["height"].as_u64().unwrap();
    let there = validators[0].until(&format!("/v1/blocks/{tip}"), |status, _| status == 200).await;
    let here = joiner.until_within(LONG, &format!("/v1/blocks/{tip}"), |status, _| status == 200).await;
    println!(
        "joined with a million accounts in {:.1} s, at the head after {:.1} s (oldest block {})",
        ready.as_secs_f64(),
        begun.elapsed().as_secs_f64(),
        joined["oldest_block"]
    );
    assert_eq!(here["state_root"], there["state_root"]);
    println!(
        "{}",
        joiner
            .log()
            .lines()
            .filter(|line| line.contains("join") || line.contains("lied"))
            .collect::<Vec<_>>()
            .join("\n")
    );
}
