//! Recordings through the venues' protocols, against the same recordings read directly.
//!
//! The recordings are not part of the repository: where they are absent each test says that it was skipped.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;

use openmesh_dialect::Subscription;
use openmesh_dialect::recording::{Line, Player};
use openmesh_market::{Event, EventKind, Exchange, Feed, OrderBook, Side};
use openmesh_primitives::{Decimal, Symbol};
use openmesh_venues::{Config, Faults, Handle, Mode, ReplayConfig, SetState, Speed, start};
use tokio_util::sync::CancellationToken;

use crate::site::{Site, get, subscriptions};

/// The folder of the recordings.
fn recordings() -> Option<PathBuf> {
    let near = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data"));
    let dir = std::env::var_os("OPENMESH_RECORDINGS").map_or(near, PathBuf::from);
    if dir.is_dir() {
        return Some(dir);
    }
    println!("skipped: no recordings at {} (set OPENMESH_RECORDINGS)", dir.display());
    None
}

async fn serve(set: &str, speed: Speed, hold: usize, faults: Faults) -> Option<(Handle, CancellationToken)> {
    let mut replay = ReplayConfig::new(recordings()?);
    replay.sets = vec![set.to_owned()];
    replay.speed = speed;
    replay.hold_subscribers = hold;
    let stop = CancellationToken::new();
    let config = Config { listen: "127.0.0.1:0".parse().unwrap(), mode: Mode::Replay(replay), faults, ethereum: None };
    let (handle, _) = start(config, stop.clone()).await.unwrap();
    Some((handle, stop))
}

/// The recording read directly: its events, and its books at the end.
fn direct(set: &str) -> (Vec<Event>, BTreeMap<Symbol, OrderBook>) {
    let file = std::fs::File::open(recordings().unwrap().join(set).join("frames.jsonl.gz")).unwrap();
    let (mut player, mut events) = (None, Vec::new());
    for line in BufReader::new(flate2::read::MultiGzDecoder::new(file)).lines() {
        let line = Line::parse(&line.unwrap()).unwrap();
        if let Line::Header { exchange } = &line {
            player = Some(Player::new(openmesh_dialect::for_recording(exchange).unwrap()));
        }
        player.as_mut().unwrap().line(&line, &mut events);
    }
    let books = player.unwrap().session().books().into_iter().map(|(s, b)| (s, b.clone())).collect();
    (events, books)
}

/// Everything about an instrument that is served, in one subscription.
fn all(handle: &Handle, exchange: Exchange) -> Subscription {
    let groups = subscriptions(&handle.catalogue(), exchange);
    let symbols = groups.iter().flat_map(|g| g.symbols.clone()).collect();
    let feeds: BTreeSet<Feed> = groups.iter().flat_map(|g| g.feeds.clone()).collect();
    Subscription { symbols, feeds: feeds.into_iter().collect() }
}

type Said = (Option<Symbol>, String);

/// Events of a feed without the time of capture; a trade of before the subscription is none.
fn said(events: &[Event], feed: Feed) -> Vec<Said> {
    let of = events.iter().filter(|e| e.kind.feed() == Some(feed));
    of.filter(|e| !matches!(&e.kind, EventKind::Trade(t) if t.snapshot))
        .map(|e| (e.symbol.clone(), format!("{:?} {:?}", e.ts_exchange, e.kind)))
        .collect()
}

fn by_symbol(said: Vec<Said>) -> BTreeMap<Option<Symbol>, Vec<String>> {
    let mut map: BTreeMap<Option<Symbol>, Vec<String>> = BTreeMap::new();
    for (symbol, what) in said {
        map.entry(symbol).or_default().push(what);
    }
    map
}

fn levels(book: &OrderBook, depth: usize) -> Vec<Vec<(Decimal, Decimal)>> {
    [Side::Buy, Side::Sell].map(|side| book.levels(side).take(depth).copied().collect()).to_vec()
}

fn finished(handle: &Handle) -> bool {
    handle.progress().sets.iter().all(|s| s.state == SetState::Finished)
}

/// Until the set has ended and nothing more of it is on its way: longer without an event than the longest delay.
/// (Signs of life go on.)
async fn until_the_end(site: &mut Site, handle: &Handle) {
    site.until("the end of the recording", |_| finished(handle)).await;
    let mut quiet = (site.events.len(), tokio::time::Instant::now());
    site.until("quiet", |s| {
        if s.events.len() != quiet.0 {
            quiet = (s.events.len(), tokio::time::Instant::now());
        }
        quiet.1.elapsed() > std::time::Duration::from_millis(1_500)
    })
    .await;
}

/// A client that is there from the beginning gets what was recorded: the same events of every feed, the same books.
async fn whole(set: &str, exchange: Exchange) {
    // Coinbase is asked one thing a second, and a recording does not wait for tickers: a second client, who comes when the
    // first has asked for everything, lets it begin.
    let slow = exchange == Exchange::Coinbase;
    let hold = if slow { 2 } else { 1 };
    let Some((handle, stop)) = serve(set, Speed::Fastest, hold, Faults::default()).await else { return };
    let subscription = all(&handle, exchange);
    let mut site = Site::start(&handle, exchange, &subscription);
    let mut tasks = tokio::task::JoinSet::new();
    if slow {
        site.until("everything is asked for", |s| s.sent > subscription.feeds.len()).await;
        let mut second = Site::start(&handle, exchange, &subscription);
        tasks.spawn(async move { second.until("the end of the test", |_| false).await });
    }
    until_the_end(&mut site, &handle).await;
    tasks.abort_all();
    stop.cancel();
    let (events, books) = direct(set);
    for feed in Feed::ALL {
        let (theirs, ours) = (by_symbol(said(&events, feed)), by_symbol(said(&site.events, feed)));
        if feed == Feed::Book && matches!(exchange, Exchange::Binance | Exchange::BinanceFutures) {
            // The snapshot's place among the changes depends on when it is asked for.
            continue;
        }
        for (symbol, theirs) in &theirs {
            let ours = ours.get(symbol).cloned().unwrap_or_default();
            assert_eq!(ours.len(), theirs.len(), "{set} {feed} {symbol:?}");
            assert!(&ours == theirs, "{set} {feed} {symbol:?} differ");
        }
        assert_eq!(theirs.len(), ours.len(), "{set} {feed}");
    }
    assert!(!books.is_empty());
    for (symbol, book) in &books {
        let ours = site.session.book(symbol).unwrap_or_else(|| panic!("{set}: {symbol} is not in step"));
        // A depth snapshot of Binance holds a thousand levels, whenever it is asked for.
        let depth = if matches!(exchange, Exchange::Binance | Exchange::BinanceFutures) { 500 } else { usize::MAX };
        assert!(levels(ours, depth) == levels(book, depth), "{set}: {symbol} differs");
    }
    let bad: Vec<_> = site.incidents().into_iter().filter(|e| !refused_feed(e)).collect();
    assert!(bad.is_empty(), "{bad:#?}");
}

/// A subscription of all feeds of all symbols names some that the venue does not have: the session says so.
fn refused_feed(event: &Event) -> bool {
    matches!(&event.kind, EventKind::Incident(i) if i.kind == openmesh_market::event::IncidentKind::Refused)
}

#[tokio::test]
async fn binance_whole() {
    whole("cf-BINANCE-20211012", Exchange::Binance).await;
}

#[tokio::test]
async fn binance_futures_whole() {
    whole("cf-BINANCE_FUTURES-20210722", Exchange::BinanceFutures).await;
}

#[tokio::test]
async fn coinbase_whole() {
    whole("cf-COINBASE-20260809-first14s", Exchange::Coinbase).await;
}

#[tokio::test]
async fn kraken_whole() {
    whole("cf-KRAKEN-20210417", Exchange::Kraken).await;
}

#[tokio::test]
async fn bybit_whole() {
    whole("cf-BYBIT-20260809-BTC-DOGE", Exchange::Bybit).await;
}

#[tokio::test]
async fn okx_whole() {
    whole("cf-OKX-20220513", Exchange::Okx).await;
}

/// Sites that come late, with frames delayed, end with the same best levels, without an incident, and have seen the same
/// trades as the first from when they came.
async fn late(set: &str, exchange: Exchange, times: u32) {
    let faults = Faults { seed: 8, delay_ms_max: 150, ..Faults::default() };
    let Some((handle, stop)) = serve(set, Speed::Times(times), 1, faults).await else { return };
    let subscription = all(&handle, exchange);
    let mut tasks = Vec::new();
    for n in 0..3u64 {
        let mut site = Site::start(&handle, exchange, &subscription);
        let length = handle.progress().sets[0].length_ms;
        // The next comes when another quarter has been played.
        let part = move |handle: &Handle| handle.progress().sets[0].position_ms >= length * (n + 1) / 4;
        let watched = handle.clone();
        site.until("a quarter of the recording", |_| part(&watched)).await;
        let handle = handle.clone();
        tasks.push(tokio::spawn(async move {
            until_the_end(&mut site, &handle).await;
            site
        }));
    }
    let mut sites = Vec::new();
    for task in tasks {
        sites.push(task.await.unwrap());
    }
    stop.cancel();
    let (_, books) = direct(set);
    for (n, site) in sites.iter().enumerate() {
        let bad: Vec<_> = site.incidents().into_iter().filter(|e| !refused_feed(e)).collect();
        assert!(bad.is_empty(), "{set}, site {n}: {bad:#?}");
        let mut in_step = 0;
        for (symbol, book) in &books {
            // A quiet book of Binance may have had no change since the site came.
            let Some(ours) = site.session.book(symbol) else {
                assert!(matches!(exchange, Exchange::Binance | Exchange::BinanceFutures), "{set}: {symbol}");
                continue;
            };
            in_step += 1;
            assert!(levels(ours, 100) == levels(book, 100), "{set}, site {n}: {symbol} differs");
        }
        assert!(in_step > 0);
    }
    let first = said(&sites[0].events, Feed::Trades);
    for site in &sites[1..] {
        let trades = said(&site.events, Feed::Trades);
        assert!(trades.iter().all(|t| first.contains(t)), "{set}: a trade that the first did not see");
        assert!(first.ends_with(&trades) || exchange == Exchange::Bybit, "{set}: a hole in the trades");
    }
}

#[tokio::test]
async fn binance_late() {
    late("cf-BINANCE-20211012", Exchange::Binance, 4).await;
}

#[tokio::test]
async fn binance_futures_late() {
    late("cf-BINANCE_FUTURES-20210722", Exchange::BinanceFutures, 4).await;
}

#[tokio::test]
async fn coinbase_late() {
    late("cf-COINBASE-20260809-first14s", Exchange::Coinbase, 2).await;
}

#[tokio::test]
async fn kraken_late() {
    late("cf-KRAKEN-20210417", Exchange::Kraken, 4).await;
}

#[tokio::test]
async fn bybit_late() {
    late("cf-BYBIT-20260809-BTC-DOGE", Exchange::Bybit, 4).await;
}

#[tokio::test]
async fn okx_late() {
    late("cf-OKX-20220513", Exchange::Okx, 1).await;
}

/// The long recordings of Binance, as fast as they go: every trade of the independent normaliser, the independent book.
async fn long(set: &str, exchange: Exchange, reference: &str) {
    let Some((handle, stop)) = serve(set, Speed::Fastest, 1, Faults::default()).await else { return };
    let subscription = all(&handle, exchange);
    let mut site = Site::start(&handle, exchange, &subscription);
    until_the_end(&mut site, &handle).await;
    stop.cancel();
    let dir = recordings().unwrap().join(set).join("reference");
    let lines = |name: &str| {
        let file = std::fs::File::open(dir.join(name)).unwrap();
        BufReader::new(flate2::read::MultiGzDecoder::new(file)).lines().map(Result::unwrap)
    };
    let ids =
        |line: String| serde_json::from_str::<serde_json::Value>(&line).unwrap()["id"].as_str().unwrap().to_owned();
    let theirs: Vec<String> = lines(reference).map(ids).collect();
    let ours = site.events.iter().filter_map(|e| match &e.kind {
        EventKind::Trade(t) => t.id.clone(),
        _ => None,
    });
    let ours: Vec<String> = ours.collect();
    assert_eq!(ours.len(), theirs.len());
    assert!(ours == theirs);
    let last = lines("book.top20.every-second.jsonl.gz").last().unwrap();
    let last: serde_json::Value = serde_json::from_str(&last).unwrap();
    let book = site.session.book(&subscription.symbols[0]).unwrap();
    for (side, name) in [(Side::Buy, "bids"), (Side::Sell, "asks")] {
        let theirs: Vec<(Decimal, Decimal)> = last[name]
            .as_array()
            .unwrap()
            .iter()
            .take(500)
            .map(|l| (l[0].as_str().unwrap().parse().unwrap(), l[1].as_str().unwrap().parse().unwrap()))
            .collect();
        let ours: Vec<_> = book.levels(side).take(theirs.len()).copied().collect();
        assert!(ours == theirs, "{set} {name}");
    }
}

#[tokio::test]
async fn binance_long() {
    let reference = "tardis-dev-binance.trades.jsonl.gz";
    long("hft-binance-spot-btcusdt-20240808-09", Exchange::Binance, reference).await;
}

#[tokio::test]
async fn binance_futures_long() {
    let reference = "tardis-dev-binance-futures.trades.jsonl.gz";
    long("hft-binance-usdm-btcusdt-20240808", Exchange::BinanceFutures, reference).await;
}

#[tokio::test]
async fn everything_together_is_listed() {
    let Some(dir) = recordings() else { return };
    let stop = CancellationToken::new();
    let mut replay = ReplayConfig::new(dir);
    replay.hold_subscribers = 1;
    let config = Config {
        listen: "127.0.0.1:0".parse().unwrap(),
        mode: Mode::Replay(replay),
        faults: Faults::default(),
        ethereum: None,
    };
    let (handle, _) = start(config, stop.clone()).await.unwrap();
    let catalogue = handle.catalogue();
    assert!(!catalogue.simulated);
    assert_eq!(catalogue.exchanges(), Exchange::ALL);
    assert!(catalogue.sets.iter().all(|s| s.first_venue_time.is_some() && s.length_ms > 5_000), "{catalogue:#?}");
    let of = |exchange, symbol: &str| {
        let symbol: Symbol = symbol.parse().unwrap();
        catalogue.of(exchange).find(|e| e.symbol == symbol).map(|e| e.feeds.clone())
    };
    let linear = of(Exchange::Bybit, "BTC.USDT-PERP").unwrap();
    assert!(linear.contains(&Feed::Funding) && linear.contains(&Feed::OpenInterest));
    assert_eq!(of(Exchange::Kraken, "BTC.CHF").map(|f| f.contains(&Feed::Book)), Some(true));
    assert!(of(Exchange::Okx, "BTC.USD-220527").is_some() && of(Exchange::Binance, "BTC.USDT").is_some());
    assert!(handle.progress().sets.iter().all(|s| s.state == SetState::Waiting && s.frames_played == 0));
    // Lists are served as recorded.
    let url = handle.local("https://api.bybit.com/v5/market/instruments-info?category=spot&limit=1000").unwrap();
    let (status, body) = get(&url).await;
    assert_eq!(status, 200);
    assert!(String::from_utf8(body).unwrap().contains(r#""category":"spot""#));
    stop.cancel();
}
