//! Nodes in processes of their own, with the program that a test gives them.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use openmesh_ledger::{Genesis, GenesisValidator, Params};
use openmesh_primitives::{AccountKey, Amount, Timestamp, ValidatorKey};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::ports::free_port;

/// Longest wait for anything on a machine that compiles beside the tests.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// Validators.
pub const VALIDATORS: usize = 4;
/// The network's number.
pub const CHAIN_ID: u64 = 84_778;
/// Pause between two questions about something that takes some blocks.
const POLL: Duration = Duration::from_millis(100);

/// The program with the rule sets up to a version.
pub fn program(newest: u32) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_openmesh-trial-node"));
    // What is started ends with this process, however that ends.
    command.env("OPENMESH_STOP_WITH", std::process::id().to_string()).env("OPENMESH_LOG", "info").kill_on_drop(true);
    command.env("OPENMESH_TRIAL_RULES", newest.to_string());
    command
}

/// A node in a process of its own, with what it writes.
pub struct Node {
    process: Child,
    pub api: String,
    log: Arc<Mutex<String>>,
}

impl Node {
    /// Starts a node; it may not be ready yet.
    pub fn start(home: &Path, api: &str, newest: u32) -> Node {
        let mut command = program(newest);
        command.args(["node", "--home"]).arg(home).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = command.spawn().expect("a node");
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

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.id().expect("it runs")
    }

    /// `GET` of a path: status and body.
    pub async fn get(&self, path: &str) -> Option<(u16, Value)> {
        let answer = http().get(format!("{}{path}", self.api)).send().await.ok()?;
        let status = answer.status().as_u16();
        Some((status, answer.json().await.unwrap_or(Value::Null)))
    }

    /// Asks again and again until the answer is as wanted.
    pub async fn until(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        let mut last = None;
        while Instant::now() < deadline {
            last = self.get(path).await;
            if let Some((200, body)) = &last
                && wanted(body)
            {
                return body.clone();
            }
            tokio::time::sleep(POLL).await;
        }
        panic!("{path} of {}: {last:?}\n{}", self.api, self.log());
    }

    /// Waits until its last block has this height or a later one.
    pub async fn reaches(&self, height: u64) -> Value {
        self.until("/v1/status", |body| body["height"].as_u64() >= Some(height)).await
    }

    /// Hands a transaction in: status and body.
    pub async fn submit(&self, bytes: &[u8]) -> (u16, Value) {
        let body = serde_json::json!({ "bytes": hex::encode(bytes) });
        let answer = http().post(format!("{}/v1/transactions", self.api)).json(&body).send().await.expect("an answer");
        (answer.status().as_u16(), answer.json().await.unwrap_or(Value::Null))
    }

    /// Waits until it has ended by itself.
    pub async fn ended(&mut self) -> ExitStatus {
        match tokio::time::timeout(PATIENCE, self.process.wait()).await {
            Ok(status) => status.expect("status"),
            Err(_) => panic!("it has not ended\n{}", self.log()),
        }
    }

    /// Waits until it has written these words: what a process wrote last is read a moment after its end.
    pub async fn says(&self, words: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.log().contains(words) {
            assert!(Instant::now() < deadline, "{words:?} is not in\n{}", self.log());
            tokio::time::sleep(POLL).await;
        }
    }

    /// `kill -9`.
    pub async fn kill(mut self) {
        self.process.kill().await.expect("killed");
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }
}

/// A client of HTTP.
pub fn http() -> reqwest::Client {
    // Only plain HTTP is spoken here, but the client wants to know its TLS provider.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().timeout(Duration::from_secs(10)).build().expect("client")
}

/// The key of a validator.
pub fn key(number: usize) -> ValidatorKey {
    ValidatorKey::from_seed([number as u8 + 1; 32])
}

/// The account that writes notes.
pub fn writer() -> AccountKey {
    AccountKey::from_bytes([9; 32]).unwrap()
}

fn genesis() -> Genesis {
    let validator = |n| GenesisValidator { public_key: key(n).public(), power: 1, name: format!("v{n}"), payout: None };
    Genesis {
        chain_id: CHAIN_ID,
        name: "upgrades".into(),
        time: Timestamp::from_millis(Timestamp::now().millis()),
        validators: (0..VALIDATORS).map(validator).collect(),
        accounts: vec![(writer().address(), Amount::open(1_000))],
        sources: Vec::new(),
        source_owners: Default::default(),
        allocation: Default::default(),
        params: Params::default(),
    }
}

/// Free addresses: API, consensus, network of each node. Nodes end and come again at the same ones, so nobody else may get them meanwhile.
pub fn addresses(nodes: usize) -> Vec<[String; 3]> {
    (0..nodes).map(|_| [(); 3].map(|()| format!("127.0.0.1:{}", free_port()))).collect()
}

fn multiaddress(address: &str) -> String {
    let (host, port) = address.split_once(':').unwrap();
    format!("/ip4/{host}/tcp/{port}")
}

/// Writes the homes of four validators and of followers behind them.
pub fn homes(root: &Path, addresses: &[[String; 3]]) -> Vec<PathBuf> {
    let genesis = serde_json::to_vec(&genesis()).unwrap();
    let write = |number: usize| {
        let home = root.join(format!("node-{number}"));
        std::fs::create_dir_all(&home).unwrap();
        let others = |which: usize| -> Vec<String> {
            let others = addresses.iter().enumerate().filter(|(n, _)| *n != number && *n < VALIDATORS);
            others.map(|(_, address)| multiaddress(&address[which])).collect()
        };
        let [api, consensus, network] = &addresses[number];
        let settings = format!(
            "api = \"{api}\"\n[consensus]\nlisten = \"{consensus}\"\npeers = {:?}\nidle_block_ms = 200\n\
             [network]\nlisten = [\"{}\"]\npeers = {:?}\n[storage]\narchive = true\n[xnode]\n",
            others(1),
            multiaddress(network),
            others(2),
        );
        std::fs::write(home.join("node.toml"), settings).unwrap();
        std::fs::write(home.join("genesis.json"), &genesis).unwrap();
        std::fs::write(home.join("validator.key"), hex::encode(key(number).seed())).unwrap();
        home
    };
    (0..addresses.len()).map(write).collect()
}
