//! The processor time of carrying transfers between hosts: hosts of the product's own network in this process, all joined with
//! each other as the validators are, that announce, ask for bodies and announce what they got, as the product's nodes do. What the
//! mempool does with the bodies is measured elsewhere.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use openmesh_engine::relay::{ANNOUNCED_MAX, wire};
use openmesh_network::{Config, Handle, Incoming, PeerId, Provider, Verdict, start};
use openmesh_primitives::{Digest, canonical, sha256};
use prometheus_client::registry::Registry;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::proc::process_time;

/// Number of a network of nobody else.
const CHAIN_ID: u64 = 84_300;
/// Longest wait for anything here.
const DEADLINE: Duration = Duration::from_secs(30);
/// Pause between two tries to be heard by everybody: connecting and subscribing have no event of their own.
const HELLO: Duration = Duration::from_millis(100);
/// Most rounds in which every host hands one batch in: enough for an average.
const ROUNDS_MAX: usize = 500;

/// A host's announcement: hashes, and the envelope with their bodies.
#[derive(Clone, Default)]
struct Batch {
    hashes: Vec<Digest>,
    envelope: Bytes,
}

/// A host and what comes to it.
struct Member {
    handle: Handle,
    incoming: mpsc::Receiver<Incoming>,
    /// Its answer to whoever asks.
    batch: Arc<Mutex<Batch>>,
    announced: u64,
    _stop: DropGuard,
}

/// Carries transfers in batches of so many, one from each host at a time; returns the microseconds of a transfer at one host.
///
/// # Errors
/// A host does not start, or a batch does not reach everybody in time.
pub async fn run(hosts: usize, transfers: &[Vec<u8>], each: usize) -> anyhow::Result<f64> {
    if hosts < 2 {
        return Ok(0.0);
    }
    // Every host has something to announce, and no more than one announcement names.
    let each = each.clamp(1, (transfers.len() / hosts).clamp(1, ANNOUNCED_MAX));
    let mut members = meet(hosts).await?;
    let batch = |part: &[Vec<u8>]| Batch {
        hashes: part.iter().map(|bytes| sha256(&[bytes])).collect(),
        envelope: canonical::encode(&part.iter().map(Vec::as_slice).collect::<Vec<_>>()).into(),
    };
    let batches: Vec<Batch> = transfers.chunks(each).take(ROUNDS_MAX * hosts).map(batch).collect();
    let before = process_time();
    let mut carried = 0;
    // A last round in which some hosts have nothing is left out.
    for round in batches.chunks_exact(hosts) {
        carried += round.iter().map(|batch| batch.hashes.len()).sum::<usize>();
        timeout(DEADLINE, exchange(&mut members, round)).await.context("a batch did not reach everybody")??;
    }
    let took = process_time() - before;
    Ok(took.as_secs_f64() * 1e6 / (carried.max(1) * hosts) as f64)
}

/// Every host announces its batch and takes those of the others; then it announces what it has got, which all others have as well.
async fn exchange(members: &mut [Member], round: &[Batch]) -> anyhow::Result<()> {
    let others = members.len() - 1;
    for (member, batch) in members.iter_mut().zip(round) {
        *member.batch.lock().unwrap_or_else(PoisonError::into_inner) = batch.clone();
        member.announce(&batch.hashes)?;
    }
    let mut got: Vec<Vec<Digest>> = Vec::new();
    for member in members.iter_mut() {
        let mut of_member = Vec::new();
        for _ in 0..others {
            let (from, announcement) = member.hear().await?;
            let (_, hashes) = wire::announced(&announcement).context("no announcement")?;
            member.handle.want(from, wire::want(&hashes)).await?;
            of_member.extend(hashes);
        }
        got.push(of_member);
    }
    for (member, hashes) in members.iter_mut().zip(&got) {
        member.announce(hashes)?;
    }
    for member in members.iter_mut() {
        for _ in 0..others {
            member.hear().await?;
        }
    }
    Ok(())
}

impl Member {
    fn announce(&mut self, hashes: &[Digest]) -> anyhow::Result<()> {
        self.announced += 1;
        let name = self.handle.peer_id().to_bytes();
        Ok(self.handle.publish(wire::announcement(&name, self.announced, hashes))?)
    }

    /// The next announcement, which nobody forwards.
    async fn hear(&mut self) -> anyhow::Result<(PeerId, Bytes)> {
        let incoming = self.incoming.recv().await.context("a host has stopped")?;
        self.handle.report(&incoming, Verdict::Ignore).await;
        Ok((incoming.from, incoming.bytes))
    }
}

/// Starts the hosts, each a peer of those before it, and waits until each is heard by all others.
async fn meet(hosts: usize) -> anyhow::Result<Vec<Member>> {
    let mut members: Vec<Member> = Vec::new();
    for number in 0..hosts {
        let config = Config {
            listen: vec!["/ip4/127.0.0.1/tcp/0".parse()?],
            peers: members.iter().flat_map(|member| member.handle.listen_addrs()).collect(),
            chain_id: CHAIN_ID,
            key_seed: [u8::try_from(number + 1)?; 32],
        };
        let nothing: Provider = Arc::new(|_| None);
        let stop = CancellationToken::new();
        let (handle, _) = start(config, nothing, stop.clone(), &mut Registry::default()).await?;
        let incoming = handle.incoming().context("a host without a stream")?;
        let batch = Arc::new(Mutex::new(Batch::default()));
        let answer = Arc::clone(&batch);
        handle.answer_wants_with(Arc::new(move |_: &[u8]| {
            Some(answer.lock().unwrap_or_else(PoisonError::into_inner).envelope.to_vec())
        }));
        members.push(Member { handle, incoming, batch, announced: 0, _stop: stop.drop_guard() });
    }
    timeout(DEADLINE, greet(&mut members)).await.context("the hosts do not find each other")??;
    Ok(members)
}

/// Greets until everybody was heard by everybody, then lets the last greetings pass.
async fn greet(members: &mut [Member]) -> anyhow::Result<()> {
    let others = members.len() - 1;
    let mut heard: Vec<BTreeSet<u8>> = vec![BTreeSet::new(); members.len()];
    for turn in 0u32.. {
        if heard.iter().all(|of| of.len() == others) {
            break;
        }
        for (number, member) in members.iter().enumerate() {
            let greeting = [[u8::try_from(number)?].as_slice(), &turn.to_be_bytes()].concat();
            member.handle.publish(greeting.into())?;
        }
        drain(members, &mut heard).await?;
    }
    drain(members, &mut heard).await
}

/// Takes in what comes until nothing has come for a while.
async fn drain(members: &mut [Member], heard: &mut [BTreeSet<u8>]) -> anyhow::Result<()> {
    for (member, heard) in members.iter_mut().zip(heard) {
        while let Ok(said) = timeout(HELLO, member.hear()).await {
            heard.extend(said?.1.first());
        }
    }
    Ok(())
}
