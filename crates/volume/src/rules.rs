//! Rules about lines and removals, as pure functions: what a machine may remove, and what it may not.

use std::collections::BTreeSet;
use std::fmt;

use openmesh_blueprint::Generation;
use openmesh_primitives::Timestamp;

use crate::id::Id;
use crate::record::{Fate, Keeper, Line, LineState, Removal};

/// Time for which a removal can be undone, milliseconds: a day, so that whoever notices in the morning what was removed in the evening is in time.
pub const UNDO_MS: u64 = 86_400_000;
/// Longest time that one tick may add to a removal's wait, milliseconds: observation comes every 5 s; more than this between two is a machine that
/// slept, and whoever could have undone it was not there either.
pub const TICK_MS_MAX: u64 = 60_000;

/// Whoever asks for a removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// A rule of the machine.
    Machine,
    /// A person.
    Person,
}

/// Reason for which a line stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// It is in use.
    InUse,
    /// Its clone is not whole yet, or it is being removed already.
    Unfinished,
    /// An instance on it had traffic from outside: what a client was told can be in it.
    Admitted,
    /// A person keeps it.
    Kept,
    /// A generation that is kept uses it.
    Needed,
}

impl fmt::Display for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Protection::InUse => "it is in use; promote another line first",
            Protection::Unfinished => "it is being made or removed",
            Protection::Admitted => "it had traffic from outside, so that only a person removes it",
            Protection::Kept => "a person keeps it",
            Protection::Needed => "a generation that is kept uses it",
        })
    }
}

/// The reason for which a line stays; none where it may go. A person removes every line but the one in use, a machine only those that never had traffic.
pub fn protection(line: &Line, in_use: u32, needed: &BTreeSet<u32>, asker: Asker) -> Option<Protection> {
    let machine = asker == Asker::Machine;
    if line.number == in_use {
        Some(Protection::InUse)
    } else if line.state != LineState::Whole {
        Some(Protection::Unfinished)
    } else if machine && line.admitted.is_some() {
        Some(Protection::Admitted)
    } else if machine && line.keeper == Keeper::Person {
        Some(Protection::Kept)
    } else if machine && needed.contains(&line.number) {
        Some(Protection::Needed)
    } else {
        None
    }
}

/// Numbers of the lines that a machine may remove, lowest first.
pub fn removable<'a>(lines: impl IntoIterator<Item = &'a Line>, in_use: u32, needed: &BTreeSet<u32>) -> BTreeSet<u32> {
    let free = lines.into_iter().filter(|line| protection(line, in_use, needed, Asker::Machine).is_none());
    free.map(|line| line.number).collect()
}

/// Lines of a volume that generations use. Given those that [`openmesh_blueprint::retention::kept`] names, it is what retention needs.
pub fn needed<'a>(generations: impl IntoIterator<Item = &'a Generation>, id: Id) -> BTreeSet<u32> {
    let volumes = generations.into_iter().flat_map(|generation| {
        let placed = generation.placement.applications.values().flat_map(|placed| placed.volumes.values());
        placed.chain(generation.placement.retired.values().map(|retired| &retired.volume))
    });
    volumes.filter(|volume| Id::try_from(&volume.id) == Ok(id)).map(|volume| volume.line).collect()
}

/// Reason for which a removed volume is not collected yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Nobody removed it.
    NotRemoved,
    /// Its data are kept until a person says otherwise.
    Kept,
    /// The time for an undo is not over.
    Undo {
        /// Time that is left, milliseconds.
        left_ms: u64,
    },
    /// No backup was made since the removal.
    NoBackup,
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wait::NotRemoved => f.write_str("its application was not removed"),
            Wait::Kept => f.write_str("its data are kept until a person says otherwise"),
            Wait::Undo { left_ms } => {
                write!(f, "the removal can be undone for another {} minutes", left_ms.div_ceil(60_000))
            }
            Wait::NoBackup => f.write_str("no backup was made since the removal"),
        }
    }
}

/// The reason for which a volume is not collected; none where it may go. Both clocks have to agree: one that was set forward removes nothing.
pub fn wait(removal: Option<&Removal>, backed_up: Option<Timestamp>, now: Timestamp) -> Option<Wait> {
    let Some(removal) = removal else { return Some(Wait::NotRemoved) };
    let by_wall = u64::try_from(now.nanos().saturating_sub(removal.at.nanos()) / 1_000_000).unwrap_or(0);
    let passed = by_wall.min(removal.waited_ms);
    match removal.fate {
        Fate::Keep => Some(Wait::Kept),
        _ if passed < UNDO_MS => Some(Wait::Undo { left_ms: UNDO_MS - passed }),
        Fate::Backup if backed_up.is_none_or(|at| at < removal.at) => Some(Wait::NoBackup),
        Fate::Backup | Fate::Wipe => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line(number: u32, keeper: Keeper, admitted: bool, state: LineState) -> Line {
        let at = Timestamp(1);
        let admitted = admitted.then_some(at);
        Line { number, parent: None, reason: String::new(), by: String::new(), at, keeper, state, admitted }
    }

    fn lines() -> impl Strategy<Value = Vec<Line>> {
        let one = (any::<bool>(), any::<bool>(), 0..3u8);
        prop::collection::vec(one, 1..12).prop_map(|all| {
            let numbered = all.into_iter().zip(1..).map(|((person, admitted, state), number)| {
                let keeper = if person { Keeper::Person } else { Keeper::Machine };
                let state = [LineState::Making, LineState::Whole, LineState::Dropping][usize::from(state)];
                line(number, keeper, admitted, state)
            });
            numbered.collect()
        })
    }

    proptest! {
        #[test]
        fn a_machine_never_removes_what_had_traffic(
            lines in lines(),
            in_use in 1..12u32,
            needed in prop::collection::btree_set(1..12u32, 0..4),
        ) {
            for number in removable(&lines, in_use, &needed) {
                let found = lines.iter().find(|line| line.number == number).unwrap();
                prop_assert!(found.admitted.is_none() && found.keeper == Keeper::Machine);
                prop_assert!(number != in_use && !needed.contains(&number) && found.state == LineState::Whole);
                prop_assert_eq!(protection(found, in_use, &needed, Asker::Person), None);
            }
        }

        #[test]
        fn no_clock_alone_ends_the_time_for_an_undo(at in any::<i64>(), now in any::<i64>(), waited_ms in 0..UNDO_MS) {
            let removal = Removal { fate: Fate::Wipe, by: String::new(), at: Timestamp(at), waited_ms };
            let waits = matches!(wait(Some(&removal), None, Timestamp(now)), Some(Wait::Undo { left_ms: 1.. }));
            prop_assert!(waits);
            let set_back = Removal { waited_ms: u64::MAX, ..removal };
            if now < at {
                prop_assert!(wait(Some(&set_back), None, Timestamp(now)).is_some());
            }
        }
    }

    #[test]
    fn a_person_removes_all_but_the_line_in_use() {
        let kept = line(2, Keeper::Person, true, LineState::Whole);
        let needed = [2].into();
        assert_eq!(protection(&kept, 1, &needed, Asker::Person), None);
        assert_eq!(protection(&kept, 2, &needed, Asker::Person), Some(Protection::InUse));
        assert_eq!(protection(&kept, 1, &needed, Asker::Machine), Some(Protection::Admitted));
    }

    fn generation(number: u64, line: u32) -> Generation {
        use openmesh_blueprint::document::{Reserve, Size};
        use openmesh_blueprint::generation::{Cause, Placed, PlacedVolume, Placement, Portable, VolumeId};
        let name: openmesh_blueprint::document::Name = "shop".parse().unwrap();
        let id = VolumeId::of(&name, &name, &name, 1);
        let volume = PlacedVolume { id, born: 1, line, clone: true, last_line: line };
        let placed = Placed {
            first_id: 0,
            addresses: Vec::new(),
            ports: Default::default(),
            volumes: [(name.clone(), volume)].into(),
            secrets: Default::default(),
            ran: None,
            gpus: Vec::new(),
        };
        let placement = Placement {
            node: name.clone(),
            subnet: "10.0.0.0/24".parse().unwrap(),
            reserve: Reserve { memory: Size(0), disk: Size(0) },
            applications: [(name, placed)].into(),
            retired: Default::default(),
            freed: Default::default(),
        };
        let cause = Cause { by: String::new(), reason: String::new(), at: Timestamp(0) };
        Generation { number, parent: number - 1, cause, portable: Portable::default(), placement }
    }

    #[test]
    fn lines_that_no_kept_generation_uses_may_go() {
        let generations: Vec<Generation> = (1..=30).map(|number| generation(number, number as u32)).collect();
        let ages: Vec<(u64, Timestamp)> = generations.iter().map(|g| (g.number, g.cause.at)).collect();
        let year = Timestamp(365 * 86_400 * 1_000_000_000);
        let kept = openmesh_blueprint::retention::kept(&ages, 30, &BTreeSet::new(), year);
        let placed = &generations[0].placement.applications.values().next().unwrap().volumes;
        let id = Id::try_from(&placed.values().next().unwrap().id).unwrap();
        let needed = needed(generations.iter().filter(|generation| kept.contains(&generation.number)), id);
        assert_eq!(needed, (11..=30).collect());
        let lines: Vec<Line> =
            (1..=30).map(|number| line(number, Keeper::Machine, number == 2, LineState::Whole)).collect();
        let expected: BTreeSet<u32> = (1..=10).filter(|number| *number != 2).collect();
        assert_eq!(removable(&lines, 30, &needed), expected, "but for the one that had traffic");
        assert!(super::needed(&generations, Id::new([0; 16])).is_empty(), "another volume's");
    }

    #[test]
    fn the_fates_of_removed_data() {
        let day = i64::try_from(UNDO_MS).unwrap() * 1_000_000;
        let removal = |fate| Removal { fate, by: "ann".into(), at: Timestamp(5), waited_ms: UNDO_MS };
        let at = |nanos| Timestamp(5 + nanos);
        assert_eq!(wait(None, None, at(day)), Some(Wait::NotRemoved));
        assert_eq!(wait(Some(&removal(Fate::Keep)), Some(at(1)), at(9 * day)), Some(Wait::Kept));
        assert_eq!(wait(Some(&removal(Fate::Wipe)), None, at(day)), None);
        let early = wait(Some(&removal(Fate::Wipe)), None, at(day - 60_000_000_000)).unwrap();
        assert_eq!(early.to_string(), "the removal can be undone for another 1 minutes");
        assert_eq!(wait(Some(&removal(Fate::Backup)), Some(Timestamp(4)), at(day)), Some(Wait::NoBackup));
        assert_eq!(wait(Some(&removal(Fate::Backup)), Some(at(0)), at(day)), None);
    }
}
