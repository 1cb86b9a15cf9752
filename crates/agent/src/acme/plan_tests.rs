use proptest::prelude::*;

use super::*;
use crate::acme::kept::Open;

const CA: &str = "https://ca.example/dir";
const NOW: u64 = 1_796_000_000;
const NAMES: [&str; 3] = ["a.example.org", "b.example.org", "c.example.org"];

fn wanted(names: &[&str]) -> Wanted {
    let all: BTreeSet<String> = names.iter().map(ToString::to_string).collect();
    let (served, busy) = (Some(all.clone()), BTreeSet::new());
    Wanted { directory: Some(CA.into()), served, ordered: all, busy, machine: "kitchen".into() }
}

fn issued(from_s: u64, until_s: u64, at_s: u64) -> Issued {
    let asked = Some((at_s, at_s + DAY_S));
    let (chain, key) = (String::new(), String::new());
    Issued { directory: CA.into(), chain, key, from_s, until_s, at_s, window: None, asked }
}

fn book(entry: Entry) -> Book {
    Book { names: [(NAMES[0].to_string(), entry)].into(), ..Book::default() }
}

#[test]
fn nothing_is_ordered_before_a_person_has_named_an_authority() {
    let nobody = Wanted { directory: None, ..wanted(&NAMES) };
    assert_eq!(next(&Book::default(), &nobody, NOW), Act::Rest(None));
    assert_eq!(next(&Book::default(), &wanted(&NAMES), NOW), Act::Order(NAMES[0].into()));
    assert_eq!(next(&Book::default(), &wanted(&[]), NOW), Act::Rest(None));
}

#[test]
fn renewal_is_at_two_thirds_or_in_the_window_of_the_authority() {
    let life = 90 * DAY_S;
    let mut one = issued(NOW, NOW + life, NOW);
    let at = renew_at(&one, NAMES[0], "kitchen");
    assert!(at <= NOW + life / 3 * 2 && at >= NOW + life / 3 * 2 - life / 30, "{at}");
    assert_ne!(at, renew_at(&one, NAMES[0], "cellar"), "machines have moments of their own");
    let entry = |one: &Issued| book(Entry { issued: Some(one.clone()), ..Entry::default() });
    one.asked = Some((at - 1, at + DAY_S));
    assert_eq!(next(&entry(&one), &wanted(&NAMES[..1]), at - 1), Act::Rest(Some(at)));
    assert_eq!(next(&entry(&one), &wanted(&NAMES[..1]), at), Act::Order(NAMES[0].into()));
    one.window = Some((NOW + DAY_S, NOW + 2 * DAY_S));
    let early = renew_at(&one, NAMES[0], "kitchen");
    assert!((NOW + DAY_S..NOW + 2 * DAY_S).contains(&early));
    // A window that is none, or after the end, is not followed.
    for window in [(NOW + 2, NOW + 1), (NOW + life, NOW + 2 * life)] {
        one.window = Some(window);
        assert_eq!(renew_at(&one, NAMES[0], "kitchen"), at);
    }
    // Another authority is asked at once.
    let other = Wanted { directory: Some("https://other.example/dir".into()), ..wanted(&NAMES[..1]) };
    assert_eq!(next(&entry(&one), &other, NOW + DAY_S), Act::Order(NAMES[0].into()));
}

#[test]
fn pauses_grow_and_hear_the_authority() {
    let mut entry = Entry::default();
    let mut pauses = Vec::new();
    for _ in 0..12 {
        failed(&mut entry, "cause".into(), "remedy".into(), None, NOW);
        pauses.push(entry.failure.as_ref().unwrap().again_s - NOW);
    }
    assert_eq!(pauses[..3], [300, 600, 1_200]);
    assert!(pauses.windows(2).all(|pair| pair[0] <= pair[1]) && pauses[11] == PAUSE_S_MAX);
    let mut entry = Entry::default();
    failed(&mut entry, "cause".into(), "remedy".into(), Some(7_200), NOW);
    let all = book(entry.clone());
    assert_eq!(next(&all, &wanted(&NAMES[..1]), NOW + 7_199), Act::Rest(Some(NOW + 7_200)));
    assert_eq!(next(&all, &wanted(&NAMES[..1]), NOW + 7_200), Act::Order(NAMES[0].into()));
    // A year is no pause.
    failed(&mut entry, "cause".into(), "remedy".into(), Some(365 * DAY_S), NOW);
    assert_eq!(next(&book(entry), &wanted(&NAMES[..1]), NOW + DAY_S), Act::Order(NAMES[0].into()));
    let mut all = Book::default();
    paused(&mut all, CA, Some(900), NOW, NOW);
    assert_eq!(
        next(&all, &wanted(&NAMES), NOW + 1),
        Act::Rest(Some(NOW + 900)),
        "an authority that is away is asked by nobody"
    );
    let other = Wanted { directory: Some("https://other.example/dir".into()), ..wanted(&NAMES) };
    assert_eq!(next(&all, &other, NOW + 1), Act::Order(NAMES[0].into()));
}

#[test]
fn orders_that_find_an_authority_away_together_are_one_failure() {
    let pause = |book: &Book| (book.pauses[CA].count, book.pauses[CA].until_s);
    let mut all = Book::default();
    // Three orders began at one moment, and end one after another.
    for (ends, asked) in [(10, None), (20, Some(900)), (30, None)] {
        paused(&mut all, CA, asked, NOW, NOW + ends);
    }
    assert_eq!(pause(&all), (1, NOW + 920), "the longest that it asked for");
    paused(&mut all, CA, None, NOW + 920, NOW + 930);
    assert_eq!(pause(&all), (2, NOW + 930 + 2 * PAUSE_S));
}

#[test]
fn what_is_under_way_holds_up_nobody_and_is_left_alone() {
    let with = |busy: &[&str]| Wanted { busy: busy.iter().map(ToString::to_string).collect(), ..wanted(&NAMES) };
    assert_eq!(next(&Book::default(), &with(&NAMES[..1]), NOW), Act::Order(NAMES[1].into()));
    assert_eq!(next(&Book::default(), &with(&NAMES), NOW), Act::Rest(None));
    // Whatever else is due for such a name waits for the end of its order.
    let open = Open { directory: CA.into(), url: "https://ca.example/o/1".into(), key: String::new(), at_s: NOW };
    let records = [("a proof".to_string(), NOW)].into();
    let unserved_since_s = Some(NOW);
    for entry in [
        Entry { open: Some(open.clone()), ..Entry::default() },
        Entry { records, ..Entry::default() },
        Entry { unserved_since_s, open: Some(open), ..Entry::default() },
        Entry { issued: Some(Issued { asked: None, ..issued(NOW, NOW + 90 * DAY_S, NOW) }), ..Entry::default() },
    ] {
        let later = NOW + GRACE_S;
        for now in [NOW, later] {
            let alone = Wanted { busy: [NAMES[0].to_string()].into(), ..wanted(&NAMES[..1]) };
            let act = next(&book(entry.clone()), &alone, now);
            assert!(matches!(act, Act::Rest(until) if until.is_none_or(|until| until > now)), "{act:?} at {now}");
        }
    }
    // As many as there may be: another one waits for the end of one of them.
    let many: Vec<String> = (0..ORDERS_AT_ONCE).map(|number| format!("{number}.example.org")).collect();
    let all: Vec<&str> = many.iter().map(String::as_str).chain(NAMES).collect();
    let full = Wanted { busy: many.iter().cloned().collect(), ..wanted(&all) };
    assert_eq!(next(&Book::default(), &full, NOW), Act::Rest(None));
    let free = Wanted { busy: many.iter().skip(1).cloned().collect(), ..wanted(&all) };
    assert_eq!(next(&Book::default(), &free, NOW), Act::Order(many[0].clone()));
}

#[test]
fn what_is_due_before_the_door_has_spoken_is_waited_for() {
    let records = [("a proof".to_string(), NOW)].into();
    let all = book(Entry { records, unserved_since_s: Some(NOW), ..Entry::default() });
    let nobody = Wanted { served: None, ..wanted(&[]) };
    assert_eq!(next(&all, &nobody, NOW + GRACE_S + 1), Act::Rest(None), "a rest of no time is a loop");
}

#[test]
fn a_clock_that_is_set_holds_up_nobody() {
    let mut entry = Entry::default();
    failed(&mut entry, "cause".into(), "remedy".into(), Some(DAY_S), NOW);
    assert_eq!(next(&book(entry), &wanted(&NAMES[..1]), NOW - DAY_S), Act::Order(NAMES[0].into()), "a day back");
    // A year ahead: each new certificate seems to have ended; it is not ordered in a loop.
    let ahead = NOW + 365 * DAY_S;
    let fresh = issued(NOW, NOW + 90 * DAY_S, ahead);
    let all = book(Entry { issued: Some(fresh), orders: vec![ahead], ..Entry::default() });
    assert_eq!(next(&all, &wanted(&NAMES[..1]), ahead + 60), Act::Rest(Some(ahead + DAY_S)));
    assert_eq!(next(&all, &wanted(&NAMES[..1]), NOW + 60), Act::Ask(NAMES[0].into()), "back again, all is well");
    // So does each window seem to be past.
    let fresh = Issued { window: Some((NOW, NOW + DAY_S)), ..issued(NOW, NOW + 90 * DAY_S, ahead) };
    let all = book(Entry { issued: Some(fresh), orders: vec![ahead], ..Entry::default() });
    assert_eq!(next(&all, &wanted(&NAMES[..1]), ahead + 60), Act::Rest(Some(ahead + DAY_S)));
}

#[test]
fn open_orders_go_on_and_old_ones_are_let_go() {
    let open = |directory: &str, at_s| {
        let open = Open { directory: directory.into(), url: "https://ca.example/o/1".into(), key: String::new(), at_s };
        book(Entry { open: Some(open), orders: vec![at_s], ..Entry::default() })
    };
    let name = NAMES[0].to_string();
    assert_eq!(next(&open(CA, NOW), &wanted(&NAMES), NOW + 60), Act::GoOn(name.clone()));
    assert_eq!(next(&open(CA, NOW), &wanted(&NAMES), NOW + ORDER_S_MAX), Act::Drop(name.clone()));
    assert_eq!(next(&open("https://other.example/dir", NOW), &wanted(&NAMES), NOW + 60), Act::Drop(name.clone()));
    let served = Wanted { ordered: BTreeSet::new(), ..wanted(&NAMES) };
    assert_eq!(next(&open(CA, NOW), &served, NOW + 60), Act::Drop(name));
}

#[test]
fn names_that_are_gone_are_forgotten_after_a_grace() {
    let one = issued(NOW, NOW + 90 * DAY_S, NOW);
    let mut all = book(Entry { issued: Some(one), ..Entry::default() });
    let name = NAMES[0].to_string();
    let nobody = Wanted { served: None, ..wanted(&[]) };
    assert_eq!(next(&all, &nobody, NOW + 60), Act::Rest(None), "the door has not said what it serves");
    assert_eq!(next(&all, &wanted(&[]), NOW + 60), Act::Serve { name: name.clone(), serves: false });
    all.names.get_mut(&name).unwrap().unserved_since_s = Some(NOW + 60);
    assert_eq!(next(&all, &wanted(&[]), NOW + 61), Act::Rest(Some(NOW + 60 + GRACE_S)));
    assert_eq!(next(&all, &wanted(&[]), NOW + 60 + GRACE_S), Act::Forget(name.clone()));
    assert_eq!(
        next(&all, &wanted(&[]), NOW),
        Act::Serve { name: name.clone(), serves: false },
        "the clock was set back"
    );
    assert_eq!(next(&all, &wanted(&NAMES[..1]), NOW + 90), Act::Serve { name, serves: true }, "it moved, and is back");
}

#[test]
fn records_are_taken_out_of_the_dns_once_no_order_needs_them() {
    let name = NAMES[0].to_string();
    let one = Entry { records: [("a proof".to_string(), NOW)].into(), ..Entry::default() };
    let nobody = Wanted { directory: None, ..wanted(&NAMES[..1]) };
    assert_eq!(next(&book(one.clone()), &nobody, NOW), Act::Tidy(name.clone()), "whoever is named as authority");
    let open = Open { directory: CA.into(), url: "https://ca.example/o/1".into(), key: String::new(), at_s: NOW };
    let open = Entry { open: Some(open), ..one.clone() };
    assert_eq!(next(&book(open), &wanted(&NAMES[..1]), NOW), Act::GoOn(name.clone()), "an open order needs it");
    let later = Entry { records: [("a proof".to_string(), NOW + TIDY_AGAIN_S)].into(), ..one };
    let certified = Entry { issued: Some(issued(NOW, NOW + 90 * DAY_S, NOW)), ..later };
    let all = book(certified);
    assert_eq!(next(&all, &wanted(&NAMES[..1]), NOW), Act::Rest(Some(NOW + TIDY_AGAIN_S)));
    assert_eq!(next(&all, &wanted(&NAMES[..1]), NOW + TIDY_AGAIN_S), Act::Tidy(name.clone()));
    assert_eq!(next(&all, &wanted(&NAMES[..1]), NOW - DAY_S), Act::Tidy(name), "the clock was set back");
}

/// An answer of the world to an act.
#[derive(Clone, Debug)]
enum Turn {
    /// Every try succeeds, with a life of so many days.
    Well(u64),
    /// It fails.
    Fails(Option<u64>),
    /// The authority is away.
    Away(Option<u64>),
    /// The agent dies in the middle.
    Dies,
    /// The names that are served and ordered change.
    Names(u8),
    /// The clock is set by so many seconds.
    Clock(i64),
    /// Time passes.
    Passes(u64),
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let asked = proptest::option::of(0..400 * DAY_S);
    let turn = prop_oneof![
        4 => (1u64..400).prop_map(Turn::Well),
        2 => asked.clone().prop_map(Turn::Fails),
        1 => asked.prop_map(Turn::Away),
        1 => Just(Turn::Dies),
        1 => (0u8..8).prop_map(Turn::Names),
        1 => (-(400 * DAY_S as i64)..400 * DAY_S as i64).prop_map(Turn::Clock),
        4 => (1u64..20 * DAY_S).prop_map(Turn::Passes),
    ];
    proptest::collection::vec(turn, 1..80)
}

/// A machine of the plan alone.
struct World {
    book: Book,
    wanted: Wanted,
    now: u64,
    /// The authority's clock.
    real: u64,
    /// Orders since the clock was set last.
    orders: Vec<(String, u64)>,
}

impl World {
    fn names(&mut self, mask: u8) {
        let all = NAMES.iter().enumerate().filter(|(at, _)| mask & (1 << at) != 0).map(|(_, name)| *name);
        self.wanted = wanted(&all.collect::<Vec<_>>());
    }

    fn act(&mut self, act: &Act, turn: &Turn) {
        let now = self.now;
        match act {
            Act::Serve { name, serves } => {
                self.book.names.get_mut(name).unwrap().unserved_since_s = (!serves).then_some(now);
            }
            Act::Forget(name) => drop(self.book.names.remove(name)),
            Act::Drop(name) => self.book.names.get_mut(name).unwrap().open = None,
            Act::Ask(name) => {
                let issued = self.book.names.get_mut(name).unwrap().issued.as_mut().unwrap();
                issued.asked = Some((now, now + DAY_S));
            }
            Act::Order(name) => {
                self.orders.push((name.clone(), now));
                let entry = self.book.names.entry(name.clone()).or_default();
                entry.orders.push(now);
                if entry.orders.len() > ORDERS_KEPT {
                    entry.orders.remove(0);
                }
                let open = Open { directory: CA.into(), url: "o".into(), key: String::new(), at_s: now };
                entry.open = Some(open);
                entry.records.insert("a proof".into(), now);
                self.settle(name, turn);
            }
            Act::GoOn(name) => self.settle(name, turn),
            Act::Tidy(name) => {
                let entry = self.book.names.get_mut(name).unwrap();
                match turn {
                    Turn::Fails(_) => entry.records.values_mut().for_each(|out| *out = now + TIDY_AGAIN_S),
                    _ => entry.records.clear(),
                }
            }
            Act::Rest(_) => {}
        }
    }

    fn settle(&mut self, name: &str, turn: &Turn) {
        let (now, real) = (self.now, self.real);
        let entry = self.book.names.get_mut(name).unwrap();
        match turn {
            Turn::Dies => {}
            Turn::Fails(asked) => {
                entry.open = None;
                failed(entry, "cause".into(), "remedy".into(), *asked, now);
            }
            Turn::Away(asked) => {
                failed(entry, "cause".into(), "remedy".into(), *asked, now);
                paused(&mut self.book, CA, *asked, now, now);
            }
            Turn::Well(_) | Turn::Names(_) | Turn::Clock(_) | Turn::Passes(_) => {
                let days = if let Turn::Well(days) = turn { *days } else { 90 };
                entry.issued = Some(issued(real, real + days * DAY_S, now));
                (entry.open, entry.failure) = (None, None);
            }
        }
    }
}

proptest! {
    #[test]
    fn whatever_happens_orders_have_a_bound_and_names_get_there(turns in turns()) {
        let mut world = World { book: Book::default(), wanted: wanted(&NAMES), now: NOW, real: NOW, orders: Vec::new() };
        for turn in turns.iter().chain(std::iter::repeat_n(&Turn::Passes(DAY_S), 3)) {
            match turn {
                Turn::Names(mask) => world.names(*mask),
                Turn::Clock(by) => {
                    world.now = world.now.saturating_add_signed(*by);
                    world.orders.clear();
                }
                Turn::Passes(seconds) => (world.now, world.real) = (world.now + seconds, world.real + seconds),
                _ => {}
            }
            // An agent comes to rest, or is stopped by a death: it never acts in a loop.
            let mut acts = 0;
            loop {
                let act = next(&world.book, &world.wanted, world.now);
                if let Act::Rest(until) = &act {
                    prop_assert!(until.is_none_or(|until| until > world.now), "a rest of no time");
                    break;
                }
                world.act(&act, turn);
                acts += 1;
                prop_assert!(acts < 60, "{act:?} again and again");
                if matches!((turn, &act), (Turn::Dies, Act::Order(_) | Act::GoOn(_))) {
                    break;
                }
            }
            for name in NAMES {
                let day = |at: u64| world.orders.iter().filter(|(one, when)| one == name && (at..at + DAY_S).contains(when)).count();
                let most = world.orders.iter().map(|(_, at)| day(*at)).max().unwrap_or(0);
                prop_assert!(most <= ORDERS_A_DAY, "{most} orders for {name} within a day");
            }
        }
        // Three quiet days with an authority that answers: every name has a certificate that is good or will be ordered soon.
        for name in &world.wanted.ordered {
            prop_assert!(world.book.names.get(name).is_some_and(|entry| entry.issued.is_some()), "{name} has none");
        }
        for (name, entry) in &world.book.names {
            prop_assert!(entry.records.is_empty(), "{} has a record in the DNS", name);
            prop_assert_eq!(world.wanted.ordered.contains(name), entry.unserved_since_s.is_none());
        }
    }
}
