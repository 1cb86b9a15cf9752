//! Every route of the API has a rule, and every rule a route; spellings of paths and methods, hosts and tokens of requests, bodies that end with a right.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use axum::body::Body;
use axum::routing::{any, get, put};
use futures::stream;
use openmesh_access::{KeyWish, RULES, Role};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// Routes in a source file: path as the table of rights writes it, and the methods in capitals; `ANY` for all of them.
fn routes(text: &str) -> Vec<(String, Vec<String>)> {
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    code.match_indices(".route(").map(|(at, found)| route(&code[at + found.len()..])).collect()
}

fn route(rest: &str) -> (String, Vec<String>) {
    let mut depth = 1;
    let is_end = |char: char| {
        depth += match char {
            '(' => 1,
            ')' => -1,
            _ => 0,
        };
        depth == 0
    };
    let text = &rest[..rest.find(is_end).expect("a route that ends")];
    let path = text.trim_start().strip_prefix('"').and_then(|rest| rest.split_once('"'));
    let (path, handlers) = path.expect("the path of a route is written as it is");
    let parts = path.split('/').map(|part| if part.starts_with('{') { "{}" } else { part });
    let methods = handlers.match_indices('(').filter_map(|(at, _)| {
        let word = handlers[..at].rsplit(|char: char| !char.is_ascii_alphanumeric() && char != '_').next()?;
        Some(word.to_uppercase()).filter(|word| !word.is_empty())
    });
    (parts.collect::<Vec<_>>().join("/"), methods.collect())
}

#[test]
fn every_endpoint_has_a_rule_and_every_rule_an_endpoint() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/api");
    let (mut endpoints, mut open) = (BTreeSet::new(), BTreeSet::new());
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        for way in [".nest(", ".route_service(", ".fallback("] {
            assert!(!text.contains(way), "{} adds endpoints by {way}), which this test does not see", path.display());
        }
        for (route, methods) in routes(&text) {
            assert!(!methods.is_empty(), "{route} has no method that this test can read");
            for method in methods {
                match method.as_str() {
                    "ANY" => {
                        open.insert(route.clone());
                    }
                    "GET" | "POST" | "PUT" | "PATCH" | "DELETE" => {
                        endpoints.insert((method, route.clone()));
                    }
                    other => panic!("{route} is routed by {other}, which this test cannot read"),
                }
            }
        }
    }
    assert!(endpoints.len() > 30, "{endpoints:?}");
    let rules: BTreeSet<(String, String)> =
        RULES.iter().map(|rule| (rule.method.to_string(), rule.path.to_string())).collect();
    let missing: Vec<_> = endpoints.difference(&rules).collect();
    assert!(missing.is_empty(), "endpoints without a rule in crates/access/src/rules.rs: {missing:?}");
    let idle: Vec<_> = rules.difference(&endpoints).filter(|(_, path)| !open.contains(path)).collect();
    assert!(idle.is_empty(), "rules without an endpoint: {idle:?}");
    assert!(open.iter().all(|path| rules.iter().any(|(_, ruled)| ruled == path)), "{open:?}");
}

#[test]
fn the_reader_of_routes_reads_them() {
    let text = "a.route(\"/v1/x\", get(one).post(two))\n.route(\n \"/v1/{a}/y/{b_c}\",\n axum::routing::put(three).delete(f::g),\n)\n.route(\"/z\", any(h))\n#[cfg(test)] .route(\"/t\", get(t))";
    let words = |words: &[&str]| words.iter().map(|word| word.to_string()).collect::<Vec<_>>();
    assert_eq!(
        routes(text),
        [
            ("/v1/x".to_string(), words(&["GET", "POST"])),
            ("/v1/{}/y/{}".to_string(), words(&["PUT", "DELETE"])),
            ("/z".to_string(), words(&["ANY"])),
        ]
    );
}

fn parts(uri: &str, headers: &[(&str, &str)]) -> Parts {
    let mut builder = axum::http::Request::builder().uri(uri);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    builder.body(()).unwrap().into_parts().0
}

#[test]
fn a_request_names_one_host() {
    for (uri, headers, expected) in [
        ("/", &[("host", "localhost:1")][..], Some("localhost:1")),
        ("http://localhost:1/", &[][..], Some("localhost:1")),
        ("http://localhost:1/", &[("host", "LOCALHOST:1")][..], Some("LOCALHOST:1")),
        ("http://evil.example/", &[("host", "localhost:1")][..], None),
        ("http://localhost:1/", &[("host", "evil.example")][..], None),
        ("/", &[("host", "localhost:1"), ("host", "evil.example")][..], None),
        ("/", &[("host", "localhost:1"), ("host", "localhost:1")][..], None),
        ("/", &[][..], None),
    ] {
        assert_eq!(host(&parts(uri, headers)).as_deref(), expected, "{uri} {headers:?}");
    }
}

#[test]
fn a_token_comes_on_one_way() {
    let cookie = format!("a=b; {COOKIE}=oms_c; c=d");
    let of = |headers: &[(&str, &str)], kind: Kind, expected: Given<'_>| {
        assert_eq!(given(&parts("/", headers).headers, kind), expected, "{headers:?}");
    };
    of(&[("authorization", "Bearer oms_a")], Kind::Loopback, Given::Bearer("oms_a"));
    of(&[("authorization", "bearer  oms_a")], Kind::Loopback, Given::Bearer("oms_a"));
    // Another scheme hides no cookie behind it.
    of(&[("authorization", "Basic b21z"), ("cookie", &cookie)], Kind::Named, Given::Bearer(""));
    of(&[("cookie", &cookie)], Kind::Named, Given::Cookie("oms_c"));
    // Cookies of loopback come from every port of the machine.
    of(&[("cookie", &cookie)], Kind::Loopback, Given::Nothing);
    of(&[("cookie", "openmesh-xnode=oms_c")], Kind::Named, Given::Nothing);
    of(&[("sec-websocket-protocol", "openmesh.v1, openmesh.bearer.oms_w")], Kind::Loopback, Given::Bearer("oms_w"));
    of(&[], Kind::Named, Given::Nothing);
}

#[test]
fn the_place_is_what_the_door_names_on_this_machine_alone() {
    let with = |peer: &str, headers: &[(&str, &str)]| {
        let mut parts = parts("/", headers);
        parts.extensions.insert(ConnectInfo(peer.parse::<SocketAddr>().unwrap()));
        place(&parts)
    };
    assert_eq!(with("127.0.0.1:5", &[]), "127.0.0.1:5");
    assert_eq!(with("127.0.0.1:5", &[("x-forwarded-for", "203.0.113.9")]), "203.0.113.9 through 127.0.0.1:5");
    assert_eq!(with("192.0.2.1:5", &[("x-forwarded-for", "203.0.113.9")]), "192.0.2.1:5");
    assert_eq!(with("127.0.0.1:5", &[("x-forwarded-for", "<script>")]), "127.0.0.1:5");
}

#[test]
fn the_source_is_a_network_that_one_asker_has() {
    let with = |peer: &str, named: Option<&str>| {
        let named = named.map(|named| ("x-forwarded-for", named));
        let mut parts = parts("/", named.as_slice());
        parts.extensions.insert(ConnectInfo(peer.parse::<SocketAddr>().unwrap()));
        source(&parts)
    };
    assert_eq!(with("127.0.0.1:5", None), "127.0.0.1");
    assert_eq!(with("127.0.0.1:5", Some("203.0.113.9")), "203.0.113.9");
    assert_eq!(with("127.0.0.1:5", Some("::ffff:203.0.113.9")), "203.0.113.9", "one address, however it is written");
    assert_eq!(with("127.0.0.1:5", Some("2001:db8:1:2:3:4:5:6")), "2001:db8:1:2::/64");
    assert_eq!(with("127.0.0.1:5", Some("2001:db8:1:2:ffff::1")), "2001:db8:1:2::/64");
    assert_eq!(with("[2001:db8:1:3::1]:5", Some("203.0.113.9")), "2001:db8:1:3::/64", "nobody names another one");
}

/// A gate of its own, and the key of a viewer.
fn gate(folder: &Path) -> (Arc<Gate>, openmesh_access::views::MadeKey) {
    let usual = Settings::usual("test".parse().unwrap()).unwrap();
    let gate = Arc::new(Gate::open(&Settings { state: folder.into(), ..usual }).unwrap());
    let wish = KeyWish { name: "viewer".into(), role: Role::Viewer, lasts_ms: None, only: None };
    let made = gate.access().make_key(&Principal::root(), &wish, &tick()).unwrap();
    (gate, made)
}

/// Status of the answer to a request as it is written here.
async fn status(address: SocketAddr, line: &str, token: &str) -> u16 {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "{line} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let text = String::from_utf8_lossy(&answer);
    text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{line}: {text}"))
}

/// However a path or method is written, what would answer is what is judged.
#[tokio::test]
async fn a_request_is_judged_by_what_answers_it() {
    let folder = tempfile::tempdir().unwrap();
    let (gate, made) = gate(folder.path());
    let reached = || async { "reached" };
    let router = Router::new()
        .route("/v1/xnode/applications/{name}", get(reached).delete(reached))
        .route("/v1/xnode/applications/{name}/terminal", any(reached))
        .route("/v1/xnode/secrets", get(reached))
        .route("/v1/xnode/access/members/{wallet}", put(reached))
        .route("/v1/xnode/without-a-rule", any(reached));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = for_people(router, &gate).into_make_service_with_connect_info::<SocketAddr>();
    let server = tokio::spawn(async move { axum::serve(listener, service).await });
    for (line, expected) in [
        ("GET /v1/xnode/applications/web", 200),
        ("HEAD /v1/xnode/applications/web", 200),
        ("GET /v1/xnode/applications/..%2fsecrets", 200),
        ("OPTIONS /v1/xnode/applications/web", 403),
        ("BREW /v1/xnode/applications/web", 403),
        ("DELETE /v1/xnode/applications/web", 403),
        ("DELETE /v1/xnode/applications/%2e%2e", 403),
        ("delete /v1/xnode/applications/web", 403),
        ("GET /v1/xnode/applications/web/terminal", 403),
        ("HEAD /v1/xnode/applications/a%2fb/terminal", 403),
        ("POST /v1/xnode/applications/web/terminal", 403),
        ("PUT /v1/xnode/access/members/%30x00", 403),
        ("GET /v1/xnode/secrets", 403),
        ("GET /v1/xnode/secrets?a=/v1/xnode/schema", 403),
        ("GET /v1/xnode/without-a-rule", 403),
        ("GET /v1/xnode/secrets/", 404),
        ("GET /v1/xnode/Secrets", 404),
        ("GET /v1/xnode/%73ecrets", 404),
        ("GET /v1/xnode//secrets", 404),
        ("GET /v1/xnode/applications/", 404),
        ("GET /v1/xnode/applications/../secrets", 404),
        ("GET //v1/xnode/secrets", 404),
        ("GET /V1/xnode/secrets", 404),
        ("DELETE /V1/xnode/applications/web", 405),
        ("OPTIONS *", 405),
    ] {
        assert_eq!(status(address, line, &made.key).await, expected, "{line}");
    }
    let absolute = format!("GET http://{address}/v1/xnode/secrets");
    assert_eq!(status(address, &absolute, &made.key).await, 403);
    assert_eq!(status(address, "GET http://evil.example/v1/xnode/secrets", &made.key).await, 400);
    assert_eq!(status(address, "GET /v1/xnode/applications/web", "").await, 401);
    server.abort();
}

/// A newer agent lets people change nothing until the one before is gone for good, which could not read what is of a later form.
#[tokio::test]
async fn nothing_is_changed_before_the_place_is_this_agents() {
    let folder = tempfile::tempdir().unwrap();
    let (gate, made) = gate(folder.path());
    let wish = KeyWish { name: "admin".into(), role: Role::Admin, lasts_ms: None, only: None };
    let admin = gate.access().make_key(&Principal::root(), &wish, &tick()).unwrap();
    let reached = || async { "reached" };
    let router = Router::new().route("/v1/xnode/applications/{name}", get(reached).delete(reached));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = for_people(router, &gate).into_make_service_with_connect_info::<SocketAddr>();
    let server = tokio::spawn(async move { axum::serve(listener, service).await });
    let (look, change) = ("GET /v1/xnode/applications/web", "DELETE /v1/xnode/applications/web");
    gate.wait(true);
    assert_eq!((status(address, look, &made.key).await, status(address, change, &admin.key).await), (200, 503));
    assert_eq!(status(address, change, &made.key).await, 403, "who may not hears that");
    gate.wait(false);
    assert_eq!(status(address, change, &admin.key).await, 200);
    server.abort();
}

#[tokio::test]
async fn what_nobody_reads_ends_with_its_key_too() {
    let folder = tempfile::tempdir().unwrap();
    let (gate, made) = gate(folder.path());
    let principal = gate.access().enter(&made.key, "here", &tick()).unwrap();
    let (gives, dropped) = tokio::sync::oneshot::channel::<()>();
    let endless = stream::unfold(gives, |gives| async move { Some((Ok::<_, io::Error>("line"), gives)) });
    let body = until_ended(Body::from_stream(endless), &principal);
    gate.access().end_key(&Principal::root(), &made.entry.id, &tick()).unwrap();
    assert!(dropped.await.is_err(), "what gives the body is gone, though nobody has read it");
    assert!(axum::body::to_bytes(body, usize::MAX).await.is_err(), "it breaks off");
}

#[tokio::test]
async fn a_body_that_is_whole_stays_whole() {
    let folder = tempfile::tempdir().unwrap();
    let (gate, made) = gate(folder.path());
    let principal = gate.access().enter(&made.key, "here", &tick()).unwrap();
    let parts = stream::iter(["one ", "two ", "three"].map(Ok::<_, io::Error>));
    let body = until_ended(Body::from_stream(parts), &principal);
    assert_eq!(axum::body::to_bytes(body, usize::MAX).await.unwrap(), "one two three");
    let failing = stream::iter([Ok("one"), Err(io::Error::other("no more"))]);
    let body = until_ended(Body::from_stream(failing), &principal);
    assert!(axum::body::to_bytes(body, usize::MAX).await.is_err());
}
