//! From what consensus saw to what the ledger can check: pairs of messages that no validator must both have signed.
//!
//! Malachite keeps up to three pairs of each validator and height, and hands them over when the height is over. One pair is
//! enough: the ledger records a validator once for a height. Pairs that name the same block are left out, see
//! [`openmesh_ledger::Evidence`].

use malachite_app::consensus::MisbehaviorEvidence;
use malachite_app::types::core::{NilOrVal, SignedMessage, VoteType};
use openmesh_ledger::{Evidence, SignedBlock, Step, ValidatorSet};
use openmesh_primitives::{Address, Digest};

use super::context::Context;
use super::types::{BlockId, Proposal, Vote};

/// At most one piece of evidence for each validator of the set.
pub(crate) fn gather(chain_id: u64, set: &ValidatorSet, seen: &MisbehaviorEvidence<Context>) -> Vec<Evidence> {
    let gather = |validator: &openmesh_ledger::Validator| {
        let of = |address: &Address| *address == validator.address;
        let votes = seen.votes.iter().filter(|(address, _)| of(&address.0)).flat_map(|(_, pairs)| pairs);
        let votes = votes.filter_map(|(a, b)| Some((a.height.0, a.round.as_i64(), of_votes(a, b)?)));
        let proposals = seen.proposals.iter().filter(|(address, _)| of(&address.0)).flat_map(|(_, pairs)| pairs);
        let proposals = proposals.filter_map(|(a, b)| Some((a.height.0, a.round.as_i64(), of_proposals(a, b)?)));
        let (height, round, (step, first, second)) = votes.chain(proposals).next()?;
        let public_key = validator.public_key;
        Some(Evidence { chain_id, public_key, height, round, step, first, second }.in_order())
    };
    set.iter().filter_map(gather).collect()
}

type Pair = (Step, SignedBlock, SignedBlock);

fn of_votes(a: &SignedMessage<Context, Vote>, b: &SignedMessage<Context, Vote>) -> Option<Pair> {
    let step = match a.kind {
        VoteType::Prevote => Step::Prevote,
        VoteType::Precommit => Step::Precommit,
    };
    let signed =
        |vote: &SignedMessage<Context, Vote>| SignedBlock { block: block(&vote.value), signature: vote.signature };
    ((a.height, a.round, a.kind) == (b.height, b.round, b.kind) && a.value != b.value)
        .then(|| (step, signed(a), signed(b)))
}

fn of_proposals(a: &SignedMessage<Context, Proposal>, b: &SignedMessage<Context, Proposal>) -> Option<Pair> {
    let step = Step::Proposal { first_pol_round: a.pol_round.as_i64(), second_pol_round: b.pol_round.as_i64() };
    let signed = |p: &SignedMessage<Context, Proposal>| SignedBlock { block: Some(p.value.0), signature: p.signature };
    ((a.height, a.round) == (b.height, b.round) && a.value != b.value).then(|| (step, signed(a), signed(b)))
}

fn block(value: &NilOrVal<BlockId>) -> Option<Digest> {
    match value {
        NilOrVal::Nil => None,
        NilOrVal::Val(id) => Some(id.0),
    }
}
