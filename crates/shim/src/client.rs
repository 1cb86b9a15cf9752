//! Blocking client of a shim, for programs without a runtime and for tests. An agent with a runtime speaks the same types over its own socket.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::protocol::{Action, Hello, Message, Outcome, PROTOCOL_NEWEST, PROTOCOL_OLDEST, Refusal, Request, Status};

/// Longest line that is taken from a shim, bytes: a status with all its ends, many times over.
const LINE_BYTES_MAX: u64 = 4 << 20;

/// Failure of a conversation with a shim.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody answers at the socket.
    #[error("the shim at {path} cannot be reached: {cause}")]
    Unreachable {
        /// The socket.
        path: PathBuf,
        /// The system's word.
        cause: std::io::Error,
    },
    /// The conversation broke off.
    #[error("the conversation with the shim broke off: {0}")]
    Broken(#[from] std::io::Error),
    /// The shim said something that is not in the protocol.
    #[error("the shim said something that is not in the protocol: {0}")]
    Malformed(#[from] serde_json::Error),
    /// The shim and this client share no version.
    #[error("the shim speaks versions {oldest} to {newest}, this client {PROTOCOL_OLDEST} to {PROTOCOL_NEWEST}")]
    Version {
        /// Oldest version of the shim.
        oldest: u32,
        /// Newest version of the shim.
        newest: u32,
    },
    /// The shim refused the request, or closed the connection with this word.
    #[error("the shim refused: {}", .0.text)]
    Refused(Refusal),
    /// The time given is over.
    #[error("the shim did not get there in time; its last state is {0}")]
    Late(String),
}

/// Connection to a shim.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<UnixStream>,
    hello: Hello,
    version: u32,
    last_id: u64,
    waiting: VecDeque<Message>,
    /// Beginning of a line whose rest has not come in time.
    begun: Vec<u8>,
}

impl Client {
    /// Connects and takes the greeting. Every answer is waited for at most so long.
    ///
    /// # Errors
    /// Nobody answers, or no version is shared.
    pub fn connect(path: &Path, limit: Duration) -> Result<Client, ClientError> {
        let unreachable = |cause| ClientError::Unreachable { path: path.into(), cause };
        let stream = UnixStream::connect(path).map_err(unreachable)?;
        stream.set_read_timeout(Some(limit)).map_err(unreachable)?;
        stream.set_write_timeout(Some(limit)).map_err(unreachable)?;
        let mut stream = BufReader::new(stream);
        let line = read_line(&mut stream, &mut Vec::new())?;
        let hello: Hello = match serde_json::from_slice(&line) {
            Ok(hello) => hello,
            // Instead of a greeting comes the reason for closing.
            Err(error) => match serde_json::from_slice(&line) {
                Ok(Message::Closed(refusal)) => return Err(ClientError::Refused(refusal)),
                _ => return Err(error.into()),
            },
        };
        let (oldest, newest) = (hello.protocol_oldest, hello.protocol_newest);
        let version = newest.min(PROTOCOL_NEWEST);
        if version < oldest.max(PROTOCOL_OLDEST) {
            return Err(ClientError::Version { oldest, newest });
        }
        Ok(Client { stream, hello, version, last_id: 0, waiting: VecDeque::new(), begun: Vec::new() })
    }

    /// Greeting of the shim.
    pub fn hello(&self) -> &Hello {
        &self.hello
    }

    /// Asks, and returns the status after it. Events and records that come before the answer are kept for [`Client::next_message`].
    ///
    /// # Errors
    /// It was refused, or the conversation broke off.
    pub fn ask(&mut self, action: Action) -> Result<Status, ClientError> {
        self.last_id += 1;
        let request = Request { v: self.version, id: self.last_id, action };
        let mut line = serde_json::to_vec(&request)?;
        line.push(b'\n');
        self.stream.get_mut().write_all(&line)?;
        loop {
            match self.message()? {
                Message::Answer { id, result } if id == self.last_id => match result {
                    Outcome::Ok(status) => return Ok(*status),
                    Outcome::Error(refusal) => return Err(ClientError::Refused(refusal)),
                },
                Message::Closed(refusal) => return Err(ClientError::Refused(refusal)),
                other => self.waiting.push_back(other),
            }
        }
    }

    /// Next event, record or gap.
    ///
    /// # Errors
    /// The conversation broke off, or nothing came in time.
    pub fn next_message(&mut self) -> Result<Message, ClientError> {
        match self.waiting.pop_front() {
            Some(message) => Ok(message),
            None => self.message(),
        }
    }

    /// Watches until a status is as wanted, and returns it.
    ///
    /// # Errors
    /// The conversation broke off, or the time is over.
    pub fn wait(&mut self, limit: Duration, wanted: impl Fn(&Status) -> bool) -> Result<Status, ClientError> {
        let until = Instant::now() + limit;
        let mut status = self.ask(Action::Watch)?;
        while !wanted(&status) {
            if Instant::now() >= until {
                return Err(ClientError::Late(format!("{status:?}")));
            }
            match self.next_message() {
                Ok(Message::Event(event)) => status = event.status,
                Ok(Message::Closed(refusal)) => return Err(ClientError::Refused(refusal)),
                Ok(_) => {}
                Err(ClientError::Broken(error)) if error.kind() == ErrorKind::WouldBlock => {
                    status = self.ask(Action::Status)?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(status)
    }

    fn message(&mut self) -> Result<Message, ClientError> {
        Ok(serde_json::from_slice(&read_line(&mut self.stream, &mut self.begun)?)?)
    }
}

/// Reads a line after what of it has come already; what comes before an error is kept there.
fn read_line(stream: &mut BufReader<UnixStream>, begun: &mut Vec<u8>) -> Result<Vec<u8>, std::io::Error> {
    let left = LINE_BYTES_MAX.saturating_sub(begun.len() as u64);
    stream.take(left).read_until(b'\n', begun)?;
    let mut line = std::mem::take(begun);
    match line.pop() {
        Some(b'\n') => Ok(line),
        _ => Err(ErrorKind::UnexpectedEof.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_comes_in_two_parts_is_whole_after_a_timeout() {
        let (mut shim, own) = UnixStream::pair().unwrap();
        own.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let (mut stream, mut begun) = (BufReader::new(own), Vec::new());
        shim.write_all(b"{\"answer\":").unwrap();
        let late = read_line(&mut stream, &mut begun).unwrap_err();
        assert_eq!(late.kind(), ErrorKind::WouldBlock);
        shim.write_all(b"1}\n").unwrap();
        assert_eq!(read_line(&mut stream, &mut begun).unwrap(), b"{\"answer\":1}");
        assert!(begun.is_empty());
        drop(shim);
        assert_eq!(read_line(&mut stream, &mut begun).unwrap_err().kind(), ErrorKind::UnexpectedEof);
    }
}
