//! From what a node knows of itself to what its operator should know: pure. `docs/spec/operators.md`, clause O-16.

use std::collections::BTreeMap;
use std::time::Duration;

use openmesh_alerts::{Finding, Severity};
use openmesh_api::{NodeAlertKind, NodeClock, NodeDisk};
use serde::{Deserialize, Serialize};

use super::signing::Signed;
use crate::node::config::Alerts;

/// Time for which blocks are missed, or do not come, before somebody is woken: a round or two that fail are shorter.
const BLOCKS_LAST: Duration = Duration::from_secs(30);
/// Time for which peers, disk or clock are wrong: what is there and gone at once is no trouble.
const MACHINE_LASTS: Duration = Duration::from_secs(60);
/// Time for which a node may catch up, or wait until the ledger takes its key in.
const WAITING_LASTS: Duration = Duration::from_secs(600);
/// Age of the last block at the least from which a network stands, milliseconds.
const STANDSTILL_MS_MIN: u64 = 60_000;
/// The same in idle blocks, of a network that is slower.
const STANDSTILL_BLOCKS: u64 = 60;
/// Times the warning at which missed blocks are critical.
const MISSED_CRITICAL_TIMES: u64 = 5;
/// Part of the warning at which a disk is critical.
const DISK_CRITICAL_PART: u64 = 4;
/// Difference of a clock that is critical, milliseconds: at 2,000 the ledger refuses blocks.
pub const CLOCK_CRITICAL_MS: u64 = 1_500;

/// Subject of an alert. There is one for it at a time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Key {
    /// Kind.
    pub kind: NodeAlertKind,
    /// One of several: a folder.
    pub subject: Option<String>,
}

/// Everything that rules look at.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The settings say that it is to validate.
    pub meant_to_validate: bool,
    /// The set has its key.
    pub is_validator: bool,
    /// Signatures among the last blocks.
    pub signed: Signed,
    /// Height of the last block.
    pub height: u64,
    /// Its age, milliseconds.
    pub lag_ms: u64,
    /// Longest time between blocks without work, milliseconds.
    pub idle_block_ms: u64,
    /// It is behind its peers, as far as its last block tells.
    pub syncing: bool,
    /// Time since it has taken in a block, milliseconds.
    pub since_block_ms: u64,
    /// Connected peers of consensus.
    pub consensus_peers: u32,
    /// Peers that its settings name.
    pub peers_named: usize,
    /// Height of the block that a person trusts; 0 without one.
    pub trusted_height: u64,
    /// Its clock.
    pub clock: NodeClock,
    /// Disks of its data.
    pub disks: Vec<NodeDisk>,
}

/// Everything that is not as it should be.
pub fn findings(facts: &Facts, limits: &Alerts) -> BTreeMap<Key, Finding> {
    let mut found = BTreeMap::new();
    let mut add = |kind, subject: Option<&str>, finding: Option<Finding>| {
        if let Some(finding) = finding {
            found.insert(Key { kind, subject: subject.map(Into::into) }, finding);
        }
    };
    let stands = standstill(facts);
    // Nobody signs where no block comes: that is said once.
    if stands.is_none() {
        add(NodeAlertKind::MissedBlocks, None, missed_blocks(facts, limits));
    }
    add(NodeAlertKind::Standstill, None, stands);
    add(NodeAlertKind::NotValidating, None, not_validating(facts));
    add(NodeAlertKind::Behind, None, behind(facts));
    add(NodeAlertKind::Peers, None, peers(facts));
    add(NodeAlertKind::Clock, None, clock(facts, limits));
    for disk in &facts.disks {
        add(NodeAlertKind::Disk, Some(&disk.folder), full(disk, limits));
    }
    found
}

fn finding(severity: Severity, cause: String, remedy: &str, lasts: Duration) -> Option<Finding> {
    Some(Finding { severity, cause, remedy: remedy.to_owned(), lasts })
}

fn missed_blocks(facts: &Facts, limits: &Alerts) -> Option<Finding> {
    let Signed { recent, missed, misses_now, last, .. } = facts.signed;
    let warning = u64::from(limits.missed_blocks.max(1));
    if !facts.is_validator || facts.syncing || !misses_now || missed < warning {
        return None;
    }
    let critical = warning.saturating_mul(MISSED_CRITICAL_TIMES).min((recent / 2).max(warning));
    let severity = if missed >= critical { Severity::Critical } else { Severity::Warning };
    let last = last.map_or("none of them".into(), |height| format!("the last one that it did is {height}"));
    finding(
        severity,
        format!("{missed} of the last {recent} blocks lack this validator's signature; {last}"),
        "is the machine overloaded, is its clock right, and can it reach the other validators? The log of consensus tells more",
        BLOCKS_LAST,
    )
}

fn standstill(facts: &Facts) -> Option<Finding> {
    let longest = STANDSTILL_MS_MIN.max(facts.idle_block_ms.saturating_mul(STANDSTILL_BLOCKS));
    // One that catches up is behind while it gets further, and the network goes on.
    let catches_up = facts.syncing && facts.since_block_ms <= longest;
    if catches_up || facts.lag_ms <= longest {
        return None;
    }
    let seconds = facts.lag_ms / 1_000;
    let cause = match facts.height {
        0 => format!("no block has come yet, {seconds} s after the time at which the network begins"),
        height => format!("the last block, {height}, is {seconds} s old"),
    };
    finding(
        Severity::Critical,
        cause,
        "are more than two thirds of the validators up, and is this machine connected with them? Ask another node whether it has newer blocks",
        BLOCKS_LAST,
    )
}

fn not_validating(facts: &Facts) -> Option<Finding> {
    if !facts.meant_to_validate || facts.is_validator || facts.syncing {
        return None;
    }
    finding(
        Severity::Warning,
        "this node is meant to validate, and the validator set does not have its key".into(),
        "is it the right validator.key? `openmesh validator show --home DIR` prints the key; role = \"full\" in node.toml says that it only follows",
        WAITING_LASTS,
    )
}

fn behind(facts: &Facts) -> Option<Finding> {
    if !facts.syncing && facts.height < facts.trusted_height {
        return finding(
            Severity::Warning,
            format!(
                "this node is at block {}, before block {}, which sync.trust names",
                facts.height, facts.trusted_height
            ),
            "does a node that you trust have newer blocks? Then those that the settings name lack them, or are of another chain: name others",
            WAITING_LASTS,
        );
    }
    if !facts.syncing {
        return None;
    }
    finding(
        Severity::Warning,
        format!("this node is behind its peers, at block {}", facts.height),
        "it catches up by itself; where it does not get further, its disk or its processor is too slow",
        WAITING_LASTS,
    )
}

fn peers(facts: &Facts) -> Option<Finding> {
    if facts.consensus_peers > 0 || facts.peers_named == 0 {
        return None;
    }
    finding(
        Severity::Critical,
        format!("none of the {} nodes that the settings name is connected", facts.peers_named),
        "is this machine's network up, are the ports 8421 and 8422 open both ways, and are the addresses in node.toml right?",
        MACHINE_LASTS,
    )
}

fn clock(facts: &Facts, limits: &Alerts) -> Option<Finding> {
    let offset = facts.clock.offset_ms?;
    let away = offset.unsigned_abs();
    if away <= limits.clock_ms {
        return None;
    }
    let severity = if away > CLOCK_CRITICAL_MS.max(limits.clock_ms) { Severity::Critical } else { Severity::Warning };
    let way = if offset > 0 { "behind" } else { "ahead of" };
    finding(
        severity,
        format!("this machine's clock is {away} ms {way} the middle of its {} peers' clocks", facts.clock.peers),
        "set it by NTP (timedatectl set-ntp true, or chrony); blocks that are two seconds ahead are refused",
        MACHINE_LASTS,
    )
}

fn full(disk: &NodeDisk, limits: &Alerts) -> Option<Finding> {
    let free_mib = disk.free_bytes >> 20;
    if free_mib >= limits.disk_free_mib {
        return None;
    }
    let is_critical = free_mib < limits.disk_free_mib / DISK_CRITICAL_PART;
    let severity = if is_critical { Severity::Critical } else { Severity::Warning };
    finding(
        severity,
        format!("{free_mib} MiB are free on the disk of {}", disk.folder),
        "free space, enlarge the disk, or keep less: storage.retain_epochs, storage.retain_hours and limits in node.toml; at 64 MiB the node stops",
        MACHINE_LASTS,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn well() -> Facts {
        Facts {
            meant_to_validate: true,
            is_validator: true,
            signed: Signed { recent: 100, missed: 0, last: Some(99), signs: true, misses_now: false },
            height: 100,
            lag_ms: 900,
            idle_block_ms: 1_000,
            syncing: false,
            since_block_ms: 900,
            consensus_peers: 3,
            peers_named: 3,
            trusted_height: 0,
            clock: NodeClock { offset_ms: Some(-3), peers: 3 },
            disks: vec![NodeDisk { folder: "/data".into(), free_bytes: 10 << 30 }],
        }
    }

    fn one(facts: &Facts) -> (NodeAlertKind, Severity) {
        let found = findings(facts, &Alerts::default());
        assert_eq!(found.len(), 1, "{found:?}");
        let (key, finding) = found.into_iter().next().unwrap();
        assert!(!finding.cause.is_empty() && !finding.remedy.is_empty() && finding.lasts > Duration::ZERO);
        (key.kind, finding.severity)
    }

    fn missed(missed: u64, recent: u64) -> Facts {
        Facts { signed: Signed { missed, recent, misses_now: true, ..well().signed }, ..well() }
    }

    #[test]
    fn a_node_that_is_well_wakes_nobody() {
        assert_eq!(findings(&well(), &Alerts::default()), BTreeMap::new());
        let follows = Facts { meant_to_validate: false, is_validator: false, signed: Signed::default(), ..well() };
        assert_eq!(findings(&follows, &Alerts::default()), BTreeMap::new());
        assert_eq!(
            findings(&Facts::default(), &Alerts::default()),
            BTreeMap::new(),
            "nor does one that has just begun"
        );
    }

    #[test]
    fn missed_blocks_wake_by_their_number_and_only_while_they_are_missed() {
        assert_eq!(findings(&missed(9, 100), &Alerts::default()), BTreeMap::new());
        assert_eq!(one(&missed(10, 100)), (NodeAlertKind::MissedBlocks, Severity::Warning));
        assert_eq!(one(&missed(50, 100)), (NodeAlertKind::MissedBlocks, Severity::Critical));
        assert_eq!(one(&missed(12, 12)), (NodeAlertKind::MissedBlocks, Severity::Critical), "half of what there is");
        let mut back = missed(70, 100);
        back.signed.misses_now = false;
        assert_eq!(findings(&back, &Alerts::default()), BTreeMap::new());
        assert_eq!(one(&Facts { syncing: true, ..missed(70, 100) }).0, NodeAlertKind::Behind);
        let strict = Alerts { missed_blocks: 0, ..Alerts::default() };
        assert!(findings(&well(), &strict).is_empty() && findings(&missed(1, 100), &strict).len() == 1);
    }

    #[test]
    fn a_network_that_stands_is_said_once() {
        assert_eq!(one(&Facts { lag_ms: 60_001, ..missed(100, 100) }), (NodeAlertKind::Standstill, Severity::Critical));
        let begins = Facts { height: 0, lag_ms: 60_001, signed: Signed::default(), ..well() };
        assert_eq!(one(&begins), (NodeAlertKind::Standstill, Severity::Critical), "one that does not begin stands");
        let behind = Facts { syncing: true, since_block_ms: 60_000, ..begins };
        assert_eq!(one(&behind).0, NodeAlertKind::Behind, "old blocks are what one that catches up has");
        let stuck = findings(&Facts { since_block_ms: 60_001, ..behind }, &Alerts::default());
        assert!(stuck.keys().any(|key| key.kind == NodeAlertKind::Standstill), "{stuck:?}");
        assert_eq!(one(&Facts { trusted_height: 101, ..well() }), (NodeAlertKind::Behind, Severity::Warning));
        assert_eq!(findings(&Facts { trusted_height: 100, ..well() }, &Alerts::default()), BTreeMap::new());
        let slow = Facts { lag_ms: 600_000, idle_block_ms: 60_000, ..well() };
        assert_eq!(findings(&slow, &Alerts::default()), BTreeMap::new(), "a block a minute is its pace");
    }

    #[test]
    fn each_part_of_the_machine_has_an_alert_of_its_own() {
        let away = Facts { is_validator: false, signed: Signed::default(), ..well() };
        assert_eq!(one(&away), (NodeAlertKind::NotValidating, Severity::Warning));
        assert_eq!(one(&Facts { consensus_peers: 0, ..well() }), (NodeAlertKind::Peers, Severity::Critical));
        let clock = |ms| Facts { clock: NodeClock { offset_ms: Some(ms), peers: 3 }, ..well() };
        assert_eq!(findings(&clock(500), &Alerts::default()), BTreeMap::new());
        assert_eq!(one(&clock(501)), (NodeAlertKind::Clock, Severity::Warning));
        assert_eq!(one(&clock(-1_501)), (NodeAlertKind::Clock, Severity::Critical));
        assert_eq!(one(&clock(i64::MIN)), (NodeAlertKind::Clock, Severity::Critical));
        let disk = |mib: u64| Facts { disks: vec![NodeDisk { folder: "/d".into(), free_bytes: mib << 20 }], ..well() };
        assert_eq!(findings(&disk(2_048), &Alerts::default()), BTreeMap::new());
        assert_eq!(one(&disk(2_047)), (NodeAlertKind::Disk, Severity::Warning));
        assert_eq!(one(&disk(511)), (NodeAlertKind::Disk, Severity::Critical));
    }
}
