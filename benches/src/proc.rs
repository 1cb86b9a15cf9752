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

fn times(pid: u32, fields: usize) -> Duration {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
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
