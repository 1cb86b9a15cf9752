//! A hostile peer of consensus that speaks the real protocol to a running validator, beside honest load.
//!
//! Ten kinds: garbage and oversized messages in each of the topics, votes and proposals with signatures that do not verify, of
//! strangers, again and again the same, of heights far away, parts of streams that begin and never end, tips that nobody has,
//! requests for blocks of every size, requests that are none.

use bytes::Bytes;
use malachite_app::consensus::{LivenessMsg, SignedConsensusMsg};
use malachite_app::streaming::StreamContent;
use malachite_app::types::Keypair;
use malachite_app::types::codec::Codec;
use malachite_app::types::core::{NilOrVal, Round, SignedMessage, VoteType};
use malachite_app::types::streaming::{StreamId, StreamMessage};
use malachite_network::handle::CtrlHandle;
use malachite_network::{Channel, ChannelNames, ProtocolNames, TransportProtocol};
use malachite_sync::{Request, Status, ValueRequest};
use openmesh_ledger::{
    AccountTransaction, AccountsAction, Action, Attestation, ChunkClaim, Genesis, GenesisValidator, Origin, Params,
    SourceKind, SourceSpec, Transaction, WindowsParams,
};
use openmesh_primitives::{
    AccountKey, Address, Amount, ContentId, Digest, Timestamp, ValidatorKey, ValidatorSignature,
};
use tempfile::TempDir;

use super::*;
use crate::consensus::codec::BorshCodec;
use crate::consensus::signing::vote_bytes;
use crate::consensus::types::{Address as Voter, BlockId, Height, Part, Proposal, Vote};

const CHAIN_ID: u64 = 99;
/// Longest wait for anything on a busy machine.
const DEADLINE: Duration = Duration::from_secs(600);
/// Pause between two honest transfers, in milliseconds: far slower than a node can be.
const HONEST_MS: u64 = 50;
/// Of each hundred honest transfers so many must be committed.
const HONEST_PERCENT_MIN: usize = 80;
/// The process may grow by so much, bytes: the flood itself, prepared here, is in it.
const GROWTH_BYTES_MAX: u64 = 512 << 20;
/// Bytes of an oversized message: more than any topic takes.
const OVERSIZED_BYTES: usize = 5 << 20;

/// The kinds of hostile messages.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Garbage,
    Oversized,
    BadSignature,
    Stranger,
    Duplicate,
    FarHeight,
    EndlessStream,
    FalseTip,
    BlockRequest,
    FalseRequest,
}

const KINDS: [Kind; 10] = [
    Kind::Garbage,
    Kind::Oversized,
    Kind::BadSignature,
    Kind::Stranger,
    Kind::Duplicate,
    Kind::FarHeight,
    Kind::EndlessStream,
    Kind::FalseTip,
    Kind::BlockRequest,
    Kind::FalseRequest,
];

fn validator() -> ValidatorKey {
    ValidatorKey::from_seed([1; 32])
}

fn account() -> AccountKey {
    AccountKey::from_bytes([7; 32]).unwrap()
}

fn genesis() -> Genesis {
    Genesis {
        chain_id: CHAIN_ID,
        name: "besieged".to_owned(),
        time: Timestamp::now(),
        validators: vec![GenesisValidator {
            public_key: validator().public(),
            power: 1,
            name: "v".into(),
            payout: None,
        }],
        accounts: vec![(account().address(), Amount::open(1_000_000))],
        sources: vec![SourceSpec {
            id: "simulated".to_owned(),
            exchange: "simulated".to_owned(),
            kind: SourceKind::Market,
            symbols: vec!["BTC.USDT".to_owned()],
            feeds: vec!["trades".to_owned()],
            window_ms: 1_000,
            origin: Origin::Simulated,
        }],
        source_owners: Default::default(),
        allocation: Default::default(),
        params: Params {
            windows: WindowsParams { commitments: false, ..WindowsParams::default() },
            ..Params::default()
        },
    }
}

/// A network of the attacker's own, with the names of the validator's.
fn attacker(address: std::net::SocketAddr) -> (malachite_network::NetworkIdentity, malachite_network::Config) {
    let name = |what: &str| format!("/openmesh/{CHAIN_ID}/consensus/{what}/1");
    let multiaddr = |text: String| text.parse().unwrap();
    let config = malachite_network::Config {
        listen_addr: multiaddr("/ip4/127.0.0.1/tcp/0".to_owned()),
        persistent_peers: vec![multiaddr(format!("/ip4/127.0.0.1/tcp/{}", address.port()))],
        persistent_peers_only: false,
        discovery: Default::default(),
        idle_connection_timeout: Duration::from_secs(60),
        transport: TransportProtocol::Tcp,
        gossipsub: Default::default(),
        pubsub_protocol: Default::default(),
        channel_names: ChannelNames {
            consensus: name("votes"),
            proposal_parts: name("parts"),
            sync: name("status"),
            liveness: name("liveness"),
        },
        rpc_max_size: 64 << 20,
        pubsub_max_size: 64 << 20,
        pubsub_max_size_per_topic: Default::default(),
        sync_request_timeout: Duration::from_secs(10),
        sync_max_request_size: 16 << 20,
        sync_parallel_requests: 64,
        enable_consensus: true,
        enable_sync: true,
        protocol_names: ProtocolNames {
            consensus: name("main"),
            discovery_kad: name("discovery-kad"),
            discovery_regres: name("discovery-reqres"),
            sync: name("sync"),
            validator_proof: name("validator-proof"),
        },
    };
    let identity = malachite_network::NetworkIdentity::new(
        "attacker".to_owned(),
        Keypair::ed25519_from_bytes([66; 32]).unwrap(),
        None,
    );
    (identity, config)
}

fn vote(key: &ValidatorKey, height: u64, round: u32, n: u64) -> SignedMessage<Context, Vote> {
    let vote = Vote {
        kind: if n.is_multiple_of(2) { VoteType::Prevote } else { VoteType::Precommit },
        height: Height(height),
        round: Round::new(round),
        value: NilOrVal::Val(BlockId(Digest([n as u8; 32]))),
        validator: Voter(key.public().address()),
    };
    let signature = key.sign(&vote_bytes(CHAIN_ID, &vote));
    SignedMessage::new(vote, signature)
}

fn encoded<T>(message: &T) -> Bytes
where
    BorshCodec: Codec<T>,
{
    BorshCodec.encode(message).ok().unwrap()
}

/// The `n`th message of a kind with its topic; `None` stands for a request.
fn hostile(kind: Kind, n: u64, tip: u64) -> (Option<Channel>, Bytes) {
    let topics = [Channel::Consensus, Channel::Liveness, Channel::ProposalParts, Channel::Sync];
    let topic = topics[n as usize % topics.len()];
    let stranger = ValidatorKey::from_seed([200; 32]);
    match kind {
        Kind::Garbage => (Some(topic), Bytes::from(n.to_be_bytes().repeat(1 + n as usize % 60))),
        Kind::Oversized => (Some(topic), Bytes::from(vec![1; OVERSIZED_BYTES])),
        Kind::BadSignature => {
            let mut signed = vote(&validator(), tip + 1, n as u32 % 4, n);
            signed.signature = ValidatorSignature([n as u8; 64]);
            (Some(Channel::Consensus), encoded(&SignedConsensusMsg::Vote(signed)))
        }
        Kind::Stranger if n.is_multiple_of(2) => {
            (Some(Channel::Liveness), encoded(&LivenessMsg::Vote(vote(&stranger, tip + 1, 0, n))))
        }
        Kind::Stranger => {
            let proposal = Proposal {
                height: Height(tip + 1),
                round: Round::new(0),
                value: BlockId(Digest([9; 32])),
                pol_round: Round::Nil,
                proposer: Voter(stranger.public().address()),
            };
            let signed = SignedMessage::new(proposal, ValidatorSignature([3; 64]));
            (Some(Channel::Consensus), encoded(&SignedConsensusMsg::Proposal(signed)))
        }
        Kind::Duplicate => {
            (Some(Channel::Consensus), encoded(&SignedConsensusMsg::Vote(vote(&stranger, tip + 1, 0, 0))))
        }
        Kind::FarHeight => {
            let far = vote(&stranger, tip + 1_000 + n, u32::MAX / 2, n);
            (Some(Channel::Consensus), encoded(&SignedConsensusMsg::Vote(far)))
        }
        Kind::EndlessStream => {
            let id = StreamId::new(Bytes::from(n.to_be_bytes().to_vec()));
            let content = StreamContent::Data(Part::Data(vec![7; 60_000]));
            (Some(Channel::ProposalParts), encoded(&StreamMessage::new(id, n % 50, content)))
        }
        Kind::FalseTip => {
            let peer_id = malachite_peer::PeerId::from_bytes(
                &Keypair::ed25519_from_bytes([66; 32]).unwrap().public().to_peer_id().to_bytes(),
            );
            let status = Status::<Context> {
                peer_id: peer_id.unwrap(),
                tip_height: Height(tip + 10 + n),
                history_min_height: Height(1),
            };
            (Some(Channel::Sync), encoded(&status))
        }
        Kind::BlockRequest => {
            let range = Height(1 + n % 3)..=Height(u64::MAX - n);
            (None, encoded(&Request::<Context>::ValueRequest(ValueRequest::new(range))))
        }
        Kind::FalseRequest => (None, Bytes::from(vec![n as u8; 1 + n as usize % 4_000])),
    }
}

/// Bytes of this process's memory.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 4_096
}

struct Honest {
    transfers: Vec<Digest>,
    attestations: Vec<Digest>,
}

/// Hands transfers in at a steady rate, and attests each window once.
async fn honest(handle: Handle, store: Store, stop: CancellationToken) -> Honest {
    let mut sent = Honest { transfers: Vec::new(), attestations: Vec::new() };
    let second = || Timestamp::now().millis() as u64 / 1_000;
    let (mut nonce, mut next) = (0, second());
    while stop.run_until_cancelled(tokio::time::sleep(Duration::from_millis(HONEST_MS))).await.is_some() {
        let action = Action::Accounts(AccountsAction::Transfer { to: Address([9; 20]), amount: Amount(1) });
        let fee = Params::default().accounts.fee_min;
        let signed = AccountTransaction::sign(&account(), CHAIN_ID, nonce, fee, action).unwrap();
        if let Ok(hash) = handle.submit(Transaction::Account(signed).encode()).await {
            sent.transfers.push(hash);
            nonce += 1;
        }
        if second() > next {
            let claim = ChunkClaim {
                stream: "BTC.USDT/trades".into(),
                cid: ContentId::of(&next.to_be_bytes()),
                bytes: 8,
                events: 1,
            };
            let epoch = openmesh_ledger::current_epoch(&store.state().unwrap()).unwrap();
            let own = Attestation::sign(&validator(), CHAIN_ID, "simulated", next, epoch, vec![claim], vec![]);
            let taken = handle.submit_own(Transaction::Attestation(own).encode()).await;
            sent.attestations.push(taken.expect("an own attestation is taken"));
            next += 1;
        }
    }
    sent
}

/// Sends so many hostile messages, each kind in turn; returns the most memory that this process had meanwhile, bytes.
async fn besiege(attacker: &CtrlHandle, peer: malachite_network::PeerId, store: &Store, count: u64) -> u64 {
    let mut most = 0;
    for n in 0..count / KINDS.len() as u64 {
        for kind in KINDS {
            // What is oversized costs the attacker as much as it costs us: one in a hundred.
            if matches!(kind, Kind::Oversized) && !n.is_multiple_of(100) {
                continue;
            }
            match hostile(kind, n, store.tip().height) {
                (Some(Channel::Sync), bytes) => attacker.broadcast(Channel::Sync, bytes).await.unwrap(),
                (Some(topic), bytes) => attacker.publish(topic, bytes).await.unwrap(),
                (None, bytes) => drop(attacker.sync_request(peer, bytes).await.unwrap()),
            }
        }
        most = most.max(resident());
    }
    most
}

async fn flood(count: u64) {
    let dir = TempDir::new().unwrap();
    let store = Store::open(dir.path()).unwrap();
    store.initialise(&genesis()).unwrap();
    let cancel = CancellationToken::new();
    let config = Config::new("besieged", dir.path().to_owned(), "127.0.0.1:0".parse().unwrap());
    let started = start(config, Some(validator()), store.clone(), cancel.clone(), &mut Registry::default()).await;
    let (handle, task) = started.unwrap();
    let peer = libp2p_peer(handle.peer_id());
    let (identity, attacker) = attacker(handle.listen_addr());
    let registry = malachite_app::metrics::SharedRegistry::new(Default::default(), None);
    let (mut heard, hostile_peer) = malachite_network::spawn(identity, attacker, registry).await.unwrap().split();
    // Connected, and in the topics of the validator.
    let mut subscribed = 0;
    while subscribed < 3 {
        if let Some(malachite_network::Event::PeerSubscribed(..)) = heard.recv().await {
            subscribed += 1;
        }
    }
    let (stop, begun) = (CancellationToken::new(), std::time::Instant::now());
    let load = tokio::spawn(honest(handle.clone(), store.clone(), stop.clone()));
    // An attacker that takes no answers would hold itself up.
    let listening = tokio::spawn(async move { while heard.recv().await.is_some() {} });
    let (memory, first) = (resident(), store.tip().height);
    let most = besiege(&hostile_peer, peer, &store, count).await.max(memory);
    let took = begun.elapsed();
    // At least some seconds of honest load.
    tokio::time::sleep_until(tokio::time::Instant::from_std(begun + Duration::from_secs(6))).await;
    stop.cancel();
    let sent = load.await.unwrap();
    let committed = |list: &[Digest]| list.iter().filter(|hash| store.transaction(hash).unwrap().is_some()).count();
    let mut blocks = handle.committed();
    let done = async {
        while committed(&sent.transfers) < sent.transfers.len()
            || committed(&sent.attestations) < sent.attestations.len()
        {
            let _ = blocks.recv().await;
        }
    };
    let _ = tokio::time::timeout(Duration::from_secs(20), done).await;
    let (transfers, attestations) = (committed(&sent.transfers), committed(&sent.attestations));
    let wanted =
        (begun.elapsed().as_millis() as u64).min(u64::try_from(took.as_millis()).unwrap().max(6_000)) / HONEST_MS;
    println!(
        "{count} hostile messages of {} kinds by a peer in {took:.1?}: heights {first} to {}, {transfers} of {} honest transfers \
         ({wanted} at an undisturbed pace), {attestations} of {} own attestations; memory grew by {} KiB",
        KINDS.len(),
        store.tip().height,
        sent.transfers.len(),
        sent.attestations.len(),
        most.saturating_sub(memory) / 1_024,
    );
    assert!(transfers * 100 >= sent.transfers.len() * HONEST_PERCENT_MIN && !sent.transfers.is_empty());
    assert!(attestations == sent.attestations.len() && attestations > 0, "an own attestation was missed");
    assert!(store.tip().height > first + 3, "blocks went on");
    assert!(most - memory < GROWTH_BYTES_MAX, "memory grew by {} bytes", most - memory);
    assert!(!task.is_finished(), "the engine runs");
    hostile_peer.shutdown().await.unwrap();
    listening.abort();
    cancel.cancel();
    task.await.unwrap().unwrap();
}

fn libp2p_peer(text: &str) -> malachite_network::PeerId {
    text.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_peer_stops_neither_blocks_nor_honest_load() {
    tokio::time::timeout(DEADLINE, flood(2_000)).await.expect("in time");
}

/// `make flood`: more with OPENMESH_FLOOD.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes; make flood"]
async fn a_hundred_thousand_messages_of_a_peer() {
    let count = std::env::var("OPENMESH_FLOOD").ok().and_then(|text| text.parse().ok()).unwrap_or(100_000);
    flood(count).await;
}
