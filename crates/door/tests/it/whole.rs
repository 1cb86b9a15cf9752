//! Listeners that lead every request to one route: the published port of an application.

use std::sync::Arc;

use crate::stage::{App, Raw, document, instance, open, route, taken, within};
use openmesh_door::document::{Admission, Document, Listener, Protocol, Traffic};
use openmesh_door::door::Door;
use openmesh_door::effects::free;

/// Two applications, each with a host, and a second listener that belongs to the first of them.
fn served(serial: u64, routes: &[(&str, openmesh_door::document::Route)], own: Option<&str>) -> Document {
    let mut document = document(serial, routes);
    let address = "127.0.0.1:0".parse().expect("an address");
    document.listeners.push(Listener { address, tls: false, route: own.map(str::to_string) });
    document
}

#[tokio::test]
async fn a_listener_with_a_route_asks_for_no_host() {
    let (one, two) = (App::start("one").await, App::start("two").await);
    let routes = || [("one", open(&one, Protocol::Http1)), ("two", open(&two, Protocol::Http1))];
    let door = Arc::new(Door::new(None, free()).expect("a door"));
    let at = taken(&door, served(1, &routes(), Some("one"))).await.listeners;
    let mut client = Raw::to(at[1]).await;
    for host in ["127.0.0.1", "two.test", "nobody.test"] {
        let said = client.get(host, "/").await;
        assert_eq!((said.status, said.body.as_str()), (200, "one"), "{host}");
    }
    // Hosts decide at the other one.
    let mut other = Raw::to(at[0]).await;
    assert_eq!(other.get("two.test", "/").await.body, "two");
    assert_eq!(other.get("nobody.test", "/").await.status, 404);
    // The next request of an open connection follows the document.
    taken(&door, served(2, &routes(), Some("two"))).await;
    assert_eq!(client.get("nobody.test", "/").await.body, "two");
    taken(&door, served(3, &routes(), None)).await;
    assert_eq!(client.get("nobody.test", "/").await.status, 404);
    assert_eq!(client.get("one.test", "/").await.body, "one");
}

#[tokio::test]
async fn a_pattern_serves_what_no_host_names() {
    let (one, two) = (App::start("one").await, App::start("two").await);
    let mut first = document(1, &[("one", open(&one, Protocol::Http1)), ("two", open(&two, Protocol::Http1))]);
    let pattern = first.hosts["two.test"].clone();
    first.hosts.insert("*.many.test".to_string(), pattern);
    let exact = first.hosts["one.test"].clone();
    first.hosts.insert("one.many.test".to_string(), exact);
    let door = Arc::new(Door::new(None, free()).expect("a door"));
    let at = taken(&door, first).await.listeners[0];
    let mut client = Raw::to(at).await;
    assert_eq!(client.get("some.many.test", "/").await.body, "two");
    assert_eq!(client.get("one.many.test", "/").await.body, "one");
    for host in ["many.test", "a.b.many.test"] {
        assert_eq!(client.get(host, "/").await.status, 404, "{host}");
    }
}

#[tokio::test]
async fn what_a_route_has_given_is_never_forgotten() {
    let app = App::start("app").await;
    let with = |name: &str| route(Protocol::Http1, Admission::Open, &[instance(name, app.address, Traffic::Admit, 0)]);
    let door = Arc::new(Door::new(None, free()).expect("a door"));
    let at = taken(&door, document(1, &[("app", with("a"))])).await.listeners[0];
    let mut client = Raw::to(at).await;
    client.send("POST / HTTP/1.1\r\nhost: app.test\r\ncontent-length: 0\r\n\r\n").await;
    assert_eq!(within("an answer", client.said()).await.status, 200);
    assert_eq!(client.get("app.test", "/").await.status, 200);
    // The instance leaves the document and takes its own counts along.
    let report = taken(&door, document(2, &[("app", with("b"))])).await;
    let given = report.routes["app"].given;
    assert_eq!((given.reading_requests, given.writing_requests, given.connections), (1, 1, 0));
    assert_eq!(report.routes["app"].instances["b"].counts.writing_requests, 0);
}
