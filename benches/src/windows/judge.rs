//! Judgement and picture of a run.
//!
//! Growth is that from the median of the third quarter to that of the last one: a real machine has minutes in which it does something else, and a line
//! through all of them follows the highest. What grows in proportion to time from nothing grows by 0.4 in this measure.

use openmesh_simulator::soak::{Curve, picture as draw, slope};

use super::sample::{COLUMNS, Sample};

/// Growth that counts as none.
const GROWTH_MAX: f64 = 0.05;
/// The same for what depends on whatever else the machine does, half of that of a store that only grows.
const NOISY_GROWTH_MAX: f64 = 0.2;
/// Columns of that kind.
const NOISY: [&str; 2] = ["blocks", "cpu_ms"];
/// Columns that must not fall either: agreement goes on at its pace.
const STEADY: [&str; 2] = ["blocks", "chunks"];
/// Columns that must not grow. Tables do for as long as their rows are kept, and are drawn alone.
const BOUNDED: [&str; 7] =
    ["cpu_ms", "cpu_yardsticks", "memory_bytes", "memory_all_bytes", "ledger_bytes", "content_bytes", "raw_bytes"];
/// Chunks that tables may wait for at the end of any minute, as seconds of chunks: beyond it they are behind, and not only busy.
const AWAITED_SECONDS_MAX: u64 = 30;
/// A minute with less than this share of the blocks or chunks of the median minute is one in which agreement stood.
const STANDING_SHARE: f64 = 0.1;

/// Names that are drawn, those of progress first.
const DRAWN: [&str; 14] = [
    "blocks",
    "chunks",
    "cpu_ms",
    "chain_cpu_ms",
    "yardstick_us",
    "cpu_yardsticks",
    "awaited",
    "events_per_second",
    "memory_bytes",
    "memory_all_bytes",
    "ledger_bytes",
    "content_bytes",
    "lake_bytes",
    "raw_bytes",
];

fn values(samples: &[Sample], name: &str) -> Vec<u64> {
    let column = COLUMNS.into_iter().find(|column| column.name == name);
    column.map(|column| samples.iter().map(|sample| column.value(sample)).collect()).unwrap_or_default()
}

/// Draws every column that is judged or limited.
pub fn picture(title: &str, samples: &[Sample]) -> String {
    let curve = |name: &&'static str| Curve {
        name,
        points: samples.iter().map(|sample| sample.minutes).zip(values(samples, name)).collect(),
    };
    draw(title, &DRAWN.iter().map(curve).collect::<Vec<_>>())
}

/// Prints the growth of every column that is drawn, and returns what is not as it must be.
pub fn judge(samples: &[Sample]) -> Vec<String> {
    let mut faults = Vec::new();
    for name in DRAWN {
        let values = values(samples, name);
        let growth = growth(&values);
        // The slope of the simulated runs, for comparison.
        let (growth_told, slope) = (round(growth), round(slope(&values)));
        println!(
            "{}",
            serde_json::json!({ "benchmark": "windows", "column": name, "growth": growth_told, "slope": slope })
        );
        let max = if NOISY.contains(&name) { NOISY_GROWTH_MAX } else { GROWTH_MAX };
        if growth > max && (BOUNDED.contains(&name) || STEADY.contains(&name)) {
            faults.push(format!("{name} grows by {growth:.3} from the third quarter to the last"));
        }
        if STEADY.contains(&name) {
            faults.extend(standing(name, &values));
            if growth < -max {
                faults.push(format!("{name} falls by {:.3} from the third quarter to the last", -growth));
            }
        }
    }
    for sample in samples {
        if sample.awaited > sample.chunks * AWAITED_SECONDS_MAX / 60 {
            faults.push(format!("tables waited for {} chunks in minute {}", sample.awaited, sample.minutes));
            break;
        }
    }
    if let Some(last) = samples.last().filter(|last| last.disputed > 0) {
        faults.push(format!("{} chunks were disputed", last.disputed));
    }
    faults
}

fn median(values: &[u64]) -> u64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or(0)
}

/// Growth from the third quarter to the last, as a share; 0 where there was nothing.
fn growth(values: &[u64]) -> f64 {
    let quarter = values.len() / 4;
    let (rest, last) = values.split_at(values.len() - quarter);
    let before = median(&rest[rest.len() - quarter..]);
    if before == 0 { 0.0 } else { median(last) as f64 / before as f64 - 1.0 }
}

/// The first minute in which agreement stood.
fn standing(name: &str, values: &[u64]) -> Option<String> {
    let median = median(values);
    // The first minute is that of the start.
    let minute = values.iter().skip(1).position(|value| (*value as f64) < median as f64 * STANDING_SHARE)?;
    Some(format!("only {} {name} in minute {}, {median} in the median", values[minute + 1], minute + 2))
}

fn round(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(change: impl Fn(u64, &mut Sample)) -> Vec<String> {
        let sample = |minutes| {
            let mut sample = Sample {
                minutes,
                blocks: 282,
                chunks: 10_800,
                cpu_ms: 55_000,
                memory_bytes: 350 << 20,
                ledger_bytes: 2_400 << 20,
                content_bytes: 200 << 20,
                lake_bytes: minutes << 20,
                raw_bytes: 64 << 20,
                ..Sample::default()
            };
            change(minutes, &mut sample);
            sample
        };
        judge(&(1..=120).map(sample).collect::<Vec<_>>())
    }

    #[test]
    fn what_grows_or_stands_is_named() {
        assert_eq!(run(|_, _| {}), Vec::<String>::new());
        type Change = fn(u64, &mut Sample);
        let cases: [(&str, Change); 5] = [
            ("memory_bytes grows", |minute, sample| sample.memory_bytes = minute << 20),
            ("only 0 blocks in minute 70", |minute, sample| sample.blocks *= u64::from(minute != 70)),
            ("chunks falls", |minute, sample| sample.chunks -= 40 * minute),
            ("tables waited for 6000 chunks in minute 9", |minute, sample| {
                sample.awaited = 6_000 * u64::from(minute == 9)
            }),
            ("3 chunks were disputed", |_, sample| sample.disputed = 3),
        ];
        for (expected, change) in cases {
            let faults = run(change);
            assert!(faults.iter().any(|fault| fault.contains(expected)), "{faults:?} lacks {expected}");
        }
    }
}
