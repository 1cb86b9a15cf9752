//! Agents that are connected: requests in, answers, events and records out, and nothing of theirs ever holds the instance up.

use std::io::{ErrorKind, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use rustix::event::PollFlags;

use crate::log::{Filter, LogReader, Owned, Position};
use crate::protocol::{
    Action, Event, Hello, Line, Message, Outcome, PROTOCOL_NEWEST, PROTOCOL_OLDEST, REQUEST_BYTES_MAX, Refusal,
    RefusalCode, Request, Status, parse,
};

/// Connections at once: an old agent, a new one, and some people who follow logs.
pub const PEERS_MAX: usize = 16;
/// Bytes that wait for a reader before nothing more is made for it.
const WAITING_BYTES_MAX: usize = 64 << 10;
/// Time for which a reader may take nothing although something waits, milliseconds.
pub const STALL_MS_MAX: u64 = 30_000;
/// Bytes that are read from a connection at once.
const READ_BYTES: usize = 4 << 10;

#[derive(Debug)]
struct Follow {
    reader: LogReader,
    /// Sequence after the last record that the reader has seen written; it has to look again where more is written.
    seen: Option<u64>,
}

#[derive(Debug)]
struct Peer {
    stream: UnixStream,
    input: Vec<u8>,
    out: Vec<u8>,
    sent: usize,
    watches: bool,
    event_due: bool,
    follow: Option<Follow>,
    stalled_since: Option<u64>,
    /// Nothing more comes from it.
    ended: bool,
    /// The connection is closed as soon as what waits is sent.
    closing: bool,
    gone: bool,
}

/// Connections of a shim.
#[derive(Debug)]
pub struct Peers {
    listener: UnixListener,
    list: Vec<Peer>,
    hello: Hello,
}

impl Peers {
    /// No connections yet. The listener does not block.
    pub fn new(listener: UnixListener, name: &str) -> Self {
        let hello = Hello {
            shim: name.into(),
            version: env!("CARGO_PKG_VERSION").into(),
            protocol_oldest: PROTOCOL_OLDEST,
            protocol_newest: PROTOCOL_NEWEST,
            pid: std::process::id(),
        };
        Self { listener, list: Vec::new(), hello }
    }

    /// Descriptors to poll: the listener first, then each connection, in an order that holds until the next change.
    pub fn descriptors(&self) -> impl Iterator<Item = (BorrowedFd<'_>, PollFlags)> {
        let peers = self.list.iter().map(|peer| (peer.stream.as_fd(), peer.interest()));
        std::iter::once((self.listener.as_fd(), PollFlags::IN)).chain(peers)
    }

    /// Time at which a look is due although nothing is ready, if any: now where a follower can go on.
    pub fn deadline(&self, written: u64, now: u64) -> Option<u64> {
        let due = |peer: &Peer| match peer.has_room() && (peer.behind(written) || peer.event_due || peer.asks()) {
            true => Some(now),
            false => peer.stalled_since.map(|since| since + STALL_MS_MAX),
        };
        self.list.iter().filter_map(due).min()
    }

    /// Reads what the poll has said to be ready, in the order of [`Peers::descriptors`], and accepts new connections last.
    pub fn read(&mut self, ready: &[bool]) {
        let (listening, peers) = ready.split_first().map_or((false, ready), |(first, rest)| (*first, rest));
        for (peer, _) in self.list.iter_mut().zip(peers).filter(|(_, ready)| **ready) {
            peer.read();
        }
        // Who has gone makes room for who comes in the same moment.
        self.list.retain(|peer| !(peer.gone || peer.ended && peer.waiting() == 0 && !peer.asks()));
        if listening {
            self.accept();
        }
    }

    fn accept(&mut self) {
        while let Ok((stream, _)) = self.listener.accept() {
            if stream.set_nonblocking(true).is_err() {
                continue;
            }
            let mut peer = Peer::new(stream);
            let refusal = match (allowed(&peer.stream), self.list.len() < PEERS_MAX) {
                (true, true) => None,
                (true, false) => {
                    Some((RefusalCode::Busy, format!("{PEERS_MAX} connections are open, no more are taken")))
                }
                (false, _) => Some((RefusalCode::Forbidden, "only root and the user of the shim are served".into())),
            };
            match refusal {
                None => {
                    peer.line(&self.hello);
                    self.list.push(peer);
                }
                Some((code, text)) => {
                    peer.close(code, text);
                    peer.write(0);
                }
            }
        }
    }

    /// Takes the next whole request of any connection, and the connection's place. Lines that are none are answered here.
    pub fn next_request(&mut self) -> Option<(usize, Request)> {
        for (index, peer) in self.list.iter_mut().enumerate() {
            while let Some(line) = peer.take_line() {
                match parse(&line) {
                    Ok(request) => return Some((index, request)),
                    Err((id, refusal)) => peer.line(&Message::Answer { id, result: Outcome::Error(refusal) }),
                }
            }
        }
        None
    }

    /// Answers a request, and begins or ends what was asked of the connection itself.
    pub fn answer(&mut self, index: usize, request: Request, result: Outcome, logs: &Path) {
        let Some(peer) = self.list.get_mut(index) else { return };
        if matches!(result, Outcome::Ok(_)) {
            match request.action {
                Action::Watch => peer.watches = true,
                Action::Follow { from, filter } => peer.follow = Some(Follow::new(logs, from, filter)),
                Action::Unfollow => peer.follow = None,
                _ => {}
            }
        }
        peer.line(&Message::Answer { id: request.id, result });
    }

    /// Notes that those who watch have to learn of a change.
    pub fn changed(&mut self) {
        self.list.iter_mut().for_each(|peer| peer.event_due = peer.watches);
    }

    /// Makes what can be made for each connection, sends what it takes, and drops those that are gone or take nothing.
    pub fn send(&mut self, written: u64, now: u64, status: impl Fn() -> Status) {
        for peer in &mut self.list {
            if peer.event_due && peer.has_room() {
                peer.event_due = false;
                peer.line(&Message::Event(Box::new(Event { status: status() })));
            }
            peer.fill(written);
            peer.write(now);
        }
        self.list.retain(|peer| !peer.gone);
    }

    /// Sends what the connections take at once, before the shim ends.
    pub fn close(&mut self) {
        for peer in &mut self.list {
            peer.close(RefusalCode::Leaving, "the shim ends".into());
            peer.write(0);
        }
        self.list.clear();
    }
}

/// Returns true where the other side is root or the user of this process.
fn allowed(stream: &UnixStream) -> bool {
    let own = rustix::process::geteuid();
    rustix::net::sockopt::socket_peercred(stream).is_ok_and(|peer| peer.uid.is_root() || peer.uid == own)
}

impl Follow {
    fn new(logs: &Path, from: Position, filter: Filter) -> Self {
        Self { reader: LogReader::new(logs, from, filter), seen: None }
    }
}

impl Peer {
    fn new(stream: UnixStream) -> Self {
        Self {
            stream,
            input: Vec::new(),
            out: Vec::new(),
            sent: 0,
            watches: false,
            event_due: false,
            follow: None,
            stalled_since: None,
            ended: false,
            closing: false,
            gone: false,
        }
    }

    fn waiting(&self) -> usize {
        self.out.len() - self.sent
    }

    fn has_room(&self) -> bool {
        self.waiting() < WAITING_BYTES_MAX && !self.closing
    }

    /// Returns true where there are records that the follower has not looked at.
    fn behind(&self, written: u64) -> bool {
        self.follow.as_ref().is_some_and(|follow| follow.seen != Some(written))
    }

    /// Returns true where a whole request waits to be taken.
    fn asks(&self) -> bool {
        self.input.contains(&b'\n')
    }

    fn interest(&self) -> PollFlags {
        let mut flags = PollFlags::empty();
        // Requests wait where their answers do.
        if !self.ended && self.has_room() {
            flags |= PollFlags::IN;
        }
        if self.waiting() > 0 {
            flags |= PollFlags::OUT;
        }
        flags
    }

    fn line(&mut self, message: &impl serde::Serialize) {
        if let Ok(mut bytes) = serde_json::to_vec(message) {
            self.out.append(&mut bytes);
            self.out.push(b'\n');
        }
    }

    fn close(&mut self, code: RefusalCode, text: String) {
        if !self.closing {
            self.line(&Message::Closed(Refusal { code, text }));
            (self.closing, self.follow, self.watches) = (true, None, false);
        }
    }

    fn read(&mut self) {
        if self.ended || !self.has_room() {
            return;
        }
        let mut buffer = [0; READ_BYTES];
        match self.stream.read(&mut buffer) {
            Ok(0) => self.ended = true,
            Ok(count) => self.input.extend_from_slice(&buffer[..count]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(_) => self.gone = true,
        }
    }

    fn take_line(&mut self) -> Option<Vec<u8>> {
        if !self.has_room() {
            return None;
        }
        let Some(end) = self.input.iter().position(|byte| *byte == b'\n') else {
            if self.input.len() > REQUEST_BYTES_MAX {
                let text = format!("a request has at most {REQUEST_BYTES_MAX} bytes");
                self.input = Vec::new();
                self.close(RefusalCode::Malformed, text);
            }
            return None;
        };
        let rest = self.input.split_off(end + 1);
        let mut line = std::mem::replace(&mut self.input, rest);
        line.pop();
        Some(line)
    }

    /// Makes lines of the next records, where there are any and the reader takes them.
    fn fill(&mut self, written: u64) {
        if !self.behind(written) || !self.has_room() {
            return;
        }
        let Some(follow) = &mut self.follow else { return };
        let batch = match follow.reader.read() {
            Ok(batch) => batch,
            Err(error) => return self.close(RefusalCode::Log, error.to_string()),
        };
        follow.seen = batch.at_end.then_some(written);
        for (first, last) in batch.missing {
            self.line(&Message::Missing { first, last });
        }
        for record in batch.records {
            self.line(&Message::Log(line(record)));
        }
    }

    fn write(&mut self, now: u64) {
        while self.waiting() > 0 {
            match self.stream.write(&self.out[self.sent..]) {
                Ok(count) => {
                    self.sent += count;
                    self.stalled_since = None;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let since = *self.stalled_since.get_or_insert(now);
                    if now.saturating_sub(since) >= STALL_MS_MAX {
                        self.gone = true;
                    }
                    return;
                }
                Err(_) => {
                    self.gone = true;
                    return;
                }
            }
        }
        // A whole buffer is given back: a shim at rest holds no memory for its readers.
        (self.out, self.sent) = (Vec::new(), 0);
        self.gone |= self.closing || (self.ended && !self.asks());
    }
}

fn line(record: Owned) -> Line {
    let Owned { sequence, time_us, stream, goes_on, text } = record;
    let text = String::from_utf8(text).unwrap_or_else(|bad| String::from_utf8_lossy(bad.as_bytes()).into_owned());
    Line { sequence, time_us, stream, goes_on, text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{LogWriter, Stream};

    fn peers(directory: &Path) -> (Peers, UnixStream) {
        let path = directory.join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        listener.set_nonblocking(true).unwrap();
        let mut peers = Peers::new(listener, "test");
        let client = UnixStream::connect(&path).unwrap();
        peers.read(&[true]);
        (peers, client)
    }

    fn unused() -> Status {
        unreachable!("nobody watches")
    }

    #[test]
    fn a_follower_that_takes_nothing_is_cut_after_its_time_and_holds_little() {
        let directory = tempfile::tempdir().unwrap();
        let logs = directory.path().join("logs");
        let mut log = LogWriter::open(&logs, 8 << 20).unwrap();
        for n in 0..40_000u64 {
            log.append(n, Stream::Stdout, false, &[b'x'; 100]);
        }
        log.flush();
        let (mut peers, client) = peers(directory.path());
        (&client).write_all(b"{\"v\":1,\"id\":1,\"do\":{\"follow\":{\"from\":\"oldest\"}}}\n").unwrap();
        peers.read(&[false, true]);
        let (index, request) = peers.next_request().unwrap();
        let refusal = Refusal { code: RefusalCode::Value, text: "no status here".into() };
        peers.list[index].follow = Some(Follow::new(&logs, Position::Oldest, Filter::default()));
        peers.answer(index, request, Outcome::Error(refusal), &logs);
        for _ in 0..100 {
            peers.send(log.written(), 0, unused);
        }
        let waiting = peers.list[0].waiting();
        assert!(waiting > 0 && waiting < 8 * WAITING_BYTES_MAX, "{waiting}");
        assert_eq!(peers.deadline(log.written(), 5), Some(STALL_MS_MAX));
        peers.send(log.written(), STALL_MS_MAX - 1, unused);
        assert_eq!(peers.list.len(), 1);
        peers.send(log.written(), STALL_MS_MAX, unused);
        assert_eq!(peers.list.len(), 0, "it is cut");
    }

    #[test]
    fn a_follower_that_reads_again_in_time_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let logs = directory.path().join("logs");
        let mut log = LogWriter::open(&logs, 8 << 20).unwrap();
        for n in 0..20_000u64 {
            log.append(n, Stream::Stdout, false, &[b'x'; 100]);
        }
        log.flush();
        let (mut peers, mut client) = peers(directory.path());
        client.set_nonblocking(true).unwrap();
        peers.list[0].follow = Some(Follow::new(&logs, Position::Oldest, Filter::default()));
        let (mut text, mut piece, mut now) = (Vec::new(), vec![0; 1 << 16], 0);
        while !text.ends_with(b"xx\"}}\n") || text.iter().filter(|byte| **byte == b'\n').count() < 20_001 {
            peers.send(log.written(), now, unused);
            assert_eq!(peers.list.len(), 1, "after {} bytes", text.len());
            now += STALL_MS_MAX - 1;
            let count = client.read(&mut piece).unwrap_or(0);
            text.extend_from_slice(&piece[..count]);
        }
    }
}
