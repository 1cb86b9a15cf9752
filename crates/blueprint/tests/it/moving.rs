//! Moves between machines in a model with deaths, lost, doubled and late words, failures, cancels and undos.

use std::collections::BTreeMap;

use openmesh_blueprint::moving::{Act, Arrival, BackupId, Departure, Done, Here, Order, Work};
use proptest::prelude::*;

/// Both machines, what is on the way between them, and what clients were told.
#[derive(Debug)]
struct World {
    here: Departure,
    there: Arrival,
    /// Lost with the agent of the machine that is left.
    first: Option<BackupId>,
    last: Option<BackupId>,
    /// Lost with the agent of the other one.
    heard: Option<Order>,
    serves_here: bool,
    serves_there: bool,
    data_here: Vec<u32>,
    data_there: Vec<u32>,
    stored: BTreeMap<BackupId, Vec<u32>>,
    orders: Vec<Order>,
    words: Vec<Arrival>,
    acknowledged: Vec<u32>,
    /// The gate fails there, or a copy does.
    fails: bool,
}

impl World {
    fn new() -> World {
        World {
            here: Departure::Tries,
            there: Arrival::Arrives { tried: None },
            first: None,
            last: None,
            heard: None,
            serves_here: true,
            serves_there: false,
            data_here: vec![],
            data_there: vec![],
            stored: BTreeMap::new(),
            orders: vec![],
            words: vec![],
            acknowledged: vec![],
            fails: false,
        }
    }

    fn facts(&self) -> Here {
        Here { is_quiet: !self.serves_here, first: self.first.clone(), last: self.last.clone() }
    }

    fn store(&mut self, data: Vec<u32>) -> BackupId {
        let id = format!("backup {}", self.stored.len());
        self.stored.insert(id.clone(), data);
        id
    }

    fn act_here(&mut self) {
        match self.here.act(&self.facts()) {
            Act::BackUp => self.first = Some(self.store(self.data_here.clone())),
            Act::Quiet => self.serves_here = false,
            Act::BackUpLast => {
                assert!(!self.serves_here, "nobody writes to a last copy");
                self.last = Some(self.store(self.data_here.clone()));
            }
            Act::Restore(backup) => {
                self.data_here = self.stored[&backup].clone();
                self.here = self.here.clone().restored();
            }
            Act::Serve => self.serves_here = true,
            Act::Rest => {}
        }
    }

    fn act_there(&mut self) {
        match self.there.work(self.heard.as_ref(), self.serves_there) {
            Work::Take { .. } | Work::Gate if self.fails => {
                self.there = self.there.clone().done(&Done::Failed { cause: "it fails".into() });
            }
            Work::Take { backup, is_last } => {
                self.data_there = self.stored[&backup].clone();
                self.there = self.there.clone().done(&Done::Taken { backup, is_last });
            }
            Work::Gate => self.there = self.there.clone().done(&Done::Gated),
            Work::Admit => self.serves_there = true,
            Work::GiveBack if self.serves_there => self.serves_there = false,
            Work::GiveBack => {
                let backup = self.store(self.data_there.clone());
                self.there = self.there.clone().done(&Done::Stored { backup });
            }
            Work::Drop => self.data_there.clear(),
            Work::Forget | Work::Rest => {}
        }
    }

    fn send(&mut self) {
        self.orders.extend(self.here.order(&self.facts()));
        self.words.push(self.there.clone());
    }

    /// An order comes, whichever of those on the way; it may come again.
    fn hear_there(&mut self, which: usize, again: bool) {
        if self.orders.is_empty() {
            return;
        }
        let at = which % self.orders.len();
        let order = if again { self.orders[at].clone() } else { self.orders.swap_remove(at) };
        self.there = self.there.clone().hear(&order);
        self.heard = Some(order);
    }

    fn hear_here(&mut self, which: usize, again: bool) {
        if self.words.is_empty() {
            return;
        }
        let at = which % self.words.len();
        let word = if again { self.words[at].clone() } else { self.words.swap_remove(at) };
        self.here = self.here.clone().hear(&word);
    }

    /// A client writes wherever somebody lets it in, and is told so.
    fn write(&mut self) {
        let number = u32::try_from(self.acknowledged.len()).unwrap();
        match (self.serves_here, self.serves_there) {
            (true, _) => self.data_here.push(number),
            (_, true) => self.data_there.push(number),
            _ => return,
        }
        self.acknowledged.push(number);
    }

    fn step(&mut self, (what, which): (u8, usize)) {
        let again = which % 2 == 0;
        match what {
            0..=2 => self.act_here(),
            3..=5 => self.act_there(),
            6 | 7 => self.send(),
            8..=10 => self.hear_there(which, again),
            11..=13 => self.hear_here(which, again),
            14..=16 => self.write(),
            // Words are lost.
            17 => drop(self.orders.pop()),
            18 => drop(self.words.pop()),
            // Agents die; applications go on.
            19 => (self.first, self.last) = (None, None),
            20 => self.heard = None,
            21 => self.fails = !self.fails,
            22 if which % 4 == 0 => self.here = self.here.clone().cancel("a person does not want it"),
            23 if which % 4 == 0 => self.here = self.here.clone().recall(),
            24 if which % 4 == 0 => self.here = self.here.clone().settle(),
            25 if which % 4 == 0 => self.there = self.there.clone().expire(),
            // The people of the other machine keep what serves there.
            26 if which % 4 == 0 && self.there == Arrival::Serves => self.there = self.there.clone().hear(&Order::Keep),
            // Nothing was heard there for days.
            27 if which % 4 == 0 => self.there = self.there.clone().settle(),
            _ => {}
        }
        self.check();
    }

    /// The rules that hold at every moment.
    fn check(&self) {
        assert!(!(self.serves_here && self.serves_there), "it serves twice: {self:?}");
        assert!(!self.here.may_serve() || !self.there.may_serve(), "it may serve twice: {self:?}");
        let has = |data: &[u32]| data == self.acknowledged;
        match (self.serves_here, self.serves_there) {
            (true, _) => assert!(has(&self.data_here), "a write is lost: {self:?}"),
            (_, true) => assert!(has(&self.data_there), "a write is lost: {self:?}"),
            _ => {
                let named = self.stored.values().any(|data| has(data));
                assert!(has(&self.data_here) || has(&self.data_there) || named, "a write is nowhere: {self:?}");
            }
        }
    }

    /// Nothing dies and nothing is lost any more.
    fn come_to_rest(&mut self) {
        self.fails = false;
        for _ in 0..60 {
            self.act_here();
            self.check();
            self.orders.extend(self.here.order(&self.facts()));
            // Late ones come first, the newest last, and that is the one by which it acts.
            for order in std::mem::take(&mut self.orders) {
                self.there = self.there.clone().hear(&order);
                self.heard = Some(order);
                self.check();
            }
            self.act_there();
            self.check();
            self.words.push(self.there.clone());
            for word in std::mem::take(&mut self.words) {
                self.here = self.here.clone().hear(&word);
                self.check();
            }
        }
    }
}

#[test]
fn an_undisturbed_move_quiets_only_after_the_other_machine_has_tried_it() {
    let mut world = World::new();
    for _ in 0..5 {
        world.write();
    }
    let mut seen = vec![world.here.clone()];
    for _ in 0..30 {
        world.act_here();
        world.send();
        if world.here == Departure::Tries {
            assert!(world.serves_here, "clients are served as long as nothing was tried");
        }
        world.write();
        world.hear_there(0, false);
        world.act_there();
        world.send();
        while !world.words.is_empty() {
            world.hear_here(0, false);
        }
        world.orders.clear();
        world.check();
        if seen.last() != Some(&world.here) {
            seen.push(world.here.clone());
        }
    }
    assert_eq!(seen, [Departure::Tries, Departure::Quiets, Departure::Hands, Departure::Gone]);
    assert!(world.serves_there && world.acknowledged.len() > 6);
    world.here = world.here.recall();
    world.come_to_rest();
    assert!(world.serves_here && world.data_here == world.acknowledged, "{world:?}");
    assert_eq!(world.there, Arrival::Dropped);
}

#[test]
fn a_gate_that_fails_there_brings_it_back_as_it_was() {
    let mut world = World::new();
    world.write();
    while world.here != Departure::Hands {
        world.act_here();
        world.send();
        world.hear_there(0, false);
        world.act_there();
        world.words.push(world.there.clone());
        let last = world.words.len() - 1;
        world.hear_here(last, false);
        world.orders.clear();
    }
    assert!(!world.serves_here && !world.serves_there);
    world.fails = true;
    world.send();
    world.hear_there(0, false);
    world.act_there();
    assert!(matches!(world.there, Arrival::Refused { .. }), "{:?}", world.there);
    world.come_to_rest();
    assert!(world.serves_here && world.data_here == world.acknowledged);
}

#[test]
fn what_was_settled_is_never_given_back() {
    let mut world = World::new();
    world.write();
    world.come_to_rest();
    assert_eq!((&world.here, &world.there), (&Departure::Gone, &Arrival::Serves));
    world.here = world.here.settle();
    world.come_to_rest();
    assert_eq!((&world.here, &world.there), (&Departure::Over, &Arrival::Kept));
    assert!(world.there.is_over() && world.there.may_serve());
    assert_eq!(world.there.work(None, true), Work::Forget);
    // Undone too late, and ordered by somebody who is late too.
    world.here = world.here.recall();
    world.orders.push(Order::GiveBack);
    world.come_to_rest();
    assert_eq!((&world.here, &world.there), (&Departure::Over, &Arrival::Kept));
    assert!(world.serves_there && world.data_there == world.acknowledged);
}

#[test]
fn what_the_people_of_the_other_machine_keep_is_theirs() {
    let mut world = World::new();
    world.write();
    world.come_to_rest();
    world.there = world.there.hear(&Order::Keep);
    // Undone too late, and nobody waits for what is never given back.
    world.here = world.here.recall();
    assert_eq!(world.here, Departure::Recalls);
    world.come_to_rest();
    assert_eq!((&world.here, &world.there), (&Departure::Over, &Arrival::Kept));
    assert!(world.serves_there && !world.serves_here && world.data_there == world.acknowledged);
    assert_eq!(Departure::Hands.hear(&Arrival::Kept), Departure::Over);
}

#[test]
fn what_serves_where_nothing_was_heard_for_days_stays_there() {
    let wishes: [fn(Departure) -> Departure; 3] = [Departure::settle, Departure::recall, |own| own];
    for wish in wishes {
        let mut world = World::new();
        world.write();
        world.come_to_rest();
        assert_eq!((&world.here, &world.there), (&Departure::Gone, &Arrival::Serves));
        // The machine that is left is away, whatever its people wished.
        world.here = wish(world.here.clone());
        world.there = world.there.settle();
        world.come_to_rest();
        assert_eq!((&world.here, &world.there), (&Departure::Over, &Arrival::Kept));
        assert!(world.serves_there && !world.serves_here && world.data_there == world.acknowledged);
    }
    // Before it serves there, and on its way back, nothing is this machine's by itself.
    let ready = Arrival::Ready { backup: "b".into() };
    for mark in [ready, Arrival::Told, Arrival::GivesBack, Arrival::Given { backup: "b".into() }, Arrival::Dropped] {
        assert_eq!(mark.clone().settle(), mark);
    }
}

#[test]
fn one_of_which_nothing_is_heard_lets_go_unless_it_was_told_to_serve() {
    let refused = Arrival::Told.done(&Done::Failed { cause: "its gate has failed".into() });
    assert!(matches!(refused, Arrival::Refused { .. }));
    for arrival in [Arrival::Arrives { tried: None }, Arrival::Ready { backup: "b".into() }, refused] {
        let dropped = arrival.expire();
        assert_eq!(dropped, Arrival::Dropped);
        // Told too late it serves no more, and the machine that is left serves again.
        assert_eq!(dropped.clone().hear(&Order::Serve), Arrival::Dropped);
        let returns = Departure::Hands.hear(&dropped);
        assert!(matches!(returns, Departure::Returns { data: None, .. }) && returns.may_serve(), "{returns:?}");
    }
    for arrival in [Arrival::Told, Arrival::Serves, Arrival::GivesBack, Arrival::Given { backup: "b".into() }] {
        assert_eq!(arrival.clone().expire(), arrival);
    }
    // A machine that has forgotten everything may be serving once it was told to.
    assert!(Departure::Quiets.forgotten().may_serve());
    assert_eq!(Departure::Hands.forgotten(), Departure::Hands);
    assert_eq!(Departure::Gone.forgotten(), Departure::Gone);
}

#[test]
fn marks_are_read_as_written() {
    let returns = Departure::Returns { cause: "no room".into(), data: Some("b".into()) };
    for mark in [Departure::Tries, Departure::Quiets, Departure::Hands, Departure::Gone, Departure::Over, returns] {
        assert_eq!(borsh::from_slice::<Departure>(&borsh::to_vec(&mark).unwrap()).unwrap(), mark);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Whatever happens on the way, it serves at one place at most and no acknowledged write is lost; and once nothing is disturbed any more it serves somewhere.
    #[test]
    fn it_serves_at_one_place_and_no_write_is_lost(steps in proptest::collection::vec((0_u8..28, 0_usize..64), 0..120)) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
        }
        world.come_to_rest();
        prop_assert!(world.serves_here != world.serves_there, "{world:?}");
        let data = if world.serves_here { &world.data_here } else { &world.data_there };
        prop_assert_eq!(data, &world.acknowledged);
        let is_over = matches!(
            world.here,
            Departure::Gone | Departure::Over | Departure::Returns { data: None, .. }
        );
        prop_assert!(is_over, "{:?}", world.here);
    }
}
