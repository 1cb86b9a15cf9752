//! Applications that are not for everybody: the way in, and what passes with a pass.

use std::io;
use std::net::SocketAddr;
use std::time::SystemTime;

use bytes::Bytes;
use hyper::Request;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use openmesh_door::authority::Authority;
use openmesh_door::body::{Payload, whole};
use openmesh_door::document::{Access, Certificate, Document, Gate, Host, Listener, People, Protocol, Route, VERSION};
use openmesh_door::effects::free;
use openmesh_door::limits::{CODE_MS, PASS_MS};
use openmesh_door::pass::{Key, Kind, Moment, Pass, Place, VISIT_BYTES, Wallet};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::stage::{App, Raw, Said, call, collected, document, door, open, within};
use crate::tls::{greet, keep};

pub const ALICE: Wallet = Wallet([0xa1; 20]);
pub const BOB: Wallet = Wallet([0xb0; 20]);
const HERE: Place<'_> = Place { application: "notes", host: "notes.lan", tls: true };
const VISIT: [u8; VISIT_BYTES] = [7; VISIT_BYTES];
/// Hosts of the documents here.
const NAMES: [&str; 4] = ["notes.lan", "owner.lan", "members.lan", "open.lan"];

pub fn key() -> Key {
    Key::try_from("5c".repeat(32)).expect("a key")
}

/// A connection with TLS.
pub type Secure = Raw<TlsStream<TcpStream>>;

/// Names of the house, with the authority by which they have TLS.
pub struct House {
    pub folder: TempDir,
    authority: Authority,
    certificate: Certificate,
}

impl House {
    pub fn new() -> House {
        let folder = tempfile::tempdir().expect("a folder");
        let authority = Authority::open(folder.path(), "audiences", SystemTime::now(), &free()).expect("an authority");
        let certificate = keep(folder.path(), "all", &authority, &NAMES);
        House { folder, authority, certificate }
    }

    /// A document whose application `notes` is for some wallets, beside `open`, which is for everybody. Its first listener has TLS, its second one none.
    pub fn guarded(&self, serial: u64, app: &App, protocol: Protocol, wallets: &[Wallet]) -> Document {
        self.with_route(serial, wallets, open(app, protocol))
    }

    /// The same with another route to the applications.
    pub fn with_route(&self, serial: u64, wallets: &[Wallet], route: Route) -> Document {
        let mut document = document(serial, &[("notes", route.clone()), ("open", route)]);
        document.version = VERSION;
        let plain = document.listeners[0].clone();
        document.listeners.insert(0, Listener { tls: true, ..plain });
        document.certificates = vec![self.certificate.clone()];
        let (owners, members) = (texts(&[ALICE]), texts(&[ALICE, BOB]));
        document.people = Some(People { sign_in: "https://xnode.lan".into(), owners, members });
        document.hosts.clear();
        let mut guard = |host: &str, application: &str, access: Access| {
            let gate = Some(Gate { application: application.into(), key: key().of(application) });
            document.hosts.insert(host.into(), Host { route: "notes".into(), access, secure: false, gate });
        };
        guard("notes.lan", "notes", Access::Wallets(texts(wallets)));
        guard("owner.lan", "owner", Access::Owner);
        guard("members.lan", "members", Access::Members);
        let everybody = Host { route: "open".into(), access: Access::Everybody, secure: false, gate: None };
        document.hosts.insert("open.lan".into(), everybody);
        document
    }

    /// A connection to a host.
    pub async fn to(&self, at: &[SocketAddr], host: &str) -> Secure {
        Raw::over(greet(at[0], self.authority.root(), host, "http/1.1").await.expect("TLS"))
    }

    /// A WebSocket to a host.
    pub async fn socket(&self, at: &[SocketAddr], host: &str, fields: &str) -> Secure {
        let mut socket = self.to(at, host).await;
        let upgrade = "connection: upgrade\r\nupgrade: websocket\r\n";
        socket.send(format!("GET /socket HTTP/1.1\r\nhost: {host}\r\n{fields}{upgrade}\r\n")).await;
        assert_eq!(socket.head().await.0, 101);
        socket
    }

    /// A client of HTTP/2 of a host.
    pub async fn http2(&self, at: &[SocketAddr], host: &str) -> SendRequest<Payload> {
        let stream = greet(at[0], self.authority.root(), host, "h2").await.expect("TLS");
        let made = handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (sender, connection) = within("a greeting of HTTP/2", made).await.expect("HTTP/2");
        tokio::spawn(connection);
        sender
    }
}

pub fn texts(wallets: &[Wallet]) -> Vec<String> {
    wallets.iter().map(ToString::to_string).collect()
}

fn signed(kind: Kind, wallet: Wallet, place: &Place<'_>) -> String {
    let lasts_ms = if kind == Kind::Code { CODE_MS } else { PASS_MS };
    let pass = Pass { kind, wallet, made: Moment::now(), lasts_ms, visit: VISIT };
    pass.sign(&key().of(place.application), place)
}

/// A cookie with a pass of a wallet.
pub fn pass(wallet: Wallet) -> String {
    format!("__Host-openmesh-door-pass={}", signed(Kind::Pass, wallet, &HERE))
}

/// The cookie that a browser has after it was sent to sign in.
fn visit() -> String {
    format!("__Host-openmesh-door-visit={}", hex(&VISIT))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn enter(code: &str, to: &str) -> String {
    format!("/.openmesh-door/enter?code={code}&to={}", hex(to.as_bytes()))
}

pub async fn ask<S>(client: &mut Raw<S>, line: &str, host: &str, fields: &str) -> Said
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    client.send(format!("{line} HTTP/1.1\r\nhost: {host}\r\n{fields}\r\n")).await;
    client.said().await
}

fn field(said: &Said, name: &str) -> Vec<String> {
    let lines = said.head.lines().filter_map(|line| line.split_once(": "));
    lines.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_string()).collect()
}

/// Stable word of an answer for programs.
pub fn word(said: &Said) -> String {
    let code = said.body.split("\"code\":\"").nth(1).and_then(|rest| rest.split('"').next());
    code.unwrap_or_default().to_string()
}

const PAGE: &str = "accept: text/html\r\n";

#[tokio::test]
async fn a_browser_is_sent_to_sign_in_and_everything_else_is_told_so() {
    let (house, app) = (House::new(), App::start("app").await);
    let (_door, at) = door(house.guarded(1, &app, Protocol::Http1, &[ALICE])).await;
    let mut client = house.to(&at, "notes.lan").await;
    let said = ask(&mut client, "GET /a/b?c=d", "notes.lan", PAGE).await;
    let (to, cookies) = (field(&said, "location"), field(&said, "set-cookie"));
    let number = cookies[0].strip_prefix("__Host-openmesh-door-visit=").and_then(|rest| rest.split(';').next());
    let number = number.expect("a number");
    assert_eq!((said.status, number.len(), field(&said, "cache-control")), (303, 32, vec!["no-store".to_string()]));
    assert!(cookies[0].ends_with("; Path=/; HttpOnly; SameSite=Lax; Max-Age=900; Secure"), "{cookies:?}");
    let expected = format!("https://xnode.lan/visit?host=notes.lan&tls=1&visit={number}&to={}", hex(b"/a/b?c=d"));
    assert_eq!(to, std::slice::from_ref(&expected));
    // A second page of the same browser shares its visit.
    let fields = format!("{PAGE}cookie: __Host-openmesh-door-visit={number}\r\n");
    let again = ask(&mut client, "GET /a/b?c=d", "notes.lan", &fields).await;
    assert_eq!((field(&again, "location"), field(&again, "set-cookie")), (vec![expected], Vec::new()));
    for (line, fields) in [
        ("POST /a", "accept: text/html\r\ncontent-length: 0\r\n"),
        ("GET /a", "accept: text/html\r\nsec-fetch-mode: cors\r\n"),
        ("GET /a", "accept: */*\r\n"),
        ("OPTIONS /a", "origin: https://evil.lan\r\n"),
        ("GET /socket", "accept: text/html\r\nconnection: upgrade\r\nupgrade: websocket\r\n"),
    ] {
        let mut client = house.to(&at, "notes.lan").await;
        let said = ask(&mut client, line, "notes.lan", fields).await;
        assert_eq!((said.status, word(&said).as_str()), (401, "not_signed_in"), "{line} {fields}: {said:?}");
        assert_eq!(field(&said, "content-type"), ["application/json"], "{line} {fields}");
        assert_eq!(field(&said, "www-authenticate"), ["Openmesh-Wallet"]);
    }
    assert!(app.seen.lock().expect("seen").is_empty(), "nothing was passed on");
    // Everybody may come in there, as before.
    assert_eq!(ask(&mut house.to(&at, "open.lan").await, "GET /", "open.lan", "").await.status, 200);
}

#[tokio::test]
async fn a_code_becomes_a_pass_once() {
    let (house, app) = (House::new(), App::start("app").await);
    let (_door, at) = door(house.guarded(1, &app, Protocol::Http1, &[ALICE])).await;
    let mut client = house.to(&at, "notes.lan").await;
    let code = signed(Kind::Code, ALICE, &HERE);
    let with_visit = format!("cookie: {}\r\n", visit());
    let other = ask(&mut client, &format!("GET {}", enter(&code, "/a")), "notes.lan", "").await;
    assert_eq!((other.status, word(&other).as_str()), (403, "other_browser"), "a code is its browser's");
    let said = ask(&mut client, &format!("GET {}", enter(&code, "/echo?a=b")), "notes.lan", &with_visit).await;
    assert_eq!((said.status, field(&said, "location")), (303, vec!["/echo?a=b".to_string()]), "{said:?}");
    let cookies = field(&said, "set-cookie");
    let pass = cookies[0].split(';').next().expect("a cookie").to_string();
    assert!(cookies[0].ends_with("; Path=/; HttpOnly; SameSite=Lax; Max-Age=43200; Secure"), "{cookies:?}");
    assert!(cookies[1].starts_with("__Host-openmesh-door-visit=; ") && cookies[1].contains("Max-Age=0"), "{cookies:?}");
    let replayed = ask(&mut client, &format!("GET {}", enter(&code, "/a")), "notes.lan", &with_visit).await;
    assert_eq!((replayed.status, word(&replayed).as_str()), (403, "code_used"));
    // A page that is loaded again in the browser that is in goes on.
    let fields = format!("cookie: {}; {pass}\r\n", visit());
    let reloaded = ask(&mut client, &format!("GET {}", enter(&code, "/a")), "notes.lan", &fields).await;
    assert_eq!((reloaded.status, field(&reloaded, "location")), (303, vec!["/a".to_string()]));
    // The application hears of the wallet from the door alone, and of the door's cookies nothing.
    let fields = format!(
        "cookie: a=1; {pass}; b=2\r\ncookie: __HOST-openmesh-DOOR-visit=9\r\nx-forwarded-user: root\r\nx_forwarded_user: root\r\nx.forwarded.user: root\r\nremote-user: root\r\n"
    );
    let said = ask(&mut client, "GET /echo", "notes.lan", &fields).await;
    assert_eq!(said.status, 200, "{said:?}");
    assert!(said.body.contains("cookie: a=1; b=2\n") && !said.body.contains("openmesh"), "{}", said.body);
    assert_eq!(said.body.matches("user").count(), 1, "{}", said.body);
    assert!(said.body.contains(&format!("x-forwarded-user: {ALICE}")), "{}", said.body);
    // Where everybody may come in nobody is named, and the cookies end at the door all the same.
    let said = ask(&mut house.to(&at, "open.lan").await, "GET /echo", "open.lan", &fields).await;
    assert!(said.status == 200 && !said.body.contains("user") && !said.body.contains("openmesh"), "{}", said.body);
    let left = ask(&mut client, "GET /.openmesh-door/leave", "notes.lan", &format!("cookie: {pass}\r\n")).await;
    assert!(left.status == 200 && field(&left, "set-cookie")[0].contains("openmesh-door-pass=; "), "{left:?}");
}

/// The answer to a code, by the browser that has asked for it.
async fn bring(house: &House, at: &[SocketAddr], code: &str) -> Said {
    let mut client = house.to(at, "notes.lan").await;
    let line = format!("GET {}", enter(code, "/a"));
    ask(&mut client, &line, "notes.lan", &format!("cookie: {}\r\n", visit())).await
}

#[tokio::test]
async fn a_code_is_good_at_one_of_two_doors() {
    let (house, app) = (House::new(), App::start("app").await);
    let (leaves, at) = door(house.guarded(1, &app, Protocol::Http1, &[ALICE])).await;
    let code = signed(Kind::Code, ALICE, &HERE);
    // A successor could take it as well, so that nobody takes it until it is known which of both serves.
    let handed = leaves.hand_over(|_, _| async {
        let said = bring(&house, &at, &code).await;
        assert_eq!((said.status, word(&said).as_str()), (403, "replaced"));
        Err(io::Error::other("the successor does not get there"))
    });
    within("the end of the successor", handed).await.expect_err("the door serves on");
    assert_eq!(bring(&house, &at, &code).await.status, 303);
    let said = bring(&house, &at, &code).await;
    assert_eq!((said.status, word(&said).as_str()), (403, "code_used"));
}

#[tokio::test]
async fn whatever_was_not_given_for_this_place_now_lets_nobody_in() {
    let (house, app) = (House::new(), App::start("app").await);
    let (_door, at) = door(house.guarded(1, &app, Protocol::Http1, &[ALICE])).await;
    let mut client = house.to(&at, "notes.lan").await;
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
        (of(Place { host: "owner.lan", ..HERE }), "forged"),
        (of(Place { tls: false, ..HERE }), "forged"),
        (signed(Kind::Code, ALICE, &HERE), "forged"),
        ("0".repeat(202), "forged"),
        (String::new(), "forged"),
    ] {
        let fields = format!("cookie: __Host-openmesh-door-pass={value}\r\n");
        let said = ask(&mut client, "GET /a", "notes.lan", &fields).await;
        assert_eq!((said.status, word(&said).as_str()), (401, code), "{value}");
        let said = ask(&mut client, "GET /a", "notes.lan", &format!("{PAGE}{fields}")).await;
        assert_eq!(said.status, 303, "a browser signs in again");
    }
    // A cookie that another host of the domain has set beside it takes nothing away.
    let fields = format!("cookie: __Host-openmesh-door-pass=0; {}\r\n", pass(ALICE));
    assert_eq!(ask(&mut client, "GET /a", "notes.lan", &fields).await.status, 200);
    // Whoever can set cookies without TLS lets nobody in.
    let without = format!("cookie: {}\r\n", pass(ALICE).trim_start_matches("__Host-"));
    assert_eq!(ask(&mut client, "GET /a", "notes.lan", &without).await.status, 401);
    for code in [signed(Kind::Pass, ALICE, &HERE), signed(Kind::Code, ALICE, &Place { host: "owner.lan", ..HERE })] {
        let said =
            ask(&mut client, &format!("GET {}", enter(&code, "/a")), "notes.lan", &format!("cookie: {}\r\n", visit()))
                .await;
        assert_eq!((said.status, word(&said).as_str()), (403, "forged"));
    }
    // No way back leads to another host.
    for (number, to) in ["//evil.lan", "https://evil.lan/", "/\\evil.lan"].into_iter().enumerate() {
        let code = Pass { kind: Kind::Code, wallet: ALICE, made: Moment::now(), lasts_ms: CODE_MS, visit: VISIT };
        // Codes that differ, since each is good once.
        let code = Pass { lasts_ms: CODE_MS - number as u64, ..code }.sign(&key().of("notes"), &HERE);
        let said =
            ask(&mut client, &format!("GET {}", enter(&code, to)), "notes.lan", &format!("cookie: {}\r\n", visit()))
                .await;
        assert_eq!((said.status, field(&said, "location")), (303, vec!["/".to_string()]), "{to}");
    }
    // What is the door's own is passed on to nobody, at no host.
    let before = app.seen.lock().expect("seen").len();
    for host in ["notes.lan", "open.lan"] {
        let mut client = house.to(&at, host).await;
        for path in ["/.openmesh-door", "/.openmesh-door/", "/.openmesh-door/other"] {
            let said = ask(&mut client, &format!("GET {path}"), host, &format!("cookie: {}\r\n", pass(ALICE))).await;
            assert_eq!((said.status, word(&said).as_str()), (404, "no_such_page"), "{host}{path}");
        }
    }
    assert_eq!(app.seen.lock().expect("seen").len(), before);
}

#[tokio::test]
async fn a_wallet_that_may_not_come_in_is_told_which_one_it_is() {
    let (house, app) = (House::new(), App::start("app").await);
    let (_door, at) = door(house.guarded(1, &app, Protocol::Http1, &[ALICE])).await;
    let mut client = house.to(&at, "notes.lan").await;
    let fields = format!("cookie: {}\r\n", pass(BOB));
    let said = ask(&mut client, "GET /a", "notes.lan", &fields).await;
    assert_eq!((said.status, word(&said).as_str()), (403, "not_in_audience"));
    let said = ask(&mut client, "GET /a", "notes.lan", &format!("{PAGE}{fields}")).await;
    assert!(said.status == 403 && said.body.contains(&BOB.to_string()), "{said:?}");
    assert!(said.body.contains("<a href=\"https://xnode.lan/visit?host=notes.lan&amp;tls=1&amp;"), "{said:?}");
    // Owners and members are those of the machine.
    for (host, application, wallet, status) in [
        ("owner.lan", "owner", ALICE, 200),
        ("owner.lan", "owner", BOB, 403),
        ("members.lan", "members", BOB, 200),
        ("members.lan", "members", Wallet([3; 20]), 403),
    ] {
        let pass = signed(Kind::Pass, wallet, &Place { application, host, tls: true });
        let fields = format!("cookie: __Host-openmesh-door-pass={pass}\r\n");
        let said = ask(&mut house.to(&at, host).await, "GET /a", host, &fields).await;
        assert_eq!(said.status, status, "{wallet} at {host}");
    }
    // A page of another site acts in nobody's name.
    let fields = format!("cookie: {}\r\ncontent-length: 0\r\n", pass(ALICE));
    let (own, port) = ("https://notes.lan", "https://notes.lan:444");
    for (origin, status) in [("https://evil.lan", 403), ("null", 403), (port, 403), (own, 200)] {
        let said = ask(&mut client, "POST /a", "notes.lan", &format!("{fields}origin: {origin}\r\n")).await;
        assert_eq!(said.status, status, "{origin}");
    }
}

#[tokio::test]
async fn without_a_place_to_sign_in_nobody_comes_in() {
    let (house, app) = (House::new(), App::start("app").await);
    let bare = Document { people: None, ..house.guarded(1, &app, Protocol::Http1, &[ALICE]) };
    let (_door, at) = door(bare).await;
    let mut client = house.to(&at, "notes.lan").await;
    let said = ask(&mut client, "GET /a", "notes.lan", &format!("cookie: {}\r\n", pass(ALICE))).await;
    assert_eq!((said.status, word(&said).as_str()), (403, "not_for_everybody"));
}

#[tokio::test]
async fn without_tls_nobody_comes_in() {
    let (house, app) = (House::new(), App::start("app").await);
    let mut document = house.guarded(1, &app, Protocol::Http1, &[ALICE]);
    document.hosts.get_mut("owner.lan").expect("a host").secure = true;
    let (_door, at) = door(document).await;
    let mut client = Raw::to(at[1]).await;
    // As a door had them that let people in without TLS.
    let plain = signed(Kind::Pass, ALICE, &Place { tls: false, ..HERE });
    let code = signed(Kind::Code, ALICE, &Place { tls: false, ..HERE });
    let takes = format!("GET {}", enter(&code, "/a"));
    for (line, cookie) in [
        ("GET /a", String::new()),
        ("GET /a", pass(ALICE)),
        ("GET /a", format!("openmesh-door-pass={plain}")),
        (takes.as_str(), format!("openmesh-door-visit={}", hex(&VISIT))),
        ("GET /.openmesh-door/leave", pass(ALICE)),
    ] {
        for page in ["", PAGE] {
            let said = ask(&mut client, line, "notes.lan", &format!("{page}cookie: {cookie}\r\n")).await;
            assert_eq!((said.status, field(&said, "set-cookie")), (403, Vec::new()), "{line} {cookie}");
            assert!(said.body.contains("no_tls") && said.body.contains("doors certificate notes.lan"), "{said:?}");
        }
    }
    assert!(app.seen.lock().expect("seen").is_empty(), "nothing was passed on");
    assert_eq!(ask(&mut client, "GET /a", "owner.lan", PAGE).await.status, 308, "it is led to TLS where there is some");
    assert_eq!(ask(&mut client, "GET /a", "open.lan", "").await.status, 200);
}

#[tokio::test]
async fn http2_has_the_same_way_in() {
    let (house, app) = (House::new(), App::start("app").await);
    let (_door, at) = door(house.guarded(1, &app, Protocol::H2c, &[ALICE])).await;
    let mut client = house.http2(&at, "notes.lan").await;
    let grpc = |cookie: Option<String>| {
        let request = Request::post("https://notes.lan/grpc").header("content-type", "application/grpc");
        let request = cookie.into_iter().fold(request, |request, cookie| request.header("cookie", cookie));
        request.header("accept", "text/html").body(whole(Bytes::new())).expect("a request")
    };
    let answer = call(&mut client, grpc(None)).await;
    assert_eq!((answer.status().as_u16(), &answer.headers()["grpc-status"]), (200, &"16".parse().expect("a value")));
    assert_eq!(answer.headers()["content-type"], "application/grpc");
    let answer = call(&mut client, grpc(Some(pass(BOB)))).await;
    assert_eq!(answer.headers()["grpc-status"], "7");
    // Cookies in several fields, as HTTP/2 may have them.
    let echo = Request::get("https://notes.lan/echo").header("cookie", "a=1").header("cookie", pass(ALICE));
    let answer = call(&mut client, echo.header("cookie", "b=2").body(whole(Bytes::new())).expect("a request")).await;
    let text = String::from_utf8_lossy(&collected(answer).await.to_bytes()).into_owned();
    assert!(
        text.contains("cookie: a=1\ncookie: b=2\n") && text.contains(&format!("x-forwarded-user: {ALICE}")),
        "{text}"
    );
    assert!(!text.contains("openmesh-door"), "{text}");
    let page = Request::get("https://notes.lan/").header("sec-fetch-mode", "navigate");
    let answer = call(&mut client, page.body(whole(Bytes::new())).expect("a request")).await;
    assert_eq!(answer.status(), 303);
}
