//! A network in virtual time: the queue of events, the faults, and what must hold whatever happens.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::Arc;

use openmesh_engine::machine::{Input, Machine, MachineConfig, MachineDisk, Output, VerifiedBefore, contradict};
use openmesh_engine::{CommittedBlock, Pauses, Timeouts};
use openmesh_ledger::{Genesis, IncidentKind, LedgerEvent, StateError, WindowsEvent, check_supply};
use openmesh_primitives::{Address, Digest, Height, Timestamp, sha256};

use crate::check::{Report, Violation};
use crate::network::{MS, Network};
use crate::random::Random;
use crate::workload::{CHAIN_ID, START, attestation, genesis, honest_chunk, transfer, validator};

const VALIDATORS: usize = 4;
/// Faults happen for so long, virtual time.
const CHAOS: u64 = 12_000 * MS;
/// After that the network must go on within so much.
pub(crate) const PATIENCE_SECONDS: u64 = 60;
const PATIENCE: u64 = PATIENCE_SECONDS * 1_000 * MS;
/// By so many blocks.
const PROGRESS: u64 = 3;
/// Clocks differ by at most so much from the true time.
const SKEW: u64 = 300 * MS;
/// Length of a window, and about how often something is handed in.
const WINDOW: u64 = 1_000 * MS;
const WORK: u64 = 150 * MS;

enum Event {
    Deliver {
        to: usize,
        from: usize,
        bytes: Arc<Vec<u8>>,
    },
    Timer {
        node: usize,
        life: u64,
        id: u64,
    },
    Transfer,
    Attest {
        node: usize,
        window: u64,
    },
    Crash {
        node: usize,
    },
    /// The disk fails in the middle of what comes.
    Tear {
        node: usize,
    },
    Restart {
        node: usize,
    },
    Part,
    Heal,
}

struct Node {
    config: MachineConfig,
    disk: MachineDisk,
    machine: Option<Machine>,
    /// Counts starts: timers of an earlier life mean nothing.
    life: u64,
    /// The highest block that it told of.
    committed: Height,
    skew: i64,
    tearing: bool,
}

struct World {
    random: Random,
    now: u64,
    number: u64,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    events: BTreeMap<u64, Event>,
    nodes: Vec<Node>,
    liar: Option<usize>,
    network: Network,
    genesis: Genesis,
    chain: BTreeMap<Height, (Digest, Digest)>,
    accepted: BTreeSet<u64>,
    healed: bool,
    /// Disks forget what they must not.
    forgetful: bool,
    report: Report,
}

/// Runs the network of a seed to its end.
pub fn run(seed: u64) -> Result<Report, Violation> {
    World::new(seed).run()
}

/// The same with disks that forget the write-ahead log in a crash, although it was synced. Nothing can be right then: this
/// is how the tests know that the checks see something.
pub fn run_with_forgetful_disks(seed: u64) -> Result<Report, Violation> {
    World { forgetful: true, ..World::new(seed) }.run()
}

impl World {
    fn run(mut self) -> Result<Report, Violation> {
        let world = &mut self;
        world.begin()?;
        while let Some(Reverse((at, number))) = world.queue.pop() {
            world.now = at;
            let Some(event) = world.events.remove(&number) else { continue };
            world.happen(event)?;
            if world.healed && world.is_done() {
                return self.end();
            }
            if world.now > CHAOS + PATIENCE {
                let wanted = world.wanted();
                return Err(Violation::Stuck { heights: world.heights(), wanted });
            }
        }
        let wanted = world.wanted();
        Err(Violation::Stuck { heights: world.heights(), wanted })
    }
}

impl World {
    fn new(seed: u64) -> World {
        let mut random = Random::new(seed);
        let liar = random.permille(500).then(|| random.below(VALIDATORS as u64) as usize);
        let network = Network::new(&mut random, VALIDATORS);
        let verified = VerifiedBefore::default();
        let timeouts =
            Timeouts { propose_ms: 600, propose_delta_ms: 200, vote_ms: 250, vote_delta_ms: 100, max_ms: 2_500 };
        let node = |number: usize, random: &mut Random| Node {
            config: MachineConfig {
                number,
                key: validator(number),
                timeouts,
                pauses: Pauses { idle_block_ms: 400, block_min_ms: 100, batch_ms: 20 },
                verified: verified.clone(),
            },
            disk: MachineDisk::default(),
            machine: None,
            life: 0,
            committed: 0,
            skew: random.below(2 * SKEW) as i64 - SKEW as i64,
            tearing: false,
        };
        let nodes = (0..VALIDATORS).map(|number| node(number, &mut random)).collect();
        World {
            random,
            now: 0,
            number: 0,
            queue: BinaryHeap::new(),
            events: BTreeMap::new(),
            nodes,
            liar,
            network,
            genesis: genesis(VALIDATORS),
            chain: BTreeMap::new(),
            accepted: BTreeSet::new(),
            healed: false,
            forgetful: false,
            report: Report {
                height: 0,
                messages: 0,
                crashes: 0,
                round: 0,
                equivocations: 0,
                chunks: 0,
                transfers: 0,
                trace: Digest::ZERO,
            },
        }
    }

    fn honest(&self, node: usize) -> bool {
        self.liar != Some(node)
    }

    fn at(&mut self, after: u64, event: Event) {
        self.number += 1;
        self.queue.push(Reverse((self.now + after, self.number)));
        self.events.insert(self.number, event);
    }

    /// Starts everybody, and writes the faults of this seed into the queue.
    fn begin(&mut self) -> Result<(), Violation> {
        for node in 0..VALIDATORS {
            self.start(node)?;
        }
        let faults = self.random.below(8);
        for _ in 0..faults {
            let (at, node) = (self.random.below(CHAOS), self.random.below(VALIDATORS as u64) as usize);
            let event = match self.random.below(3) {
                0 => Event::Crash { node },
                1 => Event::Tear { node },
                _ => Event::Part,
            };
            self.at(at, event);
        }
        self.at(CHAOS, Event::Heal);
        self.at(WORK, Event::Transfer);
        for window in 0..CHAOS / WINDOW {
            for node in 0..VALIDATORS {
                let at = (window + 1) * WINDOW + self.random.below(WINDOW);
                self.at(at, Event::Attest { node, window });
            }
        }
        Ok(())
    }

    /// The time as a validator's clock shows it.
    fn clock(&self, node: usize) -> Timestamp {
        Timestamp(START.nanos() + self.now as i64 + self.nodes[node].skew)
    }

    fn start(&mut self, number: usize) -> Result<(), Violation> {
        let now = self.clock(number);
        let node = &mut self.nodes[number];
        node.life += 1;
        let (machine, outputs) = Machine::start(node.config.clone(), &self.genesis, &node.disk, now)
            .map_err(|error| Violation::Failed { validator: number, error })?;
        let found = machine.store().tip().height;
        if found < node.committed {
            return Err(Violation::Lost { validator: number, committed: node.committed, found });
        }
        node.machine = Some(machine);
        // What it had committed without having told of it.
        for height in node.committed + 1..=found {
            let machine = self.nodes[number].machine.as_ref();
            let next = machine.and_then(|m| m.store().block(height).ok().flatten());
            if let Some(stored) = next {
                self.same(number, height, stored.block.hash(), None)?;
            }
        }
        self.nodes[number].committed = found;
        self.carry_out(number, outputs)
    }

    fn crash(&mut self, number: usize) {
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
        self.report.crashes += 1;
        let pause = if self.healed { 0 } else { self.random.below(3_000 * MS) };
        self.at(pause, Event::Restart { node: number });
    }

    fn happen(&mut self, event: Event) -> Result<(), Violation> {
        match event {
            Event::Deliver { to, from, bytes } => {
                self.report.messages += 1;
                self.tell(to, Input::Message { from, bytes: bytes.to_vec() })
            }
            Event::Timer { node, life, id } if self.nodes[node].life == life => self.tell(node, Input::Timer(id)),
            Event::Timer { .. } => Ok(()),
            Event::Transfer => self.hand_in_transfer(),
            Event::Attest { node, window } => {
                let lies = !self.honest(node);
                let Some(machine) = &self.nodes[node].machine else { return Ok(()) };
                let bytes = attestation(machine, node, window, lies)?;
                self.tell(node, Input::Submit(bytes))
            }
            Event::Crash { node } => {
                self.crash(node);
                Ok(())
            }
            Event::Tear { node } => {
                let operations = self.random.below(60);
                self.nodes[node].tearing = self.nodes[node].machine.is_some();
                if self.nodes[node].tearing {
                    self.nodes[node].disk.store.fail_after(operations);
                }
                Ok(())
            }
            Event::Restart { node } if self.nodes[node].machine.is_none() => self.start(node),
            Event::Restart { .. } => Ok(()),
            Event::Part => {
                if !self.healed {
                    self.network.part(&mut self.random);
                    let again = self.random.below(3_000 * MS);
                    self.at(again, Event::Part);
                }
                Ok(())
            }
            Event::Heal => self.heal(),
        }
    }

    fn hand_in_transfer(&mut self) -> Result<(), Violation> {
        let node = self.random.below(VALIDATORS as u64) as usize;
        if let Some(machine) = &self.nodes[node].machine
            && let Some(bytes) = transfer(machine, &mut self.random)?
        {
            self.tell(node, Input::Submit(bytes))?;
        }
        let after = self.random.below(2 * WORK);
        self.at(after, Event::Transfer);
        Ok(())
    }

    fn heal(&mut self) -> Result<(), Violation> {
        self.healed = true;
        self.network.heal();
        for node in 0..VALIDATORS {
            if self.nodes[node].tearing {
                self.crash(node);
            }
            if self.nodes[node].machine.is_none() {
                self.start(node)?;
            }
        }
        self.report.height = self.heights().into_iter().max().unwrap_or(0);
        Ok(())
    }

    fn tell(&mut self, number: usize, input: Input) -> Result<(), Violation> {
        let now = self.clock(number);
        self.trace(number, &input);
        let node = &mut self.nodes[number];
        let Some(machine) = &mut node.machine else { return Ok(()) };
        match machine.handle(input, now) {
            Ok(outputs) => self.carry_out(number, outputs),
            Err(_) if node.tearing => {
                self.crash(number);
                Ok(())
            }
            Err(error) => Err(Violation::Failed { validator: number, error }),
        }
    }

    fn trace(&mut self, number: usize, input: &Input) {
        let (kind, bytes) = match input {
            Input::Message { from, bytes } => (*from as u64, bytes.as_slice()),
            Input::Timer(id) => (100 + id, [].as_slice()),
            Input::Submit(bytes) => (99, bytes.as_slice()),
        };
        let numbers = [self.now, number as u64, kind].map(u64::to_be_bytes).concat();
        self.report.trace = sha256(&[&self.report.trace.0, &numbers, bytes]);
    }

    fn carry_out(&mut self, number: usize, outputs: Vec<Output>) -> Result<(), Violation> {
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
        for after in self.network.deliveries(&mut self.random, from, to) {
            self.at(after, Event::Deliver { to, from, bytes: Arc::clone(bytes) });
        }
    }

    /// A liar says one thing to some and another thing to others, or both to everybody.
    fn broadcast(&mut self, from: usize, bytes: Vec<u8>) {
        let lie = (!self.honest(from) && self.random.permille(300))
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

    /// One block and one state at each height, whoever commits it.
    fn same(
        &mut self,
        validator: usize,
        height: Height,
        block: Digest,
        state: Option<Digest>,
    ) -> Result<(), Violation> {
        if !self.honest(validator) {
            return Ok(());
        }
        match self.chain.get(&height) {
            Some((known, root)) if *known != block || state.is_some_and(|state| state != *root) => {
                Err(Violation::Fork { height, validator, block, state: state.unwrap_or(Digest::ZERO) })
            }
            Some(_) => Ok(()),
            None => {
                if let Some(state) = state {
                    self.chain.insert(height, (block, state));
                }
                Ok(())
            }
        }
    }

    fn committed(&mut self, number: usize, block: &CommittedBlock) -> Result<(), Violation> {
        let height = block.block.header.height;
        self.nodes[number].committed = height;
        let first = self.honest(number) && !self.chain.contains_key(&height);
        self.same(number, height, block.hash, Some(block.state_root))?;
        if !first {
            return Ok(());
        }
        if block.block.last_commit.is_some() != (height > 1) {
            return Err(Violation::NoCommit(height));
        }
        self.report.round = self.report.round.max(block.certificate.round);
        self.report.transfers += block.receipts.iter().filter(|r| r.ok() && r.nonce.is_some()).count() as u64;
        let liar = self.liar.map(|liar| validator(liar).public().address());
        block.events.iter().try_for_each(|event| self.judge(event, liar))
    }

    fn judge(&mut self, event: &LedgerEvent, liar: Option<Address>) -> Result<(), Violation> {
        match event {
            LedgerEvent::Windows(WindowsEvent::ChunkAccepted { window, cid, .. }) => {
                self.report.chunks += 1;
                if *cid != honest_chunk(*window) || !self.accepted.insert(*window) {
                    return Err(Violation::Chunk { window: *window });
                }
            }
            LedgerEvent::Incident(incident) => match incident.kind {
                IncidentKind::Equivocation | IncidentKind::Differing
                    if incident.validator != liar || liar.is_none() =>
                {
                    return Err(Violation::Slander(incident.detail.clone()));
                }
                IncidentKind::Equivocation => self.report.equivocations += 1,
                _ => {}
            },
            _ => {}
        }
        Ok(())
    }

    fn heights(&self) -> Vec<Height> {
        self.nodes.iter().map(|node| node.committed).collect()
    }

    /// Where every honest validator must come.
    fn wanted(&self) -> Height {
        self.report.height + PROGRESS
    }

    fn is_done(&self) -> bool {
        let wanted = self.wanted();
        (0..VALIDATORS).filter(|n| self.honest(*n)).all(|n| self.nodes[n].committed >= wanted)
    }

    fn end(mut self) -> Result<Report, Violation> {
        for (number, node) in self.nodes.iter().enumerate() {
            if let Some(machine) = &node.machine {
                let state = machine.store().state().map_err(StateError::from)?;
                if !check_supply(&state)?.1 {
                    return Err(Violation::Supply(number));
                }
            }
        }
        let honest: Vec<usize> = (0..VALIDATORS).filter(|n| self.honest(*n)).collect();
        self.report.height = honest.iter().map(|n| self.nodes[*n].committed).min().unwrap_or(0);
        Ok(self.report)
    }
}
