//! Candles made from trades: agreed ones from the tables, the newest from the live stream.
//!
//! The tables hold the whole history, and an instrument that trades seldom has few candles in much of it. So a search looks
//! back a bounded number of times as far as the chart is wide, and then says how far it looked.

use axum::Json;
use axum::extract::{Path, State};
use openmesh_api as api;
use openmesh_api::limits::{CANDLES_DEFAULT, CANDLES_MAX};
use openmesh_ledger::{self as ledger, SourceSpec};
use openmesh_market::Exchange;
use openmesh_primitives::{Symbol, Timestamp};
use openmesh_pythia::{Handle as Pythia, Limits, Query as Sql, QueryError};
use tokio_util::sync::CancellationToken;

use crate::error::Refusal;
use crate::http::instrument::instrument;
use crate::http::request::{self, Params, limited};
use crate::node::Node;
use crate::views::{self, words};

/// Widths of the chart that a search looks back where the newest one holds too few candles: a chart of minutes finds what was
/// traded within two days.
const WIDTHS_MAX: i64 = 16;
/// Time of one query for candles in milliseconds: a chart that takes longer is not waited for.
const QUERY_MS_MAX: u64 = 3_000;

/// Candles made from trades: agreed ones from the tables, the newest from the live stream.
#[utoipa::path(get, path = api::path::CANDLES, tag = "market", params(("exchange" = String, Path), ("symbol" = String, Path), api::CandleQuery), responses((status = 200, body = api::CandleList), (status = 404, body = api::ErrorBody)))]
pub async fn candles(
    State(node): State<Node>,
    Path((exchange, symbol)): Path<(String, String)>,
    Params(query): Params<api::CandleQuery>,
) -> Result<Json<api::CandleList>, Refusal> {
    let (exchange, symbol) = instrument(&node.memory().register(), &exchange, &symbol)?;
    let limit = limited("limit", query.limit, CANDLES_DEFAULT, CANDLES_MAX)?;
    let end = query.before.as_deref().map(request::time).transpose()?.map_or(i64::MAX, Timestamp::nanos);
    let seconds = query.interval.unwrap_or_default().seconds();
    let nanos = seconds * 1_000_000_000;
    let name = symbol.to_string();
    // Nothing is missing between these trades, so whole intervals after the first of them come from memory. What lies
    // before, and so before any hole, comes from the tables, which hold what was agreed on.
    let source = node.source_of(exchange.name(), &name);
    let of_source = |source: &SourceSpec| node.memory().live().unbroken_trades(&source.id, &name);
    let live = source.as_ref().map(of_source).unwrap_or_default();
    let border = live.first().map(|(at, _)| at.nanos().div_euclid(nanos).saturating_add(1).saturating_mul(nanos));
    let from_memory = |at: i64| border.is_some_and(|border| at >= border) && at < end;
    let counted = || live.iter().filter(|(at, _)| from_memory(at.nanos()));
    let newest = views::market::candles(counted(), nanos);
    let last_trade = counted().next_back().cloned().map(views::market::trade);
    let before = match border {
        Some(border) => Some(border.min(end)),
        None => agreed_until(&node, source.clone()).await?.map(|agreed| agreed.min(end)),
    };
    let mut found = Found::default();
    if let Some(before) = before {
        let wanted = Wanted { exchange, symbol, seconds, before, limit: limit.saturating_sub(newest.len()) };
        found = from_lake(node.candle_queries(), &wanted).await?;
    }
    let mut items = found.items;
    items.extend(newest);
    let surplus = items.len().saturating_sub(limit);
    items.drain(..surplus);
    let stale = source.as_ref().is_none_or(|source| node.activity(&source.id).stale);
    let origin = source.map_or(node.origin(), |source| words::origin(source.origin));
    let searched_from = found.searched_from.map(|nanos| Timestamp(nanos).to_rfc3339());
    Ok(Json(api::CandleList { origin, stale, items, searched_from, last_trade }))
}

/// End of the newest agreed window of a source in nanoseconds: where nothing is heard live, the newest candles lie
/// before it, also in a recording of last year.
async fn agreed_until(node: &Node, source: Option<SourceSpec>) -> Result<Option<i64>, Refusal> {
    let Some(SourceSpec { id, window_ms, .. }) = source else { return Ok(None) };
    node.read(move |node| {
        let newest = ledger::source_progress(&node.store().state()?, &id)?.last_window;
        let end_ms = newest.and_then(|window| i64::try_from(window.saturating_add(1).saturating_mul(window_ms)).ok());
        Ok(end_ms.map(|millis| Timestamp::from_millis(millis).nanos()))
    })
    .await
}

/// Candles that are wanted from the tables.
struct Wanted {
    exchange: Exchange,
    symbol: Symbol,
    seconds: i64,
    /// Only trades before this time, in nanoseconds.
    before: i64,
    limit: usize,
}

/// Candles from the tables, oldest first.
#[derive(Debug, Default)]
struct Found {
    items: Vec<api::CandleView>,
    /// Time from which on trades were searched, in nanoseconds, where fewer candles were found than wanted.
    searched_from: Option<i64>,
}

impl Wanted {
    /// First moment of so many widths of the chart, in nanoseconds.
    fn from(&self, widths: i64) -> i64 {
        let intervals = i64::try_from(self.limit).unwrap_or(i64::MAX);
        let width = self.seconds.saturating_mul(1_000_000_000).saturating_mul(intervals);
        self.before.saturating_sub(width.saturating_mul(widths)).max(0)
    }

    /// The words in the query are checked enumerations and parsed symbols: nothing of a stranger's text gets into it.
    /// Trades of one moment stand in the order of their chunk, so that the same one opens and closes at every node.
    fn sql(&self, from: i64) -> String {
        let Wanted { exchange, symbol, seconds, limit, before } = self;
        let order = "ts_exchange, window_start, event_index";
        format!(
            "select date_bin(interval '{seconds} seconds', ts_exchange) as start, first_value(price order by {order}), max(price), \
             min(price), last_value(price order by {order}), sum(size), count(*) from trades \
             where exchange = '{exchange}' and symbol = '{symbol}' and ts_exchange >= to_timestamp_nanos({from}) \
             and ts_exchange < to_timestamp_nanos({before}) group by 1 order by 1 desc limit {limit}"
        )
    }
}

/// Candles from the tables: of the newest width, and where that holds too few, of some more. Fails as a query does; where the
/// wider search takes too long, the narrow one is the answer.
async fn from_lake(pythia: &Pythia, wanted: &Wanted) -> Result<Found, Refusal> {
    if wanted.limit == 0 {
        return Ok(Found::default());
    }
    let (near, far) = (wanted.from(1), wanted.from(WIDTHS_MAX));
    let items = rows(pythia, wanted.sql(near)).await?;
    if items.len() >= wanted.limit || near == far {
        return Ok(Found { searched_from: (items.len() < wanted.limit && near > 0).then_some(near), items });
    }
    match rows(pythia, wanted.sql(far)).await {
        Ok(items) => Ok(Found { searched_from: (items.len() < wanted.limit && far > 0).then_some(far), items }),
        Err(QueryError::TimedOut { .. }) => Ok(Found { items, searched_from: Some(near) }),
        Err(error) => Err(error.into()),
    }
}

async fn rows(pythia: &Pythia, sql: String) -> Result<Vec<api::CandleView>, QueryError> {
    let limits = Limits { time_ms_max: Some(QUERY_MS_MAX), rows_max: None, result_bytes_max: None };
    let result = pythia.query(Sql { sql, limits, cancel: CancellationToken::new() }).await?;
    Ok(result.rows.iter().rev().map(|row| views::market::candle_of_row(row)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use openmesh_lake::{AcceptedChunkMeta, Lake};
    use openmesh_market::window::{Chunk, ChunkHeader, Rows, Stream, TradeRow, WindowIndex, WindowLength};
    use openmesh_market::{Feed, Side};

    /// Length of a window in seconds.
    const WINDOW: i64 = 10;

    /// Trades (second, price) of one window in the order of its chunk.
    async fn append(lake: &Lake, window: i64, trades: &[(i64, i64)]) {
        let row = |(id, (second, price)): (usize, &(i64, i64))| TradeRow {
            ts: Timestamp::from_millis(second * 1_000),
            id: Some(id.to_string()),
            side: Side::Buy,
            price: (*price).into(),
            size: 1.into(),
        };
        let stream = Stream { exchange: Exchange::Kraken, symbol: "BTC.USD".parse().unwrap(), feed: Feed::Trades };
        let header = ChunkHeader::new(
            stream,
            WindowIndex(window),
            WindowLength::from_ms(u32::try_from(WINDOW * 1_000).unwrap()),
        )
        .unwrap();
        let chunk = Chunk::encode(header, Rows::Trades(trades.iter().enumerate().map(row).collect())).unwrap();
        let meta = AcceptedChunkMeta {
            source: "kraken".into(),
            origin: "simulated".into(),
            cid: chunk.cid,
            window: u64::try_from(window).unwrap(),
            stream: "BTC.USD/trades".into(),
            height: 1,
        };
        lake.append_chunk(&meta, &chunk.bytes).await.unwrap();
    }

    fn wanted(before_second: i64, limit: usize) -> Wanted {
        let symbol = "BTC.USD".parse().unwrap();
        let before = before_second * 1_000_000_000;
        Wanted { exchange: Exchange::Kraken, symbol, seconds: WINDOW, before, limit }
    }

    #[tokio::test]
    async fn candles_of_tables_are_those_before_the_live_ones() {
        let folder = tempfile::tempdir().unwrap();
        let lake = Lake::open(folder.path(), openmesh_lake::Config::default()).await.unwrap();
        // Within one moment prices go up and down, so that no order but the chunk's gives this open and close.
        let moment: Vec<(i64, i64)> = (0..64).map(|n| (1_000, 100 + n * 37 % 64)).collect();
        append(&lake, 100, &moment).await;
        append(&lake, 101, &[(1_010, 5)]).await;
        append(&lake, 4, &[(40, 7)]).await;
        let pythia = openmesh_pythia::Pythia::start(openmesh_pythia::Config::default(), lake).unwrap();
        let near = from_lake(&pythia, &wanted(1_020, 2)).await.unwrap();
        assert_eq!(near.searched_from, None, "the list is full");
        let near = near.items;
        let first = near.first().unwrap();
        assert_eq!((first.open.as_str(), first.close.as_str(), first.trades), ("100", "127", 64), "{near:?}");
        assert_eq!(near.len(), 2);
        let wide = from_lake(&pythia, &wanted(1_020, 8)).await.unwrap();
        assert_eq!((wide.items.len(), wide.items[0].open.as_str()), (3, "7"), "too few in the newest part");
        assert_eq!(wide.searched_from, None, "16 widths of 80 s reach back to the beginning");
        let bounded = from_lake(&pythia, &wanted(1_020, 3)).await.unwrap();
        assert_eq!(bounded.items.len(), 2, "a quiet instrument does not make the whole history be read");
        assert_eq!(bounded.searched_from, Some(540_000_000_000));
        assert!(from_lake(&pythia, &wanted(1_020, 0)).await.unwrap().items.is_empty());
    }

    #[test]
    fn the_newest_part_is_asked_for_first() {
        let wanted = wanted(1_020, 3);
        assert_eq!(wanted.from(1), 990_000_000_000);
        assert!(wanted.sql(wanted.from(1)).contains("ts_exchange >= to_timestamp_nanos(990000000000)"));
    }
}
