//! The request-response protocol by which a node asks a peer for what it has announced: a list that neither side's host reads, and an
//! envelope or the word that nothing of it is here.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use futures::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use libp2p::request_response::{self, Codec, InboundRequestId, OutboundRequestId, ResponseChannel};
use libp2p::{PeerId, StreamProtocol};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::blocks::{Answer, BlockCodec};
use crate::limits::{ENVELOPE_BYTES_MAX, WANT_BYTES_MAX, WANT_SERVES_MAX, WANT_SERVES_PER_PEER_MAX};
use crate::shared::Shared;

/// The list is its length as two bytes, big-endian, and the bytes; the answer is that of a block, and no longer than an envelope.
#[derive(Debug, Clone, Default)]
pub(crate) struct WantCodec(BlockCodec);

#[async_trait]
impl Codec for WantCodec {
    type Protocol = StreamProtocol;
    type Request = Vec<u8>;
    type Response = Answer;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Vec<u8>>
    where
        T: AsyncRead + Unpin + Send,
    {
        let mut length = [0; 2];
        io.read_exact(&mut length).await?;
        let length = usize::from(u16::from_be_bytes(length));
        if length > WANT_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the want is too long"));
        }
        let mut want = vec![0; length];
        io.read_exact(&mut want).await?;
        Ok(want)
    }

    async fn read_response<T>(&mut self, protocol: &StreamProtocol, io: &mut T) -> io::Result<Answer>
    where
        T: AsyncRead + Unpin + Send,
    {
        // A tag and a length stand before the bytes; of a longer answer the end is missing.
        let mut envelope = io.take(5 + ENVELOPE_BYTES_MAX as u64);
        self.0.read_response(protocol, &mut envelope).await
    }

    async fn write_request<T>(&mut self, _: &StreamProtocol, io: &mut T, want: Vec<u8>) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        let length = u16::try_from(want.len()).map_err(io::Error::other)?;
        io.write_all(&length.to_be_bytes()).await?;
        io.write_all(&want).await
    }

    async fn write_response<T>(&mut self, protocol: &StreamProtocol, io: &mut T, answer: Answer) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        self.0.write_response(protocol, io, answer).await
    }
}

/// The protocol in the swarm.
type Protocol = request_response::Behaviour<WantCodec>;
/// An answer on its way to a peer.
type Answered = (ResponseChannel<Answer>, Answer);
/// Whoever waits for an answer, and its place.
type Waiting = (oneshot::Sender<Answer>, OwnedSemaphorePermit);

/// A place for an answer, shared with the thread that makes it.
#[derive(Clone, Debug)]
struct Place {
    /// One of those that peers share; `None`: the one that every peer has.
    _permit: Option<Arc<OwnedSemaphorePermit>>,
}

/// Wants in both directions: what peers ask of us that we announced, and what we ask of them.
pub(crate) struct Wants {
    /// Our open ones. Each holds its place until the transport has done with it, whoever still waits for the answer.
    asked: HashMap<OutboundRequestId, Waiting>,
    /// Places for answers that are made or sent, beside the one that each peer has.
    places: Arc<Semaphore>,
    /// Answers until they are sent or have failed, with whom they are for and their place.
    answering: HashMap<InboundRequestId, (PeerId, Place)>,
    /// Answers on their way out: as many as there are places, so the channel needs no limit of its own.
    pub(crate) answers: (mpsc::UnboundedSender<Answered>, mpsc::UnboundedReceiver<Answered>),
}

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

impl Wants {
    pub(crate) fn ask(&mut self, protocol: &mut Protocol, peer: &PeerId, want: Vec<u8>, waiting: Waiting) {
        self.asked.insert(protocol.send_request(peer, want), waiting);
    }

    pub(crate) fn answer(
        &self,
        protocol: &mut Protocol,
        shared: &Shared,
        channel: ResponseChannel<Answer>,
        answer: Answer,
    ) {
        shared.metrics.wants_answered.inc();
        // The asker may have gone away meanwhile.
        let _ = protocol.send_response(channel, answer);
    }

    pub(crate) fn event(
        &mut self,
        protocol: &mut Protocol,
        shared: &Arc<Shared>,
        event: request_response::Event<Vec<u8>, Answer>,
    ) {
        match event {
            request_response::Event::Message { peer, message, .. } => match message {
                request_response::Message::Request { request_id, request, channel } => {
                    match self.place(peer, request_id) {
                        Some(place) => self.serve(shared, request, channel, place),
                        None => self.answer(protocol, shared, channel, Answer::Busy),
                    }
                }
                request_response::Message::Response { request_id, response } => {
                    if let Some((reply, _)) = self.asked.remove(&request_id) {
                        // Whoever wanted it may have given up.
                        let _ = reply.send(response);
                    }
                }
            },
            request_response::Event::OutboundFailure { request_id, peer, error, .. } => {
                tracing::debug!(%peer, %error, "a peer did not deliver what it announced");
                self.asked.remove(&request_id);
            }
            request_response::Event::ResponseSent { request_id, .. }
            | request_response::Event::InboundFailure { request_id, .. } => {
                self.answering.remove(&request_id);
            }
        }
    }

    /// A place for an answer. A peer that has none under way has one of its own, whatever others take: peers that ask and do not read
    /// must not keep an honest one from what it was told of. `None`: it has its share, or all others are taken.
    fn place(&mut self, peer: PeerId, id: InboundRequestId) -> Option<Place> {
        let permit = match self.answering.values().filter(|(other, _)| *other == peer).count() {
            0 => None,
            own if own < WANT_SERVES_PER_PEER_MAX => Some(Arc::new(Arc::clone(&self.places).try_acquire_owned().ok()?)),
            _ => return None,
        };
        let place = Place { _permit: permit };
        self.answering.insert(id, (peer, place.clone()));
        Some(place)
    }

    /// Looks for the answer on a blocking thread; the host's loop goes on.
    fn serve(&self, shared: &Arc<Shared>, want: Vec<u8>, channel: ResponseChannel<Answer>, place: Place) {
        let (shared, answers) = (Arc::clone(shared), self.answers.0.clone());
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
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;
    use futures::io::Cursor;

    use super::*;

    const PROTOCOL: StreamProtocol = StreamProtocol::new("/test");

    #[test]
    fn wants_survive_the_wire_and_long_ones_do_not() {
        let read =
            |bytes: &[u8]| block_on(WantCodec::default().read_request(&PROTOCOL, &mut Cursor::new(bytes.to_vec())));
        assert_eq!(read(&[0, 2, 7, 8]).unwrap(), [7, 8]);
        assert!(read(&[0]).is_err() && read(&[0, 3, 7, 8]).is_err());
        assert!(read(&[u8::MAX; 70_000]).unwrap_err().to_string().contains("too long"));
        let mut io = Cursor::new(Vec::new());
        block_on(WantCodec::default().write_request(&PROTOCOL, &mut io, vec![7; 300])).unwrap();
        assert_eq!(io.into_inner()[..3], [1, 44, 7]);
    }

    #[test]
    fn an_answer_is_an_envelope_and_no_longer() {
        let answered = |length: usize| {
            let mut io = Cursor::new(Vec::new());
            let answer = Answer::Block(vec![7; length]);
            block_on(WantCodec::default().write_response(&PROTOCOL, &mut io, answer)).unwrap();
            io.set_position(0);
            block_on(WantCodec::default().read_response(&PROTOCOL, &mut io))
        };
        assert_eq!(answered(ENVELOPE_BYTES_MAX).unwrap(), Answer::Block(vec![7; ENVELOPE_BYTES_MAX]));
        assert!(answered(ENVELOPE_BYTES_MAX + 1).is_err());
    }
}
