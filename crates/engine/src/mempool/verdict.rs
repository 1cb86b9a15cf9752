//! The worth of an envelope from a peer.
//!
//! A neighbour has about the same state as we do. What it forwards is judged by whether it should have known better:
//! some refusals do not depend on the state at all, and some are such that anybody can make transactions of that kind
//! for nothing. Those cost this node a look or a signature check each, so whoever brings mostly them is counted against.

use openmesh_ledger::{
    AccountsError, EnvelopeError, SourcesError, StampsError, TransactionError, UpgradesError, WindowsError,
};
use openmesh_primitives::{Digest, Height};

use super::error::{PoolError, SubmitError};

/// Blocks after which a committed transaction, or a vote for a closed window, is old: gossip takes seconds, and a node
/// that is further behind than this does not forward.
const STALE_BLOCKS: Height = 100;

/// Worth of an envelope from a peer, for whoever keeps the peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GossipVerdict {
    /// At least one transaction was new and valid, and most were not worthless.
    Accept,
    /// Nothing new, or no time to look.
    Ignore,
    /// Mostly transactions that no honest neighbour with our blocks would have forwarded, such as those of accounts that
    /// do not exist, with nonces that were used, or committed long ago: do not take too many from this neighbour.
    Worthless,
    /// Not an envelope, or a transaction with a wrong signature: the neighbour should have seen that.
    Reject,
}

type Outcome = Result<Digest, SubmitError>;

/// Judges an envelope by what became of its transactions at this height. A node that `judges` not, because it is behind,
/// does not blame its neighbours for what it does not know.
pub(crate) fn verdict(outcomes: &[Outcome], tip: Height, judges: bool) -> GossipVerdict {
    if outcomes.iter().any(is_stateless) {
        return GossipVerdict::Reject;
    }
    let worthless = outcomes.iter().filter(|outcome| is_worthless(outcome, tip)).count();
    if judges && worthless * 2 > outcomes.len() {
        return GossipVerdict::Worthless;
    }
    if outcomes.iter().any(Result::is_ok) { GossipVerdict::Accept } else { GossipVerdict::Ignore }
}

/// Returns true where the refusal does not depend on the state, so that every neighbour must have seen it.
pub(crate) const fn is_stateless(outcome: &Outcome) -> bool {
    use EnvelopeError::{Chain, Encoding, Signature};
    matches!(outcome, Err(SubmitError::Refused(TransactionError::Envelope(Encoding { .. } | Signature | Chain { .. }))))
}

/// Returns true where a neighbour with about the same state would have refused it too, and anybody can make such
/// transactions for nothing.
const fn is_worthless(outcome: &Outcome, tip: Height) -> bool {
    use AccountsError::{FeeLow, NonceLow, UnknownSender};
    use SourcesError::{SourceInvalid, UnknownSource};
    use StampsError::{StampNoteControl, StampNoteLength, StampTopicCharacter, StampTopicControl, StampTopicLength};
    use UpgradesError::{BallotNumber, NotValidator};
    use WindowsError::{CommitmentMismatch, CommitmentsOff, NotAssigned, WindowClosed};
    match outcome {
        Err(SubmitError::Refused(error)) => match error {
            // The base fee moves by an eighth with a block: a neighbour that is some blocks away may have found it high enough.
            TransactionError::Accounts(FeeLow { min, got }) => got.0 <= min.0 / 2,
            TransactionError::Accounts(UnknownSender { .. } | NonceLow { .. })
            | TransactionError::Windows(NotAssigned { .. } | CommitmentMismatch { .. } | CommitmentsOff)
            | TransactionError::Sources(UnknownSource { .. } | SourceInvalid { .. })
            | TransactionError::Stamps(
                StampTopicLength { .. }
                | StampTopicControl { .. }
                | StampTopicCharacter { .. }
                | StampNoteLength { .. }
                | StampNoteControl { .. },
            )
            | TransactionError::Upgrades(NotValidator { .. }) => true,
            TransactionError::Windows(WindowClosed { height }) => height.saturating_add(STALE_BLOCKS) < tip,
            // A number that was used, as with accounts.
            TransactionError::Upgrades(BallotNumber { expected, got }) => *got < *expected,
            _ => false,
        },
        Err(SubmitError::Pool(PoolError::Committed { height })) => height.saturating_add(STALE_BLOCKS) < tip,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use openmesh_primitives::Amount;

    use super::*;

    const TIP: Height = 1_000;

    fn refused(error: impl Into<TransactionError>) -> Outcome {
        Err(SubmitError::Refused(error.into()))
    }

    fn committed(height: Height) -> Outcome {
        Err(SubmitError::Pool(PoolError::Committed { height }))
    }

    #[test]
    fn replays_count_against_whoever_brings_them() {
        let low = || refused(AccountsError::NonceLow { expected: 9, got: 2 });
        let fine: Outcome = Ok(Digest::ZERO);
        let known: Outcome = Err(SubmitError::Pool(PoolError::Known));
        assert_eq!(verdict(&[committed(500), committed(3)], TIP, true), GossipVerdict::Worthless);
        assert_eq!(verdict(&[low()], TIP, true), GossipVerdict::Worthless);
        // One good transaction does not carry a load of replays.
        assert_eq!(verdict(&[fine.clone(), low(), committed(3)], TIP, true), GossipVerdict::Worthless);
        assert_eq!(verdict(&[fine.clone(), fine.clone(), low()], TIP, true), GossipVerdict::Accept);
        // What was committed just now, or is known, is the usual lateness of gossip.
        assert_eq!(verdict(&[committed(TIP - 1), committed(TIP - STALE_BLOCKS)], TIP, true), GossipVerdict::Ignore);
        assert_eq!(verdict(&[known.clone(), known], TIP, true), GossipVerdict::Ignore);
        // Who is behind blames nobody.
        assert_eq!(verdict(&[low()], TIP, false), GossipVerdict::Ignore);
        let cheap = |got| refused(AccountsError::FeeLow { min: Amount(100), got: Amount(got) });
        assert_eq!(verdict(&[cheap(50)], TIP, true), GossipVerdict::Worthless);
        assert_eq!(verdict(&[cheap(51)], TIP, true), GossipVerdict::Ignore);
        let ballot = |got| refused(UpgradesError::BallotNumber { expected: 5, got });
        assert_eq!(verdict(&[ballot(4)], TIP, true), GossipVerdict::Worthless);
        assert_eq!(verdict(&[ballot(6)], TIP, true), GossipVerdict::Ignore, "the one before it may be on its way");
        let malformed = || refused(StampsError::StampNoteLength { bytes: 257 });
        assert_eq!(verdict(&[malformed()], TIP, true), GossipVerdict::Worthless, "whatever the state is");
        let full = || refused(StampsError::StampsFull { max: 1 });
        assert_eq!(verdict(&[full()], TIP, true), GossipVerdict::Ignore, "it may be another epoch there");
        let closed = |height| refused(WindowsError::WindowClosed { height });
        assert_eq!(verdict(&[closed(10)], TIP, true), GossipVerdict::Worthless);
        assert_eq!(verdict(&[closed(TIP - 5)], TIP, true), GossipVerdict::Ignore);
        assert_eq!(
            verdict(&[fine.clone(), fine, refused(EnvelopeError::Signature)], TIP, false),
            GossipVerdict::Reject
        );
    }
}
