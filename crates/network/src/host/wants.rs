//! Wants: what peers ask of us that we announced, and what we ask of them.

use std::collections::HashMap;
use std::sync::Arc;

use libp2p::PeerId;
use libp2p::request_response::{self, InboundRequestId, OutboundRequestId, ResponseChannel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::{Host, Serving};
use crate::blocks::Answer;
use crate::limits::{ENVELOPE_BYTES_MAX, WANT_SERVES_MAX, WANT_SERVES_PER_PEER_MAX};

/// Wants in both directions.
pub(super) struct Wants {
    /// Our open ones. Each holds its place until the transport has done with it, whoever still waits for the answer.
    asked: HashMap<OutboundRequestId, (oneshot::Sender<Answer>, OwnedSemaphorePermit)>,
    /// Places for answers that are made or sent.
    places: Arc<Semaphore>,
    answering: HashMap<InboundRequestId, Serving>,
    /// Answers on their way out: as many as places, so the channel needs no limit of its own.
    pub(super) answers: (mpsc::UnboundedSender<Answered>, mpsc::UnboundedReceiver<Answered>),
}

/// An answer to a peer.
pub(super) type Answered = (ResponseChannel<Answer>, Answer);

impl Default for Wants {
    fn default() -> Wants {
        Wants {
            asked: HashMap::new(),
            places: Arc::new(Semaphore::new(WANT_SERVES_MAX)),
            answering: HashMap::new(),
            answers: mpsc::unbounded_channel(),
        }
    }
}

impl Host {
    pub(super) fn ask_for(
        &mut self,
        peer: &PeerId,
        want: Vec<u8>,
        reply: oneshot::Sender<Answer>,
        permit: OwnedSemaphorePermit,
    ) {
        let id = self.swarm.behaviour_mut().wants.send_request(peer, want);
        self.wants.asked.insert(id, (reply, permit));
    }

    pub(super) fn answer_want(&mut self, channel: ResponseChannel<Answer>, answer: Answer) {
        self.shared.metrics.wants_answered.inc();
        // The asker may have gone away meanwhile.
        let _ = self.swarm.behaviour_mut().wants.send_response(channel, answer);
    }

    /// Looks for the answer on a blocking thread; the loop goes on.
    fn serve_want(&mut self, peer: PeerId, id: InboundRequestId, want: Vec<u8>, channel: ResponseChannel<Answer>) {
        let own = self.wants.answering.values().filter(|answering| answering.peer == peer).count();
        let permit = Arc::clone(&self.wants.places).try_acquire_owned().ok();
        let Some(place) = permit.filter(|_| own < WANT_SERVES_PER_PEER_MAX).map(Arc::new) else {
            return self.answer_want(channel, Answer::Busy);
        };
        self.wants.answering.insert(id, Serving { peer, _place: Arc::clone(&place) });
        let (shared, answers) = (Arc::clone(&self.shared), self.wants.answers.0.clone());
        tokio::task::spawn_blocking(move || {
            let _place = place;
            let answer = match shared.want_responder.0.get().and_then(|responder| responder(&want)) {
                Some(bytes) if bytes.len() <= ENVELOPE_BYTES_MAX => Answer::Block(bytes),
                _ => Answer::Missing,
            };
            // Fails only when the host has stopped.
            let _ = answers.send((channel, answer));
        });
    }

    pub(super) fn want_event(&mut self, event: request_response::Event<Vec<u8>, Answer>) {
        match event {
            request_response::Event::Message { peer, message, .. } => match message {
                request_response::Message::Request { request_id, request, channel } => {
                    self.serve_want(peer, request_id, request, channel);
                }
                request_response::Message::Response { request_id, response } => {
                    if let Some((reply, _)) = self.wants.asked.remove(&request_id) {
                        // Whoever wanted it may have given up.
                        let _ = reply.send(response);
                    }
                }
            },
            request_response::Event::OutboundFailure { request_id, peer, error, .. } => {
                tracing::debug!(%peer, %error, "a peer did not deliver what it announced");
                self.wants.asked.remove(&request_id);
            }
            request_response::Event::ResponseSent { request_id, .. }
            | request_response::Event::InboundFailure { request_id, .. } => {
                self.wants.answering.remove(&request_id);
            }
        }
    }
}
