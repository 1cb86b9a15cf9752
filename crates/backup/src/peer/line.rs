//! A line between a guest and its lender: words and bytes over TLS, each with an end in time, whatever the other side does.
//!
//! Calls wait, and each belongs on a thread that may. After an error of the line itself nothing more can be said on it.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use borsh::{BorshDeserialize, BorshSerialize};
use rustls::{ClientConnection, Connection, ServerConnection};

use super::key::{NodeKey, NodePublicKey};
use super::tls;
use super::wire::PROTOCOL;

/// Longest time for a greeting: some packets and two signatures, on a slow line.
const GREETING: Duration = Duration::from_secs(10);
/// Longest time without a byte.
const STALL: Duration = Duration::from_secs(60);
/// Slowest rate of an object on the whole, bytes a second: beyond it whoever is slow on purpose holds a thread and room for days.
const RATE_BYTES_MIN: u64 = 4 << 10;
/// Bytes of an object that are written or read at a time.
pub const PIECE_BYTES: usize = 64 << 10;

/// Patience with the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Longest time for its greeting.
    pub greeting: Duration,
    /// Longest time without a byte of it.
    pub stall: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience { greeting: GREETING, stall: STALL }
    }
}

/// The settings of a lender's side, made once.
#[derive(Clone, Debug)]
pub struct Lender {
    tls: Arc<rustls::ServerConfig>,
    patience: Patience,
}

impl Lender {
    /// Settings of a key.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn new(own: &NodeKey) -> io::Result<Lender> {
        let tls = tls::server(own).map_err(io::Error::other)?;
        Ok(Lender { tls, patience: Patience::default() })
    }

    /// These settings with another patience.
    #[must_use]
    pub fn with(self, patience: Patience) -> Lender {
        Lender { patience, ..self }
    }

    /// Greets a guest, and returns its key, which has signed the greeting.
    ///
    /// # Errors
    /// It does not greet within its time, has no key, or speaks another protocol.
    pub fn greet(&self, socket: TcpStream) -> io::Result<(Line, NodePublicKey)> {
        let connection = ServerConnection::new(self.tls.clone()).map_err(io::Error::other)?;
        Line::greet(Connection::Server(connection), socket, self.patience)
    }
}

/// The settings of a guest's side, made once.
#[derive(Clone, Debug)]
pub struct Guest(Arc<rustls::ClientConfig>);

impl Guest {
    /// Settings of a key, for one lender.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn new(own: &NodeKey, lender: NodePublicKey) -> io::Result<Guest> {
        tls::client(own, lender).map(Guest).map_err(io::Error::other)
    }

    /// Greets the lender.
    ///
    /// # Errors
    /// It does not greet within its time, has another key, or speaks another protocol.
    pub fn greet(&self, socket: TcpStream) -> io::Result<Line> {
        let name = tls::name().map_err(io::Error::other)?;
        let connection = ClientConnection::new(self.0.clone(), name).map_err(io::Error::other)?;
        Line::greet(Connection::Client(connection), socket, Patience::default()).map(|(line, _)| line)
    }
}

/// A line to the other side.
#[derive(Debug)]
pub struct Line {
    connection: Connection,
    socket: TcpStream,
    /// Longest time without a byte.
    stall: Duration,
    /// Moment at which what is being said has to be over.
    until: Instant,
}

impl Line {
    fn greet(connection: Connection, socket: TcpStream, patience: Patience) -> io::Result<(Line, NodePublicKey)> {
        socket.set_nodelay(true)?;
        let until = Instant::now() + patience.greeting;
        let mut line = Line { connection, socket, stall: patience.greeting, until };
        while line.connection.is_handshaking() {
            if line.fill()? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        line.flush()?;
        line.stall = patience.stall;
        if line.connection.alpn_protocol() != Some(PROTOCOL) {
            return Err(wrong("the other side speaks another protocol, or another version of it"));
        }
        let shown = line.connection.peer_certificates().and_then(<[_]>::first);
        let key = shown.and_then(|shown| NodePublicKey::of_spki(shown));
        let key = key.ok_or_else(|| wrong("the other side has shown no key"))?;
        Ok((line, key))
    }

    /// Gives what is said next so much time, with what so many bytes of an object need at the slowest rate.
    pub fn allow(&mut self, time: Duration, bytes: u64) {
        self.until = Instant::now() + time + Duration::from_secs(bytes / RATE_BYTES_MIN);
    }

    /// Says a word.
    ///
    /// # Errors
    /// The line breaks, or the time is over.
    pub fn say(&mut self, word: &impl BorshSerialize) -> io::Result<()> {
        let word = borsh::to_vec(word)?;
        let length = u32::try_from(word.len()).map_err(io::Error::other)?;
        self.write(&[&length.to_le_bytes()[..], &word].concat())
    }

    /// Hears a word of at most so many bytes.
    ///
    /// # Errors
    /// The line breaks ([`io::ErrorKind::UnexpectedEof`] also where it ends in good order), the time is over, or what comes is no such word
    /// ([`io::ErrorKind::InvalidData`]).
    pub fn hear<T: BorshDeserialize>(&mut self, bytes_max: usize) -> io::Result<T> {
        let mut length = [0; 4];
        self.read_exact(&mut length)?;
        let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
        if length > bytes_max {
            return Err(wrong("the other side says a word that is too long"));
        }
        let mut word = vec![0; length];
        self.read_exact(&mut word)?;
        borsh::from_slice(&word).map_err(|_| wrong("the other side says a word that cannot be read"))
    }

    /// Writes bytes of an object.
    ///
    /// # Errors
    /// The line breaks, or the time is over.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        for piece in bytes.chunks(PIECE_BYTES) {
            let mut left = piece;
            while !left.is_empty() {
                let taken = self.connection.writer().write(left)?;
                self.flush()?;
                left = left.get(taken..).unwrap_or_default();
            }
        }
        Ok(())
    }

    /// Reads the next bytes of an object, at least one of them where any are wanted.
    ///
    /// # Errors
    /// The line breaks or ends, or the time is over.
    pub fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        loop {
            match self.connection.reader().read(bytes) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => {}
                read => return read,
            }
            self.fill()?;
        }
    }

    fn read_exact(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        let mut at = 0;
        while at < bytes.len() {
            let rest = bytes.get_mut(at..).unwrap_or_default();
            at += self.read(rest)?;
        }
        Ok(())
    }

    /// Ends the line in good order. Whoever does not hear it sees it end.
    pub fn end(mut self) {
        self.connection.send_close_notify();
        self.allow(Duration::from_secs(1), 0);
        let _ = self.flush();
    }

    /// Takes what the other side has sent, and returns the bytes of it; 0 at its end.
    fn fill(&mut self) -> io::Result<usize> {
        self.flush()?;
        let taken = loop {
            self.socket.set_read_timeout(Some(self.left()?))?;
            match self.connection.read_tls(&mut self.socket) {
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                taken => break taken.map_err(in_time)?,
            }
        };
        if let Err(error) = self.connection.process_new_packets() {
            // The alert tells the other side why; whether it hears it changes nothing here.
            let _ = self.flush();
            return Err(io::Error::new(io::ErrorKind::InvalidData, error));
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        while self.connection.wants_write() {
            self.socket.set_write_timeout(Some(self.left()?))?;
            match self.connection.write_tls(&mut self.socket) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                Err(cause) => return Err(in_time(cause)),
            }
        }
        Ok(())
    }

    /// Time for the next bytes.
    fn left(&self) -> io::Result<Duration> {
        let left = self.until.saturating_duration_since(Instant::now()).min(self.stall);
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
    }
}

/// A fault of the other side that no second try mends.
pub(super) fn wrong(words: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, words.to_string())
}

/// An error of a socket whose time is over, which the system calls by another name.
fn in_time(cause: io::Error) -> io::Error {
    if cause.kind() == io::ErrorKind::WouldBlock { io::ErrorKind::TimedOut.into() } else { cause }
}
