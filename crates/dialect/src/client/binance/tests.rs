use super::*;
use crate::session::{Input, Session};
use openmesh_market::event::{Event, Incident};
use openmesh_primitives::Symbol;

const LINK: ConnectionId = ConnectionId(0);
const SNAPSHOT_URL: &str = "https://api.binance.com/api/v3/depth?symbol=BTCUSDT&limit=1000";

/// A session that is fed with texts, and what came of it.
struct Bench {
    binance: Binance,
    now: Timestamp,
    output: Output,
}

impl Bench {
    fn new(binance: Binance) -> Bench {
        Bench { binance, now: Timestamp::from_millis(1_000), output: Output::default() }
    }

    fn input(&mut self, input: Input<'_>) -> Vec<Event> {
        self.binance.handle(input, self.now, &mut self.output);
        std::mem::take(&mut self.output.events)
    }

    fn frame(&mut self, text: &str) -> Vec<Event> {
        self.input(Input::Frame { connection: LINK, data: text.as_bytes() })
    }

    fn snapshot(&mut self, last: u64, bids: &str, asks: &str) -> Vec<Event> {
        let body = format!(r#"{{"lastUpdateId":{last},"bids":[{bids}],"asks":[{asks}]}}"#);
        self.input(Input::Response { url: SNAPSHOT_URL, status: 200, body: body.as_bytes() })
    }

    fn depth(&mut self, first: u64, last: u64, bids: &str, asks: &str) -> Vec<Event> {
        self.frame(&format!(
            r#"{{"stream":"btcusdt@depth@100ms","data":{{"e":"depthUpdate","E":1723161255208,"s":"BTCUSDT","U":{first},"u":{last},"b":[{bids}],"a":[{asks}]}}}}"#
        ))
    }

    fn gets(&mut self) -> Vec<String> {
        let url = |action| if let Action::Get { url } = action { Some(url) } else { None };
        std::mem::take(&mut self.output.actions).into_iter().filter_map(url).collect()
    }

    fn bids(&self, symbol: &str) -> Option<String> {
        let book = self.binance.book(&symbol.parse().unwrap())?;
        Some(book.levels(openmesh_market::Side::Buy).map(|(p, s)| format!("{p}:{s}")).collect::<Vec<_>>().join(" "))
    }
}

fn incidents(events: &[Event]) -> Vec<(IncidentKind, &str)> {
    let mut said = Vec::new();
    for event in events {
        if let EventKind::Incident(incident) = &event.kind {
            said.push((incident.kind, incident.detail.as_str()));
        }
    }
    said
}

fn json(events: &[Event]) -> Vec<String> {
    events.iter().map(|e| serde_json::to_string(e).unwrap()).collect()
}

fn opened(actions: Vec<Action>) -> Vec<String> {
    actions.into_iter().filter_map(|a| if let Action::Open { url, .. } = a { Some(url) } else { None }).collect()
}

#[test]
fn changes_are_held_until_the_snapshot_and_joined_to_it() {
    let mut bench = Bench::new(Binance::spot());
    assert_eq!(bench.depth(98, 100, r#"["9","1"]"#, ""), []);
    assert_eq!(bench.gets(), [SNAPSHOT_URL]);
    bench.now = Timestamp::from_millis(1_100);
    assert_eq!(bench.depth(101, 103, r#"["10","2"]"#, ""), []);
    assert!(bench.gets().is_empty(), "asked once");
    bench.now = Timestamp::from_millis(1_200);
    let events = bench.snapshot(101, r#"["10","1"],["8","5"]"#, r#"["11","1"]"#);
    // The first change lies before the snapshot; the second overlaps and carries its own times.
    assert_eq!(
        json(&events),
        [
            r#"{"exchange":"binance","symbol":"BTC.USDT","ts_exchange":null,"ts_capture":"1.2","type":"book_snapshot","bids":[["10","1"],["8","5"]],"asks":[["11","1"]],"sequence":101,"checksum":null}"#,
            r#"{"exchange":"binance","symbol":"BTC.USDT","ts_exchange":"1723161255.208","ts_capture":"1.1","type":"book_delta","bids":[["10","2"]],"asks":[],"sequence":103,"checksum":null}"#,
        ]
    );
    assert_eq!(bench.bids("BTC.USDT").as_deref(), Some("10:2 8:5"));
    assert_eq!(bench.depth(104, 104, r#"["8","0"]"#, "").len(), 1);
    assert_eq!(bench.bids("BTC.USDT").as_deref(), Some("10:2"));
}

/// The answer to a question of a connection that has ended meanwhile.
#[test]
fn a_snapshot_without_a_stream_is_no_book() {
    let mut bench = Bench::new(Binance::spot());
    let url = "wss://stream.binance.com:9443/stream?streams=btcusdt@depth@100ms";
    bench.input(Input::Opened { connection: LINK, url });
    bench.depth(98, 100, r#"["9","1"]"#, "");
    bench.input(Input::Closed { connection: LINK });
    assert_eq!(bench.snapshot(101, r#"["10","1"]"#, ""), []);
    assert_eq!(bench.bids("BTC.USDT"), None);
    bench.input(Input::Opened { connection: LINK, url });
    bench.depth(102, 103, r#"["9","1"]"#, "");
    assert_eq!(bench.snapshot(103, r#"["10","1"]"#, "").len(), 1);
    assert_eq!(bench.bids("BTC.USDT").as_deref(), Some("10:1"));
}

#[test]
fn a_gap_takes_the_book_out_of_step_until_a_new_snapshot() {
    let mut bench = Bench::new(Binance::spot());
    bench.depth(1, 1, "", "");
    bench.snapshot(1, r#"["10","1"]"#, "");
    bench.depth(2, 3, "", "");
    bench.gets();
    bench.now = Timestamp::from_millis(60_000);
    let events = bench.depth(5, 6, r#"["9","1"]"#, "");
    assert_eq!(incidents(&events), [(IncidentKind::Gap, "U 4 expected, 5 came (u 6)")]);
    assert_eq!(events.len(), 1);
    assert_eq!(bench.bids("BTC.USDT"), None);
    assert_eq!(bench.gets(), [SNAPSHOT_URL]);
    // Too old a snapshot is told and asked for again, a little later.
    let events = bench.snapshot(3, r#"["10","1"]"#, "");
    assert_eq!(
        incidents(&events),
        [(IncidentKind::Gap, "the snapshot ends with update 3, the changes since begin with 5")]
    );
    assert!(bench.gets().is_empty());
    bench.now = Timestamp::from_millis(60_000 + book::RETRY_MS);
    bench.input(Input::Tick);
    assert_eq!(bench.gets(), [SNAPSHOT_URL]);
    assert_eq!(bench.snapshot(5, r#"["10","1"]"#, "").len(), 2);
    assert_eq!(bench.bids("BTC.USDT").as_deref(), Some("10:1 9:1"));
}

#[test]
fn what_comes_again_is_told_and_left_out() {
    let mut bench = Bench::new(Binance::spot());
    bench.depth(1, 1, "", "");
    bench.snapshot(1, r#"["10","1"]"#, "");
    assert_eq!(bench.depth(2, 2, r#"["10","2"]"#, "").len(), 1);
    bench.depth(3, 3, r#"["10","3"]"#, "");
    let events = bench.depth(2, 2, r#"["10","2"]"#, "");
    assert_eq!(
        incidents(&events),
        [(IncidentKind::Gap, "a change came again or out of order: U 4 expected, 2 came (u 2)")]
    );
    assert_eq!(bench.bids("BTC.USDT").as_deref(), Some("10:3"));
}

#[test]
fn futures_chain_by_the_update_before() {
    let mut bench = Bench::new(Binance::futures());
    let depth = |first: u64, last: u64, previous: u64| {
        format!(
            r#"{{"stream":"btcusdt@depth@100ms","data":{{"e":"depthUpdate","E":1787227200100,"T":1787227200099,"s":"BTCUSDT","U":{first},"u":{last},"pu":{previous},"b":[["100","2"]],"a":[]}}}}"#
        )
    };
    bench.frame(&depth(150, 160, 100));
    assert_eq!(bench.gets(), ["https://fapi.binance.com/fapi/v1/depth?symbol=BTCUSDT&limit=1000"]);
    let body = br#"{"lastUpdateId":100,"E":1787227200050,"T":1787227200040,"bids":[["99","1"]],"asks":[["101","1"]]}"#;
    let url = "https://fapi.binance.com/fapi/v1/depth?symbol=BTCUSDT&limit=1000";
    let events = bench.input(Input::Response { url, status: 200, body });
    let times: Vec<_> = events.iter().map(|e| e.ts_exchange.unwrap().millis()).collect();
    assert_eq!(times, [1_787_227_200_050, 1_787_227_200_100]);
    assert_eq!(bench.frame(&depth(165, 170, 160)).len(), 1);
    let events = bench.frame(&depth(180, 190, 175));
    assert_eq!(incidents(&events), [(IncidentKind::Gap, "pu 170 expected, 175 came (U 180, u 190)")]);
}

#[test]
fn a_crossed_book_is_told_and_asked_for_anew() {
    let mut bench = Bench::new(Binance::spot());
    bench.depth(1, 1, "", "");
    bench.snapshot(1, r#"["10","1"]"#, r#"["11","1"]"#);
    bench.gets();
    bench.now = Timestamp::from_millis(30_000);
    let events = bench.depth(2, 2, r#"["11","1"]"#, "");
    assert_eq!(incidents(&events), [(IncidentKind::Crossed, "best bid 11 is not below best ask 11")]);
    assert_eq!(bench.bids("BTC.USDT"), None);
    assert_eq!(bench.gets(), [SNAPSHOT_URL]);
}

#[test]
fn sides_are_the_takers_and_ids_are_text() {
    let mut bench = Bench::new(Binance::spot());
    let events = bench.frame(
        r#"{"stream":"btcusdt@trade","data":{"e":"trade","E":1723161255343,"s":"BTCUSDT","t":3735683259,"p":"61837.63000000","q":"0.02000000","T":1723161255342,"m":true,"M":true}}"#,
    );
    assert_eq!(
        json(&events),
        [
            r#"{"exchange":"binance","symbol":"BTC.USDT","ts_exchange":"1723161255.342","ts_capture":"1","type":"trade","side":"sell","price":"61837.63000000","size":"0.02000000","id":"3735683259"}"#
        ]
    );
    let events = bench.frame(
        r#"{"stream":"btcusdt@aggTrade","data":{"e":"aggTrade","E":1626992741575,"a":16599292,"s":"BTCUSDT","p":"1.01100","q":"10","f":23961322,"l":23961322,"T":1626992741421,"m":false}}"#,
    );
    assert!(json(&events)[0].ends_with(r#""side":"buy","price":"1.01100","size":"10","id":"16599292"}"#));
}

/// As `aggTrade` does, which counts trades on the book only.
#[test]
fn fills_by_the_insurance_fund_are_no_trades() {
    let mut bench = Bench::new(Binance::futures());
    let trade = |kind: &str| {
        format!(
            r#"{{"stream":"ethusdt@trade","data":{{"e":"trade","E":1596034530241,"T":1596034530235,"s":"ETHUSDT","t":73701056,"p":"2366.55","q":"0.070","X":"{kind}","m":true}}}}"#
        )
    };
    assert_eq!(bench.frame(&trade("MARKET")).len(), 1);
    assert_eq!(bench.frame(&trade("INSURANCE_FUND")), []);
}

#[test]
fn marks_funding_and_forced_orders() {
    let mut bench = Bench::new(Binance::futures());
    let events = bench.frame(
        r#"{"stream":"btcusdt@markPrice@1s","data":{"e":"markPriceUpdate","E":1597536008000,"s":"BTCUSDT","p":"11857.56000000","P":"11850.1","i":"11851.86949091","r":"0.00015640","T":1597564800000}}"#,
    );
    let said: Vec<String> = events.iter().map(|e| serde_json::to_string(&e.kind).unwrap()).collect();
    assert_eq!(
        said,
        [
            r#"{"type":"mark_price","price":"11857.56000000"}"#,
            r#"{"type":"index_price","price":"11851.86949091"}"#,
            r#"{"type":"funding","rate":"0.00015640","next_funding":"1597564800","mark_price":"11857.56000000","predicted_rate":null}"#,
        ]
    );
    let events = bench.frame(
        r#"{"stream":"btcusdt_210129@markPrice@1s","data":{"e":"markPriceUpdate","E":1609830121004,"s":"BTCUSDT_210129","p":"31799.27730000","P":"31235.82439517","i":"31307.03400000","r":"","T":0}}"#,
    );
    assert_eq!(events.len(), 2, "no funding of a dated contract");
    assert_eq!(events[0].symbol.as_ref().unwrap().to_string(), "BTC.USDT-210129");
    let events = bench.frame(
        r#"{"stream":"btcusdt@forceOrder","data":{"e":"forceOrder","E":1584059031426,"o":{"s":"BTCUSDT","S":"BUY","o":"LIMIT","f":"IOC","q":"0.014","p":"4793.91","ap":"4706.04","X":"FILLED","l":"0.015","z":"0.014","T":1584059031421}}}"#,
    );
    assert!(json(&events)[0].contains(r#""ts_exchange":"1584059031.421""#));
    assert!(
        json(&events)[0].ends_with(r#""type":"liquidation","side":"buy","price":"4793.91","size":"0.014","id":null}"#)
    );
}

#[test]
fn tickers_with_and_without_time() {
    let mut spot = Bench::new(Binance::spot());
    let text = r#"{"stream":"btcusdt@bookTicker","data":{"u":1127645101,"s":"BTCUSDT","b":"8010.00","B":"0.142","a":"8012.15","A":"0.031"}}"#;
    let events = spot.frame(text);
    assert_eq!(events[0].ts_exchange, None);
    assert!(
        json(&events)[0]
            .contains(r#""bid":"8010.00","bid_size":"0.142","ask":"8012.15","ask_size":"0.031","last":null"#)
    );
    let mut futures = Bench::new(Binance::futures());
    let text = text.replace(r#""u":"#, r#""e":"bookTicker","T":1612137603568,"E":1612137603571,"u":"#);
    assert_eq!(futures.frame(&text)[0].ts_exchange, Some(Timestamp::from_millis(1_612_137_603_571)));
    // Bare, as on a connection that is not combined.
    assert_eq!(spot.frame(r#"{"u":1,"s":"BTCUSDT","b":"1","B":"2","a":"3","A":"4"}"#).len(), 1);
}

#[test]
fn the_same_message_in_any_spelling() {
    let depth = r#"{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":1723161255208,"T":7,"s":"BTCUSDT","U":2,"u":3,"pu":1,"b":[["1.0","2"],["0.9","0.000"]],"a":[]}}"#;
    let ticker = r#"{"stream":"btcusdt@bookTicker","data":{"e":"bookTicker","u":1,"s":"BTCUSDT","b":"1.0","B":"2","a":"3","A":"4","T":5,"E":6}}"#;
    let trade = r#"{"stream":"btcusdt@trade","data":{"e":"trade","E":2,"T":1,"s":"BTCUSDT","t":17,"p":"1.0","q":"2","X":"MARKET","m":true}}"#;
    let aggregate = r#"{"stream":"btcusdt@aggTrade","data":{"e":"aggTrade","E":2,"a":17,"s":"BTCUSDT","p":"1.0","q":"2","f":1,"l":2,"T":1,"m":false}}"#;
    let read = |text: &str| {
        let mut bench = Bench::new(Binance::futures());
        let body = br#"{"lastUpdateId":1,"bids":[["0.9","1"]],"asks":[]}"#;
        let url = "https://fapi.binance.com/fapi/v1/depth?symbol=BTCUSDT&limit=1000";
        bench.input(Input::Response { url, status: 200, body });
        let events = bench.frame(text);
        (events, bench.bids("BTC.USDT-PERP"))
    };
    for compact in [depth, ticker, trade, aggregate] {
        let expected = read(compact);
        assert_eq!(incidents(&expected.0), []);
        assert_eq!(expected.0.len(), 1, "{compact}");
        let bare = compact.split_once(r#""data":"#).unwrap().1.strip_suffix('}').unwrap();
        for text in [
            compact.replace(':', ": "),
            compact.strip_suffix('}').unwrap().to_owned() + r#","more":{}}"#,
            format!("{bare}}}").replace("}}", r#","new":{"deep":[1]}}"#),
            compact.replace("}}", r#","new":"plain"}}"#),
            format!("{compact}\n"),
            bare.to_owned(),
            compact.replace("\"1.0\"", "1.0"),
            compact.replace("BTCUSDT", "BTC\\u0055SDT"),
        ] {
            assert_eq!(read(&text), expected, "{text}");
        }
    }
}

#[test]
fn starts_with_streams_in_the_address() {
    let mut binance = Binance::spot();
    let mut output = Output::default();
    let symbols = vec!["BTC.USDT".parse().unwrap(), "ETH.BTC".parse().unwrap(), "BTC.USDT-PERP".parse().unwrap()];
    let feeds = vec![Feed::Book, Feed::Trades, Feed::Ticker, Feed::Candles, Feed::Funding];
    binance.start(&Subscription { symbols, feeds }, &mut output);
    assert_eq!(
        opened(std::mem::take(&mut output.actions)),
        [
            "wss://stream.binance.com:9443/stream?streams=btcusdt@depth@100ms/btcusdt@trade/btcusdt@bookTicker/btcusdt@kline_1m/ethbtc@depth@100ms/ethbtc@trade/ethbtc@bookTicker/ethbtc@kline_1m"
        ]
    );
    binance.handle(Input::Opened { connection: LINK, url: "" }, Timestamp(0), &mut output);
    let refused: Vec<_> = output.events.iter().map(|e| (e.symbol.clone(), &e.kind)).collect();
    assert!(
        matches!(
            &refused[..],
            [
                (None, EventKind::Incident(Incident { kind: IncidentKind::Refused, feed: Some(Feed::Funding), .. })),
                (Some(_), EventKind::Incident(_))
            ]
        ),
        "{refused:?}"
    );
    let mut bench = Bench { binance, now: Timestamp(0), output };
    assert_eq!(bench.gets(), [SNAPSHOT_URL, &SNAPSHOT_URL.replace("BTCUSDT", "ETHBTC")]);
}

#[test]
fn futures_come_by_two_doors_and_open_interest_is_polled() {
    let mut binance = Binance::futures();
    let mut output = Output::default();
    let symbols = vec!["BTC.USDT-PERP".parse().unwrap(), "ETH.USDT-240927".parse().unwrap()];
    let feeds = vec![
        Feed::Book,
        Feed::Trades,
        Feed::Funding,
        Feed::MarkPrice,
        Feed::IndexPrice,
        Feed::Liquidations,
        Feed::OpenInterest,
    ];
    binance.start(&Subscription { symbols, feeds }, &mut output);
    assert_eq!(
        opened(std::mem::take(&mut output.actions)),
        [
            "wss://fstream.binance.com/public/stream?streams=btcusdt@depth@100ms/ethusdt_240927@depth@100ms",
            "wss://fstream.binance.com/market/stream?streams=btcusdt@aggTrade/btcusdt@markPrice@1s/btcusdt@forceOrder/ethusdt_240927@aggTrade/ethusdt_240927@markPrice@1s/ethusdt_240927@forceOrder"
        ]
    );
    let mut bench = Bench { binance, now: Timestamp::from_millis(0), output };
    bench.input(Input::Tick);
    let polled = bench.gets();
    assert_eq!(polled[0], "https://fapi.binance.com/fapi/v1/openInterest?symbol=BTCUSDT");
    bench.now = Timestamp::from_millis(POLL_MS - 1);
    bench.input(Input::Tick);
    assert!(bench.gets().is_empty());
    let body = br#"{"openInterest":"10659.509","symbol":"BTCUSDT","time":1589437530011}"#;
    let events = bench.input(Input::Response { url: &polled[0], status: 200, body });
    assert!(json(&events)[0].ends_with(r#""type":"open_interest","open_interest":"10659.509"}"#));
    // Too many requests: silence for a while, then again.
    let events = bench.input(Input::Response { url: &polled[0], status: 429, body: b"{\"code\":-1003}" });
    assert_eq!(incidents(&events)[0].0, IncidentKind::Refused);
    bench.now = Timestamp::from_millis(2 * POLL_MS);
    bench.input(Input::Tick);
    assert!(bench.gets().is_empty());
    bench.now = Timestamp::from_millis(POLL_MS + BACK_OFF_MS);
    bench.input(Input::Tick);
    assert_eq!(bench.gets(), polled);
}

#[test]
fn many_streams_are_spread_over_connections() {
    let mut binance = Binance::spot();
    let mut output = Output::default();
    let symbols = (0..STREAMS_MAX + 1).map(|at| Symbol::spot(&format!("A{at}"), "USDT")).collect();
    binance.start(&Subscription { symbols, feeds: vec![Feed::Trades] }, &mut output);
    let opened = opened(output.actions);
    assert_eq!(opened.len(), 2);
    assert!(opened[1].ends_with("streams=a100usdt@trade"));
}

#[test]
fn names_by_the_table_and_without_it() {
    let trade = |name: &str| format!(r#"{{"e":"trade","E":2,"s":"{name}","t":1,"p":"1","q":"2","T":1,"m":true}}"#);
    let table = br#"{"symbols":[{"symbol":"BTCSTUSDT","baseAsset":"BTCST","quoteAsset":"USDT","contractType":""},
        {"symbol":"ABCXYZ","baseAsset":"ABC","quoteAsset":"XYZ"},{"symbol":"BTCUSDT_210924","baseAsset":"BTC","quoteAsset":"USDT"}]}"#;
    let url = "https://fapi.binance.com/fapi/v1/exchangeInfo";
    let mut bench = Bench::new(Binance::futures());
    bench.input(Input::Response { url, status: 200, body: table });
    let mut name = |venue: &str| bench.frame(&trade(venue))[0].symbol.as_ref().unwrap().to_string();
    assert_eq!(name("ABCXYZ"), "ABC.XYZ-PERP");
    assert_eq!(name("BTCSTUSDT"), "BTCST.USDT-PERP");
    assert_eq!(name("BTCUSDT_210924"), "BTC.USDT-210924");
    // Not in the table: cut by what the venue quotes in, and refused where that does not settle it.
    assert_eq!(name("ETHUSDC"), "ETH.USDC-PERP");
    let events = bench.frame(&trade("NEWCOIN"));
    let [Event { symbol: None, kind: EventKind::Incident(incident), .. }] = &events[..] else { panic!("{events:?}") };
    assert_eq!(incident.kind, IncidentKind::Garbage);
    assert!(incident.detail.contains("NEWCOIN"), "{}", incident.detail);
}

#[test]
fn garbage_and_refusals() {
    let mut bench = Bench::new(Binance::spot());
    for text in [
        "",
        "{",
        "[]",
        "null",
        "{}",
        r#"{"stream":"btcusdt@new","data":{}}"#,
        r#"{"stream":"btcusdt@trade","data":{"s":"BTCUSDT"}}"#,
    ] {
        assert_eq!(incidents(&bench.frame(text))[0].0, IncidentKind::Garbage, "{text}");
    }
    assert_eq!(incidents(&bench.input(Input::Frame { connection: LINK, data: &[0xff] }))[0].0, IncidentKind::Garbage);
    let error = r#"{"error":{"code":2,"msg":"Invalid request"},"id":1}"#;
    assert_eq!(incidents(&bench.frame(error))[0].0, IncidentKind::Refused);
    for answer in [r#"{"result":null,"id":1}"#, r#"{"result":["btcusdt@trade"],"id":1}"#] {
        assert_eq!(bench.frame(answer), [], "{answer}");
    }
    let events = bench.input(Input::Response {
        url: SNAPSHOT_URL,
        status: 400,
        body: br#"{"code":-1121,"msg":"Invalid symbol."}"#,
    });
    assert_eq!(incidents(&events)[0].0, IncidentKind::Refused);
    assert_eq!(events[0].symbol, Some(Symbol::spot("BTC", "USDT")));
    let events = bench.input(Input::Response { url: SNAPSHOT_URL, status: 200, body: b"<html>" });
    assert_eq!(incidents(&events)[0].0, IncidentKind::Garbage);
}

/// `n` levels of size 1, from `first` on.
fn levels(first: i64, step: i64, n: i64) -> String {
    (0..n).map(|at| format!(r#"["{}","1"]"#, first + at * step)).collect::<Vec<_>>().join(",")
}

/// A book of which 1000 levels a side are known, and from whose bids all but 150 have gone since: update 2.
fn short() -> Bench {
    let mut bench = Bench::new(Binance::spot());
    bench.depth(1, 1, "", "");
    assert_eq!(bench.snapshot(1, &levels(10_000, -1, 1_000), &levels(10_001, 1, 1_000)).len(), 1);
    bench.gets();
    let gone = levels(10_000, -1, 850).replace(r#""1"]"#, r#""0"]"#);
    assert_eq!(bench.depth(2, 2, &gone, "").len(), 1);
    assert_eq!(bench.gets(), [SNAPSHOT_URL], "asked for a deeper one, in step");
    bench
}

#[test]
fn a_book_is_known_deeper_without_a_break() {
    let mut bench = short();
    // Kept until the snapshot comes; the first of them is in it already.
    assert_eq!(bench.depth(3, 3, r#"["9140","7"]"#, "").len(), 1);
    assert_eq!(bench.depth(4, 4, r#"["9139","8"],["8000","5"]"#, "").len(), 1);
    assert!(bench.gets().is_empty(), "asked once");
    let bids = levels(9_150, -1, 1_000).replace(r#"["9140","1"]"#, r#"["9140","7"]"#);
    let events = bench.snapshot(3, &bids, &levels(10_001, 1, 1_000));
    let [Event { kind: EventKind::BookSnapshot(book), .. }] = &events[..] else { panic!("{events:?}") };
    assert_eq!((book.sequence, book.bids.len(), book.asks.len()), (Some(4), 1_000, 1_000));
    let size = |price: i64| book.bids.iter().find(|l| l.0 == price.into()).map(|l| l.1.to_string());
    assert_eq!((size(9_140), size(9_139)), (Some("7".into()), Some("8".into())));
    assert_eq!((size(8_151), size(8_000)), (Some("1".into()), None), "what lies below its end is not known");
    // The chain runs on.
    assert_eq!(bench.depth(5, 5, r#"["9151","1"]"#, "").len(), 1);
    bench.now = Timestamp::from_millis(100_000);
    assert_eq!(bench.depth(6, 6, "", "").len(), 1);
    assert!(bench.gets().is_empty(), "deep enough");
}

#[test]
fn a_deeper_snapshot_that_runs_ahead_waits_for_the_stream() {
    let mut bench = short();
    let bids = levels(9_150, -1, 1_000).replace(r#"["9150","1"]"#, r#"["9150","3"]"#);
    assert_eq!(bench.snapshot(4, &bids, &levels(10_001, 1, 1_000)), []);
    assert_eq!(bench.depth(3, 3, r#"["9150","2"]"#, "").len(), 1);
    let events = bench.depth(4, 5, r#"["9150","3"]"#, "");
    assert!(matches!(&events[1].kind, EventKind::BookSnapshot(b) if b.sequence == Some(5)), "{events:?}");
    assert_eq!(bench.bids("BTC.USDT").unwrap().split(' ').count(), 1_000);
}

#[test]
fn a_deeper_snapshot_that_contradicts_the_book_is_a_gap() {
    let mut bench = short();
    let bids = levels(9_150, -1, 1_000).replace(r#"["9100","1"]"#, r#"["9100","9"]"#);
    let events = bench.snapshot(2, &bids, &levels(10_001, 1, 1_000));
    assert_eq!(
        incidents(&events),
        [(IncidentKind::Gap, "bid level 50: 1 at 9100 here, 9 at 9100 in the snapshot that ends with 2")]
    );
    assert_eq!(bench.bids("BTC.USDT"), None);
}

#[test]
fn a_deeper_snapshot_that_is_too_old_or_unasked_is_left_alone() {
    let mut bench = short();
    assert_eq!(bench.snapshot(1, &levels(5, -1, 1), ""), []);
    assert_eq!(bench.bids("BTC.USDT").unwrap().split(' ').count(), 150);
    bench.now = Timestamp::from_millis(1_000 + reach::ASK_MS);
    bench.depth(3, 3, "", "");
    assert_eq!(bench.gets(), [SNAPSHOT_URL], "asked again");
    let mut deep = Bench::new(Binance::spot());
    deep.depth(1, 1, "", "");
    deep.snapshot(1, &levels(10_000, -1, 1_000), &levels(10_001, 1, 1_000));
    deep.gets();
    deep.depth(2, 2, r#"["10000","2"]"#, "");
    assert_eq!(deep.snapshot(2, &levels(5, -1, 1), ""), []);
    assert!(deep.gets().is_empty());
}
