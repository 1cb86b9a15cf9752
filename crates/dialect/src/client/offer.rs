//! The part of a subscription that a venue has.
//!
//! A source is a list of instruments and a list of feeds, and no venue has every feed of every instrument: spot knows
//! no funding. Which it has is the rule of [`Class::of`], the same for every collector, by which windows know what to
//! expect. So a session asks for those pairs and passes over the others in silence; what the venue has of no instrument
//! that was named, and an instrument of which it has nothing, are mistakes of whoever configured it and are said.

use openmesh_market::event::{Exchange, Feed, IncidentKind};
use openmesh_market::window::Class;
use openmesh_primitives::Symbol;

use super::emit::Emit;
use crate::session::Subscription;

/// Returns true where the venue has this feed of this instrument.
pub(crate) fn offers(exchange: Exchange, symbol: &Symbol, feed: Feed) -> bool {
    Class::of(exchange, symbol, feed).is_some()
}

/// Subscription problems, to be reported with the first known time.
#[derive(Default)]
pub(crate) struct PendingNotices(Vec<(Option<Symbol>, Option<Feed>, String)>);

impl PendingNotices {
    /// Of the feeds that no instrument has, and the instruments that have no feed.
    pub(crate) fn of(exchange: Exchange, subscription: &Subscription) -> PendingNotices {
        let Subscription { symbols, feeds } = subscription;
        let mut notices = PendingNotices::default();
        for feed in feeds {
            if !symbols.iter().any(|symbol| offers(exchange, symbol, *feed)) {
                let detail = format!("{exchange} has no {feed} of any instrument that was asked for");
                notices.0.push((None, Some(*feed), detail));
            }
        }
        for symbol in symbols {
            if !feeds.iter().any(|feed| offers(exchange, symbol, *feed)) {
                let detail = format!("{exchange} has none of the feeds that were asked for of {symbol}");
                notices.0.push((Some(symbol.clone()), None, detail));
            }
        }
        notices
    }

    /// The venue has no instrument of this kind.
    pub(crate) fn instrument(&mut self, exchange: Exchange, symbol: &Symbol) {
        self.replace(symbol, format!("{exchange} has no instrument like {symbol}"));
    }

    /// The venue has the instrument, and calls it otherwise.
    pub(crate) fn under_another_name(&mut self, exchange: Exchange, symbol: &Symbol, other: &Symbol) {
        self.replace(symbol, format!("{exchange} has {symbol} under the name of {other}, and nothing under its own"));
    }

    fn replace(&mut self, symbol: &Symbol, detail: String) {
        // Said once: that it has no feed of it goes without saying.
        self.0.retain(|(other, _, _)| other.as_ref() != Some(symbol));
        self.0.push((Some(symbol.clone()), None, detail));
    }

    /// Says it, once.
    pub(crate) fn say(&mut self, emit: &mut Emit<'_>) {
        for (symbol, feed, detail) in std::mem::take(&mut self.0) {
            emit.incident(IncidentKind::Refused, symbol.as_ref(), feed, detail);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::session;
    use crate::session::{Action, Input, Output};
    use openmesh_market::event::{Event, EventKind};
    use openmesh_primitives::Timestamp;

    /// The incidents and requests of a session's first connection.
    fn begin(exchange: Exchange, symbols: &[&str], feeds: &[Feed]) -> (Vec<Event>, String) {
        let symbols = symbols.iter().map(|s| s.parse().unwrap()).collect();
        let (mut session, mut output) = (session(exchange), Output::default());
        session.start(&Subscription { symbols, feeds: feeds.to_vec() }, &mut output);
        let mut asked = String::new();
        for action in std::mem::take(&mut output.actions) {
            if let Action::Open { connection, url } = action {
                asked.push_str(&format!("{url}\n"));
                session.handle(Input::Opened { connection, url: &url }, Timestamp(0), &mut output);
            }
        }
        // Coinbase is asked one thing a second.
        for second in 0..3 {
            session.handle(Input::Tick, Timestamp::from_millis(second * 1_000), &mut output);
        }
        for action in output.actions {
            if let Action::Send { text, .. } = action {
                asked.push_str(&format!("{text}\n"));
            }
        }
        (output.events, asked)
    }

    /// A source of spot and perpetuals together: nothing is refused, and spot is not asked for what it has not.
    #[test]
    fn spot_is_not_asked_for_funding() {
        let feeds: Vec<Feed> = Feed::ALL.into_iter().filter(|feed| *feed != Feed::Blocks).collect();
        for (exchange, spot, perpetual) in [
            (Exchange::Bybit, "/spot", ["tickers.BTCUSDT", "allLiquidation.BTCUSDT"]),
            (
                Exchange::Okx,
                "",
                [r#""funding-rate","instId":"BTC-USDT-SWAP""#, r#""open-interest","instId":"BTC-USDT-SWAP""#],
            ),
        ] {
            let (events, asked) = begin(exchange, &["BTC.USDT", "BTC.USDT-PERP"], &feeds);
            assert_eq!(events, [], "{exchange}");
            assert!(asked.contains(spot) && perpetual.iter().all(|topic| asked.contains(topic)), "{asked}");
            for never in [r#""funding-rate","instId":"BTC-USDT"}"#, r#""mark-price","instId":"BTC-USDT"}"#] {
                assert!(!asked.contains(never), "{asked}");
            }
            assert_eq!(asked.matches("allLiquidation").count() + asked.matches("liquidation-orders").count(), 1);
        }
    }

    /// Every pair of an instrument and a feed that windows count on is asked for.
    #[test]
    fn what_windows_expect_is_asked_for() {
        for exchange in Exchange::ALL {
            for symbol in ["BTC.USDT", "BTC.USDT-PERP", "BTC.USDT-261225"] {
                for feed in Feed::ALL {
                    let (events, asked) = begin(exchange, &[symbol], &[feed]);
                    // Kraken and Coinbase are spot here; their perpetuals are other venues' business, or settled in USDC.
                    let told = events.iter().any(|e| matches!(e.kind, EventKind::Incident(_)));
                    let subject = asked.to_ascii_uppercase();
                    let polled =
                        exchange == Exchange::BinanceFutures && feed == Feed::OpenInterest && symbol.contains('-');
                    assert_eq!(
                        told,
                        !subject.contains("BTC") && !polled && !about_all(&asked),
                        "{exchange} {symbol} {feed}: {asked}"
                    );
                    if let (false, Some(_)) = (told, Class::of(exchange, &symbol.parse().unwrap(), feed)) {
                        continue;
                    }
                    assert!(told, "{exchange} {symbol} {feed} is asked for but not expected");
                }
            }
        }
    }

    /// OKX gives liquidations of all instruments of a kind.
    fn about_all(asked: &str) -> bool {
        asked.contains("liquidation-orders")
    }

    #[test]
    fn what_nobody_has_is_said_once() {
        let (events, _) = begin(Exchange::Kraken, &["BTC.USD", "BTC.USD-PERP"], &[Feed::Trades, Feed::Funding]);
        let said: Vec<_> = events.iter().map(|e| serde_json::to_string(&e.kind).unwrap()).collect();
        assert_eq!(
            said,
            [
                r#"{"type":"incident","kind":"refused","feed":"funding","detail":"kraken has no funding of any instrument that was asked for"}"#,
                r#"{"type":"incident","kind":"refused","feed":null,"detail":"kraken has no instrument like BTC.USD-PERP"}"#,
            ]
        );
    }
}
