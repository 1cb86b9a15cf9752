//! A disk that is full, and then has room again, below the logs of a shim: a small memory file system in a mount namespace of the shim's own.
//!
//! That needs root, or a system that gives namespaces to its users; without either the test fails and says so.

use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use openmesh_shim::log::Stream;
use openmesh_shim::protocol::State;
use openmesh_shim::restart::RestartPolicy;
use openmesh_shim::start::Word;

use crate::world::{World, binary, config, records, until};

/// Size of the disk, in mebibytes: as much as the log may take.
const DISK_MIB: u64 = 4;

/// Lets go of what agents and other tests have mounted: a namespace begins with every mount of the machine, and what it keeps can be unmounted by nobody.
const LET_GO: &str = r#"sed -nE 's@^([^ ]+ ){4}([^ ]+) .* - (nsfs |overlay openmesh ).*@\2@p' /proc/self/mountinfo | while read -r point; do umount -l "$point"; done 2> /dev/null
grep ' - [^ ]* /dev/loop' /proc/self/mountinfo | cut -d ' ' -f 5 | grep "^${TMPDIR:-/tmp}/" | while read -r point; do umount -l "$point"; done 2> /dev/null
"#;

/// Arguments of `unshare` that give a namespace of mounts here; fails where none do.
fn namespace() -> Vec<&'static str> {
    let ways = [vec!["--mount"], vec!["--mount", "--map-root-user"]];
    let works = |way: &&Vec<&str>| {
        let mut command = Command::new("unshare");
        command.args(way.iter()).args(["--", "mount", "-t", "tmpfs", "tmpfs"]).arg(std::env::temp_dir());
        command.output().is_ok_and(|output| output.status.success())
    };
    let found = ways.iter().find(works).cloned();
    found.expect("NO SMALL DISKS CAN BE MADE HERE: this test needs root, or namespaces for users (unshare --mount)")
}

/// Fills a disk to its last byte.
fn fill(ballast: &Path) {
    let mut file = std::fs::File::create(ballast).unwrap();
    for size in [1 << 16, 4_096, 1] {
        loop {
            match file.write(&vec![7; size]) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => break,
                Err(error) => panic!("ballast: {error}"),
            }
        }
    }
}

#[test]
fn a_full_disk_blocks_no_instance_and_every_lost_line_is_counted() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    // The counter on another disk shows that the application goes on.
    let script = "i=0; while [ ! -e stop ]; do i=$((i+1)); echo line $i xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; echo $i > count; sleep 0.001; done";
    let mut world = World::prepare(config(root, script, RestartPolicy::Never));
    std::fs::create_dir(&world.config.logs.directory).unwrap();
    let mount = format!("{LET_GO}mount -t tmpfs -o size={DISK_MIB}m tmpfs \"$1\" && exec \"$2\" \"$3\"");
    let mut command = Command::new("unshare");
    command.args(namespace()).args(["--", "sh", "-c", &mount, "sh"]);
    command.arg(&world.config.logs.directory).arg(binary()).arg(world.path()).stderr(Stdio::inherit());
    let word = command.output().unwrap().stdout;
    let Ok(Word::Ready { pid, .. }) = serde_json::from_slice(&word) else { panic!("{word:?}") };
    world.pid = pid;
    let logs = PathBuf::from(format!("/proc/{pid}/root{}", world.config.logs.directory.display()));
    let ballast = logs.join("ballast");
    let count = || std::fs::read_to_string(root.join("count")).unwrap_or_default().trim().parse::<u64>().unwrap_or(0);

    for round in 1..=2 {
        until("lines", || count() > 50);
        fill(&ballast);
        let full = world.wait_until_status(|status| status.log.dropping.is_some());
        assert!(full.log.dropping.unwrap().contains("No space left on device"));
        let (counted, dropped) = (count(), full.log.lines_dropped);
        until("the application goes on", || count() > counted + 200);
        let more = world.wait_until_status(|status| status.log.lines_dropped > dropped + 100);
        assert_eq!(more.state, State::Running);
        std::fs::remove_file(&ballast).unwrap();
        world.wait_until_status(|status| status.log.dropping.is_none());
        let said = records(&logs).into_iter().filter(|r| r.stream == Stream::Shim);
        let said: Vec<String> = said.map(|r| String::from_utf8(r.text).unwrap()).collect();
        assert_eq!(said.len(), round, "{said:?}");
        println!("{}", said[round - 1]);
    }
    std::fs::write(root.join("stop"), "").unwrap();
    let status = world.wait_for(State::Stopped);

    let all = records(&logs);
    let sequences: Vec<u64> = all.iter().map(|r| r.sequence).collect();
    let missing: u64 = sequences.windows(2).map(|pair| pair[1] - pair[0] - 1).sum();
    assert_eq!(missing, status.log.lines_dropped, "every gap was counted");
    let mut numbers = all.iter().filter(|r| r.stream == Stream::Stdout).map(|r| {
        let text = std::str::from_utf8(&r.text).unwrap();
        assert!(
            text.starts_with("line ") && text.ends_with(" xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"),
            "no torn line: {text}"
        );
        text.split(' ').nth(1).unwrap().parse::<u64>().unwrap()
    });
    let kept = numbers.clone().count() as u64;
    assert_eq!(numbers.next_back(), Some(count()), "the last lines are there");
    assert_eq!(kept + status.log.lines_dropped, count(), "each line is kept or counted");
    println!("{} lines: {kept} kept, {} dropped and counted", count(), status.log.lines_dropped);
}
