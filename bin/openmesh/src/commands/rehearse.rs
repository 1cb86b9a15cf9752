//! `openmesh upgrade rehearse`: a rule set tried on a copy of the newest state. Clause U10 of `docs/spec/upgrades.md`.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use openmesh_api::{StateCopyInfo, path};
use openmesh_ledger::{
    Genesis, MigrationWrites, PlanRecord, RuleSets, Standing, StateError, StateRead, Upcoming, UpgradePlan,
    check_supply, plans, rules_in_force, standing, validators,
};
use openmesh_primitives::{Digest, Height, canonical};
use openmesh_storage::{ChunkParts, Restore, SnapshotTarget, Store, StoreConfig, StoreError};

use super::client::Client;
use crate::cli::RehearseArgs;
use crate::failure::{Failure, OrFail as _};
use crate::node::config::Files;
use crate::presence;

/// Names that are tried for the scratch folder: each is taken only where a rehearsal with the same process number was killed.
const SCRATCH_NAMES_MAX: u32 = 1_000;

/// Rehearses a rule set of this program, and prints what came of it.
///
/// # Errors
/// Where there is no state to copy, the program does not know the rules, they are in force, or the migration does not hold.
pub async fn run(arguments: RehearseArgs, rule_sets: &RuleSets) -> Result<(), Failure> {
    let scratch = Scratch::make(arguments.scratch.as_deref())?;
    let begun = Instant::now();
    let store = copied(&arguments, &scratch.0).await?;
    let copying = begun.elapsed();
    let outcome = tokio::task::block_in_place(|| rehearse(&store, rule_sets, arguments.rules))?;
    drop(store);
    if arguments.output.json {
        println!("{:#}", outcome.json(copying));
    } else {
        print!("{}", outcome.text(copying));
    }
    Ok(())
}

/// A folder of this process, which goes with it.
struct Scratch(PathBuf);

impl Scratch {
    /// Makes one that was not there: what stands under its name in a folder for everybody may be a link of somebody, or the rest of a
    /// process that was killed.
    fn make(folder: Option<&Path>) -> Result<Scratch, Failure> {
        let folder = folder.map_or_else(std::env::temp_dir, Path::to_path_buf);
        std::fs::create_dir_all(&folder).map_err(|e| Failure::from_display(folder.display(), &e))?;
        for number in 0..SCRATCH_NAMES_MAX {
            let path = folder.join(format!("openmesh-rehearsal-{}-{number}", std::process::id()));
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Scratch(path)),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(Failure::from_display(path.display(), &error)),
            }
        }
        Err(Failure::new(format!("{}: no name is left for a scratch folder", folder.display()))
            .hint("remove the folders openmesh-rehearsal-* in it, or name another folder with --scratch"))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left of it harms nobody.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A store with the newest state, in the scratch folder.
async fn copied(arguments: &RehearseArgs, to: &Path) -> Result<Store, Failure> {
    let Some(home) = &arguments.home else { return copied_over_the_api(&Client::new(&arguments.node.api)?, to).await };
    let from = Files::of(home).data("ledger");
    match tokio::task::block_in_place(|| Store::copy_closed(&from, to)) {
        Ok(()) => tokio::task::block_in_place(|| Store::open(to)).or_fail("the copy"),
        Err(StoreError::InUse(_)) => match api_of(home) {
            Some(api) => copied_over_the_api(&Client::new(&api)?, to).await,
            None => Err(Failure::new(format!(
                "the store in {} is open, and its node does not say where it answers",
                home.display()
            ))
            .hint("stop the node, or name its API with --api instead of --home")),
        },
        Err(StoreError::NotInitialised) => Err(Failure::usage(format!("{}: there is no store", from.display()))
            .hint("the home of a node holds node.toml and data/ledger")),
        Err(error) => Err(Failure::from_error("the copy", &error)),
    }
}

/// Address of the node that runs in a home.
fn api_of(home: &Path) -> Option<url::Url> {
    let (record, _) = presence::find(home)?;
    let api = record.ready?.get("api")?.as_str()?.to_owned();
    url::Url::parse(&format!("http://{api}")).ok()
}

/// Copies the newest state of a running node, chunk by chunk; each is checked against the root.
async fn copied_over_the_api(client: &Client, to: &Path) -> Result<Store, Failure> {
    let info: StateCopyInfo = client.get(path::STATE).await?;
    let state_root: Digest = info.state_root.parse().map_err(|e| Failure::from_display("the node's answer", &e))?;
    let height = info.height;
    let target = SnapshotTarget {
        genesis: decoded::<Genesis>(&info.genesis)?,
        block: decoded(&info.block)?,
        certificate: decoded(&info.certificate)?,
        state_root,
        depth: info.depth,
        walk_from: height,
        first_validators: decoded(&info.validators)?,
        changes: Vec::new(),
    };
    let mut restore = Restore::begin(to, StoreConfig::default(), target).or_fail("the copy")?;
    let missing: Vec<u32> = restore.missing().collect();
    for index in missing {
        match client.bytes(&place(height, (info.depth, index))).await? {
            Some(bytes) => tokio::task::block_in_place(|| restore.add(index, &bytes)).or_fail("the copy")?,
            None => {
                let bytes = in_parts(client, height, state_root, (info.depth, index)).await?;
                tokio::task::block_in_place(|| restore.keep(index, &bytes)).or_fail("the copy")?;
            }
        }
    }
    tokio::task::block_in_place(|| restore.finish()).or_fail("the copy")
}

/// Path of a chunk, by its depth and number.
fn place(height: Height, (depth, index): (u8, u32)) -> String {
    format!("{}/{height}/{depth}/{index}", path::STATE)
}

/// Copies a chunk that is too large for one answer in its parts, of which each is checked.
async fn in_parts(client: &Client, height: Height, root: Digest, chunk: (u8, u32)) -> Result<Vec<u8>, Failure> {
    let gone = || {
        Failure::new(format!("the node does not have chunk {} of the state after height {height} any more", chunk.1))
            .hint("try again, or stop the node and name its home with --home")
    };
    let mut parts = ChunkParts::of(root, chunk.0, chunk.1).ok_or_else(gone)?;
    while let Some(wanted) = parts.wanted() {
        match client.bytes(&place(height, wanted)).await? {
            Some(bytes) => parts.add(&bytes).or_fail("the copy")?,
            None if parts.split() => {}
            None => return Err(gone()),
        }
    }
    parts.into_chunk().map(|chunk| canonical::encode(&chunk)).ok_or_else(gone)
}

fn decoded<T: borsh::BorshDeserialize>(text: &str) -> Result<T, Failure> {
    let bytes = hex::decode(text).map_err(|e| Failure::from_display("the node's answer", &e))?;
    canonical::decode(&bytes).map_err(|e| Failure::from_display("the node's answer", &e))
}

/// Changes of keys with the same first part.
#[derive(Debug, Default, PartialEq, Eq)]
struct Changes {
    added: u64,
    changed: u64,
    deleted: u64,
    same: u64,
}

/// The outcome of a rehearsal.
struct Outcome {
    height: Height,
    state_root: Digest,
    from: u32,
    to: u32,
    /// Sentences of the rule sets in between, with their versions.
    changes: Vec<(u32, &'static str)>,
    keys: BTreeMap<String, Changes>,
    root: Digest,
    migrating: Duration,
    hashing: Duration,
    /// The plan for this rule set that most of the power approves, where there is one.
    plan: Option<Planned>,
    /// The other plans for later rule sets than the one in force.
    others: Vec<Planned>,
}

/// A plan with the power behind it, of the validators of the next height.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Planned {
    plan: UpgradePlan,
    power: u64,
    total: u64,
    /// This program has its rule set.
    known: bool,
}

impl Planned {
    /// The plans of a state for rule sets after one, by height.
    fn all(state: &dyn StateRead, rule_sets: &RuleSets, from: u32) -> Result<Vec<Planned>, StateError> {
        let set = validators(state)?;
        let later = plans(state)?.into_iter().filter(|record| record.plan.version > from);
        let planned = later.map(|PlanRecord { plan, approvals, .. }| {
            let Standing { power, total, .. } = standing(plan.version, &approvals, &set, from);
            Planned { known: rule_sets.get(plan.version).is_some(), plan, power, total }
        });
        Ok(planned.collect())
    }

    fn text(&self) -> String {
        let UpgradePlan { version, height, release, .. } = &self.plan;
        format!("rules {version} at height {height} ({release}), {} of {} of the power", self.power, self.total)
    }

    fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "version": self.plan.version,
            "height": self.plan.height,
            "release": self.plan.release,
            "power": self.power,
            "total_power": self.total,
            "known": self.known,
        })
    }
}

/// Makes the migration on a copy, and computes its root.
fn rehearse(store: &Store, rule_sets: &RuleSets, wanted: Option<u32>) -> Result<Outcome, Failure> {
    let state = store.state().or_fail("the copy")?;
    let (tip, from) = (state.tip(), rules_in_force(&state).or_fail("the copy")?.version);
    let planned = Planned::all(&state, rule_sets, from).or_fail("the copy")?;
    let (to, plan) = chosen(&planned, wanted, rule_sets.newest().version);
    let others = planned.iter().filter(|other| Some(*other) != plan).cloned().collect();
    if to <= from {
        return Err(Failure::usage(format!(
            "rule set {to} is in force already, or was: the state is of rule set {from}"
        ))
        .hint("a rehearsal is of a later one: take the release that has it, and name it with --rules"));
    }
    let begun = Instant::now();
    let upcoming = Upcoming::rehearse(rule_sets, &state, tip.height + 1, to).or_fail("rehearsal")?;
    let migrating = begun.elapsed();
    let begun = Instant::now();
    let root = store.root_with(upcoming.writes()).or_fail("rehearsal")?;
    let hashing = begun.elapsed();
    let (sum, whole) = check_supply(&upcoming.state(&state)).or_fail("rehearsal")?;
    if !whole {
        return Err(Failure::new(format!(
            "the migration to rule set {to} changes the sum of all balances: it is {} OPEN afterwards",
            sum.to_open()
        ))
        .hint("this release must not be installed: tell its makers"));
    }
    let steps = rule_sets.between(from, to);
    Ok(Outcome {
        height: tip.height,
        state_root: tip.state_root,
        from,
        to,
        changes: steps.flat_map(|set| set.changes.iter().map(move |change| (set.version, *change))).collect(),
        keys: by_first_part(&state, upcoming.writes()).or_fail("rehearsal")?,
        root,
        migrating,
        hashing,
        plan: plan.cloned(),
        others,
    })
}

/// The rule set that is rehearsed, and the plan for it: the one that is wanted; else that of the plan that most of the power approves, of those
/// whose rule sets the program knows; else the newest that the program knows. Of plans with the same power it is the next one.
fn chosen(planned: &[Planned], wanted: Option<u32>, newest: u32) -> (u32, Option<&Planned>) {
    let of_wanted = planned.iter().filter(|planned| wanted.is_none_or(|version| planned.plan.version == version));
    let plan = of_wanted.max_by_key(|planned| (planned.known, planned.power, Reverse(planned.plan.height)));
    (wanted.or(plan.map(|planned| planned.plan.version)).unwrap_or(newest), plan)
}

/// Counts what writes do to a state, by the first part of each key.
fn by_first_part(state: &dyn StateRead, writes: &MigrationWrites) -> Result<BTreeMap<String, Changes>, StateError> {
    let mut counted: BTreeMap<String, Changes> = BTreeMap::new();
    for (key, value) in writes {
        let part: Vec<u8> = key.iter().copied().take_while(|byte| *byte != b'/').collect();
        let changes = counted.entry(part.escape_ascii().to_string()).or_default();
        match (state.get(key)?, value) {
            (None, Some(_)) => changes.added += 1,
            (Some(_), None) => changes.deleted += 1,
            (Some(before), Some(after)) if before != *after => changes.changed += 1,
            _ => changes.same += 1,
        }
    }
    Ok(counted)
}

fn seconds(time: Duration) -> String {
    format!("{:.3} s", time.as_secs_f64())
}

impl Outcome {
    fn text(&self, copying: Duration) -> String {
        let mut text = format!(
            "state        after height {}, root {}\nrules        {} -> {}\n",
            self.height, self.state_root, self.from, self.to
        );
        for (version, change) in &self.changes {
            text += &format!("  {version:<10} {change}\n");
        }
        text += "keys         added   changed   deleted   as before\n";
        for (part, Changes { added, changed, deleted, same }) in &self.keys {
            text += &format!("  {part:<10} {added:>5} {changed:>9} {deleted:>9} {same:>11}\n");
        }
        text += &format!(
            "root         {} after the migration, before any transaction\ntime         {} copying, {} migrating, {} hashing\n",
            self.root,
            seconds(copying),
            seconds(self.migrating),
            seconds(self.hashing)
        );
        if let Some(plan) = &self.plan {
            text += &format!("plan         {}: the root is the same there if the state is\n", plan.text());
        }
        for other in &self.others {
            let word = match other.known {
                true => format!("not rehearsed: see it with --rules {}", other.plan.version),
                false => format!("not rehearsed: this program does not know rule set {}", other.plan.version),
            };
            text += &format!("other plan   {}; {word}\n", other.text());
        }
        text += &format!(
            "pause        about {} at the height: the migration is made before its first round, the hashes after its decision\n",
            seconds(self.pause())
        );
        text
    }

    /// Time for which the network stands still at the height: each node makes the migration, and hashes the migrated state and that after
    /// the block. No time-out of consensus runs meanwhile.
    fn pause(&self) -> Duration {
        self.migrating + self.hashing * 2
    }

    fn json(&self, copying: Duration) -> serde_json::Value {
        let keys = self.keys.iter().map(|(part, changes)| {
            let Changes { added, changed, deleted, same } = changes;
            (part.clone(), serde_json::json!({ "added": added, "changed": changed, "deleted": deleted, "same": same }))
        });
        let changes =
            self.changes.iter().map(|(version, text)| serde_json::json!({ "version": version, "change": text }));
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        serde_json::json!({
            "height": self.height,
            "state_root": self.state_root.to_string(),
            "from": self.from,
            "to": self.to,
            "changes": changes.collect::<Vec<_>>(),
            "keys": keys.collect::<serde_json::Map<_, _>>(),
            "migrated_root": self.root.to_string(),
            "plan_height": self.plan.as_ref().map(|planned| planned.plan.height),
            "plan": self.plan.as_ref().map(Planned::json),
            "other_plans": self.others.iter().map(Planned::json).collect::<Vec<_>>(),
            "copying_ms": ms(copying),
            "migrating_ms": ms(self.migrating),
            "hashing_ms": ms(self.hashing),
            "pause_ms": ms(self.pause()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use openmesh_ledger::{GenesisValidator, HEADER_VERSION, Migrate, Overlay, Params, RuleSet, keys, params};
    use openmesh_primitives::{AccountKey, Amount, Timestamp, ValidatorKey};

    fn account() -> openmesh_primitives::Address {
        AccountKey::from_bytes([5; 32]).unwrap().address()
    }

    fn sets(migrate: Migrate) -> RuleSets {
        let changes = &["Something else."];
        let (version, name, header_version) = (2, "second", HEADER_VERSION);
        let set =
            RuleSet { version, name, changes, header_version, adds: &[], removes: &[], migrate, registered: None };
        RuleSets::built_in().with(set).unwrap()
    }

    fn fewer(state: &mut Overlay<&dyn StateRead>) -> Result<(), StateError> {
        let mut changed: Params = params(&*state)?;
        changed.blocks.block_transactions_max = 7;
        state.put(keys::PARAMS.to_vec(), &changed);
        Ok(())
    }

    fn burning(state: &mut Overlay<&dyn StateRead>) -> Result<(), StateError> {
        state.delete(keys::account(&account()));
        Ok(())
    }

    fn electing(state: &mut Overlay<&dyn StateRead>) -> Result<(), StateError> {
        state.delete(keys::VALIDATORS_NEXT.to_vec());
        Ok(())
    }

    fn genesis() -> Genesis {
        let public_key = ValidatorKey::from_seed([1; 32]).public();
        Genesis {
            chain_id: 7,
            name: "rehearsed".into(),
            time: Timestamp::from_millis(1_800_000_000_000),
            validators: vec![GenesisValidator { public_key, power: 1, name: "v".into(), payout: None }],
            accounts: vec![(account(), Amount::open(5))],
            sources: Vec::new(),
            source_owners: Default::default(),
            allocation: Default::default(),
            params: Params::default(),
        }
    }

    /// U10: a rehearsal predicts, changes nothing, and fails where the migration would do harm.
    #[test]
    fn a_rehearsal_refuses_a_migration_that_would_do_harm() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        store.initialise(&genesis()).unwrap();
        let tip = store.tip();
        let outcome = rehearse(&store, &sets(fewer), None).unwrap();
        assert_eq!((outcome.height, outcome.state_root, outcome.from, outcome.to), (0, tip.state_root, 1, 2));
        assert_eq!(outcome.changes, [(2, "Something else.")]);
        assert_eq!(outcome.keys["params"], Changes { changed: 1, ..Changes::default() });
        assert!(outcome.root != tip.state_root && store.tip() == tip);
        assert!(outcome.text(Duration::ZERO).contains("at the height: the migration is made before its first round"));
        assert!(outcome.pause() >= outcome.migrating + outcome.hashing);
        let refused = |migrate: Migrate, rules| match rehearse(&store, &sets(migrate), rules) {
            Ok(_) => panic!("it was let through"),
            Err(failure) => failure.message().to_owned(),
        };
        assert!(refused(burning, None).contains("neither make nor lose any"), "{}", refused(burning, None));
        assert!(refused(electing, None).contains("validators/next"), "{}", refused(electing, None));
        assert!(refused(fewer, Some(1)).contains("is in force already"));
        assert!(refused(fewer, Some(3)).contains("needs rule set 3"));
    }

    #[test]
    fn the_plan_with_the_most_power_is_rehearsed_that_the_program_knows() {
        let plan = |version, height, power| {
            let plan = UpgradePlan { version, height, release: format!("r{version}"), digest: Digest::ZERO };
            Planned { plan, power, total: 4, known: version <= 4 }
        };
        let planned = [plan(2, 10, 1), plan(3, 20, 3), plan(3, 30, 3), plan(9, 5, 4), plan(3, 40, 2)];
        let chosen = |planned: &[Planned], wanted| {
            let (to, plan) = super::chosen(planned, wanted, 4);
            (to, plan.map(|planned| planned.plan.height))
        };
        assert_eq!(chosen(&planned, None), (3, Some(20)), "whatever comes before it; of two the next one");
        assert_eq!(chosen(&planned, Some(2)), (2, Some(10)), "as a person says");
        assert_eq!(chosen(&planned, Some(4)), (4, None));
        assert_eq!(chosen(&planned[3..4], None), (9, Some(5)), "no other can be rehearsed: it fails by its name");
        assert_eq!(chosen(&[], None), (4, None), "what the program knows");
    }

    /// Plans of a state: validators with two of three parts of the power are behind one that this program does not know.
    #[test]
    fn a_plan_that_the_program_does_not_know_is_named_beside_the_one_that_is_rehearsed() {
        let key = |n: u8| ValidatorKey::from_seed([n; 32]).public();
        let validator = |n: u8| GenesisValidator { public_key: key(n), power: 1, name: "v".into(), payout: None };
        let genesis = Genesis { validators: (1..=3).map(validator).collect(), ..genesis() };
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        store.initialise(&genesis).unwrap();
        let plan = |version, height| UpgradePlan { version, height, release: "r".into(), digest: Digest::ZERO };
        let state = store.state().unwrap();
        let mut with_plans = Overlay::new(&state as &dyn StateRead);
        for (plan, voters) in [(plan(9, 10), &[1, 2][..]), (plan(2, 20), &[3]), (plan(1, 30), &[3])] {
            let approvals = voters.iter().map(|n| (key(*n).address(), 1)).collect();
            let (height, id) = (plan.height, plan.id());
            let record = PlanRecord { plan, proposer: key(1).address(), proposed_height: 1, approvals };
            with_plans.put(keys::upgrade_plan(height, &id), &record);
        }
        let planned = Planned::all(&with_plans, &sets(fewer), 1).unwrap();
        let seen: Vec<_> = planned.iter().map(|p| (p.plan.version, p.power, p.total, p.known)).collect();
        assert_eq!(seen, [(9, 2, 3, false), (2, 1, 3, true)], "a plan for what is in force counts for nothing");
        let (to, plan) = super::chosen(&planned, None, 2);
        assert_eq!(to, 2);
        let mut outcome = rehearse(&store, &sets(fewer), None).unwrap();
        (outcome.plan, outcome.others) = (plan.cloned(), planned[..1].to_vec());
        let text = outcome.text(Duration::ZERO);
        assert!(text.contains("plan         rules 2 at height 20 (r), 1 of 3 of the power: the root"), "{text}");
        let other =
            "rules 9 at height 10 (r), 2 of 3 of the power; not rehearsed: this program does not know rule set 9";
        assert!(text.contains(other), "{text}");
        let json = outcome.json(Duration::ZERO);
        assert_eq!((&json["plan_height"], &json["plan"]["power"]), (&20.into(), &1.into()));
        assert_eq!(json["other_plans"][0]["known"], false);
    }

    #[test]
    fn a_scratch_folder_is_never_one_that_was_there() {
        let dir = tempfile::tempdir().unwrap();
        let first = Scratch::make(Some(dir.path())).unwrap();
        std::fs::write(first.0.join("ledger.redb"), "of somebody").unwrap();
        let second = Scratch::make(Some(dir.path())).unwrap();
        assert_ne!(first.0, second.0);
        assert_eq!(std::fs::read_dir(&second.0).unwrap().count(), 0);
        drop((first, second));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "they go with the process");
    }

    #[test]
    fn changes_are_counted_by_the_first_part_of_a_key() {
        let state =
            BTreeMap::from([(b"a/1".to_vec(), vec![1u8]), (b"a/2".to_vec(), vec![2]), (b"b".to_vec(), vec![3])]);
        let writes = MigrationWrites::from([
            (b"a/1".to_vec(), Some(vec![9])),
            (b"a/2".to_vec(), None),
            (b"a/3".to_vec(), Some(vec![1])),
            (b"b".to_vec(), Some(vec![3])),
        ]);
        let counted = by_first_part(&state, &writes).unwrap();
        assert_eq!(counted["a"], Changes { added: 1, changed: 1, deleted: 1, same: 0 });
        assert_eq!(counted["b"], Changes { same: 1, ..Changes::default() });
    }
}
