//! The index from accounts to their transactions.

use openmesh_ledger::{AccountTransaction, AccountsAction, Action, Block, Transaction};
use openmesh_primitives::{AccountKey, Address, Amount};
use openmesh_storage::{Store, StoreConfig, VirtualDisk};

use crate::chain::{CHAIN_ID, Chain, account, genesis, validators};

fn open(disk: &VirtualDisk) -> Chain {
    let store = Store::open_virtual(disk, StoreConfig::default()).unwrap();
    store.initialise(&genesis()).unwrap();
    Chain { store, validators: validators(), account: account() }
}

fn transfer(from: &AccountKey, nonce: u64, to: Address) -> Vec<u8> {
    let action = Action::Accounts(AccountsAction::Transfer { to, amount: Amount::open(1) });
    let fee = genesis().params.accounts.fee_min;
    Transaction::Account(AccountTransaction::sign(from, CHAIN_ID, nonce, fee, action).unwrap()).encode()
}

/// Places of an account's transactions in the blocks themselves, newest first.
fn walked(store: &Store, account: &Address) -> Vec<(u64, u32)> {
    let mut found = Vec::new();
    for height in (1..=store.tip().height).rev() {
        let stored = store.block(height).unwrap().unwrap();
        let names =
            |block: &Block, index: usize| match openmesh_primitives::canonical::decode(&block.transactions[index]) {
                Ok(Transaction::Account(AccountTransaction {
                    action: Action::Accounts(AccountsAction::Transfer { to, .. }),
                    ..
                })) => to == *account,
                _ => false,
            };
        let here = stored.receipts.iter().enumerate().rev();
        let here = here.filter(|(index, r)| r.sender == Some(*account) || names(&stored.block, *index));
        found.extend(here.map(|(_, receipt)| (height, receipt.index)));
    }
    found
}

#[test]
fn sender_and_receiver_find_their_transactions_newest_first() {
    let chain = open(&VirtualDisk::default());
    let (sender, receiver) = (chain.account.address(), Address([9; 20]));
    for height in 0..12 {
        let to = if height % 3 == 0 { receiver } else { Address([height as u8 + 20; 20]) };
        let mut transactions = chain.transactions();
        transactions.pop();
        transactions.push(transfer(&chain.account, height * 2, to));
        transactions.push(transfer(&chain.account, height * 2 + 1, sender));
        chain.commit(&chain.propose(&transactions));
    }
    let validator = chain.validators[1].public().address();
    for account in [sender, receiver, validator] {
        let all = chain.store.transactions_of(&account, None, 1_000).unwrap();
        assert!(!all.is_empty() && all == walked(&chain.store, &account), "{account}: {all:?}");
        // Page by page it is the same list.
        let (mut pages, mut before) = (Vec::new(), None);
        while let page @ [_, ..] = chain.store.transactions_of(&account, before, 3).unwrap().as_slice() {
            pages.extend_from_slice(page);
            before = page.last().copied();
        }
        assert_eq!(pages, all, "{account}");
    }
    assert_eq!(chain.store.transactions_of(&receiver, None, 10).unwrap().len(), 4);
    assert_eq!(chain.store.transactions_of(&Address([200; 20]), None, 10).unwrap(), []);
    let once = chain.store.transactions_of(&sender, None, 1_000).unwrap();
    assert_eq!(once.len(), 24, "a transfer to oneself is listed once");
}

/// A store that was made before there was an index has one once it is opened.
#[test]
fn an_old_store_gets_the_index_when_it_is_opened() {
    let dir = tempfile::tempdir().unwrap();
    let chain = Chain::open(dir.path(), StoreConfig::default());
    (0..5).for_each(|_| drop(chain.advance()));
    let account = chain.account.address();
    let before = chain.store.transactions_of(&account, None, 100).unwrap();
    assert_eq!(before.len(), 5);
    drop(chain);
    {
        let database = redb::Database::open(dir.path().join("ledger.redb")).unwrap();
        let write = database.begin_write().unwrap();
        let index = redb::TableDefinition::<[u8; 32], ()>::new("account-transactions");
        assert!(write.delete_table(index).unwrap());
        let meta = redb::TableDefinition::<&str, &[u8]>::new("meta");
        assert!(write.open_table(meta).unwrap().remove("account-index").unwrap().is_some());
        write.commit().unwrap();
    }
    let chain = Chain::open(dir.path(), StoreConfig::default());
    assert_eq!(chain.store.transactions_of(&account, None, 100).unwrap(), before);
    chain.advance();
    assert_eq!(chain.store.transactions_of(&account, None, 100).unwrap().len(), 6);
}
