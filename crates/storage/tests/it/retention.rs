//! Old blocks go, what is needed of them stays, and the disk is given back.

use openmesh_ledger::{
    AccountTransaction, AccountsAction, Action, EpochsParams, Transaction, Validator, ValidatorSet, light,
};
use openmesh_primitives::{Address, Amount};
use openmesh_storage::{Store, StoreConfig, VirtualDisk};

use crate::chain::{CHAIN_ID, Chain, SOURCE, STREAM, account, genesis, validators};

/// Blocks that are kept in these tests: one a second.
const KEPT: u64 = 200;

fn config(retain: bool) -> StoreConfig {
    StoreConfig { proof_heights: 50, retain_ms: retain.then_some(KEPT * 1_000), ..StoreConfig::default() }
}

fn open(disk: &VirtualDisk, retain: bool) -> Chain {
    let store = Store::open_virtual(disk, config(retain)).unwrap();
    // Epochs of an hour: the roots of closed ones stay in the state, and these tests are about blocks.
    let mut genesis = genesis();
    genesis.params.epochs = EpochsParams::default();
    store.initialise(&genesis).unwrap();
    Chain { store, validators: validators(), account: account() }
}

/// Some transfers to always the same accounts: the state does not grow.
fn transfers(chain: &Chain, count: u64) -> Vec<Vec<u8>> {
    let nonce = openmesh_ledger::account(&chain.store.state().unwrap(), &chain.account.address()).unwrap().nonce;
    let transfer = |n: u64| {
        let action = Action::Accounts(AccountsAction::Transfer { to: Address([n as u8; 20]), amount: Amount::open(1) });
        let fee = genesis().params.accounts.fee_min;
        Transaction::Account(AccountTransaction::sign(&chain.account, CHAIN_ID, nonce + n, fee, action).unwrap())
            .encode()
    };
    (0..count).map(transfer).collect()
}

fn grow(chain: &Chain, blocks: u64) {
    grow_with(chain, blocks, 4);
}

fn grow_with(chain: &Chain, blocks: u64, transfers_each: u64) {
    for _ in 0..blocks {
        let block = chain.draft(&transfers(chain, transfers_each));
        chain.commit(&block);
    }
}

#[test]
fn old_blocks_go_with_their_receipts_and_indices() {
    let chain = open(&VirtualDisk::default(), true);
    let account = chain.account.address();
    grow(&chain, 20);
    let first = chain.store.block(1).unwrap().unwrap();
    let hash = first.receipts[0].hash;
    assert_eq!((chain.store.oldest_block(), chain.store.transaction(&hash).unwrap()), (1, Some((1, 0))));
    grow(&chain, 300);
    let oldest = chain.store.oldest_block();
    assert_eq!(oldest, 320 - KEPT, "a block of one second ago each");
    assert_eq!((chain.store.block(oldest - 1).unwrap(), chain.store.transaction(&hash).unwrap()), (None, None));
    assert!(chain.store.block(oldest).unwrap().is_some());
    assert_eq!(chain.store.blocks(1..=320).unwrap()[0].block.header.height, oldest);
    let mut places = Vec::new();
    while let page @ [_, ..] = chain.store.transactions_of(&account, places.last().copied(), 1_000).unwrap().as_slice()
    {
        places.extend_from_slice(page);
    }
    assert_eq!((places.len() as u64, places.last().unwrap().0), ((KEPT + 1) * 4, oldest));
    // What consensus and light clients need of any height stays.
    let set = chain.store.validators_at(1).unwrap();
    assert_eq!(light::verify(CHAIN_ID, &set, &first.block.header, &first.certificate), Ok(()));
    assert!(chain.store.prove(b"params", 300).is_ok());
}

/// A backlog, as after the setting was changed, goes some blocks at a time.
#[test]
fn a_backlog_goes_some_blocks_with_each_commit() {
    let disk = VirtualDisk::default();
    let chain = open(&disk, false);
    grow(&chain, 400);
    assert_eq!(chain.store.oldest_block(), 1, "all are kept where nothing else is asked for");
    drop(chain);
    let chain = open(&disk, true);
    assert_eq!(chain.store.oldest_block(), 1);
    grow(&chain, 1);
    assert_eq!(chain.store.oldest_block(), 17);
    grow(&chain, 30);
    assert_eq!(chain.store.oldest_block(), 431 - KEPT);
}

/// Header and certificate of a height at which the validators changed outlive the block.
#[test]
fn the_way_of_a_light_client_stays() {
    let chain = open(&VirtualDisk::default(), true);
    grow(&chain, 3);
    let block = chain.draft(&[]);
    let state = chain.store.state().unwrap();
    let mut execution = openmesh_ledger::execute_block(&state, &block).unwrap();
    let stronger = |validator: &Validator| Validator { power: validator.power + 1, ..validator.clone() };
    let set = ValidatorSet::new(chain.store.validators_at(1).unwrap().iter().map(stronger).collect()).unwrap();
    let bytes = openmesh_primitives::canonical::encode(&set);
    execution.writes.insert(openmesh_ledger::keys::VALIDATORS_NEXT.to_vec(), Some(bytes));
    let prepared = chain.store.prepare(&execution).unwrap();
    let certificate = crate::chain::certificate(&chain.validators, &block);
    chain.store.commit(&block, &certificate, &execution, prepared).unwrap();
    assert_eq!(chain.store.validators_at(6).unwrap(), set);
    for _ in 0..KEPT + 60 {
        // The ledger would have taken the set over; here only its place matters.
        let block = chain.draft(&[]);
        chain.commit(&block);
    }
    assert!(chain.store.oldest_block() > 4);
    assert_eq!(chain.store.block(4).unwrap(), None);
    // The change was written in block 4. Header 5, the last that the old set decided, announces the new one.
    assert_eq!(chain.store.header(4).unwrap(), None);
    let (header, certificate) = chain.store.header(5).unwrap().expect("the header that announces the new set");
    assert_eq!((header.height, certificate.height), (5, 5));
    assert_eq!(header.next_validators_hash, set.hash());
    assert_eq!(chain.store.header(6).unwrap(), None);
    assert_ne!(chain.store.validators_at(5).unwrap(), set);
    assert_eq!(chain.store.validators_at(6).unwrap(), set);
}

/// Facts go with the blocks of their age, epoch by epoch, and their places with them; an archive keeps them.
#[test]
fn facts_go_with_the_blocks_of_their_age() {
    let run = |retain| {
        let dir = tempfile::tempdir().unwrap();
        // Epochs of ten blocks, details in the state for six of them, and facts of twelve epochs.
        let chain = Chain::open(dir.path(), StoreConfig { retain_ms: retain, ..config(false) });
        (0..300).for_each(|_| drop(chain.advance()));
        let place = |window| chain.store.chunk_fact(SOURCE, window, STREAM).unwrap();
        let proof = |window| place(window).map(|(epoch, at)| chain.store.fact_proof(epoch, at).unwrap().is_some());
        ([5, 120, 250].map(proof), place(250).unwrap().0, chain.store.fact_proof(0, 0).unwrap().is_some())
    };
    let (kept, epoch, first) = run(Some(120_000));
    assert_eq!((kept, first), ([None, None, Some(true)], false));
    assert!((24..=26).contains(&epoch), "{epoch}");
    assert_eq!(run(None), ([Some(true); 3], epoch, true));
}

/// After ten thousand heights are gone, the store is as large as one that never held them.
#[test]
fn the_disk_is_given_back() {
    let (old, young) = (VirtualDisk::default(), VirtualDisk::default());
    let chain = open(&old, false);
    grow_with(&chain, 10_000 + KEPT, 2);
    let full = old.bytes();
    drop(chain);
    let chain = open(&old, true);
    // The backlog goes while the chain goes on.
    grow_with(&chain, 700, 2);
    assert_eq!(chain.store.oldest_block(), chain.store.tip().height - KEPT);
    let epoch = |chain: &Chain| openmesh_ledger::current_epoch(&chain.store.state().unwrap()).unwrap();
    let epochs = epoch(&chain);
    assert_eq!(epochs, 3);
    drop(chain);
    drop(open(&old, true));
    let chain = open(&young, true);
    // As many closed epochs, which stay for ever.
    while epoch(&chain) < epochs {
        chain.commit(&chain.draft_after(EpochsParams::default().epoch_ms, &[]));
    }
    grow_with(&chain, 2 * KEPT, 2);
    drop(chain);
    drop(open(&young, true));
    println!("{full} bytes with all blocks, {} after pruning, {} never held them", old.bytes(), young.bytes());
    assert!(old.bytes() < full / 5);
    assert!(old.bytes() * 100 <= young.bytes() * 120, "{} and {} bytes", old.bytes(), young.bytes());
    let chain = open(&old, true);
    grow(&chain, 1);
}
