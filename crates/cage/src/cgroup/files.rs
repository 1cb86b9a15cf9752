//! Limits as files: which file of which hierarchy gets which text. Pure.

use super::{Controller, Layout};
use crate::config::{DeviceRule, Resources};

/// A text for a file of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Hierarchy by one of its controllers.
    pub controller: Controller,
    /// File name.
    pub file: &'static str,
    /// Its text.
    pub text: String,
    /// Kernels without this file do well without it.
    pub optional: bool,
}

fn write(controller: Controller, file: &'static str, text: impl ToString) -> Write {
    Write { controller, file, text: text.to_string(), optional: false }
}

/// Texts for limits, in the order in which they are written.
///
/// On v1 memory and swap together can be no less than memory at any moment: lowering begins with memory, raising with the sum. So both are written
/// twice around each other, and the first of the four may fail.
pub fn limits(layout: &Layout, resources: &Resources) -> Vec<Write> {
    let (quota, period) = (resources.cpu.quota, resources.cpu.period);
    let (memory, sum, processes) = (resources.memory.limit, resources.memory.swap, resources.pids.limit);
    match layout {
        Layout::V1 { .. } => vec![
            write(Controller::Cpu, "cpu.cfs_period_us", period),
            write(Controller::Cpu, "cpu.cfs_quota_us", quota),
            Write { optional: true, ..write(Controller::Memory, "memory.memsw.limit_in_bytes", sum) },
            write(Controller::Memory, "memory.limit_in_bytes", memory),
            Write { optional: true, ..write(Controller::Memory, "memory.memsw.limit_in_bytes", sum) },
            write(Controller::Pids, "pids.max", processes),
        ],
        Layout::V2 { .. } => vec![
            write(Controller::Cpu, "cpu.max", format!("{quota} {period}")),
            write(Controller::Memory, "memory.max", memory),
            // Absent where the kernel has no swap.
            Write { optional: true, ..write(Controller::Memory, "memory.swap.max", sum - memory) },
            write(Controller::Pids, "pids.max", processes),
        ],
    }
}

/// Texts for devices: on v1 alone, since v2 has no such files.
pub fn devices(layout: &Layout, resources: &Resources) -> Vec<Write> {
    if matches!(layout, Layout::V2 { .. }) {
        return Vec::new();
    }
    let file = |rule: &DeviceRule| if rule.allow { "devices.allow" } else { "devices.deny" };
    resources.devices.iter().map(|rule| write(Controller::Devices, file(rule), device(rule))).collect()
}

/// A rule as the kernel reads and shows it.
pub fn device(rule: &DeviceRule) -> String {
    let number = |number: Option<i64>| number.map_or_else(|| "*".to_string(), |number| number.to_string());
    match rule.kind.as_str() {
        "a" => "a".to_string(),
        kind => format!("{kind} {}:{} {}", number(rule.major), number(rule.minor), rule.access),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::instance::Limits;

    fn resources() -> Resources {
        crate::bundle::resources(&Limits { processors_milli: 1_500, memory_bytes: 512 << 20, processes: 64 })
    }

    fn texts(writes: &[Write]) -> Vec<String> {
        writes.iter().map(|write| format!("{}={}", write.file, write.text)).collect()
    }

    fn v1() -> Layout {
        Layout::V1 { controllers: BTreeMap::new(), unified: None, all: Vec::new() }
    }

    #[test]
    fn limits_are_written_in_each_version() {
        let memory = "memory.limit_in_bytes=536870912";
        let sum = "memory.memsw.limit_in_bytes=536870912";
        assert_eq!(
            texts(&limits(&v1(), &resources())),
            ["cpu.cfs_period_us=100000", "cpu.cfs_quota_us=150000", sum, memory, sum, "pids.max=64"]
        );
        assert_eq!(
            texts(&limits(&Layout::V2 { root: "/".into() }, &resources())),
            ["cpu.max=150000 100000", "memory.max=536870912", "memory.swap.max=0", "pids.max=64"]
        );
    }

    #[test]
    fn devices_are_denied_before_some_are_allowed() {
        let texts = texts(&devices(&v1(), &resources()));
        assert_eq!(
            texts[..4],
            ["devices.deny=a", "devices.allow=c *:* m", "devices.allow=b *:* m", "devices.allow=c 1:3 rwm"]
        );
        assert_eq!(texts.last().unwrap(), "devices.allow=c 136:* rwm");
    }
}
