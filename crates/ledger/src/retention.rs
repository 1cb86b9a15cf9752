//! Removal of details from the state, some epochs after they became facts: closed windows with their chunks, incidents, stamps,
//! and evidence that is too old to be sent again. Clause C of `docs/spec/transactions.md`.
//!
//! The details of an epoch become due together. They leave evenly, twice as fast as they came by the time of the chain, so that no block
//! takes long for them and half an epoch is enough. The pace goes by time and not by blocks, because nobody knows how many blocks
//! an epoch will have. Something is left behind only where the chain stood still in that time, or a block would have had to
//! remove more than the most; it leaves with the next epoch's first blocks, before everything else.

use openmesh_primitives::Height;

use crate::context::Context;
use crate::fact::Fact;
use crate::keys;
use crate::modules::epochs::{
    ClosedEpoch, EpochKeys, EpochsParams, PRUNED_KEYS_PER_BLOCK_MIN, PRUNING_SPEED, closed_epoch, epoch_keys,
};
use crate::modules::evidence::EVIDENCE_AGE_BLOCKS_MAX;
use crate::modules::stamps::STAMP_KEYS;
use crate::modules::windows::WindowsFact;
use crate::modules::{evidence, incidents, stamps, windows};
use crate::rules::block_meta;
use crate::state::StateError;

/// Removes details of one kind, oldest first: those before an epoch, whose predecessor had this last height, as long as the
/// budget of keys lasts.
type Remove = fn(&mut Context<'_>, u64, Height, &mut usize) -> Result<(), StateError>;

/// Removes what the parameters say is no longer kept, as far as the block's budget of keys goes. Fails if the store does.
pub(crate) fn prune(context: &mut Context<'_>) -> Result<(), StateError> {
    let (epoch, params) = (context.rules.epoch, &context.rules.params);
    let details_from = epoch.saturating_sub(params.epochs.details_kept_epochs);
    let stamps_from = epoch.saturating_sub(params.stamps.stamps_kept_epochs);
    let mut left = params.epochs.pruned_keys_per_block_max as usize;
    prune_before(context, details_from, |keys| keys.details, prune_details, &mut left)?;
    prune_before(context, stamps_from, |keys| keys.stamps, prune_stamps, &mut left)?;
    // A block takes fewer pieces of evidence than that, so that none wait in a row.
    let oldest = context.height.saturating_sub(EVIDENCE_AGE_BLOCKS_MAX);
    evidence::prune(context, oldest, &mut left.min(PRUNED_KEYS_PER_BLOCK_MIN as usize))
}

/// Counts the keys of the details that the block has added, by its facts, so that it is known how fast they have to leave. Fails if the
/// store does.
pub(crate) fn count(context: &mut Context<'_>) -> Result<(), StateError> {
    let before = epoch_keys(&context.state)?;
    let mut counted = before;
    for fact in &context.facts {
        match fact {
            Fact::Windows(WindowsFact::Closed { record, .. }) => counted.details += windows::detail_keys(record),
            Fact::Incident(_) => counted.details += 1,
            Fact::Stamp(_) => counted.stamps += STAMP_KEYS as u64,
            // A chunk is counted with its window, and evidence leaves by its age in blocks.
            Fact::Windows(WindowsFact::Chunk { .. }) | Fact::Evidence(_) => {}
        }
    }
    if counted != before {
        context.state.put(keys::EPOCH_KEYS.to_vec(), &counted);
    }
    Ok(())
}

/// Removes details of the epochs before one: all that is left of earlier epochs, and of the last one, which is due since this epoch
/// began, as many as the pace says. Takes what it removes from what the block may still remove.
fn prune_before(
    context: &mut Context<'_>,
    kept_from: u64,
    keys_of: fn(&EpochKeys) -> u64,
    remove: Remove,
    left: &mut usize,
) -> Result<(), StateError> {
    let Some((due, closed)) = closed_before(context, kept_from)? else { return Ok(()) };
    if let Some((_, earlier)) = closed_before(context, due)? {
        remove(context, due, earlier.last_height, left)?;
    }
    let given = pace(keys_of(&closed.keys), passed_ms(context)?, &context.rules.params.epochs).min(*left);
    let mut budget = given;
    if budget > 0 {
        remove(context, kept_from, closed.last_height, &mut budget)?;
    }
    *left -= given - budget;
    Ok(())
}

fn prune_details(context: &mut Context<'_>, before: u64, last: Height, budget: &mut usize) -> Result<(), StateError> {
    windows::prune(context, before, budget)?;
    incidents::prune(context, last, budget)
}

fn prune_stamps(context: &mut Context<'_>, _: u64, last: Height, budget: &mut usize) -> Result<(), StateError> {
    stamps::prune(context, last, budget)
}

/// Returns the number of keys that a block removes of an epoch that added so many: [`PRUNING_SPEED`] times as many as it added in the
/// time that has passed since the block before.
fn pace(keys: u64, passed_ms: u64, params: &EpochsParams) -> usize {
    let came = u128::from(keys) * u128::from(passed_ms);
    let due = came.saturating_mul(u128::from(PRUNING_SPEED)).div_ceil(u128::from(params.epoch_ms.max(1)));
    let due = usize::try_from(due).unwrap_or(usize::MAX).max(PRUNED_KEYS_PER_BLOCK_MIN as usize);
    due.min(params.pruned_keys_per_block_max as usize)
}

/// Time of the chain since the block before, milliseconds.
fn passed_ms(context: &Context<'_>) -> Result<u64, StateError> {
    let before = block_meta(&context.state)?.time;
    Ok(u64::try_from(context.rules.time.millis().saturating_sub(before.millis())).unwrap_or(0))
}

/// The closed epoch before an epoch, with its number; `None` if there is none.
fn closed_before(context: &Context<'_>, epoch: u64) -> Result<Option<(u64, ClosedEpoch)>, StateError> {
    let Some(before) = epoch.checked_sub(1) else { return Ok(None) };
    Ok(closed_epoch(&context.state, before)?.map(|closed| (before, closed)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use openmesh_primitives::{Address, Timestamp, ValidatorKey, sha256};
    use proptest::prelude::*;

    use super::*;
    use crate::genesis::{Genesis, GenesisValidator, initial_state};
    use crate::modules::epochs::{append_facts, begin, current_epoch_record};
    use crate::modules::incidents::{IncidentKind, Subject};
    use crate::modules::stamps::{StampsAction, StampsParams};
    use crate::modules::validators::validators;
    use crate::modules::windows::WindowRecord;
    use crate::params::Params;
    use crate::rule_set::RuleSets;
    use crate::rules::{BlockMeta, Rules};
    use crate::state::{Overlay, StateRead};

    const START_MS: i64 = 1_800_000_000_000;
    const EPOCH_MS: u64 = 10_000;
    const VENUE: &str = "venue";
    /// Most chunks of a window.
    const CHUNKS_MAX: u32 = 30;
    /// Most keys by which a block removes more than its most: a window goes whole with its chunks, and a stamp with its five keys.
    const WHOLE_KEYS: u64 = CHUNKS_MAX as u64 + 1 + 4;

    /// Details by the parameter that says how long they stay.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    enum Kind {
        Detail,
        Stamp,
    }

    impl Kind {
        fn of(key: &[u8]) -> Option<Kind> {
            let is_of = |prefixes: &[&[u8]]| prefixes.iter().any(|prefix| key.starts_with(prefix));
            let details = [keys::WINDOWS, keys::CHUNKS, keys::CLOSED, keys::INCIDENTS];
            let places = [keys::STAMP_PLACES, keys::STAMP_TOPICS, keys::STAMP_ACCOUNTS];
            if is_of(&details) {
                return Some(Kind::Detail);
            }
            (is_of(&[keys::STAMPS, keys::DEPOSITS]) || is_of(&places)).then_some(Kind::Stamp)
        }

        const fn kept_epochs(self) -> u64 {
            match self {
                Kind::Detail => 1,
                Kind::Stamp => 2,
            }
        }
    }

    /// A block to come: the time since the one before, and what it adds.
    #[derive(Clone, Debug, Default)]
    struct Step {
        pause_ms: u64,
        windows: u64,
        chunks: u32,
        incidents: u64,
        stamps: u64,
    }

    /// A chain of which only details matter: they come as if blocks with windows and stamps had been executed.
    struct Chain {
        state: BTreeMap<Vec<u8>, Vec<u8>>,
        height: Height,
        time_ms: i64,
        windows: u64,
        /// The keys of details in the state, with the epoch that added each.
        there: BTreeMap<Vec<u8>, (Kind, u64)>,
        /// Number of keys that each epoch has added.
        added: BTreeMap<(Kind, u64), u64>,
        /// Number of keys of each that are left.
        left: BTreeMap<(Kind, u64), u64>,
    }

    impl Chain {
        fn new(pruned_keys_per_block_max: u32) -> Chain {
            let epochs = EpochsParams {
                epoch_ms: EPOCH_MS,
                details_kept_epochs: Kind::Detail.kept_epochs(),
                pruned_keys_per_block_max,
                ..EpochsParams::default()
            };
            let stamps = StampsParams { stamps_kept_epochs: Kind::Stamp.kept_epochs(), ..StampsParams::default() };
            let public_key = ValidatorKey::from_seed([1; 32]).public();
            let genesis = Genesis {
                chain_id: 1,
                name: "retention".to_string(),
                time: Timestamp::from_millis(START_MS),
                validators: vec![GenesisValidator { public_key, power: 1, name: "v".to_string(), payout: None }],
                accounts: vec![],
                sources: vec![],
                source_owners: BTreeMap::new(),
                params: Params { epochs, stamps, ..Params::default() },
                allocation: Default::default(),
            };
            let state = initial_state(&genesis).unwrap();
            let (there, added, left) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
            Chain { state, height: 0, time_ms: START_MS, windows: 0, there, added, left }
        }

        /// Makes a block. Returns its epoch, and how many keys of details it removed, by kind and by the epoch that had added them.
        fn block(&mut self, step: &Step) -> (u64, BTreeMap<(Kind, u64), u64>) {
            self.height += 1;
            self.time_ms += i64::try_from(step.pause_ms).unwrap();
            let (epoch, writes) = self.execute(step);
            self.windows += step.windows;
            (epoch, self.store(epoch, writes))
        }

        /// The block's epoch and writes: the epoch begins, details come, others leave, and all are counted.
        fn execute(&self, step: &Step) -> (u64, BTreeMap<Vec<u8>, Option<Vec<u8>>>) {
            let (height, time) = (self.height, Timestamp::from_millis(self.time_ms));
            let state = Overlay::new(&self.state as &dyn StateRead);
            let rules = Rules::of_block(&RuleSets::built_in(), 1, &state, height, time).unwrap();
            let set = validators(&state).unwrap();
            let mut context = Context::new(state, rules, Address([0; 20]));
            begin(&mut context, &set).unwrap();
            for n in 0..step.windows {
                close_window(&mut context, self.windows + n, step.chunks);
            }
            for _ in 0..step.incidents {
                incidents::record(&mut context, IncidentKind::Missing, Subject::window(VENUE, 0), String::new());
            }
            for n in 0..step.stamps {
                let hash = sha256(&[&height.to_be_bytes(), &n.to_be_bytes()]);
                let action = StampsAction::Stamp { hash, topic: "t".to_string(), note: String::new() };
                stamps::apply(&mut context, Address([1; 20]), &action).unwrap();
            }
            prune(&mut context).unwrap();
            context.state.put(keys::BLOCK.to_vec(), &BlockMeta { height, time });
            count(&mut context).unwrap();
            append_facts(&mut context).unwrap();
            (context.rules.epoch, context.state.into_writes())
        }

        fn store(&mut self, epoch: u64, writes: BTreeMap<Vec<u8>, Option<Vec<u8>>>) -> BTreeMap<(Kind, u64), u64> {
            let mut removed = BTreeMap::new();
            for (key, value) in writes {
                let Some(value) = value else {
                    self.state.remove(&key);
                    if let Some(of) = self.there.remove(&key) {
                        *removed.entry(of).or_default() += 1;
                        *self.left.entry(of).or_default() -= 1;
                    }
                    continue;
                };
                if let Some(kind) = Kind::of(&key) {
                    self.there.insert(key.clone(), (kind, epoch));
                    *self.added.entry((kind, epoch)).or_default() += 1;
                    *self.left.entry((kind, epoch)).or_default() += 1;
                }
                self.state.insert(key, value);
            }
            removed
        }

        fn added_by(&self, kind: Kind, epoch: u64) -> u64 {
            self.added.get(&(kind, epoch)).copied().unwrap_or(0)
        }

        /// Number of keys of a kind that epochs with such numbers have left in the state.
        fn left(&self, kind: Kind, is_meant: impl Fn(u64) -> bool) -> u64 {
            self.left.iter().filter(|((of, epoch), _)| *of == kind && is_meant(*epoch)).map(|(_, left)| left).sum()
        }
    }

    fn close_window(context: &mut Context<'_>, window: u64, chunks: u32) {
        let (epoch, nobody) = (context.rules.epoch, Address([0; 20]));
        let record = WindowRecord { closed: true, accepted: chunks, ..WindowRecord::new(epoch, vec![], nobody) };
        context.state.put(keys::window(VENUE, window), &record);
        context.state.put(keys::closed(epoch, VENUE, window), &());
        for n in 0..chunks {
            context.state.put(keys::chunk(VENUE, window, &n.to_string()), &());
        }
        context.fact(WindowsFact::Closed { source: VENUE.to_string(), window, record });
    }

    /// The promises of the rule, held against each block.
    #[derive(Default)]
    struct Promises {
        max: u64,
        /// The epoch of the last block.
        epoch: u64,
        /// True where a block of this epoch has removed as many keys as any may.
        reached_max: bool,
        /// Keys that would wait if those that an epoch added came all at once, an epoch after they were due, and each block removed the
        /// most.
        queue: u64,
    }

    impl Promises {
        fn block(&mut self, chain: &mut Chain, step: &Step) -> Result<(), TestCaseError> {
            let (epoch, removed) = chain.block(step);
            let total: u64 = removed.values().sum();
            prop_assert!(total <= self.max + WHOLE_KEYS, "{} keys at once", total);
            if epoch > self.epoch {
                let counted = closed_epoch(&chain.state, self.epoch).unwrap().unwrap().keys;
                let (details, stamps) =
                    (chain.added_by(Kind::Detail, self.epoch), chain.added_by(Kind::Stamp, self.epoch));
                prop_assert_eq!(counted, EpochKeys { details, stamps }, "of epoch {}", self.epoch);
                self.epoch = epoch;
                self.reached_max = false;
                let late = epoch.checked_sub(Kind::Detail.kept_epochs() + 2);
                self.queue += late.map_or(0, |late| chain.added_by(Kind::Detail, late));
            }
            self.reached_max |= total >= self.max;
            self.queue = self.queue.saturating_sub(self.max);
            self.kind(chain, Kind::Detail, step, &removed)?;
            self.kind(chain, Kind::Stamp, step, &removed)
        }

        fn kind(
            &self,
            chain: &Chain,
            kind: Kind,
            step: &Step,
            removed: &BTreeMap<(Kind, u64), u64>,
        ) -> Result<(), TestCaseError> {
            let total: u64 = removed.values().sum();
            let of_kind = removed.keys().filter(|(of, _)| *of == kind);
            let Some(due) = self.epoch.checked_sub(kind.kept_epochs() + 1) else {
                prop_assert_eq!(of_kind.count(), 0, "nothing is due in epoch {}", self.epoch);
                return Ok(());
            };
            for (_, epoch) in of_kind {
                prop_assert!(*epoch <= due, "{:?} of epoch {} in epoch {}", kind, epoch, self.epoch);
            }
            // Evenly, ...
            let even = (PRUNING_SPEED * chain.added_by(kind, due) * step.pause_ms).div_ceil(EPOCH_MS);
            let even = even.max(u64::from(PRUNED_KEYS_PER_BLOCK_MIN));
            let of_due = removed.get(&(kind, due)).copied().unwrap_or(0);
            prop_assert!(of_due <= even + WHOLE_KEYS, "{} where {} are even", of_due, even);
            // ... done in half an epoch, ...
            let started = current_epoch_record(&chain.state).unwrap().started;
            let is_half_over = chain.time_ms - started.millis() >= EPOCH_MS as i64 / 2;
            prop_assert!(!is_half_over || self.reached_max || chain.left(kind, |epoch| epoch <= due) == 0);
            // ... and never behind by more than one epoch, but for what the most of a block is too little for.
            let earlier = chain.left(kind, |epoch| epoch < due);
            prop_assert!(earlier == 0 || total >= self.max, "{} keys wait, {} were removed", earlier, total);
            prop_assert!(kind == Kind::Stamp || earlier <= self.queue, "{} of {}", earlier, self.queue);
            Ok(())
        }
    }

    fn step() -> impl Strategy<Value = Step> {
        let pause_ms = prop_oneof![8 => 1..2_000u64, 2 => 2_000..9_000u64, 1 => 10_000..40_000u64];
        (pause_ms, 0..5u64, 0..=CHUNKS_MAX, 0..4u64, 0..4u64).prop_map(
            |(pause_ms, windows, chunks, incidents, stamps)| Step { pause_ms, windows, chunks, incidents, stamps },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        /// Whatever epochs of whatever blocks add: details leave evenly and in time, nothing gathers, and nothing is left over.
        #[test]
        fn whatever_comes_leaves_evenly_and_nothing_gathers(
            history in prop::collection::vec(step(), 1..60),
            max in prop_oneof![Just(20u32), Just(100), Just(100_000)],
        ) {
            let mut chain = Chain::new(max);
            let mut promises = Promises { max: u64::from(max), ..Promises::default() };
            for step in &history {
                promises.block(&mut chain, step)?;
            }
            // Blocks until the last details are due, and as many as the smallest number of keys asks for.
            let idle = Step { pause_ms: 1_000, ..Step::default() };
            for _ in 0..60 + chain.there.len() / 20 {
                promises.block(&mut chain, &idle)?;
            }
            prop_assert_eq!(chain.there.len(), 0);
        }
    }

    /// Epochs of one block, of a few, and of many: what an epoch left behind is gone after the first block of the next one.
    #[test]
    fn what_a_short_epoch_leaves_behind_goes_first_in_the_next_one() {
        let mut chain = Chain::new(100_000);
        let step = |pause_ms, windows| Step { pause_ms, windows, chunks: 30, ..Step::default() };
        // Ten blocks with ten windows of 32 keys each, and an epoch more, as one is kept.
        for _ in 0..10 {
            chain.block(&step(1_000, 10));
        }
        chain.block(&step(1_000, 0));
        chain.block(&step(10_000, 0));
        assert_eq!(chain.left(Kind::Detail, |epoch| epoch == 0), 0, "ten seconds at once are more than half an epoch");
        // The same again, but the third epoch has two blocks, and nothing is decided afterwards.
        let mut chain = Chain::new(100_000);
        for _ in 0..10 {
            chain.block(&step(1_000, 10));
        }
        for _ in 0..10 {
            chain.block(&step(1_000, 0));
        }
        for _ in 0..2 {
            let (epoch, removed) = chain.block(&step(100, 0));
            assert_eq!((epoch, removed.len()), (1, 0), "nothing is due in the second epoch");
        }
        let (epoch, removed) = chain.block(&step(1_000, 0));
        assert_eq!((epoch, removed[&(Kind::Detail, 0)]), (2, 640), "3,200 keys at twice their pace, a second later");
        let (_, removed) = chain.block(&step(100, 0));
        assert_eq!(removed[&(Kind::Detail, 0)], 64, "a tenth of a second later");
        // The next block begins another epoch.
        let (epoch, removed) = chain.block(&step(60_000, 0));
        assert_eq!((epoch, removed[&(Kind::Detail, 0)]), (3, 3_200 - 640 - 64));
        assert_eq!(chain.left(Kind::Detail, |_| true), 0);
    }

    #[test]
    fn the_pace_is_twice_that_of_the_epoch_within_its_bounds() {
        let params = EpochsParams::default();
        // An hour of three hundred streams in windows of ten seconds: 33 keys came with each second.
        assert_eq!(pace(118_800, 1_000, &params), 66);
        assert_eq!(pace(118_800, 4_000, &params), 264, "where blocks come seldom each removes more");
        assert_eq!(pace(118_801, 1_000, &params), 67, "never less than it has to be");
        assert_eq!((pace(0, 1_000, &params), pace(118_800, 0, &params)), (64, 64));
        assert_eq!((pace(118_800, 3_600_000, &params), pace(u64::MAX, u64::MAX, &params)), (4_096, 4_096));
        let small = EpochsParams { pruned_keys_per_block_max: 5, ..params };
        assert_eq!((pace(0, 0, &small), pace(118_800, 1_000, &small)), (5, 5), "the most of a network is the most");
    }
}
