//! A store in the room that another Xnode lends (B-70 to B-84).
//!
//! # What it owns
//! Both ends of the line (keys, TLS, words) and the guest's side: which line a request goes over, and when it is sent again. The lender's side is a program of
//! its own, which answers strangers and holds nobody's keys (`openmesh-lender`).
//!
//! # Why not HTTP
//! Objects have names that are numbers, there are six requests, and both sides are known by one key each. Words of fixed shapes have no path to trick, no
//! header to read twice, and no length that is not bounded before it is believed.
//!
//! # On failure
//! Every request is safe to send twice. What may pass (a refused or broken connection, a stall, a lender that starts anew) is tried again a few times with
//! growing waits; a wrong key and a word that cannot be read are errors at once. A line that rests may have ended meanwhile, which counts as no try.

pub(crate) mod key;
pub mod line;
pub(crate) mod refusal;
mod tls;
pub mod wire;

use std::fmt;
use std::io;
use std::net::{TcpStream, ToSocketAddrs as _};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

pub use key::{BadKey, NodeKey, NodePublicKey};
pub use refusal::Refusal;

use crate::error::StoreError;
use crate::name::{Kind, Name};
use crate::store::{Listed, Room, Store};
use line::{Guest, Line, PIECE_BYTES, wrong};
use wire::{ANSWER_BYTES_MAX, About, Answer, Entry, READ_BYTES_MAX, Request, Terms, objects_max};

/// Usual number of times that a request is sent before it is given up: with the waits between them, half a minute of an outage is borne.
pub const TRIES: u32 = 7;
/// First wait before a request is sent again; each further one is twice as long.
const WAIT: Duration = Duration::from_millis(250);
/// Longest time to connect.
const CONNECT: Duration = Duration::from_secs(10);
/// Longest time for an answer: the lender's disk syncs an object, behind those of others.
const ANSWER: Duration = Duration::from_secs(120);
/// Lines that rest until they are used again, at most.
const RESTING_MAX: usize = 4;
/// A place at a lender.
#[derive(Clone, Debug)]
pub struct PeerSettings {
    /// Its address: `HOST:PORT`.
    pub address: String,
    /// Its key: no other machine is taken for it.
    pub lender: NodePublicKey,
    /// The guest's key.
    pub own: NodeKey,
    /// Times that a request is sent before it is given up; usually [`TRIES`].
    pub tries: u32,
}

/// A store at a lender. Its calls wait: from asynchronous code they belong on a thread for such work.
pub struct Peer {
    settings: PeerSettings,
    guest: Guest,
    /// Lines that nobody uses at present.
    resting: Mutex<Vec<Line>>,
}

/// An end of a request without what it asked for.
enum Fault {
    /// The lender's word; the line can be used again.
    Refused(Refusal),
    /// The line broke.
    Broken(io::Error),
}

impl From<io::Error> for Fault {
    fn from(cause: io::Error) -> Fault {
        Fault::Broken(cause)
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Xnode {} at {}", self.settings.lender, self.settings.address)
    }
}

impl Peer {
    /// Opens a place at a lender. Nothing is sent yet.
    ///
    /// # Errors
    /// The address is none, or TLS cannot be set up.
    pub fn open(settings: PeerSettings) -> Result<Peer, StoreError> {
        let parts = settings.address.rsplit_once(':');
        if !parts.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0)) {
            let cause = io::Error::new(io::ErrorKind::InvalidInput, "the address is none; `HOST:PORT` is wanted");
            return Err(StoreError::Io { doing: "opening", name: "the lender's place".into(), cause });
        }
        let failed = |cause| StoreError::Io { doing: "preparing", name: "the line to the lender".into(), cause };
        let guest = Guest::new(&settings.own, settings.lender).map_err(failed)?;
        Ok(Peer { settings, guest, resting: Mutex::default() })
    }

    /// Terms of the loan, with what is used of it.
    ///
    /// # Errors
    /// The lender refuses or cannot be reached.
    pub fn terms(&self) -> Result<Terms, StoreError> {
        let asked = self.ask(|line| match answer(line, &Request::Terms)? {
            Answer::Terms(terms) => Ok(terms),
            _ => Err(unexpected()),
        });
        asked.map_err(failed("asking for", "the terms"))
    }

    /// Bytes of an object and the moment it was stored; none where it is not there.
    ///
    /// # Errors
    /// The lender refuses or cannot be reached.
    pub fn stat(&self, name: Name) -> Result<Option<About>, StoreError> {
        let asked = self.ask(|line| match answer(line, &Request::Stat { name })? {
            Answer::Stat { found } => Ok(found),
            _ => Err(unexpected()),
        });
        asked.map_err(of_object("asking for", name))
    }

    /// Asks over a line that rests, or over a new one, until it is done or given up.
    fn ask<T>(&self, act: impl Fn(&mut Line) -> Result<T, Fault>) -> Result<T, Fault> {
        while let Some(line) = self.rested() {
            match self.on(line, &act) {
                Err(Fault::Broken(_) | Fault::Refused(Refusal::Crowded)) => {}
                done => return done,
            }
        }
        let (mut wait, mut tries) = (WAIT, 1);
        loop {
            let done = self.connect().map_err(Fault::from).and_then(|line| self.on(line, &act));
            match done {
                Err(fault) if may_pass(&fault) && tries < self.settings.tries => {}
                done => return done,
            }
            std::thread::sleep(wait);
            wait = wait.saturating_mul(2);
            tries += 1;
        }
    }

    fn on<T>(&self, mut line: Line, act: &impl Fn(&mut Line) -> Result<T, Fault>) -> Result<T, Fault> {
        let done = act(&mut line);
        // One that the lender is about to end would be asked again and again, without a pause, where a hostile one does not end it.
        let is_over = match &done {
            Ok(_) => false,
            Err(Fault::Refused(refusal)) => refusal.ends_line(),
            Err(Fault::Broken(_)) => true,
        };
        let mut resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_over && resting.len() < RESTING_MAX {
            resting.push(line);
        }
        done
    }

    fn rested(&self) -> Option<Line> {
        self.resting.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn connect(&self) -> io::Result<Line> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "its name has no address");
        for address in self.settings.address.to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, CONNECT) {
                Ok(socket) => return self.guest.greet(socket).map_err(|cause| self.explained(cause)),
                Err(cause) => last = cause,
            }
        }
        Err(last)
    }

    /// An error of a greeting, in words where another machine has answered.
    fn explained(&self, cause: io::Error) -> io::Error {
        let tls = cause.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match tls {
            Some(rustls::Error::InvalidCertificate(_)) => wrong(&format!(
                "the machine at {} has another key than {}, so it is not the lender; correct address or key in the document",
                self.settings.address, self.settings.lender
            )),
            _ => cause,
        }
    }

    fn put(&self, name: Name, bytes: &[u8]) -> Result<bool, Fault> {
        let length = bytes.len() as u64;
        self.ask(|line| {
            match answer(line, &Request::Put { name, bytes: length })? {
                Answer::Kept { new: false } => return Ok(false),
                Answer::Send => {}
                _ => return Err(unexpected()),
            }
            line.allow(ANSWER, length);
            line.write(bytes)?;
            line.allow(ANSWER, 0);
            match heard(line)? {
                Answer::Kept { new } => Ok(new),
                _ => Err(unexpected()),
            }
        })
    }

    fn get(&self, name: Name, from: u64, bytes_max: usize) -> Result<Vec<u8>, Fault> {
        let mut all = Vec::new();
        loop {
            let wanted = (bytes_max - all.len()).min(READ_BYTES_MAX);
            let from = from.saturating_add(all.len() as u64);
            let part = self.ask(|line| part(line, name, from, wanted))?;
            let is_last = part.len() < wanted;
            all.extend(part);
            if is_last || all.len() >= bytes_max {
                return Ok(all);
            }
        }
    }

    fn list_all(&self, kind: Kind) -> Result<Vec<Listed>, Fault> {
        let (mut after, mut found) = (None, Vec::new());
        loop {
            let (page, more) = self.ask(|line| match answer(line, &Request::List { kind, after })? {
                Answer::Page { listed, more } => Ok((listed, more)),
                _ => Err(unexpected()),
            })?;
            // Else a lender could list for ever.
            let ids = after.iter().chain(page.iter().map(|entry| &entry.id));
            if !ids.is_sorted_by(|a, b| a < b) || (more && page.is_empty()) {
                return Err(wrong("the lender's list is not in order").into());
            }
            after = page.last().map(|entry| entry.id).or(after);
            let listed = |Entry { id, about }: Entry| Listed { id, bytes: about.bytes, stored: about.stored };
            found.extend(page.into_iter().map(listed));
            if found.len() as u64 > objects_max(kind) {
                return Err(wrong("the lender lists more objects than a repository has").into());
            }
            if !more {
                return Ok(found);
            }
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let resting = self.resting.get_mut().unwrap_or_else(PoisonError::into_inner);
        for line in resting.drain(..) {
            line.end();
        }
    }
}

impl Store for Peer {
    fn put_new(&self, name: Name, bytes: &[u8]) -> Result<bool, StoreError> {
        self.put(name, bytes).map_err(of_object("writing", name))
    }

    fn read(&self, name: Name, from: u64, bytes_max: usize) -> Result<Vec<u8>, StoreError> {
        self.get(name, from, bytes_max).map_err(of_object("reading", name))
    }

    fn list(&self, kind: Kind) -> Result<Vec<Listed>, StoreError> {
        self.list_all(kind).map_err(failed("listing", kind.folder()))
    }

    fn delete(&self, name: Name) -> Result<bool, StoreError> {
        let asked = self.ask(|line| match answer(line, &Request::Delete { name })? {
            Answer::Deleted { was } => Ok(was),
            _ => Err(unexpected()),
        });
        asked.map_err(of_object("removing", name))
    }

    fn room(&self) -> Result<Option<Room>, StoreError> {
        let Terms { room_bytes, used_bytes, held_bytes, until, .. } = self.terms()?;
        Ok(Some(Room { all_bytes: room_bytes, used_bytes: used_bytes.saturating_add(held_bytes), until }))
    }
}

/// Asks, and hears the answer.
fn answer(line: &mut Line, request: &Request) -> Result<Answer, Fault> {
    line.allow(ANSWER, 0);
    line.say(request)?;
    heard(line)
}

fn heard(line: &mut Line) -> Result<Answer, Fault> {
    match line.hear(ANSWER_BYTES_MAX)? {
        Answer::Refused(refusal) => Err(Fault::Refused(refusal.shown())),
        answer => Ok(answer),
    }
}

/// Reads a part of an object.
fn part(line: &mut Line, name: Name, from: u64, wanted: usize) -> Result<Vec<u8>, Fault> {
    let request = Request::Read { name, from, bytes: u32::try_from(wanted).unwrap_or(u32::MAX) };
    let Answer::Part { bytes } = answer(line, &request)? else { return Err(unexpected()) };
    let length = usize::try_from(bytes).unwrap_or(usize::MAX);
    if length > wanted {
        return Err(wrong("the lender sends more than it was asked for").into());
    }
    line.allow(ANSWER, u64::from(bytes));
    let (mut part, mut piece) = (Vec::new(), vec![0; PIECE_BYTES]);
    while part.len() < length {
        let room = piece.get_mut(..(length - part.len()).min(PIECE_BYTES)).unwrap_or_default();
        let taken = line.read(room)?;
        part.extend_from_slice(room.get(..taken).unwrap_or_default());
    }
    Ok(part)
}

/// The fault of an answer to another request.
fn unexpected() -> Fault {
    Fault::Broken(wrong("the lender answers something else than it was asked"))
}

/// Returns true where the next try may pass.
fn may_pass(fault: &Fault) -> bool {
    match fault {
        Fault::Refused(refusal) => *refusal == Refusal::Crowded,
        Fault::Broken(cause) => !matches!(cause.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput),
    }
}

/// The error of a request about one object.
fn of_object(doing: &'static str, name: Name) -> impl FnOnce(Fault) -> StoreError {
    move |fault| match fault {
        Fault::Refused(Refusal::Missing) => StoreError::Missing { name },
        fault => failed(doing, name)(fault),
    }
}

fn failed<N: ToString>(doing: &'static str, name: N) -> impl FnOnce(Fault) -> StoreError {
    move |fault| match fault {
        Fault::Refused(refusal) => StoreError::Refused { doing, name: name.to_string(), refusal },
        Fault::Broken(cause) => StoreError::Io { doing, name: name.to_string(), cause },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_cannot_be_are_refused() {
        let open = |address: &str| {
            let own = NodeKey::from_seed([1; 32]);
            let lender = NodeKey::from_seed([2; 32]).public();
            Peer::open(PeerSettings { address: address.into(), lender, own, tries: 1 })
        };
        for good in ["10.0.0.7:7790", "attic.lan:1", "[fd00::7]:7790"] {
            assert!(open(good).is_ok(), "{good}");
        }
        for wrong in ["", "attic.lan", ":7790", "attic.lan:0", "attic.lan:x", "attic.lan:70000"] {
            let refused = open(wrong).map(drop).unwrap_err().to_string();
            assert!(refused.contains("HOST:PORT"), "{wrong}: {refused}");
        }
    }
}
