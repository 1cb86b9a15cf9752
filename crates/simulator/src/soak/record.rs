//! Samples of a long run: written as CSV, judged by their slope.

use std::fmt::Write as _;

use openmesh_ledger::{StateError, StateRead};

/// A tick of proc(5), nanoseconds: a hundredth of a second on every Linux.
const TICK_NANOS: u64 = 10_000_000;
/// A page of memory, bytes, on the machines that this is run on.
const PAGE_BYTES: u64 = 4_096;
/// Entries of a state that are read at once.
const SCAN_MAX: usize = 1_000;

/// Sizes and times at a moment of virtual time. A run leaves out what it does not have.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sample {
    /// Virtual minutes since the beginning.
    pub minutes: u64,
    /// Height of the last block.
    pub height: u64,
    /// Entries of the state.
    pub state_entries: u64,
    /// Bytes of the state's keys and values.
    pub state_bytes: u64,
    /// Waiting transactions of both classes.
    pub waiting: u64,
    /// Their bytes.
    pub waiting_bytes: u64,
    /// Windows that wait in the validators' attesters.
    pub attester_windows: u64,
    /// Windows closed since the sample before.
    pub windows: u64,
    /// Windows closed since the beginning.
    pub windows_ever: u64,
    /// Chunks accepted since the sample before.
    pub chunks: u64,
    /// Chunks accepted since the beginning.
    pub chunks_ever: u64,
    /// Bytes of the largest validator's disk. It grows in steps, and keeps what is freed for what comes.
    pub disk_bytes: u64,
    /// Bytes of it that hold something.
    pub disk_in_use_bytes: u64,
    /// Memory that all disks take, bytes.
    pub disk_memory_bytes: u64,
    /// Memory of this process, which is the whole network with its disks.
    pub memory_bytes: u64,
    /// Processor time of this process for a window, nanoseconds.
    pub nanos_per_window: u64,
    /// No fault is in progress, and none has been for six windows: what waited because of one is gone.
    pub is_calm: bool,
}

/// Usage of this process.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// Processor time since its start, nanoseconds.
    pub(crate) cpu_nanos: u64,
    /// Resident memory, bytes.
    pub(crate) memory_bytes: u64,
}

impl Usage {
    /// The usage now, from proc(5); zeros where that is not there.
    pub(crate) fn now() -> Usage {
        let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        // The name in parentheses may hold anything; fields are counted from the third one behind it.
        let rest = text.rsplit_once(')').map_or("", |(_, rest)| rest);
        let fields: Vec<u64> = rest.split_whitespace().map(|field| field.parse().unwrap_or(0)).collect();
        let field = |number: usize| fields.get(number - 3).copied().unwrap_or(0);
        Usage { cpu_nanos: (field(14) + field(15)) * TICK_NANOS, memory_bytes: field(24) * PAGE_BYTES }
    }
}

/// A column of a table of samples.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Heading.
    pub name: &'static str,
    /// Its value in a sample.
    pub of: fn(&Sample) -> u64,
}

impl Sample {
    /// The same with the size of a state.
    ///
    /// Fails if the state cannot be read.
    pub fn with_state(mut self, state: &dyn StateRead) -> Result<Sample, StateError> {
        let mut from: Option<Vec<u8>> = None;
        loop {
            let pairs = state.scan(b"", from.as_deref(), SCAN_MAX)?;
            let Some((last, _)) = pairs.last() else { return Ok(self) };
            self.state_entries += pairs.len() as u64;
            self.state_bytes += pairs.iter().map(|(key, value)| (key.len() + value.len()) as u64).sum::<u64>();
            from = Some([last.as_slice(), &[0]].concat());
        }
    }
}

/// All columns, in the order in which they are written.
pub const COLUMNS: [Column; 15] = [
    Column { name: "minutes", of: |s| s.minutes },
    Column { name: "height", of: |s| s.height },
    Column { name: "state_entries", of: |s| s.state_entries },
    Column { name: "state_bytes", of: |s| s.state_bytes },
    Column { name: "waiting_transactions", of: |s| s.waiting },
    Column { name: "waiting_bytes", of: |s| s.waiting_bytes },
    Column { name: "attester_windows", of: |s| s.attester_windows },
    Column { name: "windows", of: |s| s.windows },
    Column { name: "chunks", of: |s| s.chunks },
    Column { name: "disk_bytes", of: |s| s.disk_bytes },
    Column { name: "disk_in_use_bytes", of: |s| s.disk_in_use_bytes },
    Column { name: "disk_memory_bytes", of: |s| s.disk_memory_bytes },
    Column { name: "memory_bytes", of: |s| s.memory_bytes },
    Column { name: "nanos_per_window", of: |s| s.nanos_per_window },
    Column { name: "is_calm", of: |s| u64::from(s.is_calm) },
];

/// Writes samples as a table with a line of headings.
pub fn csv(samples: &[Sample]) -> String {
    let mut text = COLUMNS.map(|column| column.name).join(",") + "\n";
    for sample in samples {
        let line = COLUMNS.map(|column| (column.of)(sample).to_string()).join(",");
        // Writing to a string does not fail.
        let _ = writeln!(text, "{line}");
    }
    text
}

/// Reads a table that [`csv`] wrote; none where it is another one.
pub fn read_csv(text: &str) -> Option<Vec<Sample>> {
    let mut lines = text.lines();
    let headings = COLUMNS.map(|column| column.name).join(",");
    lines.next().filter(|line| *line == headings)?;
    lines.map(|line| sample(&line.split(',').map(|value| value.parse().ok()).collect::<Option<Vec<u64>>>()?)).collect()
}

/// The sample of a line's values, in the order of [`COLUMNS`].
fn sample(values: &[u64]) -> Option<Sample> {
    let of = |name: &str| values.get(COLUMNS.iter().position(|column| column.name == name)?).copied();
    (values.len() == COLUMNS.len()).then_some(())?;
    Some(Sample {
        minutes: of("minutes")?,
        height: of("height")?,
        state_entries: of("state_entries")?,
        state_bytes: of("state_bytes")?,
        waiting: of("waiting_transactions")?,
        waiting_bytes: of("waiting_bytes")?,
        attester_windows: of("attester_windows")?,
        windows: of("windows")?,
        chunks: of("chunks")?,
        disk_bytes: of("disk_bytes")?,
        disk_in_use_bytes: of("disk_in_use_bytes")?,
        disk_memory_bytes: of("disk_memory_bytes")?,
        memory_bytes: of("memory_bytes")?,
        nanos_per_window: of("nanos_per_window")?,
        is_calm: of("is_calm")? == 1,
        // Not in the table.
        windows_ever: 0,
        chunks_ever: 0,
    })
}

/// Growth over the second half of a run, as a share of the mean there: the least-squares line's rise over that half,
/// divided by the mean. Zero where it is flat; about two thirds where it has grown in proportion to time from nothing.
pub fn relative_slope(samples: &[Sample], of: fn(&Sample) -> u64) -> f64 {
    slope(&samples.iter().map(of).collect::<Vec<_>>())
}

/// The same of values at equal distances.
pub fn slope(values: &[u64]) -> f64 {
    let half = &values[values.len() / 2..];
    let count = half.len() as f64;
    if half.len() < 2 {
        return 0.0;
    }
    let mean_x = (count - 1.0) / 2.0;
    let mean_y = half.iter().map(|value| *value as f64).sum::<f64>() / count;
    let (mut covariance, mut variance) = (0.0, 0.0);
    for (x, value) in half.iter().enumerate() {
        let dx = x as f64 - mean_x;
        covariance += dx * (*value as f64 - mean_y);
        variance += dx * dx;
    }
    if mean_y == 0.0 { 0.0 } else { covariance / variance * (count - 1.0) / mean_y }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read_as_it_was_written() {
        let samples = [
            Sample { minutes: 1_440, state_bytes: 7, memory_bytes: 1 << 40, is_calm: true, ..Sample::default() },
            Sample { minutes: 2_880, waiting: 3, ..Sample::default() },
        ];
        assert_eq!(read_csv(&csv(&samples)).as_deref(), Some(&samples[..]));
        assert_eq!(read_csv("minutes,height\n1,2\n"), None);
        assert_eq!(read_csv(&csv(&samples).replace(",7,", ",x,")), None);
    }

    fn samples(of: fn(u64) -> u64) -> Vec<Sample> {
        (1..=100).map(|day| Sample { minutes: day, state_bytes: of(day), ..Sample::default() }).collect()
    }

    #[test]
    fn slopes_tell_growth_from_noise() {
        let slope = |list: &[Sample]| relative_slope(list, |s| s.state_bytes);
        assert_eq!(slope(&samples(|_| 7)), 0.0);
        assert!(slope(&samples(|day| 1_000 + day % 7)).abs() < 0.01);
        assert!((slope(&samples(|day| day * 50)) - 0.65).abs() < 0.02);
        assert!(slope(&samples(|day| 10_000 - day * 50)) < -0.1);
        assert_eq!((slope(&[]), slope(&samples(|_| 0))), (0.0, 0.0));
    }

    #[test]
    fn tables_have_a_heading_and_a_line_for_each_sample() {
        let text = csv(&samples(|day| day));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 101);
        assert!(lines[0].starts_with("minutes,height,state_entries,state_bytes,"));
        assert_eq!(lines[3], "3,0,0,3,0,0,0,0,0,0,0,0,0,0,0");
    }
}
