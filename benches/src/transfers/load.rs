//! One run: sign, hand in, watch the blocks, count.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use openmesh_ledger::{AccountTransaction, AccountsAction, Action, Transaction};
use openmesh_primitives::{Address, Amount, sha256};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::net::{Net, Payload};
use super::protocol::{BUSY, NewBlock, Protocol, TAKEN};
use super::verified;
use crate::door::{Blocks, Door};
use crate::proc::processor_time;

/// After the last request, blocks may go on for this long without a transfer before what is missing counts as lost.
const QUIET: Duration = Duration::from_secs(8);
/// A door that is busy (429) is asked again after so long, as a client would.
const BUSY_PAUSE: Duration = Duration::from_millis(20);

/// Plan of a run.
pub struct Plan {
    /// Number of transfers.
    pub count: u64,
    /// Transfers a second, handed in whatever the answers; `None`: as fast as the doors take them.
    pub rate: Option<u64>,
    /// Connections to each validator.
    pub connections: usize,
    /// Transfers of a request.
    pub batch: usize,
    /// After so long nothing more is handed in; `None`: all of it is, however long that takes.
    pub length: Option<Duration>,
}

/// Outcome of a run.
pub struct Outcome {
    latencies: Vec<Duration>,
    /// Transfers that were handed in.
    pub offered: usize,
    /// From the first request to the block with the last transfer.
    pub elapsed: Duration,
    /// Blocks with transfers.
    pub blocks: usize,
    /// Highest round in which one was decided.
    pub round: i64,
    /// Refused by status of the answer.
    pub refused: BTreeMap<u16, u64>,
    /// Answers that asked to come again.
    pub busy: u64,
    /// Taken, and in no block.
    pub lost: u64,
    /// Signatures that the validator with the fewest has verified; `None` where they do not count them.
    pub verified: Option<u64>,
    /// Processor time of the validators over the run.
    pub cpu_nodes: Duration,
    /// Of it, that of their threads that fill the tables.
    pub cpu_tables: Duration,
    /// Processors that the validators kept busy on average.
    pub cores_nodes: f64,
    /// Processors that this process kept busy.
    pub cores_own: f64,
}

impl Outcome {
    /// Transfers that took effect.
    pub fn committed(&self) -> usize {
        self.latencies.len()
    }

    /// Committed transfers a second.
    pub fn per_second(&self) -> f64 {
        self.committed() as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }

    /// Processor time of each validator for a committed transfer, microseconds.
    pub fn cpu_us_each(&self, validators: usize) -> f64 {
        self.cpu_nodes.as_secs_f64() * 1e6 / (self.committed().max(1) * validators.max(1)) as f64
    }

    /// So many per cent took no longer.
    pub fn latency(&self, percent: usize) -> Option<Duration> {
        let at = (self.latencies.len() * percent).div_ceil(100).max(1) - 1;
        self.latencies.get(at).copied()
    }

    /// `0`, or how many for each status.
    pub fn refused_text(&self) -> String {
        let list: Vec<String> = self.refused.iter().map(|(status, count)| format!("{count} ({status})")).collect();
        if list.is_empty() { "0".into() } else { list.join(", ") }
    }
}

/// Transfers of a run, as they are handed in.
pub struct Prepared {
    /// Its name in the lists of blocks.
    name: String,
    bytes: Vec<u8>,
}

/// First letters of the names of a validator's threads that fill its tables.
const TABLES: &str = "tables";

/// A block, and when the watcher was told of it.
#[derive(Clone, Copy)]
struct Told {
    at: Instant,
    block: NewBlock,
}

/// Part of the network that an error of a connection is about.
const DOOR: &str = "the validators' door";

/// Runs a plan.
pub async fn run(net: &mut Net, plan: &Plan) -> anyhow::Result<Outcome> {
    let prepared = prepare(net, plan.count)?;
    run_prepared(net, plan, &prepared).await
}

/// Hands a plan's transfers in, and watches them into blocks.
pub async fn run_prepared(net: &Net, plan: &Plan, prepared: &Arc<Vec<Prepared>>) -> anyhow::Result<Outcome> {
    let (host, groups) = (net.hosts[0].clone(), groups(net, plan, prepared));
    let blocks = net.protocol.blocks(&host).await.context(DOOR)?;
    let (sender, told) = watch::channel(Vec::new());
    let watching = tokio::spawn(watch_blocks(net.protocol, blocks, sender));
    let verified_before = verified::counts(net).await?;
    let (nodes_before, own_before) = (net.processor_time(), processor_time(std::process::id()));
    let tables_before = net.processor_time_of_threads(TABLES);
    let started = Instant::now();
    let answers = submit(net, plan, prepared, &groups, started).await?;
    let taken = answers.iter().flatten().filter(|a| a.status == TAKEN).count() as u64;
    let told = wait(told, taken).await;
    let (nodes, own) = (net.processor_time() - nodes_before, processor_time(std::process::id()) - own_before);
    let cpu_tables = net.processor_time_of_threads(TABLES).saturating_sub(tables_before);
    watching.abort();
    let wall = started.elapsed().as_secs_f64();
    let mut outcome = count(net, plan, prepared, &answers, &told, started).await?;
    outcome.verified = verified::at_least(net, &verified_before, outcome.committed()).await?;
    (outcome.cpu_nodes, outcome.cpu_tables) = (nodes, cpu_tables);
    (outcome.cores_nodes, outcome.cores_own) = (nodes.as_secs_f64() / wall, own.as_secs_f64() / wall);
    Ok(outcome)
}

/// Hands in one of the transfers on a network without another, and waits for its block; returns the time between.
///
/// # Errors
/// It is refused, or in no block in time.
pub async fn one(net: &Net, prepared: &[Prepared], number: usize) -> anyhow::Result<Duration> {
    let (host, transfer) = (&net.hosts[number % net.senders_each() % net.len()], &prepared[number]);
    let mut blocks = net.protocol.blocks(host).await.context(DOOR)?;
    let mut door = Door::open(host).await.context(DOOR)?;
    let request = net.protocol.request(host, &[&transfer.bytes]);
    let begun = Instant::now();
    let (status, body) = door.ask(&request).await.context(DOOR)?;
    let status = net.protocol.meaning(status, &body);
    anyhow::ensure!(status == TAKEN, "it was refused ({status}): {}", String::from_utf8_lossy(&body));
    let committed = async {
        loop {
            let message = blocks.next().await.context(DOOR)?;
            let after = begun.elapsed();
            let told = net.protocol.told(&serde_json::from_slice(&message)?);
            let Some(block) = told.filter(|block| block.transactions > 0) else { continue };
            let names = net.protocol.committed(&mut door, host, block.height).await.context(DOOR)?;
            if names.contains(&transfer.name) {
                return Ok::<_, anyhow::Error>(after);
            }
        }
    };
    tokio::time::timeout(QUIET, committed).await.with_context(|| format!("in no block after {} s", QUIET.as_secs()))?
}

/// Hands the transfers of a run in once more, of which every validator knows that they were committed: each is refused after a
/// look, so that the processor time of this is that of the doors. Returns it, and how many were handed in.
pub async fn hand_in_again(net: &Net, plan: &Plan, prepared: &Arc<Vec<Prepared>>) -> anyhow::Result<(Duration, usize)> {
    let groups = groups(net, plan, prepared);
    let before = net.processor_time();
    let answers = submit(net, plan, prepared, &groups, Instant::now()).await?;
    let took = net.processor_time() - before;
    let taken = answers.iter().flatten().filter(|answer| answer.status == TAKEN).count();
    anyhow::ensure!(taken == 0, "{taken} transfers that were committed before were taken once more");
    Ok((took, answers.iter().flatten().count()))
}

/// Transfers for a run. The doors of a validator get those of the same accounts, each account's in order.
pub fn prepare(net: &mut Net, count: u64) -> anyhow::Result<Arc<Vec<Prepared>>> {
    Ok(Arc::new(sign(net, count)?))
}

/// Transfers of the run's accounts in turn, from one to the next; signing is not what is measured. Every run has accounts of
/// its own: what one left behind cannot hold up the next.
fn sign(net: &mut Net, count: u64) -> anyhow::Result<Vec<Prepared>> {
    let (fee, chain_id, protocol, payload) = (net.fee, Net::chain_id(), net.protocol, net.payload);
    let senders = net.take_senders();
    let count_of = senders.len();
    let addresses: Vec<Address> = senders.iter().map(|s| s.address()).collect();
    let transfer = |n: u64| -> anyhow::Result<Vec<u8>> {
        let (from, nonce) = ((n % count_of as u64) as usize, n / count_of as u64);
        let action =
            Action::Accounts(AccountsAction::Transfer { to: addresses[(from + 1) % count_of], amount: Amount(1) });
        let signed = AccountTransaction::sign(&senders[from], chain_id, nonce, fee, action).context("signing")?;
        Ok(Transaction::Account(signed).encode())
    };
    let length = transfer(0)?.len();
    let one = |n: u64| {
        let bytes = match payload {
            Payload::Transfers => transfer(n)?,
            Payload::Pairs => pair(n, length),
        };
        Ok(Prepared { name: protocol.name(&bytes), bytes })
    };
    (0..count).map(one).collect()
}

/// A transaction of CometBFT's `kvstore`, `key=value`, of so many bytes.
fn pair(number: u64, length: usize) -> Vec<u8> {
    let mut text = format!("{number:020}=");
    while text.len() < length {
        text.push_str(&sha256(&[text.as_bytes()]).to_string());
    }
    text.truncate(length);
    text.into_bytes()
}

#[derive(Clone, Copy)]
struct Answer {
    status: u16,
    /// Time at which it was handed in, or should have been.
    due: Instant,
    /// Number of refusals before because the node was busy.
    busy: u64,
}

/// A request with its transfers.
struct Group {
    request: Vec<u8>,
    members: Vec<usize>,
}

/// Requests of a run by validator: each has those of the same accounts, each account's in order.
type Groups = Vec<Arc<Vec<Group>>>;

fn groups(net: &Net, plan: &Plan, prepared: &[Prepared]) -> Groups {
    let (hosts, senders) = (net.len(), net.senders_each());
    let of_host = |(number, host): (usize, &String)| {
        let own: Vec<usize> = (0..prepared.len()).filter(|n| n % senders % hosts == number).collect();
        let group = |members: &[usize]| Group {
            request: request(net.protocol, host, prepared, members),
            members: members.to_vec(),
        };
        Arc::new(own.chunks(plan.batch.max(1)).map(group).collect::<Vec<_>>())
    };
    net.hosts.iter().enumerate().map(of_host).collect()
}

fn request(protocol: Protocol, host: &str, prepared: &[Prepared], members: &[usize]) -> Vec<u8> {
    let list: Vec<&[u8]> = members.iter().map(|n| prepared[*n].bytes.as_slice()).collect();
    protocol.request(host, &list)
}

/// A connection to a validator's door.
struct Line {
    door: Door,
    host: String,
    protocol: Protocol,
    /// End of handing in.
    end: Option<Instant>,
}

impl Line {
    fn is_over(&self) -> bool {
        self.end.is_some_and(|end| Instant::now() >= end)
    }

    /// Hands a request in, and what found no room again, until it has some or the time is over.
    async fn hand_in(
        &mut self,
        prepared: &[Prepared],
        group: &Group,
        due: Instant,
    ) -> std::io::Result<Vec<(usize, Answer)>> {
        let (mut answers, mut left, mut busy) = (Vec::new(), group.members.clone(), 0);
        loop {
            let (status, body) = if left.len() == group.members.len() {
                self.door.ask(&group.request).await?
            } else {
                self.door.ask(&request(self.protocol, &self.host, prepared, &left)).await?
            };
            let (meanings, is_over) = (self.protocol.meanings(status, &body, left.len()), self.is_over());
            let mut again = Vec::new();
            for (n, status) in left.into_iter().zip(meanings) {
                if status == BUSY && !is_over {
                    again.push(n);
                } else {
                    answers.push((n, Answer { status, due, busy }));
                }
            }
            if again.is_empty() {
                return Ok(answers);
            }
            (left, busy) = (again, busy + 1);
            tokio::time::sleep(BUSY_PAUSE).await;
        }
    }
}

/// Each connection takes the next request of its validator. A request is due with the last of its transfers.
async fn submit(
    net: &Net,
    plan: &Plan,
    prepared: &Arc<Vec<Prepared>>,
    groups: &Groups,
    started: Instant,
) -> anyhow::Result<Vec<Option<Answer>>> {
    let mut tasks = JoinSet::new();
    for (host, own) in net.hosts.iter().zip(groups) {
        let next = Arc::new(AtomicUsize::new(0));
        for _ in 0..plan.connections {
            let (prepared, own, next, rate) = (Arc::clone(prepared), Arc::clone(own), Arc::clone(&next), plan.rate);
            let door = Door::open(host).await.context(DOOR)?;
            let end = plan.length.map(|length| started + length);
            let mut line = Line { door, host: host.clone(), protocol: net.protocol, end };
            tasks.spawn(async move {
                let mut answers = Vec::new();
                while !line.is_over()
                    && let Some(group) = own.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    let last = group.members.last().copied().unwrap_or(0) as u64;
                    let due = match rate {
                        Some(rate) => started + Duration::from_nanos(1_000_000_000 / rate * last),
                        None => Instant::now(),
                    };
                    tokio::time::sleep_until(due.into()).await;
                    answers.extend(line.hand_in(&prepared, group, due).await?);
                }
                Ok::<_, std::io::Error>(answers)
            });
        }
    }
    let mut all = vec![None; prepared.len()];
    while let Some(done) = tasks.join_next().await {
        let answers = done.context("the generator")?.context(DOOR)?;
        answers.into_iter().for_each(|(n, answer)| all[n] = Some(answer));
    }
    Ok(all)
}

async fn watch_blocks(protocol: Protocol, mut blocks: Blocks, told: watch::Sender<Vec<Told>>) {
    while let Ok(message) = blocks.next().await {
        let at = Instant::now();
        let Ok(message) = serde_json::from_slice::<serde_json::Value>(&message) else { continue };
        let Some(block) = protocol.told(&message) else { continue };
        told.send_modify(|list| list.push(Told { at, block }));
    }
}

/// Waits until as many transactions as were taken stand in blocks, or nothing has come for a while.
async fn wait(mut told: watch::Receiver<Vec<Told>>, taken: u64) -> Vec<Told> {
    let mut last = (0, Instant::now());
    loop {
        let sum: u64 = told.borrow_and_update().iter().map(|t| t.block.transactions).sum();
        if sum > last.0 {
            last = (sum, Instant::now());
        }
        let left = QUIET.saturating_sub(last.1.elapsed());
        if sum >= taken || left.is_zero() {
            return told.borrow().clone();
        }
        // Whether a block came or the time is over is looked at above.
        let _ = tokio::time::timeout(left, told.changed()).await;
    }
}

/// Reads the blocks once more, now that nothing is measured, to know which transfer stood in which.
async fn count(
    net: &Net,
    plan: &Plan,
    prepared: &[Prepared],
    answers: &[Option<Answer>],
    told: &[Told],
    started: Instant,
) -> anyhow::Result<Outcome> {
    let host = &net.hosts[0];
    let mut door = Door::open(host).await.context(DOOR)?;
    let mut committed: HashMap<String, Instant> = HashMap::new();
    for Told { at, block } in told.iter().filter(|t| t.block.transactions > 0) {
        let names = net.protocol.committed(&mut door, host, block.height).await.context(DOOR)?;
        committed.extend(names.into_iter().map(|name| (name, *at)));
    }
    let mut outcome = Outcome {
        latencies: Vec::new(),
        offered: answers.iter().flatten().count(),
        elapsed: Duration::ZERO,
        blocks: told.iter().filter(|t| t.block.transactions > 0).count(),
        round: told.iter().map(|t| t.block.round).max().unwrap_or(0),
        refused: BTreeMap::new(),
        busy: answers.iter().flatten().map(|a| a.busy).sum(),
        lost: 0,
        verified: None,
        cpu_nodes: Duration::ZERO,
        cpu_tables: Duration::ZERO,
        cores_nodes: 0.0,
        cores_own: 0.0,
    };
    let mut last = started;
    for (transfer, answer) in prepared.iter().zip(answers) {
        match (answer, committed.get(&transfer.name)) {
            (Some(answer), Some(at)) => {
                outcome.latencies.push(at.saturating_duration_since(answer.due));
                last = last.max(*at);
            }
            (Some(Answer { status: TAKEN, .. }), None) => outcome.lost += 1,
            (Some(answer), None) => *outcome.refused.entry(answer.status).or_default() += 1,
            (None, _) => {}
        }
    }
    outcome.latencies.sort();
    outcome.elapsed = last - started;
    // An open loop lasts as long as it was meant to: it hands in at its rate until the end.
    if let Some(rate) = plan.rate {
        outcome.elapsed = outcome.elapsed.max(Duration::from_secs_f64(plan.count as f64 / rate as f64));
    }
    Ok(outcome)
}
