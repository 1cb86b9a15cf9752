//! A client of the agent's API, for the command line.

use std::path::{Path, PathBuf};

use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use reqwest::{Method, RequestBuilder, Response};
use serde::de::DeserializeOwned;

use crate::views::Failure;

/// Longest line of a stream, bytes: a record of a log with its escapes, and an event.
const LINE_BYTES_MAX: usize = 1 << 20;

/// A failure of a request.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody answers.
    #[error("no agent answers at {}: {cause}", socket.display())]
    Unreachable {
        /// Its socket.
        socket: PathBuf,
        /// The cause.
        cause: String,
    },
    /// The agent refused, with its words.
    #[error("{}", .0.message)]
    Refused(Failure),
    /// The answer is not of its form.
    #[error("the agent's answer cannot be read: {0}")]
    Answer(String),
}

/// A client of an agent.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
    http: reqwest::Client,
}

impl Client {
    /// A client of the agent with this socket. Nothing is connected yet.
    ///
    /// # Errors
    /// The client of HTTP cannot be made.
    pub fn new(socket: &Path) -> Result<Client, ClientError> {
        // A client has a provider of TLS even where nothing of it is encrypted. The first one counts.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().unix_socket(socket).http1_only().build();
        let http = http.map_err(|cause| ClientError::Answer(words(&cause)))?;
        Ok(Client { socket: socket.into(), http })
    }

    /// A request of a path below `/v1/xnode`.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("http://agent/v1/xnode{path}"))
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        let unreachable =
            |cause: reqwest::Error| ClientError::Unreachable { socket: self.socket.clone(), cause: words(&cause) };
        let answer = request.send().await.map_err(unreachable)?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let status = answer.status();
        let text = answer.text().await.unwrap_or_default();
        let failure = serde_json::from_str(&text);
        Err(ClientError::Refused(failure.unwrap_or_else(|_| Failure { code: status.as_str().into(), message: text })))
    }

    /// Asks, and returns the answer before its body is read.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn response(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        self.send(request).await
    }

    /// Asks, and reads the answer.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn ask<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, ClientError> {
        let bytes = self.send(request).await?.bytes().await.map_err(|cause| ClientError::Answer(words(&cause)))?;
        serde_json::from_slice(&bytes).map_err(|cause| ClientError::Answer(cause.to_string()))
    }

    /// Asks, and returns the answer as text.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn text(&self, request: RequestBuilder) -> Result<String, ClientError> {
        self.send(request).await?.text().await.map_err(|cause| ClientError::Answer(words(&cause)))
    }

    /// Asks, and reads one value a line as they come.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn lines<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
    ) -> Result<impl Stream<Item = Result<T, ClientError>> + use<T>, ClientError> {
        let bytes = self.send(request).await?.bytes_stream();
        let begin = (Box::pin(bytes), Vec::new());
        let lines = stream::try_unfold(begin, |(mut bytes, mut kept): (_, Vec<u8>)| async move {
            loop {
                if let Some(end) = kept.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = kept.drain(..=end).collect();
                    return Ok(Some((line, (bytes, kept))));
                }
                if kept.len() > LINE_BYTES_MAX {
                    return Err(ClientError::Answer(format!("a line of more than {LINE_BYTES_MAX} bytes")));
                }
                match bytes.next().await {
                    None => return Ok(None),
                    Some(part) => kept
                        .extend_from_slice(&part.map_err(|cause: reqwest::Error| ClientError::Answer(words(&cause)))?),
                }
            }
        });
        Ok(lines.and_then(|line| async move {
            serde_json::from_slice(&line).map_err(|cause| ClientError::Answer(cause.to_string()))
        }))
    }
}

/// An error with its causes.
fn words(error: &dyn std::error::Error) -> String {
    openmesh_primitives::report(error)
}
