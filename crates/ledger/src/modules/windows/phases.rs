//! The phases of a window: commitments first, then attestations that open them. Clause K of `docs/spec/transactions.md`.
//!
//! A window's times count from the block in which more than a third of the assigned power had committed, not from its first
//! commitment: somebody honest is among those, so that a liar that comes early makes nobody late.

use openmesh_primitives::{Address, Height};

use super::params::WindowsParams;
use super::records::WindowRecord;
use crate::modules::validators::{more_than_one_third, more_than_two_thirds};

/// Sets the times of a window that its first commitment opens at a height: until more follow, it takes nothing but commitments.
pub(crate) fn open(record: &mut WindowRecord, height: Height, params: &WindowsParams) {
    record.opened_height = height;
    record.closes_at = height + params.window_close_blocks;
    record.commits_until = record.closes_at;
}

/// Sets the times of a window after somebody spoke in a block of this height; `before` is the power that had committed before.
pub(crate) fn spoken(record: &mut WindowRecord, before: u64, height: Height, params: &WindowsParams) {
    let (power, total) = (record.committed_power(), record.assigned_power());
    let passes = |rule: fn(u64, u64) -> bool| rule(power, total) && !rule(before, total);
    if passes(more_than_one_third) {
        record.closes_at = height + params.window_close_blocks;
        record.commits_until = height + (params.window_close_blocks - 1) / 2;
    }
    if passes(more_than_two_thirds) {
        record.commits_until = record.commits_until.min(height + params.commit_grace_blocks);
    }
    if record.assigned.iter().all(|(address, _)| has_spoken(record, address)) {
        record.commits_until = record.commits_until.min(height);
    }
}

/// Returns true if a validator committed, or abstained without a commitment.
fn has_spoken(record: &WindowRecord, validator: &Address) -> bool {
    record.seal_of(validator).is_some() || record.attested.contains(validator)
}

#[cfg(test)]
mod tests {
    use openmesh_primitives::Digest;

    use super::*;

    /// Validators of power one each, and blocks in which some of them commit. Returns the last block of the commitments and
    /// that in which the window closes.
    fn times(validators: u8, blocks: &[(Height, &[u8])], grace: u64) -> (Height, Height) {
        let params = WindowsParams { commit_grace_blocks: grace, ..WindowsParams::default() };
        let of = |n: u8| Address([n; 20]);
        let mut record = WindowRecord::new(0, (0..validators).map(|n| (of(n), 1)).collect(), of(0));
        open(&mut record, blocks[0].0, &params);
        for (height, who) in blocks {
            for n in *who {
                let before = record.committed_power();
                record.committed.push((of(*n), Digest([*n; 32])));
                spoken(&mut record, before, *height, &params);
            }
        }
        (record.commits_until, record.closes_at)
    }

    #[test]
    fn all_four_in_one_block_end_the_commitments_with_it() {
        assert_eq!(times(4, &[(10, &[0, 1, 2, 3])], 1), (10, 40));
        assert_eq!(times(1, &[(10, &[0])], 1), (10, 40));
    }

    #[test]
    fn three_of_four_wait_for_the_fourth_so_long() {
        assert_eq!(times(4, &[(10, &[0]), (11, &[1, 2])], 1), (12, 41));
        assert_eq!(times(4, &[(10, &[0]), (11, &[1, 2]), (12, &[3])], 1), (12, 41));
        assert_eq!(times(4, &[(10, &[0, 1, 2])], 0), (10, 40));
    }

    #[test]
    fn who_comes_early_makes_nobody_late() {
        assert_eq!(times(4, &[(10, &[0])], 1), (40, 40), "one of four starts no clock");
        assert_eq!(times(4, &[(10, &[0]), (39, &[1, 2])], 1), (40, 69));
        assert_eq!(times(4, &[(10, &[0]), (39, &[1])], 1), (53, 69), "half of the time for commitments");
    }
}
