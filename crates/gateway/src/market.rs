//! Books, candles and trades.

use axum::Json;
use axum::extract::{Path, State};
use openmesh_api as api;
use openmesh_market::{EventKind, Exchange};
use openmesh_primitives::{Decimal, Symbol, Timestamp};
use openmesh_pythia::{Limits, Query as Sql};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

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
    let wanted = query.interval.as_deref().unwrap_or("1m");
    let (_, seconds) = INTERVALS.into_iter().find(|(word, _)| *word == wanted).ok_or_else(|| {
        let known = INTERVALS.map(|(word, _)| word).join(", ");
        Refusal::bad("bad_interval", format!("{wanted:.20?} is no interval"), format!("one of {known}"))
    })?;
    let limit = limited("limit", query.limit, CANDLES_DEFAULT, CANDLES_MAX)?;
    let nanos = seconds * 1_000_000_000;
    let live = node.live().trades(exchange.name(), &symbol.to_string());
    // The memory of live trades is complete from its first trade on, so whole intervals after that come from it.
    let border = live.first().map(|(at, _)| at.nanos().div_euclid(nanos).saturating_add(1).saturating_mul(nanos));
    let mut items = agreed(&node, exchange, &symbol, seconds, border, limit).await?;
    items.extend(make(live.iter().filter(|(at, _)| border.is_some_and(|b| at.nanos() >= b)), nanos));
    let surplus = items.len().saturating_sub(limit);
    items.drain(..surplus);
    let stale = node.site_of_exchange(exchange.name()).stale;
    Ok(Json(api::CandleList { origin: node.origin(), stale, items }))
}

/// Candles from the tables, before `border` (nanoseconds), oldest first. The words in the query are checked enumerations
/// and parsed symbols: nothing of a stranger's text gets into it.
async fn agreed(
    node: &Node,
    exchange: Exchange,
    symbol: &Symbol,
    seconds: i64,
    border: Option<i64>,
    limit: usize,
) -> Result<Vec<api::CandleView>, Refusal> {
    let before = border.map_or(String::new(), |b| format!("and ts_exchange < to_timestamp_nanos({b})"));
    let sql = format!(
        "select date_bin(interval '{seconds} seconds', ts_exchange) as start, first_value(price order by ts_exchange), max(price), \
         min(price), last_value(price order by ts_exchange), sum(size), count(*) from trades \
         where exchange = '{exchange}' and symbol = '{symbol}' {before} group by 1 order by 1 desc limit {limit}"
    );
    let query = Sql { sql, limits: Limits::default(), cancel: CancellationToken::new() };
    let result = node.pythia().query(query).await.map_err(crate::sql::refuse)?;
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

/// Candles of trades that come in order of time.
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
    for (at, trade) in trades {
        let start = at.nanos().div_euclid(nanos) * nanos;
        match all.iter_mut().rev().find(|c| c.start == start) {
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
    all.sort_by_key(|c| c.start);
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
    use openmesh_market::Side;
    use openmesh_market::event::Trade;

    #[test]
    fn candles_of_trades() {
        let trade = |second: i64, price: i64| {
            let trade =
                Trade { side: Side::Buy, price: price.into(), size: Decimal::new(15, 1), id: None, snapshot: false };
            (Timestamp::from_millis(second * 1_000), trade)
        };
        let trades = [trade(0, 10), trade(30, 12), trade(59, 9), trade(60, 11)];
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
}
