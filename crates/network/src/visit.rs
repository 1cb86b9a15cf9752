//! A short visit to one address, by whoever is no host yet: a node that does not know its network cannot name the protocols of a chain.
//!
//! The visitor speaks one protocol, [`PROTOCOL`], which every host answers whatever its chain is. It has an identity that is thrown away
//! and takes nothing in. What it is told it judges itself: nobody has signed it.

use std::time::Duration;

use futures::StreamExt as _;
use libp2p::request_response::{self, OutboundFailure, OutboundRequestId, ProtocolSupport};
use libp2p::swarm::dial_opts::DialOpts;
use libp2p::swarm::{DialError, SwarmEvent};
use libp2p::{Multiaddr, PeerId, StreamProtocol, Swarm, SwarmBuilder, noise, tcp, yamux};
use openmesh_primitives::root_cause;
use tokio::time::{Instant, timeout_at};

use crate::blocks::Answer;
use crate::limits::{ASK_TIMEOUT, HELLO_BYTES_MAX, QUESTION_BYTES_MAX};
use crate::questions::QuestionCodec;

/// The protocol that hosts of all chains have in common.
pub(crate) const PROTOCOL: StreamProtocol = StreamProtocol::new("/openmesh/hello/1");
/// Longest time until a connection is there or refused: a host that is up answers within a second, also from the other side of the earth.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Reasons for which a visit comes to nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VisitError {
    /// The visitor itself cannot be built.
    #[error("this machine gives no peer-to-peer connection: {0}")]
    Build(String),
    /// Nobody is at the address, or nobody who speaks with peers.
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    /// It was reached, and does not know the protocol.
    #[error("it answers, but is no host of Openmesh, or one of an older version")]
    Stranger,
    /// It does not have what was asked for.
    #[error("it does not have what was asked for")]
    Missing,
    /// It answers too many others at the moment.
    #[error("it is busy")]
    Busy,
    /// It went away, took too long, or sent what is no answer.
    #[error("it was reached, and did not answer: {0}")]
    Silent(String),
    /// The question is longer than hosts read.
    #[error("the question has {0} bytes, at most {QUESTION_BYTES_MAX} are sent")]
    TooLong(usize),
}

type Event = SwarmEvent<request_response::Event<Vec<u8>, Answer>>;

/// A connection with the host at one address, for a few questions.
pub struct Visit {
    swarm: Swarm<request_response::Behaviour<QuestionCodec>>,
    peer: PeerId,
}

impl Visit {
    /// Connects with whoever is at an address.
    ///
    /// # Errors
    /// Where nobody is within five seconds, with the reason.
    pub async fn begin(address: &Multiaddr) -> Result<Visit, VisitError> {
        let mut swarm = build()?;
        let options = DialOpts::unknown_peer_id().address(address.clone()).build();
        swarm.dial(options).map_err(|error| VisitError::Unreachable(reason(&error)))?;
        let deadline = Instant::now() + CONNECT_TIMEOUT;
        loop {
            let event: Event = timeout_at(deadline, swarm.select_next_some()).await.map_err(|_| {
                VisitError::Unreachable(format!("no connection within {} s", CONNECT_TIMEOUT.as_secs()))
            })?;
            match event {
                SwarmEvent::ConnectionEstablished { peer_id, .. } => return Ok(Visit { swarm, peer: peer_id }),
                SwarmEvent::OutgoingConnectionError { error, .. } => {
                    return Err(VisitError::Unreachable(reason(&error)));
                }
                _ => {}
            }
        }
    }

    /// The identity that the host has.
    pub fn peer_id(&self) -> PeerId {
        self.peer
    }

    /// Asks a question; returns the answer as it came.
    ///
    /// # Errors
    /// Where there is no answer in ten seconds, or one that says that there is none.
    pub async fn ask(&mut self, question: Vec<u8>) -> Result<Vec<u8>, VisitError> {
        if question.len() > QUESTION_BYTES_MAX {
            return Err(VisitError::TooLong(question.len()));
        }
        let asked = self.swarm.behaviour_mut().send_request(&self.peer, question);
        let deadline = Instant::now() + ASK_TIMEOUT;
        loop {
            let event: Event = timeout_at(deadline, self.swarm.select_next_some())
                .await
                .map_err(|_| VisitError::Silent(format!("nothing came within {} s", ASK_TIMEOUT.as_secs())))?;
            if let Some(answer) = answered(event, asked) {
                return answer;
            }
        }
    }
}

/// The answer to a question, where an event is one.
fn answered(event: Event, asked: OutboundRequestId) -> Option<Result<Vec<u8>, VisitError>> {
    match event {
        SwarmEvent::Behaviour(request_response::Event::Message {
            message: request_response::Message::Response { request_id, response },
            ..
        }) if request_id == asked => Some(match response {
            Answer::Block(bytes) => Ok(bytes),
            Answer::Missing => Err(VisitError::Missing),
            Answer::Busy => Err(VisitError::Busy),
        }),
        SwarmEvent::Behaviour(request_response::Event::OutboundFailure { request_id, error, .. })
            if request_id == asked =>
        {
            Some(Err(match error {
                OutboundFailure::UnsupportedProtocols => VisitError::Stranger,
                other => VisitError::Silent(other.to_string()),
            }))
        }
        _ => None,
    }
}

fn build() -> Result<Swarm<request_response::Behaviour<QuestionCodec>>, VisitError> {
    let failed = |reason: &dyn std::fmt::Display| VisitError::Build(reason.to_string());
    let config = request_response::Config::default().with_request_timeout(ASK_TIMEOUT);
    let codec = QuestionCodec::up_to(HELLO_BYTES_MAX);
    let behaviour = request_response::Behaviour::with_codec(codec, [(PROTOCOL, ProtocolSupport::Outbound)], config);
    let swarm = SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, yamux::Config::default)
        .map_err(|e| failed(&e))?
        .with_dns()
        .map_err(|e| failed(&e))?
        .with_behaviour(|_| behaviour)
        .map_err(|e| failed(&e))?
        // Between two questions nothing is under way.
        .with_swarm_config(|c| c.with_idle_connection_timeout(ASK_TIMEOUT))
        .build();
    Ok(swarm)
}

/// The cause of a failed connection, without the address, which whoever asked knows.
fn reason(error: &DialError) -> String {
    match error {
        DialError::Transport(failures) => {
            failures.first().map_or_else(|| error.to_string(), |(_, cause)| root_cause(cause))
        }
        DialError::WrongPeerId { obtained, .. } => format!("another peer is there: {obtained}"),
        other => other.to_string(),
    }
}
