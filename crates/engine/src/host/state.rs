//! The host's decisions as a pure state machine: `(state, input, now) -> (state, effects)`.
//!
//! It decides which blocks are offered to consensus and which streams are judged, keeps whole blocks that came before
//! their turn, chooses the moment of the next height, tells a block that came by sync from one that was voted for here,
//! and releases evidence when its height is committed. There is no clock, thread, socket or disk in it: the moments are
//! handed in, and everything else is an [`Effect`] whose result comes back as an [`Input`]. The actors ([`super`]) and
//! the simulated validators ([`crate::machine`]) carry the effects out, each in its own way, and decide nothing of this
//! themselves.
//!
//! Effects are to be carried out in their order. Maps are ordered, so the same inputs give the same effects.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use malachite_app::consensus::ProposedValue;
use malachite_app::engine::host::SyncedValueOutcome;
use malachite_app::types::core::{Round, Validity};
use malachite_app::types::streaming::StreamMessage;
use openmesh_ledger::Evidence;
use openmesh_primitives::{Digest, Timestamp, ValidatorKey, ValidatorSignature, sha256};

use crate::chain::{Candidate, Judged};
use crate::consensus::context::Context;
use crate::consensus::parts::{Assembled, Assembler};
use crate::consensus::signing::init_bytes;
use crate::consensus::types::{Address, BlockId, Height, Init, Part, ValidatorSet};
use crate::pace::{Moment, Pace, Waiting};

/// Rounds ahead of ours from which streams are accepted: the same look-ahead as for votes would be useless, since parts
/// are sent again when a value is proposed again.
const ROUNDS_AHEAD_MAX: u32 = 16;
/// Whole blocks of the height after the next that wait until the next is committed: its first rounds have one each.
pub(crate) const EARLY_MAX: usize = 4;
/// Age of a block that came by sync, when it is committed, from which on the node counts as catching up: several times
/// the usual interval between blocks, so that a single late block is no news.
const SYNCING_AGE: Duration = Duration::from_secs(5);

/// The time of a step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    /// On the monotonic clock: for pauses.
    pub(crate) moment: Moment,
    /// On this node's wall clock: for the age of blocks.
    pub(crate) time: Timestamp,
}

/// Result of something outside, or a message of consensus.
#[derive(Debug)]
pub(crate) enum Input {
    /// Consensus has entered a round of a height.
    StartedRound { height: Height, round: Round },
    /// The block that this node proposes is built and stored; `None`: the height was decided meanwhile.
    Built { height: Height, round: Round, built: Option<Candidate> },
    /// A part of a streamed block; `publisher` signed its envelope, `neighbor` handed it over.
    Part { publisher: Vec<u8>, neighbor: Vec<u8>, part: StreamMessage<Part> },
    /// The result of [`Effect::Judge`].
    Judged { init: Init, judged: Judged },
    /// Consensus proposes a block again.
    Restream(Restream),
    /// The result of [`Effect::ReadBody`]; `None`: the block was decided meanwhile.
    Body { restream: Restream, body: Option<Bytes> },
    /// A block that came decided from a peer is stored; `None`: its bytes were not a block of that height.
    Adopted { height: Height, round: Round, adopted: Option<(Digest, openmesh_primitives::Address)> },
    /// Consensus is done with a height, and saw these equivocations in it.
    Finalized { height: Height, evidence: Vec<Evidence> },
    /// Longest bytes of the next block, told before the block before it is: an upgrade may change them.
    BytesMax(usize),
    /// A block of this time is committed; the validators of the two heights after it.
    Committed { tip: Tip, sets: [ValidatorSet; 2] },
    /// True while something waits that can go into a block.
    Work(bool),
    /// The moment of [`HostState::wake_at`] may have come.
    Tick,
}

/// A block that consensus wants to have streamed again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Restream {
    pub(crate) height: Height,
    pub(crate) round: Round,
    pub(crate) valid_round: Round,
    pub(crate) id: BlockId,
}

/// Something to be done outside.
#[derive(Debug)]
pub(crate) enum Effect {
    /// Offers a judged block to consensus.
    Offer(ProposedValue<Context>),
    /// Proposes the block that was built, as the answer to consensus' question for a value.
    Propose { height: Height, round: Round, id: BlockId },
    /// Streams a block to the other validators.
    Publish { init: Init, bytes: Bytes },
    /// Judges a streamed block; the result comes back as [`Input::Judged`].
    Judge(Assembled),
    /// Reads the body of a block of the next height; it comes back as [`Input::Body`].
    ReadBody(Restream),
    /// Answers consensus' question about a block that came by sync.
    AnswerSync(SyncedValueOutcome<Context>),
    /// Begins a height. `finalized`: as the answer to the end of the last one.
    StartHeight { height: Height, validators: ValidatorSet, finalized: bool },
    /// Hands evidence of an equivocation to the mempool.
    Accuse(Evidence),
    /// The committed height as reported outside. `by_sync`: the block came from a peer; `syncing`: the node catches up.
    Progress { height: Height, by_sync: bool, syncing: bool },
}

/// Everything that the host remembers between two inputs.
pub(crate) struct HostState {
    chain_id: u64,
    key: Option<ValidatorKey>,
    address: Option<Address>,
    pace: Pace,
    /// Validators of the next height, and of the one after.
    sets: [ValidatorSet; 2],
    assembler: Assembler,
    /// Whole blocks of the height after the next.
    early: Vec<Assembled>,
    /// Blocks of the next height that consensus may decide.
    values: BTreeMap<(Round, BlockId), ProposedValue<Context>>,
    /// Announcements of streams, to send them again word for word.
    announcements: BTreeMap<(Round, BlockId), Init>,
    /// The height that consensus is in, and its round.
    started: (Height, Round),
    tip: Height,
    committed: Moment,
    /// Age of the last block by its own time when it was committed.
    age: Duration,
    /// Since when something waits for a block.
    work: Option<Moment>,
    /// The highest height of which a signed announcement was seen.
    heard: Height,
    /// The height that consensus was told to decide.
    asked: Height,
    /// Consensus has finished the height that it was told to decide, and waits to be told to go on.
    finalized: bool,
    /// Equivocations that the ledger has not been told of, because their height is not committed here yet.
    evidence: Vec<Evidence>,
    /// The last height that came by sync.
    synced: Height,
}

/// Height and time of the last committed block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tip {
    pub(crate) height: Height,
    pub(crate) time: Timestamp,
}

impl HostState {
    /// A host whose consensus is about to begin the height after `tip`; blocks have at most `block_bytes_max` bytes.
    pub(crate) fn new(
        chain_id: u64,
        key: Option<ValidatorKey>,
        pace: Pace,
        block_bytes_max: usize,
        tip: Tip,
        sets: [ValidatorSet; 2],
        now: Now,
    ) -> HostState {
        HostState {
            chain_id,
            address: key.as_ref().map(|key| Address(key.public().address())),
            key,
            pace,
            sets,
            assembler: Assembler::new(block_bytes_max),
            early: Vec::new(),
            values: BTreeMap::new(),
            announcements: BTreeMap::new(),
            started: (Height(0), Round::Nil),
            tip: tip.height,
            committed: now.moment,
            age: age(now.time, tip.time),
            work: None,
            heard: Height(0),
            asked: Height(tip.height.0 + 1),
            finalized: false,
            evidence: Vec::new(),
            synced: Height(0),
        }
    }

    /// Remembers a block of the next height that was judged valid before a restart.
    pub(crate) fn restore(&mut self, round: Round, proposer: Address, id: Digest) {
        self.keep(proposed(Height(self.tip.0 + 1), round, Round::Nil, proposer, id, true));
    }

    /// The next height and its validators.
    pub(crate) fn next_height(&self) -> (Height, ValidatorSet) {
        (Height(self.tip.0 + 1), self.sets[0].clone())
    }

    /// The moment of the next height; `None` while the height that consensus was told to decide is not committed.
    pub(crate) fn wake_at(&self) -> Option<Moment> {
        if self.asked > self.tip {
            return None;
        }
        let next = Height(self.tip.0 + 1);
        let waiting = Waiting {
            committed: self.committed,
            age: self.age,
            proposer: self.proposes(next, Round::new(0)),
            work: self.work,
            heard: self.heard >= next,
        };
        Some(self.pace.start(&waiting))
    }

    /// Takes an input in and returns the effects to carry out, in their order.
    pub(crate) fn step(&mut self, input: Input, now: Now) -> Vec<Effect> {
        match input {
            Input::StartedRound { height, round } => self.started_round(height, round),
            Input::Built { height, round, built } => built.map_or_else(Vec::new, |b| self.built(height, round, &b)),
            Input::Part { publisher, neighbor, part } => self.received(&publisher, &neighbor, part),
            Input::Judged { init, judged } => self.judged(init, judged),
            Input::Restream(restream) => vec![Effect::ReadBody(restream)],
            Input::Body { restream, body } => self.stream_again(restream, body),
            Input::Adopted { height, round, adopted } => self.adopted(height, round, adopted),
            Input::Finalized { height, evidence } => self.finalized(height, evidence),
            Input::BytesMax(bytes_max) => {
                self.assembler.limit(bytes_max);
                Vec::new()
            }
            Input::Committed { tip, sets } => self.committed(tip, sets, now),
            Input::Work(waits) => {
                self.work = if waits { self.work.or(Some(now.moment)) } else { None };
                Vec::new()
            }
            Input::Tick => self.tick(now),
        }
    }

    fn started_round(&mut self, height: Height, round: Round) -> Vec<Effect> {
        let first = self.started.0 != height;
        self.started = (height, round);
        // Within a height consensus remembers; offering again would only grow its log.
        if !first {
            return Vec::new();
        }
        self.values.values().filter(|v| v.height == height).cloned().map(Effect::Offer).collect()
    }

    fn built(&mut self, height: Height, round: Round, block: &Candidate) -> Vec<Effect> {
        let id = BlockId(block.id);
        self.keep(proposed(height, round, Round::Nil, Address(block.proposer), block.id, true));
        let mut effects = vec![Effect::Propose { height, round, id }];
        if let Some(init) = self.announce(height, round, Round::Nil, &block.bytes) {
            self.announcements.insert((round, id), init.clone());
            effects.push(Effect::Publish { init, bytes: block.bytes.clone() });
        }
        effects
    }

    fn received(&mut self, publisher: &[u8], neighbor: &[u8], part: StreamMessage<Part>) -> Vec<Effect> {
        let mut assembler = std::mem::take(&mut self.assembler);
        let mut announced = Height(0);
        let check = |init: &Init| {
            let fine = self.is_of_proposer(init);
            if fine {
                announced = init.height;
            }
            fine
        };
        let assembled = assembler.receive(publisher, neighbor, part, check);
        self.assembler = assembler;
        self.heard = self.heard.max(announced);
        assembled.map_or_else(Vec::new, |assembled| self.judge(assembled))
    }

    /// Returns true if an announcement is of a height and round of interest, and signed by their proposer.
    fn is_of_proposer(&self, init: &Init) -> bool {
        let ours = if self.started.0.0 == self.tip.0 + 1 { self.started.1.as_u32().unwrap_or(0) } else { 0 };
        let in_reach = init.round.as_u32().is_some_and(|r| r <= ours.saturating_add(ROUNDS_AHEAD_MAX));
        let proposer = self.set(init.height).map(|set| set.proposer(init.height, init.round));
        in_reach
            && init.pol_round < init.round
            && proposer.is_some_and(|proposer| {
                let bytes = init_bytes(self.chain_id, init);
                proposer.address == init.streamer && proposer.public_key.verify(&bytes, &init.signature).is_ok()
            })
    }

    /// A whole block: judged at once if it is of the next height, kept for a while if it is of the one after.
    fn judge(&mut self, assembled: Assembled) -> Vec<Effect> {
        if assembled.init.height.0 <= self.tip.0 + 1 {
            return vec![Effect::Judge(assembled)];
        }
        if self.early.len() < EARLY_MAX {
            self.early.push(assembled);
        } else {
            self.assembler.try_again(&assembled.init);
        }
        Vec::new()
    }

    fn judged(&mut self, init: Init, judged: Judged) -> Vec<Effect> {
        let (id, proposer, valid) = match judged {
            Judged::Valid(candidate) => (candidate.id, candidate.proposer, true),
            Judged::Invalid { id, proposer, reason, again } => {
                if again {
                    self.assembler.try_again(&init);
                }
                tracing::warn!(height = %init.height, round = %init.round, block = %id, reason, "a block gets no vote");
                (id, proposer, false)
            }
            Judged::Useless(reason) => {
                tracing::debug!(height = %init.height, round = %init.round, reason, "a stream was useless");
                return Vec::new();
            }
        };
        let value = proposed(init.height, init.round, init.pol_round, Address(proposer), id, valid);
        self.announcements.insert((init.round, BlockId(id)), init);
        self.keep(value.clone());
        // A height that has not started is offered its values when it does.
        if self.started.0 == value.height { vec![Effect::Offer(value)] } else { Vec::new() }
    }

    /// Streams a block under the announcement that it came with; without one, the proposer of the round signs its own.
    fn stream_again(&self, restream: Restream, body: Option<Bytes>) -> Vec<Effect> {
        let Restream { height, round, valid_round, id } = restream;
        let Some(bytes) = body else { return Vec::new() };
        let known = self.announcements.get(&(round, id)).cloned();
        let own = || self.proposes(height, round).then(|| self.announce(height, round, valid_round, &bytes)).flatten();
        match known.or_else(own) {
            Some(init) => vec![Effect::Publish { init, bytes }],
            None => Vec::new(),
        }
    }

    fn adopted(
        &mut self,
        height: Height,
        round: Round,
        adopted: Option<(Digest, openmesh_primitives::Address)>,
    ) -> Vec<Effect> {
        let outcome = match adopted {
            Some((id, proposer)) => {
                self.synced = height;
                let value = proposed(height, round, Round::Nil, Address(proposer), id, true);
                SyncedValueOutcome::Verdict(value)
            }
            None => SyncedValueOutcome::PeerFault,
        };
        vec![Effect::AnswerSync(outcome)]
    }

    fn finalized(&mut self, height: Height, evidence: Vec<Evidence>) -> Vec<Effect> {
        // Where the next height was begun already, that was the answer, and consensus waits for no other.
        self.finalized |= height >= self.asked;
        self.evidence.extend(evidence);
        self.accuse()
    }

    fn committed(&mut self, tip: Tip, sets: [ValidatorSet; 2], now: Now) -> Vec<Effect> {
        let Tip { height, time } = tip;
        self.tip = height;
        self.committed = now.moment;
        self.age = age(now.time, time);
        self.work = None;
        self.sets = sets;
        self.assembler.prune(height);
        self.values.retain(|_, v| v.height > height);
        self.announcements.retain(|_, init| init.height > height);
        let by_sync = self.synced == height;
        let syncing = by_sync && self.age > SYNCING_AGE;
        let mut effects = vec![Effect::Progress { height, by_sync, syncing }];
        effects.extend(self.accuse());
        for assembled in std::mem::take(&mut self.early) {
            if assembled.init.height > height {
                effects.extend(self.judge(assembled));
            }
        }
        effects
    }

    /// Until now consensus took in what came late of the last height; beginning the next one ends that.
    fn tick(&mut self, now: Now) -> Vec<Effect> {
        if self.wake_at().is_none_or(|at| at > now.moment) {
            return Vec::new();
        }
        let (height, validators) = self.next_height();
        self.asked = height;
        vec![Effect::StartHeight { height, validators, finalized: std::mem::take(&mut self.finalized) }]
    }

    /// Evidence of committed heights.
    fn accuse(&mut self) -> Vec<Effect> {
        let tip = self.tip.0;
        self.evidence.extract_if(.., |e| e.height <= tip).map(Effect::Accuse).collect()
    }

    /// The validators of a height; known for the next two.
    fn set(&self, height: Height) -> Option<&ValidatorSet> {
        self.sets.get(usize::try_from(height.0.checked_sub(self.tip.0 + 1)?).ok()?)
    }

    /// Returns true if this node is the proposer of a height and round.
    fn proposes(&self, height: Height, round: Round) -> bool {
        let proposer = self.set(height).map(|set| set.proposer(height, round).address);
        proposer.is_some() && proposer == self.address
    }

    fn keep(&mut self, value: ProposedValue<Context>) {
        self.values.insert((value.round, value.value), value);
    }

    /// Signs the announcement of a stream; `None` without a key.
    fn announce(&self, height: Height, round: Round, pol_round: Round, body: &[u8]) -> Option<Init> {
        let key = self.key.as_ref()?;
        let streamer = Address(key.public().address());
        // The ledger's limit on blocks is far below 4 GiB.
        let (bytes, digest) = (u32::try_from(body.len()).ok()?, sha256(&[body]));
        let mut init =
            Init { height, round, pol_round, streamer, bytes, digest, signature: ValidatorSignature([0; 64]) };
        init.signature = key.sign(&init_bytes(self.chain_id, &init));
        Some(init)
    }
}

/// A block in the shape in which consensus hears of it.
fn proposed(
    height: Height,
    round: Round,
    valid_round: Round,
    proposer: Address,
    id: Digest,
    valid: bool,
) -> ProposedValue<Context> {
    let validity = Validity::from_bool(valid);
    ProposedValue { height, round, valid_round, proposer, value: BlockId(id), validity }
}

/// Age of a block by its own time; zero if it seems to come from the future.
pub(crate) fn age(now: Timestamp, block: Timestamp) -> Duration {
    Duration::from_nanos(u64::try_from(now.nanos().saturating_sub(block.nanos())).unwrap_or(0))
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
