//! The simulated market through the venues' protocols.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use openmesh_market::{Event, EventKind, Exchange, Feed, Side};
use openmesh_primitives::Symbol;
use openmesh_venues::{Config, Faults, Handle, Mode, SimulationConfig, start};
use tokio_util::sync::CancellationToken;

use crate::site::{PATIENCE, Site, subscriptions};

async fn serve(events_per_second: u32, faults: Faults) -> (Handle, CancellationToken) {
    let stop = CancellationToken::new();
    let config = Config {
        listen: "127.0.0.1:0".parse().unwrap(),
        mode: Mode::Simulation(SimulationConfig { seed: 11, events_per_second }),
        faults,
        ethereum: None,
    };
    let (handle, _) = start(config, stop.clone()).await.unwrap();
    (handle, stop)
}

/// Every feed of the catalogue arrives, nothing is wrong with it, the books are in step.
async fn everything_arrives(exchange: Exchange) {
    let (handle, stop) = serve(2_000, Faults::default()).await;
    let catalogue = handle.catalogue();
    let groups = subscriptions(&catalogue, exchange);
    assert!(!groups.is_empty());
    for subscription in groups {
        let mut site = Site::start(&handle, exchange, &subscription);
        site.until("every feed of every symbol", |site| {
            let enough = |s: &Symbol, f: &Feed| site.count(s, *f) >= if *f == Feed::Book { 30 } else { 1 };
            site.frames.is_multiple_of(50)
                && subscription.symbols.iter().all(|s| subscription.feeds.iter().all(|f| enough(s, f)))
        })
        .await;
        assert!(site.incidents().is_empty(), "{:#?}", site.incidents());
        for symbol in &subscription.symbols {
            let book = site.session.book(symbol).unwrap_or_else(|| panic!("{symbol} is not in step"));
            assert!(!book.is_crossed());
            assert!(book.depth(Side::Buy) >= 10 && book.depth(Side::Sell) >= 10);
        }
    }
    stop.cancel();
}

#[tokio::test]
async fn binance() {
    everything_arrives(Exchange::Binance).await;
}

#[tokio::test]
async fn binance_futures() {
    everything_arrives(Exchange::BinanceFutures).await;
}

#[tokio::test]
async fn coinbase() {
    everything_arrives(Exchange::Coinbase).await;
}

#[tokio::test]
async fn kraken() {
    everything_arrives(Exchange::Kraken).await;
}

#[tokio::test]
async fn bybit() {
    everything_arrives(Exchange::Bybit).await;
}

#[tokio::test]
async fn okx() {
    everything_arrives(Exchange::Okx).await;
}

/// Fields of a trade that are the venue's own.
fn trades(events: &[Event], symbol: &Symbol) -> Vec<(String, String)> {
    let own = events.iter().filter(|e| e.symbol.as_ref() == Some(symbol));
    own.filter_map(|e| match &e.kind {
        EventKind::Trade(t) if !t.snapshot => {
            let id = t.id.clone()?;
            Some((id, format!("{:?} {:?} {} {}", e.ts_exchange, t.side, t.price, t.size)))
        }
        _ => None,
    })
    .collect()
}

/// The levels of a book's changes by their sequence number.
fn deltas(events: &[Event], symbol: &Symbol) -> BTreeMap<u64, String> {
    let own = events.iter().filter(|e| e.symbol.as_ref() == Some(symbol));
    own.filter_map(|e| match &e.kind {
        EventKind::BookDelta(d) => Some((d.sequence?, format!("{:?} {:?} {:?}", e.ts_exchange, d.bids, d.asks))),
        _ => None,
    })
    .collect()
}

/// Four sites that come one after the other see the same trades at the same times, and the same changes of the book.
async fn four_sites_see_the_same(exchange: Exchange) {
    let (handle, stop) = serve(3_000, Faults { seed: 5, delay_ms_max: 40, ..Faults::default() }).await;
    let subscription = subscriptions(&handle.catalogue(), exchange).remove(0);
    let symbol = subscription.symbols[0].clone();
    let mut tasks = Vec::new();
    let done = Arc::new(AtomicUsize::new(0));
    for n in 0..4 {
        let mut site = Site::start(&handle, exchange, &subscription);
        // The next comes when this one has its book and a few trades.
        site.until("a book", |s| s.session.book(&symbol).is_some() && s.count(&symbol, Feed::Trades) > n).await;
        let symbol = symbol.clone();
        let (done, mut told) = (done.clone(), false);
        tasks.push(tokio::spawn(async move {
            // Nobody leaves before the last has seen enough: a venue that is asked one thing a second lets it wait.
            site.until("trades", |s| {
                if !told && s.count(&symbol, Feed::Trades) >= 120 + 20 * (4 - n) {
                    told = true;
                    done.fetch_add(1, Ordering::SeqCst);
                }
                done.load(Ordering::SeqCst) == 4
            })
            .await;
            assert!(site.incidents().is_empty(), "{:#?}", site.incidents());
            site.events
        }));
    }
    let mut all = Vec::new();
    for task in tasks {
        all.push(task.await.unwrap());
    }
    stop.cancel();
    let first: BTreeMap<_, _> = trades(&all[0], &symbol).into_iter().collect();
    let first_deltas = deltas(&all[0], &symbol);
    for other in &all[1..] {
        let same = trades(other, &symbol).into_iter().filter_map(|(id, t)| first.get(&id).map(|f| (f.clone(), t)));
        let same: Vec<_> = same.collect();
        assert!(same.len() >= 10, "{} trades in common", same.len());
        assert!(same.iter().all(|(a, b)| a == b));
        let common = deltas(other, &symbol).into_iter().filter(|(n, _)| first_deltas.contains_key(n));
        let common: Vec<_> = common.collect();
        assert!(exchange == Exchange::Kraken || exchange == Exchange::Coinbase || common.len() >= 20);
        assert!(common.iter().all(|(n, delta)| first_deltas.get(n) == Some(delta)));
    }
}

#[tokio::test]
async fn four_sites_at_binance() {
    four_sites_see_the_same(Exchange::Binance).await;
}

#[tokio::test]
async fn four_sites_at_coinbase() {
    four_sites_see_the_same(Exchange::Coinbase).await;
}

#[tokio::test]
async fn four_sites_at_kraken() {
    four_sites_see_the_same(Exchange::Kraken).await;
}

#[tokio::test]
async fn four_sites_at_okx() {
    four_sites_see_the_same(Exchange::Okx).await;
}

#[tokio::test]
async fn four_sites_at_bybit() {
    four_sites_see_the_same(Exchange::Bybit).await;
}

/// A lost message is found by the venue's own numbers or checksums, and the book comes back.
#[tokio::test]
async fn losses_are_found_and_mended() {
    for exchange in Exchange::ALL {
        let faults = Faults { seed: 3, drop_per_million: 30_000, ..Faults::default() };
        let (handle, stop) = serve(3_000, faults).await;
        let mut subscription = subscriptions(&handle.catalogue(), exchange).remove(0);
        subscription.feeds = vec![Feed::Book];
        let mut site = Site::start(&handle, exchange, &subscription);
        let symbol = subscription.symbols[0].clone();
        site.until("a loss that is noticed", |s| s.any_incident()).await;
        let noticed = site.events.len();
        site.until("the book again", |s| s.session.book(&symbol).is_some() && s.events.len() > noticed + 20).await;
        stop.cancel();
    }
}

#[tokio::test]
async fn a_cut_connection_is_opened_again() {
    let faults = Faults { disconnect_after_frames: 50, ..Faults::default() };
    let (handle, stop) = serve(3_000, faults).await;
    let subscription = subscriptions(&handle.catalogue(), Exchange::Kraken).remove(0);
    let mut site = Site::start(&handle, Exchange::Kraken, &subscription);
    let symbol = subscription.symbols[0].clone();
    site.until("the end of the connection", |s| s.any_incident()).await;
    let ended = site.frames;
    site.until("frames of the next", |s| s.frames > ended + 20 && s.session.book(&symbol).is_some()).await;
    stop.cancel();
}

#[tokio::test]
async fn stops_with_its_token_and_tells_its_progress() {
    let stop = CancellationToken::new();
    let config = Config {
        listen: "127.0.0.1:0".parse().unwrap(),
        mode: Mode::Simulation(SimulationConfig { seed: 1, events_per_second: 500 }),
        faults: Faults::default(),
        ethereum: None,
    };
    let (handle, join) = start(config, stop.clone()).await.unwrap();
    let subscription = subscriptions(&handle.catalogue(), Exchange::Binance).remove(0);
    let mut site = Site::start(&handle, Exchange::Binance, &subscription);
    let progress = handle.clone();
    site.until("a second of events", |_| progress.progress().events_per_second > 400).await;
    let told = handle.progress();
    assert_eq!(told.connections, 1);
    assert_eq!(told.sets[0].name, "simulation");
    assert!(told.events_total >= told.events_per_second && told.sets[0].position_ms >= 900);
    stop.cancel();
    tokio::time::timeout(PATIENCE, join).await.unwrap().unwrap().unwrap();
    site.until("the end of the connection", |s| s.any_incident()).await;
}
