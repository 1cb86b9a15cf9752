//! `openmesh up` of a program that the network leaves behind: it says so and does not start its validator again and again, and the newer
//! program goes on with the same home. Clause U6 of `docs/spec/upgrades.md`.

use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Child;

use crate::node::{PATIENCE, http, program};
use crate::upgrade::done;

/// The plan is for so many blocks ahead: its ballot comes before it, also where a process takes seconds to start and blocks come each 200 ms.
const AHEAD: u64 = 40;
/// Pause between two looks at something that takes some blocks.
const POLL: Duration = Duration::from_millis(100);

/// `openmesh up` in a process of its own, with what it says.
struct Supervisor {
    process: Child,
    said: Arc<Mutex<String>>,
}

impl Supervisor {
    /// Starts a network of one validator, or goes on with it, and waits until it is ready.
    async fn start(home: &Path, newest: u32) -> Supervisor {
        let mut command = program(newest);
        // No network of these tests needs an agent of the Xnode.
        command.env("OPENMESH_NO_XNODE", "true").args(["up", "--simulate", "--validators", "1", "--port", "0"]);
        command.arg("--home").arg(home).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut process = command.spawn().expect("openmesh up");
        let mut lines = BufReader::new(process.stdout.take().expect("stdout")).lines();
        let said = Arc::new(Mutex::new(String::new()));
        let written = Arc::clone(&said);
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                written.lock().unwrap().push_str(&(line + "\n"));
            }
        });
        let supervisor = Supervisor { process, said };
        supervisor.says("\nready\n").await;
        supervisor
    }

    /// Waits until it has said these words.
    async fn says(&self, words: &str) {
        let said = || self.said.lock().unwrap().clone();
        until(|| said().contains(words), || format!("{words:?} is not in\n{}", said())).await;
    }

    /// Stops all with `openmesh down`, and waits for its end.
    async fn stop(mut self, home: &Path, newest: u32) {
        let output = program(newest).args(["down", "--home"]).arg(home).output().await.expect("openmesh down");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let ended = tokio::time::timeout(PATIENCE, self.process.wait()).await.expect("it ends").expect("status");
        assert!(ended.success(), "{ended}\n{}", self.said.lock().unwrap());
    }
}

async fn until(is_so: impl Fn() -> bool, otherwise: impl Fn() -> String) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{}", otherwise());
        tokio::time::sleep(POLL).await;
    }
}

fn json(path: &Path) -> Value {
    std::fs::read(path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or(Value::Null)
}

/// Address of the API of the validator in a folder.
fn api(validator: &Path) -> String {
    let record = json(&validator.join("running.json"));
    format!("http://{}", record["ready"]["api"].as_str().expect("it serves"))
}

async fn ask(api: &str, path: &str) -> Value {
    http().get(format!("{api}{path}")).send().await.expect("an answer").json().await.expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outdated_validator_is_not_started_again_and_again() {
    let home = tempfile::tempdir().unwrap();
    let network = home.path().join("simulated");
    let validator = network.join("validator-0");
    let old = Supervisor::start(home.path(), 1).await;
    let url = api(&validator);
    let height = ask(&url, "/v1/status").await["height"].as_u64().expect("a height") + AHEAD;
    let (at, digest) = (height.to_string(), "7".repeat(64));
    let (key, what) = (validator.to_str().unwrap(), ["plan", "--rules", "2", "--release", "trial-2"]);
    let whose = ["--height", at.as_str(), "--digest", digest.as_str(), "--home", key, "--api", url.as_str()];
    let said = done(1, &[&what[..], &whose[..]].concat()).await;
    assert!(said.contains("the plan stands"), "{said}");

    old.says("validator-0 ended (the network has come further than this program").await;
    old.says("it is not started again").await;
    let board = || json(&network.join("supervisor.json"))["parts"]["validator-0"].clone();
    until(|| board()["trouble"].is_string(), || format!("{:#}", board())).await;
    let output = program(1).args(["doctor", "--home"]).arg(home.path()).arg("--api").arg(&url).output().await.unwrap();
    let found = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(found.contains("does not start") && found.contains("install the release"), "{found}");
    assert_eq!((board()["ends"].as_u64(), &board()["pid"]), (Some(1), &Value::Null), "{:#}", board());
    let log = std::fs::read_to_string(validator.join("node.log")).unwrap();
    assert!(log.contains(&format!("this node stops: height {height} needs rule set 2")), "{log}");
    old.stop(home.path(), 1).await;

    let new = Supervisor::start(home.path(), 2).await;
    let url = api(&validator);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let info = ask(&url, "/v1/upgrade").await;
        if info["version"] == 2 && info["height"].as_u64() > Some(height) {
            break;
        }
        assert!(Instant::now() < deadline, "{info:#}");
        tokio::time::sleep(POLL).await;
    }
    new.stop(home.path(), 2).await;
}
