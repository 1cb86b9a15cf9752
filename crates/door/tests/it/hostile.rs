//! Applications that answer with bytes of their own making. Whatever they say, the next answer on a client's connection is its own.

use std::net::SocketAddr;

use crate::stage::{App, Raw, document, door, instance, open, route};
use openmesh_door::document::{Admission, Protocol, Traffic};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Answers each request with the same bytes, and ends the connection after them where told.
async fn saying(bytes: Vec<u8>, end: bool) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let bytes = bytes.clone();
            tokio::spawn(async move {
                let mut text = Vec::new();
                let mut part = [0; 4_096];
                while let Ok(count @ 1..) = stream.read(&mut part).await {
                    text.extend_from_slice(&part[..count]);
                    if !text.ends_with(b"\r\n\r\n") {
                        continue;
                    }
                    text.clear();
                    if stream.write_all(&bytes).await.is_err() || end {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// Status and body that a client may see; none where its connection ends.
type Seen = Option<(u16, &'static str)>;

/// Bytes of an answer, whether the connection ends with them, and what a client may see.
fn answers() -> Vec<(String, bool, Seen)> {
    let ok = |fields: &str, body: &str| format!("HTTP/1.1 200 OK\r\n{fields}\r\n{body}");
    let evil = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil";
    let chunked = "transfer-encoding: chunked\r\n";
    vec![
        (ok("content-length: 2\r\n", "ok"), false, Some((200, "ok"))),
        (ok("content-length: 2\r\n", &format!("ok{evil}")), false, Some((200, "ok"))),
        (ok("content-length: 2\r\ncontent-length: 40\r\n", &format!("ok{evil}")), false, Some((502, ""))),
        (
            ok(&format!("{chunked}content-length: 40\r\n"), &format!("2\r\nok\r\n0\r\n\r\n{evil}")),
            false,
            Some((200, "ok")),
        ),
        (
            ok(&format!("content-length: 40\r\n{chunked}"), &format!("2\r\nok\r\n0\r\n\r\n{evil}")),
            false,
            Some((200, "ok")),
        ),
        (ok("", "ok"), true, Some((200, "ok"))),
        (ok("content-length: 40\r\n", "ok"), true, None),
        (ok(chunked, "5\r\nok"), true, None),
        (ok(chunked, "zz\r\nok"), true, None),
        (ok("content-length: -1\r\n", "ok"), true, Some((502, ""))),
        (ok("x: a\r\n b\r\ncontent-length: 2\r\n", "ok"), false, Some((502, ""))),
        (ok("x: a\0b\r\ncontent-length: 2\r\n", "ok"), false, Some((502, ""))),
        (ok("x y: a\r\ncontent-length: 2\r\n", "ok"), false, Some((502, ""))),
        (ok(&format!("x: {}\r\ncontent-length: 2\r\n", "a".repeat(300_000)), "ok"), false, Some((502, ""))),
        (ok(&format!("{}content-length: 2\r\n", "x: a\r\n".repeat(500)), "ok"), false, Some((502, ""))),
        (
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n".into(),
            false,
            Some((502, "")),
        ),
        (
            format!("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n{}", ok("content-length: 2\r\n", "ok")),
            false,
            Some((200, "ok")),
        ),
        ("garbage\r\n\r\n".into(), false, Some((502, ""))),
        (String::new(), true, Some((502, ""))),
    ]
}

#[tokio::test]
async fn no_answer_of_an_application_becomes_another_ones() {
    let good = App::start("good").await;
    for (index, (bytes, end, expected)) in answers().into_iter().enumerate() {
        let address = saying(bytes.into_bytes(), end).await;
        let bad = route(Protocol::Http1, Admission::Open, &[instance("bad.0", address, Traffic::Admit, 0)]);
        let (_door, at) = door(document(1, &[("bad", bad), ("good", open(&good, Protocol::Http1))])).await;
        let mut client = Raw::to(at[0]).await;
        for _ in 0..3 {
            let said = client.get("bad.test", "/").await;
            match expected {
                Some((200, body)) => assert_eq!((said.status, said.body.as_str()), (200, body), "case {index}"),
                Some((status, _)) => assert_eq!(said.status, status, "case {index}: {said:?}"),
                None => {
                    assert!(client.rest().await.is_empty(), "case {index}: {said:?}");
                    client = Raw::to(at[0]).await;
                }
            }
            assert_eq!(client.get("good.test", "/").await.body, "good", "case {index}");
        }
    }
}
