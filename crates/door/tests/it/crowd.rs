//! One client cannot take what all have.

use bytes::Bytes;
use hyper::Request;
use openmesh_door::body::whole;
use openmesh_door::document::{Admission, Protocol};
use openmesh_door::limits::REQUESTS_OF_ORIGIN_MAX;

use crate::stage::{App, Raw, document, door, http2, open, route, taken, until, within};

/// Requests on one connection: fewer than a client may have.
const ON_ONE: usize = 125;

#[tokio::test]
async fn open_requests_of_one_network_are_bounded_and_given_back() {
    let app = App::start("app").await;
    let (door, at) = door(document(1, &[("app", open(&app, Protocol::H2c))])).await;
    let mut clients = Vec::new();
    for _ in 0..REQUESTS_OF_ORIGIN_MAX / ON_ONE {
        let (client, _connection) = http2(at[0]).await;
        for _ in 0..ON_ONE {
            let mut client = client.clone();
            let request = Request::get("http://app.test/wait").body(whole(Bytes::new())).expect("a request");
            clients.push(tokio::spawn(async move { client.send_request(request).await }));
        }
    }
    // An instance that takes 100 on a connection has them all: none waits for another one's end.
    until("all at the application", || app.count("GET /wait") == REQUESTS_OF_ORIGIN_MAX as u64).await;
    let said = Raw::to(at[0]).await.get("app.test", "/").await;
    assert!(said.status == 429 && said.body.contains("too_many") && said.head.contains("retry-after: 1"), "{said:?}");
    for client in clients {
        client.abort();
    }
    until("their ends", || door.report().routes["app"].instances["one.0"].counts.open == 0).await;
    assert_eq!(Raw::to(at[0]).await.get("app.test", "/").await.body, "app");
}

#[tokio::test]
async fn held_requests_share_connections_when_they_are_released() {
    let app = App::start("app").await;
    let (door, at) = door(document(1, &[("app", route(Protocol::H2c, Admission::Hold, &[]))])).await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        let (client, _connection) = http2(at[0]).await;
        for _ in 0..100 {
            let mut client = client.clone();
            let request = Request::get("http://app.test/").body(whole(Bytes::new())).expect("a request");
            clients.push(tokio::spawn(async move { client.send_request(request).await }));
        }
    }
    until("all to wait", || door.report().routes["app"].waiting == 300).await;
    taken(&door, document(2, &[("app", open(&app, Protocol::H2c))])).await;
    for client in clients {
        assert_eq!(within("an answer", client).await.expect("a task").expect("an answer").status(), 200);
    }
    let connections = app.connections.load(std::sync::atomic::Ordering::Relaxed);
    assert!(connections <= 3, "{connections} connections for 300 requests, of which each takes 100");
}
