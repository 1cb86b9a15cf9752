//! Commands in an application beside its first process, asked for over the agent's socket: one shot, terminals, jobs, and what is used.

use std::pin::pin;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use openmesh_agent::client::ClientError;
use openmesh_agent::terminal::{Heard, Receiver, Sender};
use openmesh_agent::views::{
    Event, EventKind, Exec, ExecEvent, JobRun, JobView, LogLine, ProcessInfo, ProcessList, ProcessState, TerminalWord,
    Usage,
};
use reqwest::Method;

use crate::pantry::server;
use crate::world::{World, free_port, plain, web};

/// Patience with a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

fn asked(command: &[&str]) -> Exec {
    Exec { command: command.iter().map(ToString::to_string).collect(), ..Exec::default() }
}

pub fn perl(script: &str) -> Exec {
    asked(&["/usr/bin/perl", "-e", script])
}

fn line(stream: &str, text: &str) -> ExecEvent {
    ExecEvent::Line { stream: stream.into(), text: text.into() }
}

/// An agent with an application `web` that has more in its document.
async fn world(more: &str) -> Option<World> {
    let mut world = World::new()?;
    world.start().await;
    let image = world.image(&server("one"));
    let document = world.document(&format!("{}{more}", plain(&image, free_port())));
    world.deploy(document).await;
    Some(world)
}

/// All that one shot does.
pub async fn shot(world: &World, asked: &Exec) -> Result<Vec<ExecEvent>, ClientError> {
    let request = world.client.request(Method::POST, "/applications/web/exec").json(asked);
    let mut events = pin!(world.client.lines::<ExecEvent>(request).await?);
    let mut found = Vec::new();
    while let Some(event) = events.next().await {
        found.push(event?);
    }
    Ok(found)
}

/// A terminal in `web`.
async fn terminal(world: &World, exec: &Exec) -> (Sender, Receiver) {
    let socket = world.settings.socket();
    let connects = openmesh_agent::terminal::connect(&world.client, &socket, "web", exec);
    tokio::time::timeout(PATIENCE, connects).await.expect("no terminal").unwrap()
}

/// Output of a terminal until it has a text.
async fn hear(receiver: &mut Receiver, wanted: &str) -> String {
    let mut said = String::new();
    let heard = tokio::time::timeout(PATIENCE, async {
        while !said.contains(wanted) {
            match receiver.next().await.unwrap() {
                Some(Heard::Output(bytes) | Heard::Error(bytes)) => said += &String::from_utf8_lossy(&bytes),
                Some(Heard::Event(ExecEvent::Started { .. })) => {}
                other => panic!("{wanted}: {other:?} after {said}"),
            }
        }
    });
    assert!(heard.await.is_ok(), "{wanted}: not within {PATIENCE:?}");
    said
}

/// The last event of a terminal.
async fn end(receiver: &mut Receiver) -> Option<ExecEvent> {
    let ended = tokio::time::timeout(PATIENCE, async {
        let mut last = None;
        while let Ok(Some(heard)) = receiver.next().await {
            if let Heard::Event(event) = heard {
                last = Some(event);
            }
        }
        last
    });
    ended.await.unwrap()
}

/// Processes of this machine with a text among their arguments.
fn with_argument(text: &str) -> usize {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let has = |folder: std::path::PathBuf| {
        let words = std::fs::read(folder.join("cmdline")).unwrap_or_default();
        words.split(|byte| *byte == 0).any(|word| word == text.as_bytes())
    };
    entries.filter(|entry| has(entry.path())).count()
}

async fn until(what: &str, mut so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !so() {
        assert!(begun.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_shot_tells_output_by_lines_and_its_code() {
    let Some(world) = world("").await else { return };
    let script = "cat; echo error >&2; printf 'no end'; exit 3";
    let asked = Exec { stdin: Some("one\ntwo\n".into()), ..asked(&["/bin/sh", "-c", script]) };
    let events = shot(&world, &asked).await.unwrap();
    assert!(matches!(events.first(), Some(ExecEvent::Started { .. })), "{events:?}");
    assert_eq!(events.last(), Some(&ExecEvent::Ended { code: 3 }), "{events:?}");
    for wanted in [line("stdout", "one"), line("stdout", "two"), line("stderr", "error"), line("stdout", "no end")] {
        assert!(events.contains(&wanted), "{wanted:?} is not in {events:?}");
    }
    let events = shot(&world, &self::asked(&["/bin/no-such-program"])).await.unwrap();
    assert_eq!(events.last(), Some(&ExecEvent::Ended { code: 127 }), "{events:?}");
    // Who did what is in the history; arguments, which may hold secrets, are not.
    let events = world.client.lines::<Event>(world.client.request(Method::GET, "/events")).await.unwrap();
    let told: Vec<Event> = events.map(Result::unwrap).collect().await;
    let told: Vec<&Event> = told.iter().filter(|event| event.text.starts_with("`/bin/sh` of root in web")).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!((told[0].kind, told[1].kind), (EventKind::Begins, EventKind::Done));
    assert!(told[1].text.ends_with("ended with code 3") && !told[0].text.contains("error"), "{told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_run_is_refused_with_a_reason() {
    let Some(world) = world("").await else { return };
    let refused = |error: ClientError| match error {
        ClientError::Refused(failure) => (failure.code, failure.message),
        other => panic!("{other}"),
    };
    let (code, message) = refused(shot(&world, &Exec::default()).await.unwrap_err());
    assert_eq!(code, "value", "{message}");
    let other = Exec { instance: Some("0123456789ab.7".into()), ..asked(&["/bin/sh"]) };
    let (code, message) = refused(shot(&world, &other).await.unwrap_err());
    assert_eq!(code, "not_running", "{message}");
    let request = world.client.request(Method::POST, "/applications/other/exec").json(&asked(&["/bin/sh"]));
    let error = world.client.text(request).await.unwrap_err();
    assert_eq!(refused(error).0, "no_application");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_terminal_has_a_size_takes_keys_and_tells_its_end() {
    let Some(world) = world("").await else { return };
    let script = r"$| = 1; $SIG{INT} = sub { print qq(asked\n); exit 4 };
        sub size { my $s = pack('S4'); ioctl(STDIN, 0x5413, $s); my @s = unpack('S4', $s); print qq($s[1]x$s[0]\n) }
        $SIG{WINCH} = \&size; size(); while (<STDIN>) { print qq(read $_) }";
    let exec = Exec { terminal: Some((80, 24)), ..perl(script) };
    let (mut sender, mut receiver) = terminal(&world, &exec).await;
    hear(&mut receiver, "80x24\r\n").await;
    assert!(sender.word(TerminalWord::Window(132, 50)).await);
    hear(&mut receiver, "132x50\r\n").await;
    assert!(sender.input(b"good day\n".to_vec()).await);
    hear(&mut receiver, "read good day\r\n").await;
    assert!(sender.input(vec![3]).await);
    hear(&mut receiver, "asked\r\n").await;
    assert_eq!(end(&mut receiver).await, Some(ExecEvent::Ended { code: 4 }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_ends_when_its_asker_goes_and_when_the_agent_leaves() {
    let Some(mut world) = world("").await else { return };
    let marked = |mark: &str| {
        let mut exec = perl("$| = 1; $SIG{HUP} = 'IGNORE'; print qq(there\n); sleep 1000 while 1");
        exec.command.push(mark.to_string());
        exec
    };
    let mark = format!("gone-{}", std::process::id());
    let (sender, mut receiver) = terminal(&world, &marked(&mark)).await;
    hear(&mut receiver, "there\n").await;
    assert_eq!(with_argument(&mark), 1);
    drop((sender, receiver));
    until("the end of the process", || with_argument(&mark) == 0).await;
    let (sender, mut receiver) = terminal(&world, &marked(&mark)).await;
    hear(&mut receiver, "there\n").await;
    world.stop().await;
    assert_eq!(end(&mut receiver).await, None, "nobody tells how it ended");
    until("the end of the process", || with_argument(&mark) == 0).await;
    drop(sender);
    // The application has noticed nothing.
    world.start().await;
    assert_eq!(world.application("web").await.instances[0].restarts, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_beside_the_first_one_are_bounded() {
    let Some(world) = world("").await else { return };
    let exec = perl("$| = 1; print qq(there\n); sleep 1000");
    let mut held = Vec::new();
    for _ in 0..16 {
        let (sender, mut receiver) = terminal(&world, &exec).await;
        hear(&mut receiver, "there\n").await;
        held.push((sender, receiver));
    }
    let (_sender, mut receiver) = terminal(&world, &exec).await;
    let Some(ExecEvent::Refused { reason }) = end(&mut receiver).await else { panic!("one too many") };
    assert!(reason.starts_with("16 processes run beside the first one"), "{reason}");
    drop(held);
    let begun = Instant::now();
    loop {
        let (_sender, mut receiver) = terminal(&world, &perl("exit 5")).await;
        match end(&mut receiver).await {
            Some(ExecEvent::Ended { code: 5 }) => return,
            other => assert!(begun.elapsed() < PATIENCE, "{other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_are_listed_run_on_demand_and_keep_their_log() {
    let jobs = "    jobs:\n      good: {command: [/bin/sh, -c, 'echo working; exit 0']}\n      \
                nightly: {command: [/bin/sh, -c, 'exit 0'], schedule: '30 3 * * *'}\n";
    let Some(world) = world(jobs).await else { return };
    let listed: Vec<JobView> = world.get("/applications/web/jobs").await.unwrap();
    let told: Vec<(&str, &str, bool)> =
        listed.iter().map(|job| (job.name.as_str(), job.occasion.as_str(), job.next.is_some())).collect();
    assert_eq!(told, [("good", "demand", false), ("nightly", "schedule", true)]);
    let request = world.client.request(Method::POST, "/applications/web/jobs/good");
    let run: JobRun = world.client.ask(request).await.unwrap();
    assert_eq!((run.number, run.by.as_str(), run.is_running), (1, "root", true));
    let request = world.client.request(Method::GET, "/applications/web/jobs/good/logs?follow=true&run=1");
    let lines: Vec<LogLine> = world.client.lines::<LogLine>(request).await.unwrap().map(Result::unwrap).collect().await;
    assert!(lines.iter().any(|line| line.text == "working"), "{lines:?}");
    let listed: Vec<JobView> = world.get("/applications/web/jobs").await.unwrap();
    assert_eq!((listed[0].runs.len(), listed[0].runs[0].code, listed[0].runs[0].is_running), (1, Some(0), false));
    let missing = world.client.request(Method::POST, "/applications/web/jobs/other");
    let error = world.client.text(missing).await.unwrap_err();
    assert!(error.to_string().contains("it has no job other; it has good, nightly"), "{error}");
    // A failure of a person's wish is theirs to see, and holds up nothing.
    assert_eq!(world.application("web").await.cause, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_used_can_be_asked_for() {
    let Some(world) = world("").await else { return };
    let begun = Instant::now();
    let usage = loop {
        let usage: Usage = world.get("/applications/web/usage").await.unwrap();
        if usage.instances.iter().any(|instance| !instance.points.is_empty()) {
            break usage;
        }
        assert!(begun.elapsed() < PATIENCE, "nobody looks");
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    let point = usage.instances[0].points.last().unwrap();
    assert_eq!((point.memory_limit_bytes, usage.instances[0].index), (128 << 20, 0));
    assert!(point.memory_bytes > 0 && point.processes >= 1 && point.disk_bytes > 0, "{point:?}");
    let error = world.get::<Usage>("/applications/web/usage?from=20&to=10").await.unwrap_err();
    assert!(matches!(error, ClientError::Refused(failure) if failure.code == "value"));
}

/// Processes are listed as inside, with their figures; a value of a secret that a program has as an argument is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_are_listed_without_secrets() {
    let Some(mut world) = World::new() else { return };
    world.start().await;
    for value in ["correct-horse-battery", "staple-of-today"] {
        let set = world.client.request(Method::PUT, "/secrets/token").body(value);
        world.client.text(set).await.unwrap();
    }
    let child = "/usr/bin/perl -e \"sleep 1000\" &";
    let script = format!("{child} exec /usr/bin/perl /server.pl --token=$TOKEN correct-horse-battery");
    let image = world.image(&server("one"));
    let command = format!("    command: [/bin/sh, -c, '{script}']\n");
    let job = "    jobs:\n      wait: {command: [/usr/bin/perl, -e, 'sleep 1000']}\n";
    world.deploy(world.document(&format!("{}{command}{job}", web(&image, free_port())))).await;
    let path = "/applications/web/processes";
    let list: ProcessList = world.get(path).await.unwrap();
    // The shell has become the server, and keeps its child.
    let first = list.processes.iter().find(|process| process.pid_inside == Some(1)).unwrap();
    assert_eq!(first.command, ["/usr/bin/perl", "/server.pl", "--token=[secret]", "[secret]"], "{list:#?}");
    assert_eq!((first.user, first.name.as_str(), first.parent_inside), (Some(1_000), "perl", None));
    assert!(first.pid > 1 && first.memory_bytes > 0 && first.threads == 1 && !first.is_cut, "{first:?}");
    let child = list.processes.iter().find(|process| process.parent == first.pid).unwrap();
    assert_eq!((child.parent_inside, child.user, child.of.as_str()), (Some(1), Some(1_000), first.of.as_str()));
    let found: ProcessList = world.get(&format!("{path}?contains=SERVER.pl&instance=0")).await.unwrap();
    assert_eq!(found.processes.iter().map(|process| process.pid).collect::<Vec<_>>(), [first.pid]);
    let text = world.client.text(world.client.request(Method::GET, path)).await.unwrap();
    assert!(text.contains("[secret]"), "{text}");
    for value in ["correct-horse-battery", "staple-of-today"] {
        assert!(!text.contains(value), "{text}");
        let asked = world.get::<ProcessList>(&format!("{path}?contains={value}")).await.unwrap();
        assert_eq!(asked.processes, [], "a secret is not found by guessing");
    }
    // A second look a while later has a share over that while; so have runs of jobs their own place.
    let run: JobRun =
        world.client.ask(world.client.request(Method::POST, "/applications/web/jobs/wait")).await.unwrap();
    let begun = Instant::now();
    let job = format!("job wait run {}", run.number);
    loop {
        let list: ProcessList = world.get(&format!("{path}?sort=pid")).await.unwrap();
        let server = list.processes.iter().find(|process| process.pid == first.pid).unwrap();
        // Its age is longer than the time since the first look.
        let age = list.at.millis() - server.started.millis();
        let is_since_a_look = i64::try_from(server.over_ms).unwrap() < age;
        let sleeps = |process: &ProcessInfo| process.command.last().is_some_and(|last| last == "sleep 1000");
        let waits = |process: &&ProcessInfo| process.of == job && sleeps(process);
        let process = list.processes.iter().find(waits).filter(|found| found.state == ProcessState::Sleeping);
        if let Some(process) = process.filter(|_| is_since_a_look) {
            assert_eq!((process.pid_inside, process.command.len()), (Some(1), 3));
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{list:#?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let error = world.get::<ProcessList>("/applications/none/processes").await.unwrap_err();
    assert!(matches!(error, ClientError::Refused(failure) if failure.code == "no_application"));
    let error = world.get::<ProcessList>(&format!("{path}?sort=size")).await.unwrap_err();
    assert!(matches!(error, ClientError::Refused(failure) if failure.code == "malformed"));
}
