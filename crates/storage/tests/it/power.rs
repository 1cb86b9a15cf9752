//! Power that goes in the middle of a commit, at every operation of the disk.

use openmesh_primitives::Digest;
use openmesh_storage::{Store, StoreConfig, VirtualDisk};

use crate::chain::{Chain, account, genesis, validators};

fn open(disk: &VirtualDisk) -> Chain {
    let store = Store::open_virtual(disk, StoreConfig::default()).unwrap();
    store.initialise(&genesis()).unwrap();
    Chain { store, validators: validators(), account: account() }
}

/// Some order of numbers, the same each time.
fn numbers(mut state: u64) -> impl FnMut(u64) -> u64 {
    move |end| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % end.max(1)
    }
}

#[test]
fn a_commit_is_there_or_not_wherever_power_goes() {
    let disk = VirtualDisk::default();
    let mut chain = open(&disk);
    chain.advance();
    let (mut before, mut whole, mut operations) = (chain.store.tip(), 0, 0);
    // Until a commit needs fewer operations than the disk allows.
    while whole < 3 {
        let block = chain.propose(&[]);
        let execution = openmesh_ledger::execute_block(&chain.store.state().unwrap(), &block).unwrap();
        let prepared = chain.store.prepare(&execution).unwrap();
        let certificate = crate::chain::certificate(&chain.validators, &block);
        disk.fail_after(operations);
        let committed = chain.store.commit(&block, &certificate, &execution, prepared).is_ok();
        let after = openmesh_ledger::Tip { height: before.height + 1, ..before };
        disk.fail_after(0);
        drop(chain);
        disk.power_cut(numbers(operations));
        chain = open(&disk);
        let tip = chain.store.tip();
        assert!(tip == before || tip.height == after.height, "height {} after {operations} operations", tip.height);
        assert!(!committed || tip.height == after.height, "a block that was committed is gone");
        whole += u64::from(committed);
        (before, operations) = (tip, operations + 1);
        // What is there can be read and built upon.
        openmesh_ledger::check_supply(&chain.store.state().unwrap()).unwrap();
    }
    assert!(operations > 5, "a commit takes several operations");
    chain.advance();
}

#[test]
fn a_proposal_that_is_kept_is_not_written_again() {
    let disk = VirtualDisk::default();
    let chain = open(&disk);
    let (kept, other) = (Digest([1; 32]), Digest([2; 32]));
    chain.store.put_undecided(1, 0, &kept, b"proposal").unwrap();
    disk.fail_after(0);
    chain.store.put_undecided(1, 0, &kept, b"proposal").unwrap();
    assert!(chain.store.put_undecided(1, 0, &other, b"another").is_err(), "the disk takes nothing");
}
