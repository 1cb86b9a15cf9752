//! One WebSocket connection: opened, opened again, and its frames moved to the source's task.

use std::time::Duration;

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use openmesh_market::ConnectionId;
use openmesh_primitives::Timestamp;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};
use tokio_util::sync::CancellationToken;

use crate::backoff::{Backoff, retry_after};
use crate::clock::after;
use crate::input::SourceInput;

/// Largest message, in bytes: Coinbase's whole book of a busy instrument is 6 MB of JSON.
const MESSAGE_BYTES_MAX: usize = 32 << 20;

/// Messages of ours that wait for a connection to take them.
const OUTGOING_MAX: usize = 1_024;

/// Longest wait for a connection to be closed politely.
const CLOSE_MS_MAX: u64 = 500;

/// Parameters of a link.
#[derive(Clone, Debug)]
pub(crate) struct Dial {
    pub(crate) connection: ConnectionId,
    pub(crate) generation: u64,
    /// Address to dial, after rewriting.
    pub(crate) url: String,
    /// Pause before the first attempt.
    pub(crate) pause: Duration,
    pub(crate) backoff: Backoff,
    pub(crate) silence: Duration,
    pub(crate) answer: Duration,
}

/// A link as its source sees it. Dropping it closes the connection.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) generation: u64,
    pub(crate) opened: bool,
    outgoing: mpsc::Sender<String>,
    stop: CancellationToken,
}

impl Link {
    /// Dials in a task of its own.
    pub(crate) fn start(dial: Dial, to: mpsc::Sender<SourceInput>) -> Link {
        let (outgoing, messages) = mpsc::channel(OUTGOING_MAX);
        let stop = CancellationToken::new();
        let generation = dial.generation;
        tokio::spawn(run(dial, to, messages, stop.clone()));
        Link { generation, opened: false, outgoing, stop }
    }

    /// Queues a message. A full queue belongs to a connection that takes nothing any more: its silence ends it. The source
    /// hears of the message when it has left.
    pub(crate) fn send(&self, text: String) {
        if self.outgoing.try_send(text).is_err() {
            tracing::debug!(generation = self.generation, "a connection takes no messages");
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn run(dial: Dial, to: mpsc::Sender<SourceInput>, messages: mpsc::Receiver<String>, stop: CancellationToken) {
    let (connection, generation, silence) = (dial.connection, dial.generation, dial.silence);
    let opened = stop.run_until_cancelled(open(dial, &to)).await;
    let Some(Some(socket)) = opened else { return };
    if to.send(SourceInput::Opened { connection, generation, at: Timestamp::now() }).await.is_err() {
        return;
    }
    let why = carry(socket, connection, generation, silence, &to, messages, &stop).await;
    if let Some(why) = why {
        // The source may be gone: then nobody needs to know.
        let _ = to.send(SourceInput::Closed { connection, generation, why }).await;
    }
}

/// Dials until it works; returns `None` where the source is gone.
async fn open(mut dial: Dial, to: &mpsc::Sender<SourceInput>) -> Option<Socket> {
    tokio::time::sleep(dial.pause).await;
    loop {
        let config = WebSocketConfig::default()
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(MESSAGE_BYTES_MAX));
        let attempt = connect_async_with_config(dial.url.as_str(), Some(config), true);
        let mut banned_until = None;
        let (why, pause) = match tokio::time::timeout(dial.answer, attempt).await {
            Ok(Ok((socket, _))) => return Some(socket),
            Ok(Err(Error::Http(answer))) => {
                let asked = answer.headers().get("retry-after").and_then(|v| v.to_str().ok());
                let pause = retry_after(asked, dial.backoff.pause());
                // Binance says 418 to those who went on after a 429.
                if matches!(answer.status().as_u16(), 429 | 418) {
                    banned_until = Some(after(pause));
                }
                (format!("{} answered {}", dial.url, answer.status()), pause)
            }
            Ok(Err(error)) => (format!("{} cannot be reached: {error}", dial.url), dial.backoff.pause()),
            Err(_) => (format!("{} did not answer in {} ms", dial.url, dial.answer.as_millis()), dial.backoff.pause()),
        };
        to.send(SourceInput::Refused { connection: dial.connection, why, banned_until }).await.ok()?;
        tokio::time::sleep(pause).await;
    }
}

/// Moves messages both ways until the connection ends; returns the cause, and `None` where this side ended it.
async fn carry(
    socket: Socket,
    connection: ConnectionId,
    generation: u64,
    silence: Duration,
    to: &mpsc::Sender<SourceInput>,
    mut messages: mpsc::Receiver<String>,
    stop: &CancellationToken,
) -> Option<String> {
    let (mut sink, mut stream) = socket.split();
    let mut heard = Instant::now();
    loop {
        tokio::select! {
            () = stop.cancelled() => {
                // Politely where that is quick; the socket is dropped in any case.
                let _ = tokio::time::timeout(Duration::from_millis(CLOSE_MS_MAX), sink.close()).await;
                return None;
            }
            received = tokio::time::timeout_at(heard + silence, stream.next()) => {
                heard = Instant::now();
                let data = match received {
                    Err(_) => return Some(format!("nothing heard for {} ms", silence.as_millis())),
                    Ok(None) => return Some("the venue closed the connection".to_owned()),
                    Ok(Some(Err(error))) => return Some(error.to_string()),
                    Ok(Some(Ok(Message::Text(text)))) => Bytes::from(text),
                    Ok(Some(Ok(Message::Binary(data)))) => data,
                    Ok(Some(Ok(Message::Close(frame)))) => {
                        let reason = frame.map(|f| format!(" ({}: {})", f.code, f.reason)).unwrap_or_default();
                        return Some(format!("the venue closed the connection{reason}"));
                    }
                    // Pings are answered by the library; both are signs of life and have reset the silence.
                    Ok(Some(Ok(_))) => continue,
                };
                to.send(SourceInput::Frame { connection, generation, at: Timestamp::now(), data }).await.ok()?;
            }
            text = messages.recv() => {
                let text = text?;
                if let Err(error) = sink.send(Message::text(text.as_str())).await {
                    return Some(error.to_string());
                }
                to.send(SourceInput::Sent { connection, generation, at: Timestamp::now(), text }).await.ok()?;
            }
        }
    }
}
