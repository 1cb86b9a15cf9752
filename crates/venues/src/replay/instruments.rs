//! From the venues' names of instruments to ours, with the recorded lists where a name does not say it.

use std::collections::BTreeMap;

use openmesh_dialect::emulate::{Endpoint, Instrument};
use openmesh_primitives::{Contract, Decimal, Symbol};
use serde::Deserialize;

use super::load::RecordedAnswer;

/// Base and quote of the instruments in the recorded lists.
#[derive(Debug, Default)]
pub(super) struct Names {
    parts: BTreeMap<(Endpoint, String), (String, String)>,
}

#[derive(Deserialize)]
struct BinanceList {
    symbols: Vec<BinanceSymbol>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BinanceSymbol {
    symbol: String,
    base_asset: String,
    quote_asset: String,
}

#[derive(Deserialize)]
struct BybitList {
    result: BybitResult,
}

#[derive(Deserialize)]
struct BybitResult {
    category: String,
    list: Vec<BybitSymbol>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BybitSymbol {
    symbol: String,
    base_coin: String,
    quote_coin: String,
}

impl Names {
    /// Reads a recorded answer where it is a list that is needed.
    pub(super) fn read(&mut self, answer: &RecordedAnswer) {
        match (answer.host.as_str(), answer.path.as_str()) {
            ("api.binance.com", "/api/v3/exchangeInfo") => self.binance(Endpoint::BinanceSpot, &answer.body),
            ("fapi.binance.com", "/fapi/v1/exchangeInfo") => self.binance(Endpoint::BinanceUsdm, &answer.body),
            ("api.bybit.com", "/v5/market/instruments-info") => {
                let Ok(list) = serde_json::from_str::<BybitList>(&answer.body) else { return };
                let endpoint = match list.result.category.as_str() {
                    "spot" => Endpoint::BybitSpot,
                    "linear" => Endpoint::BybitLinear,
                    _ => return,
                };
                for s in list.result.list {
                    self.parts.insert((endpoint, s.symbol), (s.base_coin, s.quote_coin));
                }
            }
            _ => {}
        }
    }

    fn binance(&mut self, endpoint: Endpoint, body: &str) {
        let Ok(list) = serde_json::from_str::<BinanceList>(body) else { return };
        for s in list.symbols {
            self.parts.insert((endpoint, s.symbol), (s.base_asset, s.quote_asset));
        }
    }

    /// Base and quote by the recorded list, else by what the venue quotes in.
    fn split<'a>(&'a self, endpoint: Endpoint, name: &'a str) -> Option<(&'a str, &'a str)> {
        match self.parts.get(&(endpoint, name.to_owned())) {
            Some((base, quote)) => Some((base, quote)),
            None => openmesh_dialect::pair(endpoint.exchange(), name),
        }
    }

    /// Our name of an instrument; `None` where the venue's does not tell base from quote.
    pub(super) fn symbol(&self, endpoint: Endpoint, name: &str) -> Option<Symbol> {
        Some(match endpoint {
            Endpoint::Coinbase => two(name, '-', Contract::Spot)?,
            Endpoint::KrakenV1 | Endpoint::KrakenV2 => {
                let (base, quote) = name.split_once('/')?;
                Symbol::spot(plain(base), plain(quote))
            }
            Endpoint::BinanceSpot | Endpoint::BybitSpot => {
                let (base, quote) = self.split(endpoint, name)?;
                Symbol::spot(base, quote)
            }
            Endpoint::BinanceUsdm | Endpoint::BybitLinear => {
                let (pair, contract) = match name.split_once(['_', '-']) {
                    Some((pair, expiry)) => (pair, dated(expiry)),
                    None => (name, Contract::Perpetual),
                };
                let (base, quote) = self.split(endpoint, if contract == Contract::Perpetual { name } else { pair })?;
                Symbol::of(base, quote, contract)
            }
            Endpoint::OkxPublic | Endpoint::OkxBusiness => okx(name)?,
        })
    }

    /// The instrument as a list would show it, where none was recorded, in steps of its last digit; `None` where its name
    /// does not tell base from quote.
    pub(super) fn instrument(&self, endpoint: Endpoint, name: &str) -> Option<Instrument> {
        let (base, quote) = self.split(endpoint, name)?;
        let step = if endpoint == Endpoint::BinanceSpot { Decimal::new(1, 8) } else { Decimal::new(1, 3) };
        Some(Instrument {
            endpoint,
            name: name.to_owned(),
            symbol: self.symbol(endpoint, name)?,
            base: base.to_owned(),
            quote: quote.to_owned(),
            tick: step,
            lot: step,
            trimmed: false,
        })
    }
}

fn two(name: &str, mark: char, contract: Contract) -> Option<Symbol> {
    let (base, quote) = name.split_once(mark)?;
    Some(Symbol::of(base, quote, contract))
}

/// Kraken's own names of two assets.
fn plain(asset: &str) -> &str {
    match asset {
        "XBT" => "BTC",
        "XDG" => "DOGE",
        other => other,
    }
}

fn dated(expiry: &str) -> Contract {
    expiry.parse().map_or(Contract::Perpetual, |expiry| Contract::Future { expiry })
}

/// `BTC-USDT`, `BTC-USDT-SWAP`, `BTC-USD-220527`, `BTC-USD-220514-22000-C`.
fn okx(name: &str) -> Option<Symbol> {
    let parts: Vec<&str> = name.split('-').collect();
    Some(match parts.as_slice() {
        [base, quote, "SWAP"] => Symbol::perpetual(base, quote),
        [base, quote, expiry] => Symbol::of(base, quote, dated(expiry)),
        [base, quote, expiry, strike, kind] => {
            let contract = Contract::Option {
                expiry: expiry.parse().unwrap_or(0),
                strike: (*strike).to_owned(),
                call: *kind == "C",
            };
            Symbol::of(base, quote, contract)
        }
        _ => two(name, '-', Contract::Spot)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_ours() {
        let names = Names::default();
        for (endpoint, name, ours) in [
            (Endpoint::BinanceSpot, "BTCUSDT", "BTC.USDT"),
            (Endpoint::BinanceUsdm, "BTCUSDT", "BTC.USDT-PERP"),
            (Endpoint::BinanceUsdm, "BTCUSDT_220325", "BTC.USDT-220325"),
            (Endpoint::Coinbase, "ETH-USD", "ETH.USD"),
            (Endpoint::KrakenV1, "XBT/CHF", "BTC.CHF"),
            (Endpoint::BybitLinear, "DOGEUSDT", "DOGE.USDT-PERP"),
            (Endpoint::OkxPublic, "UNI-USD-SWAP", "UNI.USD-PERP"),
            (Endpoint::OkxPublic, "BTC-USD-220527", "BTC.USD-220527"),
            (Endpoint::OkxPublic, "BTC-USD-220514-22000-C", "BTC.USD-220514-22000-C"),
            (Endpoint::OkxPublic, "BTC-USDT", "BTC.USDT"),
        ] {
            assert_eq!(names.symbol(endpoint, name).map(|symbol| symbol.to_string()).as_deref(), Some(ours));
        }
        assert_eq!(names.symbol(Endpoint::BinanceSpot, "ABCXYZ"), None);
    }
}
