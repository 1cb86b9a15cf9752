//! Figures of processes, from proc(5).

use std::time::Duration;

use anyhow::Context as _;

/// A tick, milliseconds: a hundredth of a second on every Linux.
const TICK_MS: u64 = 10;

/// Processor time of a process since its start, in user and in system mode; none of one that is gone.
pub fn processor_time(pid: u32) -> Duration {
    // The 14th and 15th field.
    times(pid, 2)
}

/// The same with that of all programs that it has started and waited for.
pub fn processor_time_with_programs(pid: u32) -> Duration {
    // The 14th to 17th field.
    times(pid, 4)
}

/// The same of its threads with this name, as long as they live.
pub fn processor_time_of_threads(pid: u32, name: &str) -> Duration {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let named = threads.filter(|thread| {
        let comm = std::fs::read_to_string(thread.path().join("comm")).unwrap_or_default();
        comm.trim_end() == name
    });
    named.map(|thread| times_in(&std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default(), 2)).sum()
}

/// Processor time of this thread since its start, by the nanosecond.
///
/// # Errors
/// A kernel that does not count it.
pub fn own_time() -> anyhow::Result<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds = text.split_whitespace().next().context("an empty schedstat")?;
    Ok(Duration::from_nanos(nanoseconds.parse()?))
}

fn times(pid: u32, fields: usize) -> Duration {
    times_in(&std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default(), fields)
}

fn times_in(text: &str, fields: usize) -> Duration {
    // The name in parentheses may hold blanks.
    let rest = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: u64 = rest.split_whitespace().skip(11).take(fields).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * TICK_MS)
}

/// Memory of a process by a field of `smaps_rollup`, KiB: `Rss`, or `Anonymous` for what is no file's.
///
/// # Errors
/// The process is gone, or there is no such field.
pub fn memory_kib(pid: u32, field: &str) -> anyhow::Result<u64> {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line = rollup.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let figure = line.and_then(|line| line.split_whitespace().next());
    Ok(figure.with_context(|| format!("no figure for {field} of process {pid}"))?.parse()?)
}
