//! Changing and retiring sources. Clause S.

use openmesh_ledger::{
    AccountsError, Action, Deposit, DepositsEvent, EpochsParams, FeesEvent, GenesisError, LedgerEvent, Origin, Params,
    SOURCE_FEEDS_MAX, SOURCE_SYMBOLS_MAX, SourceSpec, SourcesAction, SourcesError, SourcesEvent, SourcesParams,
    TransactionError as E, WindowsError, account, current_epoch, deposit, initial_state, keys, retired_source, source,
    source_or_retired, sources, supply,
};
use openmesh_primitives::Amount;

use crate::chain::{BOOK, Chain, FEE, SOURCE, START, TRADES, claim, source as spec};

/// Fee for changes of the register, which weigh more than a transfer.
const PAID: Amount = Amount(10 * FEE.0);

/// Blocks come each second; an epoch is five of them.
fn network() -> Chain {
    let params = Params {
        epochs: EpochsParams { epoch_ms: 5_000, ..EpochsParams::default() },
        sources: SourcesParams { sources_max: 2, ..SourcesParams::default() },
        ..Params::default()
    };
    Chain::new(&[1; 4], params)
}

fn register(chain: &mut Chain, id: &str, nonce: u64) -> Option<E> {
    let action = Action::Sources(SourcesAction::Register(spec(id, Origin::Replay)));
    let bytes = chain.action(0, nonce, Amount::open(1), action);
    chain.run_one(bytes)
}

fn update(chain: &Chain, from: usize, id: &str, nonce: u64, feeds: &[&str]) -> Vec<u8> {
    let (id, symbols) = (id.to_string(), vec!["BTC.USD".to_string()]);
    let feeds = feeds.iter().map(|feed| (*feed).to_string()).collect();
    chain.action(from, nonce, PAID, Action::Sources(SourcesAction::Update { id, symbols, feeds }))
}

fn retire(chain: &Chain, from: usize, id: &str, nonce: u64) -> Vec<u8> {
    chain.action(from, nonce, PAID, Action::Sources(SourcesAction::Retire { id: id.to_string() }))
}

#[test]
fn a_source_of_the_genesis_is_changed_by_the_account_that_the_genesis_names() {
    let mut chain = network();
    let mut genesis = chain.genesis.clone();
    genesis.source_owners.insert(SOURCE.to_string(), chain.accounts[1].address());
    chain.state = initial_state(&genesis).unwrap();
    chain.tip.state_root = crate::chain::root_of(&chain.state);
    let (foreign, own) = (update(&chain, 0, SOURCE, 0, &["trades"]), update(&chain, 1, SOURCE, 0, &["trades"]));
    assert!(matches!(chain.run_one(foreign), Some(E::Sources(SourcesError::NotOwner { .. }))));
    assert_eq!(chain.run_one(own), None);
    chain.run_to(6);
    assert_eq!(
        source(&chain.state, SOURCE).unwrap().unwrap().spec_in(current_epoch(&chain.state).unwrap()).feeds,
        ["trades"]
    );
    genesis.source_owners.insert("nowhere".to_string(), chain.accounts[1].address());
    assert_eq!(genesis.validate(), Err(GenesisError::OwnerOfNothing("nowhere".to_string())));
}

/// Clause FE-6: what is held for a source comes back to whoever registered it when the source leaves the register, and not before.
#[test]
fn a_deposit_comes_back_when_the_source_leaves_the_register() {
    let mut chain = network();
    let owner = chain.accounts[0].address();
    let (key, held) = (keys::source("mine"), chain.genesis.params.sources.source_deposit);
    assert_eq!(register(&mut chain, "mine", 0), None);
    assert_eq!(deposit(&chain.state, &key).unwrap(), Some(Deposit { owner, amount: held }));
    assert_eq!(supply(&chain.state).unwrap().deposits, held);
    let gone = retire(&chain, 0, "mine", 1);
    assert_eq!(chain.run_one(gone), None);
    let before = account(&chain.state, &owner).unwrap().balance;
    let mut events = Vec::new();
    while source(&chain.state, "mine").unwrap().is_some() {
        assert_eq!(deposit(&chain.state, &key).unwrap(), Some(Deposit { owner, amount: held }), "while it is there");
        events = chain.run(vec![]).events;
    }
    let returned = |event: &LedgerEvent| matches!(event, LedgerEvent::Deposits(DepositsEvent::Returned { owner: to, amount, .. }) if *to == owner && *amount == held);
    assert!(events.iter().any(returned), "{events:?}");
    assert_eq!(deposit(&chain.state, &key).unwrap(), None);
    assert_eq!(account(&chain.state, &owner).unwrap().balance, Amount(before.0 + held.0));
    assert_eq!(supply(&chain.state).unwrap().deposits, Amount::ZERO);
}

/// Clause FE-4: a deposit that the balance does not cover refuses the registration, and nothing of it stays.
#[test]
fn a_deposit_is_reserved_with_fee_and_amount() {
    let mut chain = network();
    let owner = chain.accounts[0].address();
    let held = chain.genesis.params.sources.source_deposit;
    // All but the deposit and one unit less than the fee of a registration.
    let left = Amount(held.0 + 4 * FEE.0 - 1);
    let all = account(&chain.state, &owner).unwrap().balance;
    let spent = chain.transfer(0, chain.accounts[1].address(), Amount(all.0 - FEE.0 - left.0), 0);
    assert_eq!(chain.run_one(spent), None);
    let action = Action::Sources(SourcesAction::Register(spec("mine", Origin::Replay)));
    let bytes = chain.action(0, 1, Amount(4 * FEE.0), action);
    let needed = Amount(left.0 + 1);
    let refused = Some(E::Accounts(AccountsError::Overdraft { account: owner, balance: left, needed }));
    assert_eq!(chain.run_one(bytes), refused);
    assert_eq!((account(&chain.state, &owner).unwrap().balance, source(&chain.state, "mine").unwrap()), (left, None));
}

#[test]
fn only_the_owner_changes_a_source_and_the_change_comes_with_an_epoch() {
    let mut chain = network();
    assert_eq!(register(&mut chain, "mine", 0), None);
    let not_owner = |id: &str| Some(E::Sources(SourcesError::NotOwner { id: id.to_string() }));
    let (foreign, genesis) = (update(&chain, 1, "mine", 0, &["trades"]), update(&chain, 0, SOURCE, 1, &["trades"]));
    assert_eq!(chain.run_one(foreign), not_owner("mine"));
    assert_eq!(chain.run_one(genesis), not_owner(SOURCE));
    let unknown = retire(&chain, 0, "nowhere", 1);
    assert!(matches!(chain.run_one(unknown), Some(E::Sources(SourcesError::UnknownSource { .. }))));
    let unsorted = update(&chain, 0, "mine", 1, &["trades", "book"]);
    assert!(matches!(chain.run_one(unsorted), Some(E::Sources(SourcesError::SourceInvalid { .. }))));
    chain.run_to(11);
    assert_eq!(current_epoch(&chain.state).unwrap(), 2, "the source is active");
    let change = update(&chain, 0, "mine", 1, &["candles", "trades"]);
    let execution = chain.run(vec![change]);
    let [
        LedgerEvent::Sources(SourcesEvent::SourceUpdated { id, from_epoch: 3, height: 12 }),
        LedgerEvent::Fees(FeesEvent::Collected { height: 12, .. }),
    ] = execution.events.as_slice()
    else {
        panic!("{:?}", execution.events)
    };
    assert_eq!(id, "mine");
    let record = source(&chain.state, "mine").unwrap().unwrap();
    assert_eq!((record.spec_in(2).feeds.len(), record.spec_in(2).symbols.len()), (2, 2));
    assert_eq!(record.spec_in(3).feeds, ["candles", "trades"]);
    let said = |stream: &str| vec![claim(stream, "x")];
    let new = chain.attest_source(0, "mine", 1, 2, said("BTC.USD/candles"));
    assert!(matches!(chain.run_one(new), Some(E::Windows(WindowsError::UnknownStream { .. }))), "not in this epoch");
    chain.run_to(16);
    let new = chain.attest_source(0, "mine", 1, 3, said("BTC.USD/candles"));
    assert_eq!(chain.run_one(new), None);
    let old = chain.attest_source(1, "mine", 1, 3, said(BOOK));
    assert_eq!(chain.run_one(old), None, "one that has not changed yet is not refused");
}

#[test]
fn a_retired_source_opens_no_window_and_frees_its_place_but_not_its_id() {
    let mut chain = network();
    assert_eq!(register(&mut chain, "mine", 0), None);
    let full = Some(E::Sources(SourcesError::SourcesFull { max: 2 }));
    assert_eq!(register(&mut chain, "other", 1), full);
    chain.run_to(11);
    let (window, epoch) = (1, 2);
    let open = chain.attest_source(0, "mine", window, epoch, vec![claim(TRADES, "t")]);
    assert_eq!(chain.run_one(open), None);
    let gone = retire(&chain, 0, "mine", 1);
    let execution = chain.run(vec![gone]);
    let retired =
        |event: &LedgerEvent| matches!(event, LedgerEvent::Sources(SourcesEvent::SourceRetired { from_epoch: 3, .. }));
    assert!(execution.events.iter().any(retired), "{:?}", execution.events);
    let twice = retire(&chain, 0, "mine", 2);
    assert!(matches!(chain.run_one(twice), Some(E::Sources(SourcesError::SourceRetired { .. }))));
    let still = chain.attest_source(0, "mine", 2, epoch, vec![]);
    assert_eq!(chain.run_one(still), None, "until the epoch ends it goes on");
    chain.run_to(16);
    let late = chain.attest_source(0, "mine", 3, 2, vec![]);
    assert!(matches!(chain.run_one(late), Some(E::Sources(SourcesError::SourceRetired { .. }))));
    let joined = chain.attest_source(1, "mine", window, epoch, vec![claim(TRADES, "t")]);
    assert_eq!(chain.run_one(joined), None, "an open window is finished");
    assert_eq!(register(&mut chain, "other", 2), full, "the place is free an epoch later");
    chain.run_to(21);
    assert_eq!(sources(&chain.state).unwrap().len(), 1);
    assert_eq!(retired_source(&chain.state, "mine").unwrap().and_then(|record| record.retires_from_epoch), Some(3));
    assert_eq!(source_or_retired(&chain.state, SOURCE).unwrap(), source(&chain.state, SOURCE).unwrap());
    assert!(matches!(register(&mut chain, "mine", 2), Some(E::Sources(SourcesError::SourceExists { .. }))));
    assert_eq!(register(&mut chain, "other", 2), None);
}

/// Clause FE-6: the deposit has gone back, so of the longest record only what tells of its windows stays, however long its lists were.
#[test]
fn what_stays_of_a_source_for_ever_is_small() {
    let mut chain = network();
    let id = "i".repeat(32);
    let symbols: Vec<String> = (10..10 + SOURCE_SYMBOLS_MAX).map(|n| format!("S{n}.USD")).collect();
    let feeds: Vec<String> = (10..10 + SOURCE_FEEDS_MAX).map(|n| format!("{}{n}", "f".repeat(30))).collect();
    let exchange = "e".repeat(32);
    let long = SourceSpec { id: id.clone(), exchange, symbols, feeds: feeds.clone(), ..spec("mine", Origin::Replay) };
    let register = chain.action(0, 0, PAID, Action::Sources(SourcesAction::Register(long.clone())));
    assert_eq!(chain.run_one(register), None);
    let feeds: Vec<&str> = feeds[1..].iter().map(String::as_str).collect();
    let changed = update(&chain, 0, &id, 1, &feeds);
    assert_eq!(chain.run_one(changed), None);
    let gone = retire(&chain, 0, &id, 2);
    assert_eq!(chain.run_one(gone), None);
    let before = chain.state[&keys::source(&id)].len();
    while source(&chain.state, &id).unwrap().is_some() {
        chain.run(vec![]);
    }
    let after = chain.state[&keys::retired_source(&id)].len();
    assert!(before > 1_000 && after <= 160, "{before} bytes became {after}");
    let left = source_or_retired(&chain.state, &id).unwrap().unwrap();
    assert_eq!((left.spec.exchange.len(), left.spec.window_ms, left.changed), (32, long.window_ms, None));
    assert_eq!((left.spec.symbols.len(), left.spec.feeds.len()), (0, 0));
}

#[test]
fn a_live_source_has_no_windows_before_its_registration() {
    let mut chain = network();
    let mut genesis = chain.genesis.clone();
    genesis.sources.push(spec("live", Origin::Live));
    chain.state = openmesh_ledger::initial_state(&genesis).unwrap();
    let first = (START.millis() / 10_000) as u64;
    chain.pause_ms(60_000);
    let before = chain.attest_source(0, "live", first - 1, 0, vec![]);
    assert_eq!(chain.run_one(before), Some(E::Windows(WindowsError::WindowPast { first })));
    assert_eq!(chain.run_one(chain.attest_source(0, "live", first, 0, vec![])), None);
}

#[test]
fn a_window_long_before_the_last_one_is_not_opened() {
    let mut chain = network();
    let back = chain.genesis.params.windows.windows_back_max;
    let close = chain.genesis.params.windows.window_close_blocks;
    chain.run((0..4).map(|v| chain.attest(v, back + 100, 0, vec![])).collect());
    chain.run_to(close + 1);
    let epoch = current_epoch(&chain.state).unwrap();
    let far = chain.attest(0, 99, epoch, vec![]);
    assert_eq!(chain.run_one(far), Some(E::Windows(WindowsError::WindowPast { first: 100 })));
    assert_eq!(chain.run_one(chain.attest(0, 100, epoch, vec![])), None);
}

/// Windows that one validator opens alone count until the epoch ends, open or closed, so that it cannot add without end.
#[test]
fn windows_that_nobody_joins_are_bounded_for_each_epoch() {
    let mut chain = network();
    chain.genesis.params.windows.open_windows_max = 3;
    chain.genesis.params.windows.window_close_blocks = 1;
    chain.genesis.params.epochs.epoch_ms = 100_000;
    chain.state = openmesh_ledger::initial_state(&chain.genesis).unwrap();
    for number in 0..3 {
        assert_eq!(chain.run_one(chain.attest(0, number, 0, vec![])), None);
        chain.run(vec![]);
    }
    let more = chain.attest(0, 3, 0, vec![]);
    assert_eq!(chain.run_one(more), Some(E::Windows(WindowsError::OpenWindows { max: 3 })), "though none is open");
    for number in 10..20 {
        let all = (1..4).map(|v| chain.attest(v, number, 0, vec![])).collect();
        assert!(chain.run(all).receipts.iter().all(|receipt| receipt.ok()), "what others join does not count");
        chain.run(vec![]);
    }
    chain.pause_ms(100_000);
    chain.run(vec![]);
    assert_eq!(chain.run_one(chain.attest(0, 3, 1, vec![])), None, "another epoch");
}

#[test]
fn a_validator_without_a_record_is_a_broken_store() {
    use openmesh_ledger::{ExecuteError, StateError, execute_block, keys};
    let chain = network();
    let block = chain.block(vec![]);
    let mut broken = chain.state.clone();
    broken.remove(&keys::validator(&chain.proposer().public().address()));
    assert!(matches!(execute_block(&broken, &block), Err(ExecuteError::State(StateError::Absent(_)))));
}
