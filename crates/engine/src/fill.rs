//! The share of a block's limits that this node fills when it proposes, by how its last proposals went. Pure.
//!
//! A block that takes the network longer than the proposal's time-out costs a round, and what waits grows meanwhile: the
//! next block would be no smaller, and the height after it would begin as badly. So the share is halved for each proposal
//! of this node that was not decided in its round, also within a height, and grows by an eighth with each that was.
//!
//! Only a node's own proposals count. If those of others did, one that streams its blocks late on purpose would make
//! everybody's smaller.

use openmesh_ledger::{BlockLimits, BlocksParams};

/// Parts of a whole block.
const WHOLE: u64 = 256;
/// Smallest share: a quarter of a megabyte with the limits of a new network, which is twice the longest transaction.
const SHARE_MIN: u64 = WHOLE / 8;
/// A share grows by this part of itself.
const GROWTH: u64 = 8;

/// The share, in parts of [`WHOLE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fill(u64);

impl Default for Fill {
    fn default() -> Fill {
        Fill(WHOLE)
    }
}

impl Fill {
    /// The share after so many proposals that were not decided in their round.
    pub(crate) fn after(self, late: usize) -> Fill {
        let halved = u32::try_from(late).ok().and_then(|times| self.0.checked_shr(times)).unwrap_or(0);
        Fill(halved.max(SHARE_MIN))
    }

    /// The share after a proposal that was decided in its round.
    pub(crate) fn grown(self) -> Fill {
        Fill((self.0 + self.0 / GROWTH).min(WHOLE))
    }

    /// The limits of a block that fills this share. Whatever the share, the longest attestation fits into the room that is
    /// reserved for attestations, and the longest transaction beside it, as far as they fit into a whole block. Neither class gets
    /// more room than in a whole block: nobody would vote for it.
    pub(crate) fn of(self, params: &BlocksParams) -> BlockLimits {
        let part = |whole: u64| (u128::from(whole) * u128::from(self.0) / u128::from(WHOLE)) as u64;
        let longest = params.transaction_bytes_max;
        let bytes_max = part(params.block_bytes_max).max(longest.saturating_mul(2)).min(params.block_bytes_max);
        let reserved = part(params.attestation_bytes_reserved).max(longest);
        let reserved = reserved.min(params.attestation_bytes_reserved).min(bytes_max);
        let of_accounts_max = params.block_bytes_max.saturating_sub(params.attestation_bytes_reserved);
        BlockLimits {
            bytes_max,
            attestation_bytes_reserved: reserved.max(bytes_max.saturating_sub(of_accounts_max)),
            transactions_max: part(params.block_transactions_max).max(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_proposals_halve_it_and_decided_ones_let_it_grow() {
        let whole = Fill::default();
        assert_eq!(whole.grown(), whole, "never more than a block");
        assert_eq!(whole.after(0), whole);
        assert_eq!(whole.after(2), Fill(WHOLE / 4));
        assert_eq!(whole.after(usize::MAX), Fill(SHARE_MIN), "something can always be proposed");
        let mut fill = Fill(SHARE_MIN);
        let growing = std::iter::repeat_with(|| {
            fill = fill.grown();
            fill
        });
        assert_eq!(growing.take_while(|fill| *fill != whole).count(), 18, "whole again after nineteen proposals");
    }

    #[test]
    fn the_longest_attestation_and_transaction_always_fit() {
        let params = BlocksParams::default();
        let least = Fill(SHARE_MIN).of(&params);
        assert!(least.attestation_bytes_reserved >= params.transaction_bytes_max, "{least:?}");
        assert!(least.account_bytes_max() >= params.transaction_bytes_max, "{least:?}");
        let whole = Fill::default().of(&params);
        assert_eq!(whole.bytes_max, params.block_bytes_max);
        assert_eq!(whole.attestation_bytes_reserved, params.attestation_bytes_reserved);
        assert_eq!(whole.transactions_max, params.block_transactions_max);
        // A network that keeps nearly all of a small block for attestations.
        let reserved = 2 * params.transaction_bytes_max - 1_000;
        let kept = BlocksParams {
            block_bytes_max: 2 * params.transaction_bytes_max,
            attestation_bytes_reserved: reserved,
            ..params.clone()
        };
        for late in 0..4 {
            let limits = Fill::default().after(late).of(&kept);
            assert!(limits.account_bytes_max() <= 1_000, "{late}: {limits:?}");
        }
        // A network whose longest transaction is a whole block.
        let narrow = BlocksParams { block_bytes_max: params.transaction_bytes_max, ..params };
        assert_eq!(Fill(SHARE_MIN).of(&narrow).bytes_max, narrow.block_bytes_max);
    }

    #[test]
    fn no_share_gives_accounts_more_room_than_a_whole_block() {
        for (block_bytes_max, attestation_bytes_reserved, transaction_bytes_max) in
            [(200, 120, 100), (200, 180, 100), (200, 0, 100), (200, 200, 1), (1_000, 300, 10), (1_000, 900, 700)]
        {
            let params = BlocksParams {
                block_bytes_max,
                attestation_bytes_reserved,
                transaction_bytes_max,
                ..BlocksParams::default()
            };
            let whole = BlockLimits {
                bytes_max: block_bytes_max,
                attestation_bytes_reserved,
                transactions_max: params.block_transactions_max,
            };
            for share in SHARE_MIN..=WHOLE {
                let limits = Fill(share).of(&params);
                assert!(limits.account_bytes_max() <= whole.account_bytes_max(), "{share} {params:?}");
                assert!(limits.bytes_max <= whole.bytes_max, "{share} {params:?}");
            }
        }
    }
}
