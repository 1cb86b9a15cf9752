//! Clients and applications that take their time, with doors of little patience.

use std::time::Duration;

use openmesh_door::document::Protocol;
use openmesh_door::patience::Patience;

use crate::stage::{App, Raw, document, open, patient, until, within};

/// Patience that is over: long enough for a request of somebody who is in time, also on a machine that is busy with other tests.
const SHORT: Duration = Duration::from_secs(2);

#[tokio::test]
async fn a_silent_client_and_one_that_drips_a_head_are_let_go() {
    let app = App::start("app").await;
    let served = document(1, &[("app", open(&app, Protocol::Http1))]);
    let (door, at) = patient(served.clone(), Patience { greeting: SHORT, ..Patience::default() }).await;
    assert_eq!(Raw::to(at[0]).await.rest().await, b"", "not a byte came");
    // A part of the preface of HTTP/2.
    let mut client = Raw::to(at[0]).await;
    client.send("PRI * HT").await;
    assert_eq!(client.rest().await, b"");
    until("the end of both", || door.report().connections == 0).await;
    let (door, at) = patient(served, Patience { head: SHORT, ..Patience::default() }).await;
    let mut client = Raw::to(at[0]).await;
    client.send("GET / HTTP/1.1\r\nhost: app.test\r\n").await;
    // Each byte is in time, the head is not.
    let drip = async {
        while door.report().connections > 0 {
            client.send("x").await;
            tokio::time::sleep(SHORT / 8).await;
        }
    };
    within("the end of a head that never ends", drip).await;
    // A connection that rests between two requests.
    let mut client = Raw::to(at[0]).await;
    client.send("GET / HTTP/1.1\r\nhost: app.test\r\n\r\n").await;
    let said = client.said().await;
    assert!(said.status == 200 && client.rest().await.is_empty(), "{said:?}");
    assert_eq!(app.count("GET /"), 1);
}

#[tokio::test]
async fn a_body_that_stops_and_an_application_that_never_answers_have_an_end() {
    let app = App::start("app").await;
    let served = document(1, &[("app", open(&app, Protocol::Http1))]);
    let (door, at) = patient(served.clone(), Patience { upload: SHORT, ..Patience::default() }).await;
    let mut client = Raw::to(at[0]).await;
    client.send("POST /echo HTTP/1.1\r\nhost: app.test\r\ncontent-length: 10\r\n\r\nhello").await;
    let said = client.said().await;
    assert!(said.status == 408 && said.head.contains("connection: close"), "{said:?}");
    assert_eq!(client.rest().await, b"");
    assert_eq!(door.report().routes["app"].instances["one.0"].counts.open, 0);
    let (_door, at) = patient(served, Patience { answer: SHORT, ..Patience::default() }).await;
    let mut client = Raw::to(at[0]).await;
    let said = client.get("app.test", "/wait").await;
    assert!(said.status == 504 && said.body.contains("\"late\""), "{said:?}");
    assert_eq!(app.count("GET /wait"), 1, "it is not asked again");
    // One of gRPC names its own deadline.
    let app = App::start("app").await;
    let served = document(1, &[("app", open(&app, Protocol::Http1))]);
    let (_door, at) = patient(served, Patience { answer: SHORT, ..Patience::default() }).await;
    let mut client = Raw::to(at[0]).await;
    client
        .send("POST /wait HTTP/1.1\r\nhost: app.test\r\ncontent-type: application/grpc\r\ncontent-length: 0\r\n\r\n")
        .await;
    within("the call", app.there.notified()).await;
    tokio::time::sleep(SHORT * 2).await;
    app.go.notify_one();
    assert_eq!(client.said().await.body, "app");
}
