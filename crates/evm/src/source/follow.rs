//! The follower: one step after the other, each a question to the node and what follows from its answer.

use std::collections::VecDeque;
use std::time::Duration;

use openmesh_chain::Hash;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::mpsc;

use super::backoff;
use super::client::{Client, METHOD_NOT_FOUND};
use super::config::{Config, Start};
use super::error::{REORG_DEPTH_MAX, RpcError, SourceError};
use super::event::{SourceEvent, SourceIncident, VerifiedBlock};
use crate::decode::{Decoded, decode};
use crate::replay::NEXT_BLOCK_METHOD;

/// A block that went out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sent {
    number: u64,
    hash: Hash,
}

pub(super) struct Follower {
    client: Client,
    config: Config,
    events: mpsc::Sender<SourceEvent>,
    /// Blocks that went out, each the parent of the next where their numbers follow.
    sent: VecDeque<Sent>,
    /// Lowest height that ever went out.
    lowest: Option<u64>,
    /// Height to fetch next; none until the head is known.
    next: Option<u64>,
    chain_checked: bool,
}

/// Outcome of a step.
enum Step {
    /// Go on at once.
    Again,
    /// Nothing new: wait.
    Idle,
}

/// Reason that a step did not end.
enum Stop {
    /// Try again, after an incident.
    Failed { number: Option<u64>, error: SourceError },
    /// Nobody listens.
    Closed,
}

impl From<SourceError> for Stop {
    fn from(error: SourceError) -> Stop {
        Stop::Failed { number: None, error }
    }
}

impl From<RpcError> for Stop {
    fn from(error: RpcError) -> Stop {
        SourceError::from(error).into()
    }
}

#[derive(Deserialize)]
struct HashOnly {
    hash: alloy_primitives::B256,
}

impl Follower {
    pub(super) fn new(client: Client, config: Config, events: mpsc::Sender<SourceEvent>) -> Follower {
        let (next, known) = match config.start {
            Start::Latest => (None, None),
            Start::Number(number) => (Some(number), None),
            Start::After { number, hash } => (Some(number.saturating_add(1)), Some(Sent { number, hash })),
        };
        let sent = known.into_iter().collect();
        Follower { client, config, events, sent, lowest: None, next, chain_checked: false }
    }

    pub(super) async fn run(mut self) {
        let mut attempt = 0;
        loop {
            match self.step().await {
                Ok(Step::Again) => attempt = 0,
                Ok(Step::Idle) => {
                    attempt = 0;
                    // Ends early where nobody listens any more.
                    tokio::select! {
                        () = self.events.closed() => return,
                        () = tokio::time::sleep(self.config.poll) => {}
                    }
                }
                Err(Stop::Closed) => return,
                Err(Stop::Failed { number, error }) => {
                    attempt += 1;
                    let retry_in = backoff::wait(attempt, demanded(&error));
                    tracing::warn!(number, attempt, %error, "chain source: trying again");
                    let incident = SourceIncident { number, attempt, retry_in, error };
                    if self.emit(SourceEvent::Incident(incident)).await.is_err() {
                        return;
                    }
                    tokio::select! {
                        () = self.events.closed() => return,
                        () = tokio::time::sleep(retry_in) => {}
                    }
                }
            }
        }
    }

    async fn emit(&self, event: SourceEvent) -> Result<(), Stop> {
        self.events.send(event).await.map_err(|_| Stop::Closed)
    }

    async fn step(&mut self) -> Result<Step, Stop> {
        self.check_chain().await?;
        let head = self.client.quantity("eth_blockNumber").await?;
        let settled = if self.config.sparse { Some(head) } else { head.checked_sub(self.config.confirmations) };
        let Some(settled) = settled else { return Ok(Step::Idle) };
        let next = *self.next.get_or_insert(settled);
        if next > settled {
            return self.compare_tip().await;
        }
        let fetched = self.fetch(next).await;
        match fetched.map_err(|error| Stop::Failed { number: Some(next), error })? {
            Some(block) => self.accept(block).await,
            None if self.config.sparse => self.skip(next, settled).await,
            None => {
                let error = SourceError::Missing { number: next };
                Err(Stop::Failed { number: Some(next), error })
            }
        }
    }

    async fn check_chain(&mut self) -> Result<(), Stop> {
        if let Some(expected) = self.config.chain_id.filter(|_| !self.chain_checked) {
            let got = self.client.quantity("eth_chainId").await?;
            if got != expected {
                return Err(SourceError::WrongChain { expected, got }.into());
            }
            self.chain_checked = true;
        }
        Ok(())
    }

    /// The block at a height, verified; none where the node does not have it.
    async fn fetch(&self, number: u64) -> Result<Option<VerifiedBlock>, SourceError> {
        let block = self.client.call("eth_getBlockByNumber", json!([format!("{number:#x}"), true])).await?;
        let Some(block_json) = block else { return Ok(None) };
        let HashOnly { hash } = serde_json::from_slice(&block_json)
            .map_err(|e| RpcError::Malformed { method: "eth_getBlockByNumber", reason: e.to_string() })?;
        let receipts = self.client.call("eth_getBlockReceipts", json!([hash])).await?;
        let receipts_json = receipts.ok_or(SourceError::NoReceipts { number })?;
        let block = verified(number, block_json, receipts_json).await?;
        let got = block.decoded.block().number;
        if got != number {
            return Err(SourceError::WrongBlock { asked: number, got });
        }
        if !self.config.sparse && !block.decoded.is_complete() {
            return Err(SourceError::Incomplete { number, missing: missing(&block.decoded) });
        }
        Ok(Some(block))
    }

    /// Sends a block that fits the one before; otherwise takes that one back.
    async fn accept(&mut self, block: VerifiedBlock) -> Result<Step, Stop> {
        let header = block.decoded.block();
        let this = Sent { number: header.number, hash: header.hash };
        let follows = self.sent.back().filter(|tip| tip.number.checked_add(1) == Some(this.number));
        if follows.is_some_and(|tip| tip.hash != header.parent_hash) {
            return self.take_back().await;
        }
        self.emit(SourceEvent::Block(Box::new(block))).await?;
        if self.sent.len() == REORG_DEPTH_MAX {
            self.sent.pop_front();
        }
        self.sent.push_back(this);
        self.lowest = Some(self.lowest.map_or(this.number, |lowest| lowest.min(this.number)));
        self.next = Some(this.number.saturating_add(1));
        Ok(Step::Again)
    }

    /// Takes the newest block back, and fetches its height again.
    async fn take_back(&mut self) -> Result<Step, Stop> {
        let Some(Sent { number, hash }) = self.sent.pop_back() else { return Ok(Step::Idle) };
        self.next = Some(number);
        self.emit(SourceEvent::Reorged { number, hash }).await?;
        if self.sent.is_empty() && self.lowest.is_some_and(|lowest| lowest < number) {
            let error = SourceError::DeepReorg { number };
            return Err(Stop::Failed { number: Some(number), error });
        }
        Ok(Step::Again)
    }

    /// Returns true while the newest block is still the node's at its height. A node that does not have it is behind, not reorganised.
    async fn compare_tip(&mut self) -> Result<Step, Stop> {
        let Some(tip) = self.sent.back().copied().filter(|_| !self.config.sparse) else { return Ok(Step::Idle) };
        let method = "eth_getBlockByNumber";
        let Some(block) = self.client.call(method, json!([format!("{:#x}", tip.number), false])).await? else {
            return Ok(Step::Idle);
        };
        let HashOnly { hash } =
            serde_json::from_slice(&block).map_err(|e| RpcError::Malformed { method, reason: e.to_string() })?;
        if hash.0 == tip.hash { Ok(Step::Idle) } else { self.take_back().await }
    }

    /// Goes on to the next height that the recording has. A node without our extension is taken at its head.
    async fn skip(&mut self, next: u64, head: u64) -> Result<Step, Stop> {
        let answer = self.client.call(NEXT_BLOCK_METHOD, json!([format!("{next:#x}")])).await;
        let found = match answer {
            Ok(result) => self.client.parse_quantity(NEXT_BLOCK_METHOD, result)?,
            Err(RpcError::Refused { code: METHOD_NOT_FOUND, .. }) => Some(head),
            Err(error) => return Err(error.into()),
        };
        match found.filter(|found| *found > next) {
            None => Ok(Step::Idle),
            Some(found) => {
                self.emit(SourceEvent::Skipped { from: next, to: found - 1 }).await?;
                self.next = Some(found);
                Ok(Step::Again)
            }
        }
    }
}

/// Verification takes tens of milliseconds of computing, so not on the runtime's threads.
async fn verified(number: u64, block_json: Vec<u8>, receipts_json: Vec<u8>) -> Result<VerifiedBlock, SourceError> {
    let work = move || match decode(&block_json, &receipts_json) {
        Ok(decoded) => Ok(VerifiedBlock { decoded, block_json, receipts_json }),
        Err(reason) => Err(SourceError::BadData { number, reason }),
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        // Ours to mend, but no reason to end the source.
        Err(e) => Err(SourceError::Rpc(RpcError::Transport { reason: format!("verification was interrupted: {e}") })),
    }
}

fn missing(decoded: &Decoded) -> String {
    decoded.not_verified.iter().map(|item| item.what).collect::<Vec<_>>().join(", ")
}

/// Returns the wait that the node asks for.
fn demanded(error: &SourceError) -> Option<Duration> {
    match error {
        SourceError::Rpc(RpcError::RateLimited { retry_after }) => *retry_after,
        _ => None,
    }
}
