//! The supply: whole at the genesis, never more and never less. `docs/spec/supply.md`.

use openmesh_ledger::{
    AccountsAction, Action, Allocation, AllocationError, EpochsParams, FeeOffer, FileFault, Genesis, GenesisError,
    Grant, Origin, POOLS, Params, PoolAmount, SUPPLY_CAP, SourcesAction, StampsAction, StateError, Supply, account,
    check_supply, execute_block, initial_state, keys, pools, supply,
};
use openmesh_primitives::{Address, Amount, Digest, canonical};
use proptest::prelude::*;

use crate::chain::{Chain, FEE, source};

const TO: Address = Address([9; 20]);

/// Histories of the property: a few for every run, all with `make supply`.
fn histories() -> u32 {
    std::env::var("OPENMESH_SUPPLY_HISTORIES").ok().and_then(|text| text.parse().ok()).unwrap_or(200)
}

fn refused(genesis: &Genesis) -> AllocationError {
    match genesis.validate() {
        Err(GenesisError::Allocation(error)) => error,
        other => panic!("{other:?}"),
    }
}

/// Clause SU-2: what accounts have is taken from their pools, and everything else stands in them.
#[test]
fn the_whole_cap_stands_in_pools_and_accounts_at_the_genesis() {
    let mut genesis = Chain::four().genesis;
    let grant = |pool: &str, to, amount| Grant { pool: pool.into(), to, amount };
    let rich = genesis.accounts[0].0;
    genesis.allocation.grants = vec![
        grant("node-operators", TO, Amount::open(7)),
        grant("team", TO, Amount(1)),
        grant("community", rich, Amount::open(2)),
    ];
    let state = initial_state(&genesis).unwrap();
    let stands = supply(&state).unwrap();
    assert_eq!(stands.accounts, Amount(Amount::open(3_009).0 + 1));
    assert_eq!((stands.deposits, stands.burnt, stands.is_whole()), (Amount::ZERO, Amount::ZERO, true));
    assert_eq!(account(&state, &TO).unwrap().balance, Amount(Amount::open(7).0 + 1));
    assert_eq!(account(&state, &rich).unwrap().balance, Amount::open(1_002));
    let left = |name: &str| {
        let found = pools(&state).unwrap().into_iter().find(|(spec, _)| spec.name == name).unwrap();
        (found.1.allocated, Amount(found.1.allocated.0 - found.1.balance.0))
    };
    assert_eq!(left("node-operators"), (Amount::open(200_000_000), Amount::open(7)));
    assert_eq!(left("community"), (Amount::open(80_000_000), Amount::open(3_002)));
    assert_eq!(left("team").1, Amount(1));
    assert_eq!(left("staking").1, Amount::ZERO);
    assert_eq!(check_supply(&state).unwrap(), (SUPPLY_CAP, true));
}

#[test]
fn an_allocation_that_is_not_the_cap_to_the_unit_is_refused() {
    let whole = Chain::four().genesis;
    let with = |change: &dyn Fn(&mut Allocation)| {
        let mut genesis = whole.clone();
        change(&mut genesis.allocation);
        refused(&genesis)
    };
    let less = with(&|a| a.pools[3].amount.0 -= 1);
    assert_eq!(less, AllocationError::Sum { got: Amount(SUPPLY_CAP.0 - 1) });
    assert_eq!(with(&|a| a.pools[0].amount.0 += 1), AllocationError::Sum { got: Amount(SUPPLY_CAP.0 + 1) });
    let huge = with(&|a| a.pools.iter_mut().for_each(|pool| pool.amount = Amount(u128::MAX)));
    assert_eq!(huge, AllocationError::Sum { got: Amount(u128::MAX) }, "a sum that overflows is no sum");
    assert!(matches!(with(&|a| drop(a.pools.pop())), AllocationError::Pools { place: 25, .. }));
    assert!(matches!(with(&|a| a.pools.swap(0, 1)), AllocationError::Pools { place: 1, .. }));
    assert!(matches!(with(&|a| a.pools.push(a.pools[0].clone())), AllocationError::Pools { place: 26, .. }));
    let nameless = PoolAmount { pool: String::new(), amount: Amount(1) };
    let hidden = with(&|a| {
        a.pools[0].amount.0 -= 1;
        a.pools.push(nameless.clone());
    });
    assert!(matches!(hidden, AllocationError::Pools { place: 26, .. }), "the sum is right, the pool is nobody's");
    assert_eq!(with(&|a| a.accounts_from = "mint".into()), AllocationError::Unknown("mint".into()));
    let grant = |pool: &str, amount| Grant { pool: pool.into(), to: TO, amount };
    assert_eq!(with(&|a| a.grants.push(grant("mint", Amount(1)))), AllocationError::Unknown("mint".into()));
    let all = Amount(POOLS[6].amount().0 + 1);
    let overdrawn = with(&|a| a.grants.push(grant("staking", all)));
    assert_eq!(
        overdrawn,
        AllocationError::Overdrawn { pool: "staking".into(), granted: all, amount: POOLS[6].amount() }
    );
    let twice = with(&|a| a.grants.extend([grant("staking", Amount(u128::MAX)), grant("staking", Amount(2))]));
    assert!(matches!(twice, AllocationError::Overdrawn { granted: Amount(u128::MAX), .. }));
    let rich = Genesis { accounts: vec![(TO, Amount::open(80_000_001))], ..whole.clone() };
    assert!(matches!(refused(&rich), AllocationError::Overdrawn { pool, .. } if pool == "community"));
    assert_eq!(whole.validate(), Ok(()));
}

/// A state in which one unit stands somewhere else than it is noted is found, wherever that is.
#[test]
fn one_unit_too_many_anywhere_is_found() {
    let mut chain = Chain::four();
    let action = Action::from(SourcesAction::Register(source("mine", Origin::Replay)));
    let bytes = chain.action(0, 0, Amount::open(1), action);
    assert_eq!(chain.run_one(bytes), None);
    assert_eq!(check_supply(&chain.state).unwrap(), (SUPPLY_CAP, true));
    let changed = |key: Vec<u8>, at: usize| {
        let mut state = chain.state.clone();
        // Amounts are little-endian: the first byte is that of the unit.
        let value = state.get_mut(&key).unwrap();
        value[at] = value[at].wrapping_add(1);
        check_supply(&state).unwrap().1
    };
    let owner = chain.accounts[0].address();
    assert!(!changed(keys::account(&owner), 0));
    assert!(!changed(keys::pool("team"), 16), "the balance stands behind what was allocated");
    assert!(!changed(keys::deposit(&keys::source("mine")), 20), "the amount stands behind the owner");
    for place in 0..4 {
        assert!(!changed(keys::SUPPLY.to_vec(), 16 * place));
    }
    // Two errors that cancel each other out are found as well.
    let mut state = chain.state.clone();
    state.get_mut(&keys::account(&owner)).unwrap()[0] ^= 1;
    state.get_mut(&keys::pool("team")).unwrap()[16] ^= 1;
    assert!(!check_supply(&state).unwrap().1);
}

/// Clause SU-3: a node whose places do not sum stops at the next block, whatever is in it.
#[test]
fn a_block_on_a_broken_supply_is_not_executed() {
    let mut chain = Chain::four();
    let noted = supply(&chain.state).unwrap();
    let broken = Supply { accounts: Amount(noted.accounts.0 + 1), ..noted };
    chain.state.insert(keys::SUPPLY.to_vec(), canonical::encode(&broken));
    for transactions in [vec![chain.transfer(0, TO, Amount(1), 0)], vec![]] {
        let failed = execute_block(&chain.state, &chain.block(transactions));
        let is_supply = |error: &StateError| matches!(error, StateError::Damaged { key, .. } if key == "supply");
        assert!(matches!(&failed, Err(openmesh_ledger::ExecuteError::State(error)) if is_supply(error)), "{failed:?}");
    }
}

/// A step of a history; senders, places and ids are few, so that they meet.
#[derive(Clone, Debug)]
enum Step {
    Transfer { from: usize, to: u8, share: u8 },
    Register { from: usize, id: u8 },
    Update { from: usize, id: u8, feeds: bool },
    Retire { from: usize, id: u8 },
    Stamp { from: usize, hash: u8 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (0..3usize, 0..5u8, any::<u8>()).prop_map(|(from, to, share)| Step::Transfer { from, to, share }),
        2 => (0..3usize, 0..3u8).prop_map(|(from, id)| Step::Register { from, id }),
        1 => (0..3usize, 0..3u8, any::<bool>()).prop_map(|(from, id, feeds)| Step::Update { from, id, feeds }),
        2 => (0..3usize, 0..3u8).prop_map(|(from, id)| Step::Retire { from, id }),
        2 => (0..3usize, 0..3u8).prop_map(|(from, hash)| Step::Stamp { from, hash }),
    ]
}

/// Highest fee and tip, in eighths of the least base fee of a transfer.
fn offers() -> impl Strategy<Value = (u16, u16)> {
    prop_oneof![4 => (32..400u16, 0..64u16), 2 => (200..800u16, 0..64u16), 1 => (0..64u16, 0..400u16)]
}

type Block = (Vec<(Step, (u16, u16))>, bool);

fn history() -> impl Strategy<Value = Vec<Block>> {
    prop::collection::vec((prop::collection::vec((step(), offers()), 0..5), any::<bool>()), 1..8)
}

/// A network in which blocks fill quickly, deposits are worth something, an epoch is two blocks, and stamps stay for one.
fn busy() -> Chain {
    let mut params =
        Params { epochs: EpochsParams { epoch_ms: 2_000, ..EpochsParams::default() }, ..Params::default() };
    // Four stamps, the most that a block of a history has.
    params.blocks.block_transactions_max = 100;
    params.sources.source_deposit = Amount::open(300);
    (params.stamps.stamp_deposit, params.stamps.stamps_kept_epochs) = (Amount::open(70), 1);
    Chain::new(&[1], params)
}

fn action_of(chain: &Chain, step: &Step) -> (usize, Action) {
    let named = |id: u8| format!("source-{id}");
    match step {
        Step::Transfer { from, to, share } => {
            let balance = account(&chain.state, &chain.accounts[*from].address()).unwrap().balance;
            let amount = Amount(balance.0 / 200 * u128::from(*share));
            let to = chain.accounts.get(usize::from(*to)).map_or(Address([*to; 20]), |key| key.address());
            (*from, AccountsAction::Transfer { to, amount }.into())
        }
        Step::Register { from, id } => (*from, SourcesAction::Register(source(&named(*id), Origin::Replay)).into()),
        Step::Update { from, id, feeds } => {
            let feeds = if *feeds { vec!["book".to_string()] } else { vec!["trades".to_string()] };
            let symbols = vec!["BTC.USD".to_string()];
            (*from, SourcesAction::Update { id: named(*id), symbols, feeds }.into())
        }
        Step::Retire { from, id } => (*from, SourcesAction::Retire { id: named(*id) }.into()),
        Step::Stamp { from, hash } => {
            let (hash, topic) = (Digest([*hash; 32]), "history".to_string());
            (*from, StampsAction::Stamp { hash, topic, note: String::new() }.into())
        }
    }
}

fn transactions(chain: &Chain, steps: &[(Step, (u16, u16))]) -> Vec<Vec<u8>> {
    let mut nonces: Vec<u64> =
        chain.accounts.iter().map(|key| account(&chain.state, &key.address()).unwrap().nonce).collect();
    let mut made = Vec::new();
    for (step, (max_fee, tip)) in steps {
        let (from, action) = action_of(chain, step);
        let eighths = |n: &u16| Amount(FEE.0 / 8 * u128::from(*n));
        made.push(chain.action(from, nonces[from], FeeOffer::new(eighths(max_fee), eighths(tip)), action));
        // It may be refused: then what this sender sends after it in this block is refused as well.
        nonces[from] += 1;
    }
    made
}

proptest! {
    #![proptest_config(ProptestConfig { cases: histories(), ..ProptestConfig::default() })]

    /// After every block of every history pools, accounts, deposits and what was burnt are the cap, to the unit, counted
    /// account by account; burnt only grows; and what was burnt is what the receipts say.
    #[test]
    fn nothing_is_made_or_lost_in_any_history(history in history()) {
        let mut chain = busy();
        let mut burnt = 0;
        for (steps, pauses) in &history {
            if *pauses {
                chain.pause_ms(2_000);
            }
            // The chain counts the whole supply after each block.
            let made = transactions(&chain, steps);
            let execution = chain.run(made);
            burnt += execution.receipts.iter().map(|receipt| receipt.fee.0 - receipt.tip.0).sum::<u128>();
            let stands = supply(&chain.state).unwrap();
            prop_assert!(stands.is_whole());
            prop_assert_eq!(stands.burnt.0, burnt);
        }
    }
}

/// A file with grants in several pools.
fn file() -> String {
    let mut allocation = Allocation::default();
    let grant = |pool: &str, to: u8, amount| Grant { pool: pool.into(), to: Address([to; 20]), amount };
    allocation.grants = vec![
        grant("node-operators", 1, Amount::open(10_000)),
        grant("node-operators", 2, Amount(1)),
        grant("early-validators", 1, Amount::open(80_000_000)),
        grant("operations", 3, Amount(Amount::open(5).0 / 2)),
    ];
    allocation.to_file()
}

#[test]
fn a_file_is_read_as_it_was_written() {
    assert_eq!(Allocation::from_file(&Allocation::default().to_file()), Ok(Allocation::default()));
    let text = file();
    let read = Allocation::from_file(&text).unwrap();
    assert_eq!((read.to_file(), read.grants.len()), (text.clone(), 4));
    let genesis = Genesis { allocation: read, ..Chain::four().genesis };
    assert!(check_supply(&initial_state(&genesis).unwrap()).unwrap().1);
    let spaced = text.replace("\nsupply", "\n\n\t supply").replace('\n', "  # note\r\n");
    assert_eq!(Allocation::from_file(&spaced).map(|read| read.grants.len()), Ok(4), "blanks and notes mean nothing");
}

/// Clause SU-4: each kind of fault at its own line.
#[test]
fn a_file_that_does_not_sum_is_refused_with_the_line() {
    let text = file();
    let line = |needle: &str| text.lines().position(|line| line.contains(needle)).unwrap() + 1;
    let failed = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        let error = Allocation::from_file(&text.replacen(from, to, 1)).unwrap_err();
        assert!(error.to_string().starts_with(&format!("line {}: ", error.line)));
        (error.line, error.fault)
    };
    let (at, fault) = failed("supply 1000000000", "supply 1000000001");
    assert_eq!((at, fault), (2, FileFault::Cap(Amount::open(1_000_000_001))));
    let (at, fault) = failed("pool staking 10000000", "pool staking 10000000.000000000000000001");
    assert_eq!(at, line("group core"), "a sum that is wrong is told where it stands");
    assert!(fault.to_string().contains("0.000000000000000001 OPEN too much"), "{fault}");
    let (at, fault) = failed("group research 320000000", "group research 320000001");
    assert_eq!(at, line("group research"));
    assert!(fault.to_string().contains("1 OPEN too little"), "{fault}");
    // Pools and group agree, and the groups are too much.
    let more = text.replacen("pool reserve 30000000", "pool reserve 30000001", 1);
    let more = more.replacen("group reserves 120000000", "group reserves 120000001", 1);
    let error = Allocation::from_file(&more).unwrap_err();
    assert!(matches!((error.line, error.fault), (2, FileFault::Groups { .. })));
    let (at, fault) = failed("pool team", "pool teams");
    assert_eq!(at, line("pool team "));
    assert!(matches!(fault, FileFault::Order { expected, got } if expected == "pool team" && got == "pool teams"));
    let (at, fault) = failed("grant 0x", "grant x0");
    assert_eq!((at, matches!(fault, FileFault::Address(_))), (line("grant"), true));
    let (_, fault) = failed(" 80000000\n    grant", " 79999999\n    grant");
    assert!(matches!(fault, FileFault::Overdrawn { pool: "early-validators", .. }));
    for (from, to, expected) in [
        ("pool team 200000000", "pool team -1", "is not an amount"),
        ("pool team 200000000", "pool team 1e9", "is not an amount"),
        ("pool team 200000000", "pool team 0.0000000000000000001", "is not an amount"),
        ("pool team 200000000", "pool team 999999999999999999999999999999999999", "is not an amount"),
        ("pool team 200000000", "pool team", "is expected"),
        ("pool team 200000000", "poll team 200000000", "is expected"),
        ("group research", "group core", "stands where the tree has \"group research\""),
        ("supply 1000000000", "", "first line is supply"),
    ] {
        let (_, fault) = failed(from, to);
        assert!(fault.to_string().contains(expected), "{to}: {fault}");
    }
    let cut = text.split("\n# Fundraising").next().unwrap();
    let error = Allocation::from_file(cut).unwrap_err();
    let kept: Vec<&str> = cut.lines().collect();
    assert_eq!(error.line, kept.iter().rposition(|line| !line.trim().is_empty()).unwrap() + 1);
    assert!(error.fault.to_string().contains("group reserves"));
    let empty = Allocation::from_file("").unwrap_err();
    assert_eq!((empty.line, empty.fault), (1, FileFault::Supply));
}

/// A change of one line of a file that makes it wrong. `None`: the line says nothing that can be wrong so.
fn mutated(lines: &[String], at: usize, kind: u32, extra: u64) -> Option<Vec<String>> {
    let mut lines = lines.to_vec();
    let words: Vec<String> = lines[at].split_whitespace().map(str::to_string).collect();
    let first = words.first().map(String::as_str).unwrap_or("#");
    if first.starts_with('#') {
        return None;
    }
    let is_grant = first == "grant";
    match kind {
        // Another amount: a grant may have another one as long as the pool has it.
        0 if is_grant => lines[at] = format!("grant {} {}", words[1], 80_000_001 + u128::from(extra) + 120_000_000),
        0 => {
            let (name, amount) = (&words[..words.len() - 1], words[words.len() - 1].parse::<u64>().ok()?);
            let other = if extra.is_multiple_of(2) { amount + 1 + extra % 1_000 } else { amount - 1 - extra % 1_000 };
            lines[at] = format!("{} {other}", name.join(" "));
        }
        // A line that is gone: a grant may be left out.
        1 if is_grant => return None,
        1 => drop(lines.remove(at)),
        2 => lines.insert(at, lines[at].clone()),
        // A letter of the name or address that is another one.
        3 if words.len() > 2 => {
            let mut letters: Vec<char> = words[1].chars().collect();
            let place = extra as usize % letters.len();
            letters[place] = if letters[place] == '!' { '?' } else { '!' };
            lines[at] = format!("{} {} {}", words[0], letters.iter().collect::<String>(), words[2]);
        }
        4 => lines[at] = format!("{} {extra}", lines[at]),
        5 => lines[at] = format!("{} {}x", words[..words.len() - 1].join(" "), words[words.len() - 1]),
        // Lines that change places: grants of one pool may.
        _ => {
            let other = extra as usize % lines.len();
            let moved = lines[other].trim_start().starts_with("pool") || lines[other].trim_start().starts_with("group");
            if is_grant || !moved || other == at {
                return None;
            }
            lines.swap(at, other);
        }
    }
    Some(lines)
}

/// Ten thousand files with one line that is not as it must be: each is refused, at a line that it has.
#[test]
fn ten_thousand_mutated_files_are_refused_with_the_line() {
    let lines: Vec<String> = file().lines().map(str::to_string).collect();
    let (mut state, mut made) = (7u64, 0);
    let mut random = || {
        // Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    };
    while made < 10_000 {
        let (at, kind, extra) = (random() as usize % lines.len(), random() as u32 % 7, random() >> 1);
        let Some(mutated) = mutated(&lines, at, kind, extra) else { continue };
        let text = mutated.join("\n");
        match Allocation::from_file(&text) {
            Ok(_) => panic!("kind {kind} at line {} was taken:\n{text}", at + 1),
            Err(error) => assert!((1..=mutated.len()).contains(&error.line), "{error}"),
        }
        made += 1;
    }
}
