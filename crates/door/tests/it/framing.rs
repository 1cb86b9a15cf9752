//! The strict reader of HTTP/1: what it refuses, and that no cut of the bytes into pieces changes what it says.

use openmesh_door::framing::{Framing, Place};
use openmesh_door::head::{Fault, Head, Length, read};
use proptest::prelude::*;

fn head(text: &str) -> Result<Head, Fault> {
    read(text.as_bytes())
}

fn with(fields: &str) -> Result<Head, Fault> {
    head(&format!("POST /a?b=c HTTP/1.1\r\nHost: shop.example\r\n{fields}\r\n"))
}

#[test]
fn good_heads_have_one_meaning() {
    let plain = |bytes| Ok(Head { length: Length::Fixed(bytes), upgrade: false });
    assert_eq!(with(""), plain(0));
    assert_eq!(with("content-length: 12\r\n"), plain(12));
    assert_eq!(with("Transfer-Encoding: Chunked\r\n"), Ok(Head { length: Length::Chunked, upgrade: false }));
    assert_eq!(head("OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n"), plain(0));
    assert_eq!(head("GET http://a:80/x HTTP/1.1\r\nhost: A:80\r\n\r\n"), plain(0));
    assert_eq!(head("GET / HTTP/1.0\r\nhost: a\r\n\r\n"), plain(0));
    let upgrade = "connection: keep-alive, Upgrade\r\nupgrade: websocket\r\n";
    assert_eq!(with(upgrade), Ok(Head { length: Length::Fixed(0), upgrade: true }));
    assert_eq!(with(&format!("{upgrade}content-length: 1\r\n")), plain(1), "a body forbids an upgrade");
    assert_eq!(with("connection: upgrade, http2-settings\r\nupgrade: h2c\r\n"), plain(0));
}

#[test]
fn whatever_has_two_readings_is_refused() {
    let line = |line: &str| head(&format!("{line}\r\nhost: a\r\n\r\n"));
    let cases = [
        (with("content-length: 1\r\ntransfer-encoding: chunked\r\n"), Fault::LengthAndCoding),
        (with("transfer-encoding: chunked\r\ncontent-length: 1\r\n"), Fault::LengthAndCoding),
        (with("content-length: 1\r\ncontent-length: 1\r\n"), Fault::Length),
        (with("content-length: 1, 1\r\n"), Fault::Length),
        (with("content-length: +1\r\n"), Fault::Length),
        (with("content-length: -1\r\n"), Fault::Length),
        (with("content-length: 0x1\r\n"), Fault::Length),
        (with("content-length: 1 1\r\n"), Fault::Length),
        (with("content-length:\r\n"), Fault::Length),
        (with("content-length: 99999999999999999999\r\n"), Fault::Length),
        (with("content-length : 1\r\n"), Fault::Field),
        (with("transfer-encoding: gzip, chunked\r\n"), Fault::Coding),
        (with("transfer-encoding: xchunked\r\n"), Fault::Coding),
        (with("transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n"), Fault::Coding),
        (with("transfer-encoding: \x0bchunked\r\n"), Fault::Field),
        (with("x: a\r\n b\r\n"), Fault::Folded),
        (with("x: a\n"), Fault::LineEnd),
        (with("x: a\rb\r\n"), Fault::LineEnd),
        (with("x: a\0b\r\n"), Fault::Field),
        (with("no colon\r\n"), Fault::Field),
        (with(": empty\r\n"), Fault::Field),
        (with("host: shop.example\r\n"), Fault::TwoHosts),
        (with(&"a: b\r\n".repeat(128)), Fault::HeadTooLarge),
        (head("GET / HTTP/1.1\r\na: b\r\n\r\n"), Fault::NoHost),
        (head("GET / HTTP/1.1\r\nhost: a@b\r\n\r\n"), Fault::BadHost),
        (head("GET / HTTP/1.1\r\nhost: a, b\r\n\r\n"), Fault::BadHost),
        (head("GET / HTTP/1.1\r\nhost:\r\n\r\n"), Fault::BadHost),
        (head("GET http://b/ HTTP/1.1\r\nhost: a\r\n\r\n"), Fault::OtherHost),
        (head("GET http://a:81/ HTTP/1.1\r\nhost: a\r\n\r\n"), Fault::OtherHost),
        (head("GET / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"), Fault::Coding),
        (line("GET  / HTTP/1.1"), Fault::RequestLine),
        (line("GET /"), Fault::RequestLine),
        (line("\r\nGET / HTTP/1.1"), Fault::RequestLine),
        (line(" GET / HTTP/1.1"), Fault::RequestLine),
        (line("G\u{e4}T / HTTP/1.1"), Fault::RequestLine),
        (line("GET / HTTP/1.1 "), Fault::RequestLine),
        (line("GET / HTTP/2.0"), Fault::Version),
        (line("GET / HTTP/1.10"), Fault::Version),
        (line("GET / http/1.1"), Fault::RequestLine),
        (line("CONNECT a:80 HTTP/1.1"), Fault::Connect),
        (line("GET a HTTP/1.1"), Fault::Target),
        (line("GET /#a HTTP/1.1"), Fault::Target),
        (line("GET /\tHTTP/1.1 HTTP/1.1"), Fault::Target),
        (line("GET ftp://a/ HTTP/1.1"), Fault::Target),
        (line("GET * HTTP/1.1"), Fault::Target),
        (line(&format!("GET /{} HTTP/1.1", "a".repeat(16_384))), Fault::TargetTooLong),
    ];
    for (index, (said, fault)) in cases.into_iter().enumerate() {
        assert_eq!(said, Err(fault), "case {index}");
    }
}

/// A reader's word on pieces: bytes that passed, good heads, and its place or fault.
fn run(pieces: &[&[u8]]) -> (Vec<u8>, u64, Result<Place, Fault>) {
    let (mut framing, mut out) = (Framing::default(), Vec::new());
    for piece in pieces {
        let mut taken = 0;
        while taken < piece.len() {
            match framing.push(&piece[taken..], &mut out) {
                Ok(count) => taken += count,
                Err(fault) => return (out, framing.heads(), Err(fault)),
            }
            // Another protocol was asked for and refused: HTTP goes on.
            framing.decide(false);
        }
    }
    (out, framing.heads(), Ok(framing.place()))
}

const STREAM: &str = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhelloGET /x HTTP/1.1\r\nhost: a\r\n\r\n\
    PUT / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0A;x=y\r\n0123456789\r\n0\r\nsum: 1\r\n\r\n\
    GET /chat HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nGET /last HTTP/1.1\r\nhost: a\r\n\r\n";

#[test]
fn bodies_are_framed_strictly() {
    let chunked = |body: &str| {
        let text = format!("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n{body}");
        run(&[text.as_bytes()]).2
    };
    assert_eq!(chunked("3\r\nabc\r\n0\r\n\r\n"), Ok(Place::Head));
    let bad = [
        "3\nabc\r\n",
        "3 \r\nabc\r\n",
        "3\r\nabcd\r\n",
        "3\r\nabc\n0",
        "-3\r\n",
        "0x3\r\n",
        "\r\n",
        "g\r\n",
        "3;\x01\r\n",
    ];
    let long = format!("3;{}\r\n", "x".repeat(300));
    let more = [
        "1000000000000000\r\n",
        "0\r\nhost: b\r\n\r\n",
        "0\r\nContent-Length: 1\r\n",
        "0\r\n folded\r\n",
        "3;a\rb\r\n",
        long.as_str(),
    ];
    for body in bad.into_iter().chain(more) {
        assert_eq!(chunked(body), Err(Fault::Chunk), "{body:?}");
    }
    assert_eq!(
        run(&[b"GET / HTTP/1.1\nhost: a\n\n"]).2,
        Err(Fault::LineEnd),
        "refused at once, not at the end of a head"
    );
    assert_eq!(run(&[&[b'a'; 70_000]]).2, Err(Fault::HeadTooLarge));
}

#[test]
fn what_follows_an_upgrade_waits_for_its_decision() {
    let (mut framing, mut out) = (Framing::default(), Vec::new());
    let text = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: chat\r\n\r\n\x01\x02";
    assert_eq!(framing.push(text, &mut out), Ok(text.len() - 2));
    assert_eq!((framing.place(), framing.push(b"\x01\x02", &mut out)), (Place::Undecided, Ok(0)));
    framing.decide(true);
    assert_eq!((framing.push(b"\x01\x02", &mut out), framing.place()), (Ok(2), Place::Raw));
    assert_eq!(out, text);
}

proptest! {
    #[test]
    fn no_cut_changes_the_meaning(cuts in prop::collection::vec(0..STREAM.len(), 0..20)) {
        let mut cuts = cuts;
        cuts.sort_unstable();
        let mut pieces = Vec::new();
        let mut from = 0;
        for cut in cuts {
            pieces.push(&STREAM.as_bytes()[from..cut]);
            from = cut;
        }
        pieces.push(&STREAM.as_bytes()[from..]);
        let (out, heads, place) = run(&pieces);
        prop_assert_eq!((out.as_slice(), heads, place), (STREAM.as_bytes(), 5, Ok(Place::Head)));
    }

    #[test]
    fn any_change_of_a_byte_is_read_alike_however_it_is_cut(at in 0..STREAM.len(), byte: u8, cut in 0..STREAM.len()) {
        let mut bytes = STREAM.as_bytes().to_vec();
        bytes[at] = byte;
        let whole = run(&[&bytes]);
        let cut = run(&[&bytes[..cut], &bytes[cut..]]);
        let each: Vec<&[u8]> = bytes.chunks(1).collect();
        prop_assert_eq!((whole.1, whole.2.is_err()), (cut.1, cut.2.is_err()));
        prop_assert_eq!(whole.2.is_err(), run(&each).2.is_err());
        prop_assert!(bytes.starts_with(&whole.0));
    }
}
