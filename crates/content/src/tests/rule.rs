//! The rule over files in memory, rows in the database, and both, against a plain list of blocks.

use std::path::Path;

use openmesh_primitives::ContentId;
use proptest::prelude::*;

use crate::database::Database;
use crate::disk::Disk;
use crate::fault::Fault;
use crate::files::{Entry, Files};
use crate::rule::{Block, Both, Kind, Place, Rule, Stock, oldest};
use crate::{Limits, Reason};

const MINUTE: i64 = 60_000_000_000;

#[derive(Clone, Debug)]
enum Step {
    Insert { n: u8, reason: Reason, kept: i64 },
    Take(u8),
    Hold(u8, bool),
    Since(i64),
}

fn bytes(n: u8) -> Vec<u8> {
    vec![n; usize::from(n) * 700]
}

fn cid(n: u8) -> ContentId {
    ContentId::of(&bytes(n))
}

fn reasons() -> impl Strategy<Value = Reason> {
    prop_oneof![Just(Reason::Cached), Just(Reason::Segment), Just(Reason::Window)]
}

/// Times some minutes around 1970, at their borders and within them.
fn time() -> impl Strategy<Value = i64> {
    (-3..4i64, prop_oneof![Just(0i64), Just(1), Just(MINUTE - 1), 0..MINUTE]).prop_map(|(m, rest)| m * MINUTE + rest)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..12u8, reasons(), time()).prop_map(|(n, reason, kept)| Step::Insert { n, reason, kept }),
        1 => (0..12u8).prop_map(Step::Take),
        2 => (0..12u8, any::<bool>()).prop_map(|(n, more)| Step::Hold(n, more)),
        1 => time().prop_map(Step::Since),
    ]
}

/// Even numbers in the one, odd numbers in the other, or all in one of them.
struct Mixed {
    files: Files,
    database: Database,
    file: fn(u8) -> bool,
}

impl Mixed {
    fn new(root: &Path, file: fn(u8) -> bool) -> Mixed {
        let database = Database::open(root, Disk::default()).unwrap();
        std::fs::create_dir(root.join("incoming")).unwrap();
        database.writable().unwrap();
        Mixed { files: Files::default(), database, file }
    }

    fn ask(&self, rule: &mut Rule, ask: Ask) -> Answer {
        let open = self.database.current().unwrap().unwrap();
        open.read(|rows| answer(&Both(&self.files, rows), rule, ask)).unwrap()
    }

    fn insert(&mut self, n: u8, reason: Reason, kept: i64, rule: &mut Rule) {
        let place = Place { reason, kept, cid: cid(n) };
        if (self.file)(n) {
            let holds = self.files.get(&cid(n)).map_or(0, |entry| entry.holds);
            self.files.take(&cid(n)).iter().for_each(|block| rule.sub(block));
            let cost = crate::limits::file_cost(bytes(n).len() as u64);
            rule.add(&self.files.insert(cid(n), Entry { reason, kept, cost, holds }));
            return;
        }
        let open = self.database.writable().unwrap();
        let written = open.write(false, |table| {
            let before = table.take_row(&cid(n))?;
            before.iter().for_each(|block| rule.sub(block));
            rule.add(&table.insert(place, before.is_some_and(|block| block.held), &bytes(n))?);
            Ok(())
        });
        written.unwrap();
    }

    fn take(&mut self, n: u8, rule: &mut Rule) -> bool {
        let taken = if (self.file)(n) {
            self.files.take(&cid(n))
        } else {
            self.database.writable().unwrap().write(false, |table| table.take(&cid(n))).unwrap()
        };
        taken.iter().for_each(|block| rule.sub(block));
        taken.is_some()
    }

    /// Adds the holder of a number, or takes it off; rows know holders by name.
    fn hold(&mut self, n: u8, name: &str, more: bool, rule: &mut Rule) {
        if (self.file)(n) {
            let Some(entry) = self.files.get(&cid(n)).copied() else { return };
            self.files.take(&cid(n)).iter().for_each(|block| rule.sub(block));
            let holds = entry.holds.saturating_add_signed(if more { 1 } else { -1 });
            rule.add(&self.files.insert(cid(n), Entry { holds, ..entry }));
            return;
        }
        let open = self.database.writable().unwrap();
        let changed =
            open.write(false, |table| if more { table.hold(name, &cid(n)) } else { table.release(name, &cid(n)) });
        if let Some((before, after)) = changed.unwrap() {
            rule.sub(&before);
            rule.add(&after);
        }
    }

    fn cost(&self, n: u8) -> u64 {
        let bytes = bytes(n).len() as u64;
        if (self.file)(n) { crate::limits::file_cost(bytes) } else { crate::limits::row_cost(bytes) }
    }
}

#[derive(Clone, Copy)]
enum Ask {
    Since(i64),
    Oldest(Reason),
    Loose,
    Recount,
}

#[derive(Debug, PartialEq)]
enum Answer {
    Done,
    Time(Option<i64>),
    Block(Option<ContentId>),
}

fn answer(stock: &impl Stock, rule: &mut Rule, ask: Ask) -> Result<Answer, Fault> {
    Ok(match ask {
        Ask::Since(since) => {
            rule.retain_since(stock, since)?;
            Answer::Done
        }
        Ask::Oldest(reason) => Answer::Time(oldest(stock, reason)?),
        Ask::Loose => Answer::Block(rule.loose(stock, Reason::Window, i64::MAX)?.map(|block| block.place.cid)),
        Ask::Recount => {
            rule.recount(stock)?;
            Answer::Done
        }
    })
}

/// A block of the plain list: number, reason, time, holds.
type Listed = (u8, Reason, i64, u32);

fn compare(steps: Vec<Step>, file: fn(u8) -> bool) -> Result<(), TestCaseError> {
    let root = tempfile::tempdir().unwrap();
    let (mut stock, mut rule) = (Mixed::new(root.path(), file), Rule::new(&Limits::default()));
    let (mut list, mut since) = (Vec::<Listed>::new(), i64::MIN);
    for step in steps {
        match step {
            Step::Insert { n, reason, kept } => {
                stock.insert(n, reason, kept, &mut rule);
                let holds = list.iter().find(|b| b.0 == n).map_or(0, |b| b.3);
                list.retain(|b| b.0 != n);
                list.push((n, reason, kept, holds));
            }
            Step::Take(n) => {
                let found = stock.take(n, &mut rule);
                prop_assert_eq!(found, list.iter().any(|b| b.0 == n));
                list.retain(|b| b.0 != n);
            }
            Step::Hold(n, more) => {
                for block in list.iter_mut().filter(|b| b.0 == n && (more || b.3 > 0)) {
                    let name = if more { block.3 } else { block.3 - 1 }.to_string();
                    stock.hold(n, &name, more, &mut rule);
                    block.3 = block.3.saturating_add_signed(if more { 1 } else { -1 });
                }
            }
            Step::Since(time) => {
                prop_assert_eq!(stock.ask(&mut rule, Ask::Since(time)), Answer::Done);
                since = time;
            }
        }
        let recent = |b: &&Listed| b.1 == Reason::Window && b.2 >= since;
        let cost = |b: &Listed| stock.cost(b.0);
        let held = list.iter().filter(|b| b.3 > 0 && !recent(b)).map(cost).sum::<u64>();
        let mut recounted = rule.clone();
        stock.ask(&mut recounted, Ask::Recount);
        for rule in [&rule, &recounted] {
            prop_assert_eq!(rule.blocks(), list.len() as u64);
            prop_assert_eq!(rule.bytes(), list.iter().map(cost).sum::<u64>());
            prop_assert_eq!(rule.recent_bytes(), list.iter().filter(recent).map(cost).sum::<u64>());
            prop_assert_eq!(rule.held_bytes(), held);
        }
        let loose = list.iter().filter(|b| b.3 == 0 && !recent(b)).map(|b| (b.1, b.2, cid(b.0))).min();
        prop_assert_eq!(stock.ask(&mut rule, Ask::Loose), Answer::Block(loose.map(|(.., cid)| cid)));
        for reason in [Reason::Cached, Reason::Segment, Reason::Window] {
            let oldest = list.iter().filter(|b| b.1 == reason).map(|b| b.2).min();
            prop_assert_eq!(stock.ask(&mut rule, Ask::Oldest(reason)), Answer::Time(oldest));
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn files_are_summed_and_yield_as_a_plain_list_does(steps in proptest::collection::vec(step(), 1..60)) {
        compare(steps, |_| true)?;
    }

    #[test]
    fn rows_are_summed_and_yield_as_a_plain_list_does(steps in proptest::collection::vec(step(), 1..60)) {
        compare(steps, |_| false)?;
    }

    #[test]
    fn both_are_merged_in_one_order(steps in proptest::collection::vec(step(), 1..60)) {
        compare(steps, |n| n % 2 == 0)?;
    }
}

/// A block of a list for the order of victims: reason, time, held.
fn listed() -> impl Strategy<Value = (Reason, i64, bool)> {
    (reasons(), 0..8i64, any::<bool>())
}

proptest! {
    #[test]
    fn victims_are_those_of_the_rule(
        blocks in proptest::collection::vec(listed(), 0..10),
        (since, reason, kept) in (0..8i64, reasons(), 0..9i64),
        half in any::<bool>(),
    ) {
        let (mut even, mut odd) = (Files::default(), Files::default());
        let limits = Limits { store_bytes_max: 8, reserve_percent: if half { 50 } else { 0 }, ..Limits::default() };
        let mut rule = Rule::new(&limits);
        rule.retain_since(&even, since).unwrap();
        let mut list = Vec::new();
        for (n, (reason, kept, held)) in blocks.into_iter().enumerate() {
            let n = u8::try_from(n).unwrap();
            let entry = Entry { reason, kept, cost: 1, holds: held.into() };
            let block = if n % 2 == 0 { &mut even } else { &mut odd }.insert(cid(n), entry);
            prop_assert_eq!(block.kind, Kind::File);
            rule.add(&block);
            list.push(block);
        }
        let recent = |block: &Block| block.place.reason == Reason::Window && block.place.kept >= since;
        let first = |wanted: &dyn Fn(&Block) -> bool| list.iter().filter(|b| wanted(b)).min_by_key(|b| b.place).copied();
        let loose = first(&|b| !b.held && !recent(b)).filter(|b| (b.place.reason, b.place.kept) < (reason, kept));
        let is_recent = reason == Reason::Window && kept >= since;
        let others = list.iter().filter(|b| !recent(b)).count() as u64;
        let grown = first(&|b| b.held && !recent(b)).filter(|_| others > 8 - limits.reserve_bytes());
        // Then the oldest recent one, those that nobody holds before the others, and at last what is held.
        let newer = first(&|b| !b.held).or_else(|| first(&|b| b.held && b.place.reason == Reason::Window));
        let broken = grown.or(newer).or_else(|| first(&|b| b.held && !recent(b))).filter(|_| is_recent);
        let expected = loose.map(|b| (b.place, false)).or(broken.map(|b| (b.place, true)));
        let victim = rule.victim(&Both(&even, &odd), 1, reason, kept).unwrap();
        prop_assert_eq!(victim.map(|v| (v.block.place, v.pinned)), expected);
        prop_assert_eq!(rule.victim(&Both(&even, &odd), 9, reason, kept).unwrap(), None, "it would not fit into an empty store");
    }
}
