//! Fees: the base fee that follows the load, what is burnt, what is reserved. `docs/spec/fees.md`.

use openmesh_ledger::{
    AccountsAction, AccountsError, Action, BASE_FEE_MAX, BlockFees, BlocksParams, FeeOffer, FeesEvent, FeesParams,
    GenesisError, LedgerEvent, Origin, Params, SourcesAction, TransactionError as E, account, base_fee, block_fees,
    check_transaction, estimate_fee, initial_state, supply,
};
use openmesh_primitives::{Address, Amount};
use proptest::prelude::*;

use crate::chain::{Chain, FEE, TRADES, claim, source};

const TO: Address = Address([9; 20]);

/// Blocks with room for four transfers.
fn narrow() -> Chain {
    let blocks = BlocksParams { block_transactions_max: 4, ..BlocksParams::default() };
    Chain::new(&[1; 4], Params { blocks, ..Params::default() })
}

fn pay(chain: &Chain, nonce: u64, offer: impl Into<FeeOffer>) -> Vec<u8> {
    chain.action(0, nonce, offer, AccountsAction::Transfer { to: TO, amount: Amount(1) }.into())
}

/// Returns true if the events say something about fees.
fn is_told(events: &[LedgerEvent]) -> bool {
    events.iter().any(|event| matches!(event, LedgerEvent::Fees(FeesEvent::Collected { .. })))
}

/// Clause FE-3: full blocks raise it by an eighth, empty ones lower it as far as it was.
#[test]
fn the_base_fee_follows_the_load_and_comes_back() {
    let mut chain = narrow();
    let rich = FeeOffer::new(Amount(100 * FEE.0), Amount(7));
    let (mut nonce, mut expected, mut seen) = (0, FEE, Vec::new());
    for _ in 0..5 {
        let full = (0..4).map(|n| pay(&chain, nonce + n, rich)).collect();
        let execution = chain.run(full);
        assert!(execution.receipts.iter().all(|receipt| receipt.fee == Amount(expected.0 + 7)));
        let next = Amount(expected.0 + expected.0 / 8);
        let (burnt, tips) = (Amount(4 * expected.0), Amount(28));
        let fees = BlockFees { base_fee: expected, next_base_fee: next, burnt, tips, load: 1_000_000 };
        assert_eq!(block_fees(&execution.events, FEE), fees);
        assert_eq!(base_fee(&chain.state).unwrap(), next);
        seen.push(expected);
        (nonce, expected) = (nonce + 4, next);
    }
    assert_eq!(supply(&chain.state).unwrap().burnt, Amount(seen.iter().map(|fee| 4 * fee.0).sum()));
    let half = (0..2).map(|n| pay(&chain, nonce + n, rich)).collect();
    chain.run(half);
    assert_eq!(base_fee(&chain.state).unwrap(), expected, "at the target it stays");
    let mut blocks = 0;
    while base_fee(&chain.state).unwrap() > FEE {
        chain.run(vec![]);
        blocks += 1;
    }
    assert!((5..8).contains(&blocks), "{blocks} empty blocks");
    let quiet = chain.run(vec![]).events;
    assert!(!is_told(&quiet), "a block at the floor without transactions says nothing");
    let lowest = BlockFees { base_fee: FEE, next_base_fee: FEE, ..BlockFees::default() };
    assert_eq!(block_fees(&quiet, FEE), lowest);
}

/// Clause FE-5: what consensus and agreement need is free, and moves no price.
#[test]
fn attestations_pay_nothing_and_move_no_price() {
    let mut chain = narrow();
    let all = (0..4).map(|v| chain.attest(v, 1, 0, vec![claim(TRADES, "t")])).collect();
    let execution = chain.run(all);
    assert!(execution.receipts.iter().all(|receipt| receipt.ok() && receipt.fee == Amount::ZERO));
    assert_eq!((base_fee(&chain.state).unwrap(), is_told(&execution.events)), (FEE, false));
    assert_eq!(supply(&chain.state).unwrap().burnt, Amount::ZERO);
}

#[test]
fn an_offer_below_the_risen_base_fee_waits_for_a_lower_one() {
    let mut chain = narrow();
    let full = (0..4).map(|n| pay(&chain, n, Amount(9 * FEE.0))).collect();
    chain.run(full);
    let (min, low) = (Amount(FEE.0 / 8 * 9), pay(&chain, 4, FEE));
    let refused = check_transaction(&chain.state, &low).unwrap_err().to_string();
    assert!(refused.contains("0.000001 OPEN") && refused.contains("0.000001125 OPEN"), "{refused}");
    assert_eq!(chain.run_one(low.clone()), Some(E::Accounts(AccountsError::FeeLow { min, got: FEE })));
    assert_eq!(account(&chain.state, &chain.accounts[0].address()).unwrap().nonce, 4, "it paid nothing");
    assert_eq!(chain.run_one(low), None, "the block without it was empty");
}

/// Clause FE-8: an estimate holds while the base fee does not double: five full blocks.
#[test]
fn an_estimate_is_taken_and_goes_on_being_taken() {
    let mut chain = narrow();
    let action = Action::from(AccountsAction::Transfer { to: TO, amount: Amount(1) });
    let estimate = estimate_fee(&action, base_fee(&chain.state).unwrap(), &chain.genesis.params);
    assert_eq!((estimate.weight, estimate.burnt, estimate.deposit), (1, FEE, Amount::ZERO));
    for block in 0..5u64 {
        let filler = (0..3).map(|n| pay(&chain, 3 * block + n, Amount(50 * FEE.0)));
        let offer = FeeOffer::new(estimate.max_fee, estimate.tip);
        let own = chain.action(1, block, offer, action.clone());
        let all = filler.chain([own]).collect();
        let execution = chain.run(all);
        assert!(execution.receipts.iter().all(|receipt| receipt.ok()), "block {block}");
        let paid = execution.receipts[3].fee;
        assert!(paid.0 >= FEE.0 && paid <= estimate.max_fee);
    }
    let register = Action::from(SourcesAction::Register(source("mine", Origin::Replay)));
    let estimate = estimate_fee(&register, FEE, &chain.genesis.params);
    assert_eq!((estimate.weight, estimate.burnt), (4, Amount(4 * FEE.0)));
    assert_eq!(estimate.deposit, chain.genesis.params.sources.source_deposit);
}

#[test]
fn parameters_out_of_range_are_refused_by_name() {
    let refused = |change: fn(&mut Params)| {
        let mut genesis = Chain::four().genesis;
        change(&mut genesis.params);
        initial_state(&genesis).map(drop)
    };
    let named = |name| Err(GenesisError::Params(name));
    assert_eq!(refused(|p| p.accounts.fee_min = Amount(BASE_FEE_MAX.0 + 1)), named("accounts.fee_min"));
    assert_eq!(refused(|p| p.fees.target_percent = 0), named("fees.target_percent"));
    assert_eq!(refused(|p| p.fees.target_percent = 100), named("fees.target_percent"));
    assert_eq!(refused(|p| p.fees.change_denominator = 1), named("fees.change_denominator"));
    assert_eq!(refused(|p| p.sources.source_deposit = Amount(u128::MAX)), named("sources.source_deposit"));
    assert_eq!(refused(|p| p.fees = FeesParams { target_percent: 99, change_denominator: 2 }), Ok(()));
}

fn amounts() -> impl Strategy<Value = u128> {
    prop_oneof![
        4 => (0..12u128).prop_map(|n| n * FEE.0 / 2),
        1 => (0..2_000u128).prop_map(|n| n * Amount::open(1).0),
        1 => any::<u128>(),
        1 => Just(u128::MAX),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever is offered: a transaction takes effect exactly if its offer is one and the balance covers all of it; it pays
    /// the base fee and at most its tip, never more than its highest fee, and a refused one pays nothing.
    #[test]
    fn nothing_is_paid_beyond_the_offer(max_fee in amounts(), tip in amounts(), amount in amounts()) {
        let mut chain = Chain::four();
        let sender = chain.accounts[0].address();
        let before = account(&chain.state, &sender).unwrap();
        let action = AccountsAction::Transfer { to: TO, amount: Amount(amount) };
        let bytes = chain.action(0, 0, FeeOffer::new(Amount(max_fee), Amount(tip)), action.into());
        let execution = chain.run(vec![bytes]);
        let receipt = &execution.receipts[0];
        let after = account(&chain.state, &sender).unwrap();
        let covered = amount.checked_add(max_fee).is_some_and(|sum| sum <= before.balance.0);
        prop_assert_eq!(receipt.ok(), tip <= max_fee && max_fee >= FEE.0 && covered, "{:?}", receipt.error);
        if receipt.ok() {
            let fee = FEE.0 + tip.min(max_fee - FEE.0);
            prop_assert_eq!(receipt.fee.0, fee);
            prop_assert_eq!(after.balance.0, before.balance.0 - amount - fee);
        } else {
            prop_assert_eq!(receipt.fee, Amount::ZERO);
            prop_assert_eq!(after, before);
        }
    }
}
