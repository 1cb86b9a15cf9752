//! Protocol between a shim and its agents: lines of JSON over a Unix socket.
//!
//! The shim greets with [`Hello`]. An agent sends [`Request`]s, each with the version that it speaks and a number of its own; each is answered by one
//! [`Message::Answer`] with that number, in their order. [`Message::Event`] and [`Message::Log`] come between answers once they were asked for. Answers and
//! messages may get further fields within a version, so readers pass over unknown ones; requests may not, so that nothing asked for is left
//! out in silence. A shim speaks every version from [`PROTOCOL_OLDEST`] to [`PROTOCOL_NEWEST`], an agent the newest and the one before.

use serde::{Deserialize, Serialize};

use crate::log::{Filter, Position, Stream};

/// Oldest version that this shim speaks.
pub const PROTOCOL_OLDEST: u32 = 1;
/// Newest version that this shim speaks.
pub const PROTOCOL_NEWEST: u32 = 1;
/// Longest request, bytes: names and filters, many times over.
pub const REQUEST_BYTES_MAX: usize = 64 << 10;
/// Longest note of a pause, bytes: a sentence for people.
pub const NOTE_BYTES_MAX: usize = 1 << 10;

/// First line of the shim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Name of the instance.
    pub shim: String,
    /// Version of the binary.
    pub version: String,
    /// Oldest protocol that it speaks.
    pub protocol_oldest: u32,
    /// Newest protocol that it speaks.
    pub protocol_newest: u32,
    /// Number of the shim's process.
    pub pid: u32,
}

/// Line of an agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Version of the protocol that it is in.
    pub v: u32,
    /// Number that the answer repeats.
    pub id: u64,
    /// The request.
    #[serde(rename = "do")]
    pub action: Action,
}

/// Request of an agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// Says the status.
    Status,
    /// Starts what is stopped or waits; lets a held one go on; has no effect on one that runs.
    Start,
    /// Stops and keeps stopped. The answer comes at once, the end as an event.
    Stop(Ending),
    /// Stops and starts again.
    Restart(Ending),
    /// Notes that the agent froze the instance on purpose; nothing is started by policy, and nothing is stopped, until resumed.
    Pause {
        /// Reason for people.
        note: String,
    },
    /// Takes the note back.
    Resume,
    /// Sends an [`Event`] at every change from now on.
    Watch,
    /// Sends records of the log from a place on, and goes on with new ones.
    Follow {
        /// Place to begin.
        from: Position,
        /// Wanted records.
        #[serde(default)]
        filter: Filter,
    },
    /// Ends following.
    Unfollow,
    /// Stops the instance and ends the shim.
    Leave(Ending),
}

/// Way to stop; what is left out is as the configuration says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ending {
    /// Name or number of the asking signal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<String>,
    /// Time until SIGKILL, milliseconds; 0 kills at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grace_ms: Option<u64>,
}

/// Line of the shim after its greeting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Message {
    /// Answer to a request.
    Answer {
        /// Number of the request.
        id: u64,
        /// Status after the request, or its refusal.
        #[serde(flatten)]
        result: Outcome,
    },
    /// Change of the instance, for those who watch.
    Event(Box<Event>),
    /// Record of the log, for those who follow.
    Log(Line),
    /// Records that cannot be had any more: dropped, or removed before they were read.
    Missing {
        /// Sequence of the first one.
        first: u64,
        /// Sequence of the last one.
        last: u64,
    },
    /// Last line before the shim closes the connection.
    Closed(Refusal),
}

/// Result of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was taken; the status after it.
    Ok(Box<Status>),
    /// It was refused, and nothing has changed.
    Error(Refusal),
}

/// Reason of a refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Stable word for programs.
    pub code: RefusalCode,
    /// Sentence for people.
    pub text: String,
}

/// Kinds of refusals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalCode {
    /// The line is no request.
    Malformed,
    /// The version is not spoken here.
    Version,
    /// A value is out of its bounds.
    Value,
    /// The instance is paused.
    Paused,
    /// The shim is ending.
    Leaving,
    /// There are too many connections.
    Busy,
    /// The log cannot be read.
    Log,
    /// Whoever connected is neither root nor the user of the shim.
    Forbidden,
}

/// Stage of an instance's life, as agents see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Nothing runs and nothing is planned.
    Stopped,
    /// A helper makes the container.
    Creating,
    /// The container waits for `start`.
    Created,
    /// A helper starts the container.
    Starting,
    /// It runs.
    Running,
    /// It was asked to stop and still runs.
    Stopping,
    /// The first process is gone, the rest is cleared away.
    Ending,
    /// The next start is due.
    Waiting,
}

/// Cause of an instance's end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The first process ended by itself.
    Exited {
        /// Its code.
        code: i32,
    },
    /// A signal ended the first process.
    Killed {
        /// Number.
        signal: i32,
        /// Name with `SIG`.
        name: String,
    },
    /// There was no first process: its helper failed.
    NotCreated {
        /// The helper's end or the system's word.
        reason: String,
    },
    /// The first process never ran the application: the helper failed to start it, and it was killed.
    NotStarted {
        /// The helper's end or the system's word.
        reason: String,
    },
    /// An earlier shim died with the instance, and nobody saw how it ended.
    Unseen,
}

/// End of one run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// Number of the run.
    pub run: u64,
    /// Time, milliseconds since 1970.
    pub at_unix_ms: u64,
    /// Time between the beginning of its creation and its end, milliseconds.
    pub lasted_ms: u64,
    /// Cause.
    pub cause: Cause,
    /// The kernel killed a process of it for want of memory during the run.
    pub out_of_memory: bool,
    /// Somebody had asked for the end.
    pub asked: bool,
    /// Sequence of the run's first record in the log.
    pub log_first: u64,
    /// Sequence after the run's last record: the lines before it are its last words.
    pub log_next: u64,
}

/// First process of an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct First {
    /// Number of the process.
    pub pid: u32,
    /// Start, in the clock ticks of `/proc/PID/stat`: with the number it names one process of this boot.
    pub start_ticks: u64,
    /// Signal that has stopped it (SIGSTOP and its like), if one has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped_by: Option<i32>,
}

/// Log of an instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogStatus {
    /// Oldest sequence that is there.
    pub oldest: u64,
    /// Next sequence.
    pub next: u64,
    /// Size of all files, bytes.
    pub bytes: u64,
    /// Lines dropped since the shim started.
    pub lines_dropped: u64,
    /// Bytes of text dropped since the shim started.
    pub bytes_dropped: u64,
    /// Reason for which lines are dropped at present.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropping: Option<String>,
}

/// Everything that a shim knows of its instance; `state.json` holds it too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Name of the instance.
    pub name: String,
    /// Version of the shim.
    pub version: String,
    /// Number of the shim's process.
    pub shim_pid: u32,
    /// Boot of the machine, from `/proc/sys/kernel/random/boot_id`.
    pub boot: String,
    /// Stage.
    pub state: State,
    /// It is to run, now or again.
    pub wanted: bool,
    /// It ended too often in too short a time, and is tried seldom.
    pub crash_loop: bool,
    /// Number of the present or last run.
    pub run: u64,
    /// Starts by policy.
    pub restarts: u64,
    /// First process, while there is one.
    pub first: Option<First>,
    /// Time until the next start by policy, milliseconds.
    pub next_start_ms: Option<u64>,
    /// Note of a pause.
    pub paused: Option<String>,
    /// Last ends, oldest first.
    pub ends: Vec<End>,
    /// Out-of-memory kills that the kernel counts for the present container; none where its files cannot be read.
    pub oom_kills: Option<u64>,
    /// Log.
    pub log: LogStatus,
}

/// Change of an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Status after it.
    pub status: Status,
}

/// Record of a log in JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Number in the instance's log.
    pub sequence: u64,
    /// Microseconds since 1970.
    pub time_us: u64,
    /// Origin.
    pub stream: Stream,
    /// The line goes on in the next record of its stream.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub goes_on: bool,
    /// Text; bytes that are no UTF-8 are replaced, and the log files keep them.
    pub text: String,
}

/// Reads a request.
///
/// # Errors
/// The refusal to answer with, and the request's number where it could be read.
pub fn parse(line: &[u8]) -> Result<Request, (u64, Refusal)> {
    /// The part of a request that every version has.
    #[derive(Deserialize)]
    struct Head {
        v: u32,
        id: u64,
    }
    let malformed = |cause: serde_json::Error| {
        let text = format!(r#"a request is a line like {{"v":1,"id":1,"do":"status"}}: {cause}"#);
        Refusal { code: RefusalCode::Malformed, text }
    };
    let head: Head = serde_json::from_slice(line).map_err(|cause| (0, malformed(cause)))?;
    if !(PROTOCOL_OLDEST..=PROTOCOL_NEWEST).contains(&head.v) {
        let text = format!("version {} is not spoken here, {PROTOCOL_OLDEST} to {PROTOCOL_NEWEST} are", head.v);
        return Err((head.id, Refusal { code: RefusalCode::Version, text }));
    }
    serde_json::from_slice(line).map_err(|cause| (head.id, malformed(cause)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Lines of version 1, which later shims have to understand.
    #[test]
    fn requests_of_version_1() {
        let stop = Ending { signal: Some("INT".into()), grace_ms: Some(5) };
        let filter = Filter { contains: Some("x".into()), ..Filter::default() };
        let cases = [
            (r#"{"v":1,"id":1,"do":"status"}"#, Action::Status),
            (r#"{"v":1,"id":1,"do":"start"}"#, Action::Start),
            (r#"{"v":1,"id":1,"do":{"stop":{"signal":"INT","grace_ms":5}}}"#, Action::Stop(stop)),
            (r#"{"v":1,"id":1,"do":{"restart":{}}}"#, Action::Restart(Ending::default())),
            (r#"{"v":1,"id":1,"do":{"pause":{"note":"backup"}}}"#, Action::Pause { note: "backup".into() }),
            (r#"{"v":1,"id":1,"do":"resume"}"#, Action::Resume),
            (r#"{"v":1,"id":1,"do":"watch"}"#, Action::Watch),
            (
                r#"{"v":1,"id":1,"do":{"follow":{"from":{"sequence":7},"filter":{"contains":"x"}}}}"#,
                Action::Follow { from: Position::Sequence(7), filter },
            ),
            (
                r#"{"v":1,"id":1,"do":{"follow":{"from":"oldest"}}}"#,
                Action::Follow { from: Position::Oldest, filter: Filter::default() },
            ),
            (r#"{"v":1,"id":1,"do":"unfollow"}"#, Action::Unfollow),
            (r#"{"v":1,"id":1,"do":{"leave":{}}}"#, Action::Leave(Ending::default())),
        ];
        for (text, action) in cases {
            assert_eq!(parse(text.as_bytes()).unwrap(), Request { v: 1, id: 1, action }, "{text}");
        }
    }

    #[test]
    fn refusals_name_the_request_where_they_can() {
        let refused = |text: &str| parse(text.as_bytes()).map_err(|(id, refusal)| (id, refusal.code)).unwrap_err();
        assert_eq!(refused("{"), (0, RefusalCode::Malformed));
        assert_eq!(refused(r#"{"v":2,"id":5,"do":{"dance":1},"new":1}"#), (5, RefusalCode::Version));
        assert_eq!(refused(r#"{"v":1,"id":5,"do":"dance"}"#), (5, RefusalCode::Malformed));
        assert_eq!(refused(r#"{"v":1,"id":5,"do":"status","also":1}"#), (5, RefusalCode::Malformed));
        assert_eq!(refused(r#"{"v":1,"id":5,"do":{"stop":{"grace":1}}}"#), (5, RefusalCode::Malformed));
    }

    #[test]
    fn messages_of_version_1() {
        let refusal = Refusal { code: RefusalCode::Paused, text: "t".into() };
        let text = serde_json::to_string(&Message::Answer { id: 3, result: Outcome::Error(refusal.clone()) }).unwrap();
        assert_eq!(text, r#"{"answer":{"id":3,"error":{"code":"paused","text":"t"}}}"#);
        let line = Line { sequence: 1, time_us: 2, stream: Stream::Stderr, goes_on: false, text: "x".into() };
        let text = serde_json::to_string(&Message::Log(line)).unwrap();
        assert_eq!(text, r#"{"log":{"sequence":1,"time_us":2,"stream":"stderr","text":"x"}}"#);
        let text = r#"{"missing":{"first":1,"last":2,"later":"field"}}"#;
        assert_eq!(serde_json::from_str::<Message>(text).unwrap(), Message::Missing { first: 1, last: 2 });
        let text = serde_json::to_string(&Message::Closed(refusal)).unwrap();
        assert_eq!(text, r#"{"closed":{"code":"paused","text":"t"}}"#);
    }

    /// Every line of JSON in the document is what it says.
    #[test]
    fn the_document_is_true() {
        let document = include_str!("../../../docs/spec/shim.md");
        let (mut requests, mut messages) = (0, 0);
        for line in document.lines().filter(|line| line.starts_with('{')) {
            if line.starts_with(r#"{"v""#) {
                parse(line.as_bytes()).unwrap_or_else(|(_, refusal)| panic!("{line}: {}", refusal.text));
                requests += 1;
            } else if line.starts_with(r#"{"shim""#) {
                serde_json::from_str::<Hello>(line).unwrap();
            } else if line.starts_with(r#"{"ready""#) || line.starts_with(r#"{"failed""#) {
                serde_json::from_str::<crate::start::Word>(line).unwrap();
            } else {
                let message: Message = serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
                assert_eq!(serde_json::to_string(&message).unwrap(), line, "nothing is left out and nothing unknown");
                messages += 1;
            }
        }
        assert_eq!((requests, messages), (11, 5));
    }

    proptest! {
        #[test]
        fn no_line_makes_parsing_fail(line in prop::collection::vec(any::<u8>(), 0..200), text in "\\{\"v\":1,\"id\":[0-9]{1,3},\"do\":.{0,60}\\}") {
            let _ = parse(&line);
            let _ = parse(text.as_bytes());
        }
    }
}
