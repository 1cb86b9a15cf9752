//! Logs under load, and their figures.

use std::path::Path;
use std::time::Instant;

use openmesh_shim::log::{Filter, Position};
use openmesh_shim::protocol::{Action, State};
use openmesh_shim::restart::RestartPolicy;
use rustix::process::Signal;

use crate::world::{World, binary, hold, signal, until};

/// A hundred bytes a line, as many as a pipe takes.
fn storm(bytes: u64) -> String {
    format!("yes {} | head -c {bytes}; echo; echo the last words; exit 5", "x".repeat(99))
}

fn size(directory: &Path) -> u64 {
    let files = std::fs::read_dir(directory).into_iter().flatten().flatten();
    files.filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.len()).sum()
}

#[test]
fn a_storm_is_bounded_and_a_stopped_reader_misses_it_and_is_told() {
    const BYTES: u64 = 100_000_000;
    let world = World::with(&storm(BYTES), RestartPolicy::Never, hold);
    // The agent side: a process that follows and is stopped.
    let socket = world.config.socket.to_str().unwrap().to_owned();
    let script = "import socket,sys,time\ns=socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\ns.sendall(b'{\"v\":1,\"id\":1,\"do\":{\"follow\":{\"from\":\"oldest\"}}}\\n')\nprint('up',flush=True)\nwhile s.recv(65536): pass";
    let stopped = std::process::Command::new("python3")
        .args(["-c", script, &socket])
        .stdout(std::process::Stdio::piped())
        .spawn();
    let mut stopped = stopped.expect("python3");
    let mut word = [0; 3];
    std::io::Read::read_exact(stopped.stdout.as_mut().unwrap(), &mut word).unwrap();
    signal(stopped.id(), Signal::STOP);

    world.wait_for(State::Created);
    world.client().ask(Action::Start).unwrap();
    let (begun, mut largest) = (Instant::now(), 0);
    until("the end of the storm", || {
        largest = largest.max(size(&world.config.logs.directory));
        world.status().state == State::Stopped
    });
    let seconds = begun.elapsed().as_secs_f64();
    println!("{:.0} MB/s, at most {largest} bytes on disk", BYTES as f64 / 1e6 / seconds);
    assert!(largest <= world.config.logs.bytes_max);
    let status = world.status();
    println!("{} lines beyond the rate of a shim", status.log.lines_dropped);
    assert!(status.log.next > BYTES / 100);
    let lines = world.lines();
    assert_eq!(lines[lines.len() - 2].text, b"the last words");
    let gaps: u64 = lines.windows(2).map(|pair| pair[1].sequence - pair[0].sequence - 1).sum();
    assert!(gaps <= status.log.lines_dropped, "{gaps} sequences are missing, each a line that was counted");

    // Whoever comes later is told which lines are gone, and reads on from there.
    let mut reader = world.client();
    reader.ask(Action::Follow { from: Position::Sequence(1), filter: Filter::default() }).unwrap();
    let (mut seen, mut missing) = (0, 0);
    while seen + missing < status.log.next - 1 {
        match reader.next_message().unwrap() {
            openmesh_shim::protocol::Message::Log(_) => seen += 1,
            openmesh_shim::protocol::Message::Missing { first, last } => missing += last - first + 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(missing > 0 && seen > 0, "{seen} {missing}");
    signal(stopped.id(), Signal::KILL);
    stopped.wait().unwrap();
}

#[test]
fn a_prompt_without_a_newline_is_seen() {
    let world = World::new("printf 'password: '; exec sleep 1000", RestartPolicy::Never);
    until("the prompt", || world.lines().iter().any(|r| r.text == b"password: " && r.goes_on));
}

/// Private memory of a process, KiB.
fn private_dirty(pid: u32) -> u64 {
    // Pages of a program that was just written to the disk count as dirty until they are there.
    std::fs::File::open(binary()).unwrap().sync_all().unwrap();
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let line = rollup.lines().find_map(|line| line.strip_prefix("Private_Dirty:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Processor time of a process, milliseconds.
fn processor_ms(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    // Ticks of a hundredth of a second.
    (fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()) * 10
}

/// The figures of `docs/benchmarks.md`; with optimised rooms:
/// `cargo test --profile dev -p openmesh-shim --test it -- --ignored --nocapture measure`.
#[test]
#[ignore = "a measurement"]
fn measure() {
    const BYTES: u64 = 400_000_000;
    let idle: Vec<World> = (0..10).map(|_| World::new("exec sleep 1000", RestartPolicy::Always)).collect();
    idle.iter().for_each(|world| drop(world.wait_for(State::Running)));
    let sizes: Vec<u64> = idle.iter().map(|world| private_dirty(world.pid)).collect();
    let before: u64 = idle.iter().map(|world| processor_ms(world.pid)).sum();
    std::thread::sleep(std::time::Duration::from_secs(5));
    let after: u64 = idle.iter().map(|world| processor_ms(world.pid)).sum();
    println!("ten idle shims: private dirty {sizes:?} KiB, {} ms of processor in 5 s", after - before);
    drop(idle);

    // The same storm into a file that the shell opens, for what the machine gives without a shim.
    let directory = tempfile::tempdir().unwrap();
    let begun = Instant::now();
    let script =
        format!("yes {} | head -c {BYTES} | cat > {}", "x".repeat(99), directory.path().join("file").display());
    assert!(std::process::Command::new("sh").args(["-c", &script]).status().unwrap().success());
    println!("through `cat` into one file: {:.0} MB/s", BYTES as f64 / 1e6 / begun.elapsed().as_secs_f64());

    let change = |config: &mut openmesh_shim::Config| {
        config.logs.bytes_max = 64 << 20;
        hold(config);
    };
    let world = World::with(&storm(BYTES), RestartPolicy::Never, change);
    world.wait_for(State::Created);
    world.client().ask(Action::Start).unwrap();
    let begun = Instant::now();
    // Nobody is connected while it runs: its end is seen in the state file.
    until("the end", || {
        openmesh_shim::state::read(&world.config.state_file()).is_some_and(|s| s.state == State::Stopped)
    });
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "through the shim, no agent connected: {:.0} MB/s, {} ms of processor for {} MB, {} KiB private dirty after it, {} lines",
        BYTES as f64 / 1e6 / seconds,
        processor_ms(world.pid),
        BYTES / 1_000_000,
        private_dirty(world.pid),
        world.status().log.next - 1,
    );
}
