//! What simulated validators say to each other: a byte for the kind, then the same bytes as in the engine.

use malachite_app::consensus::{Input as CoreInput, LivenessMsg, SignedConsensusMsg};
use malachite_app::streaming::StreamMessage;
use malachite_app::types::Keypair;
use malachite_app::types::codec::Codec;
use malachite_app::types::core::{NilOrVal, SignedMessage, ValueResponse};
use malachite_peer::PeerId;
use malachite_sync::{Response, ValueResponse as SyncAnswer};
use openmesh_primitives::{Digest, Height, ValidatorKey, canonical};

use super::{Environment, HostInput, Output, SYNC_BATCH};
use crate::consensus::codec::BorshCodec;
use crate::consensus::context::Context;
use crate::consensus::signing::{proposal_bytes, vote_bytes};
use crate::consensus::types::{Address, BlockId, Height as CoreHeight, Part};

const CONSENSUS: u8 = 0;
const LIVENESS: u8 = 1;
const PART: u8 = 2;
const TRANSACTION: u8 = 3;
const STATUS: u8 = 4;
const REQUEST: u8 = 5;
const RESPONSE: u8 = 6;
/// A lost answer is asked for again after so long, nanoseconds.
const ASK_AGAIN_NANOS: i64 = 1_000_000_000;

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

pub(super) fn transaction(bytes: &[u8]) -> Vec<u8> {
    [&[TRANSACTION], bytes].concat()
}

/// `again`: said without news, because nothing goes on here.
pub(super) fn status(tip: Height, again: bool) -> Vec<u8> {
    [vec![STATUS], canonical::encode(&(tip, again))].concat()
}

/// What a liar says beside a message of its own: another signed one for the same step. `None` for what is no vote or
/// proposal of this key.
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

fn decode<T>(bytes: &[u8]) -> Option<T>
where
    BorshCodec: Codec<T>,
{
    BorshCodec.decode(bytes.to_vec().into()).ok()
}

/// A name in the form that value sync wants.
fn peer(number: usize) -> Option<PeerId> {
    let key = Keypair::ed25519_from_bytes([u8::try_from(number).ok()?; 32]).ok()?;
    PeerId::from_bytes(&key.public().to_peer_id().to_bytes()).ok()
}

impl Environment {
    /// Takes a message in. What cannot be understood is dropped, as in the engine.
    pub(super) fn receive(&mut self, from: usize, bytes: &[u8]) {
        let Some((kind, rest)) = bytes.split_first() else { return };
        match *kind {
            CONSENSUS => match decode(rest) {
                Some(SignedConsensusMsg::Vote(vote)) => self.queue.push_back(CoreInput::Vote(vote)),
                Some(SignedConsensusMsg::Proposal(proposal)) => self.queue.push_back(CoreInput::Proposal(proposal)),
                None => {}
            },
            LIVENESS => match decode(rest) {
                Some(LivenessMsg::Vote(vote)) => self.queue.push_back(CoreInput::Vote(vote)),
                Some(LivenessMsg::PolkaCertificate(c)) => self.queue.push_back(CoreInput::PolkaCertificate(c)),
                Some(LivenessMsg::SkipRoundCertificate(c)) => self.queue.push_back(CoreInput::RoundCertificate(c)),
                None => {}
            },
            PART => {
                if let Some(part) = decode(rest) {
                    self.receive_part(from, part);
                }
            }
            TRANSACTION => self.admit(vec![rest.to_vec()], false),
            STATUS => {
                if let Ok((tip, again)) = canonical::decode::<(Height, bool)>(rest) {
                    self.heard_of(from, tip, again);
                }
            }
            REQUEST => {
                if let Ok((first, last)) = canonical::decode::<(Height, Height)>(rest) {
                    self.answer(from, first, last);
                }
            }
            RESPONSE => {
                if let Some(Response::ValueResponse(answer)) = decode::<Response<Context>>(rest) {
                    self.take_blocks(from, answer);
                }
            }
            _ => {}
        }
    }

    fn receive_part(&mut self, from: usize, part: StreamMessage<Part>) {
        let name = from.to_be_bytes().to_vec();
        self.step(HostInput::Part { publisher: name.clone(), neighbor: name, part });
    }

    /// Somebody has more blocks. Being one behind is usual between two messages, unless nothing goes on.
    fn heard_of(&mut self, from: usize, height: Height, again: bool) {
        let tip = self.store.tip().height;
        let behind = height > tip + 1 || (again && height > tip);
        let (asked, at) = self.requested;
        if behind && (asked != tip + 1 || self.now.nanos() - at.nanos() > ASK_AGAIN_NANOS) {
            self.requested = (tip + 1, self.now);
            let range = (tip + 1, height.min(tip + SYNC_BATCH));
            self.outputs.push(Output::Send { to: from, bytes: [vec![REQUEST], canonical::encode(&range)].concat() });
        }
    }

    fn answer(&mut self, from: usize, first: Height, last: Height) {
        let range = CoreHeight(first)..=CoreHeight(last.min(first.saturating_add(SYNC_BATCH)));
        let values = crate::serve::decided_values(&self.store, range);
        let response = Response::ValueResponse(SyncAnswer::new(CoreHeight(first), values));
        if let Some(bytes) = message(RESPONSE, &response) {
            self.outputs.push(Output::Send { to: from, bytes });
        }
    }

    fn take_blocks(&mut self, from: usize, answer: SyncAnswer<Context>) {
        let (tip, Some(peer)) = (self.store.tip().height, peer(from)) else { return };
        for value in answer.values.into_iter().take(SYNC_BATCH as usize) {
            let height = value.certificate.height.0;
            let response = ValueResponse::new(peer, value.value_bytes, value.certificate);
            if height == self.deciding {
                self.queue.push_back(CoreInput::SyncValueResponse(response));
            } else if (tip + 1..=tip + 2 * SYNC_BATCH).contains(&height) {
                self.synced.entry(height).or_insert(response);
            }
        }
    }
}
