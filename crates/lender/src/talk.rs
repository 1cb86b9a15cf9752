//! One connection: requests of a guest and their answers, one after the other (B-72 to B-77).

use std::io::{self, Read as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::Builder;
use std::time::{Duration, Instant};

use openmesh_backup::peer::line::{Line, PIECE_BYTES};
use openmesh_backup::peer::wire::{Answer, READ_BYTES_MAX, REQUEST_BYTES_MAX, Request};
use openmesh_backup::{Name, NodePublicKey, Refusal};
use openmesh_primitives::Timestamp;

use crate::crowd::{Crowd, Seat, Waiting};
use crate::house::{Guest, House};
use crate::limits::{ANSWER, IDLE, LOOK, STRANGER};
use crate::vault::{Begun, Grant, Writing};

/// Pause after a connection could not be taken, as where the process has too many files open.
const PAUSE: Duration = Duration::from_millis(100);

/// Takes connections until the lender leaves. Each has a thread of its own.
pub fn serve(house: &Arc<House>, listener: &TcpListener) {
    for socket in listener.incoming() {
        if house.leaves() {
            return;
        }
        let entered = socket.and_then(|socket| Ok((socket.peer_addr()?.ip(), socket)));
        let Ok((from, socket)) = entered else {
            std::thread::sleep(PAUSE);
            continue;
        };
        // Whoever finds no place sees the connection end, and tries again later.
        let Some(waiting) = house.crowd.enter(from, socket.try_clone().ok()) else { continue };
        let own = house.clone();
        let talks = move || talk(&own, socket, waiting);
        // Without a thread the connection ends, and so does its place.
        let _ = Builder::new().name("guest".into()).spawn(talks);
    }
}

/// Place of a connection: among those whom nobody knows, or of a loan.
struct Place {
    waiting: Option<Waiting>,
    seat: Option<Seat>,
}

impl Place {
    /// Takes a place of a loan, where it has none of that.
    fn sit(&mut self, crowd: &Crowd, loan: &str) -> Result<(), Refusal> {
        if self.seat.as_ref().is_some_and(|seat| seat.of() == loan) {
            return Ok(());
        }
        // The key may be in another loan by now.
        self.seat = None;
        self.seat = Some(crowd.sit(loan).ok_or(Refusal::Crowded)?);
        self.waiting = None;
        Ok(())
    }
}

fn talk(house: &House, socket: TcpStream, waiting: Waiting) {
    let Ok((mut line, key)) = house.tls.greet(socket) else { return };
    let mut place = Place { waiting: Some(waiting), seat: None };
    // A guest leaves those whom nobody knows at once: their crowd ends no connection of its. One without a place is told so with its first request.
    if let Some(loan) = house.loan_of(key) {
        let _ = place.sit(&house.crowd, &loan);
    }
    loop {
        line.allow(if place.seat.is_some() { IDLE } else { STRANGER }, 0);
        let request = match line.hear::<Request>(REQUEST_BYTES_MAX) {
            Ok(request) => request,
            Err(cause) => {
                if cause.kind() == io::ErrorKind::InvalidData {
                    line.allow(ANSWER, 0);
                    let _ = line.say(&Answer::Refused(Refusal::Malformed));
                }
                break;
            }
        };
        line.allow(ANSWER, 0);
        if !matches!(one(house, &mut line, key, &mut place, &request), Ok(Next::Goes)) {
            break;
        }
    }
    line.end();
}

/// The way of a connection after an answer.
enum Next {
    /// The next request is heard.
    Goes,
    /// It ends.
    Ends,
}

/// Answers one request. An error is of the line, on which nothing more can be said.
fn one(house: &House, line: &mut Line, key: NodePublicKey, place: &mut Place, request: &Request) -> io::Result<Next> {
    let begun = house.begin();
    let guest = match begun {
        None => Err(Refusal::Crowded),
        Some(_) => house.guest(key).and_then(|guest| place.sit(&house.crowd, &guest.name).map(|()| guest)),
    };
    let guest = match guest {
        Ok(guest) => guest,
        Err(refusal) => {
            line.say(&Answer::Refused(refusal))?;
            return Ok(Next::Ends);
        }
    };
    let rights = guest.rights(Timestamp::now());
    let answer = match *request {
        Request::Put { .. } if !rights.stores => Err(guest.refusal()),
        Request::Delete { .. } if !rights.removes => Err(guest.refusal()),
        Request::Put { name, bytes } => return put(house, line, key, &guest, (name, bytes)).map(|()| Next::Goes),
        Request::Read { name, from, bytes } => {
            return read(line, &guest, name, from, u64::from(bytes)).map(|()| Next::Goes);
        }
        Request::Terms => {
            let (account, loan) = (guest.vault.account(), &guest.loan);
            Ok(Answer::Terms(account.terms(loan.room_bytes, loan.until, loan.held_days)))
        }
        Request::List { kind, after } => {
            guest.vault.page(kind, after).map(|(listed, more)| Answer::Page { listed, more })
        }
        Request::Stat { name } => guest.vault.stat(name).map(|found| Answer::Stat { found }),
        Request::Delete { name } => {
            guest.vault.delete(name, guest.loan.held_days, house.today()).map(|was| Answer::Deleted { was })
        }
    };
    line.allow(ANSWER, 0);
    line.say(&answer.unwrap_or_else(Answer::Refused))?;
    Ok(Next::Goes)
}

fn put(
    house: &House,
    line: &mut Line,
    key: NodePublicKey,
    guest: &Guest,
    (name, bytes): (Name, u64),
) -> io::Result<()> {
    let grant = Grant { room_bytes: guest.loan.room_bytes, reserve_bytes: guest.reserve_bytes };
    let writing = match guest.vault.begin(name, bytes, grant) {
        Err(refusal) => return line.say(&Answer::Refused(refusal)),
        Ok(Begun::There) => return line.say(&Answer::Kept { new: false }),
        Ok(Begun::Writing(writing)) => writing,
    };
    line.say(&Answer::Send)?;
    line.allow(ANSWER, bytes);
    let is_same = |now: &Guest| now.name == guest.name && now.rights(Timestamp::now()).stores;
    let still = || house.guest(key).is_ok_and(|now| is_same(&now));
    let kept = received(line, writing, bytes, &still)?;
    line.allow(ANSWER, 0);
    line.say(&kept.map_or_else(Answer::Refused, |new| Answer::Kept { new }))
}

/// Takes the bytes of an object, and keeps it. What cannot be kept is heard to its end, so that the guest hears why; its room is given back at once.
fn received(
    line: &mut Line,
    writing: Writing<'_>,
    bytes: u64,
    still: &dyn Fn() -> bool,
) -> io::Result<Result<bool, Refusal>> {
    let (mut left, mut looked, mut writing) = (bytes, Instant::now(), Ok(writing));
    let mut piece = vec![0; PIECE_BYTES];
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(PIECE_BYTES);
        let room = piece.get_mut(..most).unwrap_or_default();
        // Where the line breaks here, what was written goes with its writer.
        let taken = line.read(room)?;
        left = left.saturating_sub(taken as u64);
        // By time, not by bytes: whoever is slow on purpose would store for an hour after the loan was taken away.
        if looked.elapsed() >= LOOK {
            looked = Instant::now();
            writing = writing.and_then(|object| if still() { Ok(object) } else { Err(Refusal::Over) });
        }
        let read = room.get(..taken).unwrap_or_default();
        writing = writing.and_then(|mut object| object.write(read).map(|()| object));
    }
    Ok(writing.and_then(|object| if still() { object.finish() } else { Err(Refusal::Over) }))
}

fn read(line: &mut Line, guest: &Guest, name: Name, from: u64, bytes: u64) -> io::Result<()> {
    let (mut object, length) = match guest.vault.read(name, from, bytes.min(READ_BYTES_MAX as u64)) {
        Err(refusal) => return line.say(&Answer::Refused(refusal)),
        Ok(opened) => opened,
    };
    line.say(&Answer::Part { bytes: u32::try_from(length).unwrap_or(u32::MAX) })?;
    line.allow(ANSWER, length);
    let (mut left, mut piece) = (length, vec![0; PIECE_BYTES]);
    while left > 0 {
        let taken = object.read(&mut piece)?;
        if taken == 0 {
            // Objects do not change: the disk has lost a part of it, and there is no other way to say so here.
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        line.write(piece.get(..taken).unwrap_or_default())?;
        left = left.saturating_sub(taken as u64);
    }
    Ok(())
}
