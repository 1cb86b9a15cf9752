//! Rule sets by version: what each changes beside the one before it, and which of them a program knows. Clauses U1 and U7 of
//! `docs/spec/upgrades.md`.
//!
//! The rules themselves are the modules' code, which asks for the version in force where a later one differs. A rule set states
//! what cannot be asked for there: how the state of the set before becomes its own, which actions come and go, and the form of
//! its blocks. The host hands the sets in, so that a program may know more of them than this crate has.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use openmesh_primitives::{Address, Amount, Height};

use crate::block::HEADER_VERSION;
use crate::error::CheckError;
use crate::keys;
use crate::registered::{REGISTERED_TAG_MIN, RegisteredAction};
use crate::state::{Overlay, StateError, StateRead, readable};

/// A migration: writes what differs between a state of the rule set before and one of its own. It depends on nothing but the
/// state, and is made at the first block of the set, before its transactions.
pub type Migrate = fn(&mut Overlay<&dyn StateRead>) -> Result<(), StateError>;

/// Writes of a migration: state keys and their new values; `None` deletes.
pub type MigrationWrites = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// Keys that no rule set writes by itself: they are agreed on before the block, or follow from it.
const OF_CONSENSUS: [&[u8]; 9] = [
    keys::CHAIN_ID,
    keys::BLOCK,
    keys::RULES,
    keys::VALIDATORS_CURRENT,
    keys::VALIDATORS_NEXT,
    keys::VALIDATORS_LAST,
    keys::EPOCH_VALIDATORS,
    keys::BEACON,
    keys::TURNS,
];

/// Prefixes of the keys under which OPEN stands.
const OF_SUPPLY: [&[u8]; 4] = [keys::SUPPLY, keys::POOLS, keys::ACCOUNTS, keys::DEPOSITS];

/// The first of these keys that belongs to consensus, readable.
pub(crate) fn of_consensus(writes: &MigrationWrites) -> Option<String> {
    OF_CONSENSUS.iter().find(|key| writes.contains_key(**key)).map(|key| readable(key))
}

/// The first of these keys under which OPEN stands, readable.
pub(crate) fn of_supply(writes: &MigrationWrites) -> Option<String> {
    let is_of_supply = |key: &Vec<u8>| OF_SUPPLY.iter().any(|prefix| key.starts_with(prefix));
    writes.keys().find(|key| is_of_supply(key)).map(|key| readable(key))
}

/// A rule set.
#[derive(Clone, Copy)]
pub struct RuleSet {
    /// Its version: one more than that of the set before.
    pub version: u32,
    /// Its name, for people.
    pub name: &'static str,
    /// Sentences on what it changes, for people.
    pub changes: &'static [&'static str],
    /// Version of its blocks' headers.
    pub header_version: u16,
    /// Tags of the actions that it adds.
    pub adds: &'static [u8],
    /// Tags of the actions that it takes away.
    pub removes: &'static [u8],
    /// Makes its state of the one before.
    pub migrate: Migrate,
    /// The rules of registered actions, from this set on.
    pub registered: Option<RegisteredRules>,
}

/// The rules of registered actions.
#[derive(Clone, Copy)]
pub struct RegisteredRules {
    /// Checks an action against the state, of which nonce, fee and balance were checked.
    pub check: fn(&dyn StateRead, &RegisteredCall<'_>) -> Result<(), CheckError>,
    /// Lets an action take effect that has passed the check. It may write neither consensus' keys nor those under which OPEN stands
    /// (accounts, deposits, pools, the supply): the action is refused then.
    pub apply: fn(&mut Overlay<&dyn StateRead>, &RegisteredCall<'_>) -> Result<(), StateError>,
}

/// A registered action on its way.
#[derive(Clone, Copy, Debug)]
pub struct RegisteredCall<'a> {
    /// The account that signed it.
    pub sender: Address,
    /// Of the block.
    pub height: Height,
    /// The rule set in force.
    pub version: u32,
    /// The action.
    pub action: &'a RegisteredAction,
}

impl fmt::Debug for RuleSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RuleSet({} {:?})", self.version, self.name)
    }
}

impl fmt::Debug for RegisteredRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RegisteredRules")
    }
}

/// The first rule set of every network.
const FIRST: RuleSet = RuleSet {
    version: 1,
    name: "genesis",
    changes: &["The rules by which every network begins."],
    header_version: HEADER_VERSION,
    adds: &[],
    removes: &[],
    migrate: as_it_is,
    registered: None,
};

/// The migration of a set whose state is that of the set before.
fn as_it_is(_: &mut Overlay<&dyn StateRead>) -> Result<(), StateError> {
    Ok(())
}

/// The rule sets of this crate, in ascending order of version. A set that a network has had is never changed and never removed:
/// its blocks are executed again by whoever joins by blocks.
const BUILT_IN: &[RuleSet] = &[FIRST];

/// A reason for which a program cannot execute a block: it has no rules for it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RulesError {
    /// The state or a plan asks for a rule set that is newer than this program.
    #[error(
        "height {height} needs rule set {version}{}, and this program knows rule sets up to {newest}: install {} and start it with the \
         same home; nothing is lost, it goes on from height {}",
        named(.release), .release.as_deref().unwrap_or("a newer release"), .height.saturating_sub(1)
    )]
    Unknown {
        /// That is needed.
        version: u32,
        /// First height for which this program has no rules.
        height: Height,
        /// Newest that this program knows.
        newest: u32,
        /// Name and digest of the release that has it, as the plan says.
        release: Option<String>,
    },
    /// The state is of a rule set that is older than any of this program.
    #[error(
        "the state is of rule set {version}, and this program begins with rule set {oldest}: start an older release first, which takes the \
         network to rule set {oldest}"
    )]
    Dropped {
        /// In force.
        version: u32,
        /// Oldest that this program knows.
        oldest: u32,
    },
    /// A migration writes what no migration may.
    #[error("the migrations to rule set {version} write {key:?}, which belongs to consensus: no migration may")]
    Migration {
        /// That they lead to.
        version: u32,
        /// The key, readable.
        key: String,
    },
    /// A migration makes or loses OPEN, or notes other places of it than those where it stands.
    #[error(
        "after the migrations to rule set {version} accounts, pools, deposits and what was burnt are {sum} units, or stand elsewhere than \
         noted: a migration may move OPEN, and neither make nor lose any"
    )]
    Supply {
        /// That they lead to.
        version: u32,
        /// Sum of all places, in units of 10^-18 OPEN.
        sum: Amount,
    },
    /// A migration fails, as it does at every node.
    #[error(
        "the migration to rule set {version} fails on this state: {reason}: install a release in which it is mended, and start it with \
         the same home; nothing is lost"
    )]
    Failed {
        /// Of the migration.
        version: u32,
        /// Its own word.
        reason: StateError,
    },
    /// A migration leaves a parameter that no network may have.
    #[error("after the migrations to rule set {version} params.{name} is out of range: no network may have that")]
    Params {
        /// That they lead to.
        version: u32,
        /// The parameter.
        name: &'static str,
    },
    /// The state cannot be read, or not be migrated.
    #[error(transparent)]
    State(#[from] StateError),
}

fn named(release: &Option<String>) -> String {
    release.as_ref().map_or_else(String::new, |release| format!(", which comes with {release}"))
}

impl From<RulesError> for StateError {
    fn from(error: RulesError) -> StateError {
        match error {
            RulesError::State(error) => error,
            other => StateError::Read(other.to_string()),
        }
    }
}

/// A refusal of a list of rule sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleSetsError {
    /// Not the version after the newest one.
    #[error("rule set {got} cannot follow rule set {newest}: versions follow one another")]
    Version {
        /// Newest that is there.
        newest: u32,
        /// Handed in.
        got: u32,
    },
    /// A tag that belongs to the modules.
    #[error(
        "rule set {version} adds an action with tag {tag}: those of registered rule sets are {REGISTERED_TAG_MIN} to 255"
    )]
    Tag {
        /// Of the set.
        version: u32,
        /// Of the action.
        tag: u8,
    },
}

/// The rule sets that a program knows, in ascending order of version without a gap; never empty.
#[derive(Clone, Debug)]
pub struct RuleSets(Arc<[RuleSet]>);

impl Default for RuleSets {
    fn default() -> RuleSets {
        RuleSets::built_in()
    }
}

impl RuleSets {
    /// Those of this crate.
    pub fn built_in() -> RuleSets {
        RuleSets(BUILT_IN.into())
    }

    /// The same with one more, which the host hands in. Fails where it does not follow the newest one, or adds an action whose tag
    /// belongs to a module.
    pub fn with(&self, set: RuleSet) -> Result<RuleSets, RuleSetsError> {
        let newest = self.newest().version;
        if set.version != newest + 1 {
            return Err(RuleSetsError::Version { newest, got: set.version });
        }
        if let Some(tag) = set.adds.iter().find(|tag| **tag < REGISTERED_TAG_MIN) {
            return Err(RuleSetsError::Tag { version: set.version, tag: *tag });
        }
        Ok(RuleSets(self.0.iter().copied().chain([set]).collect()))
    }

    /// The sets in ascending order of version.
    pub fn iter(&self) -> std::slice::Iter<'_, RuleSet> {
        self.0.iter()
    }

    /// The newest one.
    pub fn newest(&self) -> &RuleSet {
        // Never empty: it begins with the built-in ones.
        self.0.last().unwrap_or(&FIRST)
    }

    /// Version of the oldest one.
    pub fn oldest(&self) -> u32 {
        self.0.first().map_or(FIRST.version, |set| set.version)
    }

    /// The set of a version; `None` where this program does not know it.
    pub fn get(&self, version: u32) -> Option<&RuleSet> {
        self.0.iter().find(|set| set.version == version)
    }

    /// The sets after one version up to another, ascending: their migrations lead from the one to the other.
    pub fn between(&self, from: u32, to: u32) -> impl Iterator<Item = &RuleSet> {
        self.0.iter().filter(move |set| set.version > from && set.version <= to)
    }

    /// Returns true where the set of a version has an action: one that no known set adds is there from the first one on, unless it
    /// is a registered one.
    pub fn has_action(&self, version: u32, tag: u8) -> bool {
        let added_by_any = self.0.iter().any(|set| set.adds.contains(&tag));
        let from_the_first = !added_by_any && tag < REGISTERED_TAG_MIN;
        let until = self.0.iter().take_while(|set| set.version <= version);
        until.fold(from_the_first, |has, set| (has || set.adds.contains(&tag)) && !set.removes.contains(&tag))
    }

    /// The rules of registered actions under a version.
    pub fn registered(&self, version: u32) -> Option<RegisteredRules> {
        self.0.iter().take_while(|set| set.version <= version).filter_map(|set| set.registered).last()
    }

    /// Fails where this program has no rules of this version for a block of this height. `release` names what has them.
    pub(crate) fn know(
        &self,
        version: u32,
        height: Height,
        release: impl FnOnce() -> Option<String>,
    ) -> Result<&RuleSet, RulesError> {
        let (oldest, newest) = (self.oldest(), self.newest().version);
        match self.get(version) {
            Some(set) => Ok(set),
            None if version < oldest => Err(RulesError::Dropped { version, oldest }),
            None => Err(RulesError::Unknown { version, height, newest, release: release() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: RuleSet = RuleSet { version: 2, adds: &[240], ..FIRST };
    const THIRD: RuleSet = RuleSet { version: 3, adds: &[241], removes: &[240], ..FIRST };

    #[test]
    fn versions_follow_one_another() {
        let one = RuleSets::built_in();
        assert_eq!((one.oldest(), one.newest().version), (1, 1));
        assert_eq!(one.with(THIRD).unwrap_err(), RuleSetsError::Version { newest: 1, got: 3 });
        let three = one.with(SECOND).unwrap().with(THIRD).unwrap();
        assert_eq!(three.between(1, 3).map(|set| set.version).collect::<Vec<_>>(), [2, 3]);
        assert_eq!(three.between(3, 3).count(), 0);
        let stolen = RuleSet { adds: &[0], ..SECOND };
        assert_eq!(one.with(stolen).unwrap_err(), RuleSetsError::Tag { version: 2, tag: 0 });
    }

    #[test]
    fn actions_come_and_go_with_their_sets() {
        let sets = RuleSets::built_in().with(SECOND).unwrap().with(THIRD).unwrap();
        let has = |tag| [1, 2, 3].map(|version| sets.has_action(version, tag));
        assert_eq!(has(0), [true, true, true], "of a module");
        assert_eq!(has(240), [false, true, false]);
        assert_eq!(has(241), [false, false, true]);
        assert_eq!(has(250), [false, false, false], "of nobody");
        assert!(!RuleSets::built_in().has_action(1, 240));
    }

    #[test]
    fn a_program_says_what_it_lacks() {
        let sets = RuleSets::built_in();
        let unknown = sets.know(2, 100, || Some("openmesh-2.0.0".to_string())).unwrap_err();
        assert_eq!(
            unknown.to_string(),
            "height 100 needs rule set 2, which comes with openmesh-2.0.0, and this program knows rule sets up to 1: install \
             openmesh-2.0.0 and start it with the same home; nothing is lost, it goes on from height 99"
        );
        assert!(sets.know(2, 100, || None).unwrap_err().to_string().contains("install a newer release"));
        assert!(sets.know(1, 100, || None).is_ok());
        assert!(matches!(sets.know(0, 5, || None), Err(RulesError::Dropped { version: 0, oldest: 1 })));
    }
}
