//! Books as the venues would say them, with right numbers and checksums, and what becomes of them on a faulty line.
//!
//! The venue's side (`dialect::emulate`) words the changes of a book; the session must hold that book after every
//! message. Then one message is lost, repeated, moved or altered: from then on the session must be out of step or hold
//! the right book all the same, but never a wrong one. Where a venue sends no checksum, an altered digit cannot be
//! seen, so there a message is lost instead.
//!
//! An input: venue, fault, place of the fault, then changes of two bytes each (side and price, size and whether it ends
//! the message).

use openmesh_dialect::Output;
use openmesh_dialect::emulate::{
    BookChange, BookStep, Endpoint, Entry, LevelBook, PushedOut, Topic, View, binance, bybit, coinbase, kraken, okx,
};
use openmesh_dialect::{Input, Session};
use openmesh_market::event::IncidentKind;
use openmesh_market::{ConnectionId, EventKind, Exchange, OrderBook, Side};
use openmesh_primitives::{Decimal, Symbol, Timestamp};

use crate::input::Input as Bytes;

/// Levels a side that are compared: all that Kraken's stream of the smallest depth shows.
const LEVELS: usize = 10;

/// Messages of one input.
const MESSAGES_MAX: usize = 40;

const DOORS: [Endpoint; 7] = [
    Endpoint::BinanceSpot,
    Endpoint::BinanceUsdm,
    Endpoint::Coinbase,
    Endpoint::KrakenV1,
    Endpoint::KrakenV2,
    Endpoint::BybitLinear,
    Endpoint::OkxPublic,
];

/// One event on the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    Lost,
    Repeated,
    Swapped,
    Altered,
}

/// A message, and the book that the venue has shown after it.
struct Message {
    text: String,
    /// Address where it is the answer to a request.
    answer_to: Option<String>,
    shown: LevelBook,
}

/// The target.
pub fn books(data: &[u8]) {
    let mut input = Bytes::new(data);
    let endpoint = DOORS[usize::from(input.below(DOORS.len() as u8))];
    let fault =
        [Fault::None, Fault::Lost, Fault::Repeated, Fault::Swapped, Fault::Altered][usize::from(input.below(5))];
    let (place, digit) = (usize::from(input.byte()), usize::from(input.byte()));
    let messages = said(endpoint, &batches(&mut input));
    if fault == Fault::None || messages.len() < 4 {
        return faithful(endpoint, &messages);
    }
    // Something has to follow the fault, or nobody could notice it.
    let place = place % (messages.len() - 2);
    faulty(endpoint, messages, (fault, place, digit));
}

fn faithful(endpoint: Endpoint, messages: &[Message]) {
    let mut session = opened(endpoint);
    for message in messages {
        let output = hand(&mut *session, message);
        for event in &output.events {
            if let EventKind::Incident(incident) = &event.kind {
                assert_eq!(
                    incident.kind,
                    IncidentKind::Crossed,
                    "{endpoint:?}: {} at {}",
                    incident.detail,
                    message.text
                );
            }
        }
        if let Some(book) = session.book(&symbol(endpoint)) {
            assert_eq!(top(book), shown(&message.shown), "{endpoint:?} after {}", message.text);
        }
    }
    if messages.len() > 1 {
        assert!(session.book(&symbol(endpoint)).is_some(), "{endpoint:?}: the book never came into step");
    }
}

fn faulty(endpoint: Endpoint, mut messages: Vec<Message>, (fault, place, digit): (Fault, usize, usize)) {
    match fault {
        Fault::Altered if checked(endpoint) && altered(&mut messages[place], digit) => {}
        Fault::Repeated => {
            let Message { text, answer_to, shown } = &messages[place];
            let again = Message { text: text.clone(), answer_to: answer_to.clone(), shown: shown.clone() };
            messages.insert(place, again);
        }
        Fault::Swapped => messages.swap(place, place + 1),
        _ => drop(messages.remove(place)),
    }
    let mut session = opened(endpoint);
    for message in &messages {
        hand(&mut *session, message);
    }
    let last = messages.last().expect("at least two are left");
    if let Some(book) = session.book(&symbol(endpoint)) {
        assert_eq!(top(book), shown(&last.shown), "{endpoint:?}: in step with a wrong book after {fault:?} at {place}");
    }
}

/// True when the venue sends checksums that cover all that is compared.
fn checked(endpoint: Endpoint) -> bool {
    matches!(endpoint, Endpoint::KrakenV1 | Endpoint::KrakenV2 | Endpoint::OkxPublic)
}

/// Alters a digit; false where there is none.
fn altered(message: &mut Message, digit: usize) -> bool {
    let digits: Vec<usize> = (0..message.text.len()).filter(|i| message.text.as_bytes()[*i].is_ascii_digit()).collect();
    if digits.is_empty() {
        return false;
    }
    let at = digits[digit * digits.len() / 256];
    let other = (message.text.as_bytes()[at] - b'0' + 1 + (digit % 9) as u8) % 10;
    message.text.replace_range(at..=at, &other.to_string());
    true
}

fn symbol(endpoint: Endpoint) -> Symbol {
    let name = match endpoint {
        Endpoint::BinanceSpot | Endpoint::OkxPublic => "BTC.USDT",
        Endpoint::Coinbase | Endpoint::KrakenV1 | Endpoint::KrakenV2 => "BTC.USD",
        _ => "BTC.USDT-PERP",
    };
    name.parse().expect("a symbol")
}

const fn address(endpoint: Endpoint) -> &'static str {
    match endpoint {
        Endpoint::BinanceSpot => "wss://stream.binance.com:9443/stream?streams=btcusdt@depth@100ms",
        Endpoint::BinanceUsdm => "wss://fstream.binance.com/public/stream?streams=btcusdt@depth@100ms",
        Endpoint::Coinbase => "wss://advanced-trade-ws.coinbase.com",
        Endpoint::KrakenV1 => "wss://ws.kraken.com",
        Endpoint::KrakenV2 => "wss://ws.kraken.com/v2",
        Endpoint::OkxPublic => "wss://ws.okx.com:8443/ws/v5/public",
        _ => "wss://stream.bybit.com/v5/public/linear",
    }
}

fn opened(endpoint: Endpoint) -> Box<dyn Session> {
    let mut session = openmesh_dialect::session(endpoint.exchange());
    let input = Input::Opened { connection: ConnectionId(0), url: address(endpoint) };
    session.handle(input, Timestamp(0), &mut Output::default());
    session
}

fn hand(session: &mut dyn Session, message: &Message) -> Output {
    let mut output = Output::default();
    let body = message.text.as_bytes();
    let input = match &message.answer_to {
        Some(url) => Input::Response { url, status: 200, body },
        None => Input::Frame { connection: ConnectionId(0), data: body },
    };
    session.handle(input, Timestamp(0), &mut output);
    output
}

type Levels = [Vec<(Decimal, Decimal)>; 2];

fn top(book: &OrderBook) -> Levels {
    [Side::Buy, Side::Sell].map(|side| book.levels(side).take(LEVELS).copied().collect())
}

fn shown(book: &LevelBook) -> Levels {
    [Side::Buy, Side::Sell].map(|side| book.levels(side).take(LEVELS).map(|e| (e.price, e.size)).collect())
}

/// Changes, message by message; bids stay below asks.
fn batches(input: &mut Bytes<'_>) -> Vec<Vec<BookChange>> {
    let mut batches = vec![Vec::new()];
    while !input.is_empty() && batches.len() < MESSAGES_MAX {
        let (place, amount) = (input.byte(), input.byte());
        let away = i128::from(place % 24);
        let (side, price) = if place & 0x80 == 0 { (Side::Buy, 610_000 - away) } else { (Side::Sell, 610_001 + away) };
        let entry = Entry {
            price: Decimal::new(price, 1),
            size: Decimal::new(i128::from(amount & 0x3f) * 25, 8),
            at: Timestamp::from_millis(1_786_309_548_000 + 100 * batches.len() as i64),
            orders: 1,
        };
        if let Some(batch) = batches.last_mut() {
            // A venue names a level once in a message.
            batch.retain(|c: &BookChange| (c.side, c.entry.price) != (side, entry.price));
            batch.push(BookChange { side, entry });
        }
        if amount & 0x80 != 0 {
            batches.push(Vec::new());
        }
    }
    batches
}

/// The messages that tell of these changes.
fn said(endpoint: Endpoint, batches: &[Vec<BookChange>]) -> Vec<Message> {
    let mut book = LevelBook::default();
    batches[0].iter().for_each(|c| book.apply(c));
    let depth = if endpoint.exchange() == Exchange::Kraken { LEVELS } else { 1_000 };
    let pushed_out = if endpoint.exchange() == Exchange::Kraken { PushedOut::Cut } else { PushedOut::Said };
    let mut view = View::new(depth, &book, 1_000);
    let mut messages = vec![first(endpoint, &view, Timestamp::from_millis(1_786_309_548_000))];
    let mut last = 1_000;
    for (number, batch) in batches.iter().enumerate().skip(1) {
        batch.iter().for_each(|c| book.apply(c));
        let previous = view.sequence;
        let Some(changes) = view.step(&book, last + 5, pushed_out) else { continue };
        let at = Timestamp::from_millis(1_786_309_548_000 + 100 * number as i64);
        let step = BookStep { at, matched: at, first: last + 1, last: last + 5, previous, changes: &changes };
        last += 5;
        messages.push(next(endpoint, &view, step, messages.len() as u64));
    }
    messages
}

fn topic(endpoint: Endpoint) -> Topic {
    match endpoint {
        Endpoint::BinanceSpot | Endpoint::BinanceUsdm => binance::topic(endpoint, "btcusdt@depth@100ms"),
        Endpoint::Coinbase => coinbase::topic("level2", "BTC-USD"),
        Endpoint::KrakenV1 => kraken::v1_topic("book", Some(LEVELS as u16), None, "XBT/USD"),
        Endpoint::KrakenV2 => kraken::v2_topic("book", Some(LEVELS as u16), None, "BTC/USD"),
        Endpoint::OkxPublic | Endpoint::OkxBusiness => okx::topic(endpoint, "books", "BTC-USDT"),
        Endpoint::BybitSpot | Endpoint::BybitLinear => bybit::topic(endpoint, "orderbook.200.BTCUSDT"),
    }
    .expect("a stream that the venue has")
}

/// The snapshot.
fn first(endpoint: Endpoint, view: &View, at: Timestamp) -> Message {
    let (book, topic) = (view.shown(), topic(endpoint));
    let mut answer_to = None;
    let text = match endpoint {
        Endpoint::BinanceSpot | Endpoint::BinanceUsdm => {
            let host = if endpoint == Endpoint::BinanceSpot {
                "https://api.binance.com/api/v3"
            } else {
                "https://fapi.binance.com/fapi/v1"
            };
            answer_to = Some(format!("{host}/depth?symbol=BTCUSDT&limit=1000"));
            binance::depth_snapshot(endpoint, book, view.sequence, 1_000, at)
        }
        Endpoint::Coinbase => coinbase::book_snapshot("BTC-USD", book, at).text(0),
        Endpoint::KrakenV1 => kraken::v1_book_snapshot(336, &topic, book).text(0),
        Endpoint::KrakenV2 => kraken::v2_book_snapshot("BTC/USD", book, at).text(0),
        Endpoint::OkxPublic | Endpoint::OkxBusiness => {
            let numbers = okx::BookNumbers { at, sequence: Some((-1, view.sequence as i64)) };
            okx::book_snapshot(&topic, book, numbers).text(0)
        }
        Endpoint::BybitSpot | Endpoint::BybitLinear => {
            let numbers = bybit::BookNumbers { at, matched: at, update: view.messages, sequence: view.sequence };
            bybit::book_snapshot(&topic, book, numbers).text(0)
        }
    };
    Message { text, answer_to, shown: book.clone() }
}

/// A change.
fn next(endpoint: Endpoint, view: &View, step: BookStep<'_>, number: u64) -> Message {
    let (book, topic, at) = (view.shown(), topic(endpoint), step.at);
    let text = match endpoint {
        Endpoint::BinanceSpot | Endpoint::BinanceUsdm => binance::depth(&topic, &step).text(0),
        Endpoint::Coinbase => coinbase::book_update("BTC-USD", &step).text(number),
        Endpoint::KrakenV1 => kraken::v1_book_update(336, &topic, &step, book).text(0),
        Endpoint::KrakenV2 => kraken::v2_book_update("BTC/USD", &step, book).text(0),
        Endpoint::OkxPublic | Endpoint::OkxBusiness => {
            let numbers = okx::BookNumbers { at, sequence: Some((step.previous as i64, step.last as i64)) };
            okx::book_update(&topic, step.changes, book, numbers).text(0)
        }
        Endpoint::BybitSpot | Endpoint::BybitLinear => {
            let numbers = bybit::BookNumbers { at, matched: at, update: view.messages, sequence: step.last };
            bybit::book_delta(&topic, step.changes, numbers).text(0)
        }
    };
    Message { text, answer_to: None, shown: book.clone() }
}

/// Faithful sessions as inputs of the dialects' targets.
pub fn sessions(exchange: Exchange) -> Vec<Vec<u8>> {
    let of_endpoint = |endpoint: &Endpoint| {
        let mut lines = vec![format!(">{}", address(*endpoint))];
        let changes: Vec<u8> = (0u8..60).flat_map(|n| [n.wrapping_mul(37), n.wrapping_mul(91)]).collect();
        for message in said(*endpoint, &batches(&mut Bytes::new(&changes))) {
            lines.push(match message.answer_to {
                Some(url) => format!("=200 {url} {}", message.text),
                None => message.text,
            });
        }
        lines.join("\n").into_bytes()
    };
    DOORS.iter().filter(|endpoint| endpoint.exchange() == exchange).map(of_endpoint).collect()
}

/// Seeds of [`books`]: each venue with each fault.
pub fn seeds() -> Vec<Vec<u8>> {
    let changes: Vec<u8> = (0u8..80).flat_map(|n| [n.wrapping_mul(59) ^ n << 3, n.wrapping_mul(77)]).collect();
    (0..DOORS.len() as u8)
        .flat_map(|endpoint| (0..5).map(move |fault| [endpoint, fault, 3, 90]))
        .map(|head| [&head[..], &changes].concat())
        .collect()
}
