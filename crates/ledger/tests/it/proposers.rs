//! Validators that are passed over when proposers are chosen: clause P.

use std::collections::BTreeSet;

use openmesh_ledger::{PassedOver, keys, passed_over, proposer, validators};
use openmesh_primitives::Address;
use proptest::prelude::*;

use crate::chain::Chain;

/// Number of the proposer of a height and round.
fn turn(chain: &Chain, over: &BTreeSet<Address>, height: u64, round: u32) -> usize {
    let set = validators(&chain.state).unwrap();
    let address = proposer(&set, over, height, round).address;
    (0..4).find(|n| chain.address(*n) == address).unwrap()
}

/// Lets the validators but one decide the last block in this round, and executes the next one, which carries their commit.
fn without(chain: &mut Chain, absent: usize, round: i64) -> PassedOver {
    chain.signers = (0..4).filter(|n| *n != absent).collect();
    chain.round = round;
    chain.run(vec![]);
    chain.round = 0;
    passed_over(&chain.state).unwrap()
}

fn all(chain: &mut Chain) -> PassedOver {
    chain.signers = (0..4).collect();
    chain.run(vec![]);
    passed_over(&chain.state).unwrap()
}

#[test]
fn who_failed_its_turn_is_passed_over_until_it_is_seen() {
    let mut chain = Chain::four();
    chain.run_to(4);
    let nobody = BTreeSet::new();
    let dead = turn(&chain, &nobody, 4, 0);
    let one = BTreeSet::from([chain.address(dead)]);
    // Height 4 was decided in round 1: block 5 says so, which is in force from height 7 on.
    let record = without(&mut chain, dead, 1);
    assert_eq!((chain.tip.height, &record.current, &record.next), (5, &nobody, &one));
    let record = without(&mut chain, dead, 0);
    assert_eq!((&record.last, &record.current, &record.next), (&nobody, &one, &one));
    // Heights come and go; it stays out, and everybody else has a turn.
    for height in 7..12 {
        let record = without(&mut chain, dead, 0);
        assert_eq!((chain.tip.height, &record.last), (height, &one));
        let turns: BTreeSet<usize> = (0..3).map(|round| turn(&chain, &record.current, height + 1, round)).collect();
        let others: BTreeSet<usize> = (0..4).filter(|n| *n != dead).collect();
        assert_eq!(turns, others, "height {height}");
    }
    // Its signature is seen in block 12, so it is in turn again from height 14 on.
    let record = all(&mut chain);
    assert_eq!((chain.tip.height, &record.current, &record.next), (12, &one, &nobody));
    all(&mut chain);
    let record = all(&mut chain);
    assert_eq!(record, PassedOver::default());
    assert!(!chain.state.contains_key(keys::PASSED_OVER), "what says nothing is not kept");
}

#[test]
fn who_signs_is_not_passed_over_whatever_became_of_its_turn() {
    let mut chain = Chain::four();
    chain.run_to(4);
    // Its proposal came too late for round 0, and its precommit of round 1 in time.
    chain.round = 1;
    all(&mut chain);
    assert!(!chain.state.contains_key(keys::PASSED_OVER));
    // Another one was absent, but its turn it was not.
    let first = turn(&chain, &BTreeSet::new(), 5, 0);
    let record = without(&mut chain, (first + 1) % 4, 1);
    assert_eq!(record, PassedOver::default());
}

#[test]
fn a_height_of_very_many_rounds_judges_the_last_ones() {
    let mut chain = Chain::four();
    chain.run_to(4);
    let record = without(&mut chain, 2, i64::from(u32::MAX));
    assert_eq!(record.next, BTreeSet::from([chain.address(2)]), "four rounds are a turn of each");
}

/// Every commit has more than two thirds of the power, so less than a third is passed over, whatever proposers leave out.
#[test]
fn a_proposer_that_leaves_a_signature_out_has_one_of_four_passed_over_and_not_for_long() {
    let mut chain = Chain::four();
    chain.run_to(4);
    // Three heights took so many rounds that everybody failed a turn, and each commit lacks somebody else's signature.
    for absent in 0..3 {
        let record = without(&mut chain, absent, 5);
        assert_eq!(record.next, BTreeSet::from([chain.address(absent)]), "whoever was left out before is seen now");
    }
    assert!(all(&mut chain).next.is_empty(), "the next honest proposer shows everybody");
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
            let (before, height) = (passed_over(&chain.state).unwrap(), chain.tip.height);
            let turns = (round - 4).max(0)..round;
            failed.extend(turns.map(|round| chain.address(turn(&chain, &before.last, height, round as u32))));
            let record = without(&mut chain, absent, round);
            for n in (0..4).filter(|n| *n != absent) {
                prop_assert!(!record.next.contains(&chain.address(n)), "{n} signed");
                failed.remove(&chain.address(n));
            }
            prop_assert_eq!(&record.next, &failed);
            prop_assert_eq!((&record.last, &record.current), (&before.current, &before.next));
        }
    }
}
