//! Messages that come in at a simulated validator, and catching up.

use malachite_app::consensus::{Input as CoreInput, LivenessMsg, SignedConsensusMsg};
use malachite_app::streaming::StreamMessage;
use malachite_app::types::Keypair;
use malachite_app::types::core::ValueResponse;
use malachite_peer::PeerId;
use malachite_sync::{Response, ValueResponse as SyncAnswer};
use openmesh_primitives::{Height, canonical};

use super::environment::{Environment, Output};
use super::wire::{ANNOUNCEMENT, BODIES, CONSENSUS, LIVENESS, PART, REQUEST, RESPONSE, STATUS, WANT, decode, response};
use crate::consensus::context::Context;
use crate::consensus::types::{Height as CoreHeight, Part};
use crate::host::state::Input as HostInput;

/// A lost answer is asked for again after so long, nanoseconds.
const ASK_AGAIN_NANOS: i64 = 1_000_000_000;
/// Decided blocks asked for at once.
const SYNC_BATCH: u64 = 16;

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
            ANNOUNCEMENT => self.receive_announcement(from, rest),
            WANT => self.receive_want(from, rest),
            BODIES => self.receive_bodies(from, rest),
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
        let answer = Response::ValueResponse(SyncAnswer::new(CoreHeight(first), values));
        if let Some(bytes) = response(&answer) {
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
