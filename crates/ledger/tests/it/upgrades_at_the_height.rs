//! Upgrades at their height: whose power counts, which ballots come too late, what the first block is made of, and what no rule set may
//! write. `docs/spec/upgrades.md`.

use std::sync::Arc;

use openmesh_ledger::{
    Action, BlockError, BlockLimits, CheckError, ExecuteError, Execution, HEADER_VERSION, Lapse, Overlay,
    ProposalError, REGISTERED_TAG_MIN, RegisteredAction, RegisteredCall, RegisteredRules, RuleSet, RuleSets,
    RulesError, RulesInForce, StateError, StateRead, Transaction, TransactionError, Upcoming, UpgradeBallot,
    UpgradePlan, UpgradeVote, UpgradesError as E, UpgradesEvent, Validator, ValidatorSet, account, build_block_on,
    execute_block_on, keys, last_lapsed, light, light::LightError, plans, rules_in_force, validate_proposal_on,
    verify_stateless,
};
use openmesh_primitives::{Amount, Digest, Timestamp, ValidatorKey, canonical};

use crate::chain::{CHAIN_ID, Chain, FEE};
use crate::upgrades::{HEIGHT, KEY, SECOND, approve, approved_by, ballot, commit_by, of_upgrades, plan, say, sets};

/// Executes the next block of these transactions by these rule sets, and stores nothing.
fn executed(chain: &Chain, sets: &RuleSets, transactions: Vec<Vec<u8>>) -> Execution {
    let block = chain.block(transactions);
    let upcoming = Upcoming::of(sets, &chain.state, block.header.height).unwrap();
    validate_proposal_on(&upcoming, &chain.state, &chain.tip, &block).unwrap();
    execute_block_on(&upcoming, &chain.state, &block, &[]).unwrap()
}

fn error(execution: &Execution, index: usize) -> E {
    match &execution.receipts[index].error {
        Some(TransactionError::Upgrades(error)) => error.clone(),
        other => panic!("{other:?}"),
    }
}

/// The validators of a chain with other powers.
fn powers(chain: &Chain, powers: &[u64]) -> Vec<u8> {
    let validators = chain.validators.iter().zip(powers).map(|(key, power)| Validator::new(key.public(), *power, "v"));
    canonical::encode(&ValidatorSet::new(validators.collect()).unwrap())
}

/// U4: the validators that decide the height decide about its plan, with the power that they have then: a change that comes into force
/// with the very height counts.
#[test]
fn the_validators_of_the_height_decide_with_the_power_that_they_have_then() {
    for (voters, stands) in [(&[0, 1, 2][..], false), (&[3][..], true)] {
        let mut chain = Chain::four();
        approved_by(&mut chain, voters, &plan(HEIGHT));
        // As a block two before the height writes it.
        chain.run_to(HEIGHT - 2);
        let next = powers(&chain, &[1, 1, 1, 9]);
        chain.state.insert(keys::VALIDATORS_NEXT.to_vec(), next);
        let before = Upcoming::of(&sets(), &chain.state, HEIGHT).unwrap();
        assert_eq!(before.plan().is_some(), !stands, "by the powers of the height before");
        chain.run_to(HEIGHT - 1);
        let events = of_upgrades(&executed(&chain, &sets(), vec![]).events);
        match (stands, events.as_slice()) {
            (true, [UpgradesEvent::Upgraded { power: 9, total: 12, .. }]) => {}
            (false, [UpgradesEvent::Lapsed(lapsed)]) if (lapsed.power, lapsed.total) == (3, 12) => {}
            _ => panic!("{stands}: {events:?}"),
        }
    }
}

/// U3, U4: ballots of the block before the height count, those of its own block come too late.
#[test]
fn ballots_count_up_to_the_block_before_the_height() {
    let withdrawal =
        |chain: &Chain| ballot(chain, 2, UpgradeVote::Withdraw { height: HEIGHT, plan: plan(HEIGHT).id() });
    let version = |chain: &Chain| Upcoming::of(&sets(), &chain.state, HEIGHT).unwrap().set().version;
    // The third approval stands in the block before, or the withdrawal does.
    let mut late = Chain::four();
    approved_by(&mut late, &[0, 1], &plan(HEIGHT));
    late.run_to(HEIGHT - 2);
    approved_by(&mut late, &[2], &plan(HEIGHT));
    assert_eq!((late.tip.height, version(&late)), (HEIGHT - 1, 2));
    let mut withdrawn = Chain::four();
    approved_by(&mut withdrawn, &[0, 1, 2], &plan(HEIGHT));
    withdrawn.run_to(HEIGHT - 2);
    let bytes = withdrawal(&withdrawn);
    assert_eq!(withdrawn.run_one(bytes), None);
    assert_eq!((withdrawn.tip.height, version(&withdrawn)), (HEIGHT - 1, 1));
    // In the block of the height both are refused, and nothing else comes of the plan.
    let execution = executed(&late, &sets(), vec![withdrawal(&late)]);
    assert_eq!(error(&execution, 0), E::UnknownPlan { height: HEIGHT, plan: plan(HEIGHT).id() });
    assert!(matches!(of_upgrades(&execution.events)[..], [UpgradesEvent::Upgraded { .. }]));
    let execution = executed(&withdrawn, &sets(), vec![approve(&withdrawn, 2, &plan(HEIGHT))]);
    assert_eq!(error(&execution, 0), E::PlanHeightPast { height: HEIGHT, from: HEIGHT + 1 });
    assert!(matches!(&of_upgrades(&execution.events)[..], [UpgradesEvent::Lapsed(plan)] if plan.power == 2));
}

/// U4, U6: of several plans for a height one stands at most, and what the others ask for stops nobody.
#[test]
fn one_plan_of_a_height_stands() {
    let mut chain = Chain::four();
    let other = UpgradePlan { version: 9, release: "another".to_string(), ..plan(HEIGHT) };
    approved_by(&mut chain, &[3], &other);
    approved_by(&mut chain, &[0, 1, 2], &plan(HEIGHT));
    chain.run_to(HEIGHT - 1);
    assert_eq!(plans(&chain.state).unwrap().len(), 2);
    let block = chain.block(vec![]);
    let events = of_upgrades(&commit_by(&mut chain, &sets(), &block));
    let upgraded = |event: &UpgradesEvent| matches!(event, UpgradesEvent::Upgraded { plan, .. } if plan.version == 2);
    let lapsed = |event: &UpgradesEvent| matches!(event, UpgradesEvent::Lapsed(lapsed) if lapsed.plan == other);
    assert!(events.len() == 2 && events.iter().any(upgraded) && events.iter().any(lapsed), "{events:?}");
    assert_eq!(last_lapsed(&chain.state).unwrap().unwrap().lapse, Lapse::TooLittlePower);
    assert!(plans(&chain.state).unwrap().is_empty());
}

fn after_second(state: &mut Overlay<&dyn StateRead>) -> Result<(), StateError> {
    let before = state.get(KEY)?.ok_or_else(|| StateError::Absent("the second set's".to_string()))?;
    let before: String = canonical::decode(&before).map_err(|error| StateError::Read(error.to_string()))?;
    state.put(KEY.to_vec(), &(before + ", twice"));
    Ok(())
}

/// U5: a plan may leave a rule set out; its migration is made all the same, before the later one's.
#[test]
fn migrations_of_sets_in_between_are_made_in_their_order() {
    let mut chain = Chain::four();
    let third = RuleSet { version: 3, adds: &[], migrate: after_second, registered: None, ..SECOND };
    let sets = sets().with(third).unwrap();
    approved_by(&mut chain, &[0, 1, 2], &UpgradePlan { version: 3, ..plan(HEIGHT) });
    chain.run_to(HEIGHT - 1);
    let block = chain.block(vec![say(&chain, 0, "the second set's action")]);
    let upcoming = Upcoming::of(&sets, &chain.state, HEIGHT).unwrap();
    let migrated = upcoming.writes().get(KEY).cloned().flatten().unwrap();
    assert_eq!(canonical::decode::<String>(&migrated).unwrap(), "migrated, twice");
    let events = of_upgrades(&commit_by(&mut chain, &sets, &block));
    assert!(matches!(events[..], [UpgradesEvent::Upgraded { from: 1, .. }]), "{events:?}");
    assert_eq!(rules_in_force(&chain.state).unwrap(), RulesInForce { version: 3, since: HEIGHT });
    // Its action is the third set's too, by the rules that came with the second.
    assert_eq!(canonical::decode::<String>(&chain.state[KEY]).unwrap(), "the second set's action");
}

/// U5: a migration that fails is told with its version and what to do, and lets nobody into its height.
#[test]
fn a_migration_that_fails_stops_before_its_height() {
    let mut chain = Chain::four();
    let sets = RuleSets::built_in().with(RuleSet { migrate: after_second, ..SECOND }).unwrap();
    approved_by(&mut chain, &[0, 1, 2], &plan(HEIGHT));
    chain.run_to(HEIGHT - 1);
    let error = Upcoming::of(&sets, &chain.state, HEIGHT).unwrap_err();
    let reason = StateError::Absent("the second set's".to_string());
    assert_eq!(error, RulesError::Failed { version: 2, reason });
    assert!(error.to_string().contains("install a release in which it is mended"), "{error}");
}

/// U5: what waits by the old rules and is refused by the new ones is left out of the first block.
#[test]
fn a_proposer_leaves_out_what_the_new_rules_refuse() {
    let mut chain = Chain::four();
    approved_by(&mut chain, &[0, 1, 2], &plan(HEIGHT));
    chain.run_to(HEIGHT - 1);
    let good = chain.transfer(1, chain.address(0), Amount(1), 0);
    let waits = [say(&chain, 0, ""), good.clone()].map(|bytes| Arc::new(verify_stateless(&bytes).unwrap()));
    let upcoming = Upcoming::of(&sets(), &chain.state, HEIGHT).unwrap();
    let (time, limits) = (Timestamp(chain.tip.time.nanos() + 1), BlockLimits::of(upcoming.params()));
    let (commit, proposer) = (chain.last_commit(), chain.proposer());
    let (block, _) =
        build_block_on(&upcoming, &chain.state, &chain.tip, commit, &waits, proposer, time, &limits).unwrap();
    assert_eq!(block.transactions, [good]);
    assert_eq!(validate_proposal_on(&upcoming, &chain.state, &chain.tip, &block), Ok(()));
}

/// U8: each rule set says which form its blocks have, and no other is a block of its.
#[test]
fn blocks_have_the_form_of_their_rule_set() {
    let mut chain = Chain::four();
    let sets = RuleSets::built_in().with(RuleSet { header_version: HEADER_VERSION + 1, ..SECOND }).unwrap();
    approved_by(&mut chain, &[0, 1, 2], &plan(HEIGHT));
    let early = Upcoming::of(&sets, &chain.state, chain.tip.height + 1).unwrap();
    let mut block = chain.block(vec![]);
    block.header.version = HEADER_VERSION + 1;
    let wrong = |expected, got| -> Result<(), ProposalError> { Err(BlockError::Version { expected, got }.into()) };
    let judged = validate_proposal_on(&early, &chain.state, &chain.tip, &block);
    assert_eq!(judged, wrong(HEADER_VERSION, HEADER_VERSION + 1));
    chain.run_to(HEIGHT - 1);
    let upcoming = Upcoming::of(&sets, &chain.state, HEIGHT).unwrap();
    let (time, limits) = (Timestamp(chain.tip.time.nanos() + 1), BlockLimits::of(upcoming.params()));
    let (commit, proposer) = (chain.last_commit(), chain.proposer());
    let (built, _) =
        build_block_on(&upcoming, &chain.state, &chain.tip, commit.clone(), &[], proposer, time, &limits).unwrap();
    assert_eq!(built.header.version, HEADER_VERSION + 1);
    assert_eq!(validate_proposal_on(&upcoming, &chain.state, &chain.tip, &built), Ok(()));
    let old = chain.block(vec![]);
    let judged = validate_proposal_on(&upcoming, &chain.state, &chain.tip, &old);
    assert_eq!(judged, wrong(HEADER_VERSION + 1, HEADER_VERSION));
    let expected = BlockError::Version { expected: HEADER_VERSION + 1, got: HEADER_VERSION };
    assert_eq!(execute_block_on(&upcoming, &chain.state, &old, &[]), Err(ExecuteError::Block(expected)));
    // A light client that cannot read the form says so, and does not take it for another.
    let set = chain.genesis.validator_set().unwrap();
    let refused = light::verify(CHAIN_ID, &set, &built.header, &commit.unwrap());
    assert_eq!(refused, Err(LightError::Version(HEADER_VERSION + 1)));
}

/// U2: ballots stand among attestations, each with weight 1.
#[test]
fn ballots_have_their_place_and_weight_in_a_block() {
    let mut chain = Chain::four();
    let ready = |chain: &Chain, n: usize| ballot(chain, n, UpgradeVote::Ready { version: 2 });
    let to = chain.address(3);
    let misplaced = chain.block(vec![chain.transfer(0, to, Amount(1), 0), ready(&chain, 0)]);
    assert_eq!(misplaced.verify_basic(&chain.limits()).unwrap_err(), BlockError::Order(1));
    let placed = chain.block(vec![ready(&chain, 0), chain.transfer(0, to, Amount(1), 0)]);
    assert_eq!(placed.verify_basic(&chain.limits()), Ok(()));
    // The second rule set has room for three.
    approved_by(&mut chain, &[0, 1, 2], &plan(HEIGHT));
    chain.run_to(HEIGHT - 1);
    let full = chain.block((0..4).map(|n| ready(&chain, n)).collect());
    let upcoming = Upcoming::of(&sets(), &chain.state, HEIGHT).unwrap();
    let refused = full.hashed().check(&upcoming, &[]).unwrap_err();
    assert_eq!(refused, BlockError::Count { count: 4, count_max: 3 });
    let block = chain.block((0..3).map(|n| ready(&chain, n)).collect());
    assert!(block.hashed().check(&upcoming, &[]).is_ok());
}

/// U2: the bytes of ballots.
#[test]
fn the_bytes_of_a_ballot() {
    let key = ValidatorKey::from_seed([1; 32]);
    let vote = UpgradeVote::Withdraw { height: 9, plan: Digest([5; 32]) };
    let ballot = UpgradeBallot::sign(&key, 7, 3, vote);
    let (domain, number) = (b"openmesh/upgrade-ballot/1", |n: u64| n.to_le_bytes());
    let public = canonical::encode(&key.public());
    let fields = [&number(7)[..], &public, &number(3), &[1], &number(9), &[5; 32]].concat();
    assert_eq!(ballot.sign_bytes(), [&25u32.to_le_bytes()[..], domain, &fields].concat());
    let signature = canonical::encode(&ballot.signature);
    assert_eq!(Transaction::Upgrade(ballot).encode(), [&[4][..], &fields, &signature].concat());
    let ready = canonical::encode(&UpgradeVote::Ready { version: 2 });
    assert_eq!(ready, [2, 2, 0, 0, 0]);
    let payout = canonical::encode(&UpgradeVote::Payout { account: openmesh_primitives::Address([6; 20]) });
    assert_eq!(payout, [&[3u8][..], &[6; 20]].concat());
    let approve = canonical::encode(&UpgradeVote::Approve(UpgradePlan { release: "r".to_string(), ..plan(9) }));
    assert_eq!(approve, [&[0, 2, 0, 0, 0][..], &number(9), &[1, 0, 0, 0, b'r'], &[2; 32]].concat());
}

fn anything(_: &dyn StateRead, _: &RegisteredCall<'_>) -> Result<(), CheckError> {
    Ok(())
}

fn steal(state: &mut Overlay<&dyn StateRead>, call: &RegisteredCall<'_>) -> Result<(), StateError> {
    state.put(KEY.to_vec(), &call.action.body);
    match call.action.body.as_str() {
        "rules" => state.delete(keys::RULES.to_vec()),
        "balance" => state.delete(keys::account(&call.sender)),
        "supply" => state.put(keys::SUPPLY.to_vec(), &Amount(0)),
        _ => {}
    }
    Ok(())
}

/// U5, U7: neither a migration nor an action of a registered rule set writes what consensus has agreed on before the block, and an
/// action writes no account beside the rules of accounts.
#[test]
fn no_rule_set_writes_what_is_not_its_own() {
    let mut chain = Chain::four();
    let registered = Some(RegisteredRules { check: anything, apply: steal });
    let sets = RuleSets::built_in().with(RuleSet { registered, ..SECOND }).unwrap();
    approved_by(&mut chain, &[0, 1, 2], &plan(HEIGHT));
    chain.run_to(HEIGHT - 1);
    for word in ["rules", "balance", "supply"] {
        let action = Action::from(RegisteredAction { tag: REGISTERED_TAG_MIN, body: word.to_string() });
        let bytes = chain.action(0, 0, FEE, action);
        let execution = executed(&chain, &sets, vec![bytes]);
        assert!(matches!(error(&execution, 0), E::RegisteredRefused { .. }), "{word}");
        assert_eq!(execution.receipts[0].fee, Amount::ZERO);
        let block = chain.block(vec![]);
        let upcoming = Upcoming::of(&sets, &chain.state, HEIGHT).unwrap();
        let empty = execute_block_on(&upcoming, &chain.state, &block, &[]).unwrap();
        assert_eq!(execution.writes.get(KEY), empty.writes.get(KEY), "nothing of it was written");
        assert_eq!(execution.writes.get(keys::RULES), empty.writes.get(keys::RULES));
    }
    let fine = chain.block(vec![say(&chain, 0, "fine")]);
    commit_by(&mut chain, &sets, &fine);
    assert_eq!(canonical::decode::<String>(&chain.state[KEY]).unwrap(), "fine");
    let sender = chain.accounts[0].address();
    assert_eq!(account(&chain.state, &sender).unwrap().nonce, 1);
}

fn crowned(state: &mut Overlay<&dyn StateRead>) -> Result<(), StateError> {
    state.put(keys::RULES.to_vec(), &RulesInForce { version: 7, since: 1 });
    Ok(())
}

/// U5: such a migration lets nobody into its height, whoever proposes.
#[test]
fn a_plan_with_a_migration_that_must_not_be_stops_before_its_height() {
    let mut chain = Chain::four();
    let sets = RuleSets::built_in().with(RuleSet { migrate: crowned, ..SECOND }).unwrap();
    approved_by(&mut chain, &[0, 1, 2], &plan(HEIGHT));
    chain.run_to(HEIGHT - 1);
    let error = Upcoming::of(&sets, &chain.state, HEIGHT).unwrap_err();
    assert_eq!(error, RulesError::Migration { version: 2, key: "rules".to_string() });
    assert!(Upcoming::check(&sets, &chain.state, HEIGHT).is_ok(), "the program has the rules");
    assert!(Upcoming::check(&RuleSets::built_in(), &chain.state, HEIGHT).is_err());
    assert!(Upcoming::check(&RuleSets::built_in(), &chain.state, HEIGHT - 1).is_ok(), "nobody asks for it before");
}
