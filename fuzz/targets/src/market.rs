//! The rest of `market`: the venues' side of the protocols, recordings, chunks and rows of chain data.

use openmesh_chain::{
    Block, Log, Receipt, Row, SignedAmount, Transaction, U256, decode_nft_transfer, decode_swap, decode_token_transfer,
};
use openmesh_dialect::emulate::{
    CONNECTION_TOPICS_MAX, Conversation, Endpoint, Frame, Listing, Step, Topic, cut_at_sequence, read_book,
    read_bybit_ticker, read_class, read_coinbase_trades, read_depth_snapshot,
};
use openmesh_dialect::recording::{Line, Player};
use openmesh_market::event::{Candle, Funding, Liquidation, Ticker};
use openmesh_market::window::{
    BookRow, CandleRow, Chunk, ChunkHeader, FundingRow, LiquidationRow, OpenInterestRow, PriceRow, Rows, Stream,
    TickerRow, TradeRow, WindowIndex, WindowLength,
};
use openmesh_market::{Exchange, Feed, Side};
use openmesh_primitives::{ContentId, Decimal, Symbol, Timestamp, canonical};

use crate::input::Input;
use crate::wide::Wide;

/// Instruments that the venue lists: the names in the seeds, and nothing that a client makes up.
struct Listed;

impl Listing for Listed {
    fn knows(&self, topic: &Topic) -> bool {
        let listed =
            ["", "BTCUSDT", "ETHUSDT", "BTC-USD", "ETH-USD", "XBT/USD", "BTC/USD", "BTC-USDT", "BTC-USDT-SWAP"];
        listed.contains(&topic.instrument.as_str())
    }
}

/// A venue's side of a connection: the first byte is the endpoint, the first line path and query, each further line a
/// message of the client; a line that begins with `.` is a frame of the venue's own that a replay reads.
///
/// Answers are JSON whatever was asked, and what the client holds is what was begun and not ended.
pub fn venue_side(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else { return };
    let endpoint = Endpoint::ALL[usize::from(*first) % Endpoint::ALL.len()];
    let Ok(text) = std::str::from_utf8(rest) else { return };
    let mut lines = text.split('\n');
    let address = lines.next().unwrap_or_default();
    let (path, query) = address.split_once('?').unwrap_or((address, ""));
    let (mut conversation, steps) = Conversation::open(endpoint, path, query, 7, &Listed);
    let mut held = std::collections::BTreeSet::new();
    let now = Timestamp::from_millis(1_786_309_548_000);
    follow(&mut conversation, steps, &mut held);
    for line in lines.take(64) {
        match line.strip_prefix('.') {
            Some(frame) => own_frame(endpoint, frame),
            None => {
                let steps = conversation.receive(line, now, &Listed);
                follow(&mut conversation, steps, &mut held);
            }
        }
        for frame in conversation.second(now, true) {
            said(&mut conversation, &frame);
        }
    }
}

fn follow(conversation: &mut Conversation, steps: Vec<Step>, held: &mut std::collections::BTreeSet<Topic>) {
    for step in steps {
        match step {
            Step::Say(frame) => said(conversation, &frame),
            Step::Begin(topic) => assert!(held.insert(topic), "a stream was begun twice"),
            Step::End(topic) => assert!(held.remove(&topic), "a stream was ended that never began"),
        }
    }
    assert!(held.len() <= CONNECTION_TOPICS_MAX);
    let theirs: std::collections::BTreeSet<Topic> = conversation.topics().cloned().collect();
    assert_eq!(theirs, *held, "what is subscribed to is not what was begun");
}

fn said(conversation: &mut Conversation, frame: &Frame) {
    let text = conversation.render(frame);
    let json = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
    assert!(json || text == "pong", "{:?} answers what is no JSON: {text}", conversation.endpoint());
}

fn own_frame(endpoint: Endpoint, frame: &str) {
    if let Ok(messages) = read_book(endpoint, frame) {
        for message in messages {
            assert!(message.changes.len() <= frame.len(), "more changes than the frame has room for");
        }
    }
    let _ = read_class(endpoint, frame);
    let _ = read_bybit_ticker(frame);
    let _ = read_depth_snapshot("BTCUSDT", frame);
    if let Ok(trades) = read_coinbase_trades(frame) {
        assert!(trades.iter().all(|(_, json)| frame.contains(json.as_str())));
    }
    if let Some((head, tail)) = cut_at_sequence(frame) {
        let number = &frame[head.len()..frame.len() - tail.len()];
        assert!(!number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()));
        assert_eq!(Frame::numbered(head, tail).text(0).len(), frame.len() - number.len() + 1);
    }
}

/// A recording, line by line, into the session that its header names.
pub fn recording(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut player = Player::new(openmesh_dialect::session(Exchange::Kraken));
    let mut events = Vec::new();
    for line in text.split('\n').take(100) {
        let _ = Line::parse_timed(line, "https://api.binance.com/api/v3/depth?symbol=BTCUSDT");
        let Ok(read) = Line::parse(line) else { continue };
        assert_eq!(Line::parse(line).ok().as_ref(), Some(&read), "a line was read in two ways");
        if let Line::Header { exchange } = &read
            && let Some(session) = openmesh_dialect::for_recording(exchange)
        {
            player = Player::new(session);
        }
        player.line(&read, &mut events);
    }
    for (symbol, book) in player.session().books() {
        assert_eq!(player.session().book(&symbol), Some(book));
    }
}

/// Canonical chunks. `d`: bytes to be read. `s`: rows made of bytes, written, read and altered.
pub fn chunk(data: &[u8]) {
    match data.split_first() {
        Some((b'd', bytes)) => canonical_chunk(bytes),
        Some((b's', bytes)) => {
            let mut input = Input::new(bytes);
            let Some((header, rows)) = made(&mut input) else { return };
            let (at, mask) = (input.number() as usize, input.byte());
            let Ok(chunk) = Chunk::encode(header.clone(), rows.clone()) else { return };
            assert_eq!(chunk.cid, ContentId::of(&chunk.bytes));
            let (same_header, same_rows) = Chunk::decode(&chunk.bytes).expect("what was encoded decodes");
            assert_eq!((same_header, same_rows), (header, rows.canonical()));
            let mut altered = chunk.bytes;
            let at = at % altered.len();
            altered[at] ^= mask;
            canonical_chunk(&altered);
            canonical_chunk(&altered[..at]);
        }
        _ => {}
    }
}

/// Bytes that are refused, or are the only ones of their rows.
pub fn canonical_chunk(bytes: &[u8]) {
    let Ok((header, rows)) = Chunk::decode(bytes) else { return };
    let shown = format!("{header:?} {rows:?}");
    assert!(!shown.is_empty(), "rows of a chunk can be shown");
    let symbol = &header.stream.symbol;
    assert_eq!(symbol.to_string().parse().as_ref(), Ok(symbol), "a chunk of a symbol that is not what it is shown as");
    let again = Chunk::encode(header, rows).expect("what decodes encodes");
    assert!(again.bytes == bytes, "two encodings of one chunk");
}

fn decimal(input: &mut Input<'_>) -> Decimal {
    let scale = input.below(37);
    let length = usize::from(input.below(17));
    let mut bytes = [0; 16];
    let taken = input.take(length);
    bytes[..taken.len()].copy_from_slice(taken);
    if taken.last().is_some_and(|b| b & 0x80 != 0) {
        bytes[taken.len()..].fill(0xff);
    }
    // The one integer that has no opposite cannot be read from text.
    Decimal::new(i128::from_le_bytes(bytes).max(-i128::MAX), scale)
}

fn optional<T>(input: &mut Input<'_>, value: impl FnOnce(&mut Input<'_>) -> T) -> Option<T> {
    (input.byte() & 1 == 1).then(|| value(input))
}

fn time(input: &mut Input<'_>) -> Timestamp {
    Timestamp(i64::from_le_bytes(input.array()))
}

fn side(input: &mut Input<'_>) -> Side {
    if input.byte() & 1 == 0 { Side::Buy } else { Side::Sell }
}

fn id(input: &mut Input<'_>) -> Option<String> {
    optional(input, |i| String::from_utf8_lossy(i.short()).into_owned())
}

/// A header and rows of its feed.
pub fn made(input: &mut Input<'_>) -> Option<(ChunkHeader, Rows)> {
    let exchange = Exchange::ALL[usize::from(input.below(6))];
    let feed = Feed::ALL[usize::from(input.below(10))];
    let symbol: Symbol = ["BTC.USDT", "BTC.USDT-PERP", "BTC.USD"][usize::from(input.below(3))].parse().ok()?;
    let header = ChunkHeader::new(
        Stream { exchange, symbol, feed },
        WindowIndex(input.number() as i64),
        WindowLength::from_ms(10_000),
    )?;
    let count = usize::from(input.below(12));
    let mut rows = Rows::empty(feed)?;
    for _ in 0..count {
        let ts = time(input);
        match &mut rows {
            Rows::Trades(r) => {
                r.push(TradeRow { ts, id: id(input), side: side(input), price: decimal(input), size: decimal(input) })
            }
            Rows::Book(r) => r.push(BookRow {
                opening: input.byte() & 1 == 1,
                ts,
                side: side(input),
                price: decimal(input),
                size: decimal(input),
            }),
            Rows::Ticker(r) => {
                let mut next = || optional(input, decimal);
                let ticker = Ticker { bid: next(), bid_size: next(), ask: next(), ask_size: next(), last: next() };
                r.push(TickerRow { ts, ticker });
            }
            Rows::Candles(r) => r.push(CandleRow { ts, candle: candle(input) }),
            Rows::Funding(r) => {
                let funding = Funding {
                    rate: decimal(input),
                    next_funding: optional(input, time),
                    mark_price: optional(input, decimal),
                    predicted_rate: optional(input, decimal),
                };
                r.push(FundingRow { ts, funding });
            }
            Rows::OpenInterest(r) => r.push(OpenInterestRow { ts, open_interest: decimal(input) }),
            Rows::Liquidations(r) => {
                let liquidation =
                    Liquidation { side: side(input), price: decimal(input), size: decimal(input), id: id(input) };
                r.push(LiquidationRow { ts, liquidation });
            }
            Rows::Prices(r) => r.push(PriceRow { ts, price: decimal(input) }),
        }
    }
    Some((header, rows))
}

fn candle(input: &mut Input<'_>) -> Candle {
    Candle {
        start: time(input),
        stop: optional(input, time),
        interval: ["1m", "5m", "1h"][usize::from(input.below(3))].to_owned(),
        open: decimal(input),
        high: decimal(input),
        low: decimal(input),
        close: decimal(input),
        volume: decimal(input),
        trades: optional(input, |i| i.number()),
        closed: optional(input, |i| i.byte() & 1 == 1),
    }
}

/// Rows of chain data as canonical bytes, what logs mean, and 256-bit integers. `b`: bytes of a block; `l`: a log made of
/// bytes; `u`: two integers.
pub fn chain_rows(data: &[u8]) {
    match data.split_first() {
        Some((b'b', bytes)) => {
            type Body = (Block, Option<Vec<Transaction>>, Option<Vec<Receipt>>, Vec<Log>);
            let Ok(body) = canonical::decode::<Body>(bytes) else { return };
            assert_eq!(canonical::encode(&body), bytes, "two encodings of one block's rows");
            shown(Row::Block(&body.0));
            body.1.iter().flatten().for_each(|row| shown(Row::Transaction(row)));
            body.2.iter().flatten().for_each(|row| shown(Row::Receipt(row)));
            body.3.iter().for_each(meaning);
        }
        Some((b'l', bytes)) => {
            let mut input = Input::new(bytes);
            let topics: Vec<[u8; 32]> = (0..input.below(6)).map(|_| topic(&mut input)).collect();
            let mut log = Log {
                log_index: input.number(),
                transaction_hash: input.array(),
                transaction_index: input.number(),
                block_hash: [0; 32],
                block_number: 0,
                address: input.array(),
                data: Vec::new(),
                topics,
            };
            log.data = input.rest().to_vec();
            meaning(&log);
        }
        Some((b'u', bytes)) => {
            let mut input = Input::new(bytes);
            integers(U256(input.array()), U256(input.array()));
        }
        _ => {}
    }
}

/// A topic that is likely to mean something.
fn topic(input: &mut Input<'_>) -> [u8; 32] {
    use openmesh_chain::{TRANSFER, UNISWAP_V2_SWAP, UNISWAP_V3_SWAP};
    match input.below(6) {
        0 => TRANSFER,
        1 => UNISWAP_V2_SWAP,
        2 => UNISWAP_V3_SWAP,
        3 => {
            let mut word = [0; 32];
            word[12..].copy_from_slice(&input.array::<20>());
            word
        }
        _ => input.array(),
    }
}

fn meaning(log: &Log) {
    shown(Row::Log(log));
    let (token, nft, swap) = (decode_token_transfer(log), decode_nft_transfer(log), decode_swap(log));
    let meanings = usize::from(token.is_some()) + usize::from(nft.is_some()) + usize::from(swap.is_some());
    assert!(meanings <= 1, "a log of two meanings");
    token.iter().for_each(|row| shown(Row::TokenTransfer(row)));
    nft.iter().for_each(|row| shown(Row::NftTransfer(row)));
    swap.iter().for_each(|row| shown(Row::Swap(row)));
}

fn shown(row: Row<'_>) {
    let json = serde_json::to_string(&row).expect("every row can be written");
    assert!(json.starts_with("{\"type\":\""), "{json} does not say first what it is");
}

fn wide(value: U256) -> Wide {
    let byte = |sum: Wide, b: &u8| sum.times(Wide::from(256)).plus(Wide::from(i128::from(*b)));
    value.0.iter().fold(Wide::from(0), byte)
}

/// Digits of a decimal text.
fn digits(text: &str) -> Wide {
    let magnitude = text.trim_start_matches('-').bytes().fold(Wide::from(0), |sum, digit| {
        assert!(digit.is_ascii_digit(), "{text} is no integer");
        sum.times(Wide::from(10)).plus(Wide::from(i128::from(digit - b'0')))
    });
    if text.starts_with('-') { magnitude.negated() } else { magnitude }
}

fn integers(a: U256, b: U256) {
    assert_eq!(digits(&a.to_string()), wide(a));
    assert_eq!(digits(&SignedAmount::difference(a, b).to_string()), wide(a).plus(wide(b).negated()));
    let signed = SignedAmount::from_int256(a.0);
    let modulus = (0..32).fold(Wide::from(1), |sum, _| sum.times(Wide::from(256)));
    let expected = if a.0[0] & 0x80 == 0 { wide(a) } else { wide(a).plus(modulus.negated()) };
    assert_eq!(digits(&signed.to_string()), expected);
    assert_eq!(a.to_u128().map(U256::from), a.to_u128().map(|_| a));
}

fn endpoint(endpoint: Endpoint) -> u8 {
    Endpoint::ALL.iter().position(|d| *d == endpoint).unwrap_or_default() as u8
}

/// Seeds of [`venue_side`].
pub fn venue_side_seeds() -> Vec<Vec<u8>> {
    let of = |d: Endpoint, text: &str| [&[endpoint(d)], text.as_bytes()].concat();
    vec![
        of(
            Endpoint::BinanceSpot,
            "/stream?streams=btcusdt@trade/btcusdt@depth@100ms/nope@trade\n{\"method\":\"SUBSCRIBE\",\"params\":[\"ethusdt@trade\",\"btcusdt@kline_1m\"],\"id\":1}\n{\"method\":\"UNSUBSCRIBE\",\"params\":[\"btcusdt@trade\"],\"id\":\"x\"}\n{\"method\":\"LIST_SUBSCRIPTIONS\",\"id\":3}\n.{\"stream\":\"btcusdt@depth@100ms\",\"data\":{\"e\":\"depthUpdate\",\"E\":1786309548100,\"s\":\"BTCUSDT\",\"U\":155,\"u\":160,\"b\":[[\"61000.10\",\"0.5\"]],\"a\":[]}}",
        ),
        of(
            Endpoint::BinanceUsdm,
            "/ws/btcusdt@aggTrade\n{\"method\":\"SET_PROPERTY\",\"params\":[\"combined\",true],\"id\":5}\n{\"id\":null}",
        ),
        of(
            Endpoint::Coinbase,
            "/\n{\"type\":\"subscribe\",\"product_ids\":[\"BTC-USD\",\"NO-PE\"],\"channel\":\"level2\"}\n{\"type\":\"subscribe\",\"channel\":\"heartbeats\"}\n{\"type\":\"unsubscribe\",\"product_ids\":[\"BTC-USD\"],\"channel\":\"level2\"}\n.{\"channel\":\"market_trades\",\"client_id\":\"\",\"timestamp\":\"2026-08-09T21:05:50.3Z\",\"sequence_num\":3,\"events\":[{\"type\":\"update\",\"trades\":[{\"product_id\":\"BTC-USD\",\"trade_id\":\"7\",\"price\":\"1\",\"size\":\"0.3\",\"time\":\"2026-08-09T21:05:50.25Z\",\"side\":\"SELL\"}]}]}",
        ),
        of(
            Endpoint::KrakenV1,
            "/\n{\"event\":\"subscribe\",\"pair\":[\"XBT/USD\",\"A/B\"],\"subscription\":{\"name\":\"book\",\"depth\":10}}\n{\"event\":\"ping\",\"reqid\":42}\n{\"event\":\"unsubscribe\",\"pair\":[\"XBT/USD\"],\"subscription\":{\"name\":\"book\",\"depth\":10}}\n.[336,{\"as\":[[\"11.5\",\"1.0\",\"1786309548.321597\"]],\"bs\":[]},\"book-10\",\"XBT/USD\"]",
        ),
        of(
            Endpoint::KrakenV2,
            "/v2\n{\"method\":\"subscribe\",\"params\":{\"channel\":\"book\",\"symbol\":[\"BTC/USD\"],\"depth\":10,\"snapshot\":true},\"req_id\":1}\n{\"method\":\"ping\"}\n{\"method\":\"unsubscribe\",\"params\":{\"channel\":\"book\",\"symbol\":[\"BTC/USD\"],\"depth\":10}}",
        ),
        of(
            Endpoint::BybitLinear,
            "/v5/public/linear\n{\"op\":\"subscribe\",\"args\":[\"orderbook.50.BTCUSDT\",\"tickers.BTCUSDT\",\"nope\"],\"req_id\":\"a\"}\n{\"op\":\"ping\"}\n{\"op\":\"unsubscribe\",\"args\":[\"tickers.BTCUSDT\"]}\n.{\"topic\":\"tickers.BTCUSDT\",\"type\":\"delta\",\"data\":{\"symbol\":\"BTCUSDT\",\"markPrice\":\"1\"},\"cs\":2,\"ts\":1786309550372}",
        ),
        of(
            Endpoint::OkxPublic,
            "/ws/v5/public\n{\"op\":\"subscribe\",\"args\":[{\"channel\":\"books\",\"instId\":\"BTC-USDT\"},{\"channel\":\"x\\\"y\",\"instId\":\"BTC-USDT\"}]}\nping\n{\"op\":\"login\"}\n.{\"arg\":{\"channel\":\"books\",\"instId\":\"BTC-USDT\"},\"action\":\"update\",\"data\":[{\"asks\":[[\"1\",\"0\",\"0\",\"0\"]],\"bids\":[],\"ts\":\"1786309549085\",\"checksum\":0}]}",
        ),
        of(
            Endpoint::OkxBusiness,
            "/ws/v5/business\n{\"op\":\"subscribe\",\"args\":[{\"channel\":\"candle1m\",\"instId\":\"BTC-USDT\"}]}",
        ),
    ]
}

/// Seeds of [`recording`].
pub fn recording_seeds() -> Vec<Vec<u8>> {
    [
        "{\"t\":\"header\",\"format\":2,\"exchange\":\"KRAKEN\",\"config\":{}}\n{\"t\":\"connect\",\"conn\":\"a\",\"ts\":1618678132.358447,\"addr\":\"wss://ws.kraken.com\"}\n{\"t\":\"send\",\"conn\":\"a\",\"ts\":1618678132.36,\"data\":\"{}\"}\n{\"t\":\"recv\",\"conn\":\"a\",\"ts\":1618678132.3584470000123,\"data\":\"{\\\"event\\\":\\\"heartbeat\\\"}\"}\n{\"t\":\"recv\",\"conn\":\"a\",\"ts\":1618678133,\"b64\":\"/wBB\"}",
        "{\"t\":\"header\",\"exchange\":\"BINANCE\"}\n{\"t\":\"http\",\"conn\":\"a\",\"ts\":1618678132.358447,\"url\":\"https://api.binance.com/api/v3/depth?symbol=BTCUSDT\",\"data\":\"{\\\"lastUpdateId\\\":1,\\\"bids\\\":[],\\\"asks\\\":[]}\"}",
        "1723161254206652067 {\"lastUpdateId\":5}\n1723161254206652068 {\"stream\":\"btcusdt@trade\",\"data\":{}}",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

/// Seeds of [`chunk`]: of every feed, and canonical bytes of some.
pub fn chunk_seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    let filler: Vec<u8> = (0u8..=255).map(|n| n.wrapping_mul(167) >> (n % 5)).collect();
    for exchange in 0..6u8 {
        for feed in 0..9u8 {
            let head = [exchange, feed, u8::from(exchange != 0), 7, 0, 0, 0, 0, 0, 0, 0, 4];
            let body = [&head[..], &filler].concat();
            if let Some((header, rows)) = made(&mut Input::new(&body)) {
                if let Ok(chunk) = Chunk::encode(header, rows) {
                    seeds.push([b"d", chunk.bytes.as_slice()].concat());
                }
                seeds.push([b"s", body.as_slice()].concat());
            }
        }
    }
    seeds
}

/// Seeds of [`chain_rows`].
pub fn chain_rows_seeds() -> Vec<Vec<u8>> {
    let word = [[0u8; 12].as_slice(), &[7; 20]].concat();
    // Bytes that `topic` reads as an event, or as an address.
    let transfer = [&b"l"[..], &[3, 0, 3], &[7; 20], &[3], &[8; 20], &[0; 68], &[9; 32]].concat();
    let swap = [&b"l"[..], &[3, 1, 3], &[7; 20], &[3], &[8; 20], &[0; 68], &[0; 128]].concat();
    let concentrated = [&b"l"[..], &[3, 2, 3], &[7; 20], &[3], &[8; 20], &[0; 68], &[0xff; 160]].concat();
    let integers = [&b"u"[..], &[0x80], &[0; 31], &word].concat();
    let mut seeds = vec![transfer, swap, concentrated, integers, [&b"u"[..], &[0xff; 64]].concat()];
    let block = Block {
        number: 17,
        hash: [1; 32],
        parent_hash: [2; 32],
        nonce: [0; 8],
        sha3_uncles: [3; 32],
        logs_bloom: [0; 256],
        transactions_root: [4; 32],
        state_root: [5; 32],
        receipts_root: [6; 32],
        miner: [7; 20],
        difficulty: U256::ZERO,
        size: Some(1),
        extra_data: vec![1, 2],
        gas_limit: 1,
        gas_used: 1,
        timestamp: 1,
        transaction_count: Some(0),
        base_fee_per_gas: None,
        withdrawals_root: None,
        withdrawals: Some(Vec::new()),
        blob_gas_used: None,
        excess_blob_gas: None,
        mix_hash: [8; 32],
        parent_beacon_block_root: None,
        requests_hash: None,
        block_access_list_hash: None,
        slot_number: None,
    };
    let rows = (block, None::<Vec<Transaction>>, Some(Vec::<Receipt>::new()), Vec::<Log>::new());
    seeds.push([b"b", canonical::encode(&rows).as_slice()].concat());
    seeds
}
