//! The client's side of a terminal: a WebSocket over the agent's socket.

use std::path::Path;

use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt as _, StreamExt as _};
use reqwest::header::{CONNECTION, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use reqwest::{Method, StatusCode, Upgraded};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::client::{Client, ClientError};
use crate::views::{Exec, ExecEvent, Failure, TerminalWord};

/// Something that is heard from a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Output.
    Output(Vec<u8>),
    /// Error output.
    Error(Vec<u8>),
    /// An event; `Ended` and `Refused` are the last.
    Event(ExecEvent),
}

/// The way to a process. The process ends when it is dropped with its [`Receiver`].
#[derive(Debug)]
pub struct Sender(SplitSink<WebSocketStream<Upgraded>, Message>);

/// The way from a process.
#[derive(Debug)]
pub struct Receiver(SplitStream<WebSocketStream<Upgraded>>);

/// Connects to the terminal of an application and asks for a process.
///
/// # Errors
/// Nobody answers, or the agent refuses the connection. A process that is refused is an event.
pub async fn connect(
    client: &Client,
    socket: &Path,
    name: &str,
    asked: &Exec,
) -> Result<(Sender, Receiver), ClientError> {
    let unreachable = |cause: reqwest::Error| ClientError::Unreachable {
        socket: socket.into(),
        cause: openmesh_primitives::report(&cause),
    };
    let request = client
        .request(Method::GET, &format!("/applications/{name}/terminal"))
        .header(CONNECTION, "upgrade")
        .header(UPGRADE, "websocket")
        .header(SEC_WEBSOCKET_VERSION, "13")
        .header(SEC_WEBSOCKET_KEY, generate_key());
    let answer = request.send().await.map_err(unreachable)?;
    let status = answer.status();
    if status != StatusCode::SWITCHING_PROTOCOLS {
        let text = answer.text().await.unwrap_or_default();
        let failure = serde_json::from_str(&text);
        let unknown = |_| Failure { code: status.as_str().into(), message: text.clone() };
        return Err(ClientError::Refused(failure.unwrap_or_else(unknown)));
    }
    let upgraded = answer.upgrade().await.map_err(unreachable)?;
    let (sender, receiver) = WebSocketStream::from_raw_socket(upgraded, Role::Client, None).await.split();
    let mut sender = Sender(sender);
    let text = serde_json::to_string(asked).unwrap_or_default();
    sender.0.send(Message::Text(text.into())).await.map_err(|cause| ClientError::Answer(cause.to_string()))?;
    Ok((sender, Receiver(receiver)))
}

impl Sender {
    /// Sends input. Returns false where the process hears no more.
    pub async fn input(&mut self, bytes: Vec<u8>) -> bool {
        self.0.send(Message::Binary(bytes.into())).await.is_ok()
    }

    /// Sends a word. Returns false where the process hears no more.
    pub async fn word(&mut self, word: TerminalWord) -> bool {
        let text = serde_json::to_string(&word).unwrap_or_default();
        self.0.send(Message::Text(text.into())).await.is_ok()
    }
}

impl Receiver {
    /// The next thing that is heard; none once the connection is closed.
    ///
    /// # Errors
    /// The connection breaks.
    pub async fn next(&mut self) -> Result<Option<Heard>, ClientError> {
        while let Some(message) = self.0.next().await {
            match message.map_err(|cause| ClientError::Answer(cause.to_string()))? {
                Message::Binary(bytes) => match bytes.split_first() {
                    Some((1, rest)) => return Ok(Some(Heard::Output(rest.to_vec()))),
                    Some((2, rest)) => return Ok(Some(Heard::Error(rest.to_vec()))),
                    _ => {}
                },
                Message::Text(text) => {
                    let event = serde_json::from_str(text.as_str());
                    return event
                        .map(|event| Some(Heard::Event(event)))
                        .map_err(|cause| ClientError::Answer(cause.to_string()));
                }
                Message::Close(_) => return Ok(None),
                _ => {}
            }
        }
        Ok(None)
    }
}
