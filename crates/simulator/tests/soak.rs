//! Long runs. The short forms are tests like any other; the long ones are `make soak`.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::PathBuf;
use std::time::Instant;

use openmesh_simulator::soak::{COLUMNS, Column, Sample, csv, read_csv, relative_slope, svg};
use openmesh_simulator::{run_long, run_year};

/// Days of the long form.
const YEAR_DAYS: u64 = 365;
/// Hours of the long form of a whole network.
const DAY_HOURS: u64 = 24;
/// Minutes of its short form.
const SHORT_MINUTES: u64 = 20;
/// Days of the short form.
const SHORT_DAYS: u64 = 1;
/// Seed of a run without OPENMESH_SOAK_SEED.
const SEED: u64 = 1;
/// A slope counts as flat up to this share of the mean over the second half of a run. Runs of less than three weeks have
/// steeper ones: the draws of the last 256 epochs are kept.
const FLAT_SLOPE_MAX: f64 = 0.05;
/// Entries and bytes of the state that stay for ever of each epoch, which is an hour: the record with its root.
const EPOCH_ENTRIES: u64 = 1;
const EPOCH_BYTES: u64 = 100;
/// Columns that go up and down by a multiple of themselves: what waits comes and expires in waves, and time is this
/// machine's, with whatever else it does.
const NOISY: [&str; 3] = ["waiting_transactions", "waiting_bytes", "nanos_per_window"];
/// Largest slope of those, far below that of a store that only grows, which is about two thirds.
const NOISY_SLOPE_MAX: f64 = 0.3;
/// A file that grows by doubling, and has its freed pages scattered, takes at most so many times what was ever in use at once.
const FILE_FACTOR_MAX: u64 = 4;
/// Columns of what waits. In the middle of a fault much does, which says nothing of what is left after it: judged by calm samples.
const WAITING: [&str; 3] = ["waiting_transactions", "waiting_bytes", "attester_windows"];

/// The product's own: a long run allocates as much as it computes.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Lets days pass, and tells of each `report`th.
fn run(seed: u64, days: u64, report: u64) -> Vec<Sample> {
    println!("seed {seed}: OPENMESH_SOAK_SEED={seed} replays this run");
    let (started, mut samples) = (Instant::now(), Vec::<Sample>::new());
    let outcome = run_year(seed, days, |sample| {
        samples.push(*sample);
        let day = samples.len() as u64;
        if day.is_multiple_of(report) {
            println!("day {day} of {days} after {:.0?}: {sample:?}", started.elapsed());
        }
    });
    let outcome = outcome.unwrap_or_else(|violation| panic!("seed {seed}: {violation}"));
    println!("{outcome:?}");
    samples
}

fn directory() -> PathBuf {
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("soak");
    std::env::var_os("OPENMESH_SOAK_DIR").map_or(target, PathBuf::from)
}

/// Bounds that hold at every moment, however long a run is.
fn assert_bounded(samples: &[Sample]) {
    for sample in samples {
        // Of six sources four validators have a window each; what is ahead of its turn has a room of its own.
        assert!(sample.waiting <= 4_096 + 200, "{sample:?}");
        assert!(sample.waiting_bytes <= 3 * 1024 * 1024, "{sample:?}");
        assert!(sample.attester_windows <= 4 * 6 * 12, "{sample:?}");
        // One of four may be down for days; three see nearly every window.
        assert!(sample.windows >= 6 * 120 && sample.chunks >= sample.windows, "{sample:?}");
        // Four disks with three days of blocks each, twice over: as it is, and as it is sure to be after a crash.
        assert!(sample.memory_bytes <= 6 << 30, "{sample:?}");
    }
}

#[test]
fn a_day_at_a_slow_pace_stays_within_its_bounds() {
    let samples = run(SEED, SHORT_DAYS, 1);
    assert_eq!(samples.len() as u64, SHORT_DAYS);
    assert_bounded(&samples);
}

#[test]
fn a_network_at_the_default_pace_goes_on_through_its_faults() {
    let samples = long(SEED, SHORT_MINUTES);
    assert_eq!(samples.len() as u64, SHORT_MINUTES / 10, "one for each ten minutes");
}

/// Runs a whole network, and checks that agreement goes on in each ten minutes.
fn long(seed: u64, minutes: u64) -> Vec<Sample> {
    println!("seed {seed}: OPENMESH_SOAK_SEED={seed} replays this run");
    let (started, mut samples) = (Instant::now(), Vec::new());
    let report = run_long(seed, minutes, |sample| {
        println!("after {:.0?}: {sample:?}", started.elapsed());
        samples.push(*sample);
    });
    let report = report.unwrap_or_else(|violation| panic!("seed {seed}: {violation}"));
    println!("{report:?}");
    for sample in &samples {
        // Six sources with sixty windows each in ten minutes, and a minute in which all disks are full.
        assert!(sample.chunks >= 6 * 40, "{sample:?}");
        assert!(sample.waiting <= 4_096 + 200 && sample.attester_windows <= 4 * 6 * 30, "{sample:?}");
    }
    samples
}

/// Writes the table and the plots, and returns what grows although it should not.
fn judge(name: &str, title: &str, samples: &[Sample], columns: &[Column]) -> Vec<String> {
    let directory = directory();
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join(format!("{name}.csv")), csv(samples)).unwrap();
    std::fs::write(directory.join(format!("{name}.svg")), svg(title, samples, columns)).unwrap();
    println!("table and plots: {}/{name}.csv, .svg", directory.display());
    let calm: Vec<Sample> = samples.iter().filter(|sample| sample.is_calm).copied().collect();
    assert!(calm.len() * 2 > samples.len(), "{} of {} samples are calm", calm.len(), samples.len());
    let mut steep = Vec::new();
    for column in columns {
        let samples = if WAITING.contains(&column.name) { &calm } else { samples };
        let slope = relative_slope(samples, bounded(column));
        println!("{:>22}: {slope:+.3} of its mean over the second half", column.name);
        let max = if NOISY.contains(&column.name) { NOISY_SLOPE_MAX } else { FLAT_SLOPE_MAX };
        // A file grows in steps: it is judged by what is in it, below.
        if slope > max && column.name != "disk_bytes" {
            steep.push(format!("{} grows by {slope:.3} of its mean", column.name));
        }
    }
    let mut most = 0;
    for sample in samples {
        most = most.max(sample.disk_in_use_bytes);
        if sample.disk_bytes > FILE_FACTOR_MAX * most {
            steep.push(format!("a file of {} bytes for {most} that were ever in use", sample.disk_bytes));
            break;
        }
    }
    steep
}

/// The part of a column that must not grow for ever.
fn bounded(column: &Column) -> fn(&Sample) -> u64 {
    match column.name {
        "state_entries" => |s| s.state_entries.saturating_sub(s.minutes / 60 * EPOCH_ENTRIES),
        "state_bytes" => |s| s.state_bytes.saturating_sub(s.minutes / 60 * EPOCH_BYTES),
        // The process is the whole network with its disks, which are judged by themselves.
        "memory_bytes" => |s| s.memory_bytes.saturating_sub(s.disk_memory_bytes),
        _ => column.of,
    }
}

fn columns(names: &[&str]) -> Vec<Column> {
    COLUMNS.into_iter().filter(|column| names.contains(&column.name)).collect()
}

/// A year of a block a minute.
#[test]
#[ignore = "takes minutes; make soak"]
fn a_year() {
    let days = number("OPENMESH_SOAK_DAYS", YEAR_DAYS);
    // The table of an earlier run is judged and drawn again without one.
    let samples = match std::env::var_os("OPENMESH_SOAK_TABLE") {
        Some(table) => read_csv(&std::fs::read_to_string(table).unwrap()).expect("a table of this test"),
        None => run(number("OPENMESH_SOAK_SEED", SEED), days, 5),
    };
    let title = format!("{days} days, a block a minute, windows of ten minutes, six sources, four validators");
    let columns = columns(&[
        "state_entries",
        "state_bytes",
        "waiting_transactions",
        "waiting_bytes",
        "attester_windows",
        "windows",
        "chunks",
        "disk_bytes",
        "disk_in_use_bytes",
        "memory_bytes",
        "nanos_per_window",
    ]);
    let steep = judge("year", &title, &samples, &columns);
    assert_bounded(&samples);
    assert!(steep.is_empty(), "{}", steep.join("; "));
}

/// A day of a whole network at the default pace.
#[test]
#[ignore = "takes minutes; make soak"]
fn a_day() {
    let hours = number("OPENMESH_SOAK_HOURS", DAY_HOURS);
    let samples = long(number("OPENMESH_SOAK_SEED", SEED), hours * 60);
    let title = format!("{hours} hours at the default pace, windows of ten seconds, six sources, four validators");
    let columns = columns(&[
        "state_entries",
        "state_bytes",
        "waiting_transactions",
        "attester_windows",
        "chunks",
        "disk_bytes",
        "disk_in_use_bytes",
        "memory_bytes",
        "nanos_per_window",
    ]);
    let steep = judge("day", &title, &samples, &columns);
    assert!(steep.is_empty(), "{}", steep.join("; "));
}
