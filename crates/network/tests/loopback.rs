//! Hosts on loopback ports that the system chose. Every wait has a deadline and waits for an event.

#![allow(clippy::unwrap_used, reason = "a test says what failed by failing")]

use std::io;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, StreamExt as _};
use libp2p::StreamProtocol;
use libp2p::request_response::{self, Codec};
use openmesh_network::{
    AskError, Config, FetchError, Handle, Incoming, Multiaddr, NetworkError, PeerId, Provider, Verdict, Visit,
    VisitError, start,
};
use openmesh_primitives::ContentId;
use prometheus_client::registry::Registry;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

const DEADLINE: Duration = Duration::from_secs(120);

struct Node {
    handle: Handle,
    incoming: mpsc::Receiver<Incoming>,
    cancel: CancellationToken,
    task: JoinHandle<Result<(), NetworkError>>,
    registry: Registry,
}

fn nothing() -> Provider {
    Arc::new(|_| None)
}

fn holding(blocks: Vec<Vec<u8>>) -> Provider {
    Arc::new(move |cid| blocks.iter().find(|b| cid.matches(b)).cloned())
}

async fn node(seed: u8, chain_id: u64, peers: &[&Node], provider: Provider) -> Node {
    let config = Config {
        listen: vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()],
        peers: peers.iter().flat_map(|n| n.handle.listen_addrs()).collect(),
        chain_id,
        key_seed: [seed; 32],
    };
    let cancel = CancellationToken::new();
    let mut registry = Registry::default();
    let (handle, task) = start(config, provider, cancel.clone(), &mut registry).await.unwrap();
    let incoming = handle.incoming().unwrap();
    assert!(handle.incoming().is_none());
    Node { handle, incoming, cancel, task, registry }
}

/// Publishes numbered envelopes until the receiver has got one: connecting and subscribing take their time and have
/// no event of their own at this interface.
async fn until_heard(from: &Handle, to: &mut mpsc::Receiver<Incoming>) -> Incoming {
    let heard = async {
        for n in 0u32.. {
            from.publish(Bytes::from(format!("hello {n}"))).unwrap();
            if let Ok(incoming) = timeout(Duration::from_millis(50), to.recv()).await {
                return incoming.unwrap();
            }
        }
        unreachable!()
    };
    timeout(DEADLINE, heard).await.expect("gossip in time")
}

async fn next_with(to: &mut mpsc::Receiver<Incoming>, bytes: &[u8]) -> Incoming {
    let found = async {
        loop {
            let incoming = to.recv().await.expect("the host runs");
            if incoming.bytes == bytes {
                return incoming;
            }
        }
    };
    timeout(DEADLINE, found).await.expect("the envelope in time")
}

async fn fetch_when_connected(from: &Handle, cid: ContentId) -> Result<Vec<u8>, FetchError> {
    timeout(DEADLINE, async {
        loop {
            match from.fetch(cid).await {
                Err(FetchError::NoPeers) => tokio::task::yield_now().await,
                other => return other,
            }
        }
    })
    .await
    .expect("an answer in time")
}

fn metric(node: &Node, line: &str) -> bool {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &node.registry).unwrap();
    text.lines().any(|l| l == line)
}

/// A counter; 0 where it is not there.
fn value(node: &Node, name: &str) -> u64 {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &node.registry).unwrap();
    let line = text.lines().find(|line| line.split(' ').next() == Some(name));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gossip_reaches_all_through_a_middle_that_accepts_it() {
    // a - b - c: what a says reaches c only if b accepts it.
    let mut b = node(2, 1, &[], nothing()).await;
    let a = node(1, 1, &[&b], nothing()).await;
    let mut c = node(3, 1, &[&b], nothing()).await;
    until_heard(&a.handle, &mut b.incoming).await;
    until_heard(&b.handle, &mut c.incoming).await;

    a.handle.publish(Bytes::from_static(b"worthless")).unwrap();
    let worthless = next_with(&mut b.incoming, b"worthless").await;
    assert_eq!(worthless.from, a.handle.peer_id());
    b.handle.report(&worthless, Verdict::Ignore).await;
    a.handle.publish(Bytes::from_static(b"precious")).unwrap();
    let precious = next_with(&mut b.incoming, b"precious").await;
    b.handle.report(&precious, Verdict::Accept).await;

    let mut seen = Vec::new();
    let arrived = timeout(DEADLINE, async {
        loop {
            let incoming = c.incoming.recv().await.unwrap();
            seen.push(incoming.bytes.clone());
            if incoming.bytes == b"precious"[..] {
                return incoming;
            }
        }
    })
    .await
    .expect("forwarded in time");
    assert_eq!(arrived.from, b.handle.peer_id());
    assert!(seen.iter().all(|bytes| bytes != &b"worthless"[..]), "an ignored envelope was forwarded");
    assert!(matches!(a.handle.publish(vec![0; 600_000].into()), Err(openmesh_network::PublishError::TooLong(600_000))));
}

/// Publishes envelopes of this kind and reports each as it is said, until there have been so many.
async fn publish_and_report(from: &Node, to: &mut Node, count: u32, length: usize, verdict: Verdict) {
    for n in 0..count {
        let mut envelope = vec![0; length];
        envelope[..4].copy_from_slice(&n.to_be_bytes());
        from.handle.publish(envelope.clone().into()).unwrap();
        let incoming = next_with(&mut to.incoming, &envelope).await;
        to.handle.report(&incoming, verdict).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_sends_only_worthless_envelopes_is_shut_out() {
    let mut b = node(2, 1, &[], nothing()).await;
    let a = node(1, 1, &[&b], nothing()).await;
    until_heard(&a.handle, &mut b.incoming).await;
    // Short ones are one point, and what is accepted takes back what an honest neighbour may have had wrong.
    publish_and_report(&a, &mut b, 200, 100, Verdict::Worthless).await;
    publish_and_report(&a, &mut b, 200, 101, Verdict::Accept).await;
    publish_and_report(&a, &mut b, 200, 102, Verdict::Worthless).await;
    assert_eq!(b.handle.peers(), vec![a.handle.peer_id()]);
    // Long ones have more signatures in them.
    publish_and_report(&a, &mut b, 4, 16 * 16 * 1024, Verdict::Worthless).await;
    timeout(DEADLINE, async {
        while !b.handle.peers().is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("shut out in time");
    assert!(metric(&b, "network_envelopes_worthless_total 404"));
}

/// Points are counted over disconnections: hanging up before the limit is no amnesty.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_comes_back_finds_its_points_again() {
    let mut b = node(2, 1, &[], nothing()).await;
    for round in 0..2 {
        let a = node(1, 1, &[&b], nothing()).await;
        until_heard(&a.handle, &mut b.incoming).await;
        // Twelve points each: eleven envelopes are half of what shuts a peer out.
        let length = 12 * 16 * 1024 - round;
        publish_and_report(&a, &mut b, 11, length, Verdict::Worthless).await;
        if round == 0 {
            assert_eq!(b.handle.peers(), vec![a.handle.peer_id()], "not enough yet");
            a.cancel.cancel();
            a.task.await.unwrap().unwrap();
        }
        timeout(DEADLINE, async {
            while !b.handle.peers().is_empty() {
                tokio::task::yield_now().await;
            }
        })
        .await
        .expect("gone in time");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_has_its_own_room_and_no_more() {
    let mut b = node(2, 1, &[], nothing()).await;
    let flood = node(1, 1, &[&b], nothing()).await;
    let quiet = node(3, 1, &[&b], nothing()).await;
    until_heard(&flood.handle, &mut b.incoming).await;
    until_heard(&quiet.handle, &mut b.incoming).await;
    while b.incoming.try_recv().is_ok() {}
    // Nobody reads. 4 MiB are eight of the longest.
    for n in 0..20u8 {
        flood.handle.publish(vec![n; 512 * 1024].into()).unwrap();
    }
    timeout(DEADLINE, async {
        while value(&b, "network_envelopes_dropped_total") < 12 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("dropped in time");
    quiet.handle.publish(Bytes::from_static(b"quiet")).unwrap();
    let mut of_flood = 0;
    timeout(DEADLINE, async {
        loop {
            let incoming = b.incoming.recv().await.unwrap();
            of_flood += usize::from(incoming.bytes.len() > 1_000);
            if incoming.bytes == b"quiet"[..] {
                return;
            }
        }
    })
    .await
    .expect("the quiet one is heard");
    assert!((1..=8).contains(&of_flood), "{of_flood}");
    // What was read makes room again.
    flood.handle.publish(vec![99; 512 * 1024].into()).unwrap();
    next_with(&mut b.incoming, &[99; 512 * 1024]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocks_are_fetched_and_wrong_bytes_refused() {
    let block = vec![42; 3_000_000];
    let cid = ContentId::of(&block);
    // The liar gets the identity that is asked first.
    let a = node(1, 1, &[], nothing()).await;
    let liar: Provider = Arc::new(|_| Some(b"something else".to_vec()));
    let honest = holding(vec![block.clone()]);
    let first_is_lower = peer_of(11) < peer_of(12);
    let (liar_seed, honest_seed) = if first_is_lower { (11, 12) } else { (12, 11) };
    let liar = node(liar_seed, 1, &[&a], liar).await;
    let honest = node(honest_seed, 1, &[&a], honest).await;
    timeout(DEADLINE, async {
        while a.handle.peers().len() < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("connected in time");

    assert_eq!(a.handle.fetch(cid).await, Ok(block));
    assert!(metric(&a, "network_blocks_refused_total 1"));
    timeout(DEADLINE, async {
        while a.handle.peers() != vec![honest.handle.peer_id()] {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the liar is shut out");
    let missing = a.handle.fetch(ContentId::of(b"nobody has this")).await;
    assert_eq!(missing, Err(FetchError::NotFound { asked: 1, wrong: 0, failed: 0 }));
    drop(liar);
}

fn peer_of(seed: u8) -> PeerId {
    let key = libp2p::identity::Keypair::ed25519_from_bytes([seed; 32]).unwrap();
    key.public().to_peer_id()
}

/// Asks for blocks, and reads of each answer only the first byte, which says what it is.
#[derive(Clone)]
struct Lazy(mpsc::UnboundedSender<u8>);

#[async_trait]
impl Codec for Lazy {
    type Protocol = StreamProtocol;
    type Request = ContentId;
    type Response = ();

    async fn read_request<T>(&mut self, _: &StreamProtocol, _: &mut T) -> io::Result<ContentId>
    where
        T: AsyncRead + Unpin + Send,
    {
        futures::future::pending().await
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<()>
    where
        T: AsyncRead + Unpin + Send,
    {
        let mut tag = [0; 1];
        io.read_exact(&mut tag).await?;
        self.0.send(tag[0]).map_err(io::Error::other)?;
        futures::future::pending().await
    }

    async fn write_request<T>(&mut self, _: &StreamProtocol, io: &mut T, cid: ContentId) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        io.write_all(cid.digest().as_bytes()).await
    }

    async fn write_response<T>(&mut self, _: &StreamProtocol, _: &mut T, (): ()) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        Ok(())
    }
}

/// A peer that takes answers and does not read them.
struct SlowReader {
    ask: mpsc::UnboundedSender<ContentId>,
    tags: mpsc::UnboundedReceiver<u8>,
    task: JoinHandle<()>,
}

impl SlowReader {
    fn connect(seed: u8, to: &Node) -> SlowReader {
        let (tag, tags) = mpsc::unbounded_channel();
        let (ask, mut asked) = mpsc::unbounded_channel::<ContentId>();
        let key = libp2p::identity::Keypair::ed25519_from_bytes([seed; 32]).unwrap();
        let protocol = StreamProtocol::new("/openmesh/1/block/1");
        let blocks = request_response::Behaviour::with_codec(
            Lazy(tag),
            [(protocol, request_response::ProtocolSupport::Outbound)],
            request_response::Config::default(),
        );
        let mut swarm = libp2p::SwarmBuilder::with_existing_identity(key)
            .with_tokio()
            .with_tcp(libp2p::tcp::Config::default(), libp2p::noise::Config::new, libp2p::yamux::Config::default)
            .unwrap()
            .with_behaviour(|_| blocks)
            .unwrap()
            .build();
        let (peer, address) = (to.handle.peer_id(), to.handle.listen_addrs()[0].clone());
        swarm.add_peer_address(peer, address);
        let task = tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = swarm.select_next_some() => {}
                    Some(cid) = asked.recv() => drop(swarm.behaviour_mut().send_request(&peer, cid)),
                }
            }
        });
        SlowReader { ask, tags, task }
    }

    /// First byte of the answer: 1 is a block, 2 is busy.
    async fn ask(&mut self, cid: ContentId) -> u8 {
        self.ask.send(cid).unwrap();
        timeout(DEADLINE, self.tags.recv()).await.expect("an answer in time").unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_gets_some_blocks_at_a_time_and_others_theirs() {
    // More than what a connection takes without being read.
    let block = vec![42; 3_000_000];
    let cid = ContentId::of(&block);
    let b = node(2, 1, &[], holding(vec![block.clone()])).await;
    for life in 0..2 {
        let mut slow = SlowReader::connect(9, &b);
        for n in 0..4 {
            assert_eq!(slow.ask(cid).await, 1, "answer {n} in life {life}");
        }
        // They have been read from the disk and wait to be sent.
        assert_eq!(slow.ask(cid).await, 2, "more than its share");
        // When it goes away, its places are free again.
        slow.task.abort();
        timeout(DEADLINE, async {
            while b.handle.peers().contains(&peer_of(9)) {
                tokio::task::yield_now().await;
            }
        })
        .await
        .expect("gone in time");
    }
    let mut slow = SlowReader::connect(9, &b);
    for _ in 0..4 {
        slow.ask(cid).await;
    }
    // Whoever reads is served, as often as it asks.
    let a = node(1, 1, &[&b], nothing()).await;
    for _ in 0..20 {
        assert_eq!(fetch_when_connected(&a.handle, cid).await, Ok(block.clone()));
    }
    slow.task.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_comes_back_is_dialled_again() {
    let block = b"persistent".to_vec();
    let cid = ContentId::of(&block);
    let b = node(2, 1, &[], holding(vec![block.clone()])).await;
    let a = node(1, 1, &[&b], nothing()).await;
    assert_eq!(fetch_when_connected(&a.handle, cid).await, Ok(block.clone()));
    let address: Multiaddr = b.handle.listen_addrs()[0].clone();
    b.cancel.cancel();
    b.task.await.unwrap().unwrap();
    drop(b.handle);

    let config = Config { listen: vec![address], peers: vec![], chain_id: 1, key_seed: [2; 32] };
    let (again, _task) =
        start(config, holding(vec![block.clone()]), CancellationToken::new(), &mut Registry::default()).await.unwrap();
    // The old connection may still look alive for the first tries.
    let fetched = timeout(DEADLINE, async {
        loop {
            if let Ok(bytes) = a.handle.fetch(cid).await {
                return bytes;
            }
            tokio::task::yield_now().await;
        }
    });
    assert_eq!(fetched.await.expect("dialled again in time"), block);
    assert_eq!(again.peers(), vec![a.handle.peer_id()]);
}

/// A question goes to the peer that is named, and its answer comes back unread.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn questions_are_answered_by_whoever_is_asked() {
    let there = node(61, 7, &[], nothing()).await;
    let here = node(62, 7, &[&there], nothing()).await;
    let peer = there.handle.peer_id();
    assert_eq!(openmesh_network::peer_id([61; 32]).unwrap(), peer);
    let connected = async {
        while !here.handle.peers().contains(&peer) {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, connected).await.expect("connected in time");
    assert_eq!(here.handle.ask(peer, vec![1]).await, Err(AskError::Missing), "nothing to answer from yet");
    there.handle.answer_with(Arc::new(|question: &[u8]| match question {
        [1] => Some(vec![9; 3_000_000]),
        [2] => Some(vec![0; 64 << 20]),
        _ => None,
    }));
    assert_eq!(here.handle.ask(peer, vec![1]).await, Ok(vec![9; 3_000_000]));
    assert_eq!(here.handle.ask(peer, vec![2]).await, Err(AskError::Missing), "longer than any answer may be");
    assert_eq!(here.handle.ask(peer, vec![0; 65]).await, Err(AskError::TooLong(65)));
    assert_eq!(here.handle.ask(PeerId::random(), vec![1]).await, Err(AskError::Silent));
    // Many at once: the peer answers some and says that it is busy to the others, and none hangs.
    let many = (0..12).map(|_| here.handle.ask(peer, vec![1]));
    let outcomes = futures::future::join_all(many).await;
    assert!(outcomes.iter().any(Result::is_ok));
    assert!(outcomes.iter().all(|o| matches!(o, Ok(_) | Err(AskError::Busy))), "{outcomes:?}");
    let again = async {
        loop {
            match here.handle.ask(peer, vec![1]).await {
                Err(AskError::Busy) => {}
                other => return other,
            }
        }
    };
    let again = timeout(DEADLINE, again).await.expect("places come back");
    assert_eq!(again.map(|bytes| bytes.len()), Ok(3_000_000));
    here.handle.shut_out(peer).await;
    assert_eq!(here.handle.ask(peer, vec![1]).await, Err(AskError::Silent));
}

/// Whoever does not know the chain is answered too, and does not take part (clause O-5 of `docs/spec/operators.md`).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_visitor_of_any_chain_is_answered() {
    let there = node(71, 9, &[], nothing()).await;
    let address = there.handle.listen_addrs()[0].clone();
    let mut early = Visit::begin(&address).await.expect("a host");
    assert_eq!(early.ask(vec![1]).await, Err(VisitError::Missing), "nothing to answer from yet");
    let greeter = |question: &[u8]| match question {
        [1] => Some(vec![9; 3_000_000]),
        [3] => Some(vec![9; 5_000_000]),
        [4] => Some(vec![9; 1_024]),
        [5] => Some(vec![9; 1_025]),
        _ => None,
    };
    there.handle.greet_with(Arc::new(greeter), |question| matches!(question, [4] | [5]));
    let mut visit = Visit::begin(&address).await.expect("a host");
    assert_eq!(visit.peer_id(), there.handle.peer_id());
    assert_eq!(visit.ask(vec![1]).await, Ok(vec![9; 3_000_000]));
    assert_eq!(visit.ask(vec![2]).await, Err(VisitError::Missing));
    assert_eq!(visit.ask(vec![4]).await, Ok(vec![9; 1_024]));
    assert_eq!(visit.ask(vec![5]).await, Err(VisitError::Missing), "no short answer is longer");
    assert_eq!(visit.ask(vec![1]).await, Ok(vec![9; 3_000_000]), "one connection bears several questions");
    assert_eq!(visit.ask(vec![0; 65]).await, Err(VisitError::TooLong(65)));
    let long = visit.ask(vec![3]).await;
    assert!(
        matches!(&long, Err(VisitError::Silent(why)) if why.contains("at most")),
        "more than any part of a genesis"
    );
    // The questions of the chain are apart: nothing answers them here.
    let here = node(72, 9, &[&there], nothing()).await;
    let peer = there.handle.peer_id();
    let connected = async {
        while !here.handle.peers().contains(&peer) {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, connected).await.expect("connected in time");
    assert_eq!(here.handle.ask(peer, vec![1]).await, Err(AskError::Missing));
}

/// Whoever holds the places of long answers, under new identities each time, keeps nobody from asking who is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_there_is_answered_whoever_holds_the_places() {
    let there = node(73, 9, &[], nothing()).await;
    let address = there.handle.listen_addrs()[0].clone();
    let (came, mut held) = mpsc::unbounded_channel();
    let gate = Arc::new((Mutex::new(false), Condvar::new()));
    let closed = Arc::clone(&gate);
    let greeter = move |question: &[u8]| {
        if question == [1] {
            // Held until the gate opens, as by one that does not read.
            let _ = came.send(());
            let is_closed = |open: &mut bool| !*open;
            drop(closed.1.wait_timeout_while(closed.0.lock().unwrap(), DEADLINE, is_closed).unwrap());
        }
        Some(question.to_vec())
    };
    there.handle.greet_with(Arc::new(greeter), |question| question == [0]);
    let hold = |address: Multiaddr| async move { Visit::begin(&address).await.expect("a host").ask(vec![1]).await };
    let holders: Vec<_> = (0..4).map(|_| tokio::spawn(hold(address.clone()))).collect();
    for _ in &holders {
        timeout(DEADLINE, held.recv()).await.expect("a place").unwrap();
    }
    let mut newcomer = Visit::begin(&address).await.expect("a host");
    assert_eq!(newcomer.ask(vec![1]).await, Err(VisitError::Busy), "as many as one address has at a time");
    assert_eq!(newcomer.ask(vec![0]).await, Ok(vec![0]));
    *gate.0.lock().unwrap() = true;
    gate.1.notify_all();
    let served = async {
        loop {
            match newcomer.ask(vec![1]).await {
                Err(VisitError::Busy) => {}
                other => return other,
            }
        }
    };
    assert_eq!(timeout(DEADLINE, served).await.expect("places come back"), Ok(vec![1]));
    for holder in holders {
        // Answered, or given up where this machine was slow.
        let _ = holder.await.unwrap();
    }
}

#[tokio::test]
async fn a_visit_to_nobody_says_why() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let address: Multiaddr = format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap();
    let error = Visit::begin(&address).await.err().expect("nobody");
    assert!(matches!(&error, VisitError::Unreachable(why) if !why.contains("/ip4/")), "{error}");
    // One who listens and is no host.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address: Multiaddr = format!("/ip4/127.0.0.1/tcp/{}", silent.local_addr().unwrap().port()).parse().unwrap();
    let error = Visit::begin(&address).await.err().expect("no host");
    assert!(matches!(&error, VisitError::Unreachable(_)), "{error}");
}

/// A peer is asked for what it announced, and what it does not deliver is held against it until it loses its place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn announced_things_are_delivered_or_cost_the_announcer_its_place() {
    let mut b = node(2, 1, &[], nothing()).await;
    let a = node(1, 1, &[&b], nothing()).await;
    let announced = until_heard(&a.handle, &mut b.incoming).await;
    b.handle.report(&announced, Verdict::Ignore).await;
    let want = |bytes: &[u8]| {
        let (handle, peer, bytes) = (b.handle.clone(), announced.from, bytes.to_vec());
        async move { timeout(DEADLINE, handle.want(peer, bytes)).await.expect("an answer in time") }
    };
    assert_eq!(want(b"early").await, Err(AskError::Missing), "it answers nothing yet");
    let deliver = |bytes: &[u8]| match bytes {
        b"long" => Some(vec![7; 600_000]),
        b"full" => Some(vec![7; 512 * 1024]),
        bytes => bytes.strip_prefix(b"want ").map(<[u8]>::to_vec),
    };
    a.handle.answer_wants_with(Arc::new(deliver));
    assert_eq!(want(b"want this").await, Ok(b"this".to_vec()));
    assert_eq!(want(b"full").await.map(|bytes| bytes.len()), Ok(512 * 1024));
    assert_eq!(want(b"long").await, Err(AskError::Missing), "no envelope is longer");
    assert_eq!(want(b"unknown").await, Err(AskError::Missing));
    assert_eq!(want(&[0; 40_000]).await, Err(AskError::TooLong(40_000)));
    // As much silence as a peer has credit for, but one.
    for _ in 0..31 {
        b.handle.judge(announced.from, 1, Verdict::Reject).await;
    }
    assert_eq!(want(b"want more").await, Ok(b"more".to_vec()));
    b.handle.judge(announced.from, 1, Verdict::Reject).await;
    timeout(DEADLINE, async {
        while !b.handle.peers().is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("shut out in time");
    assert_eq!(want(b"want more").await, Err(AskError::Silent));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_of_another_chain_part() {
    let b = node(2, 1, &[], nothing()).await;
    let a = node(1, 2, &[&b], nothing()).await;
    // Connected for the moment that it takes to say who one is, then no more.
    let parted = timeout(DEADLINE, async {
        while !metric(&b, "network_peers 1") && b.handle.peers().is_empty() {
            tokio::task::yield_now().await;
        }
        while !b.handle.peers().is_empty() {
            tokio::task::yield_now().await;
        }
    });
    parted.await.expect("disconnected in time");
    drop(a);
}

#[tokio::test]
async fn a_taken_port_is_an_error_with_its_address() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("/ip4/127.0.0.1/tcp/{}", taken.local_addr().unwrap().port());
    let config = Config { listen: vec![address.parse().unwrap()], peers: vec![], chain_id: 1, key_seed: [1; 32] };
    let error = start(config, nothing(), CancellationToken::new(), &mut Registry::default()).await.unwrap_err();
    assert!(error.to_string().contains(&address), "{error}");
}
