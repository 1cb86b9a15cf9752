//! Stamps: their bounds, their indices, and what is left of them when they leave the state. Clause H.

use std::collections::{BTreeMap, BTreeSet};

use openmesh_ledger::{
    AccountsError, Action, Deposit, DepositsEvent, EpochsParams, Fact, FactProof, GenesisError, LedgerEvent,
    MerklePath, Params, SUPPLY_CAP, StampCount, StampRecord, StampsAction, StampsError, StampsEvent, StampsParams,
    StateRead, TransactionError as E, account, closed_epoch, current_epoch, deposit, initial_state, keys, light, stamp,
    stamp_at, stamp_count, supply,
};
use openmesh_primitives::{Amount, Digest, canonical, sha256};
use proptest::prelude::*;

use crate::chain::{Chain, FEE};

/// The base fee of a stamp, which weighs as much as twenty-five transfers: all of it is burnt.
const STAMP_FEE: Amount = Amount(25 * FEE.0);
const TOPICS: [&str; 3] = ["drill", "xnode", "xnode.drill"];

/// Blocks come each second; an epoch is five of them.
fn params(account_stamps_max: u32, stamps_kept_epochs: u64) -> Params {
    Params {
        epochs: EpochsParams { epoch_ms: 5_000, ..EpochsParams::default() },
        stamps: StampsParams { account_stamps_max, stamps_kept_epochs, ..StampsParams::default() },
        ..Params::default()
    }
}

fn hash(n: u8) -> Digest {
    sha256(&[&[n]])
}

fn action(hash: Digest, topic: &str, note: &str) -> Action {
    StampsAction::Stamp { hash, topic: topic.to_string(), note: note.to_string() }.into()
}

fn nonce(chain: &Chain, from: usize) -> u64 {
    account(&chain.state, &chain.accounts[from].address()).unwrap().nonce
}

/// Stamps in a block of its own; the refusal, if there is one.
fn try_stamp(chain: &mut Chain, from: usize, hash: Digest, topic: &str, note: &str) -> Option<E> {
    let bytes = chain.action(from, nonce(chain, from), STAMP_FEE, action(hash, topic, note));
    chain.run_one(bytes)
}

/// Places of the index under a prefix, in ascending order.
fn places(chain: &Chain, prefix: &[u8]) -> Vec<(u64, u32)> {
    let found = chain.state.scan(prefix, None, usize::MAX).unwrap();
    found.iter().map(|(key, _)| keys::stamp_place_of(key).unwrap()).collect()
}

#[test]
fn a_stamp_says_what_by_whom_and_when_and_is_found_by_hash_topic_and_account() {
    let mut chain = Chain::new(&[1; 4], params(10, 2));
    let (first, second) = (chain.accounts[0].address(), chain.accounts[1].address());
    let both = vec![
        chain.action(0, 0, STAMP_FEE, action(hash(1), "drill", "bafkrei")),
        chain.action(1, 0, STAMP_FEE, action(hash(1), "drill", "")),
    ];
    let execution = chain.run(both.clone());
    let stamped: Vec<StampRecord> = execution
        .events
        .iter()
        .filter_map(|event| match event {
            LedgerEvent::Stamps(StampsEvent::Stamped(record)) => Some(record.clone()),
            _ => None,
        })
        .collect();
    let expected = |account, note: &str, number: u32| StampRecord {
        hash: hash(1),
        topic: "drill".to_string(),
        account,
        note: note.to_string(),
        height: 1,
        number,
        time: chain.tip.time,
        transaction: sha256(&[&both[number as usize]]),
    };
    assert_eq!(stamped, [expected(first, "bafkrei", 0), expected(second, "", 1)]);
    assert_eq!(execution.facts, stamped.iter().cloned().map(Fact::Stamp).collect::<Vec<_>>());
    for record in &stamped {
        let of = stamp(&chain.state, &record.hash, &record.topic, &record.account).unwrap();
        assert_eq!(of.as_ref(), Some(record));
        assert_eq!(stamp_at(&chain.state, 1, record.number).unwrap(), of);
    }
    assert_eq!(chain.state.scan(&keys::stamps_of(&hash(1), "drill"), None, 9).unwrap().len(), 2);
    assert_eq!(chain.state.scan(&keys::stamps_of_hash(&hash(1)), None, 9).unwrap().len(), 2);
    assert_eq!(places(&chain, &keys::stamps_of_topic("drill")), [(1, 0), (1, 1)]);
    assert_eq!(places(&chain, &keys::stamps_of_topic("dril")), []);
    assert_eq!(places(&chain, &keys::stamps_of_account(&second)), [(1, 1)]);
    assert_eq!(stamp_count(&chain.state, &first).unwrap(), StampCount { epoch: 0, in_epoch: 1, total: 1 });
}

#[test]
fn an_account_stamps_a_hash_under_a_topic_once_and_others_beside_it() {
    let mut chain = Chain::new(&[1; 4], params(10, 2));
    assert_eq!(try_stamp(&mut chain, 0, hash(1), "drill", ""), None);
    let again = try_stamp(&mut chain, 0, hash(1), "drill", "another note");
    assert_eq!(again, Some(E::Stamps(StampsError::StampExists { height: 1 })));
    assert_eq!(try_stamp(&mut chain, 1, hash(1), "drill", ""), None, "another account");
    assert_eq!(try_stamp(&mut chain, 0, hash(1), "xnode", ""), None, "another topic");
    assert_eq!(try_stamp(&mut chain, 0, hash(2), "drill", ""), None, "another hash");
    let kept = stamp(&chain.state, &hash(1), "drill", &chain.accounts[0].address()).unwrap().unwrap();
    assert_eq!((kept.height, kept.note.as_str()), (1, ""), "the first one stays as it was");
    assert_eq!(nonce(&chain, 0), 3, "what is refused pays nothing");
}

#[test]
fn what_is_malformed_is_refused_with_a_word_of_its_own() {
    let mut chain = Chain::new(&[1; 4], params(10, 2));
    let (long, long_note) = ("x".repeat(65), "n".repeat(257));
    for (topic, note, expected) in [
        ("", "", StampsError::StampTopicLength { bytes: 0 }),
        (long.as_str(), "", StampsError::StampTopicLength { bytes: 65 }),
        ("dr\u{7}ill", "", StampsError::StampTopicControl { at: 2 }),
        ("drill\n", "", StampsError::StampTopicControl { at: 5 }),
        ("a/b", "", StampsError::StampTopicCharacter { at: 1, character: "/".to_string() }),
        ("Drill", "", StampsError::StampTopicCharacter { at: 0, character: "D".to_string() }),
        ("größe", "", StampsError::StampTopicCharacter { at: 2, character: "ö".to_string() }),
        ("drill", long_note.as_str(), StampsError::StampNoteLength { bytes: 257 }),
        ("drill", "ok\u{85}", StampsError::StampNoteControl { at: 2 }),
    ] {
        assert_eq!(try_stamp(&mut chain, 0, hash(1), topic, note), Some(E::Stamps(expected)), "{topic:?} {note:?}");
    }
    let longest = (&long[..64], "ü".repeat(128));
    assert_eq!(try_stamp(&mut chain, 0, hash(1), longest.0, &longest.1), None, "the longest that are allowed");
    // Of a mebibyte not even the note is looked at.
    let huge = chain.action(0, nonce(&chain, 0), STAMP_FEE, action(hash(1), "drill", &"n".repeat(1 << 20)));
    let refused = openmesh_ledger::verify_stateless(&huge).unwrap_err();
    assert_eq!(refused.code(), "size");
    let codes: BTreeSet<&str> =
        Action::descriptors().into_iter().find(|d| d.kind == "stamp").unwrap().errors.iter().copied().collect();
    assert_eq!(codes.len(), 7, "each refusal has a word");
}

#[test]
fn a_stamp_costs_its_weight_and_its_room_keeps_the_state_bounded() {
    let mut chain = Chain::new(&[1; 4], params(10, 2));
    let got = Amount(STAMP_FEE.0 - 1);
    let cheap = chain.action(0, 0, got, action(hash(1), "drill", ""));
    assert_eq!(chain.run_one(cheap), Some(E::Accounts(AccountsError::FeeLow { min: STAMP_FEE, got })));
    assert_eq!(try_stamp(&mut chain, 0, hash(1), "drill", ""), None);
    let stands = supply(&chain.state).unwrap();
    assert_eq!((stands.burnt, stands.deposits), (STAMP_FEE, chain.genesis.params.stamps.stamp_deposit));
    // What a block of nothing but stamps adds, a block can take away: five keys of each.
    let params = Params::default();
    let stamps = params.blocks.block_transactions_max / u64::from(action(hash(1), "drill", "").descriptor().weight);
    assert!(stamps * 5 <= u64::from(params.epochs.pruned_keys_per_block_max), "{stamps}");
}

/// Clause H10: the deposit of a stamp comes back to whoever stamped when the stamp leaves the state, and not before.
#[test]
fn a_deposit_comes_back_when_the_stamp_leaves_the_state() {
    let mut chain = Chain::new(&[1; 4], params(10, 2));
    let (owner, held) = (chain.accounts[0].address(), chain.genesis.params.stamps.stamp_deposit);
    let key = keys::stamp(&hash(1), "drill", &owner);
    let before = account(&chain.state, &owner).unwrap().balance;
    let first = chain.action(0, 0, STAMP_FEE, action(hash(1), "drill", ""));
    let events = chain.run(vec![first]).events;
    let told = |event: &LedgerEvent| matches!(event, LedgerEvent::Deposits(DepositsEvent::Held { owner: by, amount, .. }) if *by == owner && *amount == held);
    assert!(events.iter().any(told), "{events:?}");
    let left = Amount(before.0 - held.0 - STAMP_FEE.0);
    assert_eq!(account(&chain.state, &owner).unwrap().balance, left);
    chain.run_to(15);
    assert_eq!(deposit(&chain.state, &key).unwrap(), Some(Deposit { owner, amount: held }), "while it is there");
    let events = chain.run(vec![]).events;
    let told = |event: &LedgerEvent| matches!(event, LedgerEvent::Deposits(DepositsEvent::Returned { owner: to, amount, .. }) if *to == owner && *amount == held);
    assert!(events.iter().any(told), "{events:?}");
    assert_eq!((stamp_at(&chain.state, 1, 0).unwrap(), deposit(&chain.state, &key).unwrap()), (None, None));
    assert_eq!(account(&chain.state, &owner).unwrap().balance, Amount(left.0 + held.0));
    assert_eq!(supply(&chain.state).unwrap().deposits, Amount::ZERO);
    let mut beyond = chain.genesis.clone();
    beyond.params.stamps.stamp_deposit = Amount(SUPPLY_CAP.0 + 1);
    assert_eq!(initial_state(&beyond).map(drop), Err(GenesisError::Params("stamps.stamp_deposit")));
}

#[test]
fn an_account_has_a_bounded_number_of_stamps_in_an_epoch() {
    let mut chain = Chain::new(&[1; 4], params(2, 2));
    let of = |chain: &Chain, from: usize, numbers: std::ops::Range<u8>| -> Vec<Vec<u8>> {
        let first = nonce(chain, from);
        let one = |(nonce, n): (u64, u8)| chain.action(from, nonce, STAMP_FEE, action(hash(n), "drill", ""));
        (first..).zip(numbers).map(one).collect()
    };
    let receipts = chain.run(of(&chain, 0, 0..3)).receipts;
    let errors: Vec<Option<E>> = receipts.into_iter().map(|receipt| receipt.error).collect();
    assert_eq!(errors, [None, None, Some(E::Stamps(StampsError::StampsFull { max: 2 }))]);
    assert_eq!(try_stamp(&mut chain, 1, hash(9), "drill", ""), None, "another account has a bound of its own");
    chain.run_to(5);
    assert_eq!(current_epoch(&chain.state).unwrap(), 0);
    assert_eq!(try_stamp(&mut chain, 0, hash(2), "drill", ""), None, "with the next epoch it goes on");
    let count = stamp_count(&chain.state, &chain.accounts[0].address()).unwrap();
    assert_eq!(count, StampCount { epoch: 1, in_epoch: 1, total: 3 });
}

#[test]
fn a_stamp_leaves_the_state_whole_and_stays_provable_through_its_epochs_root() {
    let mut chain = Chain::new(&[1; 4], params(10, 2));
    let mut facts: Vec<Fact> = Vec::new();
    for n in 0..3 {
        let bytes = chain.action(0, u64::from(n), STAMP_FEE, action(hash(n), "drill", ""));
        facts.extend(chain.run(vec![bytes]).facts);
    }
    // Epoch 0 is heights 1 to 5; with the first block of epoch 3 it is no longer among the two that are kept.
    chain.run_to(15);
    assert_eq!(current_epoch(&chain.state).unwrap(), 2);
    assert!(stamp_at(&chain.state, 1, 0).unwrap().is_some());
    chain.run_to(16);
    assert_eq!(current_epoch(&chain.state).unwrap(), 3);
    for prefix in [keys::STAMPS, keys::STAMP_PLACES, keys::STAMP_TOPICS, keys::STAMP_ACCOUNTS, keys::DEPOSITS] {
        assert!(!chain.state.keys().any(|key| key.starts_with(prefix)), "{}", prefix.escape_ascii());
    }
    assert_eq!(stamp_count(&chain.state, &chain.accounts[0].address()).unwrap().total, 3, "the count stays");
    let closed = closed_epoch(&chain.state, 0).unwrap().unwrap();
    let leaves: Vec<Digest> = facts.iter().map(Fact::leaf).collect();
    for (index, fact) in facts.iter().enumerate() {
        let path = MerklePath::of(&leaves, index as u64).unwrap();
        let proof = FactProof { epoch: 0, fact: fact.clone(), path };
        assert_eq!(light::verify_fact(&closed, &proof), Ok(()));
        assert_eq!(canonical::decode::<FactProof>(&canonical::encode(&proof)).unwrap(), proof);
        let Fact::Stamp(record) = fact else { panic!("{fact:?}") };
        let earlier = Fact::Stamp(StampRecord { height: record.height - 1, ..record.clone() });
        assert!(light::verify_fact(&closed, &FactProof { fact: earlier, ..proof }).is_err(), "nobody dates it back");
    }
    assert_eq!(try_stamp(&mut chain, 0, hash(0), "drill", ""), None, "a stamp that has left can be made again, later");
}

#[test]
fn a_block_removes_a_bounded_number_of_stamps() {
    let mut params = params(100, 1);
    params.epochs.pruned_keys_per_block_max = 9;
    let mut chain = Chain::new(&[1; 4], params);
    let first: Vec<Vec<u8>> =
        (0..10).map(|n| chain.action(0, n, STAMP_FEE, action(hash(n as u8), "drill", ""))).collect();
    chain.run(first);
    chain.run_to(10);
    let left = |chain: &Chain| places(chain, keys::STAMP_PLACES).len();
    assert_eq!(left(&chain), 10);
    let mut numbers = Vec::new();
    for height in 11..16 {
        chain.run_to(height);
        numbers.push(left(&chain));
        let records = chain.state.scan(keys::STAMPS, None, usize::MAX).unwrap().len();
        assert_eq!(records, left(&chain), "a stamp goes whole");
    }
    // Nine keys are a stamp and most of another, which go whole.
    assert_eq!(numbers, [8, 6, 4, 2, 0]);
}

/// A stamp to be made when its turn comes.
#[derive(Clone, Debug)]
struct Step {
    from: usize,
    hash: u8,
    topic: usize,
    note_bytes: usize,
}

fn history() -> impl Strategy<Value = Vec<Vec<Step>>> {
    let step = (0..3usize, 0..4u8, 0..3usize, prop_oneof![4 => 0..9usize, 1 => 250..260usize])
        .prop_map(|(from, hash, topic, note_bytes)| Step { from, hash, topic, note_bytes });
    prop::collection::vec(prop::collection::vec(step, 0..6), 1..24)
}

/// A stamp of the model: by its hash, topic and account.
type Model = BTreeMap<(Digest, usize, usize), StampRecord>;

/// The rules' word about a step, told by the model alone.
fn foretold(model: &Model, made: &BTreeMap<(u64, usize), u32>, epoch: u64, step: &Step) -> Option<&'static str> {
    if step.note_bytes > 256 {
        Some("stamp_note_length")
    } else if model.contains_key(&(hash(step.hash), step.topic, step.from)) {
        Some("stamp_exists")
    } else if made.get(&(epoch, step.from)).is_some_and(|made| *made >= 3) {
        Some("stamps_full")
    } else {
        None
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// After every block of a random history the state holds the stamps of a model that knows nothing of keys, each found by all
    /// its ways, and no trace of others.
    #[test]
    fn the_state_holds_the_stamps_of_the_model(history in history()) {
        let mut chain = Chain::new(&[1; 4], params(3, 1));
        let (mut model, mut made): (Model, BTreeMap<(u64, usize), u32>) = Default::default();
        for steps in &history {
            let (height, time_before) = (chain.tip.height + 1, chain.tip.time);
            // As the rules have it: the epoch of the block to come.
            let epoch = (height - 1) / 5;
            let mut nonces: Vec<u64> = (0..3).map(|from| nonce(&chain, from)).collect();
            let (mut bytes, mut expected, mut number) = (Vec::new(), Vec::new(), 0);
            // By sender, so that the block's order is the order of nonces; each step of a block is another transaction.
            let mut seen = BTreeSet::new();
            for step in steps {
                let refusal = foretold(&model, &made, epoch, step);
                let note = "n".repeat(step.note_bytes);
                let stamped = action(hash(step.hash), TOPICS[step.topic], &note);
                let made_now = chain.action(step.from, nonces[step.from], STAMP_FEE, stamped);
                if !seen.insert(made_now.clone()) {
                    continue;
                }
                if refusal.is_none() {
                    nonces[step.from] += 1;
                    *made.entry((epoch, step.from)).or_default() += 1;
                    let record = StampRecord {
                        hash: hash(step.hash),
                        topic: TOPICS[step.topic].to_string(),
                        account: chain.accounts[step.from].address(),
                        note,
                        height,
                        number,
                        time: openmesh_primitives::Timestamp(time_before.nanos() + 1_000_000_000),
                        transaction: sha256(&[&made_now]),
                    };
                    model.insert((record.hash, step.topic, step.from), record);
                    number += 1;
                }
                bytes.push(made_now);
                expected.push(refusal);
            }
            let execution = chain.run(bytes);
            let found: Vec<Option<&str>> =
                execution.receipts.iter().map(|receipt| receipt.error.as_ref().map(E::code)).collect();
            prop_assert_eq!(found, expected);
            // One epoch is kept beside the current one; what is older leaves at the end of the block.
            model.retain(|_, record| (record.height - 1) / 5 + 1 >= epoch);
            let mut records: Vec<StampRecord> = model.values().cloned().collect();
            records.sort_by_key(|record| (record.height, record.number));
            let all: Vec<(u64, u32)> = records.iter().map(|record| (record.height, record.number)).collect();
            prop_assert_eq!(places(&chain, keys::STAMP_PLACES), all);
            for prefix in [keys::STAMPS, keys::DEPOSITS] {
                prop_assert_eq!(chain.state.scan(prefix, None, usize::MAX).unwrap().len(), records.len());
            }
            for record in &records {
                let of = stamp_at(&chain.state, record.height, record.number).unwrap();
                prop_assert_eq!(of.as_ref(), Some(record));
            }
            let of = |wanted: &dyn Fn(&StampRecord) -> bool| -> Vec<(u64, u32)> {
                records.iter().filter(|record| wanted(record)).map(|record| (record.height, record.number)).collect()
            };
            for topic in TOPICS {
                prop_assert_eq!(places(&chain, &keys::stamps_of_topic(topic)), of(&|record| record.topic == topic));
            }
            for key in &chain.accounts {
                let address = key.address();
                let found = places(&chain, &keys::stamps_of_account(&address));
                prop_assert_eq!(found, of(&|record| record.account == address));
            }
        }
    }
}
