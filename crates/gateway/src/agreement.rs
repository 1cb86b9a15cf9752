//! How far the validators agree, read from the ledger's state: the last windows of the sources as a matrix, and all chunks
//! of one source since the beginning.
//!
//! The recent blocks in memory (`index`) answer "the newest of everything". What is asked of one source or one window is
//! answered from the state, which has no horizon.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::extract::State;
use openmesh_api as api;
use openmesh_ledger::{
    self as ledger, AcceptedChunk, ChunkClaim, SourceKind, SourceRecord, StateRead, WindowRecord, keys,
};
use openmesh_primitives::{Address, canonical};
use openmesh_storage::StateView;
use serde::Deserialize;

use crate::chunks::{self, origin};
use crate::error::Refusal;
use crate::index::RecentChunk;
use crate::node::Node;
use crate::page::{Params, limited};

/// Windows of each source where none are asked for: what fits a screen.
const WINDOWS_DEFAULT: usize = 30;
/// Most windows of each source in one answer.
pub const WINDOWS_MAX: usize = 240;
/// Most windows looked through for one page of a source's chunks.
const WINDOWS_SEARCHED_MAX: usize = 2_000;
/// Windows read from the state at once.
const BATCH: usize = 64;

/// Which windows.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct AgreementQuery {
    /// Only this source; all where absent.
    source: Option<String>,
    /// Windows of each source, 30 where absent.
    #[param(minimum = 1, maximum = 240)]
    windows: Option<usize>,
    /// Only windows before this one: a row's `next`, for its source.
    before: Option<u64>,
}

/// The last windows of each source: agreed, disputed or missing, and how each validator stood to them.
#[utoipa::path(get, path = "/v1/agreement", tag = "data", params(AgreementQuery), responses((status = 200, body = api::AgreementMatrix), (status = 404, body = api::ErrorBody)))]
pub async fn agreement(
    State(node): State<Node>,
    Params(query): Params<AgreementQuery>,
) -> Result<Json<api::AgreementMatrix>, Refusal> {
    let count = limited("windows", query.windows, WINDOWS_DEFAULT, WINDOWS_MAX)?;
    if query.before.is_some() && query.source.is_none() {
        return Err(Refusal::bad(
            "no_source",
            "before names a window, and each source has windows of its own",
            "name the source too",
        ));
    }
    node.blocking(move |node| {
        let state = node.store().state()?;
        let records = match &query.source {
            Some(id) => vec![source(&state, id)?],
            None => ledger::sources(&state)?,
        };
        let rows: Vec<Shown> = records
            .into_iter()
            .map(|record| Shown::read(&state, record, query.before, count))
            .collect::<Result<_, Refusal>>()?;
        let names = names(&state, rows.iter().flat_map(|shown| shown.windows.values()))?;
        let addresses: Vec<Address> = names.keys().copied().collect();
        let sources = rows.iter().map(|shown| row(shown, &addresses, count)).collect();
        let validators = names
            .into_iter()
            .map(|(address, name)| api::AgreementValidator { address: address.to_string(), name })
            .collect();
        Ok(Json(api::AgreementMatrix { height: state.tip().height, validators, sources }))
    })
    .await
}

/// A registered source.
pub fn source(state: &StateView, id: &str) -> Result<SourceRecord, Refusal> {
    ledger::source(state, id)?.ok_or_else(|| {
        Refusal::not_found("unknown_source", format!("there is no source {id:.40?}"), "/v1/sources lists what there is")
    })
}

/// The windows of a source that a row is made of.
struct Shown {
    source: SourceRecord,
    windows: BTreeMap<u64, WindowRecord>,
    /// The row's last window, recorded or not.
    end: Option<u64>,
    /// Open windows with a claim that is not decided.
    undecided: BTreeSet<u64>,
}

impl Shown {
    fn read(state: &StateView, source: SourceRecord, before: Option<u64>, count: usize) -> Result<Shown, Refusal> {
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
}

/// The last window of a page: the one right before, also where nobody attested it, and none that is still to come.
fn end(newest: Option<u64>, before: Option<u64>) -> Option<u64> {
    match before {
        Some(before) => newest.min(before.checked_sub(1)),
        None => newest,
    }
}

/// What those say that attested an open window; of a closed one the state keeps only what was decided.
fn claims(state: &StateView, id: &str, number: u64, record: &WindowRecord) -> Result<Vec<ChunkClaim>, Refusal> {
    let mut all = Vec::new();
    for validator in &record.attested {
        let Some(bytes) = state.get(&keys::attestation(id, number, validator))? else { continue };
        let of_one: Vec<ChunkClaim> =
            canonical::decode(&bytes).map_err(|e| Refusal::internal("reading an attestation", &e))?;
        all.extend(of_one);
    }
    Ok(all)
}

/// Whether there is a stream that somebody claims and of which nothing is decided: neither a chunk nor that there is none.
fn is_undecided(record: &WindowRecord, claims: &[ChunkClaim]) -> bool {
    let claimed: BTreeSet<&str> = claims.iter().map(|claim| claim.stream.as_str()).collect();
    claimed.len() > record.accepted as usize + record.absent.len()
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
fn names<'a>(
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

fn row(shown: &Shown, validators: &[Address], count: usize) -> api::AgreementRow {
    let Shown { source, windows, end, undecided } = shown;
    let spec = &source.spec;
    let oldest = windows.first_key_value().map(|(number, _)| *number);
    let numbers: Vec<u64> = match (spec.kind, oldest, *end) {
        (SourceKind::Market, Some(oldest), Some(end)) => {
            (oldest.max(end.saturating_sub(count as u64 - 1))..=end).collect()
        }
        // Blocks come when they come, and recordings leave some out: there is no clock that says which are missing.
        _ => windows.keys().copied().collect(),
    };
    let of = |number: u64| {
        let start = chunks::window_time(spec.kind, spec.window_ms, number);
        cell(number, start, windows.get(&number), undecided.contains(&number), validators)
    };
    let cells: Vec<api::AgreementCell> = numbers.into_iter().map(of).collect();
    // Fewer than asked for without a gap: the beginning.
    let next = cells.first().map(|c| c.window).filter(|first| windows.len() == count || oldest < Some(*first));
    api::AgreementRow {
        source: spec.id.clone(),
        origin: origin(spec.origin),
        kind: chunks::kind(spec.kind),
        window_ms: spec.window_ms,
        windows: cells,
        next,
    }
}

fn cell(
    window: u64,
    window_start: String,
    record: Option<&WindowRecord>,
    undecided: bool,
    validators: &[Address],
) -> api::AgreementCell {
    let Some(record) = record else {
        let votes = vec![api::Vote::NotAssigned; validators.len()];
        let status = api::WindowStatus::Missing;
        return api::AgreementCell {
            window,
            window_start,
            status,
            closed: true,
            accepted: 0,
            disputed: 0,
            differing: 0,
            votes,
        };
    };
    let mut differing: Vec<&str> = record.differing.iter().map(|d| d.stream.as_str()).collect();
    differing.sort_unstable();
    differing.dedup();
    api::AgreementCell {
        window,
        window_start,
        status: status(record, undecided),
        closed: record.closed,
        accepted: record.accepted,
        disputed: u32::try_from(record.disputed.len()).unwrap_or(u32::MAX),
        differing: u32::try_from(differing.len()).unwrap_or(u32::MAX),
        votes: validators.iter().map(|v| vote(record, v)).collect(),
    }
}

/// `undecided`: a claim waits for its quorum. Who has not attested may still differ, but changes nothing that is decided.
fn status(record: &WindowRecord, undecided: bool) -> api::WindowStatus {
    let says_nothing_yet = record.accepted == 0 && !record.not_attested().is_empty();
    if record.accepted == 0 && !record.disputed.is_empty() {
        api::WindowStatus::Disputed
    } else if !record.disputed.is_empty() || !record.differing.is_empty() {
        api::WindowStatus::Partly
    } else if !record.closed && (undecided || says_nothing_yet) {
        api::WindowStatus::Open
    } else if record.attested.is_empty() {
        api::WindowStatus::Missing
    } else {
        // Also a window of which all say that nothing happened in it.
        api::WindowStatus::Agreed
    }
}

fn vote(record: &WindowRecord, validator: &Address) -> api::Vote {
    let assigned = record.assigned.iter().any(|(address, _)| address == validator);
    if record.differing.iter().any(|d| d.validator == *validator) {
        api::Vote::Differing
    } else if record.attested.contains(validator) {
        api::Vote::Agreed
    } else if !assigned {
        api::Vote::NotAssigned
    } else if record.closed {
        api::Vote::Missing
    } else {
        api::Vote::Waiting
    }
}

/// What is wanted of a source's chunks.
#[derive(Debug, Default, Clone)]
pub struct ChunkFilter {
    /// Part of the stream's name.
    pub stream: Option<String>,
    /// Accepted or disputed.
    pub accepted: Option<bool>,
    /// Who named it.
    pub attester: Option<Address>,
    /// First window.
    pub from: Option<u64>,
    /// Last window.
    pub to: Option<u64>,
}

impl ChunkFilter {
    /// Whether a chunk is wanted.
    pub fn fits(&self, chunk: &RecentChunk) -> bool {
        self.stream.as_ref().is_none_or(|s| chunk.stream.contains(s.as_str()))
            && self.accepted.is_none_or(|a| a == chunk.accepted.is_some())
            && self.attester.is_none_or(|a| chunk.attesters.contains(&a))
            && self.from.is_none_or(|w| chunk.window >= w)
            && self.to.is_none_or(|w| chunk.window <= w)
    }
}

/// Where a page of a source's chunks goes on: in this window, behind this stream, or with its first one.
pub fn parse_place(text: &str) -> Option<(u64, String)> {
    let (window, stream) = text.split_once(':').unwrap_or((text, ""));
    Some((window.parse().ok()?, stream.to_string()))
}

/// A source's chunks from the state, newest window first, streams in order; and a cursor unless the beginning was reached.
pub fn chunks_of(
    state: &StateView,
    source: &SourceRecord,
    filter: &ChunkFilter,
    place: Option<(u64, String)>,
    limit: usize,
) -> Result<(Vec<RecentChunk>, Option<String>), Refusal> {
    let id = &source.spec.id;
    let newest = [place.as_ref().map(|(window, _)| *window), filter.to].into_iter().flatten().min();
    let mut before = newest.and_then(|window| window.checked_add(1)).map(|window| keys::window(id, window));
    let mut found: Vec<RecentChunk> = Vec::new();
    let mut searched = 0;
    loop {
        let batch = state.scan_back(&keys::windows_of(id), before.as_deref(), BATCH)?;
        let ended = batch.len() < BATCH;
        for pair in batch {
            let key = pair.0.clone();
            let (number, record) = read_window(pair)?;
            if filter.from.is_some_and(|from| number < from) {
                return Ok((found, None));
            }
            if searched == WINDOWS_SEARCHED_MAX {
                return Ok((found, Some(format!("{number}:"))));
            }
            searched += 1;
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

/// The chunks of one window: those accepted and those without quorum, by stream.
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
    let mut chunks = Vec::new();
    for (key, value) in state.scan(&prefix, None, ledger::CHUNK_CLAIMS_MAX)? {
        let stream = String::from_utf8_lossy(key.get(prefix.len()..).unwrap_or_default()).into_owned();
        let chunk: AcceptedChunk = canonical::decode(&value).map_err(|e| Refusal::internal("reading a chunk", &e))?;
        let differing = differing(&stream);
        // Whoever attested a window and is not named as differing in a stream has said what was agreed.
        let attesters = record.attested.iter().copied().filter(|v| !differing.contains(v)).collect();
        chunks.push(RecentChunk {
            number: 0,
            source: spec.id.clone(),
            window,
            stream,
            origin: spec.origin,
            accepted: Some((chunk.cid, chunk.bytes, chunk.events)),
            attesters,
            differing,
            height: chunk.height,
        });
    }
    chunks.extend(record.disputed.iter().map(|stream| RecentChunk {
        number: 0,
        source: spec.id.clone(),
        window,
        stream: stream.clone(),
        origin: spec.origin,
        accepted: None,
        attesters: Vec::new(),
        differing: differing(stream),
        height: record.closes_at,
    }));
    chunks.sort_by(|a, b| a.stream.cmp(&b.stream));
    Ok(chunks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use openmesh_ledger::{Differing, Origin, SourceSpec};

    fn record(attested: &[u8], accepted: u32, closed: bool) -> WindowRecord {
        WindowRecord {
            epoch: 1,
            assigned: (1..=3).map(|n| (Address([n; 20]), 1)).collect(),
            opened_by: Address([1; 20]),
            opened_height: 1,
            closes_at: 31,
            closed,
            attested: attested.iter().map(|n| Address([*n; 20])).collect(),
            accepted,
            absent: Vec::new(),
            differing: Vec::new(),
            disputed: Vec::new(),
        }
    }

    #[test]
    fn a_window_in_one_word() {
        let settled = |record: &WindowRecord| status(record, false);
        assert_eq!(settled(&record(&[1], 0, false)), api::WindowStatus::Open);
        assert_eq!(settled(&record(&[1, 2, 3], 2, false)), api::WindowStatus::Agreed);
        assert_eq!(settled(&record(&[1, 2, 3], 0, true)), api::WindowStatus::Agreed, "all say that nothing happened");
        let mut partly = record(&[1, 2, 3], 2, false);
        partly.differing.push(Differing { stream: "a".into(), validator: Address([3; 20]) });
        assert_eq!(settled(&partly), api::WindowStatus::Partly);
        let mut disputed = record(&[1, 2], 0, true);
        disputed.disputed.push("a".into());
        assert_eq!(settled(&disputed), api::WindowStatus::Disputed);
    }

    #[test]
    fn a_window_with_a_claim_without_quorum_is_open() {
        let claim = |stream: &str| ChunkClaim {
            stream: stream.into(),
            cid: openmesh_primitives::ContentId::of(b"chunk"),
            bytes: 1,
            events: 1,
        };
        let claims = [claim("a"), claim("a"), claim("b")];
        let mut window = record(&[1, 2], 1, false);
        assert!(is_undecided(&window, &claims), "b waits");
        assert_eq!(status(&window, true), api::WindowStatus::Open);
        window.accepted = 2;
        assert!(!is_undecided(&window, &claims));
        assert_eq!(status(&window, false), api::WindowStatus::Agreed);
        window.accepted = 1;
        window.absent.push("b".into());
        assert!(!is_undecided(&window, &claims), "that there is none is decided too");
    }

    #[test]
    fn each_validator_in_one_word() {
        let mut window = record(&[1, 2], 2, false);
        window.differing.push(Differing { stream: "a".into(), validator: Address([2; 20]) });
        let votes = |window: &WindowRecord| (1..=4).map(|n| vote(window, &Address([n; 20]))).collect::<Vec<_>>();
        use api::Vote::{Agreed, Differing as Differs, Missing, NotAssigned, Waiting};
        assert_eq!(votes(&window), [Agreed, Differs, Waiting, NotAssigned]);
        window.closed = true;
        assert_eq!(votes(&window), [Agreed, Differs, Missing, NotAssigned]);
    }

    #[test]
    fn a_gap_between_windows_is_shown() {
        let source = SourceRecord {
            spec: SourceSpec {
                id: "kraken".into(),
                exchange: "kraken".into(),
                kind: SourceKind::Market,
                symbols: vec!["BTC.USD".into()],
                feeds: vec!["trades".into()],
                window_ms: 1_000,
                origin: Origin::Replay,
            },
            owner: None,
            registered_height: 0,
            active_from_epoch: 0,
        };
        let page = |windows: &[u64], before| Shown {
            source: source.clone(),
            windows: windows.iter().map(|n| (*n, record(&[1, 2, 3], 1, true))).collect(),
            end: end(Some(8), before),
            undecided: BTreeSet::new(),
        };
        let shown = row(&page(&[5, 7, 8], None), &[Address([1; 20])], 3);
        let words: Vec<_> = shown.windows.iter().map(|c| (c.window, c.status)).collect();
        use api::WindowStatus::{Agreed, Missing};
        assert_eq!(words, [(6, Missing), (7, Agreed), (8, Agreed)]);
        assert_eq!(shown.next, Some(6), "window 5 comes with the next page");
        let second = row(&page(&[5], shown.next), &[], 3);
        assert_eq!(second.windows.iter().map(|c| c.window).collect::<Vec<_>>(), [5]);
        let gap = row(&page(&[5], Some(7)), &[], 1);
        assert_eq!((gap.windows[0].window, gap.windows[0].status), (6, Missing), "no page leaves it out");
        assert_eq!(gap.next, Some(6));
        let future = row(&page(&[5, 7, 8], Some(90)), &[], 3);
        assert_eq!(future.windows.last().map(|c| c.window), Some(8), "none that is still to come");
        assert!(row(&page(&[], Some(0)), &[], 3).windows.is_empty());
        let all = row(&page(&[5, 7, 8], None), &[], 10);
        assert_eq!((all.windows.len(), all.next), (4, None), "the beginning");
        assert_eq!(all.windows[0].window_start, "1970-01-01T00:00:05Z");
    }

    #[test]
    fn places_of_pages() {
        assert_eq!(parse_place("12:BTC.USD/trades"), Some((12, "BTC.USD/trades".into())));
        assert_eq!(parse_place("12"), Some((12, String::new())));
        assert_eq!(parse_place("x:BTC.USD/trades"), None);
    }
}
