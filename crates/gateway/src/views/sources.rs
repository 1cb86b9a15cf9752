//! Sources.

use openmesh_api as api;
use openmesh_collector::SourceLiveness;
use openmesh_ledger::{SourceProgress, SourceSpec};
use openmesh_primitives::{Address, Timestamp};

use super::words;
use crate::memory::Activity;

/// A source: as registered, as far as the ledger has come with it, and as this site sees it.
pub fn info(
    spec: SourceSpec,
    progress: &SourceProgress,
    assigned: &[Address],
    epoch: u64,
    site: Activity,
    collection: Option<api::SourceCollection>,
) -> api::SourceInfo {
    api::SourceInfo {
        kind: words::kind(spec.kind),
        origin: words::origin(spec.origin),
        assigned: assigned.iter().map(ToString::to_string).collect(),
        epoch,
        last_window: progress.last_window,
        last_event_time: site.last_event.map(Timestamp::to_rfc3339),
        silent_ms: site.silent_ms,
        stale: site.stale,
        events_per_second: site.events_per_second,
        incidents: site.incidents,
        collection,
        id: spec.id,
        exchange: spec.exchange,
        symbols: spec.symbols,
        feeds: spec.feeds,
        window_ms: spec.window_ms,
    }
}

/// Collection of a source at this site.
pub fn collection(liveness: SourceLiveness, activity: &Activity, now: Timestamp) -> api::SourceCollection {
    let small = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    api::SourceCollection {
        connections: small(liveness.connections),
        connections_open: small(liveness.connections_open),
        books_in_step: small(liveness.books_in_step),
        last_frame: liveness.last_frame.map(Timestamp::to_rfc3339),
        lag_ms: liveness.lag_ms,
        chunks_covered: liveness.chunks_covered,
        chunks_not_covered: liveness.chunks_not_covered,
        chunks_withdrawn: liveness.withdrawn,
        lines_lost: liveness.lines_lost,
        troubles: troubles(&liveness, activity, now),
        last_incident: liveness.last_incident,
    }
}

/// Troubles of a source that is collected here.
pub fn troubles(liveness: &SourceLiveness, activity: &Activity, now: Timestamp) -> Vec<api::SourceTrouble> {
    let banned = liveness.banned_until.filter(|until| *until > now).map(|until| {
        (api::TroubleKind::Banned, format!("the venue makes this address wait until {}", until.to_rfc3339()))
    });
    let archive = liveness.archive_trouble.clone().map(|trouble| (api::TroubleKind::Archive, trouble));
    let silent = activity.stale.then(|| {
        let detail = match activity.silent_ms {
            Some(ms) => format!("nothing was heard for {} s", ms / 1_000),
            None => "nothing was heard since the start".to_string(),
        };
        (api::TroubleKind::Silent, detail)
    });
    let outputs = (liveness.outputs_dropped > 0).then(|| {
        let detail = format!("{} windows, withdrawals or incidents were given up", liveness.outputs_dropped);
        (api::TroubleKind::Outputs, detail)
    });
    let all = [banned, archive, silent, outputs].into_iter().flatten();
    all.map(|(kind, detail)| api::SourceTrouble { source: liveness.source.clone(), kind, detail }).collect()
}

/// True where a source is wanted.
pub fn fits(query: &api::SourceQuery, source: &api::SourceInfo) -> bool {
    query.exchange.as_ref().is_none_or(|e| *e == source.exchange)
        && query.kind.is_none_or(|k| k == source.kind)
        && query.symbol.as_ref().is_none_or(|s| source.symbols.contains(s))
        && query.feed.as_ref().is_none_or(|f| source.feeds.contains(f))
        && query.stale.is_none_or(|s| s == source.stale)
}

#[cfg(test)]
mod tests {
    use super::*;
    use openmesh_ledger::{Origin, SourceKind};

    #[test]
    fn a_source_is_found_by_each_of_its_words() {
        let spec = SourceSpec {
            id: "kraken".into(),
            exchange: "kraken".into(),
            kind: SourceKind::Market,
            symbols: vec!["BTC.USD".into()],
            feeds: vec!["trades".into()],
            window_ms: 1_000,
            origin: Origin::Live,
        };
        let info = info(spec, &SourceProgress::default(), &[Address([1; 20])], 4, Activity::unheard(), None);
        assert_eq!((info.stale, info.assigned.len(), info.epoch), (true, 1, 4));
        let all = api::SourceQuery::default();
        assert!(fits(&all, &info));
        assert!(fits(&api::SourceQuery { feed: Some("trades".into()), stale: Some(true), ..all.clone() }, &info));
        for other in [
            api::SourceQuery { symbol: Some("ETH.USD".into()), ..all.clone() },
            api::SourceQuery { kind: Some(api::SourceKind::Chain), ..all.clone() },
            api::SourceQuery { stale: Some(false), ..all },
        ] {
            assert!(!fits(&other, &info), "{other:?}");
        }
    }

    #[test]
    fn a_full_disk_a_ban_and_silence_are_troubles_until_they_end() {
        let (now, later) = (Timestamp::from_millis(1_000), Timestamp::from_millis(2_000));
        let mut liveness: SourceLiveness = serde_json::from_value(serde_json::json!({
            "source": "kraken", "exchange": "kraken", "connections": 2, "connections_open": 1, "books_in_step": 0, "frames": 0,
            "events": 0, "incidents": 0, "reconnects": 0, "last_frame": null, "watermark": null, "lag_ms": 0, "windows": 0,
            "chunks_covered": 0, "chunks_not_covered": 0, "withdrawn": 3, "outputs_dropped": 0, "lines_lost": 0,
            "last_incident": null, "archive_trouble": null, "banned_until": null,
        }))
        .unwrap();
        let heard = Activity { silent_ms: Some(0), ..Activity::default() };
        let kinds = |liveness: &SourceLiveness, activity: &Activity| -> Vec<api::TroubleKind> {
            troubles(liveness, activity, now).into_iter().map(|trouble| trouble.kind).collect()
        };
        assert_eq!(kinds(&liveness, &heard), []);
        liveness.archive_trouble = Some("no space left on device".into());
        liveness.banned_until = Some(later);
        use api::TroubleKind::{Archive, Banned, Silent};
        assert_eq!(kinds(&liveness, &Activity::unheard()), [Banned, Archive, Silent]);
        liveness.banned_until = Some(now);
        assert_eq!(kinds(&liveness, &heard), [Archive], "the wait is over");
        let shown = collection(liveness, &heard, now);
        assert_eq!((shown.connections, shown.chunks_withdrawn, shown.troubles.len()), (2, 3, 1));
    }
}
