//! Processes below a process: those that it has begun, and theirs.

use rustix::process::{Pid, Signal, kill_process};

/// Ends a process with everything that is below it at this moment: it may hold ports, mounts and cores that other jobs want. Whatever has left it before, as an
/// application whose agent has ended, goes on.
pub fn end(pid: Pid) {
    // Above all the first one, which could begin another.
    for one in below(pid.as_raw_nonzero().get(), &parents()).into_iter().filter_map(Pid::from_raw) {
        // One that has ended meanwhile is what was wanted.
        let _ = kill_process(one, Signal::KILL);
    }
}

/// A process and all that are below it, by the parent of each: parents before their children.
pub fn below(pid: i32, parents: &[(i32, i32)]) -> Vec<i32> {
    let (mut found, mut at) = (vec![pid], 0);
    while let Some(parent) = found.get(at).copied() {
        let is_new = |(one, of): &&(i32, i32)| *of == parent && !found.contains(one);
        let children: Vec<i32> = parents.iter().filter(is_new).map(|(one, _)| *one).collect();
        found.extend(children);
        at += 1;
    }
    found
}

/// All processes of the machine with their parents, as far as the kernel tells.
fn parents() -> Vec<(i32, i32)> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let each = entries.filter_map(|entry| {
        let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
        Some((pid, parent(&std::fs::read_to_string(entry.path().join("stat")).ok()?)?))
    });
    each.collect()
}

/// The parent of a process, in the kernel's words about it.
pub fn parent(stat: &str) -> Option<i32> {
    // The name before may hold anything. Source: proc_pid_stat(5), fields 3 and 4.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}
