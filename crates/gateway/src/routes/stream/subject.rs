//! Requests of the stream: their topics, and the reasons to refuse one.

use std::collections::BTreeSet;

use openmesh_api::{ErrorCode, Feed, StreamRequest, Topic};
use openmesh_collector::Filter;
use openmesh_market::Exchange;
use openmesh_primitives::{Address, Symbol};

use crate::memory::{Item, Register};
use crate::views::words::market_feed;

/// Remedy for words of a market subscription that are not understood.
const SOURCES_HINT: &str = "/v1/sources lists what is collected";

/// Reason of a refusal on the stream.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused {
    /// Stable word.
    pub code: ErrorCode,
    /// For people.
    pub message: String,
    /// Remedy, for people.
    pub hint: &'static str,
}

fn refused(code: ErrorCode, message: impl Into<String>, hint: &'static str) -> Refused {
    Refused { code, message: message.into(), hint }
}

/// Feeding of a subscription.
#[derive(Debug)]
pub enum Subject {
    /// The collector's events of an instrument.
    Market(Exchange, Filter),
    /// News of the ledger or the node.
    News(Feed, Wanted),
}

/// News that are wanted; `None` is no filter.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Only of these sources.
    pub sources: Option<BTreeSet<String>>,
    /// Only about this account.
    pub account: Option<Address>,
}

impl Wanted {
    /// True where an item is wanted.
    pub fn fits(&self, item: &Item) -> bool {
        self.sources.as_ref().is_none_or(|all| item.source.as_ref().is_some_and(|source| all.contains(source)))
            && self.account.is_none_or(|account| item.accounts.contains(&account))
    }
}

/// Reads a request. On failure also the request's id, as far as it can be read.
pub fn parse(text: &str) -> Result<StreamRequest, (Refused, Option<String>)> {
    serde_json::from_str(text).map_err(|error| {
        let value: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
        let word = |name: &str| value.get(name).and_then(serde_json::Value::as_str);
        let id = word("id").map(String::from);
        if let Some(feed) = word("feed").filter(|feed| Feed::of(feed).is_none()) {
            let known = Feed::ALL.map(Feed::as_str).join(", ");
            let message = format!("{feed:.40?} is no feed; there are {known}");
            return (refused(ErrorCode::UnknownFeed, message, "the contract lists all feeds: /openapi.json"), id);
        }
        let hint = r#"such as {"op":"subscribe","feed":"trades","exchange":"kraken","symbol":"BTC.USD"}"#;
        (refused(ErrorCode::BadRequest, format!("not a request of this stream: {error}"), hint), id)
    })
}

/// The topic in its usual form, so that two spellings are one subscription: symbols in capitals, addresses with their checksum.
/// What cannot be filtered by is refused: whoever names it would take the news of all for those of one.
pub fn usual(topic: Topic) -> Result<Topic, Refused> {
    let Topic { feed, exchange, symbol, account } = topic;
    let account = account
        .map(|text| text.parse::<Address>())
        .transpose()
        .map_err(|e| refused(ErrorCode::BadAddress, e.to_string(), "an address is 0x and 40 hexadecimal digits"))?;
    if market_feed(feed).is_none() {
        let of_sources = matches!(feed, Feed::Chunks | Feed::Incidents);
        if symbol.is_some() || (exchange.is_some() && !of_sources) || (account.is_some() && feed != Feed::Receipts) {
            let hint = "exchange is for chunks and incidents, account for receipts, symbol for feeds of instruments";
            let message = format!("{} cannot be had of one exchange, symbol or account so", feed.as_str());
            return Err(refused(ErrorCode::NotFiltered, message, hint));
        }
        return Ok(Topic { feed, exchange, symbol, account: account.map(|a| a.to_string()) });
    }
    if account.is_some() {
        let message = format!("{} cannot be had of one account", feed.as_str());
        return Err(refused(ErrorCode::NotFiltered, message, "account is for receipts"));
    }
    let exchange = exchange.ok_or_else(|| refused(ErrorCode::NoExchange, "name an exchange", SOURCES_HINT))?;
    let exchange: Exchange =
        exchange.parse().map_err(|e| refused(ErrorCode::UnknownExchange, format!("{e}"), SOURCES_HINT))?;
    let symbol = symbol.ok_or_else(|| refused(ErrorCode::NoSymbol, "name a symbol", SOURCES_HINT))?;
    let symbol: Symbol = symbol.parse().map_err(|e| refused(ErrorCode::BadSymbol, format!("{e}"), SOURCES_HINT))?;
    Ok(Topic { feed, exchange: Some(exchange.name().into()), symbol: Some(symbol.to_string()), account: None })
}

/// The subject of a topic in its usual form. Fails where nothing of it is registered.
pub fn subject(topic: &Topic, register: &Register) -> Result<Subject, Refused> {
    let Some(feed) = market_feed(topic.feed) else {
        let sources = topic.exchange.as_deref().map(|exchange| register.sources_of(exchange));
        if sources.as_ref().is_some_and(BTreeSet::is_empty) {
            let message = format!("there is no source of {:.40?}", topic.exchange.as_deref().unwrap_or_default());
            return Err(refused(ErrorCode::UnknownExchange, message, SOURCES_HINT));
        }
        let account = topic.account.as_deref().and_then(|text| text.parse().ok());
        return Ok(Subject::News(topic.feed, Wanted { sources, account }));
    };
    let (exchange, symbol) =
        (topic.exchange.as_deref().unwrap_or_default(), topic.symbol.as_deref().unwrap_or_default());
    if register.of_instrument(exchange, symbol).next().is_none() {
        let message = format!("{symbol} of {exchange} is not collected here");
        return Err(refused(ErrorCode::UnknownSymbol, message, SOURCES_HINT));
    }
    match (exchange.parse::<Exchange>(), symbol.parse::<Symbol>()) {
        (Ok(exchange), Ok(symbol)) => Ok(Subject::Market(exchange, Filter::one(exchange, symbol, feed))),
        _ => Err(refused(ErrorCode::UnknownSymbol, format!("{symbol} of {exchange} is no instrument"), SOURCES_HINT)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use openmesh_ledger::{Origin, SourceKind, SourceSpec};

    fn topic(feed: Feed, exchange: Option<&str>, symbol: Option<&str>, account: Option<&str>) -> Topic {
        let text = |word: Option<&str>| word.map(String::from);
        Topic { feed, exchange: text(exchange), symbol: text(symbol), account: text(account) }
    }

    fn register() -> Register {
        Register::of([SourceSpec {
            id: "kraken-spot".into(),
            exchange: "kraken".into(),
            kind: SourceKind::Market,
            symbols: vec!["BTC.USD".into()],
            feeds: vec!["trades".into()],
            window_ms: 1_000,
            origin: Origin::Live,
        }])
    }

    #[test]
    fn two_spellings_are_one_topic() {
        let small = usual(topic(Feed::Trades, Some("kraken"), Some("btc.usd"), None)).unwrap();
        let capitals = usual(topic(Feed::Trades, Some("kraken"), Some("BTC.USD"), None)).unwrap();
        assert_eq!(small, capitals);
        let address = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
        let of = |text: &str| usual(topic(Feed::Receipts, None, None, Some(text))).unwrap();
        assert_eq!(of(address), of(&address.to_lowercase()));
        assert_eq!(of(&address.to_lowercase()).account.as_deref(), Some(address));
    }

    #[test]
    fn what_cannot_be_filtered_by_is_refused() {
        let code = |topic: Topic| {
            let found = usual(topic).and_then(|topic| subject(&topic, &register()));
            found.err().map(|refused| refused.code)
        };
        use ErrorCode::{BadAddress, BadSymbol, NoExchange, NoSymbol, NotFiltered, UnknownExchange, UnknownSymbol};
        for (topic, expected) in [
            (topic(Feed::Blocks, None, None, None), None),
            (topic(Feed::Chunks, Some("kraken"), None, None), None),
            (topic(Feed::Receipts, None, None, None), None),
            (topic(Feed::Trades, Some("kraken"), Some("btc.usd"), None), None),
            (topic(Feed::Incidents, Some("nowhere"), None, None), Some(UnknownExchange)),
            (topic(Feed::Blocks, Some("kraken"), None, None), Some(NotFiltered)),
            (topic(Feed::Status, None, Some("BTC.USD"), None), Some(NotFiltered)),
            (topic(Feed::Chunks, Some("kraken"), Some("BTC.USD"), None), Some(NotFiltered)),
            (topic(Feed::Blocks, None, None, Some("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed")), Some(NotFiltered)),
            (topic(Feed::Receipts, None, None, Some("me")), Some(BadAddress)),
            (topic(Feed::Trades, None, None, None), Some(NoExchange)),
            (topic(Feed::Trades, Some("nowhere"), Some("BTC.USD"), None), Some(UnknownExchange)),
            (topic(Feed::Trades, Some("kraken"), None, None), Some(NoSymbol)),
            (topic(Feed::Trades, Some("kraken"), Some("no symbol"), None), Some(BadSymbol)),
            (topic(Feed::Trades, Some("kraken"), Some("AAA.BBB"), None), Some(UnknownSymbol)),
        ] {
            assert_eq!(code(topic.clone()), expected, "{topic:?}");
        }
    }

    #[test]
    fn news_are_of_those_that_were_named() {
        let item = |source: Option<&str>, account: Option<Address>| Item {
            source: source.map(String::from),
            accounts: account.into_iter().collect(),
            json: String::new(),
        };
        let of_source = Wanted { sources: Some(BTreeSet::from(["kraken-spot".into()])), account: None };
        assert!(of_source.fits(&item(Some("kraken-spot"), None)) && Wanted::default().fits(&item(None, None)));
        assert!(!of_source.fits(&item(Some("okx"), None)) && !of_source.fits(&item(None, None)));
        let of_account = Wanted { sources: None, account: Some(Address([7; 20])) };
        assert!(of_account.fits(&item(None, Some(Address([7; 20])))));
        assert!(!of_account.fits(&item(None, Some(Address([8; 20])))) && !of_account.fits(&item(None, None)));
    }

    #[test]
    fn a_feed_that_is_none_is_named_with_the_id_of_its_request() {
        let (refused, id) = parse(r#"{"op":"subscribe","feed":"weather","id":"7"}"#).unwrap_err();
        assert_eq!((refused.code, id.as_deref()), (ErrorCode::UnknownFeed, Some("7")));
        for text in [
            "{",
            "[]",
            "null",
            "ping",
            "",
            r#"{"op":"auth"}"#,
            r#"{"op":"ping","x":1}"#,
            r#"{"op":"subscribe","feed":"trades","symbol":5}"#,
        ] {
            assert_eq!(parse(text).unwrap_err().0.code, ErrorCode::BadRequest, "{text}");
        }
    }
}
