//! A network in virtual time: the queue of events, the faults, and what must hold whatever happens.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use openmesh_duties::{Attester, Window, WindowName};
use openmesh_engine::machine::{Input, Machine, MachineConfig, MachineDisk, Output, VerifiedBefore, contradict};
use openmesh_engine::{CommittedBlock, EngineError};
use openmesh_ledger::{RuleSets, StateError, check_supply};
use openmesh_primitives::{Height, Timestamp, sha256};

use crate::check::{Report, Violation};
use crate::event::Event;
use crate::history::History;
use crate::network::MS;
use crate::plan::{Plan, VALIDATORS};
use crate::random::Random;
use crate::soak::record::{Sample, Usage};
use crate::tables::Tables;
use crate::workload::{CHAIN_ID, START, validator};

/// One of so many seeds is of a crowded network.
const CROWDED_EACH: u64 = 4;
/// By so many blocks.
const PROGRESS: u64 = 3;
/// Clocks differ by at most so much from the true time.
const SKEW: u64 = 300 * MS;
/// A validator that crashed, or whose disk has room again, starts within so much.
const RESTART_DELAY: u64 = 3_000 * MS;
/// So many times of a thousand a validator loses what it has executed and not committed: those who have it and those who execute it
/// once more must come to the same roots.
const FORGOTTEN_PERMILLE: u64 = 20;
/// Windows after a fault in which what waited during it goes: they close within three of their lengths, and two may be due.
const CALM_WINDOWS: u64 = 6;

pub(crate) struct Node {
    pub(crate) config: MachineConfig,
    pub(crate) disk: MachineDisk,
    pub(crate) machine: Option<Machine>,
    /// The windows that it owes attestations of; lost in a crash.
    pub(crate) attester: Attester,
    /// Statements that it has committed to, on its disk.
    pub(crate) kept: BTreeMap<WindowName, Window>,
    /// Its tables, and the chunks on its disk.
    pub(crate) tables: Tables,
    /// Counts starts: timers of an earlier life mean nothing.
    pub(crate) life: u64,
    /// The highest block that it told of.
    pub(crate) committed: Height,
    pub(crate) skew: i64,
    pub(crate) tearing: bool,
    /// Its disk is full until this moment.
    pub(crate) full_until: u64,
}

pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) random: Random,
    pub(crate) now: u64,
    pub(crate) number: u64,
    pub(crate) queue: BinaryHeap<Reverse<(u64, u64)>>,
    pub(crate) events: BTreeMap<u64, Event>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) history: History,
    pub(crate) verified: VerifiedBefore,
    pub(crate) healed: bool,
    /// Disks forget what they must not.
    pub(crate) forgetful: bool,
    /// A validator that is not there.
    pub(crate) down: Option<usize>,
    /// The last moment of a fault that has begun: of a partition the one at which it was joined.
    pub(crate) disturbed: u64,
    pub(crate) samples: Vec<Sample>,
    /// Of this process at the last measurement.
    pub(crate) usage: Usage,
}

/// Runs the network of a seed to its end. In each fourth there is hardly any room for attestations.
pub fn run(seed: u64) -> Result<Report, Violation> {
    let is_crowded = seed % CROWDED_EACH == CROWDED_EACH - 1;
    let plan: fn(&mut Random) -> Plan = if is_crowded { Plan::crowded } else { Plan::chaos };
    World::new(seed, plan).run(|_| {})
}

/// The same with disks that forget the write-ahead log in a crash, although it was synced. Nothing can be right then: this
/// is how the tests know that the checks see something.
pub fn run_with_forgetful_disks(seed: u64) -> Result<Report, Violation> {
    World { forgetful: true, ..World::new(seed, Plan::chaos) }.run(|_| {})
}

/// Runs a network that upgrades twice, with crashes and with programs that do not know the rules.
pub fn run_upgrades(seed: u64) -> Result<Report, Violation> {
    World::new(seed, Plan::upgrades).run(|_| {})
}

/// Runs a network in which nothing is lost, with one validator down most of the time if one is given.
pub fn run_quiet(seed: u64, down: Option<usize>) -> Result<Report, Violation> {
    World::new(seed, |random| Plan::quiet(random, down)).run(|_| {})
}

/// Runs a network at the default pace for minutes of virtual time, with restarts, partitions and full disks, and tells
/// `watch` of its sizes each ten minutes.
pub fn run_long(seed: u64, minutes: u64, watch: impl FnMut(&Sample)) -> Result<Report, Violation> {
    World::new(seed, |random| Plan::long(random, minutes)).run(watch)
}

/// Runs a network without faults in which one validator copies what the others say.
pub fn run_with_a_copier(seed: u64) -> Result<Report, Violation> {
    World::new(seed, Plan::copying).run(|_| {})
}

/// Runs a network without faults. `commitments`: as it is, or with attestations that anybody could copy. `down`: a validator that never
/// takes part.
pub fn run_calm(seed: u64, commitments: bool, down: Option<usize>) -> Result<Report, Violation> {
    let plan = |random: &mut Random| {
        let mut plan = Plan::calm(random);
        plan.genesis.params.windows.commitments = commitments;
        plan
    };
    World { down, ..World::new(seed, plan) }.run(|_| {})
}

/// Runs a network for days of virtual time with a block a minute, and tells `watch` of its sizes each day.
pub fn run_year(seed: u64, days: u64, watch: impl FnMut(&Sample)) -> Result<Report, Violation> {
    World::new(seed, |random| Plan::year(random, days)).run(watch)
}

impl World {
    /// Lets everything happen; tells `watch` of each measurement.
    fn run(mut self, mut watch: impl FnMut(&Sample)) -> Result<Report, Violation> {
        self.begin()?;
        while let Some(Reverse((at, number))) = self.queue.pop() {
            self.now = at;
            let Some(event) = self.events.remove(&number) else { continue };
            let measured = self.samples.len();
            self.happen(event)?;
            self.samples.iter().skip(measured).for_each(&mut watch);
            if self.healed && self.is_done() {
                return self.end();
            }
            if self.now > self.plan.length + self.plan.patience_seconds * 1_000 * MS {
                break;
            }
        }
        let patience_seconds = self.plan.patience_seconds;
        Err(Violation::Stuck { heights: self.heights(), wanted: self.wanted(), patience_seconds })
    }

    fn new(seed: u64, plan: impl FnOnce(&mut Random) -> Plan) -> World {
        let mut random = Random::new(seed);
        let plan = plan(&mut random);
        let verified = VerifiedBefore::default();
        let node = |number: usize, random: &mut Random| Node {
            config: MachineConfig {
                number,
                key: validator(number),
                timeouts: plan.timeouts,
                pauses: plan.pauses,
                retain_ms: plan.retain_ms,
                rule_sets: RuleSets::built_in(),
                verified: verified.clone(),
            },
            disk: MachineDisk::default(),
            machine: None,
            attester: Attester::new(validator(number), CHAIN_ID),
            kept: BTreeMap::new(),
            tables: Tables::default(),
            life: 0,
            committed: 0,
            skew: random.below(2 * SKEW) as i64 - SKEW as i64,
            tearing: false,
            full_until: 0,
        };
        let nodes = (0..VALIDATORS).map(|number| node(number, &mut random)).collect();
        let liar = plan.liar.map(|liar| validator(liar).public().address());
        let history = History::new(&plan.genesis, liar, plan.copies);
        World {
            plan,
            random,
            now: 0,
            number: 0,
            queue: BinaryHeap::new(),
            events: BTreeMap::new(),
            nodes,
            history,
            verified,
            healed: false,
            forgetful: false,
            down: None,
            disturbed: 0,
            samples: Vec::new(),
            usage: Usage::now(),
        }
    }

    pub(crate) fn honest(&self, node: usize) -> bool {
        self.plan.liar != Some(node)
    }

    /// Returns true of an honest validator that is not away for good.
    fn takes_part(&self, node: usize) -> bool {
        self.honest(node) && self.down != Some(node)
    }

    pub(crate) fn at(&mut self, after: u64, event: Event) {
        self.number += 1;
        self.queue.push(Reverse((self.now + after, self.number)));
        self.events.insert(self.number, event);
    }

    /// Starts everybody, and writes the plan into the queue.
    fn begin(&mut self) -> Result<(), Violation> {
        let absent = self.plan.upgrades.as_ref().and_then(|upgrades| upgrades.absent).or(self.down);
        for node in (0..VALIDATORS).filter(|node| absent != Some(*node)) {
            self.start(node)?;
        }
        for (at, event) in std::mem::take(&mut self.plan.faults) {
            self.at(at, event);
        }
        self.at(self.plan.length, Event::Heal);
        self.at(self.plan.work, Event::Transfer);
        let (first, length) = (self.plan.sources.first_window(), self.plan.sources.window_ms * MS);
        let end = (first + 1) * length - START.nanos() as u64;
        self.at(end, Event::Window { number: first });
        if let Some(pause) = self.plan.measure {
            self.at(pause, Event::Measure);
        }
        Ok(())
    }

    /// The time as a validator's clock shows it.
    pub(crate) fn clock(&self, node: usize) -> Timestamp {
        Timestamp(START.nanos() + self.now as i64 + self.nodes[node].skew)
    }

    pub(crate) fn start(&mut self, number: usize) -> Result<(), Violation> {
        let now = self.clock(number);
        let node = &mut self.nodes[number];
        node.life += 1;
        node.attester = Attester::new(validator(number), CHAIN_ID);
        node.tables.restart();
        let (machine, outputs) = match Machine::start(node.config.clone(), &self.plan.genesis, &node.disk, now) {
            Ok(started) => started,
            Err(error) => return self.ended(number, error),
        };
        let found = machine.store().tip().height;
        if found < node.committed {
            return Err(Violation::Lost { validator: number, committed: node.committed, found });
        }
        for statement in node.kept.values() {
            node.attester.restored(statement.clone(), found);
        }
        node.machine = Some(machine);
        // What it had committed without having told of it.
        for height in node.committed + 1..=found {
            let machine = self.nodes[number].machine.as_ref();
            let next = machine.and_then(|m| m.store().block(height).ok().flatten());
            if let Some(stored) = next.filter(|_| self.honest(number)) {
                self.history.same(number, height, stored.block.hash(), None)?;
            }
        }
        self.nodes[number].committed = found;
        self.follow_rules(number)?;
        self.ingest(number, None);
        self.carry_out(number, outputs)
    }

    pub(crate) fn crash(&mut self, number: usize) {
        let node = &mut self.nodes[number];
        if node.machine.is_none() {
            return;
        }
        // A process that is killed writes nothing more.
        node.disk.store.fail_after(0);
        node.machine = None;
        node.tearing = false;
        let random = &mut self.random;
        node.disk.power_cut(|end| random.below(end));
        if self.forgetful {
            node.disk.forget_log();
        }
        self.history.report.crashes += 1;
        let full = self.nodes[number].full_until.saturating_sub(self.now);
        let pause = if self.healed { 0 } else { full + self.random.below(RESTART_DELAY) };
        self.disturbed = self.disturbed.max(self.now + pause);
        self.at(pause, Event::Restart { node: number });
    }

    fn happen(&mut self, event: Event) -> Result<(), Violation> {
        match event {
            Event::Deliver { to, from, bytes } => {
                self.history.report.messages += 1;
                self.tell(to, Input::Message { from, bytes: bytes.to_vec() })?;
            }
            Event::Timer { node, life, id } if self.nodes[node].life == life => self.tell(node, Input::Timer(id))?,
            Event::Timer { .. } => {}
            Event::Transfer => self.hand_in_transfer()?,
            Event::Window { number } => self.end_window(number),
            Event::Close { node, source, number } => self.close(node, source, number)?,
            Event::Copy { node, source, number } => self.copy(node, source, number)?,
            Event::Crash { node } => self.crash(node),
            Event::Tear { node } => {
                let operations = self.random.below(60);
                self.fail(node, operations);
            }
            Event::Fill { node, until } => {
                self.nodes[node].full_until = until;
                self.disturbed = self.disturbed.max(until);
                self.fail(node, 0);
            }
            Event::Restart { node } if self.nodes[node].machine.is_none() => self.start(node)?,
            Event::Restart { .. } => {}
            Event::Ballots => self.ballots()?,
            Event::Install { node } => self.install(node)?,
            Event::Part if !self.healed => {
                self.plan.network.part(&mut self.random);
                if self.plan.measure.is_none() {
                    let again = self.random.below(3_000 * MS);
                    self.at(again, Event::Part);
                }
            }
            Event::Part => {}
            Event::Join => {
                self.disturbed = self.disturbed.max(self.now);
                self.plan.network.join();
            }
            Event::Measure => self.measure()?,
            Event::Heal => self.heal()?,
        }
        Ok(())
    }

    /// Lets a disk fail after some more operations; its validator ends with the first that fails.
    fn fail(&mut self, node: usize, operations: u64) {
        let node = &mut self.nodes[node];
        node.tearing = node.machine.is_some();
        if node.tearing {
            node.disk.store.fail_after(operations);
        }
    }

    fn heal(&mut self) -> Result<(), Violation> {
        self.healed = true;
        self.plan.network.heal();
        for node in 0..VALIDATORS {
            if self.nodes[node].tearing {
                self.crash(node);
            }
            if self.nodes[node].machine.is_none() && self.down != Some(node) {
                self.install(node)?;
            }
        }
        self.history.report.height = self.heights().into_iter().max().unwrap_or(0);
        Ok(())
    }

    pub(crate) fn tell(&mut self, number: usize, input: Input) -> Result<(), Violation> {
        let now = self.clock(number);
        let (kind, bytes) = match &input {
            Input::Message { from, bytes } => (*from as u64, bytes.as_slice()),
            Input::Timer(id) => (100 + id, [].as_slice()),
            Input::Submit(bytes) => (99, bytes.as_slice()),
        };
        self.trace(number, kind, bytes);
        let forgets = self.random.permille(FORGOTTEN_PERMILLE);
        let Some(machine) = &mut self.nodes[number].machine else { return Ok(()) };
        if forgets {
            machine.forget_executions();
        }
        let handled = machine.handle(input, now);
        self.handled(number, handled)
    }

    pub(crate) fn handled(
        &mut self,
        number: usize,
        handled: Result<Vec<Output>, EngineError>,
    ) -> Result<(), Violation> {
        match handled {
            Ok(outputs) => self.carry_out(number, outputs),
            Err(_) if self.nodes[number].tearing => {
                self.crash(number);
                Ok(())
            }
            Err(error) => self.ended(number, error),
        }
    }

    pub(crate) fn trace(&mut self, number: usize, kind: u64, bytes: &[u8]) {
        let numbers = [self.now, number as u64, kind].map(u64::to_be_bytes).concat();
        let report = &mut self.history.report;
        report.trace = sha256(&[&report.trace.0, &numbers, bytes]);
    }

    pub(crate) fn carry_out(&mut self, number: usize, outputs: Vec<Output>) -> Result<(), Violation> {
        for output in outputs {
            match output {
                Output::Timer { id, after } => {
                    let life = self.nodes[number].life;
                    self.at(after.as_nanos() as u64, Event::Timer { node: number, life, id });
                }
                Output::Send { to, bytes } => self.send(number, to, &Arc::new(bytes)),
                Output::Broadcast(bytes) => self.broadcast(number, bytes),
                Output::Committed(block) => self.committed(number, &block)?,
            }
        }
        Ok(())
    }

    fn send(&mut self, from: usize, to: usize, bytes: &Arc<Vec<u8>>) {
        for after in self.plan.network.deliveries(&mut self.random, from, to) {
            self.at(after, Event::Deliver { to, from, bytes: Arc::clone(bytes) });
        }
    }

    /// A liar says one thing to some and another thing to others, or both to everybody.
    fn broadcast(&mut self, from: usize, bytes: Vec<u8>) {
        let lie = (!self.honest(from) && !self.plan.copies && self.random.permille(300))
            .then(|| contradict(CHAIN_ID, &self.nodes[from].config.key, &bytes))
            .flatten()
            .map(Arc::new);
        let bytes = Arc::new(bytes);
        for to in (0..VALIDATORS).filter(|to| *to != from) {
            match &lie {
                Some(lie) => {
                    let what = self.random.below(3);
                    if what != 0 {
                        self.send(from, to, lie);
                    }
                    if what != 1 {
                        self.send(from, to, &bytes);
                    }
                }
                None => self.send(from, to, &bytes),
            }
        }
    }

    fn committed(&mut self, number: usize, block: &CommittedBlock) -> Result<(), Violation> {
        self.nodes[number].committed = block.block.header.height;
        if !self.honest(number) {
            return Ok(());
        }
        self.history.committed(number, block)?;
        self.count_supply(number)?;
        self.follow_rules(number)?;
        self.ingest(number, Some((block.block.header.height, &block.events)));
        self.attest(number)
    }

    /// Adds up the whole supply at a validator, account by account. One whose disk is about to fail is left alone: reading would
    /// move the place where it does.
    fn count_supply(&self, number: usize) -> Result<(), Violation> {
        let node = &self.nodes[number];
        let Some(machine) = node.machine.as_ref().filter(|_| !node.tearing) else { return Ok(()) };
        let state = machine.store().state().map_err(StateError::from)?;
        if check_supply(&state)?.1 { Ok(()) } else { Err(Violation::Supply(number)) }
    }

    /// Writes sizes down, of the first validator that runs.
    fn measure(&mut self) -> Result<(), Violation> {
        // Signatures of blocks that are decided are not seen again.
        self.verified.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clear();
        if let Some(machine) = self.nodes.iter().find_map(|node| node.machine.as_ref()) {
            let state = machine.store().state().map_err(StateError::from)?;
            let waiting = machine.load();
            let before = self.samples.last().copied().unwrap_or_default();
            let (windows, usage) = (self.history.report.windows - before.windows_ever, Usage::now());
            let cpu_nanos = usage.cpu_nanos.saturating_sub(self.usage.cpu_nanos);
            let sample = Sample {
                minutes: self.now / (60_000 * MS),
                height: machine.store().tip().height,
                waiting: waiting.0 as u64,
                waiting_bytes: waiting.1 as u64,
                attester_windows: self.nodes.iter().map(|node| node.attester.waiting() as u64).sum(),
                windows,
                windows_ever: self.history.report.windows,
                chunks: self.history.report.chunks - before.chunks_ever,
                chunks_ever: self.history.report.chunks,
                disk_bytes: self.nodes.iter().map(|node| node.disk.store.bytes()).max().unwrap_or(0),
                disk_in_use_bytes: self.disk_in_use()?,
                disk_memory_bytes: self.nodes.iter().map(|node| node.disk.store.memory_bytes()).sum(),
                memory_bytes: usage.memory_bytes,
                nanos_per_window: cpu_nanos / windows.max(1),
                is_calm: self.is_calm(),
                ..Sample::default()
            };
            self.usage = usage;
            self.samples.push(sample.with_state(&state)?);
        }
        if let Some(pause) = self.plan.measure {
            self.at(pause, Event::Measure);
        }
        Ok(())
    }

    /// Largest part of a running validator's disk that holds something, bytes.
    fn disk_in_use(&self) -> Result<u64, Violation> {
        let mut most = 0;
        for machine in self.nodes.iter().filter_map(|node| node.machine.as_ref()) {
            most = most.max(machine.store().bytes_in_use().map_err(StateError::from)?);
        }
        Ok(most)
    }

    /// True where no fault is in progress and none has been for some windows.
    fn is_calm(&self) -> bool {
        let is_whole = !self.plan.network.is_parted() && self.nodes.iter().all(|node| node.machine.is_some());
        is_whole && self.now >= self.disturbed + CALM_WINDOWS * self.plan.sources.window_ms * MS
    }

    fn heights(&self) -> Vec<Height> {
        self.nodes.iter().map(|node| node.committed).collect()
    }

    /// Height that every honest validator must reach.
    fn wanted(&self) -> Height {
        self.history.report.height + PROGRESS
    }

    fn is_done(&self) -> bool {
        let wanted = self.wanted();
        (0..VALIDATORS).filter(|n| self.takes_part(*n)).all(|n| self.nodes[n].committed >= wanted)
            && self.has_upgraded()
    }

    fn end(mut self) -> Result<Report, Violation> {
        for (number, node) in self.nodes.iter().enumerate() {
            if node.machine.is_some() {
                self.count_supply(number)?;
                let lost = node.tables.lost();
                if lost > 0 && self.honest(number) {
                    return Err(Violation::Tables { validator: number, lost });
                }
            }
        }
        self.judge_upgrades()?;
        let honest: Vec<usize> = (0..VALIDATORS).filter(|n| self.takes_part(*n)).collect();
        let report = &mut self.history.report;
        report.height = honest.iter().map(|n| self.nodes[*n].committed).min().unwrap_or(0);
        Ok(report.clone())
    }
}
