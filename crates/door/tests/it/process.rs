//! The process: its rights, its control socket, its end, its successor, its return.

use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::stage::{App, PATIENCE, Raw, document, instance, open, route, within};
use openmesh_door::control::Agent;
use openmesh_door::document::{Admission, Document, Protocol, Traffic};
use openmesh_door::limits::FILES_MIN;
use openmesh_door::protocol::{Ask, Tell};
use openmesh_door::report::Report;

/// A user of nobody else's.
const UID: u32 = 64_117;

struct Process {
    child: Child,
    socket: PathBuf,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns true as root; else says what is missing.
fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        println!("skipped in part: giving rights away needs root");
    }
    root
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).expect("permissions");
    if is_root() {
        chown(folder.path(), Some(UID), Some(UID)).expect("an owner");
    }
    folder
}

async fn start(folder: &Path) -> Process {
    let socket = folder.join("socket");
    let user = if is_root() { format!(", \"user\": {{\"uid\": {UID}, \"gid\": {UID}}}") } else { String::new() };
    let text = format!("{{\"socket\": {socket:?}, \"document\": {:?}{user}}}", folder.join("document.json"));
    let path = folder.join("start.json");
    std::fs::File::create(&path).and_then(|mut file| file.write_all(text.as_bytes())).expect("a file");
    let before = std::fs::metadata(&socket).ok().map(|data| std::os::unix::fs::MetadataExt::ino(&data));
    // Its starter has its file open, as a script that starts an agent may hold a lock.
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", "exec 9<\"$2\"; exec \"$1\" \"$2\"", "sh", env!("CARGO_BIN_EXE_openmesh-door")]).arg(&path);
    let child = shell.stdin(Stdio::null()).spawn().expect("a process");
    let process = Process { child, socket };
    let until = Instant::now() + PATIENCE;
    loop {
        let now = std::fs::metadata(&process.socket).ok().map(|data| std::os::unix::fs::MetadataExt::ino(&data));
        if now.is_some() && now != before && Agent::connect(&process.socket).await.is_ok() {
            return process;
        }
        assert!(Instant::now() < until, "the door does not start");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn connect(socket: &Path) -> Agent {
    within("the agent's socket", Agent::connect(socket)).await.expect("a door")
}

async fn ask(socket: &Path, ask: Ask) -> Tell {
    let mut agent = connect(socket).await;
    within("a place in the socket", agent.ask(&ask)).await.expect("asked");
    within("an answer", agent.hear()).await.expect("an answer")
}

async fn configure(socket: &Path, document: Document) -> Report {
    match ask(socket, Ask::Configure(Box::new(document))).await {
        Tell::Configured(report) => report,
        other => panic!("{other:?}"),
    }
}

async fn ended(process: &mut Process) -> std::process::ExitStatus {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = process.child.try_wait().expect("a child") {
            return status;
        }
        assert!(Instant::now() < until, "the door does not end");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn status(process: &Process) -> String {
    std::fs::read_to_string(format!("/proc/{}/status", process.child.id())).expect("a status")
}

#[tokio::test]
async fn it_has_one_right_and_a_user_of_its_own() {
    let folder = folder();
    let process = start(folder.path()).await;
    let status = status(&process);
    let value =
        |key: &str| status.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default().trim().to_string();
    assert_eq!(value("NoNewPrivs:"), "1");
    let files = std::fs::read_to_string(format!("/proc/{}/limits", process.child.id())).expect("limits");
    let files: Vec<&str> =
        files.lines().find(|line| line.starts_with("Max open files")).expect("files").split_whitespace().collect();
    assert_eq!(files[3], files[4], "as many open files as it may have");
    assert!(!is_root() || files[3].parse().is_ok_and(|files: u64| files >= FILES_MIN), "{files:?}");
    assert_eq!((value("CapInh:").as_str(), value("CapAmb:").as_str()), ("0000000000000000", "0000000000000000"));
    if is_root() {
        assert_eq!(value("Uid:"), format!("{UID}\t{UID}\t{UID}\t{UID}"));
        assert_eq!((value("Gid:"), value("Groups:")), (format!("{UID}\t{UID}\t{UID}\t{UID}"), String::new()));
        for set in ["CapPrm:", "CapEff:", "CapBnd:"] {
            assert_eq!(value(set), "0000000000000400", "{set} is CAP_NET_BIND_SERVICE alone");
        }
        // Each thread, not the first alone.
        for task in std::fs::read_dir(format!("/proc/{}/task", process.child.id())).expect("threads") {
            let text = std::fs::read_to_string(task.expect("a thread").path().join("status")).expect("a status");
            assert!(text.contains("CapEff:\t0000000000000400") && text.contains("NoNewPrivs:\t1"), "{text}");
        }
        // A port below 1,024 at an address of loopback that nobody else has.
        let app = App::start("low").await;
        let mut low = document(1, &[("app", open(&app, Protocol::Http1))]);
        let octets = process.child.id().to_be_bytes();
        low.listeners[0].address = SocketAddr::from(([127, octets[1], octets[2], octets[3]], 80));
        let report = configure(&process.socket, low).await;
        assert_eq!(Raw::to(report.listeners[0]).await.get("app.test", "/").await.body, "low");
    }
}

#[tokio::test]
async fn an_agent_configures_reads_and_follows() {
    let folder = folder();
    let mut process = start(folder.path()).await;
    let app = App::start("app").await;
    let mut agent = connect(&process.socket).await;
    agent.ask(&Ask::Follow).await.expect("asked");
    let Tell::Report(first) = within("a report", agent.hear()).await.expect("a report") else { panic!("no report") };
    assert_eq!((first.serial, first.listeners.len()), (0, 0));
    let report = configure(&process.socket, document(5, &[("app", open(&app, Protocol::Http1))])).await;
    assert_eq!(report.door, first.door);
    let mut client = Raw::to(report.listeners[0]).await;
    assert_eq!(client.get("app.test", "/").await.status, 200);
    client.send("POST / HTTP/1.1\r\nhost: app.test\r\ncontent-length: 2\r\n\r\nhi").await;
    assert_eq!(client.said().await.status, 200);
    loop {
        let Tell::Report(report) = within("a report", agent.hear()).await.expect("a report") else {
            panic!("no report")
        };
        let Some(route) = report.routes.get("app") else { continue };
        let counts = route.instances["one.0"].counts;
        if (counts.reading_requests, counts.writing_requests, counts.open) == (1, 1, 0) {
            break;
        }
    }
    // What is refused changes nothing.
    let past = ask(&process.socket, Ask::Configure(Box::new(document(4, &[])))).await;
    let Tell::Refused(problems) = past else { panic!("{past:?}") };
    assert_eq!((problems.len(), problems[0].path.as_str()), (1, "serial"));
    let mut taken = document(6, &[("app", open(&app, Protocol::Http1))]);
    let other = App::start("other").await;
    taken.listeners[0].address = other.address;
    let answer = ask(&process.socket, Ask::Configure(Box::new(taken))).await;
    let Tell::Unbound { address, text } = answer else { panic!("the address of the application: {answer:?}") };
    assert_eq!(address, other.address);
    assert!(text.starts_with(&format!("cannot listen at {}", other.address)), "{text}");
    assert_eq!(client.get("app.test", "/").await.status, 200);
    // Killed and started again, it serves what it was told last, without an agent.
    process.child.kill().expect("killed");
    process.child.wait().expect("gone");
    drop(process);
    let process = start(folder.path()).await;
    let Tell::Report(again) = ask(&process.socket, Ask::Report).await else { panic!("no report") };
    assert_eq!((again.serial, again.door == first.door), (5, false), "a new process has a new number");
    assert_eq!(Raw::to(again.listeners[0]).await.get("app.test", "/").await.body, "app");
}

#[tokio::test]
async fn a_successor_takes_the_listeners_and_no_connection_is_lost() {
    let folder = folder();
    let mut first = start(folder.path()).await;
    let app = App::start("app").await;
    let two = [instance("a", app.address, Traffic::Admit, 30_000)];
    let report = configure(&first.socket, document(1, &[("app", route(Protocol::Http1, Admission::Open, &two))])).await;
    let at = report.listeners[0];
    // A request that is in the old one while it is replaced.
    let mut slow = Raw::to(at).await;
    slow.send("GET /wait HTTP/1.1\r\nhost: app.test\r\n\r\n").await;
    within("the request", app.there.notified()).await;
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let load = tokio::spawn({
        let stop = stop.clone();
        async move {
            let mut count = 0;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                // A connection of its own for each request.
                let said = Raw::to(at).await.get("app.test", "/new").await;
                assert_eq!((said.status, said.body.as_str()), (200, "app"), "request {count}");
                count += 1;
            }
            count
        }
    });
    let mut doors = vec![report.door];
    for _ in 0..3 {
        let second = start(folder.path()).await;
        let Tell::Report(report) = ask(&second.socket, Ask::Report).await else { panic!("no report") };
        assert_eq!(
            (report.serial, report.listeners.as_slice()),
            (1, &[at][..]),
            "the same socket with the same document"
        );
        assert!(!doors.contains(&report.door));
        doors.push(report.door);
        let mut before = std::mem::replace(&mut first, second);
        if doors.len() == 2 {
            app.go.notify_one();
            assert_eq!(slow.said().await.status, 200);
        }
        assert!(ended(&mut before).await.success(), "the old one ends by itself");
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let count = within("the load", load).await.expect("no connection was lost");
    assert_eq!(app.count("GET /new"), count);
    println!("3 doors after each other: {count} connections, none lost");
    // Asked to leave, it leaves.
    let told = ask(&first.socket, Ask::Retire { within_ms: 1_000 }).await;
    assert!(matches!(told, Tell::Retiring(report) if report.retiring));
    assert!(ended(&mut first).await.success());
}

#[tokio::test]
async fn what_is_open_in_whoever_starts_a_door_is_not_open_in_it() {
    let folder = folder();
    let process = start(folder.path()).await;
    let open = std::fs::read_dir(format!("/proc/{}/fd", process.child.id())).expect("a process").flatten();
    let files: Vec<PathBuf> = open.filter_map(|entry| std::fs::read_link(entry.path()).ok()).collect();
    assert!(files.len() > 3 && !files.contains(&folder.path().join("start.json")), "{files:?}");
}

#[test]
fn a_start_without_a_user_is_refused_for_root() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("start.json");
    let run = |text: &str| {
        std::fs::write(&path, text).expect("written");
        let output = Command::new(env!("CARGO_BIN_EXE_openmesh-door")).arg(&path).output().expect("a process");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, text) = run("{\"socket\": \"/none/socket\", \"document\": \"/none/d\", \"users\": 1}");
    assert!(code == Some(1) && text.contains("unknown field `users`"), "{text}");
    if is_root() {
        for user in ["", ", \"user\": {\"uid\": 0, \"gid\": 5}"] {
            let (code, text) = run(&format!("{{\"socket\": \"/none/socket\", \"document\": \"/none/d\"{user}}}"));
            assert!(code == Some(1) && text.contains("does not run as root"), "{text}");
        }
    }
}
