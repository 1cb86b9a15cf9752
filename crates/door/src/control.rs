//! The agent's side: lines of JSON over a Unix socket.
//!
//! A request is one line: `{"configure": DOCUMENT}`, `"report"`, `"follow"`, `{"retire": {"within_ms": 30000}}` or `"hand_over"`. Each has one
//! line as its answer; `follow` has one for each change until the agent hangs up. Root and the door's own user are served, nobody else.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};

use crate::door::{ApplyError, Door};
use crate::limits::{DOCUMENT_BYTES_MAX, DRAIN_MS_DEFAULT, DRAIN_MS_MAX, FOLLOW_MS, FOLLOW_PAUSE_MS};
use crate::protocol::{Ask, SaidProblem, Tell};
use crate::report::Report;
use crate::takeover;

/// Serves agents until the door has left.
pub async fn serve(door: Arc<Door>, listener: UnixListener) {
    let gone = door.leaving().cut;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = gone.cancelled() => return,
        };
        match accepted {
            Ok((stream, _)) if is_ours(&stream) => {
                let door = door.clone();
                // Its errors are those of an agent that hung up.
                tokio::spawn(async move { client(door, stream).await.is_ok() });
            }
            Ok(_) => {}
            Err(_) => tokio::time::sleep(Duration::from_millis(FOLLOW_PAUSE_MS)).await,
        }
    }
}

/// Returns true for root and the door's own user.
fn is_ours(stream: &UnixStream) -> bool {
    let own = rustix::process::geteuid().as_raw();
    stream.peer_cred().is_ok_and(|peer| peer.uid() == 0 || peer.uid() == own)
}

async fn client(door: Arc<Door>, stream: UnixStream) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut line = Vec::new();
        // One byte more than a good line has: its end.
        let most = DOCUMENT_BYTES_MAX as u64 + 64;
        let count = (&mut stream).take(most).read_until(b'\n', &mut line).await?;
        if count == 0 {
            return Ok(());
        }
        if line.last() != Some(&b'\n') {
            let text = format!("a line without an end within {most} bytes");
            return say(&mut stream, &Tell::Failed(text)).await;
        }
        match serde_json::from_slice(&line) {
            Ok(Ask::Configure(document)) => {
                let told = told(door.apply(*document).await);
                say(&mut stream, &told).await?;
            }
            Ok(Ask::Report) => say(&mut stream, &Tell::Report(door.report())).await?,
            Ok(Ask::Follow) => return follow(&door, stream).await,
            Ok(Ask::Retire { within_ms }) => {
                let within = Duration::from_millis(within_ms.min(DRAIN_MS_MAX));
                let leaving = door.clone();
                tokio::spawn(async move { leaving.retire(within).await });
                door.leaving().ask.cancelled().await;
                say(&mut stream, &Tell::Retiring(door.report())).await?;
            }
            Ok(Ask::HandOver) => {
                let stream = stream.into_inner().into_std()?;
                door.hand_over(|document, sockets| takeover::give(stream, document, sockets)).await?;
                // The successor serves.
                door.retire(Duration::from_millis(DRAIN_MS_DEFAULT)).await;
                return Ok(());
            }
            Err(error) => say(&mut stream, &Tell::Failed(format!("not understood: {error}"))).await?,
        }
    }
}

fn told(outcome: Result<Report, ApplyError>) -> Tell {
    match outcome {
        Ok(report) => Tell::Configured(report),
        Err(ApplyError::Problems(problems)) => {
            let said =
                problems.into_iter().map(|problem| SaidProblem { text: problem.fault.to_string(), path: problem.path });
            Tell::Refused(said.collect())
        }
        Err(ApplyError::Bind { address, source }) => {
            Tell::Unbound { address, text: ApplyError::Bind { address, source }.to_string() }
        }
        Err(error) => Tell::Failed(error.to_string()),
    }
}

async fn say(stream: &mut BufReader<UnixStream>, tell: &Tell) -> io::Result<()> {
    let mut line = serde_json::to_vec(tell)?;
    line.push(b'\n');
    stream.write_all(&line).await?;
    stream.flush().await
}

/// Says the state whenever it differs from what was said last: at once after an event, each second for mere counts, and never faster than
/// [`FOLLOW_PAUSE_MS`].
async fn follow(door: &Arc<Door>, mut stream: BufReader<UnixStream>) -> io::Result<()> {
    let mut news = door.news();
    let mut last = None;
    loop {
        news.mark_unchanged();
        let report = door.report();
        if last.as_ref() != Some(&report) {
            say(&mut stream, &Tell::Report(report.clone())).await?;
            last = Some(report);
        }
        tokio::time::sleep(Duration::from_millis(FOLLOW_PAUSE_MS)).await;
        let mut byte = [0];
        tokio::select! {
            _ = news.changed() => {}
            () = tokio::time::sleep(Duration::from_millis(FOLLOW_MS)) => {}
            // An agent that hangs up is not waited for.
            count = stream.read(&mut byte) => if count? == 0 { return Ok(()) },
        }
    }
}

/// The agent's end of the socket.
#[derive(Debug)]
pub struct Agent(BufReader<UnixStream>);

impl Agent {
    /// Connects to a door.
    ///
    /// # Errors
    /// Those of the system.
    pub async fn connect(socket: &std::path::Path) -> io::Result<Agent> {
        Ok(Agent(BufReader::new(UnixStream::connect(socket).await?)))
    }

    /// Sends a request.
    ///
    /// # Errors
    /// Those of the system.
    pub async fn ask(&mut self, ask: &Ask) -> io::Result<()> {
        let mut line = serde_json::to_vec(ask)?;
        line.push(b'\n');
        self.0.write_all(&line).await
    }

    /// Reads the next answer.
    ///
    /// # Errors
    /// Those of the system, an answer that is not understood, and the end of the door (`UnexpectedEof`).
    pub async fn hear(&mut self) -> io::Result<Tell> {
        let mut line = Vec::new();
        if self.0.read_until(b'\n', &mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(serde_json::from_slice(&line)?)
    }
}
