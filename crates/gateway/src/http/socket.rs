//! WebSockets: sending with patience, leaving with a reason, times.

use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message};
use futures::{Sink, SinkExt};
use openmesh_api::ErrorCode;
use openmesh_api::limits::STREAMS_MAX;

use crate::error::Refusal;

/// Longest time in which a client takes no message before it is left: its own buffer and the system's are full by then.
const SEND_SECONDS_MAX: u64 = 20;
/// Longest message that is read to its end, to say what is wrong with it.
pub const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Longest reason in a frame that closes. Source: RFC 6455, 5.5.
const REASON_BYTES_MAX: usize = 123;
/// Time between two pings, in seconds: proxies give up connections that are silent for a minute.
pub const PING_SECONDS: u64 = 20;

/// Refusal of a WebSocket for which there is no place.
pub fn no_place() -> Refusal {
    let message = format!("of this node's {STREAMS_MAX} streams none is left for your address");
    Refusal::new(ErrorCode::TooManyStreams, message, "try again in a minute, or ask another node")
}

/// Sends; returns false where the client has gone, or takes nothing.
pub async fn send(sink: &mut (impl Sink<Message> + Unpin), message: Message) -> bool {
    send_within(Duration::from_secs(SEND_SECONDS_MAX), sink, message).await
}

async fn send_within(longest: Duration, sink: &mut (impl Sink<Message> + Unpin), message: Message) -> bool {
    matches!(tokio::time::timeout(longest, sink.send(message)).await, Ok(Ok(())))
}

/// Leaves a client, and says why; that it may have left already is fine. A reason has at most 123 bytes (RFC 6455).
pub async fn leave(mut sink: impl Sink<Message> + Unpin, code: u16, reason: String) {
    let end = reason.floor_char_boundary(REASON_BYTES_MAX);
    let reason = reason[..end].into();
    let _ = send(&mut sink, Message::Close(Some(CloseFrame { code, reason }))).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_client_that_reads_nothing_is_left() {
        let (mut sink, _unread) = futures::channel::mpsc::channel::<Message>(0);
        let message = || Message::Text("x".into());
        let longest = Duration::from_millis(50);
        // What the buffers between take is sent.
        while send_within(longest, &mut sink, message()).await {}
        let (mut gone, receiver) = futures::channel::mpsc::channel::<Message>(0);
        drop(receiver);
        assert!(!send_within(Duration::from_secs(60), &mut gone, message()).await);
    }
}
