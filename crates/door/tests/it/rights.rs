//! Rights that end while something is open by them: of wallets, of strangers where a host is not for everybody any more, and at a door that leaves.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::Request;
use openmesh_door::body::{Payload, whole};
use openmesh_door::document::{Access, Admission, Document, Listener, Protocol, Traffic};
use openmesh_door::door::Door;
use openmesh_door::effects::free;
use tokio::sync::mpsc;

use crate::audiences::{ALICE, BOB, House, Secure, ask, key, pass, texts, word};
use crate::stage::{App, Raw, call, collected, door, instance, payload, route, taken, until, within};

/// Time of a door to leave: longer than anybody waits here.
const LEAVES: Duration = Duration::from_secs(300);
/// Time within which a right is gone: a second is the promise, of which a busy machine makes more.
const GONE: Duration = Duration::from_secs(5);
/// A frame of a WebSocket.
const FRAME: &[u8] = b"\x82\x85\0\0\0\0hello";

fn cookie(of: &str) -> String {
    format!("cookie: {of}\r\n")
}

/// A document with other people for `notes.lan`.
fn of(mut document: Document, access: Access) -> Document {
    document.hosts.get_mut("notes.lan").expect("a host").access = access;
    document
}

/// A call of gRPC whose answer goes on.
fn grpc(cookie: &str) -> Request<Payload> {
    let request = Request::post("https://notes.lan/grpc").header("content-type", "application/grpc");
    request.header("cookie", cookie).body(whole(Bytes::new())).expect("a request")
}

/// Sends a frame by a WebSocket, and returns true where it comes back.
async fn goes(socket: &mut Secure) -> bool {
    socket.send(FRAME).await;
    socket.bytes(FRAME.len()).await == FRAME
}

/// An answer in two parts of which the first one has come, and a request that the application has not answered.
async fn open_ones(house: &House, app: &App, at: &[SocketAddr], fields: &str) -> (Secure, Secure) {
    let mut stream = house.to(at, "notes.lan").await;
    stream.send(format!("GET /stream HTTP/1.1\r\nhost: notes.lan\r\n{fields}\r\n")).await;
    assert_eq!(stream.head().await.0, 200);
    assert_eq!(stream.chunk().await.as_deref(), Some(&b"first "[..]));
    within("the part", app.there.notified()).await;
    let mut waits = house.to(at, "notes.lan").await;
    waits.send(format!("GET /wait HTTP/1.1\r\nhost: notes.lan\r\n{fields}\r\n")).await;
    within("the request", app.there.notified()).await;
    (stream, waits)
}

#[tokio::test]
async fn a_right_that_was_taken_away_ends_what_is_open() {
    let (house, app) = (House::new(), App::start("app").await);
    let (door, at) = door(house.guarded(1, &app, Protocol::Http1, &[ALICE, BOB])).await;
    let mut alices = house.socket(&at, "notes.lan", &cookie(&pass(ALICE))).await;
    let mut bobs = house.socket(&at, "notes.lan", &cookie(&pass(BOB))).await;
    let (mut stream, mut waits) = open_ones(&house, &app, &at, &cookie(&pass(BOB))).await;
    let report = taken(&door, house.guarded(2, &app, Protocol::Http1, &[ALICE])).await;
    assert_eq!(bobs.rest().await, b"", "the WebSocket is cut");
    assert_eq!((stream.chunk().await, stream.rest().await), (None, Vec::new()), "the body breaks off");
    let said = waits.said().await;
    assert_eq!((said.status, word(&said).as_str()), (401, "visit_over"));
    assert_eq!(report.routes["notes"].instances["one.0"].counts.cut, 0, "no switch has cut anything");
    let mut client = house.to(&at, "notes.lan").await;
    assert_eq!(ask(&mut client, "GET /a", "notes.lan", &cookie(&pass(BOB))).await.status, 403);
    // Whoever may still come in notices nothing.
    assert!(goes(&mut alices).await);
    // An application that is for everybody from now on cuts nobody, and one whose key is another cuts all.
    taken(&door, of(house.guarded(3, &app, Protocol::Http1, &[ALICE]), Access::Everybody)).await;
    assert!(goes(&mut alices).await);
    let mut rekeyed = house.guarded(4, &app, Protocol::Http1, &[ALICE]);
    rekeyed.hosts.get_mut("notes.lan").expect("a host").gate.as_mut().expect("a gate").key = key();
    taken(&door, rekeyed).await;
    assert_eq!(alices.rest().await, b"");
}

#[tokio::test]
async fn what_strangers_have_open_ends_where_a_host_is_not_for_everybody_any_more() {
    let (house, app) = (House::new(), App::start("app").await);
    let document = |serial: u64, access: Access| {
        let mut document = of(house.guarded(serial, &app, Protocol::Http1, &[ALICE]), access);
        // A port of the application has no audience, whatever name is asked for there.
        let address = document.listeners[0].address;
        document.listeners.push(Listener { address, tls: false, route: Some("notes".into()) });
        document
    };
    let (door, at) = door(document(1, Access::Everybody)).await;
    let mut socket = house.socket(&at, "notes.lan", "").await;
    let mut other = house.socket(&at, "open.lan", "").await;
    let (mut stream, mut waits) = open_ones(&house, &app, &at, "").await;
    let mut published = Raw::to(at[2]).await;
    published
        .send("GET /socket HTTP/1.1\r\nhost: notes.lan\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
        .await;
    assert_eq!(published.head().await.0, 101);
    // Other people come and go elsewhere, and nobody who may be here hears of it.
    taken(&door, document(2, Access::Everybody)).await;
    assert!(goes(&mut socket).await);
    let report = taken(&door, document(3, Access::Wallets(texts(&[ALICE])))).await;
    assert_eq!(socket.rest().await, b"", "the WebSocket is cut");
    assert_eq!((stream.chunk().await, stream.rest().await), (None, Vec::new()), "the body breaks off");
    let said = waits.said().await;
    assert_eq!((said.status, word(&said).as_str()), (401, "visit_over"));
    assert_eq!(report.routes["notes"].instances["one.0"].counts.cut, 0, "no switch has cut anything");
    assert!(goes(&mut other).await, "another host is for everybody as before");
    published.send(FRAME).await;
    assert_eq!(published.bytes(FRAME.len()).await, FRAME);
}

#[tokio::test]
async fn what_strangers_have_open_ends_where_a_host_is_taken_away() {
    let (house, app) = (House::new(), App::start("app").await);
    let document = |serial: u64| {
        let mut document = of(house.guarded(serial, &app, Protocol::Http1, &[ALICE]), Access::Everybody);
        // A port of the application is no host, whatever name is asked for there.
        let address = document.listeners[0].address;
        document.listeners.push(Listener { address, tls: false, route: Some("notes".into()) });
        document
    };
    let (door, at) = door(document(1)).await;
    let mut socket = house.socket(&at, "notes.lan", "").await;
    let mut other = house.socket(&at, "open.lan", "").await;
    let (mut stream, mut waits) = open_ones(&house, &app, &at, "").await;
    let mut published = Raw::to(at[2]).await;
    published
        .send("GET /socket HTTP/1.1\r\nhost: notes.lan\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
        .await;
    assert_eq!(published.head().await.0, 101);
    let mut gone = document(2);
    gone.hosts.remove("notes.lan");
    let begun = Instant::now();
    let report = taken(&door, gone).await;
    assert_eq!(socket.rest().await, b"", "the WebSocket is cut");
    assert_eq!((stream.chunk().await, stream.rest().await), (None, Vec::new()), "the body breaks off");
    let said = waits.said().await;
    assert_eq!((said.status, word(&said).as_str()), (401, "visit_over"));
    assert!(begun.elapsed() < GONE, "they went on for {:?}", begun.elapsed());
    assert_eq!(report.routes["notes"].instances["one.0"].counts.cut, 0, "no switch has cut anything");
    assert!(goes(&mut other).await, "another host is there as before");
    published.send(FRAME).await;
    assert_eq!(published.bytes(FRAME.len()).await, FRAME);
}

#[tokio::test]
async fn what_strangers_have_open_ends_by_itself_where_the_application_goes_as_a_whole() {
    let (house, app) = (House::new(), App::start("app").await);
    let (door, at) = door(of(house.guarded(1, &app, Protocol::Http1, &[ALICE]), Access::Everybody)).await;
    let (mut stream, mut waits) = open_ones(&house, &app, &at, "").await;
    let drains = instance("one.0", app.address, Traffic::Drain, 30_000);
    let mut shut = house.with_route(2, &[ALICE], route(Protocol::Http1, Admission::Closed, &[drains]));
    shut.hosts.remove("notes.lan");
    taken(&door, shut).await;
    assert_eq!(ask(&mut house.to(&at, "notes.lan").await, "GET /a", "notes.lan", "").await.status, 404);
    app.go.notify_waiters();
    assert_eq!(stream.chunk().await.as_deref(), Some(&b"second"[..]));
    assert_eq!(waits.said().await.status, 200);
}

#[tokio::test]
async fn a_stream_of_grpc_ends_with_its_reason() {
    let (house, app) = (House::new(), App::start("app").await);
    let everybody = of(house.guarded(1, &app, Protocol::H2c, &[ALICE]), Access::Everybody);
    let (door, at) = door(everybody).await;
    let mut client = house.http2(&at, "notes.lan").await;
    for (serial, cookie, wallets) in [(2, String::new(), vec![ALICE]), (3, pass(ALICE), Vec::new())] {
        let open = call(&mut client, grpc(&cookie)).await;
        assert_eq!(open.status(), 200);
        within("the call", app.there.notified()).await;
        taken(&door, house.guarded(serial, &app, Protocol::H2c, &wallets)).await;
        let ended = collected(open).await;
        assert_eq!(ended.trailers().expect("trailers")["grpc-status"], "16", "{serial}");
    }
}

#[tokio::test]
async fn streams_of_one_connection_end_each_by_its_own_right() {
    let (house, app) = (House::new(), App::start("app").await);
    let (door, at) = door(house.guarded(1, &app, Protocol::H2c, &[ALICE, BOB])).await;
    let mut client = house.http2(&at, "notes.lan").await;
    let (mut alices, mut bobs) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        for (wallet, streams) in [(ALICE, &mut alices), (BOB, &mut bobs)] {
            streams.push(call(&mut client, grpc(&pass(wallet))).await);
            within("the call", app.there.notified()).await;
        }
    }
    taken(&door, house.guarded(2, &app, Protocol::H2c, &[ALICE])).await;
    for stream in bobs {
        assert_eq!(collected(stream).await.trailers().expect("trailers")["grpc-status"], "16");
    }
    // The application ends the others, on the same connections.
    app.go.notify_waiters();
    for stream in alices {
        assert_eq!(collected(stream).await.trailers().expect("trailers")["grpc-status"], "0");
    }
}

#[tokio::test]
async fn a_request_that_waits_is_not_given_to_the_application_once_its_right_has_gone() {
    for (before, fields) in
        [(Access::Wallets(texts(&[ALICE, BOB])), cookie(&pass(BOB))), (Access::Everybody, String::new())]
    {
        let (house, app) = (House::new(), App::start("app").await);
        let held = |serial: u64| {
            let drains = instance("one.0", app.address, Traffic::Drain, 30_000);
            house.with_route(serial, &[ALICE], route(Protocol::Http1, Admission::Hold, &[drains]))
        };
        let (door, at) = door(of(held(1), before)).await;
        let mut client = house.to(&at, "notes.lan").await;
        client.send(format!("GET /a HTTP/1.1\r\nhost: notes.lan\r\n{fields}\r\n")).await;
        until("a request that waits", || door.report().routes["notes"].waiting > 0).await;
        taken(&door, held(2)).await;
        taken(&door, house.guarded(3, &app, Protocol::Http1, &[ALICE])).await;
        let said = client.said().await;
        assert_eq!((said.status, word(&said).as_str(), app.count("GET /a")), (401, "visit_over", 0), "{fields}");
    }
}

#[tokio::test]
async fn an_upload_ends_with_its_right_also_after_its_answer() {
    let (house, app) = (House::new(), App::start("app").await);
    let (door, at) = door(house.guarded(1, &app, Protocol::Http1, &[ALICE, BOB])).await;
    let mut client = house.to(&at, "notes.lan").await;
    let head = format!("POST /drink HTTP/1.1\r\nhost: notes.lan\r\n{}", cookie(&pass(BOB)));
    client.send(format!("{head}transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n")).await;
    let said = client.said().await;
    assert_eq!((said.status, said.body.as_str()), (200, "drinks"));
    // The answer has ended, and the upload goes on.
    client.send("5\r\nhello\r\n").await;
    until("the second part", || app.drunk.load(Ordering::Relaxed) == 10).await;
    taken(&door, house.guarded(2, &app, Protocol::Http1, &[ALICE])).await;
    within("the end of the upload", app.spilled.notified()).await;
}

#[tokio::test]
async fn an_upload_of_grpc_ends_with_its_answer_and_its_right() {
    let (house, app) = (House::new(), App::start("app").await);
    let (door, at) = door(house.guarded(1, &app, Protocol::H2c, &[ALICE, BOB])).await;
    let mut client = house.http2(&at, "notes.lan").await;
    let (parts, receiver) = mpsc::channel(1);
    let request = Request::post("https://notes.lan/drink").header("content-type", "application/grpc");
    let request = request.header("cookie", pass(BOB)).body(payload(receiver)).expect("a request");
    parts.send(Bytes::from_static(b"hello")).await.expect("taken");
    let open = call(&mut client, request).await;
    until("the first part", || app.drunk.load(Ordering::Relaxed) == 5).await;
    taken(&door, house.guarded(2, &app, Protocol::H2c, &[ALICE])).await;
    within("the end of the upload", app.spilled.notified()).await;
    assert_eq!(collected(open).await.trailers().expect("trailers")["grpc-status"], "16");
    assert_eq!(app.drunk.load(Ordering::Relaxed), 5);
}

#[tokio::test]
async fn a_door_that_leaves_ends_what_its_successor_does_not_let_in() {
    let (house, app) = (House::new(), App::start("app").await);
    let kept = house.folder.path().join("document.json");
    let leaves = Arc::new(Door::new(Some(kept.clone()), free()).expect("a door"));
    let both = house.guarded(1, &app, Protocol::Http1, &[ALICE, BOB]);
    let at = taken(&leaves, both).await.listeners;
    let mut alices = house.socket(&at, "notes.lan", &cookie(&pass(ALICE))).await;
    let mut bobs = house.socket(&at, "notes.lan", &cookie(&pass(BOB))).await;
    let mut strangers = house.socket(&at, "open.lan", "").await;
    let serves = Door::new(Some(kept.clone()), free()).expect("a door");
    let handed = leaves.hand_over(|document, sockets| async {
        serves.apply_with(document, sockets).await.map(drop).map_err(io::Error::other)
    });
    within("the successor", handed).await.expect("handed over");
    let left = tokio::spawn({
        let leaves = leaves.clone();
        async move { leaves.retire(LEAVES).await }
    });
    assert!(goes(&mut bobs).await && goes(&mut strangers).await, "what is open goes on");
    let mut next = house.guarded(2, &app, Protocol::Http1, &[ALICE]);
    next.hosts.get_mut("open.lan").expect("a host").access = Access::Owner;
    taken(&serves, next).await;
    let begun = Instant::now();
    assert_eq!((bobs.rest().await, strangers.rest().await), (Vec::new(), Vec::new()), "both are cut");
    assert!(begun.elapsed() < GONE, "they went on for {:?}", begun.elapsed());
    assert!(goes(&mut alices).await, "whoever may come in stays until asked to leave");
    // A document of a later version: nobody here knows whom it lets in.
    std::fs::write(&kept, "{\"version\": 99, \"serial\": 3}").expect("written");
    let begun = Instant::now();
    assert_eq!(alices.rest().await, b"");
    assert!(begun.elapsed() < GONE, "it went on for {:?}", begun.elapsed());
    within("the end of the door", left).await.expect("left");
}
