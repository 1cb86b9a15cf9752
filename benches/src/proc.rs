//! Figures of processes, from proc(5).

use std::time::Duration;

use anyhow::Context as _;
use rustix::time::{ClockId, clock_gettime};

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

/// Processor time of those threads of a process whose name begins so; a thread that has ended is not counted.
pub fn processor_time_of_threads(pid: u32, name: &str) -> Duration {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return Duration::ZERO };
    let stats = tasks.flatten().filter_map(|task| std::fs::read_to_string(task.path().join("stat")).ok());
    let named = |stat: &String| stat.split_once('(').is_some_and(|(_, rest)| rest.starts_with(name));
    stats.filter(named).map(|stat| ticks(&stat, 2)).sum()
}

/// Processor time of the calling thread, to the nanosecond.
pub fn thread_time() -> Duration {
    clock(ClockId::ThreadCPUTime)
}

/// Processor time of this process with all of its threads, to the nanosecond.
pub fn process_time() -> Duration {
    clock(ClockId::ProcessCPUTime)
}

fn clock(id: ClockId) -> Duration {
    let time = clock_gettime(id);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

fn times(pid: u32, fields: usize) -> Duration {
    ticks(&std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default(), fields)
}

/// Sum of the first fields of time in a `stat` of a process or thread.
fn ticks(stat: &str, fields: usize) -> Duration {
    // The name in parentheses may hold blanks.
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
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
