//! Applications that are not for everybody: the way in, what passes with a pass, and the end of a right that was taken away.

use std::time::SystemTime;

use bytes::Bytes;
use hyper::Request;
use openmesh_door::authority::Authority;
use openmesh_door::body::whole;
use openmesh_door::document::{Access, Admission, Document, Gate, Host, Listener, People, Protocol, Traffic, VERSION};
use openmesh_door::effects::free;
use openmesh_door::limits::{CODE_MS, PASS_MS};
use openmesh_door::pass::{Key, Kind, Moment, Pass, Place, VISIT_BYTES, Wallet};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::stage::{App, Raw, Said, call, collected, document, door, http2, instance, open, route, taken, within};
use crate::tls::{greet, keep};

const ALICE: Wallet = Wallet([0xa1; 20]);
const BOB: Wallet = Wallet([0xb0; 20]);
const HERE: Place<'_> = Place { application: "notes", host: "notes.test", tls: false };
const VISIT: [u8; VISIT_BYTES] = [7; VISIT_BYTES];

fn key() -> Key {
    Key::try_from("5c".repeat(32)).expect("a key")
}

/// A document whose application `notes` is for some wallets, beside `open`, which is for everybody.
fn guarded(serial: u64, app: &App, protocol: Protocol, wallets: &[Wallet]) -> Document {
    let mut document = document(serial, &[("notes", open(app, protocol)), ("open", open(app, protocol))]);
    document.version = VERSION;
    document.people =
        Some(People { sign_in: "https://xnode.test".into(), owners: texts(&[ALICE]), members: texts(&[ALICE, BOB]) });
    let mut guard = |host: &str, application: &str, access: Access| {
        let gate = Some(Gate { application: application.into(), key: key().of(application) });
        document.hosts.insert(host.into(), Host { route: "notes".into(), access, secure: false, gate });
    };
    guard("notes.test", "notes", Access::Wallets(texts(wallets)));
    guard("owner.test", "owner", Access::Owner);
    guard("members.test", "members", Access::Members);
    document
}

fn texts(wallets: &[Wallet]) -> Vec<String> {
    wallets.iter().map(ToString::to_string).collect()
}

fn signed(kind: Kind, wallet: Wallet, place: &Place<'_>) -> String {
    let lasts_ms = if kind == Kind::Code { CODE_MS } else { PASS_MS };
    let pass = Pass { kind, wallet, made: Moment::now(), lasts_ms, visit: VISIT };
    pass.sign(&key().of(place.application), place)
}

/// A cookie with a pass of a wallet.
fn pass(wallet: Wallet) -> String {
    format!("openmesh-door-pass={}", signed(Kind::Pass, wallet, &HERE))
}

/// The cookie that a browser has after it was sent to sign in.
fn visit() -> String {
    format!("openmesh-door-visit={}", hex(&VISIT))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn enter(code: &str, to: &str) -> String {
    format!("/.openmesh-door/enter?code={code}&to={}", hex(to.as_bytes()))
}

async fn ask(client: &mut Raw, line: &str, host: &str, fields: &str) -> Said {
    client.send(format!("{line} HTTP/1.1\r\nhost: {host}\r\n{fields}\r\n")).await;
    client.said().await
}

fn field(said: &Said, name: &str) -> Vec<String> {
    let lines = said.head.lines().filter_map(|line| line.split_once(": "));
    lines.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_string()).collect()
}

/// Stable word of an answer for programs.
fn word(said: &Said) -> String {
    let code = said.body.split("\"code\":\"").nth(1).and_then(|rest| rest.split('"').next());
    code.unwrap_or_default().to_string()
}

const PAGE: &str = "accept: text/html\r\n";

#[tokio::test]
async fn a_browser_is_sent_to_sign_in_and_everything_else_is_told_so() {
    let app = App::start("app").await;
    let (_door, at) = door(guarded(1, &app, Protocol::Http1, &[ALICE])).await;
    let mut client = Raw::to(at[0]).await;
    let said = ask(&mut client, "GET /a/b?c=d", "notes.test", PAGE).await;
    let (to, cookies) = (field(&said, "location"), field(&said, "set-cookie"));
    let number =
        cookies[0].strip_prefix("openmesh-door-visit=").and_then(|rest| rest.split(';').next()).expect("a number");
    assert_eq!((said.status, number.len(), field(&said, "cache-control")), (303, 32, vec!["no-store".to_string()]));
    assert!(cookies[0].ends_with("; Path=/; HttpOnly; SameSite=Lax; Max-Age=900"), "{cookies:?}");
    let expected = format!("https://xnode.test/visit?host=notes.test&tls=0&visit={number}&to={}", hex(b"/a/b?c=d"));
    assert_eq!(to, std::slice::from_ref(&expected));
    // A second page of the same browser shares its visit.
    let again =
        ask(&mut client, "GET /a/b?c=d", "notes.test", &format!("{PAGE}cookie: openmesh-door-visit={number}\r\n"))
            .await;
    assert_eq!((field(&again, "location"), field(&again, "set-cookie")), (vec![expected], Vec::new()));
    for (line, fields) in [
        ("POST /a", "accept: text/html\r\ncontent-length: 0\r\n"),
        ("GET /a", "accept: text/html\r\nsec-fetch-mode: cors\r\n"),
        ("GET /a", "accept: */*\r\n"),
        ("OPTIONS /a", "origin: https://evil.test\r\n"),
        ("GET /socket", "accept: text/html\r\nconnection: upgrade\r\nupgrade: websocket\r\n"),
    ] {
        let mut client = Raw::to(at[0]).await;
        let said = ask(&mut client, line, "notes.test", fields).await;
        assert_eq!((said.status, word(&said).as_str()), (401, "not_signed_in"), "{line} {fields}: {said:?}");
        assert_eq!(field(&said, "content-type"), ["application/json"], "{line} {fields}");
        assert_eq!(field(&said, "www-authenticate"), ["Openmesh-Wallet"]);
    }
    assert!(app.seen.lock().expect("seen").is_empty(), "nothing was passed on");
    // Everybody may come in there, as before.
    assert_eq!(ask(&mut client, "GET /", "open.test", "").await.status, 200);
}

#[tokio::test]
async fn a_code_becomes_a_pass_once() {
    let app = App::start("app").await;
    let (_door, at) = door(guarded(1, &app, Protocol::Http1, &[ALICE])).await;
    let mut client = Raw::to(at[0]).await;
    let code = signed(Kind::Code, ALICE, &HERE);
    let with_visit = format!("cookie: {}\r\n", visit());
    let other = ask(&mut client, &format!("GET {}", enter(&code, "/a")), "notes.test", "").await;
    assert_eq!((other.status, word(&other).as_str()), (403, "other_browser"), "a code is its browser's");
    let said = ask(&mut client, &format!("GET {}", enter(&code, "/echo?a=b")), "notes.test", &with_visit).await;
    assert_eq!((said.status, field(&said, "location")), (303, vec!["/echo?a=b".to_string()]), "{said:?}");
    let cookies = field(&said, "set-cookie");
    let pass = cookies[0].split(';').next().expect("a cookie").to_string();
    assert!(cookies[0].ends_with("; Path=/; HttpOnly; SameSite=Lax; Max-Age=43200"), "{cookies:?}");
    assert!(cookies[1].starts_with("openmesh-door-visit=; ") && cookies[1].contains("Max-Age=0"), "{cookies:?}");
    let replayed = ask(&mut client, &format!("GET {}", enter(&code, "/a")), "notes.test", &with_visit).await;
    assert_eq!((replayed.status, word(&replayed).as_str()), (403, "code_used"));
    // A page that is loaded again in the browser that is in goes on.
    let fields = format!("cookie: {}; {pass}\r\n", visit());
    let reloaded = ask(&mut client, &format!("GET {}", enter(&code, "/a")), "notes.test", &fields).await;
    assert_eq!((reloaded.status, field(&reloaded, "location")), (303, vec!["/a".to_string()]));
    // The application hears of the wallet from the door alone, and of the door's cookies nothing.
    let fields = format!(
        "cookie: a=1; {pass}; b=2\r\ncookie: __HOST-openmesh-DOOR-visit=9\r\nx-forwarded-user: root\r\nx_forwarded_user: root\r\nx.forwarded.user: root\r\nremote-user: root\r\n"
    );
    let said = ask(&mut client, "GET /echo", "notes.test", &fields).await;
    assert_eq!(said.status, 200, "{said:?}");
    assert!(said.body.contains("cookie: a=1; b=2\n") && !said.body.contains("openmesh"), "{}", said.body);
    assert_eq!(said.body.matches("user").count(), 1, "{}", said.body);
    assert!(said.body.contains(&format!("x-forwarded-user: {ALICE}")), "{}", said.body);
    // Where everybody may come in nobody is named, and the cookies end at the door all the same.
    let said = ask(&mut client, "GET /echo", "open.test", &fields).await;
    assert!(said.status == 200 && !said.body.contains("user") && !said.body.contains("openmesh"), "{}", said.body);
    let left = ask(&mut client, "GET /.openmesh-door/leave", "notes.test", &format!("cookie: {pass}\r\n")).await;
    assert!(left.status == 200 && field(&left, "set-cookie")[0].contains("openmesh-door-pass=; "), "{left:?}");
}

#[tokio::test]
async fn whatever_was_not_given_for_this_place_now_lets_nobody_in() {
    let app = App::start("app").await;
    let (_door, at) = door(guarded(1, &app, Protocol::Http1, &[ALICE])).await;
    let mut client = Raw::to(at[0]).await;
    let now = Moment::now();
    let made = |made: Moment| {
        let pass = Pass { kind: Kind::Pass, wallet: ALICE, made, lasts_ms: PASS_MS, visit: VISIT };
        pass.sign(&key().of("notes"), &HERE)
    };
    let of = |place: Place<'_>| signed(Kind::Pass, ALICE, &place);
    for (value, code) in [
        (made(Moment { wall_ms: now.wall_ms - PASS_MS, ..now }), "expired"),
        (
            made(Moment { boot_ms: now.boot_ms.saturating_sub(PASS_MS), wall_ms: now.wall_ms - PASS_MS, ..now }),
            "expired",
        ),
        // The clock was set back a day since.
        (made(Moment { wall_ms: now.wall_ms + 86_400_000, ..now }), "clock"),
        (of(Place { application: "owner", ..HERE }), "forged"),
        (of(Place { host: "owner.test", ..HERE }), "forged"),
        (of(Place { tls: true, ..HERE }), "forged"),
        (signed(Kind::Code, ALICE, &HERE), "forged"),
        ("0".repeat(202), "forged"),
        (String::new(), "forged"),
    ] {
        let fields = format!("cookie: openmesh-door-pass={value}\r\n");
        let said = ask(&mut client, "GET /a", "notes.test", &fields).await;
        assert_eq!((said.status, word(&said).as_str()), (401, code), "{value}");
        let said = ask(&mut client, "GET /a", "notes.test", &format!("{PAGE}{fields}")).await;
        assert_eq!(said.status, 303, "a browser signs in again");
    }
    // A cookie that another host of the domain has set beside it takes nothing away.
    let fields = format!("cookie: openmesh-door-pass=0; {}\r\n", pass(ALICE));
    assert_eq!(ask(&mut client, "GET /a", "notes.test", &fields).await.status, 200);
    let with_tls = format!("cookie: __Host-{}\r\n", pass(ALICE));
    assert_eq!(ask(&mut client, "GET /a", "notes.test", &with_tls).await.status, 401, "a cookie of TLS without it");
    for code in [signed(Kind::Pass, ALICE, &HERE), signed(Kind::Code, ALICE, &Place { host: "owner.test", ..HERE })] {
        let said =
            ask(&mut client, &format!("GET {}", enter(&code, "/a")), "notes.test", &format!("cookie: {}\r\n", visit()))
                .await;
        assert_eq!((said.status, word(&said).as_str()), (403, "forged"));
    }
    // No way back leads to another host.
    for (number, to) in ["//evil.test", "https://evil.test/", "/\\evil.test"].into_iter().enumerate() {
        let code = Pass { kind: Kind::Code, wallet: ALICE, made: Moment::now(), lasts_ms: CODE_MS, visit: VISIT };
        // Codes that differ, since each is good once.
        let code = Pass { lasts_ms: CODE_MS - number as u64, ..code }.sign(&key().of("notes"), &HERE);
        let said =
            ask(&mut client, &format!("GET {}", enter(&code, to)), "notes.test", &format!("cookie: {}\r\n", visit()))
                .await;
        assert_eq!((said.status, field(&said, "location")), (303, vec!["/".to_string()]), "{to}");
    }
    // What is the door's own is passed on to nobody, at no host.
    let before = app.seen.lock().expect("seen").len();
    for host in ["notes.test", "open.test"] {
        for path in ["/.openmesh-door", "/.openmesh-door/", "/.openmesh-door/other"] {
            let said = ask(&mut client, &format!("GET {path}"), host, &format!("cookie: {}\r\n", pass(ALICE))).await;
            assert_eq!((said.status, word(&said).as_str()), (404, "no_such_page"), "{host}{path}");
        }
    }
    assert_eq!(app.seen.lock().expect("seen").len(), before);
}

#[tokio::test]
async fn a_wallet_that_may_not_come_in_is_told_which_one_it_is() {
    let app = App::start("app").await;
    let (_door, at) = door(guarded(1, &app, Protocol::Http1, &[ALICE])).await;
    let mut client = Raw::to(at[0]).await;
    let fields = format!("cookie: {}\r\n", pass(BOB));
    let said = ask(&mut client, "GET /a", "notes.test", &fields).await;
    assert_eq!((said.status, word(&said).as_str()), (403, "not_in_audience"));
    let said = ask(&mut client, "GET /a", "notes.test", &format!("{PAGE}{fields}")).await;
    assert!(said.status == 403 && said.body.contains(&BOB.to_string()), "{said:?}");
    assert!(said.body.contains("<a href=\"https://xnode.test/visit?host=notes.test&amp;tls=0&amp;"), "{said:?}");
    // Owners and members are those of the machine.
    for (host, application, wallet, status) in [
        ("owner.test", "owner", ALICE, 200),
        ("owner.test", "owner", BOB, 403),
        ("members.test", "members", BOB, 200),
        ("members.test", "members", Wallet([3; 20]), 403),
    ] {
        let pass = signed(Kind::Pass, wallet, &Place { application, host, tls: false });
        let said = ask(&mut client, "GET /a", host, &format!("cookie: openmesh-door-pass={pass}\r\n")).await;
        assert_eq!(said.status, status, "{wallet} at {host}");
    }
    // A page of another site acts in nobody's name.
    let fields = format!("cookie: {}\r\ncontent-length: 0\r\n", pass(ALICE));
    for (origin, status) in [("https://evil.test", 403), ("null", 403), ("http://notes.test", 200)] {
        let said = ask(&mut client, "POST /a", "notes.test", &format!("{fields}origin: {origin}\r\n")).await;
        assert_eq!(said.status, status, "{origin}");
    }
}

#[tokio::test]
async fn without_a_place_to_sign_in_nobody_comes_in() {
    let app = App::start("app").await;
    let bare = Document { people: None, ..guarded(1, &app, Protocol::Http1, &[ALICE]) };
    let (_door, at) = door(bare).await;
    let mut client = Raw::to(at[0]).await;
    let said = ask(&mut client, "GET /a", "notes.test", &format!("cookie: {}\r\n", pass(ALICE))).await;
    assert_eq!((said.status, word(&said).as_str()), (403, "not_for_everybody"));
}

#[tokio::test]
async fn a_right_that_was_taken_away_ends_what_is_open() {
    let app = App::start("app").await;
    let (door, at) = door(guarded(1, &app, Protocol::Http1, &[ALICE, BOB])).await;
    let upgrade = "connection: upgrade\r\nupgrade: websocket\r\n";
    let open_socket = async |wallet: Wallet| {
        let mut socket = Raw::to(at[0]).await;
        socket
            .send(format!("GET /socket HTTP/1.1\r\nhost: notes.test\r\ncookie: {}\r\n{upgrade}\r\n", pass(wallet)))
            .await;
        assert_eq!(socket.head().await.0, 101);
        socket
    };
    let (mut alices, mut bobs) = (open_socket(ALICE).await, open_socket(BOB).await);
    let mut stream = Raw::to(at[0]).await;
    stream.send(format!("GET /stream HTTP/1.1\r\nhost: notes.test\r\ncookie: {}\r\n\r\n", pass(BOB))).await;
    assert_eq!(stream.head().await.0, 200);
    assert_eq!(stream.chunk().await.as_deref(), Some(&b"first "[..]));
    let mut waits = Raw::to(at[0]).await;
    within("the part", app.there.notified()).await;
    waits.send(format!("GET /wait HTTP/1.1\r\nhost: notes.test\r\ncookie: {}\r\n\r\n", pass(BOB))).await;
    within("the request", app.there.notified()).await;
    let report = taken(&door, guarded(2, &app, Protocol::Http1, &[ALICE])).await;
    assert_eq!(bobs.rest().await, b"", "the WebSocket is cut");
    assert_eq!((stream.chunk().await, stream.rest().await), (None, Vec::new()), "the body breaks off");
    let said = waits.said().await;
    assert_eq!((said.status, word(&said).as_str()), (401, "visit_over"));
    assert_eq!(report.routes["notes"].instances["one.0"].counts.cut, 0, "no switch has cut anything");
    let mut client = Raw::to(at[0]).await;
    assert_eq!(ask(&mut client, "GET /a", "notes.test", &format!("cookie: {}\r\n", pass(BOB))).await.status, 403);
    // Whoever may still come in notices nothing.
    let frame = b"\x82\x85\0\0\0\0hello";
    alices.send(frame).await;
    assert_eq!(alices.bytes(frame.len()).await, frame);
    // An application that is for everybody from now on cuts nobody, and one whose key is another cuts all.
    let mut everybody = guarded(3, &app, Protocol::Http1, &[ALICE]);
    everybody.hosts.get_mut("notes.test").expect("a host").access = Access::Everybody;
    taken(&door, everybody).await;
    alices.send(frame).await;
    assert_eq!(alices.bytes(frame.len()).await, frame);
    let mut rekeyed = guarded(4, &app, Protocol::Http1, &[ALICE]);
    rekeyed.hosts.get_mut("notes.test").expect("a host").gate.as_mut().expect("a gate").key = key();
    taken(&door, rekeyed).await;
    assert_eq!(alices.rest().await, b"");
}

#[tokio::test]
async fn a_request_that_waits_is_not_given_to_the_application_once_its_right_has_gone() {
    let app = App::start("app").await;
    let held = |serial: u64, wallets: &[Wallet]| {
        let mut document = guarded(serial, &app, Protocol::Http1, wallets);
        let drains = instance("one.0", app.address, Traffic::Drain, 30_000);
        document.routes.insert("notes".into(), route(Protocol::Http1, Admission::Hold, &[drains]));
        document
    };
    let (door, at) = door(held(1, &[ALICE, BOB])).await;
    let mut client = Raw::to(at[0]).await;
    client.send(format!("GET /a HTTP/1.1\r\nhost: notes.test\r\ncookie: {}\r\n\r\n", pass(BOB))).await;
    let mut news = door.news();
    while door.report().routes["notes"].waiting == 0 {
        let _ = tokio::time::timeout(std::time::Duration::from_millis(5), news.changed()).await;
    }
    taken(&door, held(2, &[ALICE])).await;
    taken(&door, guarded(3, &app, Protocol::Http1, &[ALICE])).await;
    let said = client.said().await;
    assert_eq!((said.status, word(&said).as_str(), app.count("GET /a")), (401, "visit_over", 0));
}

#[tokio::test]
async fn http2_and_grpc_have_the_same_way_in() {
    let app = App::start("app").await;
    let (door, at) = door(guarded(1, &app, Protocol::H2c, &[ALICE])).await;
    let (mut client, _connection) = http2(at[0]).await;
    let grpc = |cookie: Option<String>| {
        let request = Request::post("http://notes.test/grpc").header("content-type", "application/grpc");
        let request = cookie.into_iter().fold(request, |request, cookie| request.header("cookie", cookie));
        request.header("accept", "text/html").body(whole(Bytes::new())).expect("a request")
    };
    let answer = call(&mut client, grpc(None)).await;
    assert_eq!((answer.status().as_u16(), &answer.headers()["grpc-status"]), (200, &"16".parse().expect("a value")));
    assert_eq!(answer.headers()["content-type"], "application/grpc");
    let answer = call(&mut client, grpc(Some(pass(BOB)))).await;
    assert_eq!(answer.headers()["grpc-status"], "7");
    // Cookies in several fields, as HTTP/2 may have them.
    let echo = Request::get("http://notes.test/echo").header("cookie", "a=1").header("cookie", pass(ALICE));
    let answer = call(&mut client, echo.header("cookie", "b=2").body(whole(Bytes::new())).expect("a request")).await;
    let text = String::from_utf8_lossy(&collected(answer).await.to_bytes()).into_owned();
    assert!(
        text.contains("cookie: a=1\ncookie: b=2\n") && text.contains(&format!("x-forwarded-user: {ALICE}")),
        "{text}"
    );
    assert!(!text.contains("openmesh-door"), "{text}");
    let open = call(&mut client, grpc(Some(pass(ALICE)))).await;
    assert_eq!(open.status(), 200);
    within("the call", app.there.notified()).await;
    taken(&door, guarded(2, &app, Protocol::H2c, &[])).await;
    let ended = collected(open).await;
    assert_eq!(ended.trailers().expect("trailers")["grpc-status"], "16", "the stream ends with its reason");
    let page = Request::get("http://notes.test/").header("sec-fetch-mode", "navigate");
    let answer = call(&mut client, page.body(whole(Bytes::new())).expect("a request")).await;
    assert_eq!(answer.status(), 303);
}

#[tokio::test]
async fn with_tls_the_cookie_is_secure_and_of_this_host_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::open(folder.path(), "audiences", SystemTime::now(), &free()).expect("an authority");
    let app = App::start("app").await;
    let mut document = guarded(1, &app, Protocol::Http1, &[ALICE]);
    let notes = document.hosts.remove("notes.test").expect("a host");
    document.hosts.insert("notes.lan".into(), Host { secure: true, ..notes });
    document.certificates = vec![keep(folder.path(), "one", &authority, &["notes.lan"])];
    document.listeners.push(Listener { address: "127.0.0.1:0".parse().expect("an address"), tls: true, route: None });
    let (_door, at) = door(document).await;
    let place = Place { host: "notes.lan", tls: true, ..HERE };
    let mut stream = greet(at[1], authority.root(), "notes.lan", "http/1.1").await.expect("TLS");
    let mut ask = async |path: &str, cookie: &str| {
        let text = format!("GET {path} HTTP/1.1\r\nhost: notes.lan\r\n{PAGE}cookie: {cookie}\r\n\r\n");
        stream.write_all(text.as_bytes()).await.expect("sent");
        let (mut got, mut part) = (Vec::new(), [0; 4_096]);
        while !got.ends_with(b"</html>\n") && !got.ends_with(b"trailers\n") {
            let count = within("an answer", stream.read(&mut part)).await.expect("an answer");
            assert!(count > 0, "{}", String::from_utf8_lossy(&got));
            got.extend_from_slice(&part[..count]);
        }
        String::from_utf8_lossy(&got).into_owned()
    };
    let said = ask("/a", "").await;
    assert!(said.starts_with("HTTP/1.1 303") && said.contains("&tls=1&"), "{said}");
    assert!(said.contains("set-cookie: __Host-openmesh-door-visit=") && said.contains("Max-Age=900; Secure"), "{said}");
    let said = ask(&enter(&signed(Kind::Code, ALICE, &place), "/echo"), &format!("__Host-{}", visit())).await;
    assert!(said.starts_with("HTTP/1.1 303") && said.contains("set-cookie: __Host-openmesh-door-pass="), "{said}");
    assert!(said.contains("Max-Age=43200; Secure"), "{said}");
    let pass = format!("openmesh-door-pass={}", signed(Kind::Pass, ALICE, &place));
    assert!(
        ask("/echo", &pass).await.starts_with("HTTP/1.1 303"),
        "whoever can set cookies without TLS lets nobody in"
    );
    assert!(ask("/echo", &format!("__Host-{pass}")).await.starts_with("HTTP/1.1 200"));
    // Without TLS there is no way in at all.
    let mut client = Raw::to(at[0]).await;
    assert_eq!(ask_plain(&mut client, "/echo").await, 308);
}

async fn ask_plain(client: &mut Raw, path: &str) -> u16 {
    ask(client, &format!("GET {path}"), "notes.lan", PAGE).await.status
}
