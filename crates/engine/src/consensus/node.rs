//! Malachite's actors, started one by one.
//!
//! Not through its `EngineBuilder`, for three reasons: the builder registers metrics in a global registry, which two
//! nodes in one process would share; it gives no way to hand consensus a block after its message was answered, so that
//! judging one would block every other message; and it serves value sync through the same serial connector as
//! consensus. Here every node has a registry of its own, judged blocks are cast to the consensus actor, and sync asks
//! through a second connector.
//!
//! The supervisor of the actors hangs on a safety failure (write-ahead log) and stops on a liveness failure. In both
//! cases the connectors stop, which closes their channels: that is how the host learns of it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use malachite_app::config::{
    ChannelNames, ConsensusConfig, P2pConfig, ProtocolNames, PubSubProtocol, ValuePayload, ValueSyncConfig,
};
use malachite_app::engine::consensus::ConsensusRef;
use malachite_app::engine::network::{
    NetworkEvent, NetworkIdentity, NetworkMsg, NetworkRef, PersistentPeersOp, Subscriber,
};
use malachite_app::engine::node::NodeRef;
use malachite_app::engine::util::events::TxEvent;
use malachite_app::engine::util::output_port::{OutputPort, OutputPortSubscriberTrait};
use malachite_app::metrics::{Metrics as ConsensusMetrics, SharedRegistry};
use malachite_app::net::Multiaddr;
use malachite_app::spawn::{
    spawn_consensus_actor, spawn_network_actor, spawn_node_actor, spawn_sync_actor, spawn_wal_actor,
};
use malachite_app::types::Keypair;
use malachite_app::types::codec::Codec as _;
use malachite_channel::AppMsg;
use malachite_channel::spawn::spawn_host_actor;
use malachite_signing::{Signer, Verifier};
use openmesh_ledger::BLOCK_BYTES_HARD_MAX;
use openmesh_primitives::{ValidatorKey, ValidatorPublicKey};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::codec::BorshCodec;
use super::context::Context;
use super::signing::{ChainSigner, ChainVerifier};
use super::types::Address;
use crate::config::Config;
use crate::error::EngineError;

/// Time that the actors may take to stop before they are killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// Time to wait for the write-ahead log of a run of this node that has not let go of it yet.
const LOG_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause between two tries to open the write-ahead log.
const LOG_RETRY: Duration = Duration::from_millis(50);
/// Time within which the network must tell its address.
const QUERY_TIMEOUT: Duration = Duration::from_secs(5);
/// Messages for heights that this node has not reached yet: as many as 256 validators send in eight rounds.
const QUEUE_PER_HEIGHT: usize = 4_096;
/// Largest answer of value sync. A block of the largest size and its certificate must fit.
const SYNC_RESPONSE_BYTES_MAX: u64 = 2 * BLOCK_BYTES_HARD_MAX;
/// Blocks asked for at once when catching up.
const SYNC_BATCH: usize = 16;

/// The running actors.
pub(crate) struct Node {
    node: NodeRef,
    task: JoinHandle<()>,
    pub(crate) consensus: ConsensusRef<Context>,
    pub(crate) network: NetworkRef<Context>,
    /// Questions of consensus.
    pub(crate) questions: mpsc::Receiver<AppMsg<Context>>,
    /// Questions of peers that catch up.
    pub(crate) sync_questions: mpsc::Receiver<AppMsg<Context>>,
    pub(crate) metrics: ConsensusMetrics,
    pub(crate) peer_id: String,
}

fn failed(what: &'static str) -> impl Fn(&dyn std::fmt::Display) -> EngineError {
    move |error| EngineError::Start { what, reason: error.to_string() }
}

pub(crate) async fn start(
    config: &Config,
    key: Option<ValidatorKey>,
    chain_id: u64,
    p2p_seed: [u8; 32],
) -> Result<Node, EngineError> {
    let keypair = Keypair::ed25519_from_bytes(p2p_seed).map_err(|e| failed("p2p key")(&e))?;
    let peer_id = keypair.public().to_peer_id().to_string();
    let consensus_config = consensus_config(config, chain_id)?;
    let sync_config = sync_config();
    let registry = SharedRegistry::new(Default::default(), None);
    let metrics = ConsensusMetrics::register(&registry);
    let (node, task) = spawn_node_actor(metrics.clone()).await.map_err(|e| failed("supervisor")(&e))?;

    let signer = key.map(|key| ChainSigner { chain_id, key });
    let identity = identity(config, keypair, signer.as_ref()).await?;
    let network = spawn_network_actor(&consensus_config, &sync_config, identity, &registry, BorshCodec)
        .await
        .map_err(|e| failed("network")(&format!("{e:#}")))?;
    network.link(node.get_cell());
    let wal = open_log(&config.home, &registry, &node).await?;
    wal.link(node.get_cell());
    let (connector, questions) =
        spawn_host_actor::<Context>(metrics.clone()).await.map_err(|e| failed("connector")(&e))?;
    connector.link(node.get_cell());
    let (sync_connector, sync_questions) =
        spawn_host_actor::<Context>(metrics.clone()).await.map_err(|e| failed("connector")(&e))?;
    sync_connector.link(node.get_cell());

    let sync_port = Arc::new(OutputPort::new());
    let address = signer.as_ref().map(|s| s.key.public().address()).unwrap_or_default();
    let verifier: Box<dyn Verifier<Context>> = Box::new(ChainVerifier { chain_id });
    let signer = signer.map(|s| Box::new(s) as Box<dyn Signer<Context>>);
    let consensus = spawn_consensus_actor(
        Context,
        Address(address),
        consensus_config,
        verifier,
        signer,
        network.clone(),
        connector,
        wal,
        Arc::clone(&sync_port),
        metrics.clone(),
        TxEvent::new(),
        node.clone(),
    )
    .await
    .map_err(|e| failed("consensus")(&format!("{e:#}")))?;
    consensus.link(node.get_cell());
    let sync = spawn_sync_actor(
        Context,
        network.clone(),
        sync_connector,
        consensus.clone(),
        BorshCodec,
        &sync_config,
        &registry,
    )
    .await
    .map_err(|e| failed("sync")(&format!("{e:#}")))?;
    if let Some(sync) = &sync {
        sync.link(node.get_cell());
        sync.subscribe_to_port(&sync_port);
    }
    Ok(Node { node, task, consensus, network, questions, sync_questions, metrics, peer_id })
}

async fn identity(
    config: &Config,
    keypair: Keypair,
    signer: Option<&ChainSigner>,
) -> Result<NetworkIdentity, EngineError> {
    let name = config.name.clone();
    let Some(signer) = signer else { return Ok(NetworkIdentity::new(name, keypair, None)) };
    let ValidatorPublicKey(public_key) = signer.key.public();
    let peer_id = keypair.public().to_peer_id().to_bytes();
    let proof = signer.sign_validator_proof(public_key.to_vec(), peer_id).await.map_err(|e| failed("identity")(&e))?;
    let proof = BorshCodec.encode(&proof).map_err(|e| failed("identity")(&e))?;
    let address = signer.key.public().address().to_string();
    Ok(NetworkIdentity::new_validator(name, keypair, address, proof))
}

/// Opens the write-ahead log. It is locked by the thread that writes it, and that of a run which was just stopped may
/// still be busy with its last write.
async fn open_log(
    home: &Path,
    registry: &SharedRegistry,
    node: &NodeRef,
) -> Result<malachite_app::engine::wal::WalRef<Context>, EngineError> {
    let path = home.join("consensus.wal");
    let tries = async {
        loop {
            match spawn_wal_actor(&Context, BorshCodec, &path, registry, node.clone()).await {
                Err(error) if format!("{error:#}").contains("advisory lock") => tokio::time::sleep(LOG_RETRY).await,
                other => return other.map_err(|e| failed("write-ahead log")(&format!("{e:#}"))),
            }
        }
    };
    let in_time = tokio::time::timeout(LOG_TIMEOUT, tries).await;
    in_time
        .map_err(|_| failed("write-ahead log")(&"another process of this node still uses it; stop that one first"))?
}

fn multiaddr(address: SocketAddr) -> String {
    let kind = if address.is_ipv4() { "ip4" } else { "ip6" };
    format!("/{kind}/{}/tcp/{}", address.ip(), address.port())
}

fn parse_peer(address: &str) -> Result<Multiaddr, EngineError> {
    address.parse().map_err(|e| EngineError::Peer { address: address.to_owned(), reason: format!("{e}") })
}

fn consensus_config(config: &Config, chain_id: u64) -> Result<ConsensusConfig, EngineError> {
    let name = |what: &str| format!("/openmesh/{chain_id}/consensus/{what}/1");
    let mut p2p = P2pConfig {
        listen_addr: parse_peer(&multiaddr(config.listen))?,
        persistent_peers: config.peers.iter().map(|p| parse_peer(p)).collect::<Result<_, _>>()?,
        protocol: PubSubProtocol::default(),
        protocol_names: ProtocolNames {
            consensus: name("main"),
            discovery_kad: name("discovery-kad"),
            discovery_regres: name("discovery-reqres"),
            sync: name("sync"),
            validator_proof: name("validator-proof"),
        },
        channel_names: ChannelNames {
            consensus: name("votes"),
            proposal_parts: name("parts"),
            sync: name("status"),
            liveness: name("liveness"),
        },
        ..P2pConfig::default()
    };
    p2p.rpc_max_size = bytes(SYNC_RESPONSE_BYTES_MAX, p2p.rpc_max_size);
    p2p.discovery.max_connections_per_ip = config.connections_per_ip_max;
    if config.listen.ip().is_loopback() {
        // All validators of a local network share one address; throttling it would part them.
        p2p.discovery.ip_throttle_duration = Duration::ZERO;
    }
    Ok(ConsensusConfig {
        p2p,
        value_payload: ValuePayload::ProposalAndParts,
        queue_per_height_capacity: QUEUE_PER_HEIGHT,
        ..ConsensusConfig::default()
    })
}

/// A size in Malachite's own type, which is not exported; its text form is.
fn bytes<T: std::str::FromStr>(count: u64, default: T) -> T {
    format!("{count} B").parse().unwrap_or(default)
}

fn sync_config() -> ValueSyncConfig {
    let default = ValueSyncConfig::default();
    ValueSyncConfig {
        // Zero: tell the others of every height, instead of every ten seconds.
        status_update_interval: Duration::ZERO,
        max_response_size: bytes(SYNC_RESPONSE_BYTES_MAX, default.max_response_size),
        batch_size: SYNC_BATCH,
        ..default
    }
}

/// Receives what the network has listened on so far; the rest of its events are not ours.
struct Listening(mpsc::UnboundedSender<String>);

impl OutputPortSubscriberTrait<NetworkEvent<Context>> for Listening {
    fn subscribe_to_port(&self, _: &OutputPort<NetworkEvent<Context>>) {}
}

impl Subscriber<NetworkEvent<Context>> for Listening {
    fn send(&self, event: NetworkEvent<Context>) {
        if let NetworkEvent::Listening(address) = event {
            // The receiver waits for the first one only.
            let _ = self.0.send(address.to_string());
        }
    }
}

impl Node {
    /// The address that consensus listens on. Call it after consensus has said that it is ready, which it does when the
    /// network has told it of an address.
    pub(crate) async fn listen_addr(&self) -> Result<SocketAddr, EngineError> {
        let (sender, mut addresses) = mpsc::unbounded_channel();
        let asked = self.network.cast(NetworkMsg::Subscribe(Box::new(Listening(sender))));
        asked.map_err(|e| failed("network")(&e))?;
        let address = tokio::time::timeout(QUERY_TIMEOUT, addresses.recv()).await.ok().flatten();
        address.as_deref().and_then(socket_addr).ok_or_else(|| failed("network")(&"it does not say where it listens"))
    }

    /// Stops the actors and waits until they have let go of ports and files.
    pub(crate) async fn stop(self) {
        drop((self.questions, self.sync_questions));
        let supervisor = self.node.get_cell();
        let actors = supervisor.get_children();
        // A supervisor that sees one of them end kills the others, in the middle of what they let go of.
        for actor in &actors {
            actor.unlink(supervisor.clone());
        }
        let why = || Some("the engine stops".to_owned());
        // First the one that would take the end of the write-ahead log for a failure, and stand still.
        let _ = self.consensus.get_cell().stop_and_wait(why(), Some(STOP_TIMEOUT)).await;
        futures::future::join_all(actors.iter().map(|actor| actor.stop_and_wait(why(), Some(STOP_TIMEOUT)))).await;
        // Ends at once if the supervisor has stopped on its own.
        let _ = self.node.kill_and_wait(Some(STOP_TIMEOUT)).await;
        let _ = self.task.await;
    }
}

/// Adds a peer to stay connected with; knowing it already is fine.
pub(crate) async fn add_peer(network: &NetworkRef<Context>, address: &str) -> Result<(), EngineError> {
    let (reply, answer) = oneshot::channel();
    let operation = PersistentPeersOp::Add(parse_peer(address)?);
    network.cast(NetworkMsg::UpdatePersistentPeers(operation, reply.into())).map_err(|e| failed("network")(&e))?;
    answer.await.map(drop).map_err(|e| failed("network")(&e))
}

fn socket_addr(multiaddr: &str) -> Option<SocketAddr> {
    let mut parts = multiaddr.split('/').skip(1);
    let (kind, ip) = (parts.next()?, parts.next()?.parse().ok()?);
    let tcp = parts.next()? == "tcp" && kind.starts_with("ip");
    tcp.then_some(SocketAddr::new(ip, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for text in ["127.0.0.1:80", "[::1]:9"] {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(socket_addr(&multiaddr(address)), Some(address));
        }
        assert_eq!(socket_addr("/dns4/example.org/tcp/1"), None);
        assert_eq!(socket_addr("/ip4/127.0.0.1/udp/1/quic-v1"), None);
    }

    #[test]
    fn sizes_are_understood() {
        let config = sync_config();
        assert_eq!(config.max_response_size.as_u64(), SYNC_RESPONSE_BYTES_MAX);
    }
}
