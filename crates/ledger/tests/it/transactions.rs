//! Every refusal has its own error and leaves the state as it was.

use openmesh_ledger::{
    AccountTransaction, AccountsAction, AccountsError, Action, BlocksParams, EnvelopeError, EpochsParams, FeeOffer,
    Origin, Params, SourcesAction, SourcesError, SourcesParams, Transaction, TransactionError, WindowsError, account,
    check_transaction, supply, validator_record, verify_stateless,
};
use openmesh_primitives::{AccountSignature, Address, Amount};

use crate::chain::{CHAIN_ID, Chain, FEE, TRADES, account_key, claim, source};

const TO: Address = Address([9; 20]);

#[test]
fn a_transfer_moves_the_amount_and_pays_the_proposer() {
    let mut chain = Chain::four();
    let (from, proposer) = (chain.accounts[0].address(), chain.proposer().public().address());
    let (tip, action) = (Amount(FEE.0 / 4), AccountsAction::Transfer { to: TO, amount: Amount::open(5) });
    let offer = FeeOffer::new(Amount(3 * FEE.0), tip);
    let execution = chain.run(vec![chain.action(0, 0, offer, action.into())]);
    let (receipt, paid) = (&execution.receipts[0], Amount(FEE.0 + tip.0));
    assert!(receipt.ok());
    assert_eq!((receipt.sender, receipt.fee, receipt.tip), (Some(from), paid, tip));
    assert_eq!(account(&chain.state, &TO).unwrap().balance, Amount::open(5));
    assert_eq!(account(&chain.state, &proposer).unwrap().balance, tip);
    assert_eq!(supply(&chain.state).unwrap().burnt, FEE);
    let left = account(&chain.state, &from).unwrap();
    assert_eq!((left.balance, left.nonce), (Amount(Amount::open(995).0 - paid.0), 1));
    assert_eq!(validator_record(&chain.state, &proposer).unwrap().unwrap().proposed, 1);
}

#[test]
fn a_transfer_to_oneself_costs_the_fee_only() {
    let mut chain = Chain::four();
    let from = chain.accounts[0].address();
    assert_eq!(chain.run_one(chain.transfer(0, from, Amount::open(1_000 - 1), 0)), None);
    assert_eq!(account(&chain.state, &from).unwrap().balance, Amount(Amount::open(1_000).0 - FEE.0));
}

#[test]
fn tips_go_to_the_payout_account() {
    let mut chain = Chain::four();
    let mut genesis = chain.genesis.clone();
    let payout = Address([3; 20]);
    genesis.validators.iter_mut().for_each(|v| v.payout = Some(payout));
    chain.state = openmesh_ledger::initial_state(&genesis).unwrap();
    let pay = |from, fee: u128| {
        chain.action(from, 0, Amount(fee), AccountsAction::Transfer { to: TO, amount: Amount(1) }.into())
    };
    let both = vec![pay(0, 2 * FEE.0), pay(1, 3 * FEE.0)];
    chain.run(both);
    assert_eq!(account(&chain.state, &payout).unwrap().balance, Amount(3 * FEE.0), "what the base fee leaves");
    assert_eq!(supply(&chain.state).unwrap().burnt, Amount(2 * FEE.0));
}

#[test]
fn refusals_of_account_transactions() {
    use TransactionError as E;
    let params =
        Params { blocks: BlocksParams { transaction_bytes_max: 400, ..BlocksParams::default() }, ..Params::default() };
    let mut chain = Chain::new(&[1, 1, 1, 1], params);
    assert_eq!(chain.run_one(chain.transfer(0, TO, Amount(1), 0)), None);
    let before = (account(&chain.state, &chain.accounts[0].address()), account(&chain.state, &TO));

    let replayed = chain.transfer(0, TO, Amount(1), 0);
    assert_eq!(chain.run_one(replayed), Some(E::Accounts(AccountsError::NonceLow { expected: 1, got: 0 })));
    assert_eq!(
        chain.run_one(chain.transfer(0, TO, Amount(1), 3)),
        Some(E::Accounts(AccountsError::NonceGap { expected: 1, got: 3 }))
    );

    let action = Action::Accounts(AccountsAction::Transfer { to: TO, amount: Amount(1) });
    let other_chain = AccountTransaction::sign(&chain.accounts[0], 1, 1, FEE, action.clone()).unwrap();
    let other_chain = Transaction::Account(other_chain).encode();
    assert_eq!(chain.run_one(other_chain), Some(E::Envelope(EnvelopeError::Chain { expected: CHAIN_ID, got: 1 })));

    let cheap = chain.action(0, 1, Amount(FEE.0 - 1), action.clone());
    assert_eq!(chain.run_one(cheap), Some(E::Accounts(AccountsError::FeeLow { min: FEE, got: Amount(FEE.0 - 1) })));

    let rich = chain.transfer(0, TO, Amount::open(1_000), 1);
    assert!(
        matches!(chain.run_one(rich), Some(E::Accounts(AccountsError::Overdraft { needed, .. })) if needed.0 == Amount::open(1_000).0 + FEE.0)
    );
    let overflow = chain.action(
        0,
        1,
        Amount(u128::MAX),
        Action::Accounts(AccountsAction::Transfer { to: TO, amount: Amount(u128::MAX) }),
    );
    let (max_fee, spends) = (Amount(u128::MAX), Amount(u128::MAX));
    assert_eq!(chain.run_one(overflow), Some(E::Accounts(AccountsError::FeeOverflow { max_fee, spends })));

    let balance = account(&chain.state, &chain.accounts[0].address()).unwrap().balance;
    let max_fee = Amount(balance.0 + 1);
    let proud = chain.action(0, 1, FeeOffer::new(max_fee, Amount::ZERO), action.clone());
    let unaffordable = AccountsError::FeeUnaffordable { account: chain.accounts[0].address(), balance, max_fee };
    assert_eq!(chain.run_one(proud), Some(E::Accounts(unaffordable)));
    let (tip, max_fee) = (Amount(2 * FEE.0 + 1), Amount(2 * FEE.0));
    let generous = chain.action(0, 1, FeeOffer::new(max_fee, tip), action.clone());
    assert_eq!(chain.run_one(generous), Some(E::Accounts(AccountsError::TipHigh { tip, max_fee })));

    let stranger = AccountTransaction::sign(&account_key(77), CHAIN_ID, 0, FEE, action.clone()).unwrap();
    let unknown = E::Accounts(AccountsError::UnknownSender { account: account_key(77).address() });
    assert_eq!(chain.run_one(Transaction::Account(stranger).encode()), Some(unknown));

    let mut long = source("a", Origin::Live);
    long.feeds = (0..16).map(|n| format!("a-feed-with-a-long-name-{n:02}")).collect();
    let long = chain.action(0, 1, Amount::open(2), Action::Sources(SourcesAction::Register(long)));
    assert_eq!(
        chain.run_one(long.clone()),
        Some(E::Envelope(EnvelopeError::Size { bytes: long.len() as u64, bytes_max: 400 }))
    );

    let after = (account(&chain.state, &chain.accounts[0].address()), account(&chain.state, &TO));
    assert_eq!(before, after, "refused transactions change no account");
}

#[test]
fn altered_signatures_and_fields() {
    use TransactionError as E;
    let mut chain = Chain::four();
    let signed = AccountTransaction::sign(
        &chain.accounts[0],
        CHAIN_ID,
        0,
        FEE,
        Action::Accounts(AccountsAction::Transfer { to: TO, amount: Amount::open(1) }),
    )
    .unwrap();

    // Another amount under the same signature: some other address, which owns nothing.
    let greedy = AccountTransaction {
        action: Action::Accounts(AccountsAction::Transfer { to: TO, amount: Amount::open(2) }),
        ..signed.clone()
    };
    assert!(matches!(
        chain.run_one(Transaction::Account(greedy).encode()),
        Some(E::Accounts(AccountsError::UnknownSender { .. }))
    ));

    // The same signature with v as 0 or 1 would be a second hash for one transaction.
    let mut short_v = signed.clone();
    short_v.signature.0[64] -= 27;
    assert_eq!(
        chain.run_one(Transaction::Account(short_v.clone()).encode()),
        Some(E::Envelope(EnvelopeError::Signature))
    );
    let AccountTransaction { chain_id, nonce, offer, action, signature } = short_v;
    let repaired = AccountTransaction::with_signature(chain_id, nonce, offer, action, signature);
    assert_eq!(repaired, signed);

    // r or s out of range.
    let zero = AccountTransaction { signature: AccountSignature([0; 65]), ..signed.clone() };
    assert_eq!(chain.run_one(Transaction::Account(zero).encode()), Some(E::Envelope(EnvelopeError::Signature)));

    assert_eq!(chain.run_one(Transaction::Account(signed).encode()), None);
}

#[test]
fn a_flipped_bit_never_passes_as_the_same_sender() {
    let chain = Chain::four();
    let bytes = chain.transfer(0, TO, Amount::open(1), 0);
    let sender = chain.accounts[0].address();
    for bit in 0..bytes.len() * 8 {
        let mut altered = bytes.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        if let Ok(verified) = verify_stateless(&altered) {
            assert_ne!(verified.sender(), sender, "bit {bit}");
            assert!(check_transaction(&chain.state, &altered).is_err(), "bit {bit}");
        }
    }
}

#[test]
fn bytes_that_are_no_transaction() {
    let chain = Chain::four();
    let good = chain.transfer(0, TO, Amount(1), 0);
    for bytes in [vec![], vec![7; 100], good[..good.len() - 1].to_vec(), [good.as_slice(), &[0]].concat()] {
        assert!(
            matches!(verify_stateless(&bytes), Err(TransactionError::Envelope(EnvelopeError::Encoding { .. }))),
            "{bytes:?}"
        );
    }
    assert!(matches!(verify_stateless(&vec![0; 300_000]), Err(TransactionError::Envelope(EnvelopeError::Size { .. }))));
}

#[test]
fn sources_are_registered_once_and_work_from_the_next_epoch() {
    use TransactionError as E;
    let mut chain = Chain::new(
        &[1, 1, 1, 1],
        Params {
            epochs: EpochsParams { epoch_ms: 5_000, ..EpochsParams::default() },
            sources: SourcesParams { sources_max: 2, ..SourcesParams::default() },
            ..Params::default()
        },
    );
    let register = |spec| Action::Sources(SourcesAction::Register(spec));
    let spec = source("kraken-2", Origin::Replay);
    let cheap = chain.action(0, 0, FEE, register(spec.clone()));
    let min = Amount(4 * FEE.0);
    assert_eq!(chain.run_one(cheap), Some(E::Accounts(AccountsError::FeeLow { min, got: FEE })), "its weight is 4");
    let mut malformed = spec.clone();
    malformed.symbols.reverse();
    let malformed = chain.action(0, 0, Amount::open(1), register(malformed));
    assert!(matches!(chain.run_one(malformed), Some(E::Sources(SourcesError::SourceInvalid { .. }))));
    assert_eq!(chain.run_one(chain.action(0, 0, Amount::open(1), register(spec.clone()))), None);
    let again = chain.action(0, 1, Amount::open(1), register(spec));
    assert_eq!(chain.run_one(again), Some(E::Sources(SourcesError::SourceExists { id: "kraken-2".to_string() })));
    let third = chain.action(0, 1, Amount::open(1), register(source("third", Origin::Live)));
    assert_eq!(chain.run_one(third), Some(E::Sources(SourcesError::SourcesFull { max: 2 })));

    let early = chain.attest_source(0, "kraken-2", 1, 0, vec![claim(TRADES, "x")]);
    assert_eq!(
        chain.run_one(early),
        Some(E::Windows(WindowsError::SourceNotActive { from_epoch: 2 })),
        "registered in epoch 0"
    );
}

#[test]
fn the_mempool_sees_what_the_block_will_see() {
    let chain = Chain::four();
    let good = chain.transfer(0, TO, Amount(1), 0);
    let checked = check_transaction(&chain.state, &good).unwrap();
    assert_eq!((checked.sender, checked.nonce, checked.fee), (chain.accounts[0].address(), Some(0), FEE));
    assert_eq!(checked.bytes, good.len() as u64);
    assert_eq!(checked.expires_after_height, None);
    let attestation = chain.attest(0, 1, 0, vec![claim(TRADES, "x")]);
    let checked = check_transaction(&chain.state, &attestation).unwrap();
    assert_eq!(checked.expires_after_height, None, "an epoch ends at a time, not a height");
}

#[test]
fn each_error_has_its_own_code_and_the_same_in_json() {
    use TransactionError as E;
    let some = [
        E::Envelope(EnvelopeError::Signature),
        E::Accounts(AccountsError::NonceLow { expected: 1, got: 0 }),
        E::Accounts(AccountsError::NonceGap { expected: 1, got: 2 }),
        E::Envelope(EnvelopeError::Chain { expected: 1, got: 2 }),
        E::Accounts(AccountsError::Overdraft { account: TO, balance: Amount(1), needed: Amount(2) }),
        E::Accounts(AccountsError::UnknownSender { account: TO }),
        E::Accounts(AccountsError::FeeLow { min: Amount(2), got: Amount(1) }),
        E::Accounts(AccountsError::TipHigh { tip: Amount(2), max_fee: Amount(1) }),
        E::Accounts(AccountsError::FeeUnaffordable { account: TO, balance: Amount(1), max_fee: Amount(2) }),
        E::Accounts(AccountsError::FeeOverflow { max_fee: Amount(1), spends: Amount(u128::MAX) }),
    ];
    let codes: std::collections::BTreeSet<&str> = some.iter().map(E::code).collect();
    assert_eq!(codes.len(), some.len());
    for error in some {
        let json = serde_json::to_value(&error).unwrap();
        assert_eq!(json["code"], error.code());
        assert_eq!(serde_json::from_value::<E>(json).unwrap(), error);
    }
}
