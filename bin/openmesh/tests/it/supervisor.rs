//! The supervisor is lost, and nothing stops; the next one takes over what runs; `openmesh down` stops all.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::process::Signal;
use serde_json::Value;

use crate::network::{Network, PATIENCE, binary, is_alive, program_at, signal};
use crate::path::SIMULATED;

#[tokio::test(flavor = "multi_thread")]
async fn validators_go_on_without_it_and_the_next_one_takes_them_over() {
    let home = tempfile::tempdir().unwrap();
    let network = Network::start(home.path(), &SIMULATED).await;
    network.until(3, "/v1/status", "a block", |s| s["height"].as_u64() > Some(0)).await;
    let written = precious(home.path());
    assert_eq!(written.len(), 4 * 3 + 2, "keys, genesis and settings: {:?}", written.keys());
    let apis = network.apis.clone();

    let adrift = network.lose().await;
    let before = adrift.running();
    assert_eq!(before.len(), 5, "four validators and the venues' server: {before:?}");
    for api in &apis {
        commits(api, 5).await;
    }
    assert_eq!(adrift.running(), before, "nothing ended");

    let mut network = Network::start(home.path(), &SIMULATED).await;
    assert_eq!(network.processes().running(), before, "the same processes");
    assert_eq!(network.apis, apis);
    a_second_one_says_so(home.path(), &apis[0]).await;

    // One that was taken over is kept running like any other.
    let victim = before["validator-2"];
    signal(victim, Signal::KILL);
    let is_back = || network.processes().running().get("validator-2").is_some_and(|pid| *pid != victim);
    until("validator-2 was started again", is_back).await;
    network.until(2, "/v1/status", "the restarted validator", |s| s["height"].as_u64() > Some(5)).await;

    let all = network.processes().running();
    let (code, said) = down(home.path()).await;
    assert_eq!(code, 0, "{said}");
    assert_eq!(network.ended().await, 0, "the supervisor drained and ended");
    all.iter().for_each(|(name, pid)| assert!(!is_alive(*pid), "{name} still runs:\n{said}"));
    assert_eq!(precious(home.path()), written, "no key and nothing that a person may have written has changed");
    let (code, said) = down(home.path()).await;
    assert!(code == 0 && said.contains("nothing runs in"), "{said}");
    drop(adrift);
}

#[tokio::test(flavor = "multi_thread")]
async fn down_stops_what_has_lost_its_supervisor_and_settings_count_from_the_next_start() {
    let home = tempfile::tempdir().unwrap();
    let network = Network::start(home.path(), &SIMULATED).await;
    let adrift = network.lose().await;
    let all = adrift.running();
    let (code, said) = down(home.path()).await;
    assert_eq!(code, 0, "{said}");
    for (name, pid) in &all {
        assert!(said.contains(&format!("stopped  {name} (process {pid})")), "{name}:\n{said}");
        assert!(!is_alive(*pid), "{name} still runs:\n{said}");
    }

    // What a person writes is kept, and counts.
    let settings = home.path().join("simulated/validator-0/node.toml");
    let text = "# mine\n[limits]\nquery_rows_max = 3\n";
    std::fs::write(&settings, text).unwrap();
    let network = Network::start(home.path(), &SIMULATED).await;
    let rows = network.sql("select * from generate_series(1, 10)").await;
    assert_eq!(rows.len(), 3);
    assert_eq!(std::fs::read_to_string(&settings).unwrap(), text);
    assert_eq!(network.stop().await, 0);
}

/// One that does not start any more is tried again and named; the others go on, and it comes back once it can.
#[tokio::test(flavor = "multi_thread")]
async fn a_validator_that_does_not_come_back_stops_no_other() {
    let home = tempfile::tempdir().unwrap();
    let network = Network::start(home.path(), &SIMULATED).await;
    let settings = home.path().join("simulated/validator-3/node.toml");
    let whole = std::fs::read(&settings).unwrap();
    std::fs::write(&settings, "a slip of the pen\n").unwrap();
    let others = without(network.processes().running(), "validator-3");
    signal(network.processes().running()["validator-3"], Signal::KILL);
    let board = || -> Value {
        let text = std::fs::read(home.path().join("simulated/supervisor.json")).unwrap();
        serde_json::from_slice::<Value>(&text).unwrap()["parts"]["validator-3"].clone()
    };
    until("it was tried again and again", || board()["ends"].as_u64() >= Some(3)).await;
    assert!(board()["last_end"][1].as_str().unwrap().contains("exit code 2"), "{}", board());
    for api in &network.apis[..3] {
        commits(api, 3).await;
    }
    assert_eq!(without(network.processes().running(), "validator-3"), others, "the others are the same processes");
    let doctor = ["doctor", "--api", &network.apis[0], "--home"];
    let output = binary().args(doctor).arg(home.path()).output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("validator-3 ended") && said.contains("node.log"), "{said}");

    std::fs::write(&settings, whole).unwrap();
    network.until(3, "/v1/status", "it is back", |s| s["height"].as_u64() > Some(3)).await;
    assert_eq!(network.stop().await, 0);
}

/// A new build takes the place of the program while a network runs: what ends is started again all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_validator_comes_back_although_the_program_was_replaced() {
    let (home, own) = (tempfile::tempdir().unwrap(), Path::new(env!("CARGO_BIN_EXE_openmesh")));
    // A name of its own, on the same file system: a copy that is still open where another test starts something cannot be run.
    let folder = tempfile::tempdir_in(own.parent().unwrap()).unwrap();
    let program = folder.path().join("program");
    std::fs::hard_link(own, &program).unwrap();
    let network = Network::start_as(&mut program_at(&program), home.path(), &["--simulate", "--validators", "1"]).await;
    std::fs::remove_file(&program).unwrap();
    let before = network.processes().running()["validator-0"];
    signal(before, Signal::KILL);
    let is_back = || network.processes().running().get("validator-0").is_some_and(|pid| *pid != before);
    until("it was started again", is_back).await;
    assert_eq!(network.stop().await, 0);
}

/// Tests and benchmarks name a process with which everything that they start ends, however it ends itself.
#[tokio::test]
async fn what_follows_a_process_ends_with_it() {
    let mut leader = std::process::Command::new("sleep").arg("600").spawn().unwrap();
    let home = tempfile::tempdir().unwrap();
    let mut follower = binary()
        .env("OPENMESH_STOP_WITH", leader.id().to_string())
        .args(["venues", "--home"])
        .arg(home.path())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let record = home.path().join("running.json");
    until("it runs", || record.exists()).await;
    assert_eq!(follower.try_wait().unwrap(), None);
    leader.kill().unwrap();
    leader.wait().unwrap();
    let status = tokio::time::timeout(PATIENCE, follower.wait()).await.expect("it ends too").unwrap();
    assert!(status.success(), "in order: {status}");
    assert!(!record.exists(), "and says that it runs no more");
}

fn without(mut all: BTreeMap<String, u32>, name: &str) -> BTreeMap<String, u32> {
    all.remove(name);
    all
}

/// Waits until something is so.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}: it did not come about");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

/// Keys, genesis and settings with their bytes.
fn precious(home: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let root = home.join("simulated");
    let mut paths = vec![root.join("faucet.key"), root.join("genesis.json")];
    for number in 0..4 {
        let dir = root.join(format!("validator-{number}"));
        paths.extend(["validator.key", "genesis.json", "node.toml"].map(|file| dir.join(file)));
    }
    paths.into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

/// Waits until the node has committed so many more blocks.
async fn commits(api: &str, blocks: u64) {
    let http = reqwest::Client::new();
    let deadline = Instant::now() + PATIENCE;
    let mut first = None;
    loop {
        if let Ok(answer) = http.get(format!("{api}/v1/status")).send().await {
            let height = answer.json::<Value>().await.unwrap()["height"].as_u64().unwrap();
            if height >= *first.get_or_insert(height) + blocks {
                return;
            }
        }
        assert!(Instant::now() < deadline, "{api} commits nothing");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
}

async fn a_second_one_says_so(home: &Path, api: &str) {
    let output = binary().args(["up", "--simulate", "--port", "0", "--home"]).arg(home).output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    for word in ["runs already", "(process ", api, "down --home"] {
        assert!(said.contains(word), "{word:?} is not in\n{said}");
    }
}

async fn down(home: &Path) -> (i32, String) {
    let output = binary().arg("down").arg("--home").arg(home).output().await.unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8_lossy(&said).into_owned())
}
