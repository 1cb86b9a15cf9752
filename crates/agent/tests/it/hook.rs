//! A hook for the DNS of a test's own: it takes signed messages alone, and keeps records in the resolver of pebble.
#![allow(dead_code, reason = "each test uses its own part of it")]

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use data_encoding::BASE64;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use tokio::net::TcpListener;

/// Key of its messages.
pub const SECRET: &str = "a secret of the hook";

/// Conduct of a hook.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Conduct {
    /// It does what it is told.
    #[default]
    Does,
    /// It refuses every message.
    Refuses,
    /// It takes messages, and does nothing.
    Forgets,
}

#[derive(Default)]
struct Kept {
    conduct: Conduct,
    /// Names and values.
    records: BTreeSet<(String, String)>,
    /// Actions and names of the messages that were taken.
    heard: Vec<(String, String)>,
}

/// A hook.
#[derive(Clone)]
pub struct Hook {
    /// Its address.
    pub url: String,
    management: SocketAddr,
    client: reqwest::Client,
    kept: Arc<Mutex<Kept>>,
}

impl Hook {
    /// Starts one that sets records by the management of a resolver.
    pub async fn start(management: SocketAddr) -> Hook {
        // A client has a provider of TLS even where nothing of it is encrypted. The first one counts.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let hook = Hook { url, management, client, kept: Arc::default() };
        let router = Router::new().route("/hook", post(take)).with_state(hook.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        hook
    }

    /// Lets it behave otherwise.
    pub fn set(&self, conduct: Conduct) {
        self.kept.lock().unwrap().conduct = conduct;
    }

    /// Actions and names of the messages that it has taken.
    pub fn heard(&self) -> Vec<(String, String)> {
        self.kept.lock().unwrap().heard.clone()
    }

    /// Number of its records.
    pub fn count(&self) -> usize {
        self.kept.lock().unwrap().records.len()
    }

    /// Gives the resolver the values of a name. It forgets all of them at once, so that those that stay are set again.
    async fn publish(&self, name: &str, values: Vec<String>) {
        let host = format!("{name}.");
        self.tell("clear-txt", serde_json::json!({ "host": host })).await;
        for value in values {
            self.tell("set-txt", serde_json::json!({ "host": host, "value": value })).await;
        }
    }

    async fn tell(&self, path: &str, body: serde_json::Value) {
        let request = self.client.post(format!("http://{}/{path}", self.management)).body(body.to_string());
        assert!(request.send().await.unwrap().status().is_success());
    }
}

async fn take(State(hook): State<Hook>, headers: HeaderMap, body: Bytes) -> StatusCode {
    if !is_signed(&headers, &body) {
        return StatusCode::UNAUTHORIZED;
    }
    let message: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let word = |key: &str| message[key].as_str().unwrap().to_string();
    let (action, name, value) = (word("action"), word("name"), word("value"));
    let values = {
        let mut kept = hook.kept.lock().unwrap();
        match kept.conduct {
            Conduct::Does => {}
            Conduct::Refuses => return StatusCode::SERVICE_UNAVAILABLE,
            Conduct::Forgets => return StatusCode::NO_CONTENT,
        }
        kept.heard.push((action.clone(), name.clone()));
        match action.as_str() {
            "present" => kept.records.insert((name.clone(), value)),
            "cleanup" => kept.records.remove(&(name.clone(), value)),
            other => panic!("{other}"),
        };
        let of_name = kept.records.iter().filter(|(one, _)| *one == name);
        of_name.map(|(_, value)| value.clone()).collect()
    };
    hook.publish(&name, values).await;
    StatusCode::NO_CONTENT
}

fn is_signed(headers: &HeaderMap, body: &[u8]) -> bool {
    let text = |name: &str| headers[name].to_str().unwrap().to_string();
    let mut mac = <Hmac<Sha256> as hmac::Mac>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(format!("{}.{}.", text("webhook-id"), text("webhook-timestamp")).as_bytes());
    mac.update(body);
    text("webhook-signature") == format!("v1,{}", BASE64.encode(&mac.finalize().into_bytes()))
}
