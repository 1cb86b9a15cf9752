//! The phases of a window: commitments first, then attestations that open them. Clause K of `docs/spec/transactions.md`.
//!
//! A window's times count from the block in which more than a third of the assigned power had committed, not from its first
//! commitment: somebody honest is among those, so that a liar that comes early makes nobody late.

use openmesh_primitives::{Address, Height};

use super::params::WindowsParams;
use super::records::WindowRecord;
use crate::modules::validators::{more_than_one_third, more_than_two_thirds};
use crate::rules::Rules;

/// Sets the times of a window that its first commitment opens at a height: until more follow, it takes nothing but commitments.
pub(crate) fn open(record: &mut WindowRecord, height: Height, params: &WindowsParams) {
    record.opened_height = height;
    record.closes_at = height + params.window_close_blocks;
    record.commits_until = record.closes_at;
}

/// Sets the times of a window after somebody spoke in a block; `before` is the power that had committed before.
pub(crate) fn spoken(record: &mut WindowRecord, before: u64, rules: &Rules) {
    let (height, params) = (rules.height, &rules.params.windows);
    let (power, total) = (record.committed_power(), record.assigned_power());
    let passes = |rule: fn(u64, u64) -> bool| rule(power, total) && !rule(before, total);
    if passes(more_than_one_third) {
        record.closes_at = height + params.window_close_blocks;
        record.commits_until = height + (params.window_close_blocks - 1) / 2;
    }
    if passes(more_than_two_thirds) {
        record.quorum = Some((height, rules.time));
    }
    if record.assigned.iter().all(|(address, _)| has_spoken(record, address)) {
        record.commits_until = record.commits_until.min(height);
    }
}

/// Returns true if the block that the rules are for takes no more commitments to a window.
pub(crate) fn commitments_over(record: &WindowRecord, rules: &Rules) -> bool {
    record.commitments_over(rules.height, rules.time, rules.params.windows.commit_grace_ms)
}

/// Returns true if a validator committed, or abstained without a commitment.
fn has_spoken(record: &WindowRecord, validator: &Address) -> bool {
    record.seal_of(validator).is_some() || record.attested.contains(validator)
}
