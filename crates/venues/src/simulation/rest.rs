//! The simulated venues over HTTP: lists of instruments, depth snapshots, open interest, the time.

use openmesh_dialect::emulate::{Endpoint, Instrument, binance, bybit, coinbase, kraken, okx};
use openmesh_primitives::Timestamp;

use super::board::{Board, Shown};
use crate::source::{HttpAnswer, HttpRequest};

/// Levels of a depth snapshot where the client names none (Binance's default), and at most.
const DEPTH_DEFAULT: usize = 100;
const DEPTH_MAX: usize = 5_000;

/// Answers a request, or `None` where the venue has no such address.
pub(super) fn answer(board: &Board, request: &HttpRequest<'_>, now: Timestamp) -> Option<HttpAnswer> {
    let host = request.host.split(':').next().unwrap_or(request.host);
    match host {
        "api.binance.com" | "data-api.binance.vision" => {
            binance(board, Endpoint::BinanceSpot, request, "/api/v3/", now)
        }
        "fapi.binance.com" => binance(board, Endpoint::BinanceUsdm, request, "/fapi/v1/", now),
        "api.coinbase.com" => coinbase(board, request, now),
        "api.kraken.com" => kraken(board, request, now),
        "api.bybit.com" => bybit(board, request, now),
        "www.okx.com" => okx(board, request, now),
        _ => None,
    }
}

fn instruments(board: &Board, endpoint: Endpoint) -> Vec<&Instrument> {
    board.of_endpoint(endpoint).into_iter().map(|s| &s.instrument).collect()
}

fn binance(
    board: &Board,
    endpoint: Endpoint,
    request: &HttpRequest<'_>,
    root: &str,
    now: Timestamp,
) -> Option<HttpAnswer> {
    let call = request.path.strip_prefix(root)?;
    match call {
        "ping" => return Some(HttpAnswer::ok(String::from("{}"))),
        "time" => return Some(HttpAnswer::ok(format!(r#"{{"serverTime":{}}}"#, now.millis()))),
        "exchangeInfo" => {
            return Some(HttpAnswer::ok(binance::exchange_info(endpoint, &instruments(board, endpoint), now)));
        }
        "depth" | "openInterest" | "premiumIndex" => {}
        _ => return None,
    }
    let name = request.field("symbol").unwrap_or_default();
    let Some(shown) = board.find(endpoint, &name) else {
        return Some(HttpAnswer::refused(400, binance::error(-1121, "Invalid symbol.")));
    };
    let limit = request.field("limit").map_or(Some(DEPTH_DEFAULT), |l| l.parse().ok());
    match (call, shown.derivative, limit) {
        ("depth", _, Some(limit)) => {
            let limit = limit.clamp(1, DEPTH_MAX);
            Some(HttpAnswer::ok(binance::depth_snapshot(endpoint, &shown.book, shown.update, limit, now)))
        }
        ("depth", ..) => {
            Some(HttpAnswer::refused(400, binance::error(-1100, "Illegal characters found in parameter 'limit'.")))
        }
        ("openInterest", Some(d), _) => Some(HttpAnswer::ok(binance::open_interest(&name, &d))),
        ("premiumIndex", Some(d), _) => Some(HttpAnswer::ok(binance::premium_index(&name, &d))),
        _ => None,
    }
}

fn coinbase(board: &Board, request: &HttpRequest<'_>, now: Timestamp) -> Option<HttpAnswer> {
    match request.path.trim_end_matches('/') {
        "/api/v3/brokerage/market/products" => {
            let list: Vec<_> =
                board.of_endpoint(Endpoint::Coinbase).into_iter().map(|s| (&s.instrument, Some(s.summary))).collect();
            Some(HttpAnswer::ok(coinbase::products(&list)))
        }
        "/api/v3/brokerage/time" => Some(HttpAnswer::ok(coinbase::now(now))),
        _ => None,
    }
}

fn kraken(board: &Board, request: &HttpRequest<'_>, now: Timestamp) -> Option<HttpAnswer> {
    match request.path {
        "/0/public/AssetPairs" => {
            let wanted = request.field("pair");
            let mut list = instruments(board, Endpoint::KrakenV1);
            if let Some(wanted) = &wanted {
                list.retain(|i| wanted.split(',').any(|w| w == i.name || w == i.name.replace('/', "")));
                if list.is_empty() {
                    return Some(HttpAnswer::ok(kraken::error("EQuery:Unknown asset pair")));
                }
            }
            Some(HttpAnswer::ok(kraken::asset_pairs(&list)))
        }
        "/0/public/Time" => Some(HttpAnswer::ok(format!(
            r#"{{"error":[],"result":{{"unixtime":{},"rfc1123":""}}}}"#,
            now.millis() / 1_000
        ))),
        _ => None,
    }
}

fn bybit(board: &Board, request: &HttpRequest<'_>, now: Timestamp) -> Option<HttpAnswer> {
    match request.path {
        "/v5/market/time" => Some(HttpAnswer::ok(bybit::result(
            &format!(r#"{{"timeSecond":"{}","timeNano":"{}"}}"#, now.millis() / 1_000, now.nanos()),
            now,
        ))),
        "/v5/market/instruments-info" => {
            let endpoint = match request.field("category").as_deref() {
                Some("spot") => Endpoint::BybitSpot,
                Some("linear") => Endpoint::BybitLinear,
                _ => return Some(HttpAnswer::ok(bybit::error("params error: Category is invalid", now))),
            };
            let mut list = instruments(board, endpoint);
            if let Some(symbol) = request.field("symbol") {
                list.retain(|i| i.name == symbol);
            }
            Some(HttpAnswer::ok(bybit::instruments_info(endpoint, &list, now)))
        }
        _ => None,
    }
}

fn okx(board: &Board, request: &HttpRequest<'_>, now: Timestamp) -> Option<HttpAnswer> {
    match request.path {
        "/api/v5/public/time" => Some(HttpAnswer::ok(okx::result(&format!(r#"{{"ts":"{}"}}"#, now.millis())))),
        "/api/v5/public/instruments" => {
            let kind = request.field("instType").unwrap_or_default();
            if !matches!(kind.as_str(), "SPOT" | "SWAP" | "FUTURES" | "OPTION" | "MARGIN") {
                return Some(HttpAnswer::refused(400, okx::error(51_000, "Parameter instType error")));
            }
            let of_kind = |shown: &Shown| okx::kind(&shown.instrument) == kind;
            let list: Vec<&Instrument> = board
                .of_endpoint(Endpoint::OkxPublic)
                .into_iter()
                .filter(|s| of_kind(s))
                .map(|s| &s.instrument)
                .collect();
            Some(HttpAnswer::ok(okx::instruments(&list)))
        }
        _ => None,
    }
}
