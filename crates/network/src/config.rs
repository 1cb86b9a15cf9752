//! Configuration of the host, and the errors of starting it.

use std::sync::Arc;

use libp2p::Multiaddr;
use openmesh_primitives::ContentId;

/// Looks up a block that we hold; called on a blocking thread.
pub type Provider = Arc<dyn Fn(&ContentId) -> Option<Vec<u8>> + Send + Sync>;

/// Answers a peer's question, or says that it has no answer; called on a blocking thread.
pub type Responder = Arc<dyn Fn(&[u8]) -> Option<Vec<u8>> + Send + Sync>;

/// Configuration of the host.
#[derive(Clone, Debug)]
pub struct Config {
    /// Addresses to listen on, e.g. `/ip4/0.0.0.0/tcp/0`; port 0 lets the system choose.
    pub listen: Vec<Multiaddr>,
    /// Peers to stay connected with, with or without `/p2p/<peer id>` at the end.
    pub peers: Vec<Multiaddr>,
    /// The chain: part of every protocol name, so that hosts of different chains do not talk.
    pub chain_id: u64,
    /// Seed of the host's ed25519 identity (32 bytes); keep it, so that the peer id stays.
    pub key_seed: [u8; 32],
}

/// Errors of starting and running the host.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// The key, the transport or the gossip settings were refused by libp2p.
    #[error("the peer-to-peer host cannot be built: {0}")]
    Build(String),
    /// The address is in use, not ours or not of a supported kind.
    #[error("cannot listen on {address}: {reason}")]
    Listen {
        /// The wanted address.
        address: String,
        /// The system's answer.
        reason: String,
    },
    /// A listener closed while running.
    #[error("the listener closed: {0}")]
    ListenerClosed(String),
}
