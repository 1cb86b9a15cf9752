//! The share of a block's limits that a proposer fills, by how the last heights went. Pure.
//!
//! A block that takes the network longer than the proposal's time-out costs a round, and what waits grows meanwhile: the
//! next block would be no smaller, and the height after it would begin as badly. So the share is halved for each round in
//! which a block was there and was not decided in time, within a height and after it, and grows by a little with each
//! height that is decided in its first round. A round in which no block came says nothing about sizes: its proposer is
//! away.

use openmesh_ledger::BlockLimits;

/// Parts of a whole block.
const WHOLE: u64 = 64;
/// Smallest share: an eighth of a megabyte with the limits of a new network, which is room for the longest transaction.
const SHARE_MIN: u64 = WHOLE / 16;

/// The share, in parts of [`WHOLE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fill(u64);

impl Default for Fill {
    fn default() -> Fill {
        Fill(WHOLE)
    }
}

impl Fill {
    /// The share after so many rounds in which a block came too late.
    pub(crate) fn after(self, late_rounds: usize) -> Fill {
        let halved = u32::try_from(late_rounds).ok().and_then(|times| self.0.checked_shr(times)).unwrap_or(0);
        Fill(halved.max(SHARE_MIN))
    }

    /// The share for the next height, after one that was decided.
    pub(crate) fn decided(self, late_rounds: usize) -> Fill {
        if late_rounds == 0 { Fill((self.0 + 1).min(WHOLE)) } else { self.after(late_rounds) }
    }

    /// The limits of a block that fills this share.
    pub(crate) fn of(self, limits: BlockLimits) -> BlockLimits {
        let part = |whole: u64| (u128::from(whole) * u128::from(self.0) / u128::from(WHOLE)) as u64;
        BlockLimits {
            bytes_max: part(limits.bytes_max),
            attestation_bytes_reserved: part(limits.attestation_bytes_reserved),
            transactions_max: part(limits.transactions_max).max(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use openmesh_ledger::Params;

    use super::*;

    #[test]
    fn late_blocks_halve_it_and_decided_ones_let_it_grow() {
        let whole = Fill::default();
        assert_eq!(whole.decided(0), whole, "never more than a block");
        assert_eq!(whole.after(1), Fill(32));
        assert_eq!(whole.after(3), Fill(8));
        assert_eq!(whole.after(40), Fill(SHARE_MIN), "something can always be proposed");
        assert_eq!(whole.after(usize::MAX), Fill(SHARE_MIN));
        let mut fill = whole.decided(2);
        assert_eq!(fill, Fill(16));
        let heights = std::iter::repeat_with(|| {
            fill = fill.decided(0);
            fill
        });
        assert_eq!(heights.take_while(|fill| *fill != whole).count(), 47);
    }

    #[test]
    fn the_smallest_block_has_room_for_the_longest_transaction() {
        let params = Params::default();
        let limits = Fill(SHARE_MIN).of(BlockLimits::of(&params));
        assert!(limits.bytes_max >= params.blocks.transaction_bytes_max, "{limits:?}");
        assert!(limits.attestation_bytes_reserved < limits.bytes_max && limits.transactions_max > 0);
        let whole = BlockLimits::of(&params);
        let same = Fill::default().of(whole);
        assert_eq!((same.bytes_max, same.transactions_max), (whole.bytes_max, whole.transactions_max));
    }
}
