//! Books, candles and trades.

use axum::Json;
use axum::extract::{Path, State};
use openmesh_api as api;
use openmesh_market::{EventKind, Exchange};
use openmesh_primitives::{Decimal, Symbol, Timestamp};
use openmesh_pythia::{Handle as Pythia, Query as Sql};
use serde::Deserialize;

use crate::error::Refusal;
use crate::live::{TimedTrade, age_ms};
use crate::node::Node;
use crate::page::{Params, limited};

/// Levels of a side where none are asked for.
const DEPTH_DEFAULT: usize = 25;
/// Most levels of a side.
pub const DEPTH_MAX: usize = 1_000;
/// Candles where none are asked for.
const CANDLES_DEFAULT: usize = 200;
/// Most candles.
pub const CANDLES_MAX: usize = 1_500;
/// Trades where none are asked for.
const TRADES_DEFAULT: usize = 50;
/// Most trades.
pub const TRADES_MAX: usize = 1_000;
/// Lengths of candles: word and seconds.
const INTERVALS: [(&str, i64); 8] =
    [("1s", 1), ("5s", 5), ("15s", 15), ("1m", 60), ("5m", 300), ("15m", 900), ("1h", 3_600), ("1d", 86_400)];

fn instrument(node: &Node, exchange: &str, symbol: &str) -> Result<(Exchange, Symbol), Refusal> {
    let exchange: Exchange = exchange
        .parse()
        .map_err(|e| Refusal::not_found("unknown_exchange", format!("{e}"), "/v1/sources lists what is collected"))?;
    let symbol: Symbol = symbol
        .parse()
        .map_err(|e| Refusal::bad("bad_symbol", format!("{e}"), "a symbol is BASE.QUOTE, such as BTC.USDT"))?;
    if !node.collects(exchange.name(), &symbol.to_string()) {
        return Err(Refusal::not_found(
            "unknown_symbol",
            format!("{symbol} of {exchange} is not collected here"),
            "/v1/sources lists what is",
        ));
    }
    Ok((exchange, symbol))
}

/// How deep.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct BookQuery {
    /// Levels of each side, 25 where absent.
    #[param(minimum = 1, maximum = 1000)]
    depth: Option<usize>,
}

/// The live order book.
#[utoipa::path(get, path = "/v1/books/{exchange}/{symbol}", tag = "market", params(("exchange" = String, Path), ("symbol" = String, Path), BookQuery), responses((status = 200, body = api::BookView), (status = 404, body = api::ErrorBody), (status = 503, body = api::ErrorBody)))]
pub async fn book(
    State(node): State<Node>,
    Path((exchange, symbol)): Path<(String, String)>,
    Params(query): Params<BookQuery>,
) -> Result<Json<api::BookView>, Refusal> {
    let (exchange, symbol) = instrument(&node, &exchange, &symbol)?;
    let out_of_step = || {
        Refusal::unavailable(
            "book_out_of_step",
            format!("the book of {symbol} at {exchange} is not in step with the venue"),
            "it resynchronises by itself; the reason is among /v1/incidents",
        )
    };
    let depth = limited("depth", query.depth, DEPTH_DEFAULT, DEPTH_MAX)?;
    let event = node.collector().book(exchange, &symbol).await.ok_or_else(out_of_step)?;
    let EventKind::BookSnapshot(book) = &event.kind else { return Err(out_of_step()) };
    let side = |levels: &[(Decimal, Decimal)]| -> Vec<(String, String)> {
        levels.iter().take(depth).map(|(price, size)| (price.to_string(), size.to_string())).collect()
    };
    Ok(Json(api::BookView {
        exchange: exchange.name().into(),
        symbol: symbol.to_string(),
        origin: node.origin(),
        ts_exchange: event.ts_exchange.map(Timestamp::to_rfc3339),
        age_ms: age_ms(event.ts_capture),
        stale: node.site_of_exchange(exchange.name()).stale,
        bids: side(&book.bids),
        asks: side(&book.asks),
    }))
}

/// Which candles.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct CandleQuery {
    /// `1s`, `5s`, `15s`, `1m`, `5m`, `15m`, `1h` or `1d`; `1m` where absent.
    interval: Option<String>,
    /// How many, the newest; 200 where absent.
    #[param(minimum = 1, maximum = 1500)]
    limit: Option<usize>,
}

/// Candles made from trades: agreed ones from the tables, the newest from the live stream.
#[utoipa::path(get, path = "/v1/candles/{exchange}/{symbol}", tag = "market", params(("exchange" = String, Path), ("symbol" = String, Path), CandleQuery), responses((status = 200, body = api::CandleList), (status = 404, body = api::ErrorBody)))]
pub async fn candles(
    State(node): State<Node>,
    Path((exchange, symbol)): Path<(String, String)>,
    Params(query): Params<CandleQuery>,
) -> Result<Json<api::CandleList>, Refusal> {
    let (exchange, symbol) = instrument(&node, &exchange, &symbol)?;
    let word = query.interval.as_deref().unwrap_or("1m");
    let (_, seconds) = INTERVALS.into_iter().find(|(known, _)| *known == word).ok_or_else(|| {
        let known = INTERVALS.map(|(word, _)| word).join(", ");
        Refusal::bad("bad_interval", format!("{word:.20?} is no interval"), format!("one of {known}"))
    })?;
    let limit = limited("limit", query.limit, CANDLES_DEFAULT, CANDLES_MAX)?;
    let nanos = seconds * 1_000_000_000;
    // Nothing is missing between these trades, so whole intervals after the first of them come from memory. What lies
    // before, and so before any hole, comes from the tables, which hold what was agreed on.
    let live = node.live().unbroken_trades(exchange.name(), &symbol.to_string());
    let border = live.first().map(|(at, _)| at.nanos().div_euclid(nanos).saturating_add(1).saturating_mul(nanos));
    let newest = make(live.iter().filter(|(at, _)| border.is_some_and(|b| at.nanos() >= b)), nanos);
    let wanted = Wanted { exchange, symbol, seconds, before: border, limit: limit.saturating_sub(newest.len()) };
    let mut items = agreed(node.own_queries(), &wanted).await?;
    items.extend(newest);
    let surplus = items.len().saturating_sub(limit);
    items.drain(..surplus);
    let stale = node.site_of_exchange(exchange.name()).stale;
    Ok(Json(api::CandleList { origin: node.origin(), stale, items }))
}

/// Candles that are wanted from the tables.
struct Wanted {
    exchange: Exchange,
    symbol: Symbol,
    seconds: i64,
    /// Only trades before this time, in nanoseconds.
    before: Option<i64>,
    limit: usize,
}

impl Wanted {
    /// Where as many intervals begin as are wanted, were there a trade in each.
    fn from(&self) -> Option<i64> {
        let span = self.seconds.saturating_mul(1_000_000_000).saturating_mul(i64::try_from(self.limit).ok()?);
        Some(self.before?.saturating_sub(span))
    }

    /// The words in the query are checked enumerations and parsed symbols: nothing of a stranger's text gets into it.
    /// Trades of one moment stand in the order of their chunk, so that the same one opens and closes at every node.
    fn sql(&self, from: Option<i64>) -> String {
        let Wanted { exchange, symbol, seconds, limit, .. } = self;
        let after = from.map_or(String::new(), |nanos| format!("and ts_exchange >= to_timestamp_nanos({nanos})"));
        let before =
            self.before.map_or(String::new(), |nanos| format!("and ts_exchange < to_timestamp_nanos({nanos})"));
        let order = "ts_exchange, window_start, event_index";
        format!(
            "select date_bin(interval '{seconds} seconds', ts_exchange) as start, first_value(price order by {order}), max(price), \
             min(price), last_value(price order by {order}), sum(size), count(*) from trades \
             where exchange = '{exchange}' and symbol = '{symbol}' {after} {before} group by 1 order by 1 desc limit {limit}"
        )
    }
}

/// Candles from the tables, oldest first. The whole history is read only where the newest part of it holds too few.
async fn agreed(pythia: &Pythia, wanted: &Wanted) -> Result<Vec<api::CandleView>, Refusal> {
    if wanted.limit == 0 {
        return Ok(Vec::new());
    }
    let from = wanted.from();
    let near = from_tables(pythia, wanted.sql(from)).await?;
    if from.is_none() || near.len() >= wanted.limit {
        return Ok(near);
    }
    from_tables(pythia, wanted.sql(None)).await
}

async fn from_tables(pythia: &Pythia, sql: String) -> Result<Vec<api::CandleView>, Refusal> {
    let result = pythia.query(Sql::new(sql)).await.map_err(crate::sql::refuse)?;
    let mut items: Vec<api::CandleView> = result
        .rows
        .iter()
        .map(|row| {
            let text = |at: usize| match row.get(at) {
                Some(serde_json::Value::String(text)) => text.clone(),
                Some(other) => other.to_string(),
                None => String::new(),
            };
            api::CandleView {
                start: text(0),
                open: text(1),
                high: text(2),
                low: text(3),
                close: text(4),
                volume: text(5),
                trades: text(6).parse().unwrap_or(0),
            }
        })
        .collect();
    items.reverse();
    Ok(items)
}

/// Candles of trades, which open and close as those of the tables do: by time and then by id, not by arrival, for one
/// venue lists the newest trade of a frame first. Source: `docs/spec/windows.md`, canonical order.
fn make<'a>(trades: impl Iterator<Item = &'a TimedTrade>, nanos: i64) -> Vec<api::CandleView> {
    struct Open {
        start: i64,
        open: Decimal,
        high: Decimal,
        low: Decimal,
        close: Decimal,
        volume: Decimal,
        trades: u64,
    }
    let mut all: Vec<Open> = Vec::new();
    let mut trades: Vec<&TimedTrade> = trades.collect();
    trades.sort_by(|a, b| order(a).cmp(&order(b)));
    for (at, trade) in trades {
        let start = at.nanos().div_euclid(nanos) * nanos;
        match all.last_mut().filter(|c| c.start == start) {
            Some(candle) => {
                candle.high = candle.high.max(trade.price);
                candle.low = candle.low.min(trade.price);
                candle.close = trade.price;
                candle.volume = candle.volume.checked_add(trade.size).unwrap_or(candle.volume);
                candle.trades += 1;
            }
            None => all.push(Open {
                start,
                open: trade.price,
                high: trade.price,
                low: trade.price,
                close: trade.price,
                volume: trade.size,
                trades: 1,
            }),
        }
    }
    all.into_iter()
        .map(|c| api::CandleView {
            start: Timestamp(c.start).to_rfc3339(),
            open: c.open.to_string(),
            high: c.high.to_string(),
            low: c.low.to_string(),
            close: c.close.to_string(),
            volume: c.volume.to_string(),
            trades: c.trades,
        })
        .collect()
}

/// A shorter id is a smaller number.
fn order((at, trade): &TimedTrade) -> (Timestamp, Option<(usize, &str)>) {
    (*at, trade.id.as_deref().map(|id| (id.len(), id)))
}

/// Which trades.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct TradeQuery {
    /// How many, the newest; 50 where absent.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// The newest trades at this site.
#[utoipa::path(get, path = "/v1/trades/{exchange}/{symbol}", tag = "market", params(("exchange" = String, Path), ("symbol" = String, Path), TradeQuery), responses((status = 200, body = api::TradeList), (status = 404, body = api::ErrorBody)))]
pub async fn trades(
    State(node): State<Node>,
    Path((exchange, symbol)): Path<(String, String)>,
    Params(query): Params<TradeQuery>,
) -> Result<Json<api::TradeList>, Refusal> {
    let (exchange, symbol) = instrument(&node, &exchange, &symbol)?;
    let limit = limited("limit", query.limit, TRADES_DEFAULT, TRADES_MAX)?;
    let items = node
        .live()
        .trades(exchange.name(), &symbol.to_string())
        .into_iter()
        .rev()
        .take(limit)
        .map(|(at, trade)| api::TradeView {
            time: at.to_rfc3339(),
            side: if trade.side == openmesh_market::Side::Buy { api::Side::Buy } else { api::Side::Sell },
            price: trade.price.to_string(),
            size: trade.size.to_string(),
            id: trade.id,
        })
        .collect();
    let stale = node.site_of_exchange(exchange.name()).stale;
    Ok(Json(api::TradeList { origin: node.origin(), stale, items }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use openmesh_lake::{AcceptedChunkMeta, Lake};
    use openmesh_market::event::Trade;
    use openmesh_market::window::{Chunk, ChunkHeader, Rows, Stream, TradeRow};
    use openmesh_market::{Feed, Side};

    /// Length of a window in seconds.
    const WINDOW: i64 = 10;

    #[test]
    fn candles_of_trades() {
        let trade = |second: i64, price: i64, id: &str| {
            let (size, id) = (Decimal::new(15, 1), Some(id.to_string()));
            let trade = Trade { side: Side::Buy, price: price.into(), size, id, snapshot: false };
            (Timestamp::from_millis(second * 1_000), trade)
        };
        let trades = [trade(0, 10, "8"), trade(59, 9, "10"), trade(59, 12, "9"), trade(60, 11, "11")];
        let made = make(trades.iter(), 60_000_000_000);
        assert_eq!(made.len(), 2);
        let first = &made[0];
        assert_eq!(
            (first.open.as_str(), first.high.as_str(), first.low.as_str(), first.close.as_str()),
            ("10", "12", "9", "9")
        );
        assert_eq!((first.volume.as_str(), first.trades), ("4.5", 3));
        assert_eq!(made[1].start, "1970-01-01T00:01:00Z");
    }

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
        let header = ChunkHeader::new(stream, window, u32::try_from(WINDOW * 1_000).unwrap()).unwrap();
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
        let before = Some(before_second * 1_000_000_000);
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
        let near = agreed(&pythia, &wanted(1_020, 2)).await.unwrap();
        let first = near.first().unwrap();
        assert_eq!((first.open.as_str(), first.close.as_str(), first.trades), ("100", "127", 64), "{near:?}");
        assert_eq!(near.len(), 2);
        let wide = agreed(&pythia, &wanted(1_020, 3)).await.unwrap();
        assert_eq!((wide.len(), wide[0].open.as_str()), (3, "7"), "too few in the newest part: all is searched");
        assert!(agreed(&pythia, &wanted(1_020, 0)).await.unwrap().is_empty());
    }

    #[test]
    fn the_newest_part_is_asked_for_first() {
        let wanted = wanted(1_020, 3);
        assert_eq!(wanted.from(), Some(990_000_000_000));
        assert!(wanted.sql(wanted.from()).contains("ts_exchange >= to_timestamp_nanos(990000000000)"));
    }
}
