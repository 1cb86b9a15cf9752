//! What a bad day does to a collector: connections that break, lie, refuse, fall silent; and what it promises anyway.

#![allow(clippy::unwrap_used, reason = "a test says what failed by failing")]

mod support;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use openmesh_collector::{Filter, Update};
use openmesh_content::{BlockStore, Limits};
use openmesh_market::event::IncidentKind;
use openmesh_market::window::Reason;
use openmesh_market::{EventKind, Exchange, Feed};
use openmesh_primitives::Symbol;
use support::{Behaviour, Collector, PATIENCE, Server, within};

/// A connection cut in the middle of a frame is opened again, and the stream goes on.
#[tokio::test]
async fn cut_in_the_middle_of_a_frame() {
    let server = Server::start(vec![Behaviour::CutMidFrame, Behaviour::Serve]).await;
    let mut collector = Collector::start(&server, &[Exchange::Kraken]);
    let mut trades = collector.handle.subscribe(Filter { feeds: [Feed::Trades].into(), ..Filter::default() });
    within(trades.next()).await.expect("a trade after the cut");
    let incident = within(collector.outputs.incidents.recv()).await.expect("an incident");
    assert!(matches!(&incident.kind, EventKind::Incident(i) if i.kind == IncidentKind::Disconnected), "{incident:?}");
    assert!(collector.handle.status()[0].reconnects >= 1);
    collector.stop().await;
}

fn is_incident(update: &Option<Update>, kind: IncidentKind) -> bool {
    let Some(Update::Event(event)) = update else { return false };
    matches!(&event.kind, EventKind::Incident(incident) if incident.kind == kind)
}

/// Frames that no venue would send are an incident; the connection is kept and the trades after them arrive.
#[tokio::test]
async fn garbage() {
    let server = Server::start(vec![Behaviour::GarbageThenServe]).await;
    let mut collector = Collector::start(&server, &[Exchange::Kraken]);
    let mut trades = collector.handle.subscribe(Filter { feeds: [Feed::Trades].into(), ..Filter::default() });
    assert!(is_incident(&within(trades.next()).await, IncidentKind::Garbage), "who watches the venue hears of it");
    within(trades.next()).await.expect("a trade after the garbage");
    let incident = within(collector.outputs.incidents.recv()).await.expect("an incident");
    assert!(matches!(&incident.kind, EventKind::Incident(i) if i.kind == IncidentKind::Garbage), "{incident:?}");
    assert_eq!(collector.handle.status()[0].reconnects, 0);
    collector.stop().await;
}

/// A handshake that is answered 429 is repeated no sooner than asked for; another venue does not notice.
#[tokio::test]
async fn too_many_requests_at_the_door() {
    let refusing = Server::start(vec![Behaviour::TooMany { seconds: 1 }, Behaviour::Serve]).await;
    let began = Instant::now();
    let mut collector = Collector::start(&refusing, &[Exchange::Kraken]);
    let mut trades = collector.handle.subscribe(Filter { feeds: [Feed::Trades].into(), ..Filter::default() });
    assert!(is_incident(&within(trades.next()).await, IncidentKind::Refused));
    within(trades.next()).await.expect("a trade in the end");
    assert!(began.elapsed() >= Duration::from_secs(1), "asked again after {:?}", began.elapsed());
    let incident = within(collector.outputs.incidents.recv()).await.expect("an incident");
    let EventKind::Incident(incident) = &incident.kind else { panic!("{incident:?}") };
    assert!(incident.kind == IncidentKind::Refused && incident.detail.contains("429"), "{incident:?}");
    collector.stop().await;
}

/// The same over HTTP: the session hears only the answer.
#[tokio::test]
async fn too_many_requests_over_http() {
    let server = Server::start(vec![Behaviour::Serve]).await;
    server.limit_http(1, 3);
    let began = Instant::now();
    let mut collector = Collector::start(&server, &[Exchange::Binance]);
    let symbol = Symbol::spot("BTC", "USDT");
    let mut books = collector.handle.subscribe(Filter::one(Exchange::Binance, symbol, Feed::Book));
    assert!(is_incident(&within(books.next()).await, IncidentKind::Refused));
    let update = within(books.next()).await.expect("a snapshot");
    assert!(matches!(update, Update::Event(e) if matches!(e.kind, EventKind::BookSnapshot(_))));
    assert!(began.elapsed() >= Duration::from_secs(3));
    let incident = within(collector.outputs.incidents.recv()).await.expect("an incident");
    assert!(matches!(&incident.kind, EventKind::Incident(i) if i.detail.contains("wait")), "{incident:?}");
    // The session has asked each second: the venue hears the question once more, not all of them when the wait is over.
    assert_eq!(server.asked(), 2);
    collector.stop().await;
}

/// A connection that says nothing is given up, though the venue keeps it open.
#[tokio::test]
async fn silence() {
    let server = Server::start(vec![Behaviour::Silent, Behaviour::Serve]).await;
    let collector = Collector::start(&server, &[Exchange::Kraken]);
    let mut trades = collector.handle.subscribe(Filter { feeds: [Feed::Trades].into(), ..Filter::default() });
    assert!(is_incident(&within(trades.next()).await, IncidentKind::Disconnected));
    within(trades.next()).await.expect("a trade over the second connection");
    assert_eq!(server.accepted(), 2);
    collector.stop().await;
}

/// A session asks for another connection, and the venue does not let it in: the book of the old one is not served.
#[tokio::test]
async fn a_book_is_gone_while_its_connection_is_renewed() {
    let server = Server::start(vec![Behaviour::Renew, Behaviour::TooMany { seconds: 60 }]).await;
    let mut collector = Collector::start(&server, &[Exchange::Kraken]);
    let incident = within(collector.outputs.incidents.recv()).await.expect("an incident");
    assert!(matches!(&incident.kind, EventKind::Incident(i) if i.kind == IncidentKind::Disconnected), "{incident:?}");
    assert!(collector.handle.book(Exchange::Kraken, &Symbol::spot("BTC", "USDT")).await.is_none());
    collector.stop().await;
}

/// Venues end a connection at a certain age, those of all validators at the same moment: it is given up before, and the stream
/// goes on.
#[tokio::test]
async fn an_old_connection_is_given_up_for_a_new_one() {
    let server = Server::start(vec![Behaviour::Serve]).await;
    let mut collector = Collector::adjusted(&server, &[Exchange::Kraken], |config| {
        (config.connection_ms_min, config.connection_ms_max) = (500, 700);
    });
    let mut trades = collector.handle.subscribe(Filter { feeds: [Feed::Trades].into(), ..Filter::default() });
    let incident = within(collector.outputs.incidents.recv()).await.expect("an incident");
    assert!(matches!(&incident.kind, EventKind::Incident(i) if i.kind == IncidentKind::Disconnected), "{incident:?}");
    while server.accepted() < 3 {
        within(trades.next()).await.expect("trades all the time");
    }
    collector.stop().await;
}

/// The validators of a machine do not all dial a venue in the moment in which they start; they answer from the beginning.
#[tokio::test]
async fn the_first_connections_are_not_opened_together() {
    let server = Server::start(vec![Behaviour::Serve]).await;
    let symbol = Symbol::spot("BTC", "USDT");
    let wait = |config: &mut openmesh_collector::Config| (config.gateway, config.start_ms_max) = (None, u64::MAX);
    let live = Collector::adjusted(&server, &[Exchange::Kraken], wait);
    let near = Collector::adjusted(&server, &[Exchange::Kraken], |config| config.start_ms_max = u64::MAX);
    let mut trades = near.handle.subscribe(Filter::default());
    within(trades.next()).await.expect("a gateway is our own: there is no wait");
    assert!(within(live.handle.book(Exchange::Kraken, &symbol)).await.is_none());
    assert_eq!((near.begun(), live.begun()), (1, 0));
    near.stop().await;
    live.stop().await;
}

/// A session that panics is started anew; the source beside it goes on undisturbed.
#[tokio::test]
async fn a_panic_stays_at_home() {
    let server = Server::start(vec![Behaviour::Serve]).await;
    let collector = Collector::panicking(&server, &[Exchange::Kraken, Exchange::Coinbase], Exchange::Coinbase);
    let mut trades = collector.handle.subscribe(Filter { feeds: [Feed::Trades].into(), ..Filter::default() });
    let (mut calm, mut hurt) = (0u64, 0u64);
    let patience = tokio::time::sleep(PATIENCE);
    tokio::pin!(patience);
    while calm < 50 || hurt < 3 {
        let update = tokio::select! {
            update = trades.next() => update.expect("an endless stream"),
            () = &mut patience => panic!("{calm} trades beside the panics, {hurt} after one: {:?}", collector.handle.status()),
        };
        match update {
            Update::Event(event) if event.exchange == Exchange::Kraken => calm += 1,
            Update::Event(_) => hurt += 1,
            Update::Missed { .. } => {}
        }
    }
    assert_eq!(collector.handle.status()[0].reconnects, 0);
    collector.stop().await;
}

/// Whoever subscribes gets the book and then every change to it: no gap, no overlap, at any moment.
#[tokio::test]
async fn a_subscriber_gets_the_book_and_every_change_after_it() {
    let server = Server::start(vec![Behaviour::Serve]).await;
    let collector = Collector::start(&server, &[Exchange::Kraken]);
    let symbol = Symbol::spot("BTC", "USDT");
    for _ in 0..20 {
        let mut books = collector.handle.subscribe(Filter::one(Exchange::Kraken, symbol.clone(), Feed::Book));
        let mut at = None;
        for _ in 0..10 {
            let Some(Update::Event(event)) = within(books.next()).await else { panic!("missed") };
            let size = support::step_of(&event);
            // The server's n-th change sets the one level to size n.
            assert!(at.is_none_or(|at| size == at + 1), "{at:?} then {size}");
            assert_eq!(at.is_none(), matches!(event.kind, EventKind::BookSnapshot(_)));
            at = Some(size);
        }
    }
    let book = collector.handle.book(Exchange::Kraken, &symbol).await.expect("a book");
    assert!(support::step_of(&book) > 0);
    assert!(collector.handle.book(Exchange::Okx, &symbol).await.is_none());
    collector.stop().await;
}

/// A reader that sleeps is told what it missed and gets the book anew; a quick one beside it misses nothing.
#[tokio::test]
async fn a_slow_reader_misses_and_others_do_not() {
    let server = Server::start(vec![Behaviour::Flood]).await;
    let collector = Collector::start(&server, &[Exchange::Kraken]);
    let symbol = Symbol::spot("BTC", "USDT");
    let filter = Filter::one(Exchange::Kraken, symbol, Feed::Book);
    let mut slow = collector.handle.subscribe(filter.clone());
    let mut quick = collector.handle.subscribe(filter);
    let mut last = None;
    // The slow one reads nothing while the quick one takes several times what is buffered.
    for _ in 0..4_000 {
        let Some(Update::Event(event)) = within(quick.next()).await else { panic!("the quick one missed") };
        let step = support::step_of(&event);
        assert!(last.is_none_or(|last| step == last + 1));
        last = Some(step);
    }
    let (mut missed, mut snapshot_after) = (false, false);
    while !snapshot_after {
        match within(slow.next()).await.expect("an update") {
            Update::Missed { events, .. } => missed = events > 0,
            Update::Event(event) => {
                snapshot_after = missed && matches!(event.kind, EventKind::BookSnapshot(_));
            }
        }
    }
    collector.stop().await;
}

/// What was taken in before the stop is in the archive, and the windows' chunks are in the store.
#[tokio::test]
async fn drains() {
    let server = Server::start(vec![Behaviour::Serve]).await;
    let mut collector = Collector::start(&server, &[Exchange::Kraken]);
    let mut covered = 0;
    while covered < 2 {
        let window = within(collector.outputs.windows.recv()).await.expect("windows");
        covered += window.chunks.len();
        for chunk in &window.chunks {
            assert_eq!(collector.store.get(&chunk.cid).unwrap().as_ref(), Some(&chunk.bytes));
        }
    }
    let (frames, dir) = collector.stop().await;
    let path = dir.path().join("archive").join("kraken.manifest.jsonl");
    let segments = openmesh_collector::read_manifests(&path).unwrap();
    let lines: u64 = segments.iter().map(|s| s.lines).sum();
    // Besides frames: the connection and our own messages.
    assert!(lines > frames, "{lines} lines of {frames} frames");
}

/// A disk that takes no file beyond a few kilobytes, as a full one breaks off in the middle of writing: what cannot be kept is
/// not vouched for and said aloud, nothing half written is taken for whole, and once there is room everything that
/// waited is kept. In a process of its own, since the limit holds for all of one.
#[tokio::test]
async fn a_full_disk() {
    if let Some(folder) = std::env::var_os("OPENMESH_FULL_DISK") {
        return on_a_full_disk(Path::new(&folder)).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let limited = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -S -f 16; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "a_full_disk", "--nocapture"])
        .env("OPENMESH_FULL_DISK", folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&limited.stderr);
    assert!(limited.status.success(), "{said}");
    if said.contains("SKIPPED") {
        return eprintln!("{said}");
    }
    let frames: u64 = std::fs::read_to_string(folder.path().join("frames")).unwrap().parse().unwrap();
    let dir = std::fs::read_to_string(folder.path().join("dir")).unwrap();
    let segments = openmesh_collector::read_manifests(&Path::new(&dir).join("archive/kraken.manifest.jsonl")).unwrap();
    let (lines, lost) = segments.iter().fold((0, 0), |(lines, lost), s| (lines + s.lines, lost + s.lost));
    assert!(lines > frames && lost == 0, "{lines} lines of {frames} frames, {lost} lost");
    let store = BlockStore::open(&Path::new(&dir).join("content"), Limits::default()).unwrap();
    assert!(segments.iter().all(|s| store.get(&s.cid).unwrap().is_some()), "every segment is whole");
}

async fn on_a_full_disk(folder: &Path) {
    let server = Server::start(vec![Behaviour::Flood]).await;
    let mut collector = Collector::start_in(&server, folder);
    let mut not_kept = 0;
    while not_kept == 0 {
        let window = within(collector.outputs.windows.recv()).await.expect("windows");
        not_kept += window.not_covered.iter().filter(|(_, reason)| *reason == Reason::NotKept).count();
    }
    within(async {
        while !trouble(&collector).is_some_and(|why| why.contains("make room")) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    assert!(collector.store.cids().iter().all(|cid| collector.store.get(cid).unwrap().is_some()));
    // There is room again.
    let own = std::process::id().to_string();
    let raised = Command::new("prlimit").args(["--pid", &own, "--fsize=unlimited"]).status();
    if !raised.is_ok_and(|status| status.success()) {
        return eprintln!("SKIPPED: no prlimit on this machine to make room with");
    }
    within(async {
        while trouble(&collector).is_some() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    let mut covered = 0;
    while covered == 0 {
        covered += within(collector.outputs.windows.recv()).await.expect("windows").chunks.len();
    }
    let (frames, dir) = collector.stop().await;
    std::fs::write(folder.join("frames"), frames.to_string()).unwrap();
    std::fs::write(folder.join("dir"), dir.keep().to_str().unwrap()).unwrap();
}

fn trouble(collector: &Collector) -> Option<String> {
    collector.handle.status()[0].trouble.clone()
}
