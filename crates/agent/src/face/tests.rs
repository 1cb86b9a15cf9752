//! Every route of the API has a rule, and every rule a route; hosts and tokens of requests.

use std::collections::BTreeSet;
use std::path::Path;

use openmesh_access::RULES;

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
