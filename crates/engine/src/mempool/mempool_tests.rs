//! Tests of the mempool on a real store: what costs a look, what costs a signature check, and what has no room.

use openmesh_ledger::{
    AccountTransaction, AccountsAction, AccountsError, Action, Genesis, GenesisValidator, HEADER_VERSION, Origin,
    Overlay, Params, RuleSet, SourceKind, SourceSpec, SourcesAction, SourcesParams, StampsAction, StateRead,
    Transaction, TransactionError, UpgradeBallot, UpgradePlan, UpgradeVote, rules_in_force,
};
use openmesh_primitives::{AccountKey, Amount, ValidatorKey, sha256};
use prometheus_client::registry::Registry;
use tempfile::TempDir;

use super::*;
use crate::admission::AdmissionLimits;
use crate::chain::Chain;

const NOW: Timestamp = Timestamp(1_000_000_000_000);

fn validator() -> ValidatorKey {
    ValidatorKey::from_seed([1; 32])
}

fn account_key(n: u8) -> AccountKey {
    AccountKey::from_bytes([n; 32]).unwrap()
}

fn signed(key: &AccountKey, nonce: u64, fee: Amount, amount: u128) -> Transaction {
    let action = Action::Accounts(AccountsAction::Transfer { to: Address([9; 20]), amount: Amount(amount) });
    Transaction::Account(AccountTransaction::sign(key, 1, nonce, fee, action).unwrap())
}

fn transfer(n: u8, nonce: u64) -> Transaction {
    signed(&account_key(n), nonce, Params::default().accounts.fee_min, 1)
}

fn open(dir: &TempDir) -> (Store, Mempool) {
    open_with(dir, Params::default())
}

fn open_with(dir: &TempDir, params: Params) -> (Store, Mempool) {
    let public_key = validator().public();
    let genesis = Genesis {
        chain_id: 1,
        name: "test".to_owned(),
        time: Timestamp(1),
        validators: vec![GenesisValidator { public_key, power: 1, name: String::new(), payout: None }],
        accounts: (1..4).map(|n| (account_key(n).address(), Amount::open(1))).collect(),
        sources: vec![],
        source_owners: Default::default(),
        allocation: Default::default(),
        params,
    };
    let store = Store::open(dir.path()).unwrap();
    store.initialise(&genesis).unwrap();
    (store.clone(), mempool(&store, MempoolConfig::default()))
}

fn mempool(store: &Store, limits: MempoolConfig) -> Mempool {
    mempool_under(RuleSets::built_in(), store, limits)
}

fn mempool_under(sets: RuleSets, store: &Store, limits: MempoolConfig) -> Mempool {
    let (own, metrics) = (validator().public().address(), Metrics::register(&mut Registry::default()));
    Mempool::under(sets, limits, Some(own), store.clone(), mpsc::channel(64).0, metrics)
}

fn take(mempool: &Mempool, transaction: impl Into<Submission>) -> Outcome {
    mempool.admit_blocking(vec![transaction.into()], WorkClass::Api).remove(0)
}

/// A chain that has committed the mempool's candidates.
fn commit(store: &Store, mempool: &Mempool) -> Arc<CommittedBlock> {
    commit_under(RuleSets::built_in(), store, mempool)
}

fn commit_under(sets: RuleSets, store: &Store, mempool: &Mempool) -> Arc<CommittedBlock> {
    let metrics = Metrics::register(&mut Registry::default());
    let address = validator().public().address();
    let blocks = tokio::sync::broadcast::Sender::new(1);
    let propose = Duration::from_secs(1);
    let chain = Chain::new(store.clone(), mempool.clone(), Some(validator()), propose, blocks, metrics);
    let mut chain = chain.under(sets);
    let height = store.tip().height + 1;
    let built = chain.build(height, 0, NOW).unwrap().unwrap();
    let sign_bytes = openmesh_ledger::precommit_sign_bytes(1, height, 0, &built.id, &address);
    let signatures = vec![(address, validator().sign(&sign_bytes))];
    let committed =
        chain.commit(openmesh_ledger::Certificate { height, round: 0, block_hash: built.id, signatures }).unwrap();
    mempool.recheck(&committed).unwrap();
    committed
}

#[test]
fn a_replayed_old_transaction_costs_a_look_and_no_signature() {
    let dir = TempDir::new().unwrap();
    let (store, first) = open(&dir);
    let transaction = transfer(1, 0);
    take(&first, transaction.encode()).unwrap();
    assert_ne!(first.check_cost(), CHECK_COST_GUESS, "its signature was checked");
    commit(&store, &first);
    assert_eq!(take(&first, transaction.encode()), Err(PoolError::Known.into()));
    // Much later, or after a restart, the memory of what was committed just now is gone.
    let later = mempool(&store, MempoolConfig::default());
    let replayed = later.admit_blocking(vec![transaction.encode().into(); 3], WorkClass::Gossip);
    assert_eq!(replayed, vec![Err(PoolError::Committed { height: 1 }.into()); 3]);
    assert_eq!(later.check_cost(), CHECK_COST_GUESS, "no signature was looked at");
}

#[test]
fn a_signature_that_was_verified_for_a_block_is_not_verified_again() {
    let dir = TempDir::new().unwrap();
    let (_, mempool) = open(&dir);
    let transaction = transfer(1, 0);
    let verified = Arc::new(openmesh_ledger::verify_stateless(&transaction.encode()).unwrap());
    let hashes = [verified.hash()];
    assert!(mempool.verified_before(&hashes)[0].is_none());
    mempool.remember([&verified].into_iter());
    assert_eq!(mempool.verified_before(&hashes)[0].as_ref(), Some(&verified));
    assert!(mempool.verified(&hashes)[0].is_none(), "it does not wait here");
    assert_eq!(take(&mempool, transaction.encode()), Ok(verified.hash()));
    assert_eq!(mempool.check_cost(), CHECK_COST_GUESS, "no signature was looked at");
}

#[test]
fn decoded_transactions_are_the_same_as_their_bytes() {
    let dir = TempDir::new().unwrap();
    let (_, mempool) = open(&dir);
    let transaction = transfer(1, 0);
    let hash = take(&mempool, transaction.clone()).unwrap();
    assert_eq!(hash, sha256(&[&transaction.encode()]));
    assert_eq!(take(&mempool, transaction.encode()), Err(PoolError::Known.into()));
    let Transaction::Account(mut forged) = transfer(1, 1) else { panic!() };
    forged.nonce = 2;
    // Signed for another nonce, it is somebody else's: the key that comes out has no account.
    assert!(matches!(take(&mempool, Transaction::Account(forged)), Err(SubmitError::Refused(_))));
}

#[test]
fn a_queue_ahead_of_its_turn_must_be_affordable_as_a_whole() {
    let dir = TempDir::new().unwrap();
    let (_, mempool) = open(&dir);
    // Each alone is affordable: a third of the balance.
    let third = Amount(Amount::open(1).0 / 3);
    let results: Vec<Outcome> =
        (1..1_000).map(|nonce| take(&mempool, signed(&account_key(1), nonce, third, 0))).collect();
    assert_eq!(results.iter().filter(|r| r.is_ok()).count(), 3);
    assert!(matches!(results[3], Err(SubmitError::Pool(PoolError::Overdrawn { .. }))), "{:?}", results[3]);
    assert_eq!((mempool.load().transactions, mempool.load().ahead), (3, 3));
    // A little too far ahead is refused as ever.
    let far = take(&mempool, transfer(2, 5_000));
    assert!(matches!(far, Err(SubmitError::Refused(TransactionError::Accounts(AccountsError::NonceGap { .. })))));
}

/// It would take room in every pool, and go only when its turn has come.
#[test]
fn what_is_malformed_does_not_wait_for_its_turn() {
    let dir = TempDir::new().unwrap();
    let (_, mempool) = open(&dir);
    let stamp =
        |note: &str| StampsAction::Stamp { hash: Digest([1; 32]), topic: "drill".to_owned(), note: note.to_owned() };
    let update = |id: &str, symbols: &[&str]| SourcesAction::Update {
        id: id.to_owned(),
        symbols: symbols.iter().map(|symbol| (*symbol).to_owned()).collect(),
        feeds: vec!["trades".to_owned()],
    };
    let long = "x".repeat(100_000);
    let cases: [(Action, Option<&str>); 7] = [
        (stamp("a word").into(), None),
        (stamp(&long).into(), Some("stamp_note_length")),
        // Nobody knows yet whether there is such a source when its turn comes.
        (update("later", &["BTC.USD"]).into(), None),
        (update("later", &[]).into(), None),
        (update("later", &[long.as_str()]).into(), Some("source_invalid")),
        (update(&long, &["BTC.USD"]).into(), Some("source_invalid")),
        (SourcesAction::Retire { id: long.clone() }.into(), Some("unknown_source")),
    ];
    for (nonce, (action, expected)) in (1..).zip(cases) {
        let fee = Amount(25 * Params::default().accounts.fee_min.0);
        let signed = AccountTransaction::sign(&account_key(1), 1, nonce, fee, action).unwrap();
        let code = match take(&mempool, Transaction::Account(signed)) {
            Ok(_) => None,
            Err(SubmitError::Refused(error)) => Some(error.code()),
            Err(other) => panic!("{nonce}: {other}"),
        };
        assert_eq!(code, expected, "{nonce}");
    }
    assert_eq!(mempool.load().transactions, 3);
}

/// Otherwise it would be as old as the chain, and go with the next look for what is too old.
#[test]
fn what_comes_before_the_first_block_of_a_run_is_new() {
    let dir = TempDir::new().unwrap();
    let (store, first) = open(&dir);
    take(&first, transfer(1, 0)).unwrap();
    commit(&store, &first);
    let later = mempool(&store, MempoolConfig { blocks_max: 1, ..MempoolConfig::default() });
    take(&later, transfer(1, 5)).unwrap();
    let expired_after = |height| {
        let mut pool = later.pool();
        pool.committed(height, []);
        pool.expire()
    };
    assert_eq!((expired_after(2), expired_after(3)), (0, 1));
}

/// Its nonce would be free in the state before the block, and nobody would look at it again.
#[test]
fn what_was_checked_before_a_block_is_checked_again_after_it() {
    let dir = TempDir::new().unwrap();
    let (store, first) = open(&dir);
    let before = first.snapshot().unwrap();
    // Another node's client has used the nonce, and the pool has taken the block in.
    let second = mempool(&store, MempoolConfig::default());
    take(&second, signed(&account_key(1), 0, Params::default().accounts.fee_min, 2)).unwrap();
    let committed = commit(&store, &second);
    first.committed(&committed);
    first.recheck(&committed).unwrap();
    let late = first.take(&before, transfer(1, 0).into(), true);
    let used = |error: &TransactionError| matches!(error, TransactionError::Accounts(AccountsError::NonceLow { .. }));
    assert!(matches!(&late, Err(SubmitError::Refused(error)) if used(error)), "{late:?}");
    assert_eq!(first.load().transactions, 0);
    first.take(&before, transfer(1, 1).into(), true).unwrap();
    assert_eq!((first.load().transactions, first.load().ahead), (1, 0), "it is the next one by now");
}

#[test]
fn what_an_account_cannot_pay_any_more_waits_no_more() {
    let dir = TempDir::new().unwrap();
    let (store, first) = open(&dir);
    let fee = Params::default().accounts.fee_min;
    for nonce in 0..4 {
        take(&first, signed(&account_key(1), nonce, fee, 1)).unwrap();
    }
    // Another node's client spends with the first nonce nearly everything: two more fees are left, with some change.
    let second = mempool(&store, MempoolConfig::default());
    take(&second, signed(&account_key(1), 0, fee, Amount::open(1).0 - 3 * fee.0 - 10)).unwrap();
    let committed = commit(&store, &second);
    assert!(committed.receipts.len() == 1 && committed.receipts[0].ok());
    first.committed(&committed);
    assert_eq!(first.load().transactions, 3, "the nonce that was used is gone at once");
    first.recheck(&committed).unwrap();
    assert_eq!(first.load().transactions, 2, "and what cannot be paid for when the block was looked at");
}

/// The block has nothing of the second account, and is not empty: what it has made invalid must go all the same, or it would be a
/// candidate for every block as long as anything else goes in.
#[test]
fn what_somebody_else_has_made_invalid_waits_no_more() {
    let dir = TempDir::new().unwrap();
    let sources = SourcesParams { source_deposit: Amount::ZERO, ..SourcesParams::default() };
    let (store, mempool) = open_with(&dir, Params { sources, ..Params::default() });
    let spec = SourceSpec {
        id: "kraken".to_owned(),
        exchange: "kraken".to_owned(),
        kind: SourceKind::Market,
        symbols: vec!["BTC.USD".to_owned()],
        feeds: vec!["trades".to_owned()],
        window_ms: 10_000,
        origin: Origin::Live,
    };
    for (n, fees) in [(1, 8), (2, 4)] {
        let fee = Amount(Params::default().accounts.fee_min.0 * fees);
        let action = SourcesAction::Register(spec.clone()).into();
        let signed = AccountTransaction::sign(&account_key(n), 1, 0, fee, action).unwrap();
        take(&mempool, Transaction::Account(signed)).unwrap();
    }
    take(&mempool, transfer(2, 1)).unwrap();
    assert_eq!(mempool.load().transactions, 3);
    let committed = commit(&store, &mempool);
    assert_eq!(committed.receipts.len(), 1, "the better paid registration alone");
    assert_eq!(mempool.load().transactions, 0, "the other one has lost its name, and what stands behind it its turn");
}

fn nothing(_: &mut Overlay<&dyn StateRead>) -> Result<(), StateError> {
    Ok(())
}

/// Clause U5 of `docs/spec/upgrades.md`: what waits is checked by the new rules, also where the block after the first one of theirs is
/// there before anybody has looked.
#[test]
fn what_the_new_rules_do_not_have_waits_no_more() {
    const WITHOUT_TRANSFERS: RuleSet = RuleSet {
        version: 2,
        name: "without transfers",
        changes: &[],
        header_version: HEADER_VERSION,
        adds: &[],
        removes: &[0],
        migrate: nothing,
        registered: None,
    };
    let dir = TempDir::new().unwrap();
    let (store, _) = open(&dir);
    let sets = RuleSets::built_in().with(WITHOUT_TRANSFERS).unwrap();
    let pool = || mempool_under(sets.clone(), &store, MempoolConfig::default());
    let (waits, proposes) = (pool(), pool());
    let block = |vote: Option<UpgradeVote>| {
        let number = store.tip().height;
        if let Some(vote) = vote {
            take(&proposes, Transaction::Upgrade(UpgradeBallot::sign(&validator(), 1, number, vote))).unwrap();
        }
        commit_under(sets.clone(), &store, &proposes)
    };
    let plan = UpgradePlan { version: 2, height: 2, release: "r".to_owned(), digest: Digest([2; 32]) };
    let first = block(Some(UpgradeVote::Approve(plan)));
    take(&waits, transfer(1, 0)).unwrap();
    waits.recheck(&first).unwrap();
    assert_eq!(waits.load().transactions, 1, "under the old rules it may wait");
    let second = block(Some(UpgradeVote::Ready { version: 7 }));
    let third = block(None);
    assert_eq!(rules_in_force(&store.state().unwrap()).unwrap().since, 2);
    assert!(second.receipts.iter().all(openmesh_ledger::Receipt::ok) && third.receipts.is_empty());
    waits.recheck(&second).unwrap();
    assert_eq!(waits.load().transactions, 0, "its action is gone");
    let refused = take(&waits, transfer(1, 0));
    assert!(matches!(refused, Err(SubmitError::Refused(TransactionError::Upgrades(_)))), "{refused:?}");
}

#[tokio::test]
async fn an_envelope_is_left_at_the_first_wrong_signature() {
    let dir = TempDir::new().unwrap();
    let (_, mempool) = open(&dir);
    let mut list: Vec<Submission> = vec![transfer(1, 0).into(), vec![7; 9].into()];
    list.extend((0..500).map(|nonce| Submission::from(transfer(2, nonce))));
    let outcomes = mempool.admit(list.clone(), WorkClass::Gossip).await.unwrap();
    assert_eq!((outcomes.len(), mempool.load().transactions), (2, 1));
    // A client's batch has a result for each.
    let outcomes = mempool.admit(list, WorkClass::Api).await.unwrap();
    assert_eq!(outcomes.len(), 502);
    assert_eq!(mempool.load().transactions, 501);
}

#[tokio::test]
async fn clients_and_peers_that_fill_their_classes_leave_room_for_our_own() {
    let dir = TempDir::new().unwrap();
    let (store, _) = open(&dir);
    let admission = AdmissionLimits { api_places_max: 1, gossip_places_max: 1, ..AdmissionLimits::default() };
    let mempool = mempool(&store, MempoolConfig { admission, ..MempoolConfig::default() });
    let gate = mempool.admission();
    let held = [gate.enter(WorkClass::Api, 1).unwrap(), gate.enter(WorkClass::Gossip, 1).unwrap()];
    assert_eq!(mempool.admit_one(transfer(1, 0).into(), WorkClass::Api).await, Err(SubmitError::Busy));
    assert_eq!(mempool.admit(vec![transfer(1, 0).into()], WorkClass::Gossip).await, Err(SubmitError::Busy));
    mempool.admit_one(transfer(1, 0).into(), WorkClass::Own).await.unwrap();
    drop(held);
    mempool.admit_one(transfer(2, 0).into(), WorkClass::Api).await.unwrap();
}
