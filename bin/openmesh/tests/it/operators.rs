//! A home is made and a network is joined by its hash, with real processes; and everything that can be wrong with that has words of its own
//! (`docs/spec/operators.md`).

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::process::Child;

use crate::network::{PATIENCE, binary};
use crate::ports::free_port;

/// A node in a process of its own.
struct Node {
    process: Child,
    api: String,
    log: Arc<Mutex<String>>,
}

impl Node {
    /// Starts the node of a home and waits until it says where its API is.
    async fn start(home: &Path) -> Node {
        let mut command = binary();
        command.args(["node", "--home"]).arg(home);
        let mut process =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("openmesh node");
        let log = Arc::new(Mutex::new(String::new()));
        let (written, mut lines) = (Arc::clone(&log), BufReader::new(process.stderr.take().expect("stderr")).lines());
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                written.lock().unwrap().push_str(&(line + "\n"));
            }
        });
        let mut said = BufReader::new(process.stdout.take().expect("stdout")).lines();
        let ready = tokio::time::timeout(PATIENCE, said.next_line()).await.expect("in time").expect("stdout");
        let ready = ready.unwrap_or_else(|| panic!("it ended:\n{}", log.lock().unwrap()));
        let ready: Value = serde_json::from_str(&ready).expect("its greeting");
        Node { process, api: ready["api"].as_str().expect("an address").to_owned(), log }
    }

    /// Ends it as a power cut would, and waits until it is gone.
    async fn kill(mut self) {
        self.process.kill().await.expect("killed");
    }

    async fn get(&self, path: &str) -> Option<Value> {
        let answer = http().get(format!("http://{}{path}", self.api)).send().await.ok()?;
        answer.json().await.ok()
    }

    /// Asks for the operator's state until it is as wanted.
    async fn until(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE * 2;
        let mut last = None;
        while Instant::now() < deadline {
            last = self.get("/v1/node").await;
            if let Some(state) = last.as_ref().filter(|state| wanted(state)) {
                return state.clone();
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        panic!("{what} did not come about: {last:#?}\n{}", self.log.lock().unwrap());
    }
}

fn http() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().timeout(Duration::from_secs(10)).build().expect("client")
}

async fn run(arguments: &[&str]) -> (i32, String, String) {
    let mut command = binary();
    command.args(arguments).stdin(Stdio::null());
    // A node that was to refuse its start, and did not, would go on for ever.
    let ended = tokio::time::timeout(PATIENCE, command.output()).await;
    let ended = ended.unwrap_or_else(|_| panic!("{arguments:?} has not ended within {PATIENCE:?}"));
    let Output { status, stdout, stderr } = ended.expect("openmesh");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (status.code().unwrap_or(-1), text(&stdout), text(&stderr))
}

/// Runs a command that has to succeed; returns what it printed.
async fn done(arguments: &[&str]) -> String {
    let (code, out, err) = run(arguments).await;
    assert_eq!(code, 0, "{arguments:?}: {err}");
    out
}

/// Runs a command that has to fail with a code, and with all these words.
async fn refused(arguments: &[&str], code: i32, words: &[&str]) {
    let (got, out, err) = run(arguments).await;
    assert_eq!(got, code, "{arguments:?}: {out}{err}");
    for word in words.iter().chain(&["hint: "]) {
        assert!(err.contains(word), "{arguments:?}: {word:?} is not in\n{err}");
    }
}

/// A port of loopback with the next one, which no other test of this machine gets: a node may listen there much later, or again.
fn port() -> u16 {
    let mut first = free_port();
    loop {
        let next = free_port();
        if next == first + 1 {
            return first;
        }
        first = next;
    }
}

/// Folders and ports of a test.
struct World {
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> World {
        World { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// Makes a home on loopback; its API takes any port.
    async fn init(&self, name: &str, port: u16, network: &str, peers: &str, more: &[&str]) -> (i32, String, String) {
        let (home, port) = (self.text(name), port.to_string());
        let mut words = vec!["init", "--home", &home, "--network", network, "--peers", peers, "--listen", "127.0.0.1"];
        words.extend(["--port", &port, "--api", "127.0.0.1:0", "--name", name]);
        words.extend(more);
        run(&words).await
    }

    /// A network of one validator: its home is made, with a genesis of its own, and more settings; returns the genesis' hash.
    async fn validator(&self, name: &str, port: u16, chain_id: &str, settings: &str) -> String {
        let (code, _, err) = self.init(name, port, "new", "none", &["--role", "validator"]).await;
        assert_eq!(code, 0, "{err}");
        let (home, genesis) = (self.text(name), self.text(&format!("{name}.genesis.json")));
        let card = format!("{home}/card.json");
        done(&["genesis", "collect", &card, "--name", name, "--chain-id", chain_id, "--out", &genesis]).await;
        let text = done(&["genesis", "check", &genesis, "--home", &home, "--cards", &card, "--json"]).await;
        let checked: Value = serde_json::from_str(&text).unwrap();
        done(&["genesis", "take", &genesis, "--home", &home]).await;
        let path = self.path(name).join("node.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        // Tables of the settings come at the end, where others are.
        std::fs::write(&path, text + settings).unwrap();
        checked["hash"].as_str().unwrap().to_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_joins_by_the_hash_of_the_genesis_and_its_peers() {
    let world = World::new();
    let (first, second) = (port(), port());
    let hash = world.validator("one", first, "845101", "").await;
    let validator = Node::start(&world.path("one")).await;

    let peer = format!("127.0.0.1:{first}");
    let (code, out, err) = world.init("two", second, &hash, &peer, &["--role", "archive"]).await;
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("one (chain id 845101)") && out.contains("back it up"), "{out}");
    // The genesis came at once, and is the same one.
    let text = done(&["genesis", "check", &world.text("two/genesis.json"), "--json"]).await;
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["hash"], hash.as_str());
    let joined = Node::start(&world.path("two")).await;
    let state = joined.until("blocks", |state| state["height"].as_u64() > Some(3)).await;
    assert_eq!((&state["role"], &state["signing"]), (&"archive".into(), &Value::Null));
    assert_eq!(state["network"]["genesis"], hash.as_str());
    joined.until("the clock of its peer", |state| state["clock"]["peers"].as_u64() >= Some(1)).await;

    // A home without the file gets it when it starts.
    let third = port();
    let (code, _, err) = world.init("three", third, &hash, &peer, &["--role", "full", "--offline"]).await;
    assert_eq!(code, 0, "{err}");
    assert!(!world.path("three/genesis.json").exists());
    let late = Node::start(&world.path("three")).await;
    assert!(world.path("three/genesis.json").exists());
    late.until("blocks", |state| state["height"].as_u64() > Some(3) && state["role"] == "full").await;

    // For people and for monitoring.
    let signs = |state: &Value| state["signing"]["signs"] == true && state["role"] == "validator";
    validator.until("signatures", signs).await;
    let api = format!("http://{}", validator.api);
    let text = done(&["validator", "status", "--api", &api]).await;
    for word in ["validator of one", "signs     yes", "all is well"] {
        assert!(text.contains(word), "{word:?} is not in\n{text}");
    }
    let (code, _, err) = run(&["validator", "status", "--api", "http://127.0.0.1:9"]).await;
    assert_eq!(code, 5, "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_thing_that_is_wrong_with_a_join_has_an_error_of_its_own() {
    let world = World::new();
    let (honest, liar, late) = (port(), port(), port());
    let hash = world.validator("honest", honest, "845102", "").await;
    let _honest = Node::start(&world.path("honest")).await;
    // The liar runs the same network.
    let peer = format!("127.0.0.1:{honest}");
    let (code, _, err) = world.init("liar", liar, &hash, &peer, &["--role", "full"]).await;
    assert_eq!(code, 0, "{err}");
    let settings = world.path("liar/node.toml");
    let text = std::fs::read_to_string(&settings).unwrap();
    std::fs::write(&settings, text.clone() + "\n[drill]\nspoil_genesis = true\n").unwrap();
    let _liar = Node::start(&world.path("liar")).await;
    let hash_late = world.validator("late", late, "845103", "\n[drill]\nclock_ahead_ms = 5000\n").await;
    let _late = Node::start(&world.path("late")).await;

    let free = port();
    let wrong = "11".repeat(32);
    let (liars, lates) = (format!("127.0.0.1:{liar}"), format!("127.0.0.1:{late}"));
    for (network, peers, words) in [
        (&wrong, &peer, &["no peer is of the network", "honest (chain id 845102)", hash.as_str()][..]),
        (&hash, &lates, &["no peer is of the network", "late (chain id 845103)"][..]),
        (&hash, &liars, &["a peer lies about the genesis", "it claims the wanted hash"][..]),
        (&hash_late, &lates, &["this machine's clock is ", "s behind that of 1 of its peers"][..]),
    ] {
        let (code, _, err) = world.init("home", free, network, peers, &["--role", "full"]).await;
        assert_eq!(code, 1, "{err}");
        words.iter().chain(&["hint: "]).for_each(|word| assert!(err.contains(word), "{word:?} is not in\n{err}"));
        assert!(!world.path("home").exists(), "nothing half done");
    }
    // One honest peer is enough.
    let both = format!("{liars},{peer}");
    let (code, _, err) = world.init("home", free, &hash, &both, &["--role", "full"]).await;
    assert_eq!(code, 0, "{err}");

    let home = world.text("home");
    refused(
        &["init", "--home", &home, "--network", "new", "--peers", "none", "--role", "full", "--listen", "127.0.0.1"],
        2,
        &["node.toml is there"],
    )
    .await;
    refused(&["node", "--home", &home, "--genesis", &wrong], 2, &["is the home of another network", &hash]).await;
    let other = world.text("late.genesis.json");
    refused(&["genesis", "take", &other, "--home", &home], 2, &["is the home of another network"]).await;
    // A port that somebody has is said before the genesis is asked for.
    std::fs::remove_file(world.path("home/genesis.json")).unwrap();
    let taken = std::net::TcpListener::bind(("127.0.0.1", free)).unwrap();
    refused(&["node", "--home", &home], 1, &["consensus.listen", "the port is in use"]).await;
    drop(taken);
    nobody_is_there(&world, free).await;
}

/// Peers that are not there: a home is made with a warning, and its node says that it cannot begin.
async fn nobody_is_there(world: &World, free: u16) {
    let nobody = format!("127.0.0.1:{}", port());
    let hash = "22".repeat(32);
    let (code, out, err) = world.init("alone", free, &hash, &nobody, &["--role", "full"]).await;
    assert!(
        code == 0 && err.contains("no peer can be reached") && out.contains("fetched when the node starts"),
        "{out}{err}"
    );
    let home = world.text("alone");
    refused(&["node", "--home", &home], 1, &["no peer can be reached", "/ip4/127.0.0.1/tcp/", &hash]).await;
    let (code, _, err) = run(&["node", "--home", &home, "--genesis", "33"]).await;
    assert!(code == 2 && err.contains("64 hexadecimal digits"), "{err}");
}

/// Whoever takes blocks comes through the one that `--trust` names, or ends (`docs/spec/sync.md`).
#[tokio::test(flavor = "multi_thread")]
async fn own_blocks_come_through_the_one_that_a_person_trusts() {
    let world = World::new();
    let (first, second, third) = (port(), port(), port());
    let hash = world.validator("one", first, "845108", "").await;
    let validator = Node::start(&world.path("one")).await;
    validator.until("blocks", |state| state["height"].as_u64() > Some(3)).await;
    let block = validator.get("/v1/blocks/2").await.unwrap();
    let (peer, right) = (format!("127.0.0.1:{first}"), format!("2:{}", block["hash"].as_str().unwrap()));
    let (code, _, err) = world.init("two", second, &hash, &peer, &["--role", "archive", "--trust", &right]).await;
    assert_eq!(code, 0, "{err}");
    let wrong = format!("2:{}", "11".repeat(32));
    let (code, _, err) = world.init("three", third, &hash, &peer, &["--role", "full", "--trust", &wrong]).await;
    assert_eq!(code, 0, "{err}");
    let joined = Node::start(&world.path("two")).await;
    let words = ["sync.trust names block 2 with the hash 1111", "ended without being asked to"];
    let home = world.text("three");
    refused(&["node", "--home", &home], 1, &words).await;
    refused(&["node", "--home", &home], 2, &words[..1]).await;
    joined.until("blocks", |state| state["height"].as_u64() > Some(3)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_of_another_network_is_not_touched() {
    let world = World::new();
    let (one, two) = (port(), port());
    world.validator("one", one, "845104", "").await;
    let node = Node::start(&world.path("one")).await;
    node.until("blocks", |state| state["height"].as_u64() > Some(1)).await;
    node.kill().await;
    world.validator("two", two, "845105", "").await;
    std::fs::copy(world.path("two/genesis.json"), world.path("one/genesis.json")).unwrap();
    refused(&["node", "--home", &world.text("one")], 2, &["is of another network", "data/ledger"]).await;
    assert!(world.path("one/data/ledger/ledger.redb").exists());
}

/// A copy of a validator's home, with its key and its genesis, that knows one peer.
async fn copy(world: &World, name: &str, hash: &str, peer: u16) {
    let (home, own) = (world.path(name), port());
    std::fs::create_dir(&home).unwrap();
    for file in ["validator.key", "genesis.json"] {
        std::fs::copy(world.path("one").join(file), home.join(file)).unwrap();
    }
    let peer = format!("127.0.0.1:{peer}");
    let (code, out, err) = world.init(name, own, hash, &peer, &["--role", "validator"]).await;
    assert!(code == 0 && out.contains("the key that was there"), "{out}{err}");
}

/// A home is copied, and both run: the second one signs nothing (clause O-18).
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_signs_elsewhere_signs_nothing_here() {
    let world = World::new();
    let (first, second) = (port(), port());
    let hash = world.validator("one", first, "845107", "").await;
    let node = Node::start(&world.path("one")).await;
    node.until("blocks", |state| state["height"].as_u64() > Some(2)).await;
    // The copy knows the first one itself, which has the same identity.
    copy(&world, "copy", &hash, first).await;
    let words = ["another node signs with this key now: one with this node's own identity", "stop the other node"];
    refused(&["node", "--home", &world.text("copy")], 6, &words).await;
    // The copy knows only somebody who follows the ledger: what is signed there tells.
    let peer = format!("127.0.0.1:{first}");
    let (code, _, err) = world.init("two", second, &hash, &peer, &["--role", "full"]).await;
    assert_eq!(code, 0, "{err}");
    let follows = Node::start(&world.path("two")).await;
    follows.until("blocks", |state| state["height"].as_u64() > Some(2)).await;
    copy(&world, "other", &hash, second).await;
    let words = ["another node signs with this key now: block ", "has its signature"];
    refused(&["node", "--home", &world.text("other")], 6, &words).await;
    // The one that runs goes on.
    let height = node.get("/v1/node").await.unwrap()["height"].as_u64();
    node.until("more blocks", |state| state["height"].as_u64() > height).await;
    // And is no twin of itself when it is started again at once.
    let toml = world.path("one/node.toml");
    let text = std::fs::read_to_string(&toml).unwrap();
    let (_, network) = text.split_once("[network]").unwrap();
    let network = network.replacen("peers = []", &format!("peers = [\"/ip4/127.0.0.1/tcp/{}\"]", second + 1), 1);
    std::fs::write(&toml, format!("{}[network]{network}", text.split_once("[network]").unwrap().0)).unwrap();
    node.kill().await;
    let again = Node::start(&world.path("one")).await;
    again.until("still more blocks", |state| state["height"].as_u64() > height.map(|height| height + 1)).await;
}

#[tokio::test]
async fn nobody_is_asked_without_a_terminal() {
    let world = World::new();
    let home = world.text("home");
    let words = &["missing: --network, --peers, --role, --listen"];
    refused(&["init", "--home", &home], 2, words).await;
    let (code, _, err) = run(&[
        "init",
        "--home",
        &home,
        "--network",
        "new",
        "--peers",
        "10.0.0.300",
        "--role",
        "full",
        "--listen",
        "127.0.0.1",
    ])
    .await;
    assert!(code == 2 && err.contains("--peers: \"10.0.0.300\""), "{err}");
    let (code, _, err) = run(&[
        "init",
        "--home",
        &home,
        "--network",
        "new",
        "--peers",
        "none",
        "--role",
        "full",
        "--listen",
        "192.0.2.77",
    ])
    .await;
    assert!(code == 2 && err.contains("--listen: 192.0.2.77 cannot be listened on"), "{err}");
    let all = ["--network", "new", "--peers", "none", "--role", "full", "--listen", "0.0.0.0"];
    let (code, _, err) = run(&[&["init", "--home", &home][..], &all].concat()).await;
    assert!(code == 2 && err.contains("--reach HOST"), "{err}");
    assert!(!world.path("home").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_reaches_state_metrics_log_and_webhook() {
    let world = World::new();
    let receiver = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let settings = format!(
        "\n[alerts.webhooks.ops]\nurl = \"http://{}/hook\"\nsecret_file = \"hook.secret\"\nprivate = true\n",
        receiver.local_addr().unwrap()
    );
    world.validator("one", port(), "845106", &settings).await;
    let toml = world.path("one/node.toml");
    let text = std::fs::read_to_string(&toml).unwrap();
    // No disk has so much room.
    std::fs::write(&toml, text.replace("# disk_free_mib = 2048", "disk_free_mib = 9000000000000")).unwrap();
    let secret = world.path("one/hook.secret");
    std::fs::write(&secret, "key\n").unwrap();
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    let messages = Arc::new(Mutex::new(Vec::<String>::new()));
    tokio::spawn(receive(receiver, Arc::clone(&messages)));

    let home = world.text("one");
    assert!(done(&["validator", "test-alert", "--home", &home]).await.contains("taken"));
    let node = Node::start(&world.path("one")).await;
    let open = |state: &Value| state["alerts"][0]["kind"] == "disk" && state["alerts"][0]["severity"] == "critical";
    let state = node.until("an alert", open).await;
    assert!(state["alerts"][0]["remedy"].as_str().is_some_and(|remedy| remedy.contains("free space")), "{state}");
    let (code, out, err) = run(&["validator", "status", "--api", &format!("http://{}", node.api)]).await;
    assert_eq!(code, 4, "{out}{err}");
    assert!(out.contains("CRITICAL  disk") && out.contains("-> free space"), "{out}");
    let metrics = http().get(format!("http://{}/metrics", node.api)).send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("openmesh_alerts_open{kind=\"disk\",severity=\"critical\"} 1"), "{metrics}");
    assert!(node.log.lock().unwrap().contains("an alert is critical"));
    let deadline = Instant::now() + PATIENCE;
    while messages.lock().unwrap().len() < 2 {
        assert!(Instant::now() < deadline, "{:?}", messages.lock().unwrap());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let messages = messages.lock().unwrap();
    assert!(messages[0].contains("\"type\":\"alert.test\""), "{messages:?}");
    let opened = &messages[1];
    assert!(opened.contains("\"type\":\"alert.opened\"") && opened.contains("\"kind\":\"disk\""), "{opened}");
    assert!(opened.contains("\"node\":\"one\"") && opened.contains("webhook-signature: v1,"), "{opened}");
}

/// Takes messages, one to a connection.
async fn receive(listener: TcpListener, messages: Arc<Mutex<Vec<String>>>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let (mut text, mut bytes) = (String::new(), [0; 4_096]);
        while let Ok(read @ 1..) = stream.read(&mut bytes).await {
            text.push_str(&String::from_utf8_lossy(&bytes[..read]));
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length =
                head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if length.is_some_and(|length: usize| body.len() >= length) {
                break;
            }
        }
        messages.lock().unwrap().push(text);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
    }
}

/// The four questions, as a person at a terminal meets them: `script` (util-linux) is the terminal.
#[tokio::test]
async fn a_person_at_a_terminal_is_asked_until_each_answer_is_right() {
    let world = World::new();
    let program = env!("CARGO_BIN_EXE_openmesh");
    let (home, port) = (world.text("home"), port());
    let line = format!("{program} init --home {home} --port {port} --api 127.0.0.1:0 --name person");
    let mut command = tokio::process::Command::new("script");
    command.args(["--quiet", "--return", "--command", &line, "/dev/null"]).kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let Ok(mut terminal) = command.spawn() else {
        println!("skipped: script (bsdutils) is not here");
        return;
    };
    let answers = "here\nnew\n10.0.0.300\nnone\nking\nvalidator\n192.0.2.77\n127.0.0.1\n";
    let mut keys = terminal.stdin.take().expect("stdin");
    keys.write_all(answers.as_bytes()).await.unwrap();
    let output = tokio::time::timeout(PATIENCE, terminal.wait_with_output()).await.expect("in time").unwrap();
    drop(keys);
    let screen = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{screen}");
    for words in [
        "1/4  Network",
        "neither the hash of a genesis",
        "2/4  Other nodes",
        "\"10.0.0.300\"",
        "3/4  Role",
        "validator, full or archive is expected",
        "4/4  Address",
        "192.0.2.77 cannot be listened on",
        "back it up",
    ] {
        assert!(screen.contains(words), "{words:?} is not on\n{screen}");
    }
    let settings = std::fs::read_to_string(world.path("home/node.toml")).unwrap();
    assert!(settings.contains("role = \"validator\"") && settings.contains(&format!("127.0.0.1:{port}")), "{settings}");
}
