//! Windows and chunks of a source, read from the ledger's state.
//!
//! The recent blocks in memory answer "the newest of everything". What is asked of one source or one window is answered from
//! the state, which has no horizon.

use std::collections::{BTreeMap, BTreeSet};

use openmesh_api::ErrorCode;
use openmesh_ledger::{self as ledger, AcceptedChunk, ChunkClaim, SourceRecord, StateRead, WindowRecord, keys};
use openmesh_primitives::{Address, canonical};
use openmesh_storage::StateView;

use crate::error::Refusal;
use crate::memory::{ChunkFilter, Outcome, RecentChunk};
use crate::views::agreement::{Shown, end, is_undecided};
use crate::work::Budget;

/// Windows read from the state at once.
const BATCH: usize = 64;

/// A registered source, or what is known of one that has left the register: its windows stand in the state for some epochs more, and its
/// chunks stay provable.
pub fn source_of_windows(state: &StateView, id: &str) -> Result<SourceRecord, Refusal> {
    match ledger::source_or_retired(state, id)? {
        Some(record) => Ok(record),
        None => source(state, id),
    }
}

/// A registered source.
pub fn source(state: &StateView, id: &str) -> Result<SourceRecord, Refusal> {
    if let Some(record) = ledger::source(state, id)? {
        return Ok(record);
    }
    let (message, hint) = match ledger::retired_source(state, id)? {
        Some(_) => (
            format!("the source {id:.40?} was retired, and has left the register"),
            "its windows stay for some epochs, /v1/chunks?source=<source> lists them; the table ledger_chunks has all",
        ),
        None => (format!("there is no source {id:.40?}"), "/v1/sources lists what there is"),
    };
    Err(Refusal::new(ErrorCode::UnknownSource, message, hint))
}

/// Reads the last `count` windows of a source before one.
pub fn shown(state: &StateView, source: SourceRecord, before: Option<u64>, count: usize) -> Result<Shown, Refusal> {
    let id = &source.spec.id;
    let windows = windows_before(state, id, before, count)?;
    let newest = windows_before(state, id, None, 1)?.into_keys().next();
    let mut undecided = BTreeSet::new();
    for (number, record) in windows.iter().filter(|(_, record)| !record.closed) {
        if is_undecided(record, &claims(state, id, *number, record)?) {
            undecided.insert(*number);
        }
    }
    Ok(Shown { end: end(newest, before), source, windows, undecided })
}
/// Claims of those that attested an open window; of a closed one the state keeps only what was decided.
fn claims(state: &StateView, id: &str, number: u64, record: &WindowRecord) -> Result<Vec<ChunkClaim>, Refusal> {
    let mut all = Vec::new();
    for validator in &record.attested {
        all.extend(ledger::said(state, id, number, validator)?.unwrap_or_default().chunks);
    }
    Ok(all)
}

/// The newest `count` recorded windows of a source before one.
fn windows_before(
    state: &StateView,
    id: &str,
    before: Option<u64>,
    count: usize,
) -> Result<BTreeMap<u64, WindowRecord>, Refusal> {
    let end = before.map(|window| keys::window(id, window));
    state.scan_back(&keys::windows_of(id), end.as_deref(), count)?.into_iter().map(read_window).collect()
}

fn read_window((key, value): (Vec<u8>, Vec<u8>)) -> Result<(u64, WindowRecord), Refusal> {
    let broken = |why: String| Refusal::internal("reading a window", &std::io::Error::other(why));
    let number = keys::window_number(&key).ok_or_else(|| broken(format!("key {}", key.escape_ascii())))?;
    Ok((number, canonical::decode(&value).map_err(|e| broken(e.to_string()))?))
}

/// The validators of today and all that were assigned in these windows, with their names, in order of address.
pub fn names<'a>(
    state: &StateView,
    windows: impl Iterator<Item = &'a WindowRecord>,
) -> Result<BTreeMap<Address, String>, Refusal> {
    let mut names: BTreeMap<Address, String> =
        ledger::validators(state)?.iter().map(|v| (v.address, v.name.clone())).collect();
    for address in windows.flat_map(|w| w.assigned.iter().map(|(address, _)| *address)) {
        if let std::collections::btree_map::Entry::Vacant(free) = names.entry(address) {
            free.insert(ledger::validator_record(state, &address)?.map(|r| r.name).unwrap_or_default());
        }
    }
    Ok(names)
}

/// Reads the place at which a page of a source's chunks goes on: in this window, behind this stream, or with its first one.
pub fn parse_place(text: &str) -> Option<(u64, String)> {
    let (window, stream) = text.split_once(':').unwrap_or((text, ""));
    Some((window.parse().ok()?, stream.to_string()))
}

/// A source's chunks from the state, newest window first, streams in order; and a cursor unless the beginning was reached. Each
/// window takes one row of the budget.
pub fn chunks_of(
    state: &StateView,
    source: &SourceRecord,
    filter: &ChunkFilter,
    place: Option<(u64, String)>,
    limit: usize,
    budget: &mut Budget,
) -> Result<(Vec<RecentChunk>, Option<String>), Refusal> {
    let id = &source.spec.id;
    let newest = [place.as_ref().map(|(window, _)| *window), filter.to].into_iter().flatten().min();
    let mut before = newest.and_then(|window| window.checked_add(1)).map(|window| keys::window(id, window));
    let mut found: Vec<RecentChunk> = Vec::new();
    loop {
        let batch = state.scan_back(&keys::windows_of(id), before.as_deref(), BATCH)?;
        let ended = batch.len() < BATCH;
        for pair in batch {
            let key = pair.0.clone();
            let (number, record) = read_window(pair)?;
            if filter.from.is_some_and(|from| number < from) {
                return Ok((found, None));
            }
            if !budget.take() {
                return Ok((found, Some(format!("{number}:"))));
            }
            for chunk in chunks_of_window(state, source, number, &record)? {
                let seen = place.as_ref().is_some_and(|(w, stream)| *w == number && chunk.stream <= *stream);
                if seen || !filter.fits(&chunk) {
                    continue;
                }
                if found.len() == limit {
                    let next = found.last().map(|c| format!("{}:{}", c.window, c.stream));
                    return Ok((found, next));
                }
                found.push(chunk);
            }
            before = Some(key);
        }
        if ended {
            return Ok((found, None));
        }
    }
}

/// The chunks of one window: those accepted, disputed and uncovered, by stream.
pub fn chunks_of_window(
    state: &StateView,
    source: &SourceRecord,
    window: u64,
    record: &WindowRecord,
) -> Result<Vec<RecentChunk>, Refusal> {
    let spec = &source.spec;
    let prefix = keys::chunks_of(&spec.id, window);
    let differing = |stream: &str| -> Vec<Address> {
        record.differing.iter().filter(|d| d.stream == stream).map(|d| d.validator).collect()
    };
    let abstentions = abstentions(state, &spec.id, window, record)?;
    let mut chunks = Vec::new();
    for (key, value) in state.scan(&prefix, None, ledger::CHUNK_CLAIMS_MAX)? {
        let stream = String::from_utf8_lossy(key.get(prefix.len()..).unwrap_or_default()).into_owned();
        let chunk: AcceptedChunk = canonical::decode(&value).map_err(|e| Refusal::internal("reading a chunk", &e))?;
        let differing = differing(&stream);
        let attesters = attesters(record, &stream, &abstentions);
        chunks.push(RecentChunk {
            number: 0,
            source: spec.id.clone(),
            window,
            stream,
            origin: spec.origin,
            outcome: Outcome::Accepted { cid: chunk.cid, bytes: chunk.bytes, events: chunk.events },
            attesters,
            differing,
            height: chunk.height,
        });
    }
    let disputed = record.disputed.iter().map(|stream| (stream, Outcome::Disputed));
    let undecided = disputed.chain(record.uncovered.iter().map(|stream| (stream, Outcome::Uncovered)));
    chunks.extend(undecided.map(|(stream, outcome)| RecentChunk {
        number: 0,
        source: spec.id.clone(),
        window,
        stream: stream.clone(),
        origin: spec.origin,
        outcome,
        attesters: Vec::new(),
        differing: differing(stream),
        height: record.closes_at,
    }));
    chunks.sort_by(|a, b| a.stream.cmp(&b.stream));
    Ok(chunks)
}

/// Validators that said what was agreed of a stream: those who attested the window, covered the stream and do not differ in it.
fn attesters(record: &WindowRecord, stream: &str, abstentions: &[Abstentions]) -> Vec<Address> {
    let differs = |v: &Address| record.differing.iter().any(|d| d.stream == stream && d.validator == *v);
    let is_of = |streams: &Option<Vec<String>>| streams.as_ref().is_none_or(|all| all.iter().any(|s| s == stream));
    let abstains = |v: &Address| abstentions.iter().any(|(of, streams)| of == v && is_of(streams));
    record.attested.iter().copied().filter(|v| !differs(v) && !abstains(v)).collect()
}

/// A validator with the streams from which it abstained; `None`: from every one.
type Abstentions = (Address, Option<Vec<String>>);

/// Validators that abstained from streams of a window: of an open one from their statements, which a closed one sums up.
pub fn abstentions(
    state: &StateView,
    id: &str,
    window: u64,
    record: &WindowRecord,
) -> Result<Vec<Abstentions>, Refusal> {
    if record.closed {
        return Ok(record.abstained.iter().map(|a| (a.validator, Some(a.streams.clone()))).collect());
    }
    let mut all = Vec::new();
    for validator in &record.attested {
        let said = ledger::said(state, id, window, validator)?.unwrap_or_default();
        let from_all = said.abstains_from_all();
        all.push((*validator, (!from_all).then_some(said.abstained)));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, Chain};
    use openmesh_ledger::SourcesAction;

    #[test]
    fn a_source_that_has_left_the_register_still_tells_of_its_windows() {
        let mut chain = Chain::new();
        let retire = SourcesAction::Retire { id: "mine".into() };
        chain.actions(vec![SourcesAction::Register(testing::source("mine", "venue")).into(), retire.into()]);
        let state = chain.store.state().unwrap();
        assert_eq!(source_of_windows(&state, "mine").unwrap(), source(&state, "mine").unwrap());
        chain.hours(2);
        let state = chain.store.state().unwrap();
        let gone = source(&state, "mine").unwrap_err();
        assert!(gone.code() == ErrorCode::UnknownSource && format!("{gone:?}").contains("has left the register"));
        let spec = source_of_windows(&state, "mine").unwrap().spec;
        let (registered, none) = (testing::source("mine", "venue"), Vec::<String>::new());
        assert_eq!((&spec.exchange, spec.window_ms), (&registered.exchange, registered.window_ms));
        assert_eq!(
            (spec.kind, spec.origin, spec.symbols, spec.feeds),
            (registered.kind, registered.origin, none.clone(), none)
        );
        assert_eq!(source_of_windows(&state, "nowhere").unwrap_err().code(), ErrorCode::UnknownSource);
    }

    #[test]
    fn whoever_abstained_from_a_stream_did_not_attest_its_chunk() {
        let [agrees, differs, abstains] = [1, 2, 3].map(|n| Address([n; 20]));
        let record = WindowRecord {
            epoch: 1,
            assigned: Vec::new(),
            opened_by: agrees,
            opened_height: 1,
            closes_at: 31,
            closed: true,
            attested: vec![agrees, differs, abstains],
            accepted: 1,
            absent: Vec::new(),
            differing: vec![ledger::Differing { stream: "a/trades".into(), validator: differs }],
            disputed: Vec::new(),
            uncovered: Vec::new(),
            abstained: Vec::new(),
            committed: Vec::new(),
            commits_until: 0,
            quorum: None,
            unopened: Vec::new(),
        };
        let abstentions = [(abstains, Some(vec!["a/trades".to_string()]))];
        assert_eq!(attesters(&record, "a/trades", &abstentions), [agrees]);
        assert_eq!(attesters(&record, "b/trades", &abstentions), [agrees, differs, abstains]);
        let abstentions = [(abstains, None)];
        assert_eq!(attesters(&record, "b/trades", &abstentions), [agrees, differs], "it covered nothing");
    }

    #[test]
    fn places_of_pages() {
        assert_eq!(parse_place("12:BTC.USD/trades"), Some((12, "BTC.USD/trades".into())));
        assert_eq!(parse_place("12"), Some((12, String::new())));
        assert_eq!(parse_place("x:BTC.USD/trades"), None);
    }
}
