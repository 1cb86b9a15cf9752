//! Changing and retiring sources. Clause S.

use openmesh_ledger::{
    AccountsParams, Action, EpochsParams, GenesisError, LedgerEvent, Origin, Params, SourcesAction, SourcesError,
    SourcesEvent, SourcesParams, TransactionError as E, WindowsError, current_epoch, initial_state, retired_source,
    source, sources,
};
use openmesh_primitives::Amount;

use crate::chain::{BOOK, Chain, FEE, SOURCE, START, TRADES, claim, source as spec};

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
    chain.action(from, nonce, FEE, Action::Sources(SourcesAction::Update { id, symbols, feeds }))
}

fn retire(chain: &Chain, from: usize, id: &str, nonce: u64) -> Vec<u8> {
    chain.action(from, nonce, FEE, Action::Sources(SourcesAction::Retire { id: id.to_string() }))
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

#[test]
fn a_registration_costs_the_larger_of_the_two_least_fees() {
    let action = Action::Sources(SourcesAction::Register(spec("mine", Origin::Replay)));
    for (of_all, of_sources) in [(1, 5), (5, 1)] {
        let params = Params {
            accounts: AccountsParams { fee_min: Amount(of_all) },
            sources: SourcesParams { source_fee_min: Amount(of_sources), ..SourcesParams::default() },
            ..Params::default()
        };
        assert_eq!(action.fee_min(&params), Amount(5));
    }
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
    let [LedgerEvent::Sources(SourcesEvent::SourceUpdated { id, from_epoch: 3, height: 12 })] =
        execution.events.as_slice()
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
    assert!(matches!(register(&mut chain, "mine", 2), Some(E::Sources(SourcesError::SourceExists { .. }))));
    assert_eq!(register(&mut chain, "other", 2), None);
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
