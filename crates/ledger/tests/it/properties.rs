//! Properties over random histories.

use std::collections::BTreeSet;

use openmesh_ledger::{
    AccountsAction, Action, Block, EpochsParams, IncidentKind, Params, WindowsParams, account, check_supply,
    execute_block, window,
};
use openmesh_primitives::{Address, Amount, ContentId};
use proptest::prelude::*;

use crate::chain::{BOOK, Chain, FEE, SOURCE, TRADES, accepted, claim, incidents};

/// A transaction to be made when its turn comes, with the sender's right nonce plus an error.
#[derive(Clone, Debug)]
enum Step {
    Transfer { from: usize, to: u8, share: u8, nonce_error: u64, fee: u8 },
    Attest { validator: usize, window: u64, data: u8 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..3usize, 0..5u8, any::<u8>(), prop_oneof![8 => Just(0u64), 1 => 1..3u64], 0..4u8)
            .prop_map(|(from, to, share, nonce_error, fee)| Step::Transfer { from, to, share, nonce_error, fee }),
        (0..4usize, 0..6u64, 0..3u8).prop_map(|(validator, window, data)| Step::Attest { validator, window, data }),
    ]
}

fn history() -> impl Strategy<Value = Vec<Vec<Step>>> {
    prop::collection::vec(prop::collection::vec(step(), 0..8), 1..12)
}

/// Makes a block's transactions: attestations first, nonces as they will be if all goes well.
fn transactions(chain: &Chain, steps: &[Step]) -> Vec<Vec<u8>> {
    let mut nonces: Vec<u64> =
        chain.accounts.iter().map(|key| account(&chain.state, &key.address()).unwrap().nonce).collect();
    let epoch = openmesh_ledger::current_epoch(&chain.state).unwrap();
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for step in steps {
        match step {
            Step::Attest { validator, window, data } => {
                let chunks = vec![claim(TRADES, &data.to_string()), claim(BOOK, "b")];
                first.push(chain.attest(*validator, *window, epoch, chunks));
            }
            Step::Transfer { from, to, share, nonce_error, fee } => {
                let balance = account(&chain.state, &chain.accounts[*from].address()).unwrap().balance;
                let amount = Amount(balance.0 / 128 * u128::from(*share));
                let to = chain.accounts.get(usize::from(*to)).map_or(Address([*to; 20]), |key| key.address());
                let action = Action::Accounts(AccountsAction::Transfer { to, amount });
                second.push(chain.action(*from, nonces[*from] + nonce_error, Amount(FEE.0 * u128::from(*fee)), action));
                nonces[*from] += u64::from(*nonce_error == 0);
            }
        }
    }
    let mut seen = BTreeSet::new();
    first.into_iter().chain(second).filter(|bytes| seen.insert(bytes.clone())).collect()
}

fn small() -> Params {
    Params {
        epochs: EpochsParams { epoch_ms: 3_000, ..EpochsParams::default() },
        windows: WindowsParams { window_close_blocks: 2, ..WindowsParams::default() },
        ..Params::default()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Money is neither made nor lost, the result does not depend on anything but state and block, and refused
    /// transactions leave no trace in accounts.
    #[test]
    fn supply_and_determinism(history in history()) {
        let mut chain = Chain::new(&[1, 1, 1, 1], small());
        let (total, whole) = check_supply(&chain.state).unwrap();
        prop_assert!(whole);
        for steps in &history {
            let block: Block = chain.block(transactions(&chain, steps));
            let once = execute_block(&chain.state, &block).unwrap();
            let copy = chain.state.clone();
            prop_assert_eq!(&once, &execute_block(&copy, &block).unwrap());
            let accepted = once.receipts.iter().filter(|r| r.ok() && r.nonce.is_some()).count() as u64;
            let nonces = |chain: &Chain| -> u64 {
                chain.accounts.iter().map(|key| account(&chain.state, &key.address()).unwrap().nonce).sum()
            };
            let before = nonces(&chain);
            prop_assert_eq!(chain.commit(&block), once);
            prop_assert_eq!(nonces(&chain) - before, accepted);
            prop_assert_eq!(check_supply(&chain.state).unwrap(), (total, true));
        }
    }

    /// In whatever order and blocks the attestations come, as long as the window is open: the same CIDs are accepted
    /// and the same validators are named.
    #[test]
    fn order_does_not_matter(
        powers in prop::collection::vec(1..20u64, 4..8),
        said in prop::collection::vec((0..3u8, any::<bool>()), 8),
        order in Just((0..8usize).collect::<Vec<_>>()).prop_shuffle(),
        cuts in prop::collection::vec(any::<bool>(), 8),
    ) {
        let outcome = |order: &[usize], cuts: &[bool]| {
            let mut chain = Chain::new(&powers, Params { windows: WindowsParams { window_close_blocks: 20, ..WindowsParams::default() }, ..Params::default() });
            let mut events = Vec::new();
            let mut block = Vec::new();
            for (at, v) in order.iter().filter(|v| **v < powers.len()).enumerate() {
                let (data, book) = said[*v];
                let mut chunks = vec![claim(TRADES, &data.to_string())];
                chunks.extend(book.then(|| claim(BOOK, "b")));
                block.push(chain.attest(*v, 1, 0, chunks));
                if cuts[at] {
                    events.extend(chain.run(std::mem::take(&mut block)).events);
                }
            }
            events.extend(chain.run(block).events);
            events.extend(chain.run_to(30));
            let mut chunks = accepted(&events);
            let mut named = incidents(&events);
            chunks.sort();
            named.sort_by_key(|(kind, stream, who)| (*kind as u8, stream.clone(), *who));
            (chunks, named)
        };
        let in_order: Vec<usize> = (0..8).collect();
        prop_assert_eq!(outcome(&order, &cuts), outcome(&in_order, &[false; 8]));
    }

    /// Liars with less than a third of the assigned power, who may alter, invent and omit as they like and agree with
    /// each other, never get a CID accepted and are always named, while nobody honest is.
    #[test]
    fn liars_below_a_third_are_outvoted_and_named(
        powers in prop::collection::vec(1..20u64, 4..8),
        lies in prop::collection::vec(0..4u8, 8),
        candidates in Just((0..8usize).collect::<Vec<_>>()).prop_shuffle(),
        order in Just((0..8usize).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let total: u64 = powers.iter().sum();
        let mut liars = BTreeSet::new();
        let mut power = 0;
        for v in candidates.into_iter().filter(|v| *v < powers.len()) {
            if (power + powers[v]) * 3 < total {
                power += powers[v];
                liars.insert(v);
            }
        }
        let truth = || vec![claim(BOOK, "b"), claim(TRADES, "t")];
        let said = |v: usize| match (liars.contains(&v), lies[v]) {
            (false, _) => truth(),
            (true, 0) => vec![claim(BOOK, "b"), claim(TRADES, "forged")],
            (true, 1) => vec![claim(BOOK, "b")],
            (true, 2) => vec![claim(BOOK, "b"), claim(TRADES, "t"), claim("ETH.USD/trades", "invented")],
            (true, _) => vec![],
        };
        let mut chain = Chain::new(&powers, small());
        let block = order.into_iter().filter(|v| *v < powers.len()).map(|v| chain.attest(v, 1, 0, said(v))).collect();
        let mut events = chain.run(block).events;
        events.extend(chain.run_to(5));
        let expected = vec![(BOOK.to_string(), ContentId::of(b"b")), (TRADES.to_string(), ContentId::of(b"t"))];
        let mut chunks = accepted(&events);
        chunks.sort();
        prop_assert_eq!(chunks, expected);
        let named: BTreeSet<Address> = incidents(&events)
            .into_iter()
            .map(|(kind, _, who)| { assert_eq!(kind, IncidentKind::Differing); who.unwrap() })
            .collect();
        prop_assert_eq!(named, liars.iter().map(|v| chain.address(*v)).collect::<BTreeSet<_>>());
        prop_assert!(window(&chain.state, SOURCE, 1).unwrap().unwrap().disputed.is_empty());
    }

    /// Garbage never panics.
    #[test]
    fn garbage(bytes in prop::collection::vec(any::<u8>(), 0..400), at in any::<prop::sample::Index>(), flip in 1..=255u8) {
        let chain = Chain::four();
        let _ = openmesh_ledger::check_transaction(&chain.state, &bytes);
        let mut altered = chain.attest(0, 1, 0, vec![claim(TRADES, "t")]);
        let at = at.index(altered.len());
        altered[at] ^= flip;
        prop_assert!(openmesh_ledger::check_transaction(&chain.state, &altered).is_err());
    }
}
