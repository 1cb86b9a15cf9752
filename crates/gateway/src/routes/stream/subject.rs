//! Requests of the stream: their topics, and the reasons to refuse one.

use std::collections::BTreeSet;

use openmesh_api::{ErrorCode, EventKind, Feed, IncidentKind, StreamRequest, Topic};
use openmesh_collector::Filter;
use openmesh_ledger::Action;
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
    /// Only about this validator.
    pub validator: Option<Address>,
    /// Only of this kind.
    pub kind: Option<String>,
    /// Only stamps under this topic.
    pub stamp_topic: Option<String>,
}

impl Wanted {
    /// True where an item is wanted.
    pub fn fits(&self, item: &Item) -> bool {
        self.sources.as_ref().is_none_or(|all| item.source.as_ref().is_some_and(|source| all.contains(source)))
            && self.account.is_none_or(|account| item.accounts.contains(&account))
            && self.validator.is_none_or(|validator| item.validators.contains(&validator))
            && self.kind.as_ref().is_none_or(|kind| item.kind.as_ref() == Some(kind))
            && self.stamp_topic.as_ref().is_none_or(|topic| item.stamp_topic.as_ref() == Some(topic))
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

/// Filters of a feed, by the words in which a request names them.
const fn filters(feed: Feed) -> &'static [&'static str] {
    match feed {
        Feed::Blocks => &["validator"],
        Feed::Chunks => &["exchange"],
        Feed::Incidents => &["exchange", "validator", "kind"],
        Feed::Receipts => &["account", "kind"],
        Feed::Stamps => &["account", "stamp_topic"],
        Feed::Events => &["exchange", "account", "validator", "kind"],
        Feed::Status => &[],
        _ => &["exchange", "symbol"],
    }
}

/// Refuses what the feed cannot be filtered by: whoever names it would take the news of all for those of one.
fn filtered(topic: &Topic) -> Result<(), Refused> {
    let Topic { feed, exchange, symbol, account, validator, kind, stamp_topic } = topic;
    let given = [
        ("exchange", exchange.is_some()),
        ("symbol", symbol.is_some()),
        ("account", account.is_some()),
        ("validator", validator.is_some()),
        ("kind", kind.is_some()),
        ("stamp_topic", stamp_topic.is_some()),
    ];
    let other = given.into_iter().find(|(name, is_given)| *is_given && !filters(*feed).contains(name));
    let Some((name, _)) = other else { return Ok(()) };
    let hint = "exchange is for chunks, incidents and events, account for receipts, stamps and events, validator for blocks, incidents \
                and events, kind for incidents, receipts and events, stamp_topic for stamps, symbol for feeds of instruments";
    Err(refused(ErrorCode::NotFiltered, format!("{} cannot be had of one {name}", feed.as_str()), hint))
}

/// Refuses a kind that the feed does not have.
fn known_kind(feed: Feed, kind: &str) -> Result<(), Refused> {
    let is_known = match feed {
        Feed::Receipts => Action::descriptors().iter().any(|action| action.kind == kind),
        Feed::Incidents => serde_json::from_value::<IncidentKind>(kind.into()).is_ok(),
        _ => EventKind::of(kind).is_some(),
    };
    if is_known {
        return Ok(());
    }
    let hint = "kinds of receipts are in /v1/actions, those of incidents and events in /openapi.json";
    Err(refused(ErrorCode::UnknownKind, format!("{kind:.40?} is no kind of {}", feed.as_str()), hint))
}

fn address(text: Option<String>) -> Result<Option<String>, Refused> {
    let parsed = text.map(|text| text.parse::<Address>()).transpose();
    let parsed = parsed
        .map_err(|e| refused(ErrorCode::BadAddress, e.to_string(), "an address is 0x and 40 hexadecimal digits"))?;
    Ok(parsed.map(|address| address.to_string()))
}

/// The topic in its usual form, so that two spellings are one subscription: symbols in capitals, addresses with their checksum.
pub fn usual(topic: Topic) -> Result<Topic, Refused> {
    let topic = Topic { account: address(topic.account)?, validator: address(topic.validator)?, ..topic };
    filtered(&topic)?;
    if market_feed(topic.feed).is_none() {
        topic.kind.as_deref().map_or(Ok(()), |kind| known_kind(topic.feed, kind))?;
        return Ok(topic);
    }
    let exchange = topic.exchange.ok_or_else(|| refused(ErrorCode::NoExchange, "name an exchange", SOURCES_HINT))?;
    let exchange: Exchange =
        exchange.parse().map_err(|e| refused(ErrorCode::UnknownExchange, format!("{e}"), SOURCES_HINT))?;
    let symbol = topic.symbol.ok_or_else(|| refused(ErrorCode::NoSymbol, "name a symbol", SOURCES_HINT))?;
    let symbol: Symbol = symbol.parse().map_err(|e| refused(ErrorCode::BadSymbol, format!("{e}"), SOURCES_HINT))?;
    let (exchange, symbol) = (Some(exchange.name().into()), Some(symbol.to_string()));
    Ok(Topic { exchange, symbol, ..Topic::all(topic.feed) })
}

/// The subject of a topic in its usual form. Fails where nothing of it is registered.
pub fn subject(topic: &Topic, register: &Register) -> Result<Subject, Refused> {
    let Some(feed) = market_feed(topic.feed) else {
        let sources = topic.exchange.as_deref().map(|exchange| register.sources_of(exchange));
        if sources.as_ref().is_some_and(BTreeSet::is_empty) {
            let message = format!("there is no source of {:.40?}", topic.exchange.as_deref().unwrap_or_default());
            return Err(refused(ErrorCode::UnknownExchange, message, SOURCES_HINT));
        }
        let parsed = |text: Option<&str>| text.and_then(|text| text.parse::<Address>().ok());
        let (account, validator) = (parsed(topic.account.as_deref()), parsed(topic.validator.as_deref()));
        let (kind, stamp_topic) = (topic.kind.clone(), topic.stamp_topic.clone());
        return Ok(Subject::News(topic.feed, Wanted { sources, account, validator, kind, stamp_topic }));
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
        Topic { exchange: text(exchange), symbol: text(symbol), account: text(account), ..Topic::all(feed) }
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
    fn each_feed_takes_its_own_filters_and_no_kind_that_it_does_not_have() {
        let code = |topic: Topic| usual(topic).err().map(|refused| refused.code);
        let of_kind = |feed, kind: &str| code(Topic { kind: Some(kind.into()), ..Topic::all(feed) });
        assert_eq!(of_kind(Feed::Receipts, "stamp"), None);
        assert_eq!(of_kind(Feed::Incidents, "missing"), None);
        assert_eq!(of_kind(Feed::Events, "stamped"), None);
        for (feed, kind) in [(Feed::Receipts, "missing"), (Feed::Incidents, "stamped"), (Feed::Events, "stamp")] {
            assert_eq!(of_kind(feed, kind), Some(ErrorCode::UnknownKind), "{feed:?} {kind}");
        }
        assert_eq!(of_kind(Feed::Blocks, "stamp"), Some(ErrorCode::NotFiltered));
        let under = |feed| code(Topic { stamp_topic: Some("drill".into()), ..Topic::all(feed) });
        assert_eq!((under(Feed::Stamps), under(Feed::Events)), (None, Some(ErrorCode::NotFiltered)));
        let named = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
        let by = |feed| code(Topic { validator: Some(named.into()), ..Topic::all(feed) });
        assert_eq!((by(Feed::Blocks), by(Feed::Stamps)), (None, Some(ErrorCode::NotFiltered)));
    }

    #[test]
    fn news_are_of_those_that_were_named() {
        let item = |source: Option<&str>, account: Option<Address>| Item {
            source: source.map(String::from),
            accounts: account.into_iter().collect(),
            ..Item::default()
        };
        let of_source = Wanted { sources: Some(BTreeSet::from(["kraken-spot".into()])), ..Wanted::default() };
        assert!(of_source.fits(&item(Some("kraken-spot"), None)) && Wanted::default().fits(&item(None, None)));
        assert!(!of_source.fits(&item(Some("okx"), None)) && !of_source.fits(&item(None, None)));
        let of_account = Wanted { account: Some(Address([7; 20])), ..Wanted::default() };
        assert!(of_account.fits(&item(None, Some(Address([7; 20])))));
        assert!(!of_account.fits(&item(None, Some(Address([8; 20])))) && !of_account.fits(&item(None, None)));
        let stamp = item(None, Some(Address([7; 20]))).of_stamp_topic("drill");
        let under = |topic: &str| Wanted { stamp_topic: Some(topic.into()), ..Wanted::default() };
        assert!(under("drill").fits(&stamp) && !under("other").fits(&stamp) && !under("drill").fits(&item(None, None)));
        let event = item(Some("kraken-spot"), None).of_kind("attested").of_validators(vec![Address([9; 20])]);
        let kind = |kind: &str| Wanted { kind: Some(kind.into()), ..Wanted::default() };
        assert!(kind("attested").fits(&event) && !kind("stamped").fits(&event));
        let of_validator = |n| Wanted { validator: Some(Address([n; 20])), ..Wanted::default() };
        assert!(of_validator(9).fits(&event) && !of_validator(8).fits(&event));
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
