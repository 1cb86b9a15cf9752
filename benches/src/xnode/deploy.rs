//! Time until an application answers: templates of the store by the command line beside `podman run` of the same image with the same files, both with the image
//! on the machine and with empty data.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use super::agent::{Agent, PATIENCE};
use super::lab::Lab;
use super::machine::{self, Side, alternate};
use super::podman::Podman;
use super::table::{Bar, Row, SECONDS};

/// Rounds of each template.
pub const ROUNDS: usize = 5;
/// The same of a trial.
pub const TRIAL_ROUNDS: usize = 1;
/// Time that ours may take beyond podman's, seconds: it makes a file system for the data and tests health before it lets traffic in.
pub const MORE_S: f64 = 1.0;
/// Patience with an image that is made of packages.
const MAKING: Duration = Duration::from_secs(900);
/// Patience with one connection.
const CONNECTION: Duration = Duration::from_secs(2);
/// Pause between two questions.
pub const PAUSE: Duration = Duration::from_millis(5);
/// Name of the application and of podman's container.
pub const IT: &str = "it";
/// Folder of the image for podman, below podman's own.
const LAYOUT: &str = "layout";

/// A template with a question to what is made of it.
pub struct Case {
    /// Its name.
    pub template: &'static str,
    /// Its port inside, as its recipe has it.
    port: u16,
    /// Size of its data in a trial; otherwise that of the template.
    pub trial_size: &'static str,
    /// Title of that size in the template's form.
    pub size_title: &'static str,
    question: &'static str,
    /// Part of the right answer.
    answer: &'static str,
}

/// Templates: nginx, Redis and a node of a chain.
pub const CASES: [Case; 3] = [
    Case {
        template: "static-site",
        port: 8080,
        trial_size: "16 MiB",
        size_title: "Room for pages",
        question: "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        answer: "It works",
    },
    Case {
        template: "redis",
        port: 6379,
        trial_size: "64 MiB",
        size_title: "Room on disk",
        question: "PING\r\n",
        // It asks for the password, so it has read its configuration and serves.
        answer: "-NOAUTH",
    },
    Case {
        template: "anvil",
        port: 8545,
        trial_size: "64 MiB",
        size_title: "Room on disk",
        question: "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 59\r\n\
                   Connection: close\r\n\r\n{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"eth_chainId\",\"params\":[]}",
        answer: "0x7a69",
    },
];

/// The running application of ours, as far as podman needs it for the same.
struct Twin {
    /// Manifest of its image.
    digest: String,
    command: Vec<String>,
    variables: Vec<String>,
    user: String,
    /// Files of its document: source on the host and place inside.
    files: Vec<(PathBuf, String)>,
    /// Places of its volumes.
    volumes: Vec<String>,
}

/// Returns true where one question gets its answer.
pub fn answers(case: &Case, port: u16) -> bool {
    let asked = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(CONNECTION))?;
        stream.write_all(case.question.as_bytes())?;
        let (mut all, mut part) = (Vec::new(), [0; 4096]);
        loop {
            let read = stream.read(&mut part)?;
            all.extend_from_slice(&part[..read]);
            let is_right = String::from_utf8_lossy(&all).contains(case.answer);
            if is_right || read == 0 {
                return Ok(is_right);
            }
        }
    };
    asked().unwrap_or(false)
}

/// Asks until it answers.
fn until_it_answers(case: &Case, port: u16, patience: Duration) -> anyhow::Result<()> {
    machine::until(&format!("the answer of {}", case.template), patience, || {
        let is_right = answers(case, port);
        if !is_right {
            std::thread::sleep(PAUSE);
        }
        Ok(is_right)
    })
}

/// A port that nobody had a moment ago.
pub fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// Makes the application, and returns the seconds until it answers.
fn deploy(agent: &Agent, case: &Case, is_trial: bool, patience: Duration) -> anyhow::Result<f64> {
    let port = free_port()?;
    let published = format!("port=127.0.0.1:{port}");
    let size = format!("size={}", case.trial_size);
    let mut arguments = vec!["app", "new", case.template, IT, "--defaults", "--set", &published];
    if is_trial {
        arguments.extend(["--set", &size]);
    }
    let mut command = agent.command(&arguments);
    let begun = Instant::now();
    let log = std::fs::File::create(agent.state().join("new.log"))?;
    let mut child = command.stdout(log.try_clone()?).stderr(log).spawn()?;
    let asked = machine::until(&format!("the answer of {}", case.template), patience, || {
        if child.try_wait()?.is_some_and(|status| !status.success()) {
            bail!("openmesh {}: {}", arguments.join(" "), std::fs::read_to_string(agent.state().join("new.log"))?);
        }
        let is_right = answers(case, port);
        if !is_right {
            std::thread::sleep(PAUSE);
        }
        Ok(is_right)
    });
    let took = begun.elapsed().as_secs_f64();
    if asked.is_err() {
        let _ = child.kill();
    }
    child.wait()?;
    asked.map(|()| took)
}

/// Removes the application with its data.
pub fn remove(agent: &Agent) -> anyhow::Result<()> {
    agent.ask(&["app", "remove", IT, "--data", "wipe", "--yes", "--committed"])?;
    machine::until("the end of the application", PATIENCE, || {
        Ok(agent.value(&["app", "list"])?.as_array().is_some_and(Vec::is_empty))
    })
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_string()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(text).collect()
}

/// Reads the instance of the application that runs, from its bundle.
fn twin(agent: &Agent) -> anyhow::Result<Twin> {
    let list = agent.value(&["app", "list"])?;
    let digest = text(&list[0]["digest"]);
    let config: Value = serde_json::from_slice(&std::fs::read(bundle(agent)?)?)?;
    let process = &config["process"];
    let mut twin = Twin {
        digest,
        command: texts(&process["args"]),
        variables: texts(&process["env"]),
        user: format!("{}:{}", process["user"]["uid"], process["user"]["gid"]),
        files: Vec::new(),
        volumes: Vec::new(),
    };
    for mount in config["mounts"].as_array().into_iter().flatten() {
        let (source, place) = (PathBuf::from(text(&mount["source"])), text(&mount["destination"]));
        // Both have `/etc/hosts` and its like of their own.
        if !source.is_absolute() || place.starts_with("/etc/") {
            continue;
        }
        if source.is_dir() { twin.volumes.push(place) } else { twin.files.push((source, place)) }
    }
    Ok(twin)
}

/// Configuration of the container of the application's one instance.
fn bundle(agent: &Agent) -> anyhow::Result<PathBuf> {
    let (folder, beginning) = (agent.run().join("shims"), format!("{IT}-"));
    let entries = std::fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
    let entries = entries.collect::<std::io::Result<Vec<_>>>()?;
    let own = entries.iter().filter(|entry| entry.file_name().to_string_lossy().starts_with(&beginning));
    let found = own.map(|entry| entry.path().join("bundle/config.json")).find(|path| path.is_file());
    found.with_context(|| format!("{}: no instance with a bundle", folder.display()))
}

/// Hands the image to podman: the agent's store is a layout of OCI, in which an index of ours names the one manifest.
fn import(agent: &Agent, podman: &Podman, digest: &str) -> anyhow::Result<()> {
    let layout = podman.folder().join(LAYOUT);
    let _ = std::fs::remove_dir_all(&layout);
    std::fs::create_dir_all(layout.join("blobs"))?;
    let store = agent.state().join("images/blobs/sha256");
    std::os::unix::fs::symlink(&store, layout.join("blobs/sha256"))?;
    std::fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
    let hash = digest.strip_prefix("sha256:").unwrap_or(digest);
    let bytes = std::fs::metadata(store.join(hash)).with_context(|| format!("the manifest {digest}"))?.len();
    let index = json!({
        "schemaVersion": 2,
        "manifests": [{
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": format!("sha256:{hash}"),
            "size": bytes,
            "annotations": { "org.opencontainers.image.ref.name": IT },
        }],
    });
    std::fs::write(layout.join("index.json"), index.to_string())?;
    // Podman makes a name of the path, which has to be in small letters: so it is one below its own folder.
    let id = podman.run(&["pull", "--quiet", &format!("oci:{LAYOUT}:{IT}")])?;
    podman.run(&["tag", id.trim(), &format!("localhost/{IT}:1")]).map(drop)
}

/// Copies the files of the document for podman, whose containers have the ids of the machine.
fn files(twin: &Twin, folder: &Path) -> anyhow::Result<Vec<String>> {
    let mut binds = Vec::new();
    for (number, (source, place)) in twin.files.iter().enumerate() {
        let copy = folder.join(format!("file-{number}"));
        std::fs::copy(source, &copy).with_context(|| source.display().to_string())?;
        machine::run(std::process::Command::new("chown").arg(&twin.user).arg(&copy))?;
        binds.push(format!("{}:{place}:ro", copy.display()));
    }
    Ok(binds)
}

/// The container that podman runs in place of a template: its image is in podman's store.
pub struct InPodman<'a> {
    podman: &'a Podman,
    case: &'a Case,
    twin: Twin,
    binds: Vec<String>,
    /// Holds the files of the binds.
    _folder: tempfile::TempDir,
}

impl<'a> InPodman<'a> {
    /// Deploys a template once, so that its image is made and what runs tells what podman has to run, and removes it.
    pub fn of(agent: &Agent, podman: &'a Podman, case: &'a Case, is_trial: bool) -> anyhow::Result<InPodman<'a>> {
        deploy(agent, case, is_trial, MAKING)?;
        let twin = twin(agent)?;
        import(agent, podman, &twin.digest)?;
        let folder = tempfile::tempdir_in(podman.folder())?;
        let binds = files(&twin, folder.path())?;
        remove(agent)?;
        Ok(InPodman { podman, case, twin, binds, _folder: folder })
    }

    /// Runs it with empty folders for its data, and returns the seconds until it answers.
    pub fn run(&self) -> anyhow::Result<f64> {
        let InPodman { podman, case, twin, binds, .. } = self;
        let folder = tempfile::tempdir_in(podman.folder())?;
        let mut arguments: Vec<String> =
            ["run", "--detach", "--name", IT, "--read-only", "--tmpfs", "/tmp"].map(String::from).into();
        arguments.extend(["--user".into(), twin.user.clone()]);
        arguments.extend(["--entrypoint".into(), json!(twin.command).to_string()]);
        for variable in &twin.variables {
            arguments.extend(["--env".into(), variable.clone()]);
        }
        for (number, place) in twin.volumes.iter().enumerate() {
            let data = folder.path().join(number.to_string());
            std::fs::create_dir(&data)?;
            machine::run(std::process::Command::new("chown").arg(&twin.user).arg(&data))?;
            arguments.extend(["--volume".into(), format!("{}:{place}", data.display())]);
        }
        for bind in binds {
            arguments.extend(["--volume".into(), bind.clone()]);
        }
        let took = podman.within(|| {
            let port = free_port()?;
            arguments.extend(["--publish".into(), format!("127.0.0.1:{port}:{}", case.port)]);
            arguments.push(format!("localhost/{IT}:1"));
            let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let begun = Instant::now();
            podman.run(&words)?;
            until_it_answers(case, port, PATIENCE)?;
            Ok(begun.elapsed().as_secs_f64())
        });
        podman.within(|| podman.run(&["rm", "--force", "--time", "0", IT]))?;
        took
    }
}

/// Measures one template.
fn row(lab: &mut Lab, case: &Case) -> anyhow::Result<Row> {
    let (is_trial, rounds) = (lab.is_trial, lab.rounds(ROUNDS, TRIAL_ROUNDS));
    let (agent, podman) = lab.both()?;
    let agent = &*agent;
    let theirs = InPodman::of(agent, podman, case, is_trial)?;
    let ours = || {
        let took = deploy(agent, case, is_trial, MAKING)?;
        remove(agent)?;
        Ok(took)
    };
    let mut sides: [Side<'_>; 2] = [Box::new(ours), Box::new(|| theirs.run())];
    let figures = alternate(rounds, &mut sides)?;
    let [ours, theirs] = <[Vec<f64>; 2]>::try_from(figures).ok().context("two sides")?;
    let name = format!("deployment of {} until it answers", case.template);
    Ok(Row::new(name, SECONDS, ours).beside(&podman.name, theirs).bar(Bar::MoreThanPeer(MORE_S)))
}

/// Measures the templates.
pub fn rows(lab: &mut Lab) -> anyhow::Result<Vec<Row>> {
    CASES.iter().map(|case| row(lab, case)).collect()
}
