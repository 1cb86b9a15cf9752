//! Shares of the machine: processor time and memory of processes, from `/proc`.

use std::fmt;
use std::time::{Duration, Instant};

/// Ticks of processor time a second. Source: `man 5 proc`; 100 on every Linux that Rust runs on.
const TICKS_PER_SECOND: f64 = 100.0;
/// Time between two looks at the memory.
const LOOK: Duration = Duration::from_millis(200);

/// Shares of a phase, 1 for each processor.
#[derive(Debug, Clone, Copy)]
pub struct Shares {
    node: f64,
    besiegers: f64,
    all: f64,
    /// Most memory that the node had resident, in MiB.
    pub memory_mib_max: u64,
}

impl fmt::Display for Shares {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shares { node, besiegers, all, memory_mib_max } = self;
        let others = (all - node - besiegers).max(0.0);
        write!(out, "node {node:.2}, hostile {besiegers:.2}, all others {others:.2} (node: {memory_mib_max} MiB)")
    }
}

/// Does some work, and watches what processes take meanwhile.
pub async fn watched<T>(node: u32, besiegers: Option<u32>, work: impl Future<Output = T>) -> (T, Shares) {
    let begun = Instant::now();
    let ticks = || (process_ticks(node), besiegers.map_or(0.0, process_ticks), machine_ticks());
    let before = ticks();
    let mut memory_mib_max = 0;
    let mut work = std::pin::pin!(work);
    let done = loop {
        memory_mib_max = memory_mib_max.max(memory_mib(node));
        tokio::select! {
            done = &mut work => break done,
            () = tokio::time::sleep(LOOK) => {}
        }
    };
    let after = ticks();
    let per_second = |from: f64, to: f64| (to - from) / TICKS_PER_SECOND / begun.elapsed().as_secs_f64();
    let shares = Shares {
        node: per_second(before.0, after.0),
        besiegers: per_second(before.1, after.1),
        all: per_second(before.2, after.2),
        memory_mib_max,
    };
    (done, shares)
}

/// Fields `utime` and `stime`.
fn process_ticks(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
    fields.skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum()
}

/// Everything but idle time and waiting for disks.
fn machine_ticks() -> f64 {
    let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields = stat.lines().next().unwrap_or_default().split_whitespace().skip(1).take(8).enumerate();
    fields.filter(|(at, _)| *at != 3 && *at != 4).filter_map(|(_, field)| field.parse::<f64>().ok()).sum()
}

fn memory_mib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or_default() / 1_024
}
