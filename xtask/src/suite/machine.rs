//! Use of the machine's cores, as the kernel counts it for all that runs on it.

/// Fields of the kernel's line that are times of their own: what guests have is in the first two. Source: proc_stat(5).
const FIELDS: usize = 8;
/// Fields in which a core does nothing: idle, and waiting for a disk.
const IDLE: [usize; 2] = [3, 4];

/// Time that all cores together have been busy, and time in all, in parts of a second of the kernel's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ticks {
    /// Busy with anything.
    pub busy: u64,
    /// In all.
    pub all: u64,
}

impl Ticks {
    /// Those until now; none where the kernel does not tell.
    pub fn now() -> Option<Ticks> {
        Ticks::of(&std::fs::read_to_string("/proc/stat").ok()?)
    }

    /// Those of the kernel's words.
    pub fn of(stat: &str) -> Option<Ticks> {
        let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
        let fields: Option<Vec<u64>> = line.split_whitespace().take(FIELDS).map(|field| field.parse().ok()).collect();
        let fields = fields.filter(|fields| fields.len() == FIELDS)?;
        let (all, idle): (u64, u64) = (fields.iter().sum(), IDLE.iter().map(|at| fields[*at]).sum());
        Some(Ticks { busy: all - idle, all })
    }

    /// Cores that were busy since a moment before, of so many.
    pub fn busy_since(self, before: Ticks, cores: u32) -> f64 {
        let (busy, all) = (self.busy.saturating_sub(before.busy), self.all.saturating_sub(before.all));
        if all == 0 { 0.0 } else { busy as f64 / all as f64 * f64::from(cores) }
    }
}
