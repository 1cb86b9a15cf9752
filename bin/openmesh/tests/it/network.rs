//! A network in one sentence: `Network::start(&["--simulate"])`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// Longest wait for anything on a machine that compiles beside the tests.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Path of the binary under test: the one that `OPENMESH_PROGRAM` names, as where the optimised build is measured, or that of the tests.
pub fn program() -> PathBuf {
    std::env::var_os("OPENMESH_PROGRAM").map_or_else(|| env!("CARGO_BIN_EXE_openmesh").into(), PathBuf::from)
}

/// The binary under test.
pub fn binary() -> Command {
    program_at(&program())
}

/// The binary under test, in another place.
pub fn program_at(path: &Path) -> Command {
    let mut command = Command::new(path);
    // What is started ends with this process, however that ends.
    command.env("OPENMESH_STOP_WITH", std::process::id().to_string()).env("OPENMESH_LOG", "info").kill_on_drop(true);
    // No network of these tests needs an agent of the Xnode; those that do take this away.
    command.env("OPENMESH_NO_XNODE", "true");
    command
}

/// A network of `openmesh up`.
pub struct Network {
    pub apis: Vec<String>,
    pub trust: PathBuf,
    process: Child,
    _lines: tokio::task::JoinHandle<()>,
    http: reqwest::Client,
    /// Stops what still runs, also where a test has panicked.
    processes: Processes,
}

/// The processes of a network, whoever supervises them. They are stopped when this is dropped.
pub struct Processes {
    home: PathBuf,
}

impl Processes {
    /// Process ids by name, from the records of those that run.
    pub fn running(&self) -> BTreeMap<String, u32> {
        let mut found = BTreeMap::new();
        for network in folders(&self.home) {
            for folder in folders(&network) {
                let Ok(text) = std::fs::read(folder.join("running.json")) else { continue };
                let record: Value = serde_json::from_slice(&text).expect("a record");
                let pid = record["process"]["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()).expect("a pid");
                if is_alive(pid) {
                    found.insert(folder.file_name().unwrap().to_string_lossy().into_owned(), pid);
                }
            }
        }
        found
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        let down = std::process::Command::new(program()).arg("down").arg("--home").arg(&self.home).output();
        match down {
            Ok(output) => print!("down: {}", String::from_utf8_lossy(&output.stdout)),
            Err(error) => println!("down: {error}"),
        }
    }
}

fn folders(path: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(path).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_dir()).collect()
}

/// Returns true when a process with this number runs and is no zombie.
pub fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}

impl Network {
    /// Starts `openmesh up` in this folder with any free ports and waits until it says that it is ready.
    pub async fn start(home: &Path, arguments: &[&str]) -> Network {
        Network::start_as(&mut binary(), home, arguments).await
    }

    /// The same, with an environment of one's own.
    pub async fn start_as(binary: &mut Command, home: &Path, arguments: &[&str]) -> Network {
        let mut process = binary
            .args(["up", "--port", "0", "--home"])
            .arg(home)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("openmesh up");
        let mut lines = BufReader::new(process.stdout.take().expect("stdout")).lines();
        let (apis, trust) = tokio::time::timeout(PATIENCE, until_ready(&mut lines))
            .await
            .unwrap_or_else(|_| panic!("openmesh up is not ready in {PATIENCE:?}; logs are in {}", home.display()));
        let rest = tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                println!("up: {line}")
            }
        });
        Network {
            apis,
            trust,
            process,
            _lines: rest,
            http: client(),
            processes: Processes { home: home.to_path_buf() },
        }
    }

    /// `GET` of a path at one node; panics where it does not succeed.
    pub async fn get(&self, node: usize, path: &str) -> Value {
        let (status, body) = self.try_get(node, path).await.unwrap_or_else(|e| panic!("{path}: {e}"));
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// `GET` of a path at one node: status and body.
    pub async fn try_get(&self, node: usize, path: &str) -> Result<(u16, Value), reqwest::Error> {
        let answer = self.http.get(format!("{}{path}", self.apis[node])).send().await?;
        let status = answer.status().as_u16();
        Ok((status, answer.json().await.unwrap_or(Value::Null)))
    }

    /// The bytes of a path at one node.
    pub async fn bytes(&self, node: usize, path: &str) -> Vec<u8> {
        let answer = self.http.get(format!("{}{path}", self.apis[node])).send().await.expect(path);
        assert_eq!(answer.status().as_u16(), 200, "{path}");
        answer.bytes().await.expect(path).to_vec()
    }

    /// `POST` of JSON at one node: status and body.
    pub async fn post(&self, node: usize, path: &str, body: &Value) -> (u16, Value) {
        let answer = self.http.post(format!("{}{path}", self.apis[node])).json(body).send().await.expect(path);
        (answer.status().as_u16(), answer.json().await.unwrap_or(Value::Null))
    }

    /// `POST` of bytes under a content type at the first node: status and body.
    pub async fn post_bytes(&self, path: &str, kind: &str, body: impl Into<reqwest::Body>) -> (u16, Value) {
        let request = self.http.post(format!("{}{path}", self.apis[0])).header("content-type", kind);
        let answer = request.body(body).send().await.expect(path);
        (answer.status().as_u16(), answer.json().await.unwrap_or(Value::Null))
    }

    /// Rows of a query at the first node.
    pub async fn sql(&self, sql: &str) -> Vec<Vec<Value>> {
        let (status, body) = self.post(0, "/v1/sql", &serde_json::json!({ "sql": sql })).await;
        assert_eq!(status, 200, "{sql}: {body}");
        serde_json::from_value(body["rows"].clone()).expect("rows")
    }

    /// A query's answer as a file from the first node: its media type and text.
    pub async fn file(&self, format: &str, sql: &str) -> (String, String) {
        let request = self.http.post(format!("{}/v1/sql?format={format}", self.apis[0]));
        let answer = request.json(&serde_json::json!({ "sql": sql })).send().await.expect(sql);
        assert_eq!(answer.status().as_u16(), 200, "{sql}");
        let kind = answer.headers()["content-type"].to_str().expect("text").to_string();
        (kind, answer.text().await.expect(sql))
    }

    /// Asks a node again and again until the answer is as wanted.
    pub async fn until(&self, node: usize, path: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        let mut last = Value::Null;
        while Instant::now() < deadline {
            if let Ok((200, body)) = self.try_get(node, path).await {
                if wanted(&body) {
                    return body;
                }
                last = body;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        panic!("{what} did not come about in {PATIENCE:?}; the last answer of {path} was {last:#}");
    }

    /// Process ids of the supervisor's children.
    pub fn children(&self) -> Vec<u32> {
        let pid = self.pid();
        let mut all = Vec::new();
        for task in std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
            let text = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
            all.extend(text.split_whitespace().filter_map(|p| p.parse::<u32>().ok()));
        }
        all
    }

    /// Process id of the supervisor.
    pub fn pid(&self) -> u32 {
        self.process.id().expect("the supervisor runs")
    }

    /// Ctrl-C, and the exit code.
    pub async fn stop(mut self) -> i32 {
        signal(self.pid(), rustix::process::Signal::INT);
        let status =
            tokio::time::timeout(PATIENCE, self.process.wait()).await.expect("drained in time").expect("status");
        status.code().expect("an exit code, not a signal")
    }

    /// `kill -9` of the supervisor itself: the others go on.
    pub async fn lose(mut self) -> Processes {
        signal(self.pid(), rustix::process::Signal::KILL);
        self.process.wait().await.expect("status");
        self.processes
    }

    /// `kill -9` of everything at once.
    pub async fn kill(mut self) {
        let all = self.processes.running();
        signal(self.pid(), rustix::process::Signal::KILL);
        all.values().for_each(|pid| signal(*pid, rustix::process::Signal::KILL));
        self.process.wait().await.expect("status");
    }

    /// The network's processes.
    pub fn processes(&self) -> &Processes {
        &self.processes
    }

    /// Waits until the supervisor has ended by itself.
    pub async fn ended(&mut self) -> i32 {
        let status = tokio::time::timeout(PATIENCE, self.process.wait()).await.expect("in time").expect("status");
        status.code().expect("an exit code, not a signal")
    }
}

/// Sends a signal.
pub fn signal(pid: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).expect("pid")).expect("pid");
    // It may have ended a moment before: then there is nothing to signal.
    let _ = rustix::process::kill_process(pid, signal);
}

fn client() -> reqwest::Client {
    // Only plain HTTP is spoken here, but the client wants to know its TLS provider.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().timeout(Duration::from_secs(30)).build().expect("client")
}

async fn until_ready(lines: &mut Lines<BufReader<ChildStdout>>) -> (Vec<String>, PathBuf) {
    let (mut apis, mut trust) = (BTreeMap::new(), PathBuf::new());
    while let Some(line) = lines.next_line().await.expect("stdout") {
        println!("up: {line}");
        match line.split_whitespace().collect::<Vec<_>>().as_slice() {
            ["node", "validator", number, "is" | "goes", "up:" | "on:", api, ..] => {
                apis.insert(number.parse::<usize>().expect("a number"), (*api).to_string());
            }
            ["trust", file, ..] => trust = PathBuf::from(file),
            ["ready"] => return (apis.into_values().collect(), trust),
            _ => {}
        }
    }
    panic!("openmesh up ended before it was ready");
}
