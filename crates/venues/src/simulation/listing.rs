//! Listings of the simulated venues, with each venue's own names, steps and way of writing numbers.

use openmesh_dialect::emulate::{Endpoint, Instrument};
use openmesh_market::Exchange;
use openmesh_primitives::{Decimal, Symbol};

/// Traded asset, by the fair price that it follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Asset {
    /// Bitcoin.
    Btc,
    /// Ether.
    Eth,
    /// Sol.
    Sol,
}

impl Asset {
    /// Every asset.
    pub const ALL: [Asset; 3] = [Asset::Btc, Asset::Eth, Asset::Sol];

    /// Name.
    pub const fn name(self) -> &'static str {
        match self {
            Asset::Btc => "BTC",
            Asset::Eth => "ETH",
            Asset::Sol => "SOL",
        }
    }

    /// Price at which a simulation starts, in millionths of a dollar.
    pub const fn start(self) -> i64 {
        match self {
            Asset::Btc => 65_000_000_000,
            Asset::Eth => 2_600_000_000,
            Asset::Sol => 150_000_000,
        }
    }
}

/// One book: what a venue trades, and how each of its endpoints lists it.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Venue.
    pub exchange: Exchange,
    /// Traded asset.
    pub asset: Asset,
    /// Perpetual, or else spot.
    pub perpetual: bool,
    /// One price step, in millionths of a dollar.
    pub tick_micros: i64,
    /// One size step, in 10^-8 of the asset.
    pub lot_e8: i64,
    /// Instruments as the endpoints list them.
    pub instruments: Vec<Instrument>,
}

/// Digits in which an endpoint writes: places of a price, places of a size, and whether zeros at the end are cut.
struct Digits(Endpoint, u8, u8, bool);

/// Every book of the simulated market.
pub fn listings() -> Vec<Listed> {
    let mut all = Vec::new();
    for asset in Asset::ALL {
        // Places of the smallest steps: price of spot, price of perpetuals, size of perpetuals.
        let (spot, perp, lots) = match asset {
            Asset::Btc => (1, 1, 3),
            Asset::Eth => (2, 2, 3),
            Asset::Sol => (2, 2, 1),
        };
        let usd = "USD";
        let usdt = "USDT";
        let name = asset.name();
        all.push(listed(Exchange::Binance, asset, usdt, false, 2, 5, &[Digits(Endpoint::BinanceSpot, 8, 8, false)]));
        all.push(listed(
            Exchange::BinanceFutures,
            asset,
            usdt,
            true,
            perp,
            lots,
            &[Digits(Endpoint::BinanceUsdm, 2, lots, false)],
        ));
        all.push(listed(Exchange::Coinbase, asset, usd, false, 2, 8, &[Digits(Endpoint::Coinbase, 2, 8, true)]));
        let kraken = [Digits(Endpoint::KrakenV1, 5, 8, false), Digits(Endpoint::KrakenV2, spot, 8, false)];
        all.push(listed(Exchange::Kraken, asset, usd, false, spot, 8, &kraken));
        all.push(listed(Exchange::Bybit, asset, usdt, false, spot, 6, &[Digits(Endpoint::BybitSpot, spot, 6, true)]));
        all.push(listed(
            Exchange::Bybit,
            asset,
            usdt,
            true,
            perp,
            lots,
            &[Digits(Endpoint::BybitLinear, 2, lots, false)],
        ));
        let okx =
            |places| [Digits(Endpoint::OkxPublic, 2, places, true), Digits(Endpoint::OkxBusiness, 2, places, true)];
        all.push(listed(Exchange::Okx, asset, usdt, false, spot, 8, &okx(8)));
        all.push(listed(Exchange::Okx, asset, usdt, true, spot, 2, &okx(2)));
        debug_assert!(all.iter().all(|l| l.tick_micros > 0), "{name}");
    }
    all
}

fn listed(
    exchange: Exchange,
    asset: Asset,
    quote: &str,
    perpetual: bool,
    price_places: u8,
    size_places: u8,
    endpoints: &[Digits],
) -> Listed {
    let unit = |places: u8, digits: u8| Decimal::new(10i128.pow(u32::from(digits - places)), digits);
    let instruments = endpoints
        .iter()
        .map(|Digits(endpoint, price, size, trimmed)| {
            let (name, base, quote) = names(*endpoint, asset, quote, perpetual);
            Instrument {
                endpoint: *endpoint,
                name,
                symbol: match perpetual {
                    true => Symbol::perpetual(asset.name(), &quote),
                    false => Symbol::spot(asset.name(), &quote),
                },
                base,
                quote,
                tick: unit(price_places, *price),
                lot: unit(size_places, *size),
                trimmed: *trimmed,
            }
        })
        .collect();
    Listed {
        exchange,
        asset,
        perpetual,
        tick_micros: 10i64.pow(6 - u32::from(price_places)),
        lot_e8: 10i64.pow(8 - u32::from(size_places)),
        instruments,
    }
}

/// Names of instrument, base and quote at an endpoint. Kraken v1 says XBT for BTC.
fn names(endpoint: Endpoint, asset: Asset, quote: &str, perpetual: bool) -> (String, String, String) {
    let base = match (endpoint, asset) {
        (Endpoint::KrakenV1, Asset::Btc) => "XBT",
        _ => asset.name(),
    };
    let name = match endpoint {
        Endpoint::BinanceSpot | Endpoint::BinanceUsdm | Endpoint::BybitSpot | Endpoint::BybitLinear => {
            format!("{base}{quote}")
        }
        Endpoint::Coinbase => format!("{base}-{quote}"),
        Endpoint::KrakenV1 | Endpoint::KrakenV2 => format!("{base}/{quote}"),
        Endpoint::OkxPublic | Endpoint::OkxBusiness if perpetual => format!("{base}-{quote}-SWAP"),
        Endpoint::OkxPublic | Endpoint::OkxBusiness => format!("{base}-{quote}"),
    };
    (name, base.to_owned(), quote.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_digits_are_the_venues() {
        let all = listings();
        let find = |endpoint: Endpoint, name: &str| {
            all.iter().flat_map(|l| &l.instruments).find(|i| i.endpoint == endpoint && i.name == name).unwrap()
        };
        assert_eq!(find(Endpoint::BinanceSpot, "BTCUSDT").price(6_500_001).to_string(), "65000.01000000");
        assert_eq!(find(Endpoint::BinanceSpot, "BTCUSDT").size(7).to_string(), "0.00007000");
        assert_eq!(find(Endpoint::BinanceUsdm, "BTCUSDT").price(650_001).to_string(), "65000.10");
        assert_eq!(find(Endpoint::BinanceUsdm, "BTCUSDT").size(7).to_string(), "0.007");
        assert_eq!(find(Endpoint::Coinbase, "ETH-USD").price(260_050).to_string(), "2600.5");
        assert_eq!(find(Endpoint::KrakenV1, "XBT/USD").price(650_001).to_string(), "65000.10000");
        assert_eq!(find(Endpoint::KrakenV2, "BTC/USD").price(650_001).to_string(), "65000.1");
        assert_eq!(find(Endpoint::BybitLinear, "BTCUSDT").price(650_001).to_string(), "65000.10");
        assert_eq!(find(Endpoint::BybitSpot, "BTCUSDT").price(650_000).to_string(), "65000");
        assert_eq!(find(Endpoint::OkxPublic, "SOL-USDT-SWAP").price(15_001).to_string(), "150.01");
        assert_eq!(find(Endpoint::OkxPublic, "BTC-USDT-SWAP").symbol.to_string(), "BTC.USDT-PERP");
        assert_eq!(find(Endpoint::KrakenV1, "XBT/USD").symbol, find(Endpoint::KrakenV2, "BTC/USD").symbol);
        for l in &all {
            let fair = l.asset.start() / l.tick_micros;
            assert!(fair > 10_000, "{l:?}");
        }
    }
}
