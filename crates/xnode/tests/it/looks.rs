//! The price of a look at a machine on which nothing happens: no program is started, and each application adds little to what is read. Nothing is
//! timed: calls and lists are counted.

use std::process::Command;

use nix::sched::{CloneFlags, unshare};
use openmesh_blueprint::generation::HostPort;
use openmesh_blueprint::inventory::Holder;
use openmesh_xnode::{Progress, open};

use crate::world::{World, runtime, server};

/// Calls of reading that an application adds to a look, at most: some ten marks of two each, its shim, its group, and its texts.
const READS_MAX: u64 = 60;
/// Looks of which the cheapest counts: once a minute there is more to do, and what was just written is not kept yet.
const LOOKS: usize = 10;

/// Applications without data.
fn document(applications: usize) -> String {
    let one = |number: usize| {
        format!(
            "  web{number}: {{image: localhost/web:1, ports: {{http: {{port: 8080}}}}, health: {{http: {{port: http}}}}, \
             limits: {{memory: 128MiB}}, switch: {{gate: 30s, probation: 0ms, drain: 1s}}}}\n"
        )
    };
    (0..applications).fold("applications:\n".to_string(), |text, number| text + &one(number))
}

/// Runs a test in a network namespace of its own, in which no other one changes a rule.
fn alone(test: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        let run = || match unshare(CloneFlags::CLONE_NEWNET) {
            Ok(()) => test(),
            Err(errno) => println!("skipped: no network namespace can be made ({errno}); root is needed"),
        };
        if let Err(panic) = scope.spawn(run).join() {
            std::panic::resume_unwind(panic);
        }
    });
}

/// Calls by which this thread has read so far; none where the kernel does not count them.
fn reads() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/thread-self/io").ok()?;
    text.lines().find_map(|line| line.strip_prefix("syscr: "))?.parse().ok()
}

/// Fewest calls of some rounds of the agent, in which it finds nothing to do.
fn reads_of_a_round(world: &World) -> u64 {
    let runtime = runtime();
    let round = || {
        let before = reads().unwrap();
        let done = runtime.block_on(world.agent().step(&open)).unwrap();
        assert_eq!(done, Progress::Rest);
        reads().unwrap() - before
    };
    (0..LOOKS).map(|_| round()).min().unwrap()
}

#[test]
fn a_look_at_an_unchanged_machine_starts_no_program_and_reads_little_of_each_application() {
    alone(|| {
        let Some(mut world) = World::new() else { return };
        if reads().is_none() {
            return println!("skipped: the kernel does not count what is read");
        }
        world.image("localhost/web:1", &server("one"));
        world.deploy(&document(1));
        let one = reads_of_a_round(&world);
        world.deploy(&document(4));
        let four = reads_of_a_round(&world);
        let each = four.saturating_sub(one) / 3;
        println!("{one} reads with one application, {each} more with each other one");
        assert!(each <= READS_MAX, "{one} reads for one application, {four} for four");
        let before = world.agent().lists_made();
        for _ in 0..LOOKS {
            assert_eq!(world.converge(), 0);
            world.agent().look().unwrap();
        }
        assert_eq!(world.agent().lists_made(), before, "nft was started, and nobody has changed a rule");
    });
}

#[test]
fn a_rule_that_somebody_changes_is_seen_by_the_next_look() {
    alone(|| {
        let Some(mut world) = World::new() else { return };
        world.image("localhost/web:1", &server("one"));
        world.deploy(&document(1));
        let nft = |script: &str| {
            let done = Command::new("nft").arg(script).output().unwrap();
            assert!(done.status.success(), "{script}: {}", String::from_utf8_lossy(&done.stderr));
        };
        let others = |world: &World| -> Vec<String> {
            let ports = world.agent().look().unwrap().inventory.ports;
            let by = |(at, holder): (HostPort, Holder)| match holder {
                Holder::Foreign(by) if by.starts_with("the agent") => Some(format!("{at} {by}")),
                _ => None,
            };
            ports.into_iter().filter_map(by).collect()
        };
        for _ in 0..LOOKS {
            assert_eq!(others(&world), Vec::<String>::new());
        }
        nft("add table inet openmesh-other");
        nft(
            "add map inet openmesh-other published_anywhere { type inet_proto . inet_service : ipv4_addr . inet_service; }",
        );
        nft("add element inet openmesh-other published_anywhere { tcp . 90 : 10.90.0.2 . 80 }");
        for _ in 0..LOOKS {
            assert_eq!(others(&world), ["0.0.0.0:90/tcp the agent `other`"]);
        }
        nft("delete table inet openmesh-other");
        assert_eq!(others(&world), Vec::<String>::new());
        let own = format!("openmesh-{}", world.name);
        nft(&format!("flush chain inet {own} forward"));
        world.agent().take_events();
        world.converge();
        let told = world.agent().take_events();
        assert!(told.iter().any(|event| event.cause.contains("the nft table was altered")), "{told:?}");
    });
}
