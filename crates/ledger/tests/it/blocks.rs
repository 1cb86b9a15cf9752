//! Making blocks and judging them.

use openmesh_ledger::light::LightError;
use openmesh_ledger::{
    Block, BlockError, BlockLimits, BlocksParams, Certificate, ExecuteError, Fact, Overlay, Params, ProposalError,
    RuleSets, StampsAction, StateRead, Transaction, UnverifiedTransaction, Upcoming, Validator, ValidatorSet,
    WindowsFact, build_block, commit_hash, execute_block, execute_block_verified, execute_checked, keys,
    next_validators, transactions_root, validate_proposal, validator_record, validators,
};
use openmesh_primitives::{Address, Amount, Digest, Timestamp, ValidatorKey, canonical, sha256};

use crate::chain::{Chain, FEE, TRADES, claim, verified};

const TO: Address = Address([9; 20]);

fn build(chain: &Chain, candidates: &[Vec<u8>], limits: &BlockLimits) -> Block {
    let time = Timestamp(chain.tip.time.nanos() + 1);
    let (tip, commit, proposer) = (&chain.tip, chain.last_commit(), chain.proposer());
    let (block, execution) =
        build_block(&chain.state, tip, commit, &verified(candidates), proposer, time, limits).unwrap();
    assert_eq!(execution, execute_block(&chain.state, &block).unwrap(), "the proposer's execution is everybody's");
    block
}

#[test]
fn attestations_first_then_by_tip_with_nonces_in_order() {
    let mut chain = Chain::four();
    let pay = |from, nonce, fee: u128| {
        let action =
            openmesh_ledger::Action::Accounts(openmesh_ledger::AccountsAction::Transfer { to: TO, amount: Amount(1) });
        chain.action(from, nonce, Amount(FEE.0 * fee), action)
    };
    let attestation = chain.attest(0, 1, 0, vec![claim(TRADES, "t")]);
    let candidates = vec![
        pay(0, 1, 9),
        pay(0, 0, 1),
        pay(1, 0, 5),
        pay(1, 2, 7),
        attestation.clone(),
        pay(2, 0, 2),
        attestation.clone(),
    ];
    let block = build(&chain, &candidates, &chain.limits());
    let expected = [&attestation, &candidates[2], &candidates[5], &candidates[1], &candidates[0]];
    assert_eq!(block.transactions.iter().collect::<Vec<_>>(), expected, "nonce 1 of account 1 is missing");
    let execution = chain.commit(&block);
    assert!(execution.receipts.iter().all(|r| r.ok()));
}

#[test]
fn account_transactions_leave_the_reserved_room() {
    let chain = Chain::four();
    let transfers: Vec<Vec<u8>> = (0..20).map(|nonce| chain.transfer(0, TO, Amount(1), nonce)).collect();
    let attestations: Vec<Vec<u8>> = (0..4).map(|v| chain.attest(v, 1, 0, vec![claim(TRADES, "t")])).collect();
    let size = transfers[0].len() as u64;
    let room = attestations.iter().map(|a| a.len() as u64).sum();
    let limits = BlockLimits { bytes_max: 5 * size + room, attestation_bytes_reserved: room, transactions_max: 100 };
    let without = build(&chain, &transfers, &limits);
    assert_eq!(without.transactions.len(), 5, "the reserved room stays empty");
    let all = [transfers.clone(), attestations.clone()].concat();
    let with = build(&chain, &all, &limits);
    assert_eq!(with.transactions.len(), 9);
    assert_eq!(with.transactions[..4], attestations);
    let few = BlockLimits { transactions_max: 3, ..limits };
    assert_eq!(build(&chain, &all, &few).transactions.len(), 3);
}

#[test]
fn neither_class_crowds_the_other_out() {
    let mut chain = Chain::four();
    let transfers: Vec<Vec<u8>> = (0..20).map(|nonce| chain.transfer(0, TO, Amount(1), nonce)).collect();
    let attestations: Vec<Vec<u8>> = (0..40).map(|w| chain.attest(0, w, 0, vec![claim(TRADES, "t")])).collect();
    let (small, large) = (transfers[0].len() as u64, attestations[0].len() as u64);
    let limits = BlockLimits {
        bytes_max: 10 * large + 30 * small,
        attestation_bytes_reserved: 10 * large,
        transactions_max: 1_000,
    };
    let block = build(&chain, &[transfers.clone(), attestations.clone()].concat(), &limits);
    let left_over = (10 * small / large) as usize;
    assert!(left_over > 0);
    assert_eq!(block.transactions[..10 + left_over], attestations[..10 + left_over], "reserved room and what is left");
    assert_eq!(block.transactions[10 + left_over..], transfers, "all transfers have their room");
    let execution = chain.commit(&block);
    assert!(execution.receipts.iter().all(|receipt| receipt.ok()));
}

/// Attestations for which the reserved room is too small are tried after the accounts' transactions and stand before them: the facts of
/// both, whose order is in the state's root, are in the order of the block, which `build` compares.
#[test]
fn facts_stand_in_the_order_of_the_block() {
    let mut chain = Chain::four();
    let attestations: Vec<Vec<u8>> = (0..4).map(|v| chain.attest(v, 1, 0, vec![claim(TRADES, "t")])).collect();
    let stamp = StampsAction::Stamp { hash: sha256(&[b"x"]), topic: "drill".to_string(), note: String::new() };
    let stamp = chain.action(0, 0, Amount(25 * FEE.0), stamp.into());
    let limits = BlockLimits { attestation_bytes_reserved: 0, ..chain.limits() };
    let candidates = [vec![stamp.clone()], attestations.clone()].concat();
    let block = build(&chain, &candidates, &limits);
    assert_eq!(block.transactions, [attestations, vec![stamp]].concat());
    let execution = chain.commit(&block);
    assert!(execution.receipts.iter().all(|receipt| receipt.ok()), "{:?}", execution.receipts);
    assert!(matches!(execution.facts[..], [Fact::Windows(_), Fact::Stamp(_)]), "{:?}", execution.facts);
}

/// A proposer tries attestations beyond the reserved room after the stamps, and they stand before them in the block: the facts of
/// both, and with them the root of the state, come out in the block's order.
#[test]
fn facts_stand_in_the_order_of_the_block_whatever_the_proposer_tried_first() {
    let mut chain = Chain::four();
    let action = StampsAction::Stamp { hash: Digest([7; 32]), topic: "drill".to_string(), note: String::new() };
    let stamp = chain.action(0, 0, Amount(25 * FEE.0), action.into());
    let of_window = |window| (0..3).map(move |validator| (validator, window));
    let attestations: Vec<Vec<u8>> = of_window(1)
        .chain(of_window(2))
        .map(|(validator, window)| chain.attest(validator, window, 0, vec![claim(TRADES, "t")]))
        .collect();
    let of_three: u64 = attestations[..3].iter().map(|bytes| bytes.len() as u64).sum();
    let limits = BlockLimits {
        bytes_max: 2 * of_three + stamp.len() as u64,
        attestation_bytes_reserved: of_three,
        transactions_max: 1_000,
    };
    let block = build(&chain, &[attestations.clone(), vec![stamp.clone()]].concat(), &limits);
    assert_eq!(
        block.transactions,
        [attestations, vec![stamp]].concat(),
        "half of the attestations had no reserved room"
    );
    let execution = chain.commit(&block);
    let chunk_of = |fact: &Fact| match fact {
        Fact::Windows(WindowsFact::Chunk { window, .. }) => Some(*window),
        _ => None,
    };
    assert_eq!(execution.facts.iter().map(chunk_of).collect::<Vec<_>>(), [Some(1), Some(2), None]);
}

#[test]
fn malformed_blocks_are_refused_by_judge_and_executor() {
    let params = Params {
        blocks: BlocksParams {
            block_bytes_max: 2_000,
            attestation_bytes_reserved: 1_000,
            transaction_bytes_max: 500,
            block_transactions_max: 5,
        },
        ..Params::default()
    };
    let chain = Chain::new(&[1; 4], params);
    let transfer = |nonce| chain.transfer(0, TO, Amount(1), nonce);
    let attestation = chain.attest(0, 1, 0, vec![]);
    type Case = (&'static str, Vec<Vec<u8>>, fn(&BlockError) -> bool);
    let cases: Vec<Case> = vec![
        ("order", vec![transfer(0), attestation.clone()], |e| *e == BlockError::Order(1)),
        ("twice", vec![transfer(0), transfer(0)], |e| *e == BlockError::Twice(1)),
        ("undecodable", vec![vec![1, 2, 3]], |e| matches!(e, BlockError::Undecodable { index: 0, .. })),
        ("too many", (0..6).map(transfer).collect(), |e| matches!(e, BlockError::Count { count: 6, count_max: 5 })),
        ("bytes", vec![vec![0; 2_001]], |e| matches!(e, BlockError::Bytes { bytes: 2_001, bytes_max: 2_000 })),
    ];
    for (name, transactions, expected) in cases {
        let block = chain.block(transactions);
        let Err(ProposalError::Block(error)) = validate_proposal(&chain.state, &chain.tip, &block) else {
            panic!("{name}")
        };
        assert!(expected(&error), "{name}: {error:?}");
        assert_eq!(execute_block(&chain.state, &block), Err(ExecuteError::Block(error)), "{name}");
    }
    let tight = Params {
        blocks: BlocksParams {
            attestation_bytes_reserved: 1_800,
            block_transactions_max: 20,
            ..chain.genesis.params.clone().blocks
        },
        ..chain.genesis.params.clone()
    };
    let chain = Chain::new(&[1; 4], tight);
    let block = chain.block((0..2).map(|nonce| chain.transfer(0, TO, Amount(1), nonce)).collect());
    let refused = validate_proposal(&chain.state, &chain.tip, &block);
    assert!(
        matches!(refused, Err(ProposalError::Block(BlockError::ReservedRoom { bytes_max: 200, .. }))),
        "{refused:?}"
    );
}

#[test]
fn every_field_of_the_header_is_judged() {
    let mut chain = Chain::four();
    chain.run_to(3);
    let good = chain.block(vec![chain.transfer(0, TO, Amount(1), 0)]);
    let judge = |change: &dyn Fn(&mut Block)| {
        let mut block = good.clone();
        change(&mut block);
        validate_proposal(&chain.state, &chain.tip, &block)
    };
    use ProposalError as E;
    assert_eq!(judge(&|_| {}), Ok(()));
    assert!(matches!(judge(&|b| b.header.version = 1), Err(E::Block(BlockError::Version { got: 1, .. }))));
    assert!(matches!(judge(&|b| b.header.chain_id = 1), Err(E::Chain { got: 1, .. })));
    assert!(matches!(judge(&|b| b.header.height = 3), Err(E::Height { expected: 4, got: 3 })));
    assert!(matches!(judge(&|b| b.header.parent = Digest::ZERO), Err(E::Parent { .. })));
    assert!(matches!(judge(&|b| b.header.state_root = Digest::ZERO), Err(E::StateRoot { .. })));
    assert!(matches!(judge(&|b| b.header.time = chain.tip.time), Err(E::Time { .. })));
    assert!(matches!(judge(&|b| b.header.proposer = TO), Err(E::Block(BlockError::Proposer(TO)))));
    assert!(matches!(judge(&|b| b.header.validators_hash = Digest::ZERO), Err(E::Validators { which: "current", .. })));
    assert!(matches!(
        judge(&|b| b.header.next_validators_hash = Digest::ZERO),
        Err(E::Validators { which: "next", .. })
    ));
    assert!(matches!(judge(&|b| b.transactions.clear()), Err(E::Block(BlockError::TransactionsRoot))));
}

#[test]
fn the_commit_of_the_parent_is_judged() {
    let mut chain = Chain::four();
    let first = chain.block(vec![]);
    assert_eq!((&first.last_commit, first.header.last_commit_hash), (&None, Digest::ZERO));
    chain.run_to(3);
    let good = chain.block(vec![]);
    let judge = |change: &dyn Fn(&mut Certificate)| {
        let mut block = good.clone();
        let commit = block.last_commit.as_mut().unwrap();
        change(commit);
        block.header.last_commit_hash = commit_hash(Some(commit));
        validate_proposal(&chain.state, &chain.tip, &block)
    };
    use ProposalError as E;
    assert_eq!(judge(&|_| {}), Ok(()));
    assert_eq!(judge(&|c| c.signatures.truncate(3)), Ok(()), "three of four");
    assert!(matches!(
        judge(&|c| c.signatures.truncate(2)),
        Err(E::LastCommit(LightError::Power { power: 2, total: 4 }))
    ));
    assert!(matches!(judge(&|c| c.signatures.swap(0, 1)), Err(E::LastCommitOrder)));
    assert!(matches!(judge(&|c| c.signatures[1] = c.signatures[0]), Err(E::LastCommit(LightError::Twice(_)))));
    assert!(matches!(judge(&|c| c.signatures[3].1 = c.signatures[0].1), Err(E::LastCommit(LightError::Signature(_)))));
    assert!(matches!(judge(&|c| c.round = 1), Err(E::LastCommit(LightError::Signature(_)))));
    assert!(matches!(judge(&|c| c.height = 2), Err(E::LastCommit(LightError::OtherBlock { height: 2, .. }))));
    let mut unnamed = good.clone();
    unnamed.last_commit = None;
    let refused = validate_proposal(&chain.state, &chain.tip, &unnamed);
    assert!(matches!(refused, Err(E::Block(BlockError::LastCommit))));
    unnamed.header.last_commit_hash = Digest::ZERO;
    assert_eq!(validate_proposal(&chain.state, &chain.tip, &unnamed), Err(E::NoLastCommit(4)));
}

#[test]
fn whose_signature_is_missing_is_counted() {
    let mut chain = Chain::four();
    chain.run_to(2);
    chain.signers = vec![0, 1, 3];
    chain.run_to(5);
    chain.signers = vec![0, 1, 2, 3];
    chain.run_to(6);
    let unsigned: Vec<u64> =
        (0..4).map(|n| validator_record(&chain.state, &chain.address(n)).unwrap().unwrap().unsigned).collect();
    assert_eq!(unsigned, [0, 0, 3, 0], "the blocks 3 to 5 carry the commits of 2 to 4");
}

#[test]
fn verified_hints_do_not_change_the_result() {
    let chain = Chain::four();
    let transactions =
        vec![chain.attest(0, 1, 0, vec![]), chain.transfer(0, TO, Amount(1), 0), chain.transfer(1, TO, Amount(1), 5)];
    let block = chain.block(transactions.clone());
    let plain = execute_block(&chain.state, &block).unwrap();
    let hints: Vec<_> = verified(&transactions).into_iter().map(Some).collect();
    assert_eq!(execute_block_verified(&chain.state, &block, &hints).unwrap(), plain);
    assert_eq!(execute_block_verified(&chain.state, &block, &hints[..1]).unwrap(), plain);
    let wrong = vec![hints[2].clone(), None, hints[1].clone()];
    assert_eq!(execute_block_verified(&chain.state, &block, &wrong).unwrap(), plain, "hints of other transactions");
}

#[test]
fn signatures_that_are_verified_beforehand_do_not_change_the_result() {
    let chain = Chain::four();
    let Transaction::Account(mut forged) = canonical::decode(&chain.transfer(2, TO, Amount(1), 0)).unwrap() else {
        panic!("a transfer is an account's")
    };
    forged.signature.0[64] = 99;
    let transactions = vec![
        chain.attest(0, 1, 0, vec![]),
        chain.transfer(0, TO, Amount(1), 0),
        chain.transfer(1, TO, Amount(1), 5),
        Transaction::Account(forged).encode(),
    ];
    let block = chain.block(transactions.clone());
    let plain = execute_block(&chain.state, &block).unwrap();
    assert_eq!(plain.receipts[3].sender, None, "its signature is none");
    let known: Vec<_> = verified(&transactions[..2]).into_iter().map(Some).collect();
    let upcoming = Upcoming::of(&RuleSets::built_in(), &chain.state, block.header.height).unwrap();
    let mut checked = block.hashed().check(&upcoming, &known).unwrap();
    assert_eq!(checked.unverified().len(), 2);
    checked.unverified().iter_mut().for_each(UnverifiedTransaction::verify);
    assert!(checked.unverified().is_empty());
    assert_eq!(execute_checked(&upcoming, &chain.state, checked).unwrap(), plain);
}

#[test]
fn a_new_set_of_validators_is_in_force_two_blocks_later() {
    let mut chain = Chain::four();
    let old = validators(&chain.state).unwrap();
    let joined = Validator::new(ValidatorKey::from_seed([50; 32]).public(), 1, "new");
    let new = ValidatorSet::new(old.iter().cloned().chain([joined]).collect()).unwrap();
    // No transaction changes validators yet; a write of the next set in block 1 stands for one.
    chain.run(vec![]);
    let mut overlay = Overlay::new(&chain.state);
    overlay.put(keys::VALIDATORS_NEXT.to_vec(), &new);
    let written = overlay.get(keys::VALIDATORS_NEXT).unwrap().unwrap();
    chain.state.insert(keys::VALIDATORS_NEXT.to_vec(), written);
    let second = chain.block(vec![]);
    assert_eq!((second.header.validators_hash, second.header.next_validators_hash), (old.hash(), new.hash()));
    chain.commit(&second);
    let third = chain.block(vec![]);
    assert_eq!((third.header.validators_hash, third.header.next_validators_hash), (new.hash(), new.hash()));
    chain.commit(&third);
    assert_eq!(next_validators(&chain.state).unwrap(), new);
}

#[test]
fn an_overlay_scans_like_a_map() {
    let mut base = crate::chain::State::new();
    for n in 0..50u8 {
        base.insert(vec![b'a', n], vec![n]);
    }
    let mut overlay = Overlay::new(&base);
    let mut plain = base.clone();
    for n in (0..50u8).step_by(3) {
        overlay.delete(vec![b'a', n]);
        plain.remove(&vec![b'a', n]);
        overlay.put(vec![b'a', n, 1], &7u8);
        plain.insert(vec![b'a', n, 1], vec![7]);
    }
    for limit in [0, 1, 2, 7, 49, 50, 51, 1_000] {
        for from in [None, Some(vec![b'a', 10]), Some(vec![b'a', 30, 0]), Some(vec![b'b'])] {
            let from = from.as_deref();
            assert_eq!(overlay.scan(b"a", from, limit), plain.scan(b"a", from, limit), "{limit} {from:?}");
        }
    }
}

#[test]
fn transactions_root_is_over_the_bytes() {
    let chain = Chain::four();
    let transfer = chain.transfer(0, TO, Amount(1), 0);
    let decoded: Transaction = openmesh_primitives::canonical::decode(&transfer).unwrap();
    assert_eq!(decoded.encode(), transfer);
    assert_ne!(transactions_root(std::slice::from_ref(&transfer)), transactions_root(&[transfer.clone(), transfer]));
}
