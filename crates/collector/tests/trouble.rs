//! A collector on a bad day: connections that break, lie, refuse, fall silent; and what it promises anyway.

#![allow(clippy::unwrap_used, reason = "a test says what failed by failing")]

mod support;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use openmesh_collector::{Filter, Update};
use openmesh_content::{BlockStore, Limits};
use openmesh_market::event::IncidentKind;
use openmesh_market::window::Reason;
use openmesh_market::{EventKind, Exchange, Feed};
use openmesh_primitives::Symbol;
use support::{Behaviour, Collector, EARLY, PATIENCE, Server, segments, source, within};

/// A connection cut in the middle of a frame is opened again, and the stream goes on.
#[tokio::test]
async fn cut_in_the_middle_of_a_frame() {
    let server = Server::start(vec![Behaviour::CutMidFrame, Behaviour::Serve]).await;
    let mut collector = Collector::start(&server, &[Exchange::Kraken]);
    let mut trades = collector.handle.subscribe(Filter { feeds: [Feed::Trades].into(), ..Filter::default() });
    within(trades.next()).await.expect("a trade after the cut");
    let incident = within(collector.outputs.incidents.recv()).await.expect("an incident");
    assert!(
        matches!(&incident.value.kind, EventKind::Incident(i) if i.kind == IncidentKind::Disconnected),
        "{incident:?}"
    );
    assert!(collector.handle.liveness()[0].reconnects >= 1);
    collector.stop().await;
}

fn is_incident(update: &Option<Update>, kind: IncidentKind) -> bool {
    let Some(Update::Event { event, .. }) = update else { return false };
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
    assert!(matches!(&incident.value.kind, EventKind::Incident(i) if i.kind == IncidentKind::Garbage), "{incident:?}");
    assert_eq!(collector.handle.liveness()[0].reconnects, 0);
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
    let EventKind::Incident(incident) = &incident.value.kind else { panic!("{incident:?}") };
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
    assert!(matches!(update, Update::Event { event, .. } if matches!(event.kind, EventKind::BookSnapshot(_))));
    assert!(began.elapsed() >= Duration::from_secs(3));
    let incident = within(collector.outputs.incidents.recv()).await.expect("an incident");
    assert!(matches!(&incident.value.kind, EventKind::Incident(i) if i.detail.contains("wait")), "{incident:?}");
    // The session has asked each second: the venue hears the question once more, not all of them when the wait is over.
    assert_eq!(server.asked(), 2);
    collector.stop().await;
}

/// A ban of an hour is said in the moment in which it begins, over HTTP and at the handshake.
#[tokio::test]
async fn a_ban_is_said_when_it_begins() {
    let server = Server::start(vec![Behaviour::Serve]).await;
    server.limit_http(1, 3_600);
    let refusing = Server::start(vec![Behaviour::TooMany { seconds: 3_600 }]).await;
    for (server, exchange) in [(server, Exchange::Binance), (refusing, Exchange::Kraken)] {
        let mut collector = Collector::start(&server, &[exchange]);
        let mut liveness = collector.handle.watch_liveness(exchange.name()).unwrap();
        let banned = within(liveness.wait_for(|l| l.banned_until.is_some())).await.unwrap().banned_until.unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
        assert!((now + 3_500..=now + 3_601).contains(&(banned.millis() / 1_000)), "{banned:?}");
        let incident = within(collector.outputs.incidents.recv()).await.expect("an incident").value;
        assert!(matches!(&incident.kind, EventKind::Incident(i) if i.kind == IncidentKind::Refused), "{incident:?}");
        drop(liveness);
        collector.stop().await;
    }
}

/// The archive says of no message that it was sent before it has left.
#[tokio::test]
async fn what_was_not_sent_is_not_archived_as_sent() {
    for (behaviour, sent) in [(Behaviour::TooMany { seconds: 60 }, false), (Behaviour::Serve, true)] {
        let server = Server::start(vec![behaviour]).await;
        let mut collector = Collector::start(&server, &[Exchange::Kraken]);
        let mut windows = 0;
        if sent {
            within(collector.outputs.windows.recv()).await.expect("a window");
        } else {
            within(collector.outputs.incidents.recv()).await.expect("an incident");
        }
        let store = collector.store.clone();
        let (_, dir) = collector.stop().await;
        let mut text = String::new();
        for segment in segments(dir.path(), "kraken") {
            let packed = store.get(&segment.cid).unwrap().unwrap();
            text.push_str(std::str::from_utf8(&zstd::stream::decode_all(&packed[..]).unwrap()).unwrap());
            windows += 1;
        }
        assert_eq!(text.contains("\"t\":\"send\""), sent, "{windows} segments: {text}");
        assert_eq!(text.contains(EARLY), sent);
        // The message has left after its connection was opened.
        assert!(!sent || text.find("\"t\":\"connect\"") < text.find("\"t\":\"send\""), "{text}");
    }
}

/// Nobody takes windows, and the archive is far behind: the live stream goes on, and the windows are there afterwards.
#[tokio::test]
async fn the_live_stream_goes_on_while_windows_and_archive_stall() {
    let server = Server::start(vec![Behaviour::Fast]).await;
    let mut collector = Collector::adjusted(&server, &[Exchange::Kraken], |config| {
        config.sources[0].feeds = vec![Feed::Trades];
    });
    let mut trades = collector.handle.subscribe(Filter { feeds: [Feed::Trades].into(), ..Filter::default() });
    let (mut seen, mut missed) = (0, 0);
    while seen < 500 {
        match within(trades.next()).await.expect("an endless stream") {
            Update::Event { .. } => seen += 1,
            Update::Missed { events, .. } => missed += events,
        }
    }
    assert_eq!(missed, 0);
    let mut last = None;
    for _ in 0..400 {
        let window = within(collector.outputs.windows.recv()).await.expect("windows").value;
        assert!(last.is_none_or(|last| window.index > last), "in their order");
        last = Some(window.index);
    }
    collector.stop().await;
}

/// Sources come, change and go while others of the same venue go on undisturbed.
#[tokio::test]
async fn sources_change_at_run_time() {
    let server = Server::start(vec![Behaviour::Serve]).await;
    let mut collector = Collector::start(&server, &[Exchange::Kraken]);
    let (kraken, fast) = (source("kraken", Exchange::Kraken, 500), source("kraken-fast", Exchange::Kraken, 250));
    let mut trades = collector.handle.subscribe(Filter { feeds: [Feed::Trades].into(), ..Filter::default() });
    within(trades.next()).await.expect("a trade");
    let changes = collector.handle.set_sources(vec![kraken.clone(), fast.clone()]).await.unwrap();
    assert_eq!((changes.started, changes.restarted.len(), changes.retired.len()), (vec!["kraken-fast".into()], 0, 0));
    // Both cut windows of their own length, and the subscription hears of both.
    let mut lengths = std::collections::BTreeMap::new();
    while lengths.len() < 2 {
        let window = within(collector.outputs.windows.recv()).await.expect("windows");
        lengths.insert(window.source.to_string(), window.value.length.ms());
    }
    assert_eq!(lengths, [("kraken".to_owned(), 500), ("kraken-fast".to_owned(), 250)].into());
    while !matches!(within(trades.next()).await, Some(Update::Event { source, .. }) if &*source == "kraken-fast") {}
    // The register changes each epoch: what differs starts again, and only that.
    for window_ms in [300, 400] {
        let changed = source("kraken-fast", Exchange::Kraken, window_ms);
        let changes = collector.handle.set_sources(vec![kraken.clone(), changed]).await.unwrap();
        assert_eq!((changes.restarted, changes.started.len()), (vec!["kraken-fast".into()], 0));
        let is_new =
            |w: &openmesh_collector::OfSource<openmesh_market::window::ClosedWindow>| w.value.length.ms() == window_ms;
        while !is_new(&within(collector.outputs.windows.recv()).await.expect("windows")) {}
        while !matches!(within(trades.next()).await, Some(Update::Event { source, .. }) if &*source == "kraken-fast") {}
    }
    let twice = collector.handle.set_sources(vec![fast.clone(), fast.clone()]).await;
    assert!(twice.is_err(), "refused, and nothing has changed: {twice:?}");
    let changes = collector.handle.set_sources(vec![kraken]).await.unwrap();
    assert_eq!(changes.retired, ["kraken-fast".into()]);
    let liveness = collector.handle.liveness();
    assert_eq!(liveness.iter().map(|l| (l.source.as_str(), l.reconnects)).collect::<Vec<_>>(), [("kraken", 0)]);
    assert_eq!(server.accepted(), 4, "one connection for the first, three for the one that changed twice");
    assert!(collector.handle.watch_liveness("kraken-fast").is_none());
    let handle = collector.handle.clone();
    let (_, dir) = collector.stop().await;
    // Each has a chain of its own, and one that goes on over its changes.
    assert!(segments(dir.path(), "kraken-fast").len() >= 3 && !segments(dir.path(), "kraken").is_empty());
    assert!(handle.set_sources(vec![]).await.is_err() && handle.liveness().len() == 1);
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
    assert!(
        matches!(&incident.value.kind, EventKind::Incident(i) if i.kind == IncidentKind::Disconnected),
        "{incident:?}"
    );
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
    assert!(
        matches!(&incident.value.kind, EventKind::Incident(i) if i.kind == IncidentKind::Disconnected),
        "{incident:?}"
    );
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
            () = &mut patience => panic!("{calm} trades beside the panics, {hurt} after one: {:?}", collector.handle.liveness()),
        };
        match update {
            Update::Event { event, .. } if event.exchange == Exchange::Kraken => calm += 1,
            Update::Event { .. } => hurt += 1,
            Update::Missed { .. } => {}
        }
    }
    let coinbase = collector.handle.liveness()[0].clone();
    assert_eq!((coinbase.exchange, collector.handle.liveness()[1].reconnects), (Exchange::Coinbase, 0));
    let (_, dir) = collector.stop().await;
    // What was captured before a panic is archived: every frame, the ones that brought it about too.
    let lines: u64 = segments(dir.path(), "coinbase").iter().map(|s| s.lines).sum();
    assert!(lines >= coinbase.frames, "{lines} lines of {} frames", coinbase.frames);
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
            let Some(Update::Event { event, .. }) = within(books.next()).await else { panic!("missed") };
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
        let Some(Update::Event { event, .. }) = within(quick.next()).await else { panic!("the quick one missed") };
        let step = support::step_of(&event);
        assert!(last.is_none_or(|last| step == last + 1));
        last = Some(step);
    }
    let (mut missed, mut snapshot_after) = (false, false);
    while !snapshot_after {
        match within(slow.next()).await.expect("an update") {
            Update::Missed { events, .. } => missed = events > 0,
            Update::Event { event, .. } => {
                snapshot_after = missed && matches!(event.kind, EventKind::BookSnapshot(_));
            }
        }
    }
    collector.stop().await;
}

/// Everything that was taken in before the stop is in the archive, and the windows' chunks are in the store.
#[tokio::test]
async fn drains() {
    let server = Server::start(vec![Behaviour::Serve]).await;
    let mut collector = Collector::start(&server, &[Exchange::Kraken]);
    let mut covered = 0;
    while covered < 2 {
        let window = within(collector.outputs.windows.recv()).await.expect("windows").value;
        covered += window.chunks.len();
        for chunk in &window.chunks {
            assert_eq!(collector.store.get(&chunk.cid).unwrap().as_ref(), Some(&chunk.bytes));
        }
    }
    let (frames, dir) = collector.stop().await;
    let segments = segments(dir.path(), "kraken");
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
    let segments = segments(Path::new(&dir), "kraken");
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
        let window = within(collector.outputs.windows.recv()).await.expect("windows").value;
        not_kept += window.not_covered.iter().filter(|(_, reason)| *reason == Reason::NotKept).count();
    }
    let mut liveness = collector.handle.watch_liveness("kraken").unwrap();
    let troubled = |why: &Option<String>| why.as_ref().is_some_and(|why| why.contains("make room"));
    within(liveness.wait_for(|l| troubled(&l.archive_trouble))).await.unwrap();
    assert!(collector.store.cids().unwrap().iter().all(|cid| collector.store.get(cid).unwrap().is_some()));
    // There is room again.
    let own = std::process::id().to_string();
    let raised = Command::new("prlimit").args(["--pid", &own, "--fsize=unlimited"]).status();
    if !raised.is_ok_and(|status| status.success()) {
        return eprintln!("SKIPPED: no prlimit on this machine to make room with");
    }
    within(liveness.wait_for(|l| l.archive_trouble.is_none())).await.unwrap();
    drop(liveness);
    let mut covered = 0;
    while covered == 0 {
        covered += within(collector.outputs.windows.recv()).await.expect("windows").value.chunks.len();
    }
    let (frames, dir) = collector.stop().await;
    std::fs::write(folder.join("frames"), frames.to_string()).unwrap();
    std::fs::write(folder.join("dir"), dir.keep().to_str().unwrap()).unwrap();
}
