//! Whatever a test has left on the machine, above all one that was ended: processes, mounts, loop devices, control groups, tables of nft.
//!
//! Only what belongs to the test is touched. Processes are told by a variable that they have inherited, or by the test's folder in their command line or as
//! their place; mounts and loop devices by that folder; control groups and tables by the name of an agent, in which tests write the number of their process.

use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Variable by which the processes of a test are known.
pub const MARK: &str = "OPENMESH_MUTANTS_RUN";
/// Longest wait for the end of processes that were killed.
const END_MAX: Duration = Duration::from_secs(20);
/// Pause between two looks at them: they are nobody's children here, so that nobody is told.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// Levels of control groups below their root in which those of agents lie, whatever group this process is in.
const GROUP_DEPTH_MAX: usize = 5;
/// Beginning of the names of control groups and tables of agents.
const OURS: &str = "openmesh-";
/// Beginnings of the names of agents that tests make, with the bits by which they shift the number of their process behind it: those of containers, of the
/// executor, of the agent.
const TESTS: [(&str, u32); 3] = [("test-", 6), ("t", 6), ("a", 6)];

/// Value of [`MARK`] for the tests of this process.
pub fn mark() -> String {
    std::process::id().to_string()
}

/// Ends and removes what a test has left that had this process and folder. Returns it in words.
pub fn clean(room: &Path, pid: u32) -> Vec<String> {
    let mut left = end_processes(room);
    left.extend(unmount(room));
    left.extend(detach(room));
    left.extend(remove_groups(pid));
    left.extend(remove_tables(pid));
    left
}

/// Removes the folder of a test. Where something is still mounted in it nothing is removed, since that could be data of the machine.
///
/// # Errors
/// Something is mounted in it, or the system's word.
pub fn remove(room: &Path) -> io::Result<()> {
    match mounts(room).first() {
        Some(mount) => Err(io::Error::other(format!("{} is still mounted; unmount it", mount.display()))),
        None => std::fs::remove_dir_all(room),
    }
}

/// Kills all processes of a test until none is left. Returns what they were.
fn end_processes(room: &Path) -> Vec<String> {
    let (begun, mut ended) = (Instant::now(), Vec::new());
    loop {
        let found = processes(room);
        if found.is_empty() || begun.elapsed() > END_MAX {
            return ended;
        }
        for (pid, words) in found {
            // One that has ended meanwhile is what was wanted.
            let _ = kill_process(pid, Signal::KILL);
            if !ended.contains(&words) {
                ended.push(words);
            }
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// Processes of a test that have not ended, with words for them.
fn processes(room: &Path) -> Vec<(Pid, String)> {
    let variable = format!("{MARK}={}", mark());
    let own = std::process::id();
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let belonging = entries.filter_map(|entry| {
        let number: u32 = entry.file_name().to_str()?.parse().ok()?;
        let read = |file: &str| std::fs::read(entry.path().join(file)).unwrap_or_default();
        let has_mark = || read("environ").split(|byte| *byte == 0).any(|found| found == variable.as_bytes());
        let line = read("cmdline");
        let is_named = || line.windows(room.as_os_str().len()).any(|part| part == room.as_os_str().as_bytes());
        let lies = |link: &str| std::fs::read_link(entry.path().join(link)).is_ok_and(|to| to.starts_with(room));
        let is_its = number != own && (has_mark() || is_named() || ["cwd", "root", "exe"].into_iter().any(lies));
        // The dead have no command line, and wait for their parents alone.
        let words = String::from_utf8_lossy(&line).replace('\0', " ");
        (is_its && !line.is_empty()).then_some((Pid::from_raw(number.cast_signed())?, format!("process {words}")))
    });
    belonging.collect()
}

/// Mount points in a folder, the deepest and latest first.
fn mounts(room: &Path) -> Vec<PathBuf> {
    let text = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = text.lines().filter_map(|line| line.split(' ').nth(4)).map(unescaped);
    let mut found: Vec<PathBuf> = points.filter(|point| point.starts_with(room)).collect();
    found.reverse();
    found
}

/// A path as the kernel writes it, with its four escapes replaced. Source: `Documentation/filesystems/proc.rst`, `mangle` in `fs/seq_file.c`.
fn unescaped(path: &str) -> PathBuf {
    let escapes = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    escapes.into_iter().fold(path.to_string(), |path, (escape, sign)| path.replace(escape, sign)).into()
}

fn unmount(room: &Path) -> Vec<String> {
    let mut gone = Vec::new();
    for point in mounts(room) {
        if succeeds(Command::new("umount").arg("-l").arg(&point)) {
            gone.push(format!("mount {}", point.display()));
        }
    }
    gone
}

/// Detaches loop devices whose files lie in a folder. Most detach themselves with their last mount.
fn detach(room: &Path) -> Vec<String> {
    let text = said(Command::new("losetup").args(["-l", "-n", "-O", "NAME,BACK-FILE"]));
    let devices = text.lines().filter_map(|line| line.trim().split_once(char::is_whitespace));
    let own = devices.filter(|(_, file)| Path::new(file.trim()).starts_with(room));
    own.filter(|(device, _)| succeeds(Command::new("losetup").args(["-d", device])))
        .map(|(device, file)| format!("loop device {device} of {}", file.trim()))
        .collect()
}

/// Removes control groups of agents that the process of a test has named, and ends what is in them.
fn remove_groups(pid: u32) -> Vec<String> {
    let mut found = Vec::new();
    groups(Path::new("/sys/fs/cgroup"), pid, GROUP_DEPTH_MAX, &mut found);
    found.retain(|group| remove_group(group));
    found.into_iter().map(|group| format!("control group {}", group.display())).collect()
}

fn groups(folder: &Path, pid: u32, depth: usize, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        if name.to_str().and_then(|name| name.strip_prefix(OURS)).is_some_and(|agent| is_of(agent, pid)) {
            found.push(entry.path());
        } else if depth > 1 {
            groups(&entry.path(), pid, depth - 1, found);
        }
    }
}

/// Removes a control group with those below it. Returns true where it is gone.
fn remove_group(group: &Path) -> bool {
    for entry in std::fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_group(&entry.path());
        }
    }
    let begun = Instant::now();
    loop {
        let text = std::fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
        for pid in text.lines().filter_map(|line| line.parse().ok()).filter_map(Pid::from_raw) {
            let _ = kill_process(pid, Signal::KILL);
        }
        if std::fs::remove_dir(group).is_ok() {
            return true;
        }
        if begun.elapsed() > END_MAX {
            return false;
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

fn remove_tables(pid: u32) -> Vec<String> {
    let text = said(Command::new("nft").args(["list", "tables"]));
    let tables = text.lines().filter_map(|line| line.strip_prefix("table inet "));
    let own = tables.filter(|table| table.strip_prefix(OURS).is_some_and(|agent| is_of(agent, pid)));
    own.filter(|table| succeeds(Command::new("nft").args(["delete", "table", "inet", table])))
        .map(|table| format!("table inet {table}"))
        .collect()
}

/// True for an agent that a test with this process has made: its name has that number in hexadecimal, shifted by the bits of a count.
pub fn is_of(agent: &str, pid: u32) -> bool {
    TESTS.into_iter().any(|(begin, shift)| {
        let digits = agent.strip_prefix(begin).and_then(|rest| rest.split('-').next());
        let number = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        // The names of tests have 32 bits of it as well.
        number.is_some_and(|number| number >> shift == (pid << shift) >> shift)
    })
}

/// Runs a program that may not be there, and says nothing. Returns true where it succeeds.
fn succeeds(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

/// Output of a program that may not be there.
fn said(command: &mut Command) -> String {
    command.output().map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
}
