//! Processes in applications: one shot with its output as lines, and a terminal over a WebSocket (X-90 to X-92).
//!
//! `POST .../exec` takes an [`Exec`] and answers with [`ExecEvent`]s, one JSON value a line. `.../terminal` is a WebSocket: the first message is an [`Exec`] as text; then
//! binary messages of the client are input, its texts are [`TerminalWord`]s; binary messages of the agent are output, behind one byte that is 1 for output and 2 for
//! error output, and its texts are [`ExecEvent`]s, of which `ended` or `refused` is the last. Pages of other sites are kept away in front of it (`face`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, post};
use axum::{Extension, Json, Router};
use bytes::{BufMut as _, Bytes, BytesMut};
use futures::stream::SplitSink;
use futures::{SinkExt as _, Stream, StreamExt as _, stream};
use openmesh_access::Principal;
use openmesh_blueprint::document::Name;
use openmesh_blueprint::inventory::InstanceId;
use openmesh_xnode::XnodeError;
use openmesh_xnode::inside::{Request, Said, Window, Word};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::common::{Shared, lines, name};
use crate::error::AgentError;
use crate::exec::{BeginError, Beside, Input, Output, leaving};
use crate::service::Service;
use crate::views::{EventKind, Failure};

/// Longest message of a terminal's client, bytes: what a person pastes.
const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Longest line of output in an event, bytes; a longer one goes on in the next.
const LINE_BYTES_MAX: usize = 16 << 10;
/// Sub-protocol of terminals.
const PROTOCOL: &str = "openmesh.v1";
/// Time in which a client has to say what it wants.
const FIRST_WORD: Duration = Duration::from_secs(10);
/// Time between two questions whether a client is still there.
const PING: Duration = Duration::from_secs(20);
/// Silence after which a client has gone: it answers each question.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// A shell that an application has, for whoever names no program.
const SHELL: [&str; 3] = ["/bin/sh", "-c", "if [ -x /bin/bash ]; then exec /bin/bash; else exec /bin/sh; fi"];
/// Close of a WebSocket whose session is over. Source: RFC 6455, 7.4.1, policy violation.
const CLOSE_REVOKED: u16 = 1008;
/// Close of a WebSocket whose process has ended. Source: the same, normal closure.
const CLOSE_NORMAL: u16 = 1000;
/// Close of a WebSocket whose agent leaves. Source: the same, going away.
const CLOSE_LEAVING: u16 = 1001;

/// A process that is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Exec {
    /// Program and arguments; a shell at a terminal without them.
    pub command: Vec<String>,
    /// Variables beside those of the application.
    pub variables: BTreeMap<String, String>,
    /// Working directory; the application's without it.
    pub folder: Option<String>,
    /// Instance; the first running one without it.
    pub instance: Option<String>,
    /// All of its input, for one shot.
    pub stdin: Option<String>,
    /// Columns and rows of its terminal; none without one.
    pub terminal: Option<(u16, u16)>,
}

/// A word of a terminal's client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum TerminalWord {
    /// Columns and rows.
    Window(u16, u16),
    /// Number of a signal for the process.
    Signal(u8),
    /// There is no more input.
    EndOfInput,
}

/// Something that a process does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExecEvent {
    /// It has started.
    Started {
        /// Its instance.
        instance: String,
    },
    /// A line of its output; bytes that are no UTF-8 are replaced.
    Line {
        /// `stdout` or `stderr`.
        stream: String,
        /// Text.
        text: String,
    },
    /// It has ended.
    Ended {
        /// Its code: 128 and the signal's number where one ended it, 127 where there is no such program, 126 where it cannot be run.
        code: i32,
    },
    /// It was not started, or nobody knows how it ended.
    Refused {
        /// Reason.
        reason: String,
    },
}

/// Routes of this area.
pub(super) fn routes() -> Router<Arc<Service>> {
    Router::new()
        .route("/v1/xnode/applications/{name}/exec", post(exec))
        .route("/v1/xnode/applications/{name}/terminal", any(terminal))
}

impl IntoResponse for BeginError {
    fn into_response(self) -> Response {
        let failure = |code: &str, status: StatusCode, message: String| {
            (status, Json(Failure { code: code.into(), message })).into_response()
        };
        match self {
            BeginError::Agent(error @ AgentError::Xnode(XnodeError::Instance { .. })) => {
                failure("not_running", StatusCode::CONFLICT, error.to_string())
            }
            BeginError::Agent(error) => error.into_response(),
            error @ BeginError::Request(_) => failure("value", StatusCode::BAD_REQUEST, error.to_string()),
            error @ BeginError::Busy { .. } => failure("busy", StatusCode::TOO_MANY_REQUESTS, error.to_string()),
            error @ BeginError::Program { .. } => {
                failure("machine", StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
            }
        }
    }
}

impl Exec {
    fn request(&self) -> Request {
        let shell = || SHELL.map(str::to_string).to_vec();
        let window = |(columns, rows)| Window { columns, rows };
        Request {
            command: match self.command.is_empty() && self.terminal.is_some() {
                true => shell(),
                false => self.command.clone(),
            },
            variables: self.variables.clone(),
            folder: self.folder.clone(),
            terminal: self.terminal.map(window),
        }
    }

    async fn begin(&self, service: &Arc<Service>, name: &Name) -> Result<Beside, BeginError> {
        let instance = self.instance.as_ref().map(|text| text.parse::<InstanceId>());
        let instance = instance.transpose().map_err(|error| AgentError::Name(error.to_string()))?;
        Beside::begin(service, name, instance, self.request()).await
    }

    /// The program for the history: arguments may hold secrets.
    fn program(&self) -> String {
        self.command.first().cloned().unwrap_or_else(|| "a shell".into())
    }
}

/// A process in the history, from its begin to its end: whoever drops it has gone.
struct Noted {
    service: Arc<Service>,
    name: Name,
    words: String,
    end: Option<String>,
}

impl Noted {
    fn begin(service: &Arc<Service>, name: &Name, asked: &Exec, beside: &Beside, principal: &Principal) -> Noted {
        let words = format!("`{}` of {principal} in {name} {}", asked.program(), beside.instance);
        let noted = Noted { service: service.clone(), name: name.clone(), words, end: None };
        noted.note(EventKind::Begins, noted.words.clone());
        noted
    }

    fn note(&self, kind: EventKind, text: String) {
        let wanted = self.service.wanted().unwrap_or_default();
        self.service.history().note(kind, wanted, Some(self.name.to_string()), text);
    }
}

impl Drop for Noted {
    fn drop(&mut self) {
        let end = self.end.take().unwrap_or_else(|| "was ended, since whoever asked has gone".into());
        self.note(EventKind::Done, format!("{} {end}", self.words));
    }
}

async fn exec(
    State(service): Shared,
    Extension(principal): Extension<Principal>,
    Path(text): Path<String>,
    Json(asked): Json<Exec>,
) -> Result<Response, BeginError> {
    let name = name(&text)?;
    let beside = asked.begin(&service, &name).await?;
    let noted = Noted::begin(&service, &name, &asked, &beside, &principal);
    let instance = beside.instance.to_string();
    let (input, output) = (Arc::new(beside.input), beside.output);
    let fed = input.clone();
    // All of its input goes its way beside the output: a process that reads later than it writes is no trouble.
    let feeder = tokio::spawn(async move {
        if let Some(stdin) = asked.stdin {
            fed.tell(&Word::Input(stdin.into_bytes())).await;
        }
        fed.tell(&Word::EndOfInput).await;
    });
    let shot = Shot { _held: Held { _input: input, feeder }, output, lines: Lines::default(), noted, is_over: false };
    let first = stream::iter([ExecEvent::Started { instance }]);
    Ok(lines(first.chain(events(shot, service))))
}

/// Input of one shot, which ends the process when it is dropped.
struct Held {
    _input: Arc<Input>,
    feeder: tokio::task::JoinHandle<()>,
}

impl Drop for Held {
    fn drop(&mut self) {
        // The task has the input as well.
        self.feeder.abort();
    }
}

/// One shot on its way.
struct Shot {
    _held: Held,
    output: Output,
    lines: Lines,
    noted: Noted,
    is_over: bool,
}

/// Events of one shot until its end, or until the agent leaves.
fn events(shot: Shot, service: Arc<Service>) -> impl Stream<Item = ExecEvent> + Send + 'static {
    let batches = stream::unfold((shot, service), |(mut shot, service)| async move {
        if shot.is_over {
            return None;
        }
        let said = tokio::select! {
            said = shot.output.next() => said,
            () = leaving(&service) => return None,
        };
        let mut events = Vec::new();
        match said {
            Ok(Some(Said::Started(_))) => {}
            Ok(Some(Said::Output(bytes))) => shot.lines.add("stdout", &bytes, &mut events),
            Ok(Some(Said::Error(bytes))) => shot.lines.add("stderr", &bytes, &mut events),
            Ok(Some(end)) => {
                shot.lines.finish(&mut events);
                events.push(shot.noted.over(&end));
                shot.is_over = true;
            }
            Ok(None) | Err(_) => {
                shot.lines.finish(&mut events);
                events.push(ExecEvent::Refused { reason: "nobody knows how it ended: its helper has gone".into() });
                shot.is_over = true;
            }
        }
        Some((stream::iter(events), (shot, service)))
    });
    batches.flatten()
}

impl Noted {
    /// Notes an end, and returns it as an event.
    fn over(&mut self, said: &Said) -> ExecEvent {
        match said {
            Said::Refused(reason) => {
                self.end = Some(format!("was not begun: {reason}"));
                ExecEvent::Refused { reason: reason.clone() }
            }
            Said::Ended(code) => {
                self.end = Some(format!("ended with code {code}"));
                ExecEvent::Ended { code: *code }
            }
            other => ExecEvent::Refused { reason: format!("{other:?} is no end") },
        }
    }
}

/// Output cut into lines.
#[derive(Debug, Default)]
struct Lines {
    begun: BTreeMap<&'static str, Vec<u8>>,
}

impl Lines {
    fn add(&mut self, stream: &'static str, bytes: &[u8], events: &mut Vec<ExecEvent>) {
        let begun = self.begun.entry(stream).or_default();
        begun.extend_from_slice(bytes);
        let mut rest = begun.as_slice();
        loop {
            // Each byte is looked at once, and moved once: short lines are no more work than long ones.
            let (length, skipped) = match rest.iter().take(LINE_BYTES_MAX + 1).position(|byte| *byte == b'\n') {
                Some(end) => (end, 1),
                None if rest.len() > LINE_BYTES_MAX => (LINE_BYTES_MAX, 0),
                None => break,
            };
            let (line, after) = rest.split_at(length);
            events.push(line_of(stream, line));
            rest = after.get(skipped..).unwrap_or_default();
        }
        let taken = begun.len() - rest.len();
        begun.drain(..taken);
    }

    /// The lines that have no end.
    fn finish(&mut self, events: &mut Vec<ExecEvent>) {
        let begun = std::mem::take(&mut self.begun);
        events
            .extend(begun.iter().filter(|(_, bytes)| !bytes.is_empty()).map(|(stream, bytes)| line_of(stream, bytes)));
    }
}

fn line_of(stream: &str, bytes: &[u8]) -> ExecEvent {
    ExecEvent::Line { stream: stream.to_string(), text: String::from_utf8_lossy(bytes).into_owned() }
}

async fn terminal(
    State(service): Shared,
    Extension(principal): Extension<Principal>,
    Path(text): Path<String>,
    upgrade: WebSocketUpgrade,
) -> Result<Response, AgentError> {
    let name = name(&text)?;
    // A page gives its token as another sub-protocol beside this one; a browser wants one of them taken.
    let upgrade = upgrade.protocols([PROTOCOL]);
    let upgrade = upgrade.max_message_size(MESSAGE_BYTES_MAX).max_frame_size(MESSAGE_BYTES_MAX);
    let served = service.processes().serve();
    Ok(upgrade.on_upgrade(move |socket| async move {
        serve(socket, &service, &name, &principal).await;
        // An agent that leaves waits for this: by then nothing of it is held here.
        drop(service);
        drop(served);
    }))
}

type Sender = SplitSink<WebSocket, Message>;

fn text_of(event: &ExecEvent) -> Message {
    Message::Text(serde_json::to_string(event).unwrap_or_default().into())
}

/// Closes a WebSocket in its own words.
async fn close(sender: &mut Sender, code: u16, reason: &'static str) {
    let _ = sender.send(Message::Close(Some(CloseFrame { code, reason: reason.into() }))).await;
}

/// Serves a terminal until its process has ended, its client has gone, its session is over, or the agent leaves.
async fn serve(socket: WebSocket, service: &Arc<Service>, name: &Name, principal: &Principal) {
    let (mut sender, mut messages) = socket.split();
    let first = tokio::time::timeout(FIRST_WORD, messages.next()).await;
    let asked = match first {
        Ok(Some(Ok(Message::Text(text)))) => {
            serde_json::from_str::<Exec>(text.as_str()).map_err(|cause| cause.to_string())
        }
        _ => Err("the first message has to be the process that is wanted, as text".into()),
    };
    let begun = match asked {
        Ok(asked) => asked.begin(service, name).await.map(|beside| (asked, beside)).map_err(|error| error.to_string()),
        Err(words) => Err(words),
    };
    let (asked, beside) = match begun {
        Ok(begun) => begun,
        Err(reason) => {
            let _ = sender.send(text_of(&ExecEvent::Refused { reason })).await;
            return close(&mut sender, CLOSE_NORMAL, "").await;
        }
    };
    let mut noted = Noted::begin(service, name, &asked, &beside, principal);
    let started = text_of(&ExecEvent::Started { instance: beside.instance.to_string() });
    if sender.send(started).await.is_err() {
        return;
    }
    let Beside { input, output, .. } = beside;
    let hears = hear(&mut messages, &input);
    let (code, reason) = tokio::select! {
        end = say(&mut sender, output) => match end {
            Some(end) => {
                let event = noted.over(&end);
                let _ = sender.send(text_of(&event)).await;
                (CLOSE_NORMAL, "")
            }
            None => return,
        },
        () = hears => return,
        () = principal.ended() => {
            noted.end = Some("was ended with its session".into());
            (CLOSE_REVOKED, "the session is over")
        }
        () = leaving(service) => {
            noted.end = Some("was ended, since the agent leaves".into());
            (CLOSE_LEAVING, "the agent leaves")
        }
    };
    // The process ends before its client is told so: a client that does not take the word holds up nothing.
    drop(input);
    let _ = tokio::time::timeout(FIRST_WORD, close(&mut sender, code, reason)).await;
}

/// Passes on what a client says, until it has gone or has been silent for too long.
async fn hear(messages: &mut (impl Stream<Item = Result<Message, axum::Error>> + Unpin), input: &Input) {
    loop {
        let Ok(Some(Ok(message))) = tokio::time::timeout(SILENCE_MAX, messages.next()).await else { return };
        let word = match message {
            Message::Binary(bytes) => Some(Word::Input(bytes.to_vec())),
            Message::Text(text) => match serde_json::from_str(text.as_str()) {
                Ok(TerminalWord::Window(columns, rows)) => Some(Word::Window(Window { columns, rows })),
                Ok(TerminalWord::Signal(number)) => Some(Word::Signal(number)),
                Ok(TerminalWord::EndOfInput) => Some(Word::EndOfInput),
                // A client of a later version knows more words.
                Err(_) => None,
            },
            Message::Close(_) => return,
            Message::Ping(_) | Message::Pong(_) => None,
        };
        if let Some(word) = word
            && !input.tell(&word).await
        {
            // It has ended; its output tells how.
            std::future::pending::<()>().await;
        }
    }
}

/// Passes output on until the process has ended, and returns how; none where the client takes no more, or nobody knows.
async fn say(sender: &mut Sender, mut output: Output) -> Option<Said> {
    let mut ping = tokio::time::interval(PING);
    loop {
        let said = tokio::select! {
            said = output.next() => said.ok().flatten()?,
            _ = ping.tick() => {
                sender.send(Message::Ping(Bytes::new())).await.ok()?;
                continue;
            }
        };
        let (stream, bytes) = match said {
            Said::Output(bytes) => (1, bytes),
            Said::Error(bytes) => (2, bytes),
            Said::Started(_) => continue,
            end => return Some(end),
        };
        let mut message = BytesMut::with_capacity(1 + bytes.len());
        message.put_u8(stream);
        message.put_slice(&bytes);
        sender.send(Message::Binary(message.freeze())).await.ok()?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_cut_into_lines_whatever_the_pieces() {
        let (mut lines, mut events) = (Lines::default(), Vec::new());
        lines.add("stdout", b"one\ntw", &mut events);
        lines.add("stderr", b"bad", &mut events);
        lines.add("stdout", b"o\n\n", &mut events);
        lines.add("stdout", &[b'x'; LINE_BYTES_MAX + 3], &mut events);
        lines.finish(&mut events);
        let texts: Vec<(String, usize)> = events
            .iter()
            .map(|event| match event {
                ExecEvent::Line { stream, text } => (stream.clone(), text.len()),
                other => panic!("{other:?}"),
            })
            .collect();
        let wanted =
            [("stdout", 3), ("stdout", 3), ("stdout", 0), ("stdout", LINE_BYTES_MAX), ("stderr", 3), ("stdout", 3)];
        assert_eq!(texts, wanted.map(|(stream, length)| (stream.to_string(), length)));
    }

    #[test]
    fn words_have_their_form() {
        let word = |text: &str| serde_json::from_str::<TerminalWord>(text).unwrap();
        assert_eq!(word(r#"{"window":[132,50]}"#), TerminalWord::Window(132, 50));
        assert_eq!(word(r#"{"signal":15}"#), TerminalWord::Signal(15));
        assert_eq!(word(r#""end_of_input""#), TerminalWord::EndOfInput);
        let ended = serde_json::to_string(&ExecEvent::Ended { code: 3 }).unwrap();
        assert_eq!(ended, r#"{"ended":{"code":3}}"#);
        let asked: Exec = serde_json::from_str(r#"{"terminal":[80,24]}"#).unwrap();
        assert_eq!(asked.request().command, SHELL.map(str::to_string));
    }
}
