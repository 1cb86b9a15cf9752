//! Names of instruments: the venue's and ours, both ways, and the cutting of names that have no separator.
//!
//! `BTCUSDT` is base and quote written together, and where one quote asset ends in another there are two ways to cut it:
//! `BNBUSD` is BNB and USD, not BN and BUSD. The venue's own table says it without doubt; without one (a recording that
//! began later) a name is cut by what the venue quotes in and by the assets that it lists. A name that this does not
//! settle is refused: under a made-up asset nobody would find the data again.

use std::collections::BTreeMap;

use openmesh_market::Exchange;
use openmesh_primitives::{Contract, Symbol};

/// Instruments for which a session keeps state: several times what the largest venue lists, and a bound on what a
/// peer that makes up names can make us hold.
pub(crate) const INSTRUMENTS_MAX: usize = 16_384;

/// A venue's table of names: our symbol of each of its instruments.
#[derive(Clone, Debug, Default)]
pub(crate) struct Symbols(BTreeMap<String, Symbol>);

impl Symbols {
    /// Adds a pair of names; a later one replaces an earlier. What is more than any venue lists is left out.
    pub(crate) fn insert(&mut self, venue: &str, symbol: Symbol) {
        if self.0.len() >= INSTRUMENTS_MAX && !self.0.contains_key(venue) {
            return;
        }
        self.0.insert(venue.to_owned(), symbol);
    }

    /// Our name of the venue's instrument.
    pub(crate) fn symbol(&self, venue: &str) -> Option<&Symbol> {
        self.0.get(venue)
    }
}

/// Assets in which the spot market of Binance quotes. The dollar itself is none of them.
const BINANCE: &[&str] = &[
    "FDUSD", "USDT", "USDC", "BUSD", "TUSD", "USDP", "USDS", "USD1", "PAX", "DAI", "UST", "EUR", "AEUR", "EURI", "GBP",
    "TRY", "BRL", "JPY", "AUD", "RUB", "UAH", "NGN", "ZAR", "PLN", "RON", "ARS", "MXN", "COP", "CZK", "IDR", "IDRT",
    "BIDR", "BKRW", "BVND", "VAI", "BTC", "ETH", "BNB", "XRP", "TRX", "DOGE", "DOT", "SOL",
];

/// Assets in which Binance.US quotes.
const BINANCE_US: &[&str] = &["USD", "USDT", "USDC", "BUSD", "TUSD", "DAI", "BTC", "ETH", "BNB", "USDS"];

/// Assets in which Bybit quotes, over spot, linear and inverse.
const BYBIT: &[&str] =
    &["USDT", "USDC", "USD", "USDE", "BTC", "ETH", "EUR", "BRL", "BRZ", "PLN", "TRY", "DAI", "MNT", "SOL"];

/// Quote assets of any venue, for a name that none of its own fits.
const ANY: &[&str] = &["USD", "CHF", "CAD", "USDE", "GYEN", "KRW", "INR", "SGD", "AED"];

fn quotes(exchange: Exchange) -> &'static [&'static str] {
    match exchange {
        Exchange::BinanceFutures => &["USDT", "USDC", "BUSD", "FDUSD", "USD1", "BTC", "ETH"],
        // Settled in coin, quoted in dollars.
        Exchange::BinanceDelivery => &["USD"],
        Exchange::BinanceUs => BINANCE_US,
        Exchange::Bybit => BYBIT,
        _ => BINANCE,
    }
}

/// Cuts a name without separator (`BTCUSDT`) into base and quote; `None` where what the venue quotes in and lists does not
/// settle where to cut.
pub fn pair(exchange: Exchange, name: &str) -> Option<(&str, &str)> {
    cut(quotes(exchange), name).or_else(|| {
        let fits = |quotes: &[&str]| quotes.iter().any(|quote| name.len() > quote.len() && name.ends_with(quote));
        if fits(quotes(exchange)) { None } else { cut(ANY, name).or_else(|| cut(BINANCE, name)) }
    })
}

fn cut<'a>(quotes: &[&'static str], name: &'a str) -> Option<(&'a str, &'a str)> {
    let ways: Vec<(&str, &str)> = quotes
        .iter()
        .filter(|quote| name.len() > quote.len() && name.ends_with(*quote))
        .filter_map(|quote| name.split_at_checked(name.len() - quote.len()))
        .collect();
    if let [only] = ways.as_slice() {
        return Some(*only);
    }
    let mut known = ways.into_iter().filter(|(base, _)| ASSETS.binary_search(base).is_ok());
    known.next().filter(|_| known.next().is_none())
}

/// A dated contract's expiry from `yymmdd` text.
pub(crate) fn dated(expiry: &str) -> Option<Contract> {
    (expiry.len() == 6 && expiry.bytes().all(|b| b.is_ascii_digit()))
        .then(|| expiry.parse().ok())
        .flatten()
        .map(|expiry| Contract::Future { expiry })
}

/// Assets that venues list, ascending: they settle names that can be cut in two ways.
#[rustfmt::skip]
const ASSETS: &[&str] = &[
    "1INCH", "AAVE", "ACA", "ACE", "ACH", "ACM", "ACT", "ADA", "ADX", "AERGO", "AEVO", "AGI", "AGIX", "AGLD", "AI",
    "AIOZ", "AIXBT", "AKRO", "ALCX", "ALGO", "ALICE", "ALPACA", "ALPHA", "ALPINE", "ALT", "AMB", "AMP", "ANC", "ANKR",
    "ANT", "APE", "API3", "APT", "ARB", "ARDR", "ARK", "ARKM", "ARPA", "ASR", "AST", "ASTR", "ATA", "ATM",
    "ATOM", "AUCTION", "AUDIO", "AUTO", "AVA", "AVAX", "AXL", "AXS", "BADGER", "BAKE", "BAL", "BAND", "BAR", "BAT",
    "BB", "BCC", "BCD", "BCH", "BCHABC", "BCHSV", "BEAM", "BEAMX", "BEL", "BERA", "BETA", "BETH", "BICO",
    "BIFI", "BLUR", "BLZ", "BMT", "BNB", "BNT", "BNX", "BOB", "BOME", "BOND", "BONK", "BQX", "BRD", "BSV", "BSW",
    "BTC", "BTCST", "BTG", "BTS", "BTT", "BTTC", "BURGER", "BUSD", "CAKE", "CATI", "CELO", "CELR", "CFX", "CHESS",
    "CHR", "CHZ", "CITY", "CKB", "CLV", "CMT", "COCOS", "COMBO", "COMP", "COS", "COTI", "COW", "CREAM", "CRV", "CTK",
    "CTSI", "CTXC", "CVC", "CVP", "CVX", "CYBER", "DAI", "DAR", "DASH", "DATA", "DCR", "DEGO", "DENT", "DEXE", "DF",
    "DGB", "DIA", "DNT", "DOCK", "DODO", "DOGE", "DOGS", "DOT", "DREP", "DUSK", "DYDX", "DYM", "EDU", "EGLD", "EIGEN",
    "ELF", "ENA", "ENJ", "ENS", "EOS", "EPX", "ERN", "ETC", "ETH", "ETHFI", "ETHW", "EUR", "EVX", "FARM", "FDUSD",
    "FET", "FIDA", "FIL", "FIO", "FIRO", "FIS", "FLM", "FLOKI", "FLOW", "FLUX", "FOR", "FORTH", "FRONT", "FTM", "FTT",
    "FUEL", "FUN", "FXS", "G", "GALA", "GAS", "GBP", "GFT", "GHST", "GLM", "GLMR", "GMT", "GMX", "GNO", "GNS",
    "GNT", "GRT", "GTC", "GTO", "HARD", "HBAR", "HBD", "HFT", "HIFI", "HIGH", "HIVE", "HMSTR", "HNT", "HOOK", "HOT",
    "ICP", "ICX", "ID", "IDEX", "ILV", "IMX", "INJ", "IO", "IOST", "IOTA", "IOTX", "IQ", "IRIS", "JASMY", "JOE",
    "JST", "JTO", "JUP", "JUV", "KAITO", "KAVA", "KDA", "KEY", "KLAY", "KMD", "KNC", "KP3R", "KSM", "LAYER", "LAZIO",
    "LDO", "LEVER", "LINA", "LINK", "LISTA", "LIT", "LOKA", "LOOM", "LPT", "LQTY", "LRC", "LSK", "LTC", "LTO", "LUNA",
    "LUNC", "MAGIC", "MANA", "MANTA", "MASK", "MATIC", "MAV", "MBL", "MBOX", "MC", "MDT", "MDX", "ME", "METIS",
    "MINA", "MIR", "MITH", "MKR", "MLN", "MOB", "MOODENG", "MOVE", "MOVR", "MTL", "MULTI", "NANO", "NBT", "NEAR",
    "NEIRO", "NEO", "NEXO", "NFP", "NKN", "NMR", "NOT", "NU", "NULS", "OAX", "OCEAN", "OG", "OGN", "OM", "OMG",
    "ONDO", "ONE", "ONG", "ONT", "OOKI", "OP", "ORCA", "ORDI", "ORN", "OSMO", "OST", "OXT", "PAX", "PAXG", "PENDLE",
    "PENGU", "PEOPLE", "PEPE", "PERL", "PERP", "PHA", "PHB", "PIVX", "PIXEL", "PLA", "PNUT", "POL", "POLS", "POLYX",
    "POND", "PORTAL", "PORTO", "POWR", "PROM", "PROS", "PSG", "PUNDIX", "PYR", "PYTH", "QI", "QKC", "QNT", "QSP",
    "QTUM", "QUICK", "RAD", "RARE", "RAY", "RCN", "RDNT", "REEF", "REI", "REN", "RENDER", "REP", "REQ", "REZ", "RIF",
    "RLC", "RNDR", "RNT", "RON", "ROSE", "RPL", "RSR", "RUNE", "RVN", "S", "SAGA", "SAND", "SANTOS", "SATS", "SC",
    "SCRT", "SEI", "SFP", "SHIB", "SKL", "SLF", "SLP", "SNM", "SNT", "SNX", "SOL", "SPELL", "SSV", "STEEM",
    "STG", "STMX", "STORJ", "STPT", "STRAT", "STRAX", "STRK", "STX", "SUI", "SUN", "SUPER", "SUSHI", "SXP", "SYN",
    "SYS", "T", "TAO", "TCT", "TFUEL", "THE", "THETA", "TIA", "TKO", "TLM", "TNB", "TNSR", "TNT", "TOMO", "TON",
    "TORN", "TRB", "TRIBE", "TROY", "TRU", "TRUMP", "TRX", "TST", "TURBO", "TUSD", "TVK", "TWT", "UFT", "UMA", "UNFI",
    "UNI", "USDC", "USDP", "USDT", "UST", "USTC", "USUAL", "UTK", "VANRY", "VET", "VGX", "VIA", "VIB", "VIBE", "VIC",
    "VIDT", "VIRTUAL", "VITE", "VOXEL", "VTHO", "W", "WABI", "WAN", "WAVES", "WAXP", "WBETH", "WBTC", "WIF", "WIN",
    "WING", "WLD", "WNXM", "WOO", "WRX", "WTC", "XAI", "XEC", "XEM", "XLM", "XMR", "XNO", "XRP", "XTZ", "XVG", "XVS",
    "XZC", "YFI", "YFII", "YGG", "ZEC", "ZEN", "ZIL", "ZK", "ZRO", "ZRX",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cut_where_the_venue_lists_the_base() {
        for (exchange, name, base, quote) in [
            (Exchange::BinanceUs, "BNBUSD", "BNB", "USD"),
            (Exchange::BinanceUs, "DOTUSD", "DOT", "USD"),
            (Exchange::BinanceUs, "BATUSD", "BAT", "USD"),
            (Exchange::BinanceUs, "SHIBUSD", "SHIB", "USD"),
            (Exchange::BinanceUs, "ARBUSD", "ARB", "USD"),
            (Exchange::BinanceUs, "USDTUSD", "USDT", "USD"),
            (Exchange::BinanceUs, "BTCBUSD", "BTC", "BUSD"),
            (Exchange::BinanceUs, "BTCTUSD", "BTC", "TUSD"),
            (Exchange::BinanceUs, "BNBBUSD", "BNB", "BUSD"),
            (Exchange::BinanceUs, "BTCUSDT", "BTC", "USDT"),
            (Exchange::BinanceUs, "BUSDUSD", "BUSD", "USD"),
            (Exchange::Binance, "NEWBUSD", "NEW", "BUSD"),
            (Exchange::Binance, "ETHFDUSD", "ETH", "FDUSD"),
            (Exchange::Binance, "BTCBIDR", "BTC", "BIDR"),
            (Exchange::Binance, "BNBIDR", "BNB", "IDR"),
            (Exchange::Binance, "ADAEUR", "ADA", "EUR"),
            (Exchange::Binance, "BTCAEUR", "BTC", "AEUR"),
            (Exchange::Binance, "TUSDT", "T", "USDT"),
            (Exchange::Binance, "BTCCHF", "BTC", "CHF"),
            (Exchange::BinanceDelivery, "DOTUSD", "DOT", "USD"),
            (Exchange::Bybit, "DOTUSD", "DOT", "USD"),
            (Exchange::Bybit, "BITUSDT", "BIT", "USDT"),
        ] {
            assert_eq!(pair(exchange, name), Some((base, quote)), "{exchange} {name}");
        }
    }

    #[test]
    fn names_that_could_be_two_instruments_are_refused() {
        for name in ["NEWBUSD", "XYZTUSD", "USDT", "ABCXYZ", "", "\u{fffd}USD\u{fffd}"] {
            assert_eq!(pair(Exchange::BinanceUs, name), None, "{name}");
        }
    }

    #[test]
    fn assets_can_be_searched_and_settle_every_way_to_cut() {
        assert!(ASSETS.is_sorted_by(|a, b| a < b));
        // Were an asset and the same with a quote's first letters both listed, one of the two would be lost.
        for (long, short) in [("BUSD", "USD"), ("TUSD", "USD"), ("FDUSD", "USD"), ("BIDR", "IDR"), ("AEUR", "EUR")] {
            let between = &long[..long.len() - short.len()];
            let both: Vec<&&str> =
                ASSETS.iter().filter(|a| ASSETS.binary_search(&format!("{a}{between}").as_str()).is_ok()).collect();
            assert_eq!(both, Vec::<&&str>::new(), "{long}");
        }
    }

    /// A venue that makes up names in answer after answer must not fill the memory.
    #[test]
    fn a_table_of_names_is_bounded() {
        let mut table = Symbols::default();
        for n in 0..INSTRUMENTS_MAX + 100 {
            table.insert(&format!("N{n}"), Symbol::spot(&format!("N{n}"), "USD"));
        }
        assert!(table.symbol("N0").is_some() && table.symbol(&format!("N{INSTRUMENTS_MAX}")).is_none());
        table.insert("N0", Symbol::spot("OTHER", "USD"));
        assert_eq!(table.symbol("N0"), Some(&Symbol::spot("OTHER", "USD")));
    }
}
