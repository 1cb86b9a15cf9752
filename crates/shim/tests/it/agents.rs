//! Agents: gone, new, several, slow, hostile; and shims that die.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use openmesh_shim::client::Client;
use openmesh_shim::log::{Filter, Position, Stream};
use openmesh_shim::protocol::{Action, Cause, Ending, Line, Message, State};
use openmesh_shim::restart::RestartPolicy;
use openmesh_shim::state::{self, Found};
use openmesh_shim::{PEERS_MAX, start};
use rustix::process::Signal;

use crate::world::{PATIENCE, World, binary, config, lives, records, signal, until};

/// Makes the "container" with a parent-death signal. The end of the helper would send it too, so it is set once the shim is the parent; a helper
/// that makes the first process a sibling of its own has no need to wait.
const AFTER_ADOPTION: &str = r#"
sh -c 'while [ "$(cut -d " " -f 4 /proc/$$/stat)" = "$2" ]; do sleep 0.01; done
       exec setpriv --pdeathsig KILL /bin/sh -c "echo armed; $1"' first "$1" $$ &
echo $! > "$2"
"#;
const COUNTER: &str = "i=0; while :; do i=$((i+1)); echo line $i; sleep 0.01; done";

#[test]
fn an_agent_that_is_killed_takes_nothing_along_and_the_next_one_adopts() {
    let directory = tempfile::tempdir().unwrap();
    let mut world = World::prepare(config(directory.path(), COUNTER, RestartPolicy::Always));
    // The agent: a process that starts the shim and is killed with its whole group and session.
    let script = r#""$1" "$2"; exec sleep 1000"#;
    let mut agent = Command::new("setsid");
    agent.args(["/bin/sh", "-c", script, "agent"]).arg(binary()).arg(world.path()).stdout(Stdio::piped());
    let mut agent = agent.spawn().unwrap();
    let mut word = String::new();
    BufReader::new(agent.stdout.take().unwrap()).read_line(&mut word).unwrap();
    let Ok(start::Word::Ready { pid, socket }) = serde_json::from_str(&word) else { panic!("{word}") };
    assert_eq!(socket, world.config.socket);
    world.pid = pid;
    let before = world.wait_for(State::Running);
    let group = rustix::process::Pid::from_child(&agent);
    rustix::process::kill_process_group(group, Signal::KILL).unwrap();
    agent.wait().unwrap();
    let lines = world.lines().len();
    until("lines without an agent", || world.lines().len() > lines + 10);
    let after = world.status();
    assert_eq!((after.first, after.run, after.shim_pid), (before.first, 1, pid));
}

#[test]
fn a_second_shim_is_refused_and_a_live_one_is_told_from_a_dead_one() {
    let world = World::new("exec sleep 1000", RestartPolicy::Always);
    let first = world.wait_for(State::Running).first.unwrap();
    let Err(start::StartError::Failed { held: true, text }) = start::start(binary(), world.path()) else { panic!() };
    assert!(text.contains("this instance has its shim"), "{text}");
    assert!(matches!(state::look(&world.config).unwrap(), Found::Living));
    signal(world.pid, Signal::KILL);
    until("the lock is free", || !matches!(state::look(&world.config).unwrap(), Found::Living));
    let Found::Ended(status) = state::look(&world.config).unwrap() else { panic!() };
    assert_eq!(status.first.as_ref().map(|first| first.pid), Some(first.pid));
    assert!(lives(first.pid), "without a parent-death signal an orphan stays");
    assert!(state::end_orphan(&status).unwrap());
    until("the orphan's end", || !lives(first.pid));
    assert!(!state::end_orphan(&status).unwrap(), "nothing else is ever killed for it");
}

#[test]
fn a_parent_death_signal_ends_the_instance_with_its_shim() {
    let world = World::with("exec sleep 1000", RestartPolicy::Always, |config| {
        config.helpers.create[2] = AFTER_ADOPTION.into();
    });
    until("armed", || world.texts() == ["armed"]);
    let first = world.wait_for(State::Running).first.unwrap();
    signal(world.pid, Signal::KILL);
    until("the end of the first process", || !lives(first.pid));
}

#[test]
fn the_next_shim_ends_the_orphan_and_goes_on_counting() {
    let mut world = World::new(COUNTER, RestartPolicy::Always);
    until("lines", || world.lines().len() > 5);
    let orphan = world.status().first.unwrap();
    signal(world.pid, Signal::KILL);
    until("the shim's end", || !lives(world.pid));
    world.start();
    let status = world.wait_for(State::Running);
    assert!(!lives(orphan.pid), "never two of one instance");
    assert_eq!((status.run, &status.ends.last().unwrap().cause), (2, &Cause::Unseen));
    until("more lines", || world.texts().iter().filter(|text| *text == "line 3").count() == 2);
    let sequences: Vec<u64> = world.lines().iter().map(|r| r.sequence).collect();
    assert!(sequences.windows(2).all(|pair| pair[1] == pair[0] + 1), "no sequence is lost or used twice");
}

#[test]
fn several_agents_at_once_see_the_same_and_too_many_are_refused() {
    let world = World::new("exec sleep 1000", RestartPolicy::Always);
    let mut clients: Vec<Client> = (0..PEERS_MAX).map(|_| world.client()).collect();
    for client in &mut clients {
        client.wait(PATIENCE, |status| status.state == State::Running).unwrap();
    }
    let refused = Client::connect(&world.config.socket, PATIENCE).unwrap_err().to_string();
    assert_eq!(refused, "the shim refused: 16 connections are open, no more are taken");
    clients[3].ask(Action::Stop(Ending { signal: None, grace_ms: Some(0) })).unwrap();
    for client in &mut clients {
        client.wait(PATIENCE, |status| status.state == State::Stopped).unwrap();
    }
    drop(clients);
    assert!(Client::connect(&world.config.socket, PATIENCE).is_ok(), "who has gone makes room at once");
}

fn follow(client: &mut Client, from: Position, filter: Filter) {
    client.ask(Action::Follow { from, filter }).unwrap();
}

fn next_line(client: &mut Client) -> Line {
    loop {
        match client.next_message().unwrap() {
            Message::Log(line) => return line,
            Message::Event(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn logs_are_followed_resumed_and_filtered() {
    let script = "i=0; while :; do i=$((i+1)); echo line $i; echo error $i >&2; sleep 0.002; done";
    let world = World::new(script, RestartPolicy::Never);
    let mut client = world.client();
    follow(&mut client, Position::Oldest, Filter::default());
    let lines: Vec<Line> = (0..200).map(|_| next_line(&mut client)).collect();
    assert!(lines.windows(2).all(|pair| pair[1].sequence == pair[0].sequence + 1));
    drop(client);
    let mut client = world.client();
    follow(&mut client, Position::Sequence(lines[199].sequence + 1), Filter::default());
    assert_eq!(next_line(&mut client).sequence, lines[199].sequence + 1, "another connection goes on");
    let filter = Filter { streams: vec![Stream::Stderr], contains: Some("7".into()), ..Filter::default() };
    let mut client = world.client();
    follow(&mut client, Position::Oldest, filter);
    for _ in 0..5 {
        let line = next_line(&mut client);
        assert!(line.stream == Stream::Stderr && line.text.contains('7'), "{line:?}");
    }
    let newest = world.status().log.next;
    follow(&mut client, Position::Newest, Filter::default());
    while next_line(&mut client).sequence < newest {}
    client.ask(Action::Unfollow).unwrap();
}

#[test]
fn a_half_open_connection_gets_its_answers() {
    let world = World::new("exec sleep 1000", RestartPolicy::Never);
    let mut stream = UnixStream::connect(&world.config.socket).unwrap();
    stream.write_all(b"{\"v\":1,\"id\":7,\"do\":\"status\"}\n{\"v\":1,\"id\":8,\"do\":\"status\"}\n").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let ids: Vec<bool> = text.lines().map(|line| line.contains("\"id\":7") || line.contains("\"id\":8")).collect();
    assert_eq!(ids, [false, true, true], "{text}");
}

/// Sends bytes and returns what comes until the connection is quiet or closed.
fn answer(world: &World, bytes: &[u8]) -> String {
    let mut stream = UnixStream::connect(&world.config.socket).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let (mut writer, bytes) = (stream.try_clone().unwrap(), bytes.to_vec());
    let writing = std::thread::spawn(move || {
        // The shim may close before it has taken everything.
        let _ = writer.write_all(&bytes);
        let _ = writer.shutdown(std::net::Shutdown::Write);
    });
    let mut text = Vec::new();
    let _ = stream.read_to_end(&mut text);
    writing.join().unwrap();
    String::from_utf8(text).unwrap()
}

#[test]
fn garbage_is_answered_and_harms_nobody() {
    let world = World::new("exec sleep 1000", RestartPolicy::Never);
    let before = world.wait_for(State::Running);
    let said = answer(&world, b"hello\n{}\n\n\xff\xfe\n{\"v\":9,\"id\":4,\"do\":\"status\"}\n{\"v\":1,\"id\":5,\"do\":{\"stop\":{\"signal\":\"NOPE\"}}}\n");
    let answers: Vec<&str> = said.lines().skip(1).collect();
    assert_eq!(answers.len(), 6, "{said}");
    assert!(answers[..4].iter().all(|line| line.contains(r#""id":0,"error":{"code":"malformed""#)), "{said}");
    assert!(answers[4].contains(r#""id":4,"error":{"code":"version","text":"version 9 is not spoken here"#), "{said}");
    assert!(answers[5].contains(r#""id":5,"error":{"code":"value","text":"`NOPE` is no signal""#), "{said}");
    let endless = vec![b'x'; 1 << 20];
    let said = answer(&world, &endless);
    assert!(said.lines().count() <= 2, "an endless line is cut off");
    let mut seed = 7u64;
    for _ in 0..200 {
        let length = (seed % 300) as usize;
        let noise: Vec<u8> = (0..length)
            .map(|_| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (seed >> 56) as u8
            })
            .collect();
        seed = seed.wrapping_add(1);
        answer(&world, &noise);
    }
    let flood: Vec<u8> = b"{\"v\":1,\"id\":1,\"do\":\"status\"}\n".repeat(20_000);
    let said = answer(&world, &flood);
    assert_eq!(said.lines().count(), 20_001, "each request has its answer");
    let after = world.status();
    assert_eq!((after.first, after.run), (before.first, before.run));
}

#[test]
fn a_reader_that_takes_nothing_holds_nobody_up() {
    let script = "i=0; while [ $i -lt 30 ]; do i=$((i+1)); head -c 100000 /dev/zero | tr '\\0' x; echo; done; echo end";
    let world = World::new(script, RestartPolicy::Never);
    let mut slow = world.client();
    follow(&mut slow, Position::Oldest, Filter::default());
    // It never reads, and asks on and on.
    let mut flood = UnixStream::connect(&world.config.socket).unwrap();
    flood.set_nonblocking(true).unwrap();
    let request = b"{\"v\":1,\"id\":1,\"do\":\"status\"}\n".repeat(1_000);
    while flood.write(&request).is_ok() {}
    world.wait_for(State::Stopped);
    assert_eq!(records(&world.config.logs.directory).iter().filter(|r| r.text == b"end").count(), 1);
    let memory = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", world.pid)).unwrap();
    let dirty = memory.lines().find_map(|line| line.strip_prefix("Private_Dirty:")).unwrap();
    let kib: u64 = dirty.trim().trim_end_matches(" kB").parse().unwrap();
    println!("private dirty memory with two readers that take nothing: {kib} KiB");
    assert!(kib < 4 << 10, "{kib} KiB");
}
