//! Our libp2p host: gossip of what transactions there are, fetching of them and of blocks by CID.
//!
//! Malachite runs a swarm of its own for consensus, with a fixed list of topics; this host is the other one, on a port
//! of its own, so that bulk content can never starve a vote. It carries envelopes and does not read them: whoever
//! receives an [`Incoming`] envelope judges it and says so with [`Handle::report`], and only accepted envelopes are
//! forwarded to other peers. Envelopes are anonymous (no gossip signature): what they carry is signed by itself, and
//! their identity is the hash of their bytes.
//!
//! Blocks come from a [`Provider`], a closure over whatever store the caller has. So this crate needs no edge to the
//! content store, and a test needs no store at all. A fetched block is checked against its CID before anybody sees
//! it; a peer whose bytes do not match is shut out for ten minutes and the next peer is asked.
//!
//! Everything else that one node asks another (parts of the state, the way of a light client) is a short question to one named peer,
//! answered by a [`Responder`]: [`Handle::ask`]. The host does not read it either. Nor does it read what a node wants of what a peer
//! has announced, and what comes of that: [`Handle::want`], [`Handle::judge`]. Whoever does not know the chain yet visits an address
//! with questions of its own ([`Visit`]), which every host answers.
//!
//! What happens on failure: a configured peer that is away is dialled for ever (see `book`); full queues refuse or
//! drop and count; the task ends only when it is cancelled or when the listener is gone.

mod blocks;
mod book;
mod config;
mod envelope;
mod fetch;
#[doc(hidden)]
pub mod fuzz;
mod host;
pub mod limits;
mod metrics;
mod questions;
mod scores;
mod service;
mod shared;
mod visit;
mod wants;

pub use libp2p::{Multiaddr, PeerId};

pub use config::{Config, NetworkError, Provider, Responder};
pub use envelope::{EnvelopeId, Incoming, PublishError, Verdict};
pub use fetch::FetchError;
pub use host::peer_id;
pub use questions::AskError;
pub use service::{Handle, start};
pub use visit::{Visit, VisitError};
