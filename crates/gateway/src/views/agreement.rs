//! Agreement of the validators on the windows of sources.

use std::collections::{BTreeMap, BTreeSet};

use openmesh_api as api;
use openmesh_ledger::{ChunkClaim, SourceKind, SourceRecord, WindowRecord};
use openmesh_primitives::Address;

use super::{chunks, words};

/// The windows of a source that a row is made of.
#[derive(Debug)]
pub struct Shown {
    /// The source.
    pub source: SourceRecord,
    /// Recorded windows by their number.
    pub windows: BTreeMap<u64, WindowRecord>,
    /// The row's last window, recorded or not.
    pub end: Option<u64>,
    /// Open windows with a claim that is not decided.
    pub undecided: BTreeSet<u64>,
}

/// The last window of a page: the one right before, also where nobody attested it, and none that is still to come.
pub fn end(newest: Option<u64>, before: Option<u64>) -> Option<u64> {
    match before {
        Some(before) => newest.min(before.checked_sub(1)),
        None => newest,
    }
}

/// True where somebody claims a stream of which nothing is decided: neither a chunk nor that there is none.
pub fn is_undecided(record: &WindowRecord, claims: &[ChunkClaim]) -> bool {
    let claimed: BTreeSet<&str> = claims.iter().map(|claim| claim.stream.as_str()).collect();
    claimed.len() > record.accepted as usize + record.absent.len()
}

/// A row of the matrix: the last `count` windows of a source.
pub fn row(shown: &Shown, validators: &[Address], count: usize) -> api::AgreementRow {
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
        origin: words::origin(spec.origin),
        kind: words::kind(spec.kind),
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
            uncovered: 0,
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
        uncovered: u32::try_from(record.uncovered.len()).unwrap_or(u32::MAX),
        differing: u32::try_from(differing.len()).unwrap_or(u32::MAX),
        votes: validators.iter().map(|v| vote(record, v)).collect(),
    }
}

/// `undecided`: a claim waits for its quorum. Who has not attested may still differ, but changes nothing that is decided.
fn status(record: &WindowRecord, undecided: bool) -> api::WindowStatus {
    let says_nothing_yet = record.accepted == 0 && !record.not_attested().is_empty();
    let without = record.disputed.len() + record.uncovered.len();
    if record.accepted == 0 && !record.disputed.is_empty() {
        api::WindowStatus::Disputed
    } else if record.accepted == 0 && without > 0 {
        api::WindowStatus::Uncovered
    } else if without > 0 || !record.differing.is_empty() {
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
    } else if record.abstained.iter().any(|a| a.validator == *validator) {
        api::Vote::Abstained
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

#[cfg(test)]
mod tests {
    use super::*;
    use openmesh_ledger::{Abstention, Differing, Origin, SourceSpec};

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
            uncovered: Vec::new(),
            abstained: Vec::new(),
            committed: Vec::new(),
            commits_until: 0,
            quorum: None,
            unopened: Vec::new(),
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
        disputed.uncovered.push("b".into());
        assert_eq!(settled(&disputed), api::WindowStatus::Disputed);
        let mut uncovered = record(&[1, 2], 0, true);
        uncovered.uncovered.push("a".into());
        assert_eq!(settled(&uncovered), api::WindowStatus::Uncovered);
        let shown = cell(1, String::new(), Some(&uncovered), false, &[]);
        assert_eq!((shown.accepted, shown.disputed, shown.uncovered), (0, 0, 1));
        uncovered.accepted = 1;
        assert_eq!(settled(&uncovered), api::WindowStatus::Partly);
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
        use api::Vote::{Abstained, Agreed, Differing as Differs, Missing, NotAssigned, Waiting};
        assert_eq!(votes(&window), [Agreed, Differs, Waiting, NotAssigned]);
        window.closed = true;
        assert_eq!(votes(&window), [Agreed, Differs, Missing, NotAssigned]);
        window.abstained =
            [1, 2].map(|n| Abstention { validator: Address([n; 20]), streams: vec!["b".into()] }).to_vec();
        assert_eq!(votes(&window), [Abstained, Differs, Missing, NotAssigned]);
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
            registered_time: openmesh_primitives::Timestamp::from_millis(0),
            active_from_epoch: 0,
            changed: None,
            retires_from_epoch: None,
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
}
