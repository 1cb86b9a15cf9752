//! Sources.

use openmesh_api as api;
use openmesh_ledger::{SourceProgress, SourceSpec};
use openmesh_primitives::{Address, Timestamp};

use super::words;
use crate::memory::Liveness;

/// A source: as registered, as far as the ledger has come with it, and as this site sees it.
pub fn info(
    spec: SourceSpec,
    progress: &SourceProgress,
    assigned: &[Address],
    epoch: u64,
    site: Liveness,
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
        id: spec.id,
        exchange: spec.exchange,
        symbols: spec.symbols,
        feeds: spec.feeds,
        window_ms: spec.window_ms,
    }
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
        let info = info(spec, &SourceProgress::default(), &[Address([1; 20])], 4, Liveness::unheard());
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
}
