//! The agent's end of the door's control socket, which waits for nobody longer than it says.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use openmesh_door::protocol::{Ask, Tell};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

/// Largest answer, bytes: a report of every route and instance that a door may have, many times over.
const ANSWER_BYTES_MAX: usize = 32 << 20;
/// Bytes that are read at once.
const READ_BYTES: usize = 64 << 10;

/// Reason for which a door does not answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No process listens at the socket.
    #[error("no door listens there")]
    Nobody,
    /// It did not answer in time: it is busy, or stopped by a signal.
    #[error("the door does not answer in time")]
    Late,
    /// It ended the connection.
    #[error("the door ended the connection")]
    Ended,
    /// The system's word.
    #[error("{0}")]
    System(io::Error),
    /// An answer that is not understood.
    #[error("an answer of the door is not understood: {0}; it is one of another version")]
    Answer(String),
}

impl From<io::Error> for ClientError {
    fn from(error: io::Error) -> ClientError {
        match error.kind() {
            ErrorKind::NotFound | ErrorKind::ConnectionRefused => ClientError::Nobody,
            ErrorKind::WouldBlock | ErrorKind::TimedOut => ClientError::Late,
            ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => ClientError::Ended,
            _ => ClientError::System(error),
        }
    }
}

/// A connection to a door.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    read: Vec<u8>,
}

impl Client {
    /// Connects. A door that takes no connection now is late at once: its queue is full.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn connect(socket: &Path) -> Result<Client, ClientError> {
        let system = |errno: rustix::io::Errno| ClientError::from(io::Error::from(errno));
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let made = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).map_err(system)?;
        connect(&made, &SocketAddrUnix::new(socket).map_err(system)?).map_err(system)?;
        let stream = UnixStream::from(made);
        stream.set_nonblocking(false)?;
        Ok(Client { stream, read: Vec::new() })
    }

    /// Sends a request.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn say(&mut self, ask: &Ask, until: Instant) -> Result<(), ClientError> {
        let mut line = serde_json::to_vec(ask).map_err(|error| ClientError::System(error.into()))?;
        line.push(b'\n');
        let mut rest = line.as_slice();
        while !rest.is_empty() {
            self.stream.set_write_timeout(Some(left(until)?))?;
            match self.stream.write(rest) {
                Ok(0) => return Err(ClientError::Ended),
                Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Reads the next answer. One that has come in part is kept for the next call.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn hear(&mut self, until: Instant) -> Result<Tell, ClientError> {
        let mut looked = 0;
        loop {
            let end = self.read.iter().skip(looked).position(|byte| *byte == b'\n').map(|at| looked + at);
            if let Some(end) = end {
                let line: Vec<u8> = self.read.drain(..=end).collect();
                return serde_json::from_slice(&line).map_err(|error| ClientError::Answer(error.to_string()));
            }
            looked = self.read.len();
            if looked > ANSWER_BYTES_MAX {
                return Err(ClientError::Answer(format!("it has more than {ANSWER_BYTES_MAX} bytes")));
            }
            let mut part = vec![0; READ_BYTES];
            self.stream.set_read_timeout(Some(left(until)?))?;
            match self.stream.read(&mut part) {
                Ok(0) => return Err(ClientError::Ended),
                Ok(count) => self.read.extend(part.iter().take(count)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Asks a door and waits for its answer.
///
/// # Errors
/// [`ClientError`].
pub fn ask(socket: &Path, ask: &Ask, until: Instant) -> Result<Tell, ClientError> {
    let mut client = Client::connect(socket)?;
    client.say(ask, until)?;
    client.hear(until)
}

fn left(until: Instant) -> Result<Duration, ClientError> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(ClientError::Late) } else { Ok(left) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn nobody_is_waited_for_longer_than_was_said() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let soon = || Instant::now() + Duration::from_millis(50);
        assert!(matches!(ask(&socket, &Ask::Report, soon()), Err(ClientError::Nobody)));
        let bound = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
        rustix::net::bind(&bound, &SocketAddrUnix::new(&socket).unwrap()).unwrap();
        rustix::net::listen(&bound, 1).unwrap();
        let listener = UnixListener::from(bound);
        // Nobody accepts: the kernel takes the connection, and the answer is late.
        assert!(matches!(ask(&socket, &Ask::Report, soon()), Err(ClientError::Late)));
        // Its queue fills, and from then on connecting itself is late.
        let mut kept = Vec::new();
        let late = loop {
            match Client::connect(&socket) {
                Ok(client) => kept.push(client),
                Err(error) => break error,
            }
        };
        assert!(matches!(late, ClientError::Late), "{late}");
        drop((kept, listener));
        assert!(matches!(ask(&socket, &Ask::Report, soon()), Err(ClientError::Nobody)));
    }

    #[test]
    fn answers_come_in_parts_and_several_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let listener = UnixListener::bind(&socket).unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = [0; 9];
            stream.read_exact(&mut asked).unwrap();
            stream.write_all(b"{\"failed\":\"one\"}\n{\"fai").unwrap();
            stream.write_all(b"led\":\"two\"}\nno\n").unwrap();
            asked
        });
        let until = Instant::now() + Duration::from_secs(60);
        let mut client = Client::connect(&socket).unwrap();
        client.say(&Ask::Report, until).unwrap();
        for word in ["one", "two"] {
            assert_eq!(client.hear(until).unwrap(), Tell::Failed(word.to_string()));
        }
        assert!(matches!(client.hear(until), Err(ClientError::Answer(_))));
        assert!(matches!(client.hear(until), Err(ClientError::Ended)));
        assert_eq!(&server.join().unwrap(), b"\"report\"\n");
    }
}
