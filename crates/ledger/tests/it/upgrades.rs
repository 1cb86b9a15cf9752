//! Upgrades on one chain: ballots, plans that stand and lapse, the first block, programs that lack the rules.
//! `docs/spec/upgrades.md`.

use std::sync::Arc;

use openmesh_ledger::{
    APPROVALS_PER_VALIDATOR_MAX, Account, AccountsAction, AccountsError, Action, BALLOTS_PER_EPOCH_MAX, Block,
    BlockError, CheckError, ExecuteError, HEADER_VERSION, Lapse, LedgerEvent, MempoolRules, Migrate, Overlay,
    PLAN_AHEAD_BLOCKS_MAX, Params, PlanFault, ProposalError, REGISTERED_TAG_MIN, RULES_OF_GENESIS, RegisteredAction,
    RegisteredCall, RegisteredRules, RuleSet, RuleSets, RulesError, RulesInForce, SUPPLY_CAP, StateError, StateRead,
    Supply, Transaction, TransactionError, Upcoming, UpgradeBallot, UpgradePlan, UpgradeVote, UpgradesError as E,
    UpgradesEvent, account, ballot_count, build_block_on, check_supply, execute_block_on, keys, last_lapsed, params,
    plans, pool, rules_in_force, supply, upgrades, validate_proposal_on, validator_record, verify_stateless,
};
use openmesh_primitives::{Address, Amount, Digest, Timestamp, canonical};

use crate::chain::{CHAIN_ID, Chain, FEE};

pub const HEIGHT: u64 = 10;
pub const KEY: &[u8] = b"said/all";

fn halved(state: &mut Overlay<&dyn StateRead>) -> Result<(), StateError> {
    let mut changed: Params = params(&*state)?;
    changed.blocks.block_transactions_max = 3;
    state.put(keys::PARAMS.to_vec(), &changed);
    state.put(KEY.to_vec(), &String::from("migrated"));
    Ok(())
}

fn greedy(state: &mut Overlay<&dyn StateRead>) -> Result<(), StateError> {
    state.delete(keys::VALIDATORS_CURRENT.to_vec());
    Ok(())
}

fn check_said(_: &dyn StateRead, call: &RegisteredCall<'_>) -> Result<(), CheckError> {
    match call.action.body.as_str() {
        "" => Err(E::RegisteredRefused { reason: "nothing is said".to_string() }.into()),
        _ => Ok(()),
    }
}

fn apply_said(state: &mut Overlay<&dyn StateRead>, call: &RegisteredCall<'_>) -> Result<(), StateError> {
    state.put(KEY.to_vec(), &call.action.body);
    Ok(())
}

pub const SECOND: RuleSet = RuleSet {
    version: 2,
    name: "second",
    changes: &[],
    header_version: HEADER_VERSION,
    adds: &[REGISTERED_TAG_MIN],
    removes: &[],
    migrate: halved,
    registered: Some(RegisteredRules { check: check_said, apply: apply_said }),
};

pub fn sets() -> RuleSets {
    RuleSets::built_in().with(SECOND).unwrap()
}

pub fn plan(height: u64) -> UpgradePlan {
    UpgradePlan { version: 2, height, release: "release-2".to_string(), digest: Digest([2; 32]) }
}

pub fn ballot(chain: &Chain, validator: usize, vote: UpgradeVote) -> Vec<u8> {
    let number = ballot_count(&chain.state, &chain.address(validator)).unwrap().next;
    numbered(chain, validator, number, vote)
}

fn numbered(chain: &Chain, validator: usize, number: u64, vote: UpgradeVote) -> Vec<u8> {
    Transaction::Upgrade(UpgradeBallot::sign(&chain.validators[validator], CHAIN_ID, number, vote)).encode()
}

pub fn approve(chain: &Chain, validator: usize, plan: &UpgradePlan) -> Vec<u8> {
    ballot(chain, validator, UpgradeVote::Approve(plan.clone()))
}

pub fn approved_by(chain: &mut Chain, validators: &[usize], plan: &UpgradePlan) {
    let ballots = validators.iter().map(|validator| approve(chain, *validator, plan)).collect();
    let execution = chain.run(ballots);
    assert!(execution.receipts.iter().all(|receipt| receipt.ok()), "{:?}", execution.receipts);
}

pub fn say(chain: &Chain, nonce: u64, body: &str) -> Vec<u8> {
    let action = RegisteredAction { tag: REGISTERED_TAG_MIN, body: body.to_string() };
    chain.action(0, nonce, FEE, Action::from(action))
}

fn refused(chain: &mut Chain, transaction: Vec<u8>) -> E {
    match chain.run_one(transaction) {
        Some(TransactionError::Upgrades(error)) => error,
        other => panic!("{other:?}"),
    }
}

/// Judges, executes and stores a block by these rule sets; returns its events.
pub fn commit_by(chain: &mut Chain, sets: &RuleSets, block: &Block) -> Vec<LedgerEvent> {
    let upcoming = Upcoming::of(sets, &chain.state, block.header.height).unwrap();
    validate_proposal_on(&upcoming, &chain.state, &chain.tip, block).unwrap();
    let execution = execute_block_on(&upcoming, &chain.state, block, &[]).unwrap();
    chain.store(block, &execution);
    execution.events
}

pub fn of_upgrades(events: &[LedgerEvent]) -> Vec<UpgradesEvent> {
    let of = |event: &LedgerEvent| match event {
        LedgerEvent::Upgrades(event) => Some(event.clone()),
        _ => None,
    };
    events.iter().filter_map(of).collect()
}

/// U3: every check of a ballot.
#[test]
fn every_refusal_of_a_ballot_has_its_own_error() {
    let mut chain = Chain::four();
    let (good, v0) = (plan(HEIGHT), chain.address(0));
    let stranger = Transaction::Upgrade(UpgradeBallot::sign(
        &openmesh_primitives::ValidatorKey::from_seed([99; 32]),
        CHAIN_ID,
        0,
        UpgradeVote::Approve(good.clone()),
    ));
    assert!(matches!(refused(&mut chain, stranger.encode()), E::NotValidator { .. }));
    let later = numbered(&chain, 0, 1, UpgradeVote::Approve(good.clone()));
    assert_eq!(refused(&mut chain, later), E::BallotNumber { expected: 0, got: 1 });
    let nameless = UpgradePlan { release: String::new(), ..good.clone() };
    let ballot_of = |chain: &Chain, plan: UpgradePlan| ballot(chain, 0, UpgradeVote::Approve(plan));
    let bytes = ballot_of(&chain, nameless);
    assert_eq!(refused(&mut chain, bytes), E::PlanInvalid { fault: PlanFault::Release });
    let now = chain.tip.height + 1;
    let bytes = ballot_of(&chain, plan(now));
    assert_eq!(refused(&mut chain, bytes), E::PlanHeightPast { height: now, from: now + 1 });
    let (now, far) = (chain.tip.height + 1, chain.tip.height + 2 + PLAN_AHEAD_BLOCKS_MAX);
    let bytes = ballot_of(&chain, plan(far));
    assert_eq!(refused(&mut chain, bytes), E::PlanHeightAhead { height: far, to: now + PLAN_AHEAD_BLOCKS_MAX });
    let bytes = ballot_of(&chain, UpgradePlan { version: 1, ..good.clone() });
    assert_eq!(refused(&mut chain, bytes), E::VersionInForce { version: 1, in_force: 1 });
    let id = good.id();
    let unknown = UpgradeVote::Withdraw { height: HEIGHT, plan: id };
    let bytes = ballot(&chain, 0, unknown.clone());
    assert_eq!(refused(&mut chain, bytes), E::UnknownPlan { height: HEIGHT, plan: id });
    let good = plan(100);
    approved_by(&mut chain, &[0], &good);
    let bytes = approve(&chain, 0, &good);
    assert_eq!(refused(&mut chain, bytes), E::ApprovedAlready { plan: good.id() });
    let other = UpgradePlan { release: "another".to_string(), ..good.clone() };
    let bytes = approve(&chain, 0, &other);
    assert_eq!(refused(&mut chain, bytes), E::TwoForOneHeight { height: 100, other: good.id() });
    let bytes = ballot(&chain, 1, UpgradeVote::Withdraw { height: 100, plan: good.id() });
    assert_eq!(refused(&mut chain, bytes), E::NotApproved { plan: good.id() });
    for n in 1..APPROVALS_PER_VALIDATOR_MAX as u64 {
        approved_by(&mut chain, &[0], &plan(100 + n));
    }
    let bytes = approve(&chain, 0, &plan(200));
    assert_eq!(refused(&mut chain, bytes), E::TooManyApprovals);
    let ready = |chain: &Chain| ballot(chain, 1, UpgradeVote::Ready { version: 2 });
    let bytes = ready(&chain);
    assert_eq!(chain.run_one(bytes), None);
    let bytes = ready(&chain);
    assert_eq!(refused(&mut chain, bytes), E::ReadyAlready { version: 2 });
    assert_eq!(
        ballot_count(&chain.state, &v0).unwrap().next,
        APPROVALS_PER_VALIDATOR_MAX as u64,
        "a refusal counts nothing"
    );
    let foreign =
        Transaction::Upgrade(UpgradeBallot::sign(&chain.validators[0], 1, 4, UpgradeVote::Ready { version: 2 }));
    assert!(matches!(chain.run_one(foreign.encode()), Some(TransactionError::Envelope(_))));
}

/// U3: a validator names the account that earns the tips of its blocks, and nobody else does.
#[test]
fn a_validator_names_the_account_that_earns_its_tips() {
    let mut chain = Chain::four();
    let (first, second) = (Address([7; 20]), Address([8; 20]));
    let named = |chain: &Chain, account| ballot(chain, 0, UpgradeVote::Payout { account });
    let payout =
        |chain: &Chain, validator| validator_record(&chain.state, &chain.address(validator)).unwrap().unwrap().payout;
    let once = named(&chain, first);
    assert_eq!(chain.run_one(once.clone()), None);
    assert_eq!([0, 1, 2, 3].map(|validator| payout(&chain, validator)), [Some(first), None, None, None]);
    let again = named(&chain, first);
    assert_eq!(refused(&mut chain, again), E::PayoutAlready { account: first });
    let strange = UpgradeBallot::sign(
        &openmesh_primitives::ValidatorKey::from_seed([99; 32]),
        CHAIN_ID,
        0,
        UpgradeVote::Payout { account: second },
    );
    assert!(matches!(refused(&mut chain, Transaction::Upgrade(strange).encode()), E::NotValidator { .. }));
    // The block with the ballot pays the new account, if it is the validator's own.
    while chain.proposer().public().address() != chain.address(0) {
        chain.run(vec![]);
    }
    let to = Address([9; 20]);
    let transfer = AccountsAction::Transfer { to, amount: Amount(1) };
    let paid = chain.action(0, 0, Amount(3 * FEE.0), Action::from(transfer));
    let both = vec![named(&chain, second), paid];
    assert!(chain.run(both).receipts.iter().all(|receipt| receipt.ok()));
    let balance = |address| account(&chain.state, &address).unwrap().balance;
    assert_eq!((balance(first), balance(second)), (Amount::ZERO, Amount(2 * FEE.0)));
    // What was taken back is not sent again by somebody else.
    assert_eq!(refused(&mut chain, once), E::BallotNumber { expected: 2, got: 0 });
    assert_eq!(payout(&chain, 0), Some(second));
}

#[test]
fn a_validator_casts_a_bounded_number_of_ballots_in_an_epoch() {
    let mut chain = Chain::four();
    for n in 0..BALLOTS_PER_EPOCH_MAX {
        let bytes = ballot(&chain, 0, UpgradeVote::Ready { version: n + 2 });
        assert_eq!(chain.run_one(bytes), None);
    }
    let bytes = ballot(&chain, 0, UpgradeVote::Ready { version: 1_000 });
    assert_eq!(refused(&mut chain, bytes.clone()), E::TooManyBallots);
    chain.pause_ms(chain.genesis.params.epochs.epoch_ms as i64);
    assert_eq!(chain.run_one(bytes), None, "the next epoch takes it");
}

/// U2: an approval that was taken back is not sent again by somebody else.
#[test]
fn an_approval_can_be_taken_back_and_is_no_use_then() {
    let mut chain = Chain::four();
    let (good, mut first) = (plan(HEIGHT), Vec::new());
    for validator in [0, 1, 2] {
        first.push(approve(&chain, validator, &good));
    }
    chain.run(first.clone());
    let withdrawal = ballot(&chain, 2, UpgradeVote::Withdraw { height: HEIGHT, plan: good.id() });
    assert_eq!(chain.run_one(withdrawal), None);
    assert_eq!(refused(&mut chain, first[2].clone()), E::BallotNumber { expected: 2, got: 0 });
    assert_eq!(plans(&chain.state).unwrap()[0].approvals.len(), 2);
    for validator in [0, 1] {
        let withdrawal = ballot(&chain, validator, UpgradeVote::Withdraw { height: HEIGHT, plan: good.id() });
        assert_eq!(chain.run_one(withdrawal), None);
    }
    assert!(plans(&chain.state).unwrap().is_empty(), "a plan that nobody approves is gone");
}

/// U4, U5: the block of the height is executed by the new rules, after the migration, in one set of writes.
#[test]
fn the_first_block_is_executed_by_the_new_rules_on_the_migrated_state() {
    let mut chain = Chain::four();
    approved_by(&mut chain, &[0, 1, 3], &plan(HEIGHT));
    chain.run_to(HEIGHT - 1);
    let (sets, before) = (sets(), chain.state.clone());
    let said = say(&chain, 0, "hello");
    let upcoming = Upcoming::of(&sets, &chain.state, HEIGHT).unwrap();
    assert_eq!((upcoming.set().version, upcoming.plan()), (2, Some(&plan(HEIGHT))));
    assert_eq!(upcoming.params().blocks.block_transactions_max, 3);
    let candidates = [Arc::new(verify_stateless(&said).unwrap())];
    let (commit, time) = (chain.last_commit(), Timestamp(chain.tip.time.nanos() + 1));
    let limits = openmesh_ledger::BlockLimits::of(upcoming.params());
    let (block, built) =
        build_block_on(&upcoming, &chain.state, &chain.tip, commit, &candidates, chain.proposer(), time, &limits)
            .unwrap();
    assert_eq!(block.transactions, [said], "the new action stands in the first block");
    let executed = execute_block_on(&upcoming, &chain.state, &block, &[]).unwrap();
    assert_eq!(built, executed, "the proposer's execution is everybody's");
    let migration = executed.migration.clone().unwrap();
    assert_eq!((migration.version, migration.writes.len()), (2, 2));
    assert!(std::ptr::eq(upcoming.writes(), &*migration.writes), "one copy for all blocks of the height");
    // The block's own writes lie over them: it wrote the one key again, and left the other.
    let all = executed.all_writes();
    assert!(!executed.writes.contains_key(keys::PARAMS) && all[keys::PARAMS] == migration.writes[keys::PARAMS]);
    assert!(all[KEY] == executed.writes[KEY] && all[KEY] != migration.writes[KEY]);
    let events = commit_by(&mut chain, &sets, &block);
    assert!(matches!(
        of_upgrades(&events).as_slice(),
        [UpgradesEvent::Upgraded { from: 1, power: 3, total: 4, migrated_keys: 2, height: HEIGHT, .. }]
    ));
    assert_eq!(rules_in_force(&chain.state).unwrap(), RulesInForce { version: 2, since: HEIGHT });
    let said: String = canonical::decode(&chain.state[KEY]).unwrap();
    assert_eq!(said, "hello", "the migration came first");
    assert_eq!(upgrades(&chain.state).unwrap()[0].approved.len(), 3);
    assert!(plans(&chain.state).unwrap().is_empty() && check_supply(&chain.state).unwrap().1);
    assert_eq!(rules_in_force(&before).unwrap(), RULES_OF_GENESIS);
    // Afterwards nothing is migrated any more, and the refusals are the new rules' own.
    let next = Upcoming::of(&sets, &chain.state, HEIGHT + 1).unwrap();
    assert!(next.writes().is_empty() && next.plan().is_none());
    let rules = MempoolRules::under(&sets, &chain.state).unwrap();
    assert!(rules.changed_since(HEIGHT) && rules.changed_since(1) && !rules.changed_since(HEIGHT + 1));
    let silent = verify_stateless(&say(&chain, 1, "")).unwrap();
    let error = rules.check(&chain.state, &silent).unwrap_err();
    assert!(matches!(error, CheckError::Refused(TransactionError::Upgrades(E::RegisteredRefused { .. }))), "{error}");
}

/// U4: too little power, and a version that is in force by then.
#[test]
fn a_plan_that_does_not_stand_lapses_with_its_reason() {
    let mut chain = Chain::new(&[3, 3, 2, 1], Params::default());
    approved_by(&mut chain, &[0, 1], &plan(HEIGHT));
    let events = of_upgrades(&chain.run_to(HEIGHT));
    let [UpgradesEvent::Lapsed(lapsed)] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!((lapsed.lapse, lapsed.power, lapsed.total, lapsed.height), (Lapse::TooLittlePower, 6, 9, HEIGHT));
    assert_eq!(last_lapsed(&chain.state).unwrap().as_ref(), Some(lapsed));
    assert_eq!(rules_in_force(&chain.state).unwrap(), RULES_OF_GENESIS, "two thirds are too few");
    // Two plans for the same rules: the later one is overtaken.
    let (first, second) = (plan(HEIGHT + 5), plan(HEIGHT + 8));
    approved_by(&mut chain, &[0, 1, 2], &first);
    approved_by(&mut chain, &[0, 1, 2], &second);
    chain.run_to(first.height - 1);
    let events = of_upgrades(&commit_by_next(&mut chain));
    assert!(
        matches!(events.as_slice(), [UpgradesEvent::Upgraded { .. }, UpgradesEvent::Lapsed(late)] if late.lapse == Lapse::NotLater && late.plan == second)
    );
    assert!(plans(&chain.state).unwrap().is_empty());
}

fn commit_by_next(chain: &mut Chain) -> Vec<LedgerEvent> {
    let block = chain.block(vec![]);
    commit_by(chain, &sets(), &block)
}

/// U6: a program without the rules takes no part, whatever the block is.
#[test]
fn a_program_without_the_rules_stops_before_the_height_and_says_what_to_do() {
    let mut chain = Chain::four();
    approved_by(&mut chain, &[0, 1, 2], &plan(HEIGHT));
    chain.run_to(HEIGHT - 1);
    let old = RuleSets::built_in();
    let error = Upcoming::of(&old, &chain.state, HEIGHT).unwrap_err();
    let RulesError::Unknown { version: 2, height: HEIGHT, newest: 1, release: Some(release) } = &error else {
        panic!("{error:?}")
    };
    assert!(release.starts_with("release-2 (SHA-256 0202"), "{release}");
    assert!(error.to_string().contains("install release-2"), "{error}");
    let block = chain.block(vec![]);
    assert_eq!(openmesh_ledger::execute_block(&chain.state, &block), Err(ExecuteError::Rules(error.clone())));
    assert_eq!(openmesh_ledger::validate_proposal(&chain.state, &chain.tip, &block), Err(ProposalError::Rules(error)));
    // Until then its mempool works, and so it does in a program that has them.
    assert!(!MempoolRules::of(&chain.state).unwrap().changed_since(1));
    assert!(MempoolRules::under(&sets(), &chain.state).is_ok());
    // A state that is newer than the program, as after a join by snapshot.
    commit_by(&mut chain, &sets(), &block);
    let error = Upcoming::of(&old, &chain.state, HEIGHT + 1).unwrap_err();
    assert!(matches!(error, RulesError::Unknown { version: 2, release: None, .. }), "{error:?}");
    assert!(matches!(MempoolRules::of(&chain.state), Err(StateError::Read(text)) if text.contains("rule set 2")));
}

/// U1: to a program that knows one rule set only, an action of a later one does not decode; both find the block invalid.
#[test]
fn an_action_of_later_rules_makes_a_block_invalid() {
    let mut chain = Chain::four();
    let block = chain.block(vec![say(&chain, 0, "early")]);
    for sets in [RuleSets::built_in(), sets()] {
        let upcoming = Upcoming::of(&sets, &chain.state, 1).unwrap();
        let expected = BlockError::Action { index: 0, tag: REGISTERED_TAG_MIN, version: 1 };
        assert_eq!(execute_block_on(&upcoming, &chain.state, &block, &[]), Err(ExecuteError::Block(expected.clone())));
        assert_eq!(
            validate_proposal_on(&upcoming, &chain.state, &chain.tip, &block),
            Err(ProposalError::Block(expected))
        );
        let rules = MempoolRules::under(&sets, &chain.state).unwrap();
        let verified = verify_stateless(&block.transactions[0]).unwrap();
        let error = rules.check(&chain.state, &verified).unwrap_err();
        assert!(matches!(
            error,
            CheckError::Refused(TransactionError::Upgrades(E::ActionNotInForce { version: 1, .. }))
        ));
    }
    // Nothing of it is in the way of other actions.
    let poor = chain.transfer(0, chain.address(1), Amount::open(5_000), 0);
    assert!(matches!(chain.run_one(poor), Some(TransactionError::Accounts(AccountsError::Overdraft { .. }))));
}

/// U5: the limits of the new rules hold in the first block already.
#[test]
fn the_first_block_has_the_new_limits() {
    let mut chain = Chain::four();
    approved_by(&mut chain, &[0, 1, 2], &plan(HEIGHT));
    chain.run_to(HEIGHT - 1);
    let to = chain.address(3);
    let transfers = (0..4).map(|nonce| chain.transfer(0, to, Amount(1), nonce)).collect();
    let block = chain.block(transfers);
    let upcoming = Upcoming::of(&sets(), &chain.state, HEIGHT).unwrap();
    let error = validate_proposal_on(&upcoming, &chain.state, &chain.tip, &block).unwrap_err();
    assert_eq!(error, ProposalError::Block(BlockError::Count { count: 4, count_max: 3 }));
}

/// U5: what consensus has agreed on before the block is no migration's to change.
#[test]
fn a_migration_that_writes_what_belongs_to_consensus_is_refused() {
    let chain = Chain::four();
    let migrate: Migrate = greedy;
    let sets = RuleSets::built_in().with(RuleSet { migrate, ..SECOND }).unwrap();
    let error = Upcoming::rehearse(&sets, &chain.state, 1, 2).unwrap_err();
    assert_eq!(error, RulesError::Migration { version: 2, key: "validators/current".to_string() });
}

fn closed(state: &mut Overlay<&dyn StateRead>) -> Result<(), StateError> {
    let mut changed: Params = params(&*state)?;
    changed.blocks.block_transactions_max = 0;
    state.put(keys::PARAMS.to_vec(), &changed);
    Ok(())
}

/// U5: a migration leaves parameters that a genesis may have: there is no way back from others.
#[test]
fn a_migration_to_parameters_out_of_range_is_refused() {
    let chain = Chain::four();
    let sets = RuleSets::built_in().with(RuleSet { migrate: closed, ..SECOND }).unwrap();
    let error = Upcoming::rehearse(&sets, &chain.state, 1, 2).unwrap_err();
    assert_eq!(error, RulesError::Params { version: 2, name: "blocks.block_transactions_max" });
}

/// U5: a migration may move OPEN, as long as all of it is there afterwards, and where it is noted.
#[test]
fn a_migration_that_makes_or_loses_open_is_refused() {
    fn put(state: &mut Overlay<&dyn StateRead>, from_pool: u128, noted: u128) -> Result<(), StateError> {
        let (to, mut staking) = (Address([9; 20]), pool(&*state, "staking")?.unwrap());
        staking.balance = Amount(staking.balance.0 - from_pool);
        state.put(keys::pool("staking"), &staking);
        state.put(keys::account(&to), &Account { balance: Amount(7), nonce: 0 });
        let before = supply(&*state)?;
        let (pools, accounts) = (Amount(before.pools.0 - noted), Amount(before.accounts.0 + noted));
        state.put(keys::SUPPLY.to_vec(), &Supply { pools, accounts, ..before });
        Ok(())
    }
    let chain = Chain::four();
    let after = |migrate: Migrate| {
        let sets = RuleSets::built_in().with(RuleSet { migrate, ..SECOND }).unwrap();
        Upcoming::rehearse(&sets, &chain.state, 1, 2).map(|upcoming| upcoming.writes().len())
    };
    assert_eq!(after(|state| put(state, 7, 7)), Ok(3));
    let made = after(|state| put(state, 0, 7)).unwrap_err();
    assert_eq!(made, RulesError::Supply { version: 2, sum: Amount(SUPPLY_CAP.0 + 7) });
    assert_eq!(after(|state| put(state, 7, 0)).unwrap_err(), RulesError::Supply { version: 2, sum: SUPPLY_CAP });
}

/// U10: a rehearsal computes what the upgrade writes.
#[test]
fn a_rehearsal_writes_what_the_upgrade_writes() {
    let mut chain = Chain::four();
    let early = Upcoming::rehearse(&sets(), &chain.state, 1, 2).unwrap();
    approved_by(&mut chain, &[0, 1, 2], &plan(HEIGHT));
    chain.run_to(HEIGHT - 1);
    let rehearsed = Upcoming::rehearse(&sets(), &chain.state, HEIGHT, 2).unwrap();
    let real = Upcoming::of(&sets(), &chain.state, HEIGHT).unwrap();
    assert_eq!(rehearsed.writes(), real.writes());
    assert_eq!(early.writes(), real.writes(), "this migration looks at nothing that has changed since");
    assert!(validator_record(&real.state(&chain.state), &chain.address(0)).unwrap().is_some());
}
