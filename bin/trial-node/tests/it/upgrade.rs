//! A network of four validators that upgrades: nobody who has the rules is restarted, the others stop before them and go on with a
//! newer program, a late node comes by blocks, and a rehearsal has said which root it will be.

use std::path::{Path, PathBuf};

use openmesh_ledger::{AccountTransaction, Action, Transaction};
use openmesh_primitives::Amount;
use serde_json::Value;

use crate::node::{CHAIN_ID, Node, VALIDATORS, addresses, homes, program, writer};

/// Fee of a note: the default network's minimum.
const FEE: Amount = Amount(1_000_000_000_000);
/// The plan that everybody approves is for so many blocks ahead: a dozen commands and a rehearsal come before it.
const AHEAD: u64 = 200;
/// The plan that lapses is for so many blocks ahead: two ballots come before it.
const SHORTLY_AHEAD: u64 = 60;

fn note(nonce: u64, text: &str) -> Vec<u8> {
    let action = Action::from(openmesh_trial::note(text));
    Transaction::Account(AccountTransaction::sign(&writer(), CHAIN_ID, nonce, FEE, action).unwrap()).encode()
}

/// Runs `openmesh upgrade` of a program that knows rule sets up to a version; returns whether it succeeded, and all that it says.
async fn upgrade(newest: u32, arguments: &[&str]) -> (bool, String) {
    let mut command = program(newest);
    command.arg("upgrade").args(arguments).env("OPENMESH_LOG", "warn");
    let output = command.output().await.expect("openmesh upgrade");
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    (output.status.success(), said)
}

/// The same that must succeed.
pub async fn done(newest: u32, arguments: &[&str]) -> String {
    let (ok, said) = upgrade(newest, arguments).await;
    assert!(ok, "{arguments:?}: {said}");
    said
}

/// The same that must be refused with these words.
async fn refused(newest: u32, arguments: &[&str], words: &str) {
    let (ok, said) = upgrade(newest, arguments).await;
    assert!(!ok && said.contains(words), "{arguments:?} should say {words:?}: {said}");
}

fn words(owned: &[String]) -> Vec<&str> {
    owned.iter().map(String::as_str).collect()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn rehearsed(said: &str) -> Value {
    let json = said.find('{').map(|from| &said[from..=said.rfind('}').unwrap()]);
    serde_json::from_str(json.unwrap_or_else(|| panic!("{said}"))).unwrap_or_else(|error| panic!("{error}: {said}"))
}

/// A network of four, of which the last runs the old program, with its newcomers' homes.
struct Cluster {
    validators: Vec<Node>,
    homes: Vec<PathBuf>,
    addresses: Vec<[String; 3]>,
    _root: tempfile::TempDir,
}

impl Cluster {
    /// Starts it, and waits until blocks come.
    async fn start() -> Cluster {
        let root = tempfile::tempdir().unwrap();
        let addresses = addresses(VALIDATORS + 1);
        let homes = homes(root.path(), &addresses);
        let mut cluster = Cluster { validators: Vec::new(), homes, addresses, _root: root };
        // The fifth node comes when all is over.
        for number in 0..VALIDATORS {
            let newest = if number == VALIDATORS - 1 { 1 } else { 2 };
            let node = cluster.node(number, newest);
            cluster.validators.push(node);
        }
        for validator in &cluster.validators {
            validator.reaches(2).await;
        }
        cluster
    }

    /// Starts a node by its number.
    fn node(&self, number: usize, newest: u32) -> Node {
        Node::start(&self.homes[number], &self.addresses[number][0], newest)
    }

    fn home(&self, number: usize) -> &str {
        text(&self.homes[number])
    }

    fn api(&self) -> &str {
        &self.validators[0].api
    }

    /// Words of a plan by a validator.
    fn plan(&self, rules: &str, height: u64, by: usize) -> Vec<String> {
        let (height, digest) = (height.to_string(), digest());
        let what = ["plan", "--rules", rules, "--height", &height, "--release", "trial-2", "--digest", &digest];
        let whose = ["--home", self.home(by), "--api", self.api()];
        [&what[..], &whose[..]].concat().into_iter().map(str::to_owned).collect()
    }
}

/// The hash that the plans name.
fn digest() -> String {
    "7".repeat(64)
}

/// Clauses U3 to U6, U9 and U10.
#[tokio::test(flavor = "multi_thread")]
async fn a_network_upgrades_live_and_the_old_program_stops() {
    let mut cluster = Cluster::start().await;
    let pids: Vec<u32> = cluster.validators.iter().map(Node::pid).collect();
    let first = &cluster.validators[0];
    // Those who know more than is in force say so by themselves; the new action is not there yet.
    first
        .until("/v1/upgrade", |body| {
            body["validators"].as_array().unwrap().iter().filter(|v| v["knows"] == 2).count() == VALIDATORS - 1
        })
        .await;
    let (status, body) = first.submit(&note(0, "early")).await;
    assert_eq!((status, &body["error"]["ledger_code"]), (400, &Value::from("action_not_in_force")), "{body}");

    let height = first.reaches(3).await["height"].as_u64().unwrap() + AHEAD;
    plans_are_refused_in_their_own_words(&cluster, height).await;
    planned_and_approved(&cluster, height).await;
    rehearsed_over_the_api(&cluster, height).await;
    let predicted = the_old_program_stops(&mut cluster, height).await;
    for validator in &cluster.validators {
        let info = validator.until("/v1/upgrade", |body| body["version"] == 2).await;
        assert_eq!(
            (info["since"].as_u64(), &info["history"][0]["migrated_root"]),
            (Some(height), &predicted["migrated_root"])
        );
    }
    // Whoever has the rules was not restarted, and the new action takes effect.
    assert_eq!(cluster.validators.iter().map(Node::pid).collect::<Vec<_>>(), pids[..VALIDATORS - 1]);
    the_new_action_takes_effect(&cluster.validators[1]).await;
    everybody_comes_to_the_same(&mut cluster, height, &predicted).await;
}

async fn plans_are_refused_in_their_own_words(cluster: &Cluster, height: u64) {
    refused(1, &words(&cluster.plan("2", 1, 0)), "which is past").await;
    refused(1, &words(&cluster.plan("1", height, 0)), "is in force: a plan is for a later one").await;
    refused(1, &words(&cluster.plan("2", height, VALIDATORS)), "is not among the validators in force").await;
}

/// Planned by one, approved by two more, and told by the status.
async fn planned_and_approved(cluster: &Cluster, height: u64) {
    let said = done(1, &words(&cluster.plan("2", height, 0))).await;
    assert!(
        said.contains("v0 approves plan") && said.contains("1 of 4 of the power approve it, 3 are needed"),
        "{said}"
    );
    refused(1, &words(&cluster.plan("3", height, 0)), "one approval a height").await;
    let (second, fourth) = (["--home", cluster.home(1)], ["--home", cluster.home(3)]);
    let api = ["--api", cluster.api()];
    done(1, &[&["approve"][..], &second[..], &api[..]].concat()).await;
    done(1, &[&["withdraw"][..], &second[..], &api[..]].concat()).await;
    let said = done(1, &[&["approve"][..], &second[..], &fourth[..], &api[..]].concat()).await;
    assert!(said.contains("the plan stands: 3 of 4"), "{said}");
    let said = done(2, &["status", "--api", &cluster.validators[3].api]).await;
    assert!(said.contains("stops before it: install trial-2") && said.contains("not ready"), "{said}");
}

/// Over the API of a node that runs, whatever its program; the old program cannot rehearse what it does not know.
async fn rehearsed_over_the_api(cluster: &Cluster, height: u64) {
    let said = done(2, &["rehearse", "--api", &cluster.validators[3].api, "--json"]).await;
    let rehearsal = rehearsed(&said);
    assert_eq!(
        (rehearsal["from"].as_u64(), rehearsal["to"].as_u64(), &rehearsal["plan_height"]),
        (Some(1), Some(2), &Value::from(height))
    );
    assert_eq!(rehearsal["keys"]["validator"]["changed"], VALIDATORS, "{said}");
    refused(1, &["rehearse", "--api", cluster.api(), "--rules", "2"], "needs rule set 2").await;
    refused(2, &["rehearse", "--api", cluster.api(), "--rules", "1"], "is in force already").await;
}

/// The old program stops before the height, with what to do, and again when it is started again. Its store is at the height before:
/// returns the rehearsal on it, which predicts the root that the others compute.
async fn the_old_program_stops(cluster: &mut Cluster, height: u64) -> Value {
    let mut old = cluster.validators.pop().unwrap();
    let status = old.ended().await;
    assert_eq!(status.code(), Some(3), "{}", old.log());
    let message =
        format!("this node stops: height {height} needs rule set 2, which comes with trial-2 (SHA-256 {})", digest());
    old.says(&message).await;
    let mut again = cluster.node(VALIDATORS - 1, 1);
    assert_eq!(again.ended().await.code(), Some(3), "{}", again.log());
    again.says(&message).await;
    let said = done(2, &["rehearse", "--home", cluster.home(VALIDATORS - 1), "--json"]).await;
    let predicted = rehearsed(&said);
    assert_eq!(predicted["height"].as_u64(), Some(height - 1), "{said}");
    predicted
}

async fn the_new_action_takes_effect(validator: &Node) {
    let (status, body) = validator.submit(&note(0, "hello")).await;
    assert_eq!(status, 202, "{body}");
    let path = format!("/v1/transactions/{}?wait_ms=5000", body["hash"].as_str().unwrap());
    let noted = validator.until(&path, |body| body["height"].is_u64()).await;
    assert_eq!((&noted["ok"], &noted["kind"]), (&Value::from(true), &Value::from("registered")), "{noted}");
    let (status, body) = validator.submit(&note(1, &"x".repeat(17))).await;
    assert_eq!((status, &body["error"]["ledger_code"]), (400, &Value::from("registered_refused")), "{body}");
}

/// The stopped validator goes on with the newer program, one is killed and comes back, and a node that was never there comes by blocks:
/// by the old rules up to the height, by the new ones from there. The old program stops at the height there as well.
async fn everybody_comes_to_the_same(cluster: &mut Cluster, height: u64, predicted: &Value) {
    let newer = cluster.node(VALIDATORS - 1, 2);
    cluster.validators.push(newer);
    let tip = cluster.validators[0].reaches(height + 5).await["height"].as_u64().unwrap();
    cluster.validators[VALIDATORS - 1].reaches(tip).await;
    cluster.validators.remove(1).kill().await;
    // The old program, put back, is older than the state that it finds.
    let mut outdated = cluster.node(1, 1);
    assert_eq!(outdated.ended().await.code(), Some(3), "{}", outdated.log());
    outdated.says("needs rule set 2, and this program knows rule sets up to 1").await;
    let again = cluster.node(1, 2);
    cluster.validators.insert(1, again);
    let mut late = cluster.node(VALIDATORS, 1);
    assert_eq!(late.ended().await.code(), Some(3), "{}", late.log());
    let joined = cluster.node(VALIDATORS, 3);
    cluster.validators.push(joined);
    let tip = cluster.validators[0].reaches(tip + 5).await["height"].as_u64().unwrap();
    let mut blocks = Vec::new();
    for validator in &cluster.validators {
        validator.reaches(tip).await;
        let block = validator.until(&format!("/v1/blocks/{tip}"), |body| body["hash"].is_string()).await;
        blocks.push((block["hash"].clone(), block["state_root"].clone()));
        let info = validator.until("/v1/upgrade", |body| body["version"] == 2).await;
        assert_eq!(info["history"][0]["migrated_root"], predicted["migrated_root"], "executed everywhere alike");
    }
    assert!(blocks.iter().all(|block| *block == blocks[0]), "{blocks:?}");
}

/// Clause U4: a plan of too little power lapses, and nobody stops for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_plan_of_too_little_power_lapses_and_stops_nobody() {
    let root = tempfile::tempdir().unwrap();
    let addresses = addresses(VALIDATORS);
    let homes = homes(root.path(), &addresses);
    let validators: Vec<Node> = (0..VALIDATORS).map(|n| Node::start(&homes[n], &addresses[n][0], 1)).collect();
    for validator in &validators {
        validator.reaches(2).await;
    }
    let api = validators[0].api.clone();
    let height = validators[0].reaches(3).await["height"].as_u64().unwrap() + SHORTLY_AHEAD;
    let (at, digest) = (height.to_string(), "7".repeat(64));
    let words = ["plan", "--rules", "2", "--height", &at, "--release", "trial-2", "--digest", &digest];
    let voters = ["--home", text(&homes[0]), "--home", text(&homes[1]), "--api", &api];
    let said = done(1, &[&words[..], &voters[..]].concat()).await;
    assert!(said.contains("2 of 4 of the power approve it, 3 are needed"), "{said}");
    for validator in &validators {
        let info = validator.until("/v1/upgrade", |body| body["height"].as_u64() >= Some(height + 2)).await;
        assert_eq!((&info["version"], &info["plans"]), (&Value::from(1), &Value::Array(Vec::new())), "{info}");
        let lapsed = &info["lapsed"];
        assert_eq!(
            (&lapsed["reason"], &lapsed["power"]),
            (&Value::from("too_little_power"), &Value::from(2)),
            "{info}"
        );
    }
    let said = done(1, &["status", "--api", &api]).await;
    assert!(said.contains("lapsed") && said.contains("too_little_power, 2 of 4"), "{said}");
}
