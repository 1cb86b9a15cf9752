//! Switches under load: every request is counted at both ends.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use crate::stage::{App, Raw, document, door, http2, instance, open, route, taken, until, within};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::Request;
use hyper_util::rt::TokioIo;
use openmesh_door::body::whole;
use openmesh_door::document::{Admission, Instance, Protocol, Traffic};
use openmesh_door::door::Door;
use openmesh_door::limits::HELD_REQUESTS_MAX;
use openmesh_door::report::Report;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Switches of one application in a test.
const SWITCHES: u64 = 20;
/// Clients with a connection that they keep.
const CLIENTS: u64 = 6;

/// Load on a host: POSTs with a number of its own each, GETs between them.
struct Load {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    longest_ms: Arc<AtomicU64>,
    clients: Vec<tokio::task::JoinHandle<Vec<String>>>,
}

impl Load {
    fn begin(at: std::net::SocketAddr, host: &'static str) -> Load {
        let (stop, sent, longest_ms) = (Arc::new(AtomicBool::new(false)), Arc::default(), Arc::default());
        let load = Load { stop, sent, longest_ms, clients: Vec::new() };
        let clients = (0..CLIENTS).map(|client| {
            let (stop, sent, longest) = (load.stop.clone(), load.sent.clone(), load.longest_ms.clone());
            tokio::spawn(async move {
                let mut failures = Vec::new();
                let mut number = 0;
                let mut http1 = None;
                let (mut second, _connection) = http2(at).await;
                while !stop.load(Ordering::Relaxed) {
                    number += 1;
                    let path = format!("http://{host}/id/{client}-{number}");
                    let request = match number % 3 {
                        0 => Request::get("http://x/get"),
                        _ => Request::post(if client % 2 == 0 { path } else { format!("/id/{client}-{number}") }),
                    };
                    let request = request.body(whole(Bytes::from(vec![1; 10]))).expect("a request");
                    let began = Instant::now();
                    let outcome = if client % 2 == 0 {
                        let (mut parts, body) = request.into_parts();
                        parts.uri = format!("http://{host}{}", parts.uri.path()).parse().expect("a target");
                        second.send_request(Request::from_parts(parts, body)).await
                    } else {
                        let (mut parts, body) = request.into_parts();
                        parts.uri = parts.uri.path().parse().expect("a target");
                        parts.headers.insert("host", host.parse().expect("a host"));
                        if http1.is_none() {
                            let stream = tokio::net::TcpStream::connect(at).await.expect("a connection");
                            let made = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
                            let (sender, connection) = made.expect("HTTP/1");
                            tokio::spawn(connection);
                            http1 = Some(sender);
                        }
                        let sender = http1.as_mut().expect("made");
                        sender.ready().await.expect("kept");
                        sender.send_request(Request::from_parts(parts, body)).await
                    };
                    match outcome {
                        Ok(answer) if answer.status() == 200 => match answer.into_body().collect().await {
                            Ok(_) => {}
                            Err(error) => failures.push(format!("{client}-{number}: {error}")),
                        },
                        Ok(answer) => failures.push(format!("{client}-{number}: {}", answer.status())),
                        Err(error) => failures.push(format!("{client}-{number}: {error}")),
                    }
                    longest.fetch_max(u64::try_from(began.elapsed().as_millis()).expect("a time"), Ordering::Relaxed);
                    sent.fetch_add(1, Ordering::Relaxed);
                }
                failures
            })
        });
        let clients = clients.collect();
        Load { clients, ..load }
    }

    /// Waits for some more answers.
    async fn some(&self, many: u64) {
        let many = self.sent.load(Ordering::Relaxed) + many;
        until("answers under load", || self.sent.load(Ordering::Relaxed) >= many).await;
    }

    async fn end(self) -> (u64, u64) {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            let failures = within("a client's end", client).await.expect("a client");
            assert_eq!(failures, Vec::<String>::new());
        }
        (self.sent.load(Ordering::Relaxed), self.longest_ms.load(Ordering::Relaxed))
    }
}

/// Waits until an instance that drains has nothing open.
async fn drained(door: &Arc<Door>, route: &str, name: &str) {
    let mut news = door.news();
    let open = |report: &Report| report.routes[route].instances.get(name).map_or(0, |found| found.counts.open);
    while open(&door.report()) > 0 {
        within("a drain", news.changed()).await.expect("news");
    }
}

fn seen_once(apps: &[Arc<App>]) -> u64 {
    let mut total = 0;
    let mut ids = std::collections::BTreeMap::new();
    for app in apps {
        for (line, count) in app.seen.lock().expect("seen").iter() {
            total += count;
            if line.starts_with("POST /id/") {
                *ids.entry(line.clone()).or_insert(0) += count;
            }
        }
    }
    let twice: Vec<_> = ids.iter().filter(|(_, count)| **count != 1).collect();
    assert!(twice.is_empty(), "sent twice: {twice:?}");
    total
}

fn one(name: &str, app: &App, traffic: Traffic) -> Instance {
    instance(name, app.address, traffic, 20_000)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_and_none_is_sent_twice_across_switches() {
    let mut apps = vec![App::start("v0").await];
    let mut serial = 1;
    let (door, at) = door(document(1, &[("app", open(&apps[0], Protocol::Http1))])).await;
    let load = Load::begin(at[0], "app.test");
    let mut before = "one.0".to_string();
    for switch in 1..=SWITCHES {
        load.some(60).await;
        let next = App::start(&format!("v{switch}")).await;
        let name = format!("v{switch}.0");
        let old = one(&before, apps.last().expect("one"), Traffic::Drain);
        let new = one(&name, &next, Traffic::Admit);
        serial += 1;
        let both = route(Protocol::Http1, Admission::Open, &[old, new.clone()]);
        taken(&door, document(serial, &[("app", both)])).await;
        drained(&door, "app", &before).await;
        serial += 1;
        taken(&door, document(serial, &[("app", route(Protocol::Http1, Admission::Open, &[new]))])).await;
        before = name;
        apps.push(next);
    }
    load.some(60).await;
    let (sent, longest) = load.end().await;
    assert_eq!(seen_once(&apps), sent, "each request was seen once");
    let report = door.report();
    assert_eq!((report.routes["app"].refused, report.malformed), (0, 0));
    println!("{SWITCHES} switches with overlap: {sent} requests, no failure, no duplicate, longest {longest} ms");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_writer_is_switched_behind_held_requests() {
    let mut apps = vec![App::start("v0").await];
    let mut serial = 1;
    let (door, at) = door(document(1, &[("app", open(&apps[0], Protocol::H2c))])).await;
    let load = Load::begin(at[0], "app.test");
    let mut before = "one.0".to_string();
    for switch in 1..=SWITCHES {
        load.some(60).await;
        serial += 1;
        let old = one(&before, apps.last().expect("one"), Traffic::Drain);
        taken(&door, document(serial, &[("app", route(Protocol::H2c, Admission::Hold, &[old]))])).await;
        drained(&door, "app", &before).await;
        // Nobody writes now: what the old one saw stays as it is.
        let last = apps.last().expect("one").clone();
        let seen: u64 = last.seen.lock().expect("seen").values().sum();
        let next = App::start(&format!("v{switch}")).await;
        let name = format!("v{switch}.0");
        serial += 1;
        let new = one(&name, &next, Traffic::Admit);
        taken(&door, document(serial, &[("app", route(Protocol::H2c, Admission::Open, &[new]))])).await;
        assert_eq!(last.seen.lock().expect("seen").values().sum::<u64>(), seen, "two writers at once");
        before = name;
        apps.push(next);
    }
    load.some(60).await;
    let (sent, longest) = load.end().await;
    assert_eq!(seen_once(&apps), sent, "each request was seen once");
    let route = &door.report().routes["app"];
    assert_eq!((route.refused, route.waiting), (0, 0));
    assert!(route.held > 0, "somebody waited");
    println!(
        "{SWITCHES} switches of a single writer: {sent} requests, no failure, no duplicate, {} held, longest hold {} ms, longest answer {longest} ms",
        route.held, route.longest_hold_ms
    );
}

#[tokio::test]
async fn the_queue_is_bounded_and_clients_that_leave_leave_it() {
    let app = App::start("app").await;
    let (door, at) = door(document(1, &[("app", route(Protocol::Http1, Admission::Hold, &[]))])).await;
    let waiting = |door: &Arc<Door>| door.report().routes["app"].waiting;
    // One of HTTP/1 that hangs up.
    let mut gone = Raw::to(at[0]).await;
    gone.send("GET /gone HTTP/1.1\r\nhost: app.test\r\n\r\n").await;
    until("a request that waits", || waiting(&door) >= 1).await;
    drop(gone);
    until("the place of a client that left", || waiting(&door) == 0).await;
    let mut clients = Vec::new();
    // Streams of HTTP/2, 128 to a connection.
    for _ in 0..HELD_REQUESTS_MAX.div_ceil(125) {
        let (sender, _connection) = http2(at[0]).await;
        for _ in 0..125 {
            let mut sender = sender.clone();
            let request = Request::get("http://app.test/").body(whole(Bytes::new())).expect("a request");
            clients.push(tokio::spawn(async move { sender.send_request(request).await }));
        }
    }
    until("a full queue", || waiting(&door) >= HELD_REQUESTS_MAX as u64).await;
    let said = Raw::to(at[0]).await.get("app.test", "/").await;
    assert!(said.status == 503 && said.body.contains("queue_full") && said.head.contains("retry-after: 5"), "{said:?}");
    for client in clients.drain(..500) {
        client.abort();
    }
    until("the places of those who left", || waiting(&door) <= 500).await;
    taken(&door, document(2, &[("app", open(&app, Protocol::Http1))])).await;
    for client in clients {
        assert_eq!(within("an answer", client).await.expect("a task").expect("an answer").status(), 200);
    }
    assert_eq!(app.count("GET /"), 500, "those who left were not sent");
}

/// An application that closes each connection at its second request, as one whose patience with a resting connection has just ended.
async fn impatient() -> (std::net::SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let lines = seen.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let lines = lines.clone();
            tokio::spawn(async move {
                for number in 0..2 {
                    let (mut text, mut part) = (Vec::new(), [0; 1_024]);
                    while !text.ends_with(b"\r\n\r\n") {
                        match stream.read(&mut part).await {
                            Ok(count) if count > 0 => text.extend_from_slice(&part[..count]),
                            _ => return,
                        }
                    }
                    let line = String::from_utf8_lossy(&text).lines().next().unwrap_or_default().to_string();
                    lines.lock().expect("lines").push(line);
                    if number == 0 && stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.is_err()
                    {
                        return;
                    }
                }
            });
        }
    });
    (address, seen)
}

#[tokio::test]
async fn a_resting_connection_that_dies_costs_a_reader_nothing_and_a_writer_no_second_try() {
    let (address, seen) = impatient().await;
    let admitted = route(Protocol::Http1, Admission::Open, &[instance("a", address, Traffic::Admit, 0)]);
    let (_door, at) = door(document(1, &[("app", admitted)])).await;
    let mut client = Raw::to(at[0]).await;
    for path in ["/a", "/b", "/c"] {
        assert_eq!(client.get("app.test", path).await.status, 200, "{path}");
    }
    client.send("POST /d HTTP/1.1\r\nhost: app.test\r\ncontent-length: 0\r\n\r\n").await;
    // On a connection that rests, or on a new one where the pool has seen its end by then.
    let status = client.said().await.status;
    let lines = seen.lock().expect("lines").clone();
    let count = |path: &str| lines.iter().filter(|line| line.contains(path)).count();
    assert!(count("/b") <= 2 && count("/c") <= 2, "{lines:?}");
    assert_eq!(count("/d"), 1, "{lines:?}");
    assert!(status == 502 || status == 200, "{status}");
}
