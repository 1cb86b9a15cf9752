//! JSON-RPC as a WebSocket, with subscriptions to new blocks. Clause 20 of `docs/spec/rpc.md`.
//!
//! One task for each connection: it answers what comes in its order, and tells of new blocks in between. A client that reads slowly holds up
//! nothing but itself.

use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade, close_code};
use axum::response::Response;
use futures::{Sink, StreamExt};
use openmesh_api as api;
use openmesh_api::limits::STREAM_SILENCE_SECONDS_MAX;
use openmesh_primitives::Height;
use serde_json::Value;
use tokio::time::Instant;

use super::answers::{answers, head};
use super::subscriptions::Subscriptions;
use crate::error::Refusal;
use crate::http::socket::{MESSAGE_BYTES_MAX, PING_SECONDS, leave, no_place, send};
use crate::node::Node;
use crate::peer;
use crate::rpc::{Fault, event, reply};

/// Blocks that a listener may be behind: a minute of them. One further behind goes on at the newest.
const HEADS_MAX: u64 = 64;

/// A WebSocket of JSON-RPC 2.0, each message a request or a list of them; with `eth_subscribe` new blocks come by themselves.
#[utoipa::path(get, path = api::path::RPC, tag = "wallets", responses((status = 101, description = "WebSocket: RpcRequest in; RpcAnswer and eth_subscription out"), (status = 426, description = "Not asked for as a WebSocket"), (status = 503, description = "This node has no place for another stream")))]
pub async fn rpc_stream(State(node): State<Node>, upgrade: WebSocketUpgrade) -> Result<Response, Refusal> {
    let place = node.streams().take(peer::current()).ok_or_else(no_place)?;
    // Work of the connection is of whoever opened it.
    let asker = peer::current();
    Ok(upgrade.max_message_size(MESSAGE_BYTES_MAX).on_upgrade(async move |socket| {
        peer::answering(asker, serve(node, socket)).await;
        drop(place);
    }))
}

async fn serve(node: Node, socket: WebSocket) {
    let (mut sink, mut source) = socket.split();
    let mut subscriptions = Subscriptions::default();
    let mut ping = tokio::time::interval(Duration::from_secs(PING_SECONDS));
    let mut heard = Instant::now();
    let mut height = node.memory().height();
    let mut told = *height.borrow_and_update();
    loop {
        tokio::select! {
            message = source.next() => {
                heard = Instant::now();
                if subscriptions.is_empty() {
                    // Whoever subscribes now hears of what comes from now on.
                    told = *height.borrow_and_update();
                }
                let answer = match message {
                    Some(Ok(Message::Text(text))) => answers(&node, text.as_bytes(), Some(&mut subscriptions)).await,
                    Some(Ok(Message::Binary(_))) => {
                        Some(reply(&Value::Null, Err(Fault::request("the message is binary, and not text"))))
                    }
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => None,
                    Some(Err(error)) => return leave(sink, close_code::PROTOCOL, error.to_string()).await,
                    Some(Ok(Message::Close(_))) | None => return,
                };
                if let Some(answer) = answer && !send(&mut sink, Message::Text(answer.into())).await {
                    return;
                }
            }
            changed = height.changed(), if !subscriptions.is_empty() => {
                let newest = *height.borrow_and_update();
                match tell(&node, &mut sink, &subscriptions, told, newest).await {
                    Some(last) if changed.is_ok() => told = last,
                    _ => return,
                }
            }
            _ = ping.tick() => {
                let silent = heard.elapsed() > Duration::from_secs(STREAM_SILENCE_SECONDS_MAX);
                if silent || !send(&mut sink, Message::Ping(Vec::new().into())).await {
                    return;
                }
            }
        }
    }
}

/// Tells of the blocks after one up to the newest; returns the last of which it told, or `None` where the client has gone. One that cannot
/// be read now is told of with the next.
async fn tell(
    node: &Node,
    sink: &mut (impl Sink<Message> + Unpin),
    subscriptions: &Subscriptions,
    told: Height,
    newest: Height,
) -> Option<Height> {
    let first = (told + 1).max((newest + 1).saturating_sub(HEADS_MAX));
    for height in first..=newest {
        let Ok(found) = head(node, height).await else { return Some(height - 1) };
        let Some(head) = found else { continue };
        for name in subscriptions.names() {
            if !send(sink, Message::Text(event(&name, &head).into())).await {
                return None;
            }
        }
    }
    Some(newest.max(told))
}
