//! Messages between simulated validators: a byte for the kind, then the same bytes as in the engine.

use malachite_app::consensus::{LivenessMsg, SignedConsensusMsg};
use malachite_app::streaming::StreamMessage;
use malachite_app::types::codec::Codec;
use malachite_app::types::core::{NilOrVal, SignedMessage};
use malachite_sync::Response;
use openmesh_primitives::{Digest, Height, ValidatorKey, canonical};

use crate::consensus::codec::BorshCodec;
use crate::consensus::context::Context;
use crate::consensus::signing::{proposal_bytes, vote_bytes};
use crate::consensus::types::{Address, BlockId, Part};

pub(super) const CONSENSUS: u8 = 0;
pub(super) const LIVENESS: u8 = 1;
pub(super) const PART: u8 = 2;
pub(super) const ANNOUNCEMENT: u8 = 3;
pub(super) const STATUS: u8 = 4;
pub(super) const REQUEST: u8 = 5;
pub(super) const RESPONSE: u8 = 6;
pub(super) const WANT: u8 = 7;
pub(super) const BODIES: u8 = 8;

fn message<T>(kind: u8, content: &T) -> Option<Vec<u8>>
where
    BorshCodec: Codec<T>,
{
    Some([&[kind], BorshCodec.encode(content).ok()?.as_ref()].concat())
}

pub(super) fn consensus(content: &SignedConsensusMsg<Context>) -> Option<Vec<u8>> {
    message(CONSENSUS, content)
}

pub(super) fn liveness(content: &LivenessMsg<Context>) -> Option<Vec<u8>> {
    message(LIVENESS, content)
}

pub(super) fn part(content: &StreamMessage<Part>) -> Option<Vec<u8>> {
    message(PART, content)
}

pub(super) fn response(content: &Response<Context>) -> Option<Vec<u8>> {
    message(RESPONSE, content)
}

/// `again`: said without news, because nothing goes on here.
pub(super) fn status(tip: Height, again: bool) -> Vec<u8> {
    [vec![STATUS], canonical::encode(&(tip, again))].concat()
}

/// The lie that a liar tells beside a message of its own: another signed one for the same step. `None` for a message that
/// is no vote or proposal of this key.
pub fn contradict(chain_id: u64, key: &ValidatorKey, bytes: &[u8]) -> Option<Vec<u8>> {
    let (CONSENSUS, rest) = bytes.split_first().map(|(kind, rest)| (*kind, rest))? else { return None };
    let said: SignedConsensusMsg<Context> = BorshCodec.decode(rest.to_vec().into()).ok()?;
    let own = Address(key.public().address());
    let other = |id: &BlockId| BlockId(Digest(id.0.0.map(|byte| !byte)));
    let lie = match said {
        SignedConsensusMsg::Vote(vote) if vote.validator == own => {
            let mut vote = vote.message;
            vote.value = match &vote.value {
                NilOrVal::Nil => NilOrVal::Val(BlockId(Digest([7; 32]))),
                NilOrVal::Val(id) if id.0.0[0] % 2 == 0 => NilOrVal::Val(other(id)),
                NilOrVal::Val(_) => NilOrVal::Nil,
            };
            let signature = key.sign(&vote_bytes(chain_id, &vote));
            SignedConsensusMsg::Vote(SignedMessage::new(vote, signature))
        }
        SignedConsensusMsg::Proposal(proposal) if proposal.proposer == own => {
            let mut proposal = proposal.message;
            proposal.value = other(&proposal.value);
            let signature = key.sign(&proposal_bytes(chain_id, &proposal));
            SignedConsensusMsg::Proposal(SignedMessage::new(proposal, signature))
        }
        _ => return None,
    };
    consensus(&lie)
}

/// Decodes a message; `None` if it is none of its kind.
pub(super) fn decode<T>(bytes: &[u8]) -> Option<T>
where
    BorshCodec: Codec<T>,
{
    BorshCodec.decode(bytes.to_vec().into()).ok()
}
