//! Problems of configurations: all at once, each with its path and words.

use openmesh_door::check::{check, check_succession};
use openmesh_door::document::Document;

const GOOD: &str = include_str!("../../examples/door.json");

fn good() -> Document {
    serde_json::from_str(GOOD).expect("the example")
}

#[test]
fn the_example_is_good_and_says_every_key() {
    let document = good();
    assert_eq!(check(&document), []);
    let written = serde_json::to_value(&document).expect("a value");
    let read: serde_json::Value = serde_json::from_str(GOOD).expect("the example");
    assert_eq!(written, read, "the example leaves nothing to a default");
}

#[test]
fn unknown_keys_are_refused_with_line_and_column() {
    let error =
        serde_json::from_str::<Document>("{\"version\": 1, \"serial\": 1,\n \"host\": {}}").expect_err("unknown");
    assert!(error.to_string().contains("unknown field `host`") && error.line() == 2, "{error}");
}

#[test]
fn every_problem_is_said_at_once() {
    let text = r#"{
      "version": 3, "serial": 1,
      "listeners": [{"address": "0.0.0.0:80"}, {"address": "127.0.0.1:80", "tls": true}, {"address": "[::]:80"},
                    {"address": "0.0.0.0:8088", "route": "gone"}, {"address": "0.0.0.0:8089", "route": "db"}],
      "tcp": [{"address": "0.0.0.0:5432", "route": "web"}, {"address": "0.0.0.0:1", "route": "gone"}],
      "hosts": {"Shop.example": {"route": "web"}, "db.example": {"route": "db"},
                "w.example": {"route": "web", "access": {"wallets": ["0x12"]}}},
      "routes": {
        "web": {"protocol": "http1", "admission": "open", "hold_ms": 30001, "instances": [
          {"name": "a.0", "address": "0.0.0.0:8080", "traffic": "drain"},
          {"name": "a.0", "address": "127.0.0.1:80", "traffic": "drain", "drain_ms": 86400001}]},
        "db": {"protocol": "tcp", "admission": "closed"},
        "no name": {"protocol": "h2c", "admission": "maintenance"}
      },
      "certificates": []
    }"#;
    let document: Document = serde_json::from_str(text).expect("reads");
    let said: Vec<String> = check(&document).iter().map(ToString::to_string).collect();
    let expected = [
        "version: version 3 is not understood; this door reads versions 1 to 2",
        "listeners[1].address: 127.0.0.1:80 is claimed by listeners[0] as well",
        "listeners[1].tls: TLS without a certificate; add one to `certificates`",
        "listeners[3].route: there is no route 'gone'",
        "listeners[4].route: route 'db' speaks Tcp, which does not fit here",
        "tcp[0].route: route 'web' speaks Http1, which does not fit here",
        "tcp[1].route: there is no route 'gone'",
        "hosts.Shop.example: 'Shop.example' is no host name in lower case without port",
        "hosts.db.example.route: route 'db' speaks Tcp, which does not fit here",
        "hosts.w.example.access.wallets: '0x12' is no wallet: `0x` and 40 hexadecimal digits",
        "routes.no name: 'no name' is no name: 1 to 96 letters, digits, '.', '-', '_' or '/'",
        "routes.web.hold_ms: 30001 ms is out of bounds; at most 30000 ms",
        "routes.web.instances: an open route needs an instance with `\"traffic\": \"admit\"`; else use `hold`, `maintenance` or `closed`",
        "routes.web.instances[0].address: 0.0.0.0:8080 is no address that can be called",
        "routes.web.instances[1].name: instance 'a.0' is there twice",
        "routes.web.instances[1].drain_ms: 86400001 ms is out of bounds; at most 86400000 ms",
        "routes.web.instances[1].address: 127.0.0.1:80 is the door's own (listeners[1])",
    ];
    assert_eq!(said, expected);
}

#[test]
fn people_and_ways_in_are_of_the_second_version() {
    let text = r#"{
      "version": 1, "serial": 1,
      "routes": {"web": {"protocol": "http1", "admission": "closed"}},
      "hosts": {"w.example": {"route": "web", "access": "owner", "gate": {"application": "a b", "key": "KEY"}}},
      "people": {"sign_in": "https://xnode.lan/visit", "owners": ["me"], "members": ["0x1"]}
    }"#;
    let document: Document = serde_json::from_str(&text.replace("KEY", &"ab".repeat(32))).expect("reads");
    let said: Vec<String> = check(&document).iter().map(ToString::to_string).collect();
    let expected = [
        "hosts.w.example.gate.application: 'a b' is no name: 1 to 96 letters, digits, '.', '-', '_' or '/'",
        "hosts.w.example.gate: it belongs to version 2; write that as `version`",
        "people: it belongs to version 2; write that as `version`",
        "people.sign_in: 'https://xnode.lan/visit' is no address for signing in, such as https://xnode.lan: no path, and a name in lower case",
        "people.owners: 'me' is no wallet: `0x` and 40 hexadecimal digits",
        "people.members: '0x1' is no wallet: `0x` and 40 hexadecimal digits",
    ];
    assert_eq!(said, expected);
    assert!(serde_json::from_str::<Document>(&text.replace("KEY", "ab")).is_err(), "half a key is none");
}

#[test]
fn no_key_is_printed() {
    let said = format!("{:?}", good());
    assert!(said.contains("Key(secret)") && !said.contains("9f0c5d2b"), "{said}");
}

#[test]
fn a_document_of_the_past_is_refused() {
    let served = good();
    assert_eq!(check_succession(&served, &served), None, "the same again is no error");
    let mut next = Document { serial: served.serial - 1, ..served.clone() };
    let said = |next: &Document| check_succession(&served, next).map(|problem| problem.to_string());
    assert!(said(&next).is_some_and(|text| text.contains("below")));
    next.serial = served.serial;
    next.tcp.clear();
    assert!(said(&next).is_some_and(|text| text.contains("other content")));
    next.serial = served.serial + 1;
    assert_eq!(said(&next), None);
}
