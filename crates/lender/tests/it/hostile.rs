//! Guests and lenders that mean harm: garbage, sizes, foreign keys, other guests' objects, stalls, crowds, lies (B-71 to B-75).

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use openmesh_backup::peer::line::{Lender, Patience};
use openmesh_backup::peer::wire::{
    ANSWER_BYTES_MAX, About, Answer, Entry, REQUEST_BYTES_MAX, Request, object_bytes_max,
};
use openmesh_backup::{Id, Kind, Name, Peer, Refusal, Store as _, StoreError};
use openmesh_lender::effects::free;
use openmesh_lender::limits::WAITING_OF_ADDRESS_MAX;
use openmesh_lender::loans::{BringBack, Loan};
use openmesh_primitives::Timestamp;

use crate::conformance::object;
use crate::stage::{PATIENCE, Stage, files, guest_at, key, loan, peer_at, until};
use crate::world::noise;

/// Waits until the other side has ended a connection, and returns what it said.
fn ended(mut socket: TcpStream) -> Vec<u8> {
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut said = Vec::new();
    match socket.read_to_end(&mut said) {
        Ok(_) => {}
        Err(cause) => assert_eq!(cause.kind(), std::io::ErrorKind::ConnectionReset, "{cause}"),
    }
    said
}

#[test]
fn garbage_before_and_after_the_greeting_ends_the_connection_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::free(folder.path());
    for garbage in [&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..], &[0; 4096], &[0xff; 70_000], b"\x16\x03\x01"] {
        let mut socket = TcpStream::connect(stage.address).unwrap();
        // It may have ended by the second half.
        let _ = socket.write_all(garbage);
        let _ = socket.shutdown(std::net::Shutdown::Write);
        assert!(ended(socket).len() < 100);
    }
    // A length beyond every word, a word of an unknown kind, one with something behind it, one that is cut short.
    for word in [vec![0xff; 200], framed(&[200]), framed(&[]), framed(&[0, 0]), framed(&[1, 1, 6])] {
        let mut line = stage.line(1);
        line.write(&word).unwrap();
        assert_eq!(line.hear::<Answer>(ANSWER_BYTES_MAX).unwrap(), Answer::Refused(Refusal::Malformed));
        assert_eq!(line.hear::<Answer>(ANSWER_BYTES_MAX).unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof);
    }
    let peer = stage.peer(1);
    assert!(peer.put_new(object(b"a"), b"a").unwrap(), "it serves on");
}

/// Bytes of a word on the line.
fn framed(word: &[u8]) -> Vec<u8> {
    let length = u32::try_from(word.len()).unwrap();
    [&length.to_le_bytes()[..], word].concat()
}

#[test]
fn strangers_and_wrong_keys_get_nothing_but_a_cause() {
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::free(folder.path());
    let stranger = stage.peer(9);
    for failed in [
        stranger.put_new(object(b"a"), b"a").map(drop).unwrap_err(),
        stranger.read(object(b"a"), 0, 1).map(drop).unwrap_err(),
        stranger.list(Kind::Pack).map(drop).unwrap_err(),
        stranger.delete(object(b"a")).map(drop).unwrap_err(),
        stranger.terms().map(drop).unwrap_err(),
    ] {
        assert!(matches!(failed, StoreError::Refused { refusal: Refusal::Stranger, .. }), "{failed}");
        assert!(failed.to_string().contains("openmesh xnode lend give"), "{failed}");
    }
    // Another machine at the lender's address: nothing is sent to it.
    let pinned = peer_at(stage.address, 1, key(9).public());
    let failed = pinned.put_new(object(b"a"), b"a").unwrap_err().to_string();
    assert!(failed.contains("another key"), "{failed}");
    assert_eq!(stage.taken("ann"), (0, 0));
    // A key that is taken out of the loan is a stranger's from the next request on, also over a line that is open.
    let guest = stage.peer(1);
    guest.put_new(object(b"a"), b"a").unwrap();
    stage.lend(&[("ann", loan(&[2]))]);
    assert!(matches!(guest.read(object(b"a"), 0, 1), Err(StoreError::Refused { refusal: Refusal::Stranger, .. })));
    assert_eq!(stage.peer(2).read(object(b"a"), 0, 9).unwrap(), b"a", "the machine that took its place");
}

#[test]
fn nobody_sees_or_touches_the_objects_of_another_guest() {
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::free(folder.path());
    stage.lend(&[("ann", loan(&[1])), ("bob", loan(&[2]))]);
    let (ann, bob) = (stage.peer(1), stage.peer(2));
    let content = noise(1, 1000);
    ann.put_new(object(&content), &content).unwrap();
    assert!(bob.list(Kind::Pack).unwrap().is_empty() && bob.stat(object(&content)).unwrap().is_none());
    assert!(matches!(bob.read(object(&content), 0, 9), Err(StoreError::Missing { .. })));
    assert!(!bob.delete(object(&content)).unwrap());
    assert!(bob.put_new(object(&content), &content).unwrap(), "whether another one has it is not told");
    bob.delete(object(&content)).unwrap();
    assert_eq!(ann.read(object(&content), 0, 1000).unwrap(), content);
}

#[test]
fn content_and_sizes_are_held_against_the_name_before_anything_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::free(folder.path());
    let peer = stage.peer(1);
    let failed = peer.put_new(object(b"a"), b"b").unwrap_err();
    assert!(matches!(failed, StoreError::Refused { refusal: Refusal::Content, .. }), "{failed}");
    let failed = peer.put_new(Name::Format, b"#!/bin/sh\n").unwrap_err();
    assert!(matches!(failed, StoreError::Refused { refusal: Refusal::Content, .. }), "{failed}");
    // Announced sizes are bounded for each kind, before a byte of them is sent.
    for name in [Name::Format, Name::Object(Kind::Key, Id([1; 32])), Name::Object(Kind::Pack, Id([1; 32]))] {
        let mut line = stage.line(1);
        for bytes in [object_bytes_max(name) + 1, u64::MAX] {
            line.say(&Request::Put { name, bytes }).unwrap();
            let answer: Answer = line.hear(ANSWER_BYTES_MAX).unwrap();
            assert_eq!(answer, Answer::Refused(Refusal::Size { bytes_max: object_bytes_max(name) }));
        }
    }
    assert_eq!((stage.taken("ann"), files(&folder.path().join("guests/ann")).len()), ((0, 0), 0));
}

#[test]
fn a_guest_that_breaks_off_or_stalls_leaves_nothing_and_holds_nothing() {
    let folder = tempfile::tempdir().unwrap();
    // Long enough for a guest who is in time, also on a machine that is busy with other tests.
    let patience = Patience { greeting: Duration::from_secs(2), stall: Duration::from_secs(2) };
    let stage = Stage::patient(folder.path(), free(), patience);
    let content = noise(1, 100_000);
    let begin = || {
        let mut line = stage.line(1);
        line.say(&Request::Put { name: object(&content), bytes: content.len() as u64 }).unwrap();
        assert_eq!(line.hear::<Answer>(ANSWER_BYTES_MAX).unwrap(), Answer::Send);
        line.write(&content[..50_000]).unwrap();
        line
    };
    let is_free = || stage.taken("ann") == (0, 0) && stage.house.reports()["ann"].connections == 0;
    let line = begin();
    assert!(stage.taken("ann").0 > 0, "its room is taken as soon as it is announced");
    drop(line);
    until("a broken line", is_free);
    // One that says nothing more is cut: in the middle of an object, between requests, and in the greeting.
    let stalled = begin();
    until("a stall in an object", is_free);
    drop(stalled);
    let mut idle = stage.line(1);
    assert_eq!(idle.hear::<Answer>(ANSWER_BYTES_MAX).unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof);
    assert_eq!(ended(TcpStream::connect(stage.address).unwrap()), b"");
    assert!(files(&folder.path().join("guests/ann")).is_empty(), "{:?}", files(folder.path()));
    assert!(stage.peer(1).put_new(object(&content), &content).unwrap());
}

#[test]
fn a_crowd_of_one_address_keeps_out_itself_and_goes_by() {
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::free(folder.path());
    let mut guest = stage.line(1);
    until("the guest is known", || stage.house.reports()["ann"].connections == 1);
    let silent: Vec<TcpStream> =
        (0..WAITING_OF_ADDRESS_MAX).map(|_| TcpStream::connect(stage.address).unwrap()).collect();
    until("all places are taken", || stage.house.crowd.enter(silent[0].local_addr().unwrap().ip(), None).is_none());
    assert_eq!(ended(TcpStream::connect(stage.address).unwrap()), b"", "there is no place");
    // A guest that is known does not stand in that crowd.
    guest.allow(PATIENCE, 0);
    guest.say(&Request::Terms).unwrap();
    assert!(matches!(guest.hear::<Answer>(ANSWER_BYTES_MAX).unwrap(), Answer::Terms(_)));
    drop(silent);
    until("places are free", || stage.peer(1).terms().is_ok());
}

#[test]
fn a_disk_that_the_machine_needs_itself_takes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::free(folder.path());
    let mut loans = (*stage.house.loans()).clone();
    loans.reserve_bytes = u64::MAX;
    stage.house.configure(loans);
    let failed = stage.peer(1).put_new(object(b"a"), b"a").unwrap_err();
    assert!(matches!(failed, StoreError::Refused { refusal: Refusal::Disk, .. }), "{failed}");
}

#[test]
fn an_error_of_the_lenders_disk_is_told_and_the_guest_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let is_full = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let full = is_full.clone();
    let effects = std::sync::Arc::new(move |name: &str| {
        let fails = name == "write object" && full.load(std::sync::atomic::Ordering::SeqCst);
        if fails { Err(std::io::Error::from(std::io::ErrorKind::StorageFull)) } else { Ok(()) }
    });
    let stage = Stage::at(folder.path(), effects);
    let (peer, content) = (stage.peer(1), noise(1, 1 << 20));
    let failed = peer.put_new(object(&content), &content).unwrap_err();
    assert!(matches!(&failed, StoreError::Refused { refusal: Refusal::Disk, .. }), "{failed}");
    assert_eq!(stage.taken("ann"), (0, 0));
    is_full.store(false, std::sync::atomic::Ordering::SeqCst);
    assert!(peer.put_new(object(&content), &content).unwrap());
}

/// Whoever is slow on purpose stores nothing after the loan was taken away, though no further piece would have been looked at by its bytes.
#[test]
fn a_loan_that_is_taken_away_takes_nothing_of_what_is_on_its_way() {
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::free(folder.path());
    let content = noise(1, 1000);
    let begin = || {
        let mut line = stage.line(1);
        line.say(&Request::Put { name: object(&content), bytes: 1000 }).unwrap();
        assert_eq!(line.hear::<Answer>(ANSWER_BYTES_MAX).unwrap(), Answer::Send);
        line.write(&content[..999]).unwrap();
        line
    };
    // It goes to nobody, and the key to another loan: what comes is for neither.
    for (loans, refused) in [(vec![], true), (vec![("bob", loan(&[1]))], true), (vec![("ann", loan(&[1, 2]))], false)] {
        stage.lend(&[("ann", loan(&[1]))]);
        let mut line = begin();
        stage.lend(&loans);
        line.write(&content[999..]).unwrap();
        let answer: Answer = line.hear(ANSWER_BYTES_MAX).unwrap();
        assert_eq!(answer == Answer::Refused(Refusal::Over), refused, "{answer:?}");
        let is_begun = |path: &std::path::PathBuf| path.parent().is_some_and(|at| at.ends_with("tmp"));
        assert!(!files(&folder.path().join("guests")).iter().any(is_begun), "{answer:?}");
    }
    stage.lend(&[("ann", loan(&[1])), ("bob", loan(&[2]))]);
    assert_eq!(stage.taken("ann"), (4096, 0));
    assert_eq!(stage.taken("bob"), (0, 0));
}

/// The owner's key opens the line where every machine is lost, and changes nothing (B-83).
#[test]
fn an_owner_reads_everything_and_stores_and_removes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::free(folder.path());
    let readers = [key(9).public().to_string()].into();
    stage.lend(&[("ann", Loan { readers, ..loan(&[1]) }), ("bob", loan(&[2]))]);
    let (guest, owner) = (stage.peer(1), stage.peer(9));
    guest.put_new(object(b"a"), b"a").unwrap();
    stage.peer(2).put_new(object(b"b"), b"b").unwrap();
    assert_eq!(owner.read(object(b"a"), 0, 9).unwrap(), b"a");
    assert_eq!(owner.list(Kind::Pack).unwrap().len(), 1, "of its own loan alone");
    assert!(owner.stat(object(b"a")).unwrap().is_some() && owner.terms().unwrap().used_bytes > 0);
    let refused = |failed: StoreError| matches!(failed, StoreError::Refused { refusal: Refusal::Reader, .. });
    for name in [object(b"c"), Name::Format, Name::Object(Kind::Key, Id::of(b"c"))] {
        assert!(refused(owner.put_new(name, b"c").unwrap_err()), "{name}");
    }
    assert!(refused(owner.delete(object(b"a")).unwrap_err()) && guest.stat(object(b"a")).unwrap().is_some());
    // Also of a loan that has ended: that is when it may be needed.
    let readers = [key(9).public().to_string()].into();
    stage.lend(&[("ann", Loan { readers, until: Some(Timestamp(1)), ..loan(&[1]) })]);
    assert_eq!(owner.read(object(b"a"), 0, 9).unwrap(), b"a");
    stage.lend(&[("ann", loan(&[1]))]);
    let failed = owner.read(object(b"a"), 0, 9).unwrap_err();
    assert!(matches!(failed, StoreError::Refused { refusal: Refusal::Stranger, .. }), "{failed}");
}

/// A thief that goes on removing, and one that keeps an upload under way for ever, hold no order of the lender's owner up.
#[test]
fn an_order_to_bring_back_is_done_while_a_thief_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::free(folder.path());
    let peer = stage.peer(1);
    for number in 0..5_u8 {
        peer.put_new(object(&[number]), &[number]).unwrap();
        assert!(peer.delete(object(&[number])).unwrap());
    }
    peer.put_new(object(b"left"), b"left").unwrap();
    let mut slow = stage.line(1);
    slow.say(&Request::Put { name: object(&noise(1, 1000)), bytes: 1000 }).unwrap();
    assert_eq!(slow.hear::<Answer>(ANSWER_BYTES_MAX).unwrap(), Answer::Send);
    stage.lend(&[("ann", Loan { bring_back: Some(BringBack { number: 1, days: 1 }), ..loan(&[1]) })]);
    let failed = peer.delete(object(b"left")).unwrap_err();
    assert!(matches!(failed, StoreError::Refused { refusal: Refusal::Crowded, .. }), "{failed}");
    until("it is done", || {
        stage.house.tend();
        stage.house.reports()["ann"].brought == 1
    });
    assert_eq!(peer.list(Kind::Pack).unwrap().len(), 6);
    // What was on its way is counted until it breaks off, and no longer.
    assert_eq!(stage.taken("ann"), (7 * 4096, 0));
    drop(slow);
    until("its room is free", || stage.taken("ann") == (6 * 4096, 0));
    assert!(peer.delete(object(b"left")).unwrap());
}

/// A lender that answers each request with the next of some words, whatever it was asked.
fn liar(answers: Vec<Answer>, then: Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let tls = Lender::new(&key(200)).unwrap();
        let (mut line, _) = tls.greet(listener.accept().unwrap().0).unwrap();
        for answer in answers {
            line.allow(PATIENCE, 0);
            if line.hear::<Request>(REQUEST_BYTES_MAX).is_err() || line.say(&answer).is_err() {
                return;
            }
        }
        let _ = line.write(&then);
        line.end();
    });
    address
}

#[test]
fn a_lender_that_lies_is_an_error_in_words_and_fills_no_memory() {
    let about = About { bytes: 1, stored: Timestamp(1) };
    let entry = |number: u8| Entry { id: Id([number; 32]), about };
    let lists: [(Vec<Answer>, &str); 4] = [
        (vec![Answer::Page { listed: vec![entry(2), entry(1)], more: false }], "not in order"),
        (vec![Answer::Page { listed: vec![entry(1), entry(1)], more: false }], "not in order"),
        (vec![Answer::Page { listed: vec![], more: true }], "not in order"),
        (vec![Answer::Kept { new: true }], "something else"),
    ];
    let at = |answers, then| -> Peer { guest_at(liar(answers, then), 1) };
    for (answers, words) in lists {
        let failed = at(answers, Vec::new()).list(Kind::Pack).unwrap_err().to_string();
        assert!(failed.contains(words), "{failed}");
    }
    // One that says that it is crowded, and leaves the line open, is not asked on it again and again without a pause.
    let (none, found) = (Answer::Stat { found: None }, Answer::Stat { found: Some(about) });
    let crowded = at(vec![none, Answer::Refused(Refusal::Crowded), found], Vec::new());
    assert_eq!(crowded.stat(object(b"a")).unwrap(), None);
    assert!(crowded.stat(object(b"a")).is_err(), "the line is not used again");
    // The same page again and again would be a list without an end.
    let again = Answer::Page { listed: vec![entry(1)], more: true };
    let failed = at(vec![again.clone(), again], Vec::new()).list(Kind::Pack).unwrap_err().to_string();
    assert!(failed.contains("not in order"), "{failed}");
    let failed = at(vec![Answer::Part { bytes: 21 }], vec![7; 21]).read(object(b"a"), 0, 20).unwrap_err().to_string();
    assert!(failed.contains("more than it was asked for"), "{failed}");
    let failed = at(vec![Answer::Part { bytes: 20 }], vec![7; 3]).read(object(b"a"), 0, 20);
    assert!(failed.is_err(), "a part that breaks off is none");
    let failed = at(vec![Answer::Kept { new: true }], Vec::new()).put_new(object(b"a"), b"a").unwrap_err();
    assert!(failed.to_string().contains("something else"), "{failed}: it has none of the bytes yet");
    let words = "\u{1b}[2J\u{7}gone".to_string();
    let failed = at(vec![Answer::Refused(Refusal::Failed { words })], Vec::new()).terms().unwrap_err().to_string();
    assert!(failed.contains("gone") && !failed.contains('\u{1b}'), "{failed:?}");
}
