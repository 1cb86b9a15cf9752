//! Plans: what is simulated, for how long, and what goes wrong when.

use openmesh_engine::{Pauses, Timeouts};
use openmesh_ledger::{EpochsParams, Genesis, Params, WindowsParams};

use crate::event::Event;
use crate::network::{MS, Network};
use crate::random::Random;
use crate::upgrades::Upgrades;
use crate::workload::{Sources, sources_genesis};

/// Validators of every simulated network.
pub const VALIDATORS: usize = 4;
const SECOND: u64 = 1_000 * MS;
const MINUTE: u64 = 60 * SECOND;
const DAY: u64 = 24 * 60 * MINUTE;
/// Sources of the long runs.
const SIX_VENUES: &[&str] = &["binance", "bybit", "coinbase", "deribit", "kraken", "okx"];
/// A quiet run lasts so long, with time for some hundred blocks.
const QUIET: u64 = 60 * SECOND;
/// In a quiet run with one validator down it goes after so long, and comes back so long before the end.
const DOWN_MARGIN: u64 = 10 * SECOND;
/// Faults of a short run happen for so long.
const CHAOS: u64 = 12 * SECOND;
/// Hardly any room is reserved for attestations: less than so many bytes, of which each has about half.
const CROWDED: u64 = 300;
/// A run without faults takes so long.
const CALM: u64 = 40 * SECOND;

/// A plan of a run.
pub struct Plan {
    pub genesis: Genesis,
    pub sources: Sources,
    pub timeouts: Timeouts,
    pub pauses: Pauses,
    pub network: Network,
    pub liar: Option<usize>,
    /// The liar saw nothing, and copies what the others say.
    pub copies: bool,
    /// Faults end and everything heals after so long, nanoseconds; so does the work of the sources.
    pub length: u64,
    /// Age of blocks that validators keep, milliseconds; `None` keeps all.
    pub retain_ms: Option<u64>,
    /// After everything has healed the network must go on within so many seconds.
    pub patience_seconds: u64,
    /// Mean pause between two transfers, nanoseconds.
    pub work: u64,
    /// Beside each transfer somebody sends a well paid one behind a gap of nonces that is never closed.
    pub nuisances: bool,
    /// Beside each transfer somebody stamps a hash.
    pub stamps: bool,
    /// A collector misses a window so many times of a thousand.
    pub missed_permille: u64,
    pub faults: Vec<(u64, Event)>,
    /// Pause between two measurements, nanoseconds.
    pub measure: Option<u64>,
    /// Upgrades that the validators plan.
    pub upgrades: Option<Upgrades>,
}

impl Plan {
    /// A short run in which a few faults come close together, as the seed says. In half of them a validator lies.
    pub fn chaos(random: &mut Random) -> Plan {
        let liar = random.permille(500).then(|| random.below(VALIDATORS as u64) as usize);
        let network = Network::new(random, VALIDATORS);
        let sources = Sources { names: &["venue"], streams: &["BTC.USD/trades"], window_ms: 1_000 };
        let faults = (0..random.below(8)).map(|_| {
            let (at, node) = (random.below(CHAOS), random.below(VALIDATORS as u64) as usize);
            let event = match random.below(3) {
                0 => Event::Crash { node },
                1 => Event::Tear { node },
                _ => Event::Part,
            };
            (at, event)
        });
        let faults = faults.collect();
        let params = Params {
            epochs: EpochsParams { epoch_ms: 7_000, mix_blocks: 4, ..EpochsParams::default() },
            windows: WindowsParams { window_close_blocks: 20, ..WindowsParams::default() },
            ..Params::default()
        };
        Plan {
            genesis: sources_genesis(VALIDATORS, &sources, params),
            sources,
            timeouts: Timeouts {
                propose_ms: 600,
                propose_delta_ms: 200,
                vote_ms: 250,
                vote_delta_ms: 100,
                max_ms: 2_500,
            },
            pauses: Pauses { idle_block_ms: 400, block_min_ms: 100, batch_ms: 20 },
            network,
            liar,
            copies: false,
            length: CHAOS,
            retain_ms: None,
            patience_seconds: 60,
            work: 150 * MS,
            nuisances: false,
            stamps: false,
            missed_permille: 0,
            faults,
            measure: None,
            upgrades: None,
        }
    }

    /// A short run as that one, in which blocks take most attestations beyond the room that is reserved for them, and stamps beside: both make
    /// facts, so whoever executed a block in another order than it has would have another state.
    pub fn crowded(random: &mut Random) -> Plan {
        let mut plan = Plan::chaos(random);
        plan.genesis.params.blocks.attestation_bytes_reserved = random.below(CROWDED);
        plan.genesis.params.stamps.stamps_kept_epochs = 1;
        Plan { stamps: true, ..plan }
    }

    /// A short run as [`Plan::chaos`] in which the validators upgrade twice. Some get the program that knows the rule sets meanwhile, the
    /// others only after theirs has stopped; in a third of the runs one is not there before everything has healed.
    pub fn upgrades(random: &mut Random) -> Plan {
        let mut plan = Plan::chaos(random);
        for node in 0..VALIDATORS {
            if random.permille(600) {
                plan.faults.push((random.below(CHAOS), Event::Install { node }));
            }
        }
        plan.faults.push((SECOND / 2, Event::Ballots));
        let absent = random.permille(333).then(|| random.below(VALIDATORS as u64) as usize);
        // A liar beside it would leave too few.
        let absent = absent.filter(|_| plan.liar.is_none());
        Plan { upgrades: Some(Upgrades::new(absent)), patience_seconds: 180, ..plan }
    }

    /// As [`Plan::calm`], with a validator that copies.
    pub fn copying(random: &mut Random) -> Plan {
        let mut plan = Plan::calm(random);
        plan.liar = Some(random.below(VALIDATORS as u64) as usize);
        plan.copies = true;
        plan
    }

    /// A short run at the default pace in which nothing goes wrong.
    pub fn calm(random: &mut Random) -> Plan {
        let mut plan = Plan::chaos(random);
        plan.network.heal();
        let sources = Sources { names: &["venue"], streams: &["BTC.USD/trades"], window_ms: 2_000 };
        Plan {
            genesis: sources_genesis(VALIDATORS, &sources, Params::default()),
            sources,
            liar: None,
            faults: Vec::new(),
            pauses: Pauses::default(),
            timeouts: Timeouts::default(),
            length: CALM,
            ..plan
        }
    }

    /// A run in which nothing is lost and nobody lies. One validator is `down` most of the time, if one is given.
    pub fn quiet(random: &mut Random, down: Option<usize>) -> Plan {
        let mut plan = Plan::chaos(random);
        plan.network.heal();
        let gone = down.map(|node| (DOWN_MARGIN, Event::Fill { node, until: QUIET - DOWN_MARGIN }));
        Plan { liar: None, length: QUIET, faults: gone.into_iter().collect(), ..plan }
    }

    /// A long run at the default pace with six sources. In each period of an hour (or the whole of a shorter run) a
    /// validator crashes, a disk tears, the network parts for a while, and a disk is full for some minutes; once in four
    /// periods all disks are full at the same time.
    pub fn long(random: &mut Random, minutes: u64) -> Plan {
        let sources = Sources { names: SIX_VENUES, streams: &["BTC.USD/trades"], window_ms: 10_000 };
        let period = minutes.clamp(1, 60) * MINUTE;
        let mut faults = Vec::new();
        for number in 0..minutes * MINUTE / period {
            let moment = |random: &mut Random| number * period + random.below(period / 6 * 5);
            let node = |random: &mut Random| random.below(VALIDATORS as u64) as usize;
            faults.push((moment(random), Event::Crash { node: node(random) }));
            faults.push((moment(random), Event::Tear { node: node(random) }));
            let part = moment(random);
            faults.push((part, Event::Part));
            faults.push((part + random.below(MINUTE), Event::Join));
            let full = moment(random);
            faults.push((full, Event::Fill { node: node(random), until: full + random.below(period / 12) }));
            if number % 4 == 3 || period < 60 * MINUTE {
                let full = moment(random);
                let until = full + period / 60;
                faults.extend((0..VALIDATORS).map(|node| (full, Event::Fill { node, until })));
            }
        }
        let mut network = Network::new(random, VALIDATORS);
        network.heal();
        Plan {
            genesis: sources_genesis(VALIDATORS, &sources, Params::default()),
            sources,
            timeouts: Timeouts::default(),
            pauses: Pauses::default(),
            network,
            liar: None,
            copies: false,
            length: minutes * MINUTE,
            // Longer than any outage.
            retain_ms: Some(30 * 60_000),
            patience_seconds: 60,
            work: SECOND,
            nuisances: true,
            stamps: false,
            missed_permille: 0,
            faults,
            measure: Some(10 * MINUTE),
            upgrades: None,
        }
    }

    /// A year, or some days of it, at a slow pace: a block a minute, windows of ten minutes, six sources with two streams each. On
    /// each day a validator crashes; in each week a disk tears and the network parts for a while; in each ten days a disk is full for
    /// up to two days, and in each month all of them for an hour. Of a hundred windows a collector misses one.
    pub fn year(random: &mut Random, days: u64) -> Plan {
        let sources =
            Sources { names: SIX_VENUES, streams: &["BTC.USD/book", "BTC.USD/trades"], window_ms: 10 * 60_000 };
        let mut faults = Vec::new();
        for day in 0..days {
            let moment = |random: &mut Random| day * DAY + random.below(DAY);
            let node = |random: &mut Random| random.below(VALIDATORS as u64) as usize;
            faults.push((moment(random), Event::Crash { node: node(random) }));
            if day % 7 == 3 {
                faults.push((moment(random), Event::Tear { node: node(random) }));
                let part = moment(random);
                faults.push((part, Event::Part));
                faults.push((part + random.below(10 * MINUTE), Event::Join));
            }
            if day % 10 == 5 {
                let full = moment(random);
                faults.push((full, Event::Fill { node: node(random), until: full + random.below(2 * DAY) }));
            }
            if day % 30 == 20 {
                let full = moment(random);
                faults.extend((0..VALIDATORS).map(|node| (full, Event::Fill { node, until: full + 60 * MINUTE })));
            }
        }
        let mut network = Network::new(random, VALIDATORS);
        network.heal();
        Plan {
            // An epoch has sixty blocks.
            genesis: sources_genesis(
                VALIDATORS,
                &sources,
                Params { epochs: EpochsParams { mix_blocks: 8, ..EpochsParams::default() }, ..Params::default() },
            ),
            sources,
            // Ten times the usual ones, as the pace is slower: votes are repeated as often as the shortest of them says.
            timeouts: Timeouts {
                propose_ms: 15_000,
                propose_delta_ms: 5_000,
                vote_ms: 5_000,
                vote_delta_ms: 2_500,
                max_ms: 50_000,
            },
            pauses: Pauses { idle_block_ms: 60_000, block_min_ms: 60_000, batch_ms: 20 },
            network,
            liar: None,
            copies: false,
            length: days * DAY,
            // Longer than any outage.
            retain_ms: Some(3 * 24 * 60 * 60_000),
            patience_seconds: 10 * 60,
            work: 30 * SECOND,
            nuisances: true,
            stamps: false,
            missed_permille: 10,
            faults,
            measure: Some(DAY),
            upgrades: None,
        }
    }
}
