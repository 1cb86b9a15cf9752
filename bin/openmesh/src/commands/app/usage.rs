//! `openmesh app usage`: what an application uses, as a plot in text.

use openmesh_agent::views::{InstanceUsage, Usage, UsagePoint};
use openmesh_primitives::Timestamp;
use reqwest::Method;

use super::super::agent::{ask, client, json, moment, print};
use super::change::with_query;
use crate::cli::beside::UsageArgs;
use crate::failure::Failure;

/// Blocks of a plot, from nothing to the highest value.
const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Columns of a plot.
const COLUMNS: u64 = 60;
/// Mark of a time in which nobody looked.
const NOTHING: char = ' ';

/// Prints the use of an application.
pub(super) async fn run(asked: &UsageArgs) -> Result<(), Failure> {
    let client = client(&asked.agent)?;
    let now = Timestamp::now();
    let long = i64::try_from(asked.since.as_nanos()).unwrap_or(i64::MAX);
    let from = Timestamp(now.nanos().saturating_sub(long).max(0));
    let step = asked.since.as_secs().div_ceil(COLUMNS).max(1);
    let query = [("from", from.to_string()), ("to", now.to_string()), ("step", step.to_string())];
    let request = with_query(client.request(Method::GET, &format!("/applications/{}/usage", asked.name)), &query)?;
    let usage: Usage = ask(&client, request).await?;
    if asked.output.json { json(&usage) } else { print(&plot(asked.name.as_str(), &usage)) }
}

fn plot(name: &str, usage: &Usage) -> String {
    let mut text = String::new();
    for instance in &usage.instances {
        if !instance.points.is_empty() {
            text += &instance_plot(name, usage, instance);
        }
    }
    if text.is_empty() {
        text = format!("nothing of {name} was looked at in this time\n");
    }
    for condition in &usage.conditions {
        text += &format!("! instance {}: {}\n", condition.index, condition.text);
    }
    text
}

fn instance_plot(name: &str, usage: &Usage, instance: &InstanceUsage) -> String {
    let head = format!(
        "{name} {}, {} to {} UTC, {} s a column\n",
        instance.index,
        moment(usage.from),
        moment(usage.to),
        usage.step_s
    );
    let mut text = head;
    text += &line(usage, instance, "processors", |point| point.processors_milli, processors);
    if instance.points.iter().any(|point| point.throttled_permille > 0) {
        text += &line(usage, instance, "throttled", |point| point.throttled_permille, percent);
    }
    text += &line(usage, instance, "memory", |point| point.memory_bytes, bytes);
    if let Some(limit) = instance.points.last().map(|point| point.memory_limit_bytes).filter(|limit| *limit > 0) {
        text += &format!("           of {}\n", bytes(limit));
    }
    text += &line(usage, instance, "received", |point| point.received_bits, rate);
    text += &line(usage, instance, "sent", |point| point.sent_bits, rate);
    if instance.points.iter().any(|point| point.disk_bytes > 0) {
        text += &line(usage, instance, "disk", |point| point.disk_used_bytes, bytes);
    }
    text + "\n"
}

/// A row of the plot.
fn line(
    usage: &Usage,
    instance: &InstanceUsage,
    label: &str,
    value: fn(&UsagePoint) -> u64,
    unit: fn(u64) -> String,
) -> String {
    let values = columns(usage, &instance.points, value);
    let last = instance.points.last().map_or(0, value);
    let most = instance.points.iter().map(value).max().unwrap_or(0);
    format!("{label:<11}{}  now {}, highest {}\n", spark(&values), unit(last), unit(most))
}

/// Values by column; none where nobody looked.
fn columns(usage: &Usage, points: &[UsagePoint], value: fn(&UsagePoint) -> u64) -> Vec<Option<u64>> {
    let step = i64::try_from(usage.step_s.max(1)).unwrap_or(i64::MAX).saturating_mul(1_000_000_000);
    let first = usage.from.nanos().div_euclid(step);
    let count = usage.to.nanos().div_euclid(step).saturating_sub(first).saturating_add(1);
    // An answer has no more points than fit; a wrong one fills no memory.
    let mut found = vec![None; usize::try_from(count.clamp(0, 10_000)).unwrap_or(0)];
    for point in points {
        let at = usize::try_from(point.at.nanos().div_euclid(step) - first).ok();
        if let Some(place) = at.and_then(|at| found.get_mut(at)) {
            *place = Some(value(point));
        }
    }
    found
}

/// A row of blocks whose highest is the highest value.
fn spark(values: &[Option<u64>]) -> String {
    let most = values.iter().flatten().max().copied().unwrap_or(0);
    let top = BLOCKS.len() as u64 - 1;
    let block = |value: u64| {
        let share = u128::from(value) * u128::from(top);
        let index = share.checked_div(u128::from(most)).unwrap_or(0);
        usize::try_from(index).ok().and_then(|index| BLOCKS.get(index)).copied().unwrap_or(BLOCKS[0])
    };
    values.iter().map(|value| value.map_or(NOTHING, block)).collect()
}

fn processors(milli: u64) -> String {
    format!("{}.{:02}", milli / 1_000, milli % 1_000 / 10)
}

fn percent(permille: u64) -> String {
    format!("{}.{} %", permille / 10, permille % 10)
}

/// Bytes in the largest unit that leaves a whole number, with one place.
fn bytes(bytes: u64) -> String {
    scaled(bytes, 1_024, &["B", "KiB", "MiB", "GiB", "TiB"])
}

fn rate(bits: u64) -> String {
    scaled(bits, 1_000, &["bit/s", "kbit/s", "Mbit/s", "Gbit/s"])
}

fn scaled(value: u64, base: u64, units: &[&str]) -> String {
    let (mut whole, mut rest, mut unit) = (value, 0, 0);
    while whole >= base && unit + 1 < units.len() {
        (whole, rest, unit) = (whole / base, whole % base, unit + 1);
    }
    let name = units.get(unit).copied().unwrap_or_default();
    if unit == 0 { format!("{whole} {name}") } else { format!("{whole}.{} {name}", rest * 10 / base) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(at_s: i64, milli: u64) -> UsagePoint {
        UsagePoint {
            at: Timestamp(at_s * 1_000_000_000),
            processors_milli: milli,
            throttled_permille: 0,
            memory_bytes: 3 << 20,
            memory_limit_bytes: 512 << 20,
            processes: 1,
            pressure_cpu_permille: 0,
            pressure_memory_permille: 0,
            pressure_io_permille: 0,
            disk_used_bytes: 0,
            disk_bytes: 0,
            disk_fullest_permille: 0,
            received_bits: 1_500,
            sent_bits: 0,
            oom_kills: 0,
        }
    }

    #[test]
    fn a_plot_leaves_out_what_nobody_looked_at() {
        let instance = InstanceUsage { index: 0, points: vec![point(100, 0), point(120, 500), point(130, 1_000)] };
        let at = |at_s: i64| Timestamp(at_s * 1_000_000_000);
        let usage = Usage { from: at(100), to: at(139), step_s: 10, instances: vec![instance], conditions: Vec::new() };
        let text = plot("web", &usage);
        assert!(text.contains("processors ▁ ▄█  now 1.00, highest 1.00\n"), "{text}");
        assert!(text.contains("now 3.0 MiB, highest 3.0 MiB\n           of 512.0 MiB\n"), "{text}");
        assert!(text.contains("now 1.5 kbit/s") && !text.contains("throttled") && !text.contains("disk"), "{text}");
        let nothing = Usage { instances: Vec::new(), ..usage };
        assert_eq!(plot("web", &nothing), "nothing of web was looked at in this time\n");
    }

    #[test]
    fn values_have_units() {
        assert_eq!((bytes(1_023), bytes(1_536)), ("1023 B".to_string(), "1.5 KiB".to_string()));
        assert_eq!((rate(999), rate(2_000_000)), ("999 bit/s".to_string(), "2.0 Mbit/s".to_string()));
        assert_eq!((processors(1_250), percent(431)), ("1.25".to_string(), "43.1 %".to_string()));
        assert_eq!(spark(&[Some(0), None, Some(0)]), "▁ ▁");
    }
}
