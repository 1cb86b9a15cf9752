//! The proxy over real sockets: all that passes, and all that must not.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::stage::{App, Raw, call, collected, document, door, http2, instance, open, route, taken, within};
use bytes::Bytes;
use hyper::Request;
use openmesh_door::body::whole;
use openmesh_door::document::{Access, Admission, Host, Page, Protocol, Traffic};
use openmesh_door::websocket::{Frames, going_away_to_client};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test]
async fn an_application_sees_the_request_and_who_sent_it() {
    let app = App::start("app").await;
    let (_door, at) = door(document(1, &[("app", open(&app, Protocol::Http1))])).await;
    let mut client = Raw::to(at[0]).await;
    client
        .send(
            "POST /echo?a=b%20c HTTP/1.1\r\nHost: APP.test:80\r\nX-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nX-Own: 1\r\n\
             Content_Length: 9\r\nRemote-User: root\r\nConnection: x-own, keep-alive\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\nTrailer: sum, x-forwarded-for, remote_user\r\n\r\n5\r\nhello\r\n0\r\nsum: 1\r\nX-Forwarded-For: 6.6.6.6\r\nremote_user: root\r\n\r\n",
        )
        .await;
    let said = client.said().await;
    let expected = "POST /echo?a=b%20c\nforwarded: for=127.0.0.1;host=\"APP.test:80\";proto=http\nhost: APP.test:80\nte: trailers\n\
        trailer: sum, x-forwarded-for, remote_user\ntransfer-encoding: chunked\nx-forwarded-for: 127.0.0.1\nx-forwarded-host: APP.test:80\nx-forwarded-proto: http\n\
        5 bytes, 1 trailers\n";
    assert_eq!((said.status, said.body.as_str()), (200, expected));
    // The connection goes on, and so do several requests in one piece.
    client.send("GET /a HTTP/1.1\r\nhost: app.test\r\n\r\nGET /die HTTP/1.1\r\nhost: app.test\r\n\r\nGET /c HTTP/1.1\r\nhost: app.test\r\n\r\n").await;
    assert_eq!(
        (client.said().await.status, client.said().await.status, client.said().await.body.as_str()),
        (200, 502, "app")
    );
    client.send("HEAD /a HTTP/1.0\r\nhost: app.test\r\n\r\n").await;
    assert!(client.head().await.1.contains("content-length: 3") && client.rest().await.is_empty());
}

/// Requests with two readings; each tries to hide `GET /hidden` from one of them.
fn corpus() -> Vec<(u16, String)> {
    let post = |fields: &str, body: &str| format!("POST /shown HTTP/1.1\r\nHost: app.test\r\n{fields}\r\n{body}");
    let hidden = "GET /hidden HTTP/1.1\r\nHost: app.test\r\n\r\n";
    let chunked = "Transfer-Encoding: chunked\r\n";
    let length = format!("Content-Length: {}\r\n", hidden.len());
    vec![
        (400, post(&format!("{chunked}Content-Length: 5\r\n"), &format!("0\r\n\r\n{hidden}"))),
        (400, post(&format!("Content-Length: 5\r\n{chunked}"), &format!("0\r\n\r\n{hidden}"))),
        (400, post(&format!("Content-Length: 0\r\n{length}"), hidden)),
        (400, post("Content-Length: 0, 60\r\n", hidden)),
        (400, post("Content-Length: +0\r\n", hidden)),
        (400, post("Content-Length: 0 \x0b\r\n", hidden)),
        (400, post("Content-Length : 60\r\n", hidden)),
        (400, post(" Content-Length: 60\r\n", hidden)),
        (400, post("X: 1\r\n Content-Length: 60\r\n", hidden)),
        (400, post("X: 1\nContent-Length: 60\r\n", hidden)),
        (400, post("X: 1\rContent-Length: 60\r\n", hidden)),
        (400, post("X: 1\0\r\n", hidden)),
        (501, post("Transfer-Encoding: xchunked\r\n", hidden)),
        (501, post("Transfer-Encoding: chunked, identity\r\n", hidden)),
        (501, post(&format!("{chunked}Transfer-Encoding: identity\r\n"), hidden)),
        (400, post("Transfer-Encoding : chunked\r\n", hidden)),
        (501, format!("POST /shown HTTP/1.0\r\nHost: app.test\r\n{chunked}\r\n0\r\n\r\n{hidden}")),
        (400, post(chunked, &format!("0\n\r\n{hidden}"))),
        (400, post(chunked, &format!("0\r\nX: 1\n\r\n{hidden}"))),
        (400, post(chunked, &format!("0x0\r\n\r\n{hidden}"))),
        (400, post(chunked, &format!("1\r\nab\r\n0\r\n\r\n{hidden}"))),
        (400, post(chunked, &format!("0;\n\r\n\r\n{hidden}"))),
        (400, post(chunked, &format!("0\r\nContent-Length: 60\r\n\r\n{hidden}"))),
        (400, post(chunked, &format!("fffffffffffffffff\r\n{hidden}"))),
        (400, format!("GET /shown HTTP/1.1\r\nHost: app.test\r\nHost: other.test\r\n\r\n{hidden}")),
        (400, format!("GET http://other.test/shown HTTP/1.1\r\nHost: app.test\r\n\r\n{hidden}")),
        (400, format!("GET /shown HTTP/1.1\r\n\r\n{hidden}")),
        (400, format!("GET /shown HTTP/1.1\r\nHost: app.test/x\r\n\r\n{hidden}")),
        (400, format!("GET /shown\r\nHost: app.test\r\n\r\n{hidden}")),
        (400, format!("GET /a b HTTP/1.1\r\nHost: app.test\r\n\r\n{hidden}")),
        (400, format!("\r\n{hidden}")),
        (400, format!("GET /shown HTTP/1.1\nHost: app.test\n\n{hidden}")),
        (405, format!("CONNECT app.test:80 HTTP/1.1\r\nHost: app.test:80\r\n\r\n{hidden}")),
        (505, format!("GET /shown HTTP/1.2\r\nHost: app.test\r\n\r\n{hidden}")),
        (414, format!("GET /{} HTTP/1.1\r\nHost: app.test\r\n\r\n{hidden}", "a".repeat(20_000))),
        (431, format!("GET /shown HTTP/1.1\r\nHost: app.test\r\nX: {}\r\n\r\n{hidden}", "a".repeat(70_000))),
        (431, format!("GET /shown HTTP/1.1\r\nHost: app.test\r\n{}\r\n{hidden}", "x: 1\r\n".repeat(200))),
    ]
}

#[tokio::test]
async fn nothing_is_smuggled() {
    let app = App::start("app").await;
    let (door, at) = door(document(1, &[("app", open(&app, Protocol::Http1))])).await;
    for (index, (status, text)) in corpus().into_iter().enumerate() {
        let mut client = Raw::to(at[0]).await;
        client.send("GET /before HTTP/1.1\r\nhost: app.test\r\n\r\n").await;
        assert_eq!(client.said().await.status, 200);
        client.send(&text).await;
        let said = client.said().await;
        assert_eq!(said.status, status, "case {index}: {text:?} gave {said:?}");
        assert!(said.head.contains("connection: close"), "case {index}: {}", said.head);
        assert_eq!(client.rest().await, b"", "case {index}: something came after the refusal");
    }
    assert_eq!(app.count("GET /hidden"), 0, "a request was smuggled");
    assert_eq!(app.count("GET /before"), corpus().len() as u64);
    assert!(door.report().malformed > 20);
    // A good request before a bad one in the same piece has its answer.
    let mut client = Raw::to(at[0]).await;
    client.send("GET /before HTTP/1.1\r\nhost: app.test\r\n\r\nGET /hidden HTTP/1.1\r\n\r\n").await;
    assert_eq!((client.said().await.status, client.said().await.status), (200, 400));
}

#[tokio::test]
async fn http2_and_grpc_pass_with_trailers() {
    let app = App::start("app").await;
    let (_door, at) =
        door(document(1, &[("one", open(&app, Protocol::Http1)), ("two", open(&app, Protocol::H2c))])).await;
    let (mut client, _connection) = http2(at[0]).await;
    for host in ["one.test", "two.test"] {
        let request = Request::post(format!("http://{host}/echo")).header("cookie", "a=1").header("cookie", "b=2");
        let answer = call(&mut client, request.body(whole("hello".into())).expect("a request")).await;
        let body = collected(answer).await.to_bytes();
        let text = String::from_utf8_lossy(&body).into_owned();
        assert!(text.contains("5 bytes") && text.contains(&format!("host=\"{host}\"")), "{text}");
        assert_eq!(text.contains("cookie: a=1; b=2"), host == "one.test", "{text}");
    }
    let request =
        Request::post("http://two.test/grpc").header("content-type", "application/grpc").header("te", "trailers");
    let answer = call(&mut client, request.body(whole(Bytes::new())).expect("a request")).await;
    app.go.notify_one();
    let body = collected(answer).await;
    assert_eq!(body.trailers().expect("trailers")["grpc-status"], "0");
    let mismatch =
        Request::get("http://one.test/").header("host", "two.test").body(whole(Bytes::new())).expect("a request");
    assert_eq!(call(&mut client, mismatch).await.status(), 400);
}

#[tokio::test]
async fn any_upgrade_passes_and_a_refused_one_goes_on_as_http() {
    let app = App::start("app").await;
    let (_door, at) = door(document(1, &[("app", open(&app, Protocol::Http1))])).await;
    let ask = |protocol: &str| {
        format!("GET /socket HTTP/1.1\r\nhost: app.test\r\nconnection: Upgrade\r\nupgrade: {protocol}\r\n\r\n")
    };
    let mut client = Raw::to(at[0]).await;
    client.send(ask("never") + "GET /next HTTP/1.1\r\nhost: app.test\r\n\r\n").await;
    assert_eq!(client.said().await.body, "no upgrade");
    assert_eq!(client.said().await.body, "app");
    // Behind another request in the same piece.
    client.send("GET /before HTTP/1.1\r\nhost: app.test\r\n\r\n".to_string() + &ask("chat")).await;
    assert_eq!(client.said().await.body, "app");
    let (status, head) = client.head().await;
    assert!(status == 101 && head.contains("upgrade: chat"), "{head}");
    let bytes = "GET /hidden HTTP/1.1\r\n\r\n\0\x01\x02";
    client.send(bytes).await;
    assert_eq!(client.bytes(bytes.len()).await, bytes.as_bytes());
    client.0.shutdown().await.expect("a half");
    assert_eq!(client.rest().await, b"");
    assert_eq!(app.count("GET /hidden"), 0);
}

#[tokio::test]
async fn a_slow_reader_holds_the_application_and_not_memory() {
    let app = App::start("app").await;
    let (_door, at) =
        door(document(1, &[("app", open(&app, Protocol::Http1)), ("two", open(&app, Protocol::H2c))])).await;
    for host in ["app.test", "two.test"] {
        app.flooded.store(0, Ordering::Relaxed);
        let mut client = Raw::to(at[0]).await;
        client.send(format!("GET /flood HTTP/1.1\r\nhost: {host}\r\n\r\n")).await;
        assert_eq!(client.head().await.0, 200);
        let mut before = 0;
        loop {
            tokio::time::sleep(Duration::from_millis(300)).await;
            let now = app.flooded.load(Ordering::Relaxed);
            if now == before {
                break;
            }
            before = now;
        }
        // The kernel's buffers of four sockets and the windows.
        assert!(before < 24 << 20, "{before} bytes were taken from the application");
        drop(client);
    }
}

#[tokio::test]
async fn the_door_says_what_is_wrong() {
    let app = App::start("app").await;
    let mut away = route(Protocol::Http1, Admission::Maintenance, &[]);
    away.page = Some(Page { title: "Moving <house>".into(), text: "Back at noon.".into() });
    // A port that is held, so that nobody else listens there either.
    let dead = tokio::net::TcpSocket::new_v4().expect("a socket");
    dead.bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
    let nobody = instance("gone.0", dead.local_addr().expect("an address"), Traffic::Admit, 0);
    let gone = route(Protocol::Http1, Admission::Open, &[nobody]);
    let closed = route(Protocol::H2c, Admission::Closed, &[]);
    let routes = [("app", open(&app, Protocol::Http1)), ("away", away), ("gone", gone), ("closed", closed)];
    let mut said = document(1, &routes);
    let owners = Host { route: "app".into(), access: Access::Owner, secure: false, gate: None };
    said.hosts.insert("owners.test".into(), owners);
    let (_door, at) = door(said).await;
    let mut client = Raw::to(at[0]).await;
    client.send("GET / HTTP/1.1\r\nhost: away.test\r\naccept: text/html,*/*\r\n\r\n").await;
    let said = client.said().await;
    assert!(
        said.status == 503
            && said.body.contains("<h1>Moving &lt;house&gt;</h1>")
            && said.head.contains("retry-after: 30"),
        "{said:?}"
    );
    for (host, status, code) in [
        ("closed.test", 503, "stopped"),
        ("none.test", 404, "no_such_host"),
        ("gone.test", 502, "unreachable"),
        ("owners.test", 403, "no_tls"),
    ] {
        let said = client.get(host, "/").await;
        assert!(said.status == status && said.body.contains(&format!("\"code\":\"{code}\"")), "{said:?}");
    }
    client.send("POST /x HTTP/1.1\r\nhost: closed.test\r\ncontent-type: application/grpc+proto\r\n\r\n").await;
    assert!(client.said().await.head.contains("grpc-status: 14"));
    assert_eq!(client.get("app.test", "/die").await.status, 502);
    assert!(app.count("GET /die") <= 2, "an idempotent request is tried once more at most");
    client.send("POST /die HTTP/1.1\r\nhost: app.test\r\ncontent-length: 0\r\n\r\n").await;
    assert_eq!((client.said().await.status, app.count("POST /die")), (502, 1), "any other is not");
}

#[tokio::test]
async fn raw_tcp_is_carried_both_ways_until_it_is_cut() {
    let echo = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = echo.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = echo.accept().await {
            tokio::spawn(async move {
                let (mut reader, mut writer) = stream.split();
                let _ = tokio::io::copy(&mut reader, &mut writer).await;
                let _ = writer.write_all(b" end").await;
            });
        }
    });
    let admitted = route(Protocol::Tcp, Admission::Open, &[instance("a", address, Traffic::Admit, 0)]);
    let (door, at) = door(document(1, &[("sql", admitted)])).await;
    let mut client = Raw::to(at[1]).await;
    client.send("hello").await;
    assert_eq!(client.bytes(5).await, b"hello");
    client.0.shutdown().await.expect("a half");
    assert_eq!(client.rest().await, b" end", "a half-closed connection has its last words");
    let mut client = Raw::to(at[1]).await;
    client.send("hello").await;
    assert_eq!(client.bytes(5).await, b"hello");
    let counts = door.report().routes["sql"].instances["a"].counts;
    assert_eq!((counts.connections, counts.writing_requests), (2, 0));
    let held = route(Protocol::Tcp, Admission::Hold, &[instance("a", address, Traffic::Drain, 50)]);
    taken(&door, document(2, &[("sql", held)])).await;
    assert_eq!(client.rest().await, b"", "cut at the deadline");
    // One that comes meanwhile waits.
    let mut late = Raw::to(at[1]).await;
    late.send("late").await;
    let admitted = route(Protocol::Tcp, Admission::Open, &[instance("b", address, Traffic::Admit, 0)]);
    taken(&door, document(3, &[("sql", admitted)])).await;
    assert_eq!(late.bytes(4).await, b"late");
}

#[tokio::test]
async fn what_drains_ends_in_its_own_words() {
    let app = App::start("app").await;
    let two = App::start("two").await;
    let (door, at) =
        door(document(1, &[("app", open(&app, Protocol::Http1)), ("rpc", open(&app, Protocol::H2c))])).await;
    let mut socket = Raw::to(at[0]).await;
    socket.send("GET /socket HTTP/1.1\r\nhost: app.test\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n").await;
    assert_eq!(socket.head().await.0, 101);
    let frame = b"\x82\x85\0\0\0\0hello";
    socket.send(frame).await;
    assert_eq!(socket.bytes(frame.len()).await, frame);
    let mut download = Raw::to(at[0]).await;
    download.send("GET /stream HTTP/1.1\r\nhost: app.test\r\n\r\n").await;
    assert_eq!(download.head().await.0, 200);
    assert_eq!(download.chunk().await.as_deref(), Some(&b"first "[..]));
    let (mut client, connection) = http2(at[0]).await;
    let request =
        Request::post("http://rpc.test/grpc").header("content-type", "application/grpc").body(whole(Bytes::new()));
    let answer = call(&mut client, request.expect("a request")).await;
    let next = |protocol| {
        let drains = instance("one.0", app.address, Traffic::Drain, 600);
        route(protocol, Admission::Open, &[drains, instance("two.0", two.address, Traffic::Admit, 0)])
    };
    taken(&door, document(2, &[("app", next(Protocol::Http1)), ("rpc", next(Protocol::H2c))])).await;
    // The close comes between two frames, before the deadline.
    let close = going_away_to_client();
    assert_eq!(socket.bytes(close.len()).await, close);
    let mut frames = Frames::default();
    frames.advance(&socket.rest().await);
    assert!(frames.at_end());
    assert_eq!(download.chunk().await, None, "a body that is cut is seen not to be whole");
    assert_eq!(download.rest().await, b"");
    let body = collected(answer).await;
    assert_eq!(body.trailers().expect("trailers")["grpc-status"], "14");
    assert_eq!(Raw::to(at[0]).await.get("app.test", "/").await.body, "two");
    let report = door.report();
    let old = report.routes["app"].instances["one.0"].counts;
    assert_eq!((old.open, old.cut), (0, 1), "the download was cut, the WebSocket was not");
    // The door itself: `connection: close` and GOAWAY.
    let mut last = Raw::to(at[0]).await;
    last.send("GET /wait HTTP/1.1\r\nhost: app.test\r\n\r\n").await;
    within("the request", two.there.notified()).await;
    let leaving = tokio::spawn({
        let door = door.clone();
        async move { door.retire(Duration::from_secs(20)).await }
    });
    let mut news = door.news();
    while !door.report().retiring {
        within("word of the leaving", news.changed()).await.expect("news");
    }
    two.go.notify_one();
    let said = last.said().await;
    assert!(said.status == 200 && said.head.contains("connection: close"), "{said:?}");
    within("GOAWAY", connection).await.expect("a task").expect("an end in order");
    within("leaving", leaving).await.expect("left");
    let mut byte = [0];
    assert_eq!(within("an end", last.0.read(&mut byte)).await.expect("an end"), 0);
}
