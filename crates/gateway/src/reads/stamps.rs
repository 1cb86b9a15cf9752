//! Stamps: those of the state, and those among the facts, where they stay when they have left the state. Newest first, or of one hash in
//! the order of topics and accounts.

use std::collections::BTreeMap;

use openmesh_ledger::{self as ledger, StampRecord, StateRead, keys};
use openmesh_primitives::{Address, Digest, Height, canonical};
use openmesh_storage::{StampFact, StateView, Store, stamp_fact_key};

use crate::error::Refusal;
use crate::work::Budget;

/// Stamps read at once.
const BATCH: usize = 128;
/// Bytes behind the stamp's key in its fact's: height and number.
const PLACE_BYTES: usize = 12;

/// Stamps that are wanted.
#[derive(Debug, Default, Clone)]
pub struct StampFilter {
    /// Under this topic.
    pub topic: Option<String>,
    /// Of this account.
    pub account: Option<Address>,
}

impl StampFilter {
    fn fits(&self, record: &StampRecord) -> bool {
        self.topic.as_ref().is_none_or(|topic| *topic == record.topic)
            && self.account.is_none_or(|account| account == record.account)
    }

    /// The index of the state that has fewest others: prefix of its keys.
    fn prefix(&self) -> Vec<u8> {
        match (&self.account, &self.topic) {
            (Some(account), _) => keys::stamps_of_account(account),
            (None, Some(topic)) => keys::stamps_of_topic(topic),
            (None, None) => keys::STAMP_PLACES.to_vec(),
        }
    }

    /// Key of a place in that index.
    fn key(&self, height: Height, number: u32) -> Vec<u8> {
        match (&self.account, &self.topic) {
            (Some(account), _) => keys::stamp_of_account(account, height, number),
            (None, Some(topic)) => keys::stamp_of_topic(topic, height, number),
            (None, None) => keys::stamp_place(height, number),
        }
    }
}

/// Looks through the stamps before a place, newest first, both those of the state and those that this node holds as facts, and hands each
/// wanted one to `found`, which returns false where it has enough; that one is not seen yet. Returns the place to go on from; `None` at the
/// beginning. Each stamp takes one row of the budget. Fails where the ledger cannot be read.
pub fn newest(
    store: &Store,
    mut place: Option<(Height, u32)>,
    filter: &StampFilter,
    budget: &mut Budget,
    mut found: impl FnMut(StampRecord) -> bool,
) -> Result<Option<(Height, u32)>, Refusal> {
    let state = store.state()?;
    loop {
        let (batch, ended) = before(store, &state, filter, place)?;
        for ((height, number), record) in batch.into_iter().rev() {
            // The one that was just read comes first on the next page.
            let next = Some((height, number.saturating_add(1)));
            if !budget.take() || (filter.fits(&record) && !found(record)) {
                return Ok(next);
            }
            place = Some((height, number));
        }
        if ended {
            return Ok(None);
        }
    }
}

/// Stamps by height and number in the block.
type ByPlace = BTreeMap<(Height, u32), StampRecord>;
/// A stamp, with epoch and position of its fact where that is held.
pub type StampOfName = (StampRecord, Option<(u64, u64)>);

/// The stamps before a place in the order of the filter's index, of state and facts together, and whether these are the last ones.
fn before(
    store: &Store,
    state: &StateView,
    filter: &StampFilter,
    place: Option<(Height, u32)>,
) -> Result<(ByPlace, bool), Refusal> {
    let prefix = filter.prefix();
    let end = place.map(|(height, number)| filter.key(height, number));
    let mut of_state = BTreeMap::new();
    let read = state.scan_back(&prefix, end.as_deref(), BATCH)?;
    let state_ended = read.len() < BATCH;
    for (key, _) in read {
        let (height, number) = keys::stamp_place_of(&key).ok_or_else(|| broken("an index of stamps"))?;
        let record = ledger::stamp_at(state, height, number)?.ok_or_else(|| broken("an entry of it"))?;
        of_state.insert((height, number), record);
    }
    let facts = store.stamp_facts_back(&prefix, end.as_deref(), BATCH)?;
    let facts_ended = facts.len() < BATCH;
    let named = |fact: StampFact| ((fact.record.height, fact.record.number), fact.record);
    let of_facts: BTreeMap<(Height, u32), StampRecord> = facts.into_iter().map(named).collect();
    // Where one of the two goes on, nothing before its first place is known yet.
    let first_of = |list: &BTreeMap<(Height, u32), StampRecord>, ended: bool| {
        list.first_key_value().filter(|_| !ended).map(|(place, _)| *place)
    };
    let firsts = [first_of(&of_state, state_ended), first_of(&of_facts, facts_ended)];
    let first = firsts.into_iter().flatten().max();
    let mut both = of_facts;
    both.extend(of_state);
    both.retain(|place, _| first.is_none_or(|first| *place >= first));
    Ok((both, state_ended && facts_ended))
}

fn broken(what: &str) -> Refusal {
    Refusal::internal("reading stamps", &std::io::Error::other(format!("{what} leads nowhere")))
}

/// Looks through the stamps of a hash behind a key of their facts' index, in its order, both those of the state and those that this node
/// holds as facts, each once. Returns at most `limit` that are wanted, and the key to go on behind; `None` at the end. Each stamp takes
/// one row of the budget. Fails where the ledger cannot be read.
pub fn of_hash(
    store: &Store,
    hash: &Digest,
    filter: &StampFilter,
    behind: Option<Vec<u8>>,
    limit: usize,
    budget: &mut Budget,
) -> Result<(Vec<StampRecord>, Option<Vec<u8>>), Refusal> {
    let prefix = match (&filter.topic, &filter.account) {
        (Some(topic), Some(account)) => keys::stamp(hash, topic, account),
        (Some(topic), None) => keys::stamps_of(hash, topic),
        (None, _) => keys::stamps_of_hash(hash),
    };
    let state = store.state()?;
    let (mut behind, mut items) = (behind, Vec::new());
    loop {
        let (batch, ended) = merged(store, &state, &prefix, behind.as_deref())?;
        for (key, record) in batch {
            if items.len() >= limit || !budget.take() {
                return Ok((items, behind));
            }
            behind = Some(key);
            if filter.fits(&record) {
                items.push(record);
            }
        }
        if ended {
            return Ok((items, None));
        }
    }
}

/// Stamps by their keys in the facts' index, and whether these are the last ones.
type Batch = (BTreeMap<Vec<u8>, StampRecord>, bool);

/// The next stamps below a prefix behind a key, of state and facts together.
fn merged(store: &Store, state: &StateView, prefix: &[u8], behind: Option<&[u8]>) -> Result<Batch, Refusal> {
    // A key of the state stands for one stamp: the one behind which the page begins may be that one, so it is read again.
    let from = behind.map(|behind| behind.get(..behind.len().saturating_sub(PLACE_BYTES)).unwrap_or_default());
    let mut of_state = Vec::new();
    let read = state.scan(prefix, from, BATCH)?;
    let state_ended = read.len() < BATCH;
    for (_, value) in read {
        let record: StampRecord = canonical::decode(&value).map_err(|e| Refusal::internal("reading a stamp", &e))?;
        of_state.push((stamp_fact_key(&record), record));
    }
    let facts = store.stamp_facts(prefix, behind, BATCH)?;
    let facts_ended = facts.len() < BATCH;
    let of_facts: Vec<_> = facts.into_iter().map(|fact| (stamp_fact_key(&fact.record), fact.record)).collect();
    // Where one of the two goes on, nothing beyond its last key is known yet.
    let last_of =
        |list: &[(Vec<u8>, StampRecord)], ended: bool| list.last().filter(|_| !ended).map(|(key, _)| key.clone());
    let lasts = [last_of(&of_state, state_ended), last_of(&of_facts, facts_ended)];
    let last = lasts.into_iter().flatten().min();
    let wanted = |key: &[u8]| {
        behind.is_none_or(|behind| key > behind) && last.as_ref().is_none_or(|last| key <= last.as_slice())
    };
    let both = of_state.into_iter().chain(of_facts).filter(|(key, _)| wanted(key)).collect();
    Ok((both, state_ended && facts_ended))
}

/// The stamps of one account of a hash under a topic that this node knows, oldest first, each with epoch and position of its fact where
/// it is held. Fails where the ledger cannot be read.
pub fn of_name(store: &Store, hash: &Digest, topic: &str, account: &Address) -> Result<Vec<StampOfName>, Refusal> {
    let facts = store.stamp_facts(&keys::stamp(hash, topic, account), None, BATCH)?;
    let mut found: Vec<_> = facts.into_iter().map(|fact| (fact.record, Some((fact.epoch, fact.position)))).collect();
    let in_state = ledger::stamp(&store.state()?, hash, topic, account)?;
    // One from before the snapshot by which this node joined has no fact here.
    if let Some(record) = in_state.filter(|record| !found.iter().any(|(known, _)| known == record)) {
        found.push((record, None));
    }
    Ok(found)
}

/// A key of the facts' index as a cursor of the list of a hash: what is behind the hash, hexadecimal.
pub fn cursor_of(hash: &Digest, key: &[u8]) -> String {
    hex::encode(key.get(keys::stamps_of_hash(hash).len()..).unwrap_or_default())
}

/// The key of a cursor; `None` where it is none.
pub fn parse_cursor(hash: &Digest, text: &str) -> Option<Vec<u8>> {
    /// Topic, `/`, address and place.
    const BYTES_MIN: usize = 1 + 1 + 20 + PLACE_BYTES;
    let rest = hex::decode(text).ok().filter(|rest| rest.len() >= BYTES_MIN)?;
    Some([keys::stamps_of_hash(hash), rest].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Chain;
    use crate::work::SCAN_ROWS_MAX;
    use openmesh_primitives::sha256;
    use std::time::Duration;
    use tokio_util::sync::CancellationToken;

    fn budget(rows: usize) -> Budget {
        Budget::new(rows, Duration::from_secs(3_600), CancellationToken::new())
    }

    fn hash(n: u64) -> Digest {
        sha256(&[&n.to_be_bytes()])
    }

    /// Ten stamps in blocks of two: hashes 0 to 9, topics `a` and `b` by turns.
    fn chain() -> Chain {
        let mut chain = Chain::new();
        for block in 0..5 {
            chain.stamps(&[(hash(2 * block), "a"), (hash(2 * block + 1), "b")]);
        }
        chain
    }

    /// All pages of a list, each of at most two items and so many rows.
    fn pages(chain: &Chain, filter: &StampFilter, rows: usize) -> Vec<(u64, u32)> {
        let (mut all, mut place) = (Vec::new(), None);
        loop {
            let mut items = Vec::new();
            place = newest(&chain.store, place, filter, &mut budget(rows), |record| {
                let wanted = items.len() < 2;
                items.extend(wanted.then_some((record.height, record.number)));
                wanted
            })
            .unwrap();
            all.extend(items);
            if place.is_none() {
                return all;
            }
        }
    }

    #[test]
    fn stamps_come_newest_first_by_topic_and_by_account_and_none_is_left_out() {
        let chain = chain();
        let of = |topic: Option<&str>, account| StampFilter { topic: topic.map(String::from), account };
        let sender = Some(crate::testing::sender());
        let all: Vec<(u64, u32)> = (1..=5).rev().flat_map(|height| [(height, 1), (height, 0)]).collect();
        let of_a: Vec<(u64, u32)> = (1..=5).rev().map(|height| (height, 0)).collect();
        for rows in [1, 3, SCAN_ROWS_MAX] {
            assert_eq!(pages(&chain, &of(None, None), rows), all);
            assert_eq!(pages(&chain, &of(None, sender), rows), all);
            assert_eq!(pages(&chain, &of(Some("a"), None), rows), of_a);
            assert_eq!(pages(&chain, &of(Some("a"), sender), rows), of_a);
            assert_eq!(pages(&chain, &of(Some("c"), None), rows), []);
            assert_eq!(pages(&chain, &of(None, Some(Address([9; 20]))), rows), []);
        }
    }

    #[test]
    fn stamps_of_a_hash_come_by_topic_each_once_though_state_and_facts_have_them() {
        let mut chain = chain();
        chain.stamps(&[(hash(0), "z"), (hash(0), "b")]);
        let topics = |filter: &StampFilter, limit: usize| {
            let (mut all, mut behind) = (Vec::new(), None);
            loop {
                let text = behind.map(|key: Vec<u8>| cursor_of(&hash(0), &key));
                let key = text.map(|text| parse_cursor(&hash(0), &text).unwrap());
                let (items, next) = of_hash(&chain.store, &hash(0), filter, key, limit, &mut budget(50)).unwrap();
                assert!(items.len() <= limit);
                all.extend(items.into_iter().map(|record| record.topic));
                if next.is_none() {
                    return all;
                }
                behind = next;
            }
        };
        for limit in 1..5 {
            assert_eq!(topics(&StampFilter::default(), limit), ["a", "b", "z"]);
        }
        assert_eq!(topics(&StampFilter { topic: Some("b".into()), account: None }, 2), ["b"]);
        let found = of_name(&chain.store, &hash(0), "z", &crate::testing::sender()).unwrap();
        assert!(matches!(found.as_slice(), [(record, Some((0, _)))] if record.height == 6), "{found:?}");
        assert!(parse_cursor(&hash(0), "zz").is_none() && parse_cursor(&hash(0), "00").is_none());
    }
}
