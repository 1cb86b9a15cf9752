//! Turns of proposers, and those who are passed over: clause P.

use std::collections::BTreeSet;

use openmesh_ledger::{NearTurns, Turns, near_turns, proposer, validators};
use openmesh_primitives::Address;
use proptest::prelude::*;

use crate::chain::Chain;

/// Number of the proposer of a height and round.
fn turn(chain: &Chain, turns: &Turns, height: u64, round: u32) -> usize {
    let set = validators(&chain.state).unwrap();
    let address = turns.proposer(&set, height, round).address;
    (0..4).find(|n| chain.address(*n) == address).unwrap()
}

/// The turns of an epoch of which nobody is passed over.
fn of_all(chain: &Chain) -> Turns {
    Turns { passed_over: BTreeSet::new(), ..near_turns(&chain.state).unwrap().current }
}

/// Those who are passed over at the last height, the next one and the one after.
fn over(turns: &NearTurns) -> [&BTreeSet<Address>; 3] {
    [&turns.last.passed_over, &turns.current.passed_over, &turns.next.passed_over]
}

/// Lets the validators but one decide the last block in this round, and executes the next one, which carries their commit.
fn without(chain: &mut Chain, absent: usize, round: i64) -> NearTurns {
    chain.signers = (0..4).filter(|n| *n != absent).collect();
    chain.round = round;
    chain.run(vec![]);
    chain.round = 0;
    near_turns(&chain.state).unwrap()
}

fn all(chain: &mut Chain) -> NearTurns {
    chain.signers = (0..4).collect();
    chain.run(vec![]);
    near_turns(&chain.state).unwrap()
}

#[test]
fn who_failed_its_turn_is_passed_over_until_it_is_seen() {
    let mut chain = Chain::four();
    chain.run_to(4);
    let nobody = BTreeSet::new();
    let dead = turn(&chain, &of_all(&chain), 4, 0);
    let one = BTreeSet::from([chain.address(dead)]);
    // Height 4 was decided in round 1: block 5 says so, which is in force from height 7 on.
    let record = without(&mut chain, dead, 1);
    assert_eq!((chain.tip.height, over(&record)), (5, [&nobody, &nobody, &one]));
    let record = without(&mut chain, dead, 0);
    assert_eq!(over(&record), [&nobody, &one, &one]);
    // Heights come and go; it stays out, and everybody else has a turn.
    for height in 7..12 {
        let record = without(&mut chain, dead, 0);
        assert_eq!((chain.tip.height, &record.last.passed_over), (height, &one));
        let turns: BTreeSet<usize> = (0..3).map(|round| turn(&chain, &record.current, height + 1, round)).collect();
        let others: BTreeSet<usize> = (0..4).filter(|n| *n != dead).collect();
        assert_eq!(turns, others, "height {height}");
    }
    // Its signature is seen in block 12, so it is in turn again from height 14 on.
    let record = all(&mut chain);
    assert_eq!((chain.tip.height, over(&record)), (12, [&one, &one, &nobody]));
    all(&mut chain);
    let record = all(&mut chain);
    assert_eq!(over(&record), [&nobody; 3]);
}

/// One function of state, height and round, for the heights of which the state tells.
#[test]
fn the_state_names_the_proposers_of_the_last_height_and_the_next_two() {
    let mut chain = Chain::four();
    chain.run_to(4);
    let dead = turn(&chain, &of_all(&chain), 4, 0);
    without(&mut chain, dead, 1);
    let turns = without(&mut chain, dead, 0);
    let tip = chain.tip.height;
    for (height, turns) in [(tip, &turns.last), (tip + 1, &turns.current), (tip + 2, &turns.next)] {
        for round in 0..9 {
            let named = proposer(&chain.state, height, round).unwrap().unwrap().address;
            assert_eq!(named, chain.address(turn(&chain, turns, height, round)), "height {height}, round {round}");
        }
    }
    for height in [0, tip - 1, tip + 3] {
        assert_eq!(proposer(&chain.state, height, 0).unwrap(), None, "height {height}");
    }
}

#[test]
fn who_signs_is_not_passed_over_whatever_became_of_its_turn() {
    let mut chain = Chain::four();
    chain.run_to(4);
    // Its proposal came too late for round 0, and its precommit of round 1 in time.
    chain.round = 1;
    let nobody = BTreeSet::new();
    assert_eq!(over(&all(&mut chain)), [&nobody; 3]);
    // Another one was absent, but its turn it was not.
    let first = turn(&chain, &of_all(&chain), 5, 0);
    let record = without(&mut chain, (first + 1) % 4, 1);
    assert_eq!(over(&record), [&nobody; 3]);
}

#[test]
fn a_height_of_very_many_rounds_judges_the_last_ones() {
    let mut chain = Chain::four();
    chain.run_to(4);
    let record = without(&mut chain, 2, i64::from(u32::MAX));
    assert_eq!(record.next.passed_over, BTreeSet::from([chain.address(2)]), "four rounds are a turn of each");
}

/// Every commit has more than two thirds of the power, so less than a third is passed over, whatever proposers leave out.
#[test]
fn a_proposer_that_leaves_a_signature_out_has_one_of_four_passed_over_and_not_for_long() {
    let mut chain = Chain::four();
    chain.run_to(4);
    // Three heights took so many rounds that everybody failed a turn, and each commit lacks somebody else's signature.
    for absent in 0..3 {
        let record = without(&mut chain, absent, 5);
        let left_out = BTreeSet::from([chain.address(absent)]);
        assert_eq!(record.next.passed_over, left_out, "whoever was left out before is seen now");
    }
    assert!(all(&mut chain).next.passed_over.is_empty(), "the next honest proposer shows everybody");
}

proptest! {
    /// Whatever fails and whoever is away: no honest majority passes over a validator that signed the last two blocks, and who is
    /// passed over is one that failed.
    #[test]
    fn only_who_failed_and_was_not_seen_is_passed_over(
        steps in prop::collection::vec((0usize..5, 0i64..6), 1..24),
    ) {
        let mut chain = Chain::four();
        chain.run_to(2);
        let mut failed: BTreeSet<Address> = BTreeSet::new();
        for (absent, round) in steps {
            let (before, height) = (near_turns(&chain.state).unwrap(), chain.tip.height);
            let turns = (round - 4).max(0)..round;
            failed.extend(turns.map(|round| chain.address(turn(&chain, &before.last, height, round as u32))));
            let record = without(&mut chain, absent, round);
            for n in (0..4).filter(|n| *n != absent) {
                prop_assert!(!record.next.passed_over.contains(&chain.address(n)), "{n} signed");
                failed.remove(&chain.address(n));
            }
            prop_assert_eq!(&record.next.passed_over, &failed);
            prop_assert_eq!((&record.last, &record.current), (&before.current, &before.next));
        }
    }
}
