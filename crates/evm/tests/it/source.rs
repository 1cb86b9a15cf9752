//! The source against a node over HTTP: the way through a recording, reorganisations, and a node that answers wrongly.

use std::time::Duration;

use alloy_primitives::B256;
use openmesh_evm::replay::ReplayChain;
use openmesh_evm::source::{Config, RpcError, SourceError, SourceEvent, SourceIncident, Start, start};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::support::chain::{Fork, Made, block, chain};
use crate::support::node::{Fault, Node};
use crate::support::{recordings, replay_of};

struct Running {
    events: mpsc::Receiver<SourceEvent>,
    cancel: CancellationToken,
    task: JoinHandle<()>,
}

fn run(config: Config) -> Running {
    // Another test of this process may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (sender, events) = mpsc::channel(4);
    let cancel = CancellationToken::new();
    let task = start(config, sender, cancel.clone()).unwrap();
    Running { events, cancel, task }
}

fn live(node: &Node, number: u64) -> Config {
    let (start, poll) = (Start::Number(number), Duration::from_millis(20));
    Config { start, poll, confirmations: 0, ..Config::new(&node.url) }
}

/// An event in few words: `block 5 <hash>`.
fn words(event: &SourceEvent) -> String {
    match event {
        SourceEvent::Block(block) => {
            format!("block {} {}", block.decoded.block().number, B256::from(block.decoded.block().hash))
        }
        SourceEvent::Reorged { number, hash } => format!("reorged {number} {}", B256::from(*hash)),
        SourceEvent::Skipped { from, to } => format!("skipped {from} to {to}"),
        SourceEvent::Incident(incident) => format!("incident {}", incident.error),
    }
}

impl Running {
    async fn next(&mut self) -> SourceEvent {
        tokio::time::timeout(Duration::from_secs(120), self.events.recv()).await.expect("an event").expect("a source")
    }

    async fn expect(&mut self, expected: impl IntoIterator<Item = String>) {
        for expected in expected {
            assert_eq!(words(&self.next().await), expected);
        }
    }

    async fn incident(&mut self) -> SourceIncident {
        match self.next().await {
            SourceEvent::Incident(incident) => incident,
            other => panic!("no incident: {}", words(&other)),
        }
    }
}

fn blocks(made: &[Made]) -> Vec<String> {
    made.iter().map(|made| format!("block {} {}", made.number, made.hash)).collect()
}

#[tokio::test]
async fn a_recording_is_followed_over_its_gaps() {
    let made: Vec<Made> = [30, 100, 900].into_iter().map(|n| block(Fork::Cancun, n, B256::ZERO, 1)).collect();
    let node = Node::start(replay_of(&made)).await;
    let mut source = run(Config { poll: Duration::from_millis(10), ..Config::replay(&node.url) });
    let lines = blocks(&made);
    source.expect(["skipped 0 to 29".to_owned(), lines[0].clone()]).await;
    node.advance();
    source.expect(["skipped 31 to 99".to_owned(), lines[1].clone()]).await;
    node.advance();
    source.expect(["skipped 101 to 899".to_owned(), lines[2].clone()]).await;
    // One that starts late gets the same.
    let mut late = run(Config::replay(&node.url));
    let notes = ["skipped 0 to 29", "skipped 31 to 99", "skipped 101 to 899"].map(str::to_owned);
    late.expect(notes.into_iter().zip(lines).flat_map(|(note, line)| [note, line])).await;
}

/// The real blocks, those without bodies with what could be verified of them.
#[tokio::test]
async fn the_recorded_blocks_are_followed() {
    let Some(data) = recordings() else { return };
    let node = Node::start(ReplayChain::load(data).unwrap()).await;
    while node.advance().is_some() {}
    let mut source = run(Config { chain_id: Some(1), ..Config::replay(&node.url) });
    let mut seen = Vec::new();
    while seen.len() < 5 {
        match source.next().await {
            SourceEvent::Block(block) => seen.push((block.decoded.block().number, block.decoded.is_complete())),
            SourceEvent::Skipped { .. } => {}
            other => panic!("{}", words(&other)),
        }
    }
    assert_eq!(
        seen,
        [(10_000_000, false), (15_000_000, false), (18_000_000, true), (18_951_920, true), (20_000_000, true)]
    );
}

#[tokio::test]
async fn confirmations_are_waited_for() {
    let made = chain(Fork::London, 1, 6, B256::ZERO, 1);
    let node = Node::of(&made[..4]).await;
    let mut source = run(Config { confirmations: 2, ..live(&node, 1) });
    source.expect(blocks(&made[..2])).await;
    node.switch(&made[..5]);
    source.expect(blocks(&made[2..3])).await;
    node.switch(&made);
    source.expect(blocks(&made[3..4])).await;
}

#[tokio::test]
async fn a_reorganisation_takes_blocks_back_and_goes_on() {
    let old = chain(Fork::Shanghai, 1, 5, B256::ZERO, 1);
    let mut new = old[..3].to_vec();
    new.extend(chain(Fork::Shanghai, 4, 3, old[2].hash, 2));
    let node = Node::of(&old).await;
    let mut source = run(live(&node, 1));
    source.expect(blocks(&old)).await;
    node.switch(&new);
    source.expect([5, 4].map(|number: usize| format!("reorged {number} {}", old[number - 1].hash))).await;
    source.expect(blocks(&new[3..])).await;
    // Replaced at the same height.
    let mut newest = new[..5].to_vec();
    newest.extend(chain(Fork::Shanghai, 6, 1, new[4].hash, 3));
    node.switch(&newest);
    source.expect([format!("reorged 6 {}", new[5].hash)]).await;
    source.expect(blocks(&newest[5..])).await;
}

#[tokio::test]
async fn after_a_restart_a_replaced_block_is_taken_back() {
    let old = chain(Fork::Shanghai, 1, 3, B256::ZERO, 1);
    let mut new = old[..2].to_vec();
    new.extend(chain(Fork::Shanghai, 3, 2, old[1].hash, 2));
    let node = Node::of(&new).await;
    let mut source = run(Config { start: Start::After { number: 3, hash: old[2].hash.0 }, ..live(&node, 0) });
    source.expect([format!("reorged 3 {}", old[2].hash)]).await;
    source.expect(blocks(&new[2..])).await;
}

#[tokio::test]
async fn an_altered_receipt_is_refused_and_asked_for_again() {
    let made = chain(Fork::Prague, 7, 2, B256::ZERO, 1);
    let node = Node::of(&made).await;
    node.fail(Fault::Replace("\"status\":\"0x1\"".to_owned(), "\"status\":\"0x0\"".to_owned()));
    let mut source = run(live(&node, 7));
    let incident = source.incident().await;
    assert_eq!((incident.number, incident.attempt), (Some(7), 1));
    assert!(matches!(incident.error, SourceError::BadData { number: 7, .. }));
    assert!(incident.error.to_string().starts_with("block 7 refused: receipts_root does not match"));
    source.expect(blocks(&made)).await;
}

#[tokio::test]
async fn every_fault_of_a_node_has_its_error_and_ends_nothing() {
    let made = chain(Fork::London, 7, 1, B256::ZERO, 1);
    let null = json!({"jsonrpc": "2.0", "id": 0, "result": null});
    type Judge = fn(&SourceError) -> bool;
    let rpc: [(Fault, Judge); 8] = [
        (Fault::Hangup, |e| matches!(e, SourceError::Rpc(RpcError::Transport { .. }))),
        (Fault::Status(503, ""), |e| matches!(e, SourceError::Rpc(RpcError::Status { status: 503 }))),
        (Fault::Status(302, "location: http://127.0.0.1:1/\r\n"), |e| {
            matches!(e, SourceError::Rpc(RpcError::Status { status: 302 }))
        }),
        (Fault::Body(b"<html>".to_vec()), |e| matches!(e, SourceError::Rpc(RpcError::Malformed { .. }))),
        (Fault::Body(null.to_string().into_bytes()), |e| matches!(e, SourceError::Rpc(RpcError::Malformed { .. }))),
        (Fault::Body(br#"{"id":1,"error":{"code":-32000,"message":"oh"}}"#.to_vec()), |e| {
            matches!(e, SourceError::Rpc(RpcError::Refused { code: -32000, .. }))
        }),
        (Fault::Body(br#"{"id":1,"error":{"code":-32005,"message":"slow down"}}"#.to_vec()), |e| {
            matches!(e, SourceError::Rpc(RpcError::RateLimited { retry_after: None }))
        }),
        (Fault::Body(vec![b' '; 300_000]), |e| {
            matches!(e, SourceError::Rpc(RpcError::TooLarge { limit: 200_000, .. }))
        }),
    ];
    for (fault, judge) in rpc {
        let node = Node::of(&made).await;
        node.fail(fault);
        let mut source = run(Config { body_bytes_max: 200_000, ..live(&node, 7) });
        let incident = source.incident().await;
        assert!(judge(&incident.error), "{:?}", incident.error);
        let text = format!("{} {:?}", incident.error, incident.error);
        assert!(!text.contains("key-that-must-not-be-printed"), "{text}");
        source.expect(blocks(&made)).await;
    }
}

#[tokio::test]
async fn the_wait_that_a_node_demands_is_heeded() {
    let made = chain(Fork::London, 7, 1, B256::ZERO, 1);
    let node = Node::of(&made).await;
    node.fail(Fault::Status(429, "retry-after: 1\r\n"));
    let begun = std::time::Instant::now();
    let mut source = run(live(&node, 7));
    let incident = source.incident().await;
    let demanded = Some(Duration::from_secs(1));
    assert!(
        matches!(incident.error, SourceError::Rpc(RpcError::RateLimited { retry_after }) if retry_after == demanded)
    );
    assert_eq!(incident.retry_in, Duration::from_secs(1));
    source.expect(blocks(&made)).await;
    assert!(begun.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn answers_that_do_not_fit_the_question_are_incidents() {
    let made = chain(Fork::London, 7, 2, B256::ZERO, 1);
    // Another block than the one asked for, verified in itself.
    let node = Node::of(&made).await;
    let body = |made: &Made| String::from_utf8(made.block_bytes()).unwrap();
    node.fail(Fault::Replace(body(&made[0]), body(&made[1])));
    let mut source = run(live(&node, 7));
    assert!(matches!(source.incident().await.error, SourceError::WrongBlock { asked: 7, got: 8 }));
    source.expect(blocks(&made)).await;

    // A node without bodies is no live node.
    let mut light = made[..1].to_vec();
    let transactions = light[0].block["transactions"].as_array().unwrap();
    light[0].block["transactions"] = transactions.iter().map(|tx| tx["hash"].clone()).collect();
    let node = Node::of(&light).await;
    let mut source = run(live(&node, 7));
    let incident = source.incident().await;
    assert!(matches!(&incident.error, SourceError::Incomplete { number: 7, missing } if missing.contains("tx_hashes")));

    // A gap in a chain that is not a recording.
    let node = Node::of(&made).await;
    let mut source = run(live(&node, 3));
    assert!(matches!(source.incident().await.error, SourceError::Missing { number: 3 }));

    let mut source = run(Config { chain_id: Some(5), ..live(&node, 7) });
    assert!(matches!(source.incident().await.error, SourceError::WrongChain { expected: 5, got: 1 }));
}

#[tokio::test]
async fn the_task_ends_with_its_token_and_with_its_receiver() {
    let made = chain(Fork::London, 7, 1, B256::ZERO, 1);
    let node = Node::of(&made).await;
    let mut source = run(Config { poll: Duration::from_secs(3600), ..live(&node, 7) });
    source.expect(blocks(&made)).await;
    source.cancel.cancel();
    source.task.await.unwrap();

    let mut source = run(Config { poll: Duration::from_secs(3600), ..live(&node, 7) });
    source.expect(blocks(&made)).await;
    drop(source.events);
    source.task.await.unwrap();
}

#[tokio::test]
async fn an_address_that_cannot_be_used_is_said_at_once() {
    for url in ["", "ftp://127.0.0.1/", "node.example"] {
        let (sender, _events) = mpsc::channel(1);
        let refused = start(Config::new(url), sender, CancellationToken::new());
        assert!(matches!(refused, Err(SourceError::Address)), "{url}");
    }
}
