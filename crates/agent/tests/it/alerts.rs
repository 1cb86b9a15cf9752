//! Alerts, asked for over the agent's socket, and their way to a webhook on loopback.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use data_encoding::BASE64;
use hmac::{Hmac, Mac as _};
use openmesh_agent::client::ClientError;
use openmesh_agent::views::alerts::{Alert, AlertKind, Alerts, WebhookTest};
use openmesh_agent::views::{Event, EventKind};
use reqwest::Method;
use sha2::Sha256;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::pantry::server;
use crate::world::{PATIENCE, World, free_port, plain};

const SECRET: &str = "a secret of the receiver";

type Heard = (HeaderMap, Bytes);
type Receiving = (mpsc::UnboundedSender<Heard>, Arc<AtomicUsize>);

/// A receiver that takes every message but the first `refused`.
async fn receiver(refused: usize) -> (u16, mpsc::UnboundedReceiver<Heard>) {
    let (sender, heard) = mpsc::unbounded_channel();
    let state: Receiving = (sender, Arc::new(AtomicUsize::new(0)));
    let handler = move |State((sender, seen)): State<Receiving>, headers: HeaderMap, body: Bytes| async move {
        if seen.fetch_add(1, Ordering::SeqCst) < refused {
            return StatusCode::SERVICE_UNAVAILABLE;
        }
        let _ = sender.send((headers, body));
        StatusCode::NO_CONTENT
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let router = Router::new().route("/hook", post(handler)).with_state(state);
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (port, heard)
}

/// A message whose signature is right.
async fn hear(heard: &mut mpsc::UnboundedReceiver<Heard>) -> serde_json::Value {
    let (headers, body) = tokio::time::timeout(PATIENCE, heard.recv()).await.expect("a message").unwrap();
    let text = |name: &str| headers[name].to_str().unwrap().to_string();
    let mut mac = <Hmac<Sha256> as hmac::Mac>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(format!("{}.{}.", text("webhook-id"), text("webhook-timestamp")).as_bytes());
    mac.update(&body);
    assert_eq!(text("webhook-signature"), format!("v1,{}", BASE64.encode(&mac.finalize().into_bytes())));
    serde_json::from_slice(&body).unwrap()
}

/// A document with webhooks.
fn with_webhooks(world: &World, applications: &str, webhooks: &str) -> String {
    world.document(applications).replacen("/24}", &format!("/24, alerts: {{webhooks: {{{webhooks}}}}}}}"), 1)
}

async fn test(world: &World, webhook: &str) -> Result<WebhookTest, ClientError> {
    world.client.ask(world.client.request(Method::POST, &format!("/alerts/webhooks/{webhook}/test"))).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_update_reaches_a_person() {
    let Some(mut world) = World::new() else { return };
    world.start().await;
    let (port, mut heard) = receiver(0).await;
    let (private, public) = ("private: true", "private: false");
    let hook = |name: &str, secret: &str, word: &str| {
        format!("{name}: {{url: \"https://127.0.0.1:{port}/hook?key=hidden\", secret: {{secret: {secret}}}, {word}}}")
    };
    let open = format!("ops: {{url: \"http://127.0.0.1:{port}/hook\", secret: {{secret: hook}}, private: true}}");
    let all = [open, hook("within", "hook", public), hook("lost", "missing", private)].join(", ");
    let put = world.client.request(Method::PUT, "/secrets/hook").body(SECRET);
    world.client.ask::<u32>(put).await.unwrap();
    let (one, two) = (world.image(&server("one")), world.image("exit 3;"));
    let http = free_port();
    world.deploy(with_webhooks(&world, &plain(&one, http), &all)).await;

    assert_eq!(test(&world, "ops").await.unwrap().cause, None);
    let message = hear(&mut heard).await;
    assert_eq!((message["type"].as_str(), &message["data"]["alert"]), (Some("alert.test"), &serde_json::Value::Null));
    let within = test(&world, "within").await.unwrap().cause.unwrap();
    assert!(within.contains("`private` of the webhook") && !within.contains("hidden"), "{within}");
    let lost = test(&world, "lost").await.unwrap().cause.unwrap();
    assert!(lost.contains("no secret `missing`"), "{lost}");
    assert!(matches!(test(&world, "nobody").await, Err(ClientError::Refused(failure)) if failure.code == "no_webhook"));

    let bad = plain(&two, http).replace("gate: 60s", "gate: 10s");
    let events: Vec<Event> = world.deploy(with_webhooks(&world, &bad, &all)).await;
    assert!(events.iter().any(|event| event.kind == EventKind::Returned), "{events:#?}");
    let message = hear(&mut heard).await;
    assert_eq!(message["type"], "alert.opened");
    let told: Alert = serde_json::from_value(message["data"]["alert"].clone()).unwrap();
    assert_eq!((told.kind, told.subject.as_deref()), (AlertKind::Update, Some("2")));
    let alerts: Alerts = world.get("/alerts").await.unwrap();
    assert_eq!(alerts.open.iter().find(|alert| alert.id == told.id), Some(&told));
    assert!(alerts.webhooks.iter().all(|one| !format!("{one:?}").contains("hidden")), "{:?}", alerts.webhooks);

    let removal = world.client.text(world.client.request(Method::DELETE, "/secrets/hook")).await;
    assert!(matches!(removal, Err(ClientError::Refused(failure)) if failure.code == "secret_used"));
    let path = format!("/alerts/{}/acknowledge?by=alice", told.id);
    let known: Alert = world.client.ask(world.client.request(Method::POST, &path)).await.unwrap();
    assert_eq!(known.acknowledged.map(|known| known.by).as_deref(), Some("alice"));
    let none = world.client.ask::<Alert>(world.client.request(Method::POST, "/alerts/999/acknowledge")).await;
    assert!(matches!(none, Err(ClientError::Refused(failure)) if failure.code == "no_alert"));
    // It is known after a restart too, and is not told again.
    world.stop().await;
    world.start().await;
    let again: Alerts = world.get("/alerts").await.unwrap();
    let kept = again.open.iter().find(|alert| alert.id == told.id).unwrap();
    assert_eq!(kept.acknowledged.as_ref().map(|known| known.by.as_str()), Some("alice"));
    world.stop().await;
}

/// A receiver that fails is told with its status, and a test is sent once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_test_of_a_receiver_that_fails_tells_its_status() {
    let Some(mut world) = World::new() else { return };
    world.start().await;
    let (port, mut heard) = receiver(1).await;
    let put = world.client.request(Method::PUT, "/secrets/hook").body(SECRET);
    world.client.ask::<u32>(put).await.unwrap();
    let hook = format!("ops: {{url: \"http://127.0.0.1:{port}/hook\", secret: {{secret: hook}}, private: true}}");
    world.deploy(with_webhooks(&world, "applications: {}\n", &hook)).await;
    let refused = test(&world, "ops").await.unwrap();
    assert_eq!((refused.taken, refused.cause.as_deref()), (false, Some("it answered with status 503")));
    assert!(test(&world, "ops").await.unwrap().taken);
    hear(&mut heard).await;
    assert!(tokio::time::timeout(Duration::ZERO, heard.recv()).await.is_err(), "a test is sent once");
    world.stop().await;
}
