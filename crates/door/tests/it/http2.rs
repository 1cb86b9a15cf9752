//! HTTP/2 as an attacker writes it: frames by hand.

use crate::stage::{App, Raw, document, door, open};
use openmesh_door::document::Protocol;

const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
/// Error "enhance your calm" (RFC 9113, section 7).
const CALM: u32 = 11;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a length").to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// A field as a literal of HPACK without index.
fn field(name: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![0];
    for text in [name, value] {
        bytes.push(u8::try_from(text.len()).ok().filter(|length| *length < 127).expect("short"));
        bytes.extend_from_slice(text.as_bytes());
    }
    bytes
}

fn request(fields: &[(&str, &str)]) -> Vec<u8> {
    fields.iter().flat_map(|(name, value)| field(name, value)).collect()
}

const PLAIN: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "http"), (":authority", "app.test"), (":path", "/hidden")];

async fn greet(at: std::net::SocketAddr) -> Raw {
    let mut client = Raw::to(at).await;
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    client.send(frame(SETTINGS, 0, 0, &[])).await;
    client
}

/// The next frame that is no SETTINGS: its kind, its stream, its payload; `None` at the end.
async fn next(client: &mut Raw) -> Option<(u8, u32, Vec<u8>)> {
    loop {
        let head = client.bytes(9).await;
        if head.len() < 9 {
            return None;
        }
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let payload = client.bytes(length).await;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        match head[3] {
            SETTINGS if head[4] & ACK == 0 => client.send(frame(SETTINGS, ACK, 0, &[])).await,
            // Settings' acknowledgements and windows.
            SETTINGS | 8 => {}
            kind => return Some((kind, stream, payload)),
        }
    }
}

#[tokio::test]
async fn no_field_of_http2_becomes_two_of_http1() {
    let app = App::start("app").await;
    let (_door, at) = door(document(1, &[("app", open(&app, Protocol::Http1))])).await;
    let more: [(&str, &str); 13] = [
        ("x", "a\r\ncontent-length: 5"),
        ("x", "a\nb"),
        ("x", "a\0b"),
        ("x\r\ny", "1"),
        ("x y", "1"),
        ("x:", "1"),
        ("X-Upper", "1"),
        ("transfer-encoding", "chunked"),
        ("connection", "close"),
        ("host", "other.test"),
        ("content-length", "+0"),
        ("content-length", "5"),
        (":path", "/other"),
    ];
    let mut cases: Vec<Vec<(&str, &str)>> = more.iter().map(|extra| [&PLAIN[..], &[*extra]].concat()).collect();
    cases.push([&PLAIN[..], &[("content-length", "0"), ("content-length", "0")]].concat());
    for (index, value) in [
        (3, "/hidden x"),
        (3, "/hidden\r\nx: y"),
        (3, "hidden"),
        (2, "app.test\r\nx: y"),
        (2, "a@app.test"),
        (0, "GET /hidden"),
    ] {
        let mut fields = PLAIN.to_vec();
        fields[index].1 = value;
        cases.push(fields);
    }
    for fields in cases {
        let mut client = greet(at[0]).await;
        client.send(frame(HEADERS, END_STREAM | END_HEADERS, 1, &request(&fields))).await;
        let answered = next(&mut client).await;
        let refused = match &answered {
            // Status 400 is an entry of HPACK's static table.
            Some((HEADERS, 1, payload)) => payload.first() == Some(&0x8c),
            Some((RESET, 1, _)) | Some((GOAWAY, _, _)) | None => true,
            Some(_) => false,
        };
        assert!(refused, "{fields:?} gave {answered:?}");
    }
    assert_eq!(app.seen.lock().expect("seen").len(), 0, "the application saw a malformed request");
    let mut client = greet(at[0]).await;
    client.send(frame(HEADERS, END_STREAM | END_HEADERS, 1, &request(&PLAIN))).await;
    assert_eq!(
        next(&mut client).await.map(|(kind, stream, payload)| (kind, stream, payload[0])),
        Some((HEADERS, 1, 0x88))
    );
    assert_eq!(app.count("GET /hidden"), 1, "a good one passes");
}

#[tokio::test]
async fn floods_end_their_own_connection_and_no_other() {
    let app = App::start("app").await;
    let (_door, at) = door(document(1, &[("app", open(&app, Protocol::Http1))])).await;
    // Streams that are opened and reset at once (CVE-2023-44487).
    let mut client = greet(at[0]).await;
    let mut bytes = Vec::new();
    for number in 0..2_000 {
        let stream = 2 * number + 1;
        bytes.extend(frame(HEADERS, END_STREAM | END_HEADERS, stream, &request(&PLAIN)));
        bytes.extend(frame(RESET, 0, stream, &8u32.to_be_bytes()));
    }
    client.send(bytes).await;
    assert_eq!(calm(&mut client).await, Some(CALM));
    assert!(app.count("GET /hidden") < 2_000);
    // A head without an end (CVE-2024-27316).
    let mut client = greet(at[0]).await;
    client.send(frame(HEADERS, END_STREAM, 1, &request(&PLAIN))).await;
    for _ in 0..2_000 {
        client.send(frame(CONTINUATION, 0, 1, &request(&[("x", "y"); 200]))).await;
    }
    assert!(calm(&mut client).await.is_some(), "it ends");
    assert_eq!(Raw::to(at[0]).await.get("app.test", "/").await.body, "app");
}

/// Reads to the end, and returns the error of GOAWAY where one came; an end without one counts as error 0.
async fn calm(client: &mut Raw) -> Option<u32> {
    let mut error = Some(0);
    while let Some((kind, _, payload)) = next(client).await {
        if kind == GOAWAY {
            let bytes = payload.get(4..8).and_then(|bytes| bytes.try_into().ok());
            error = bytes.map(u32::from_be_bytes);
        }
    }
    error
}
