//! The processor time of carrying transfers between hosts: hosts of the product's own network in this process, all joined with
//! each other as the validators are, that forward what they are given.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use openmesh_network::{Config, Handle, Incoming, Provider, Verdict, start};
use openmesh_primitives::canonical;
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
/// Most rounds in which every host hands one envelope in: enough for an average.
const ROUNDS_MAX: usize = 500;

/// A host and what comes to it.
struct Member {
    handle: Handle,
    incoming: mpsc::Receiver<Incoming>,
    _stop: DropGuard,
}

/// Carries transfers in envelopes of so many, one from each host at a time; returns the microseconds of a transfer at one host.
///
/// # Errors
/// A host does not start, or an envelope does not reach everybody in time.
pub async fn run(hosts: usize, transfers: &[Vec<u8>], each: usize) -> anyhow::Result<f64> {
    if hosts < 2 {
        return Ok(0.0);
    }
    let mut members = meet(hosts).await?;
    let envelopes: Vec<(usize, Bytes)> = transfers
        .chunks(each)
        .take(ROUNDS_MAX * hosts)
        .map(|part| (part.len(), canonical::encode(&part.iter().map(Vec::as_slice).collect::<Vec<_>>()).into()))
        .collect();
    let before = process_time();
    let mut carried = 0;
    for round in envelopes.chunks(hosts) {
        carried += round.iter().map(|(count, _)| count).sum::<usize>();
        timeout(DEADLINE, exchange(&mut members, round)).await.context("an envelope did not reach everybody")??;
    }
    let took = process_time() - before;
    Ok(took.as_secs_f64() * 1e6 / (carried.max(1) * hosts) as f64)
}

/// Hands one envelope of each in, and waits until every host has got those of the others.
async fn exchange(members: &mut [Member], round: &[(usize, Bytes)]) -> anyhow::Result<()> {
    for (member, (_, envelope)) in members.iter().zip(round) {
        member.handle.publish(envelope.clone())?;
    }
    for (number, member) in members.iter_mut().enumerate() {
        let expected = round.len() - usize::from(number < round.len());
        for _ in 0..expected {
            accept(member).await?;
        }
    }
    Ok(())
}

/// Takes the next envelope in and forwards it; returns its bytes.
async fn accept(member: &mut Member) -> anyhow::Result<Bytes> {
    let incoming = member.incoming.recv().await.context("a host has stopped")?;
    member.handle.report(&incoming, Verdict::Accept).await;
    Ok(incoming.bytes)
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
        members.push(Member { handle, incoming, _stop: stop.drop_guard() });
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
        while let Ok(bytes) = timeout(HELLO, accept(member)).await {
            heard.extend(bytes?.first());
        }
    }
    Ok(())
}
