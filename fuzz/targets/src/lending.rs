//! Words between Xnodes that lend each other room for backups, and the files between an agent and its lender (B-72, B-73, B-80).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_backup::peer::wire::{
    About, Answer, Entry, PAGE_OBJECTS, REQUEST_BYTES_MAX, Request, Terms, object_bytes_max,
};
use openmesh_backup::{Id, Kind, Name, NodeKey, NodePublicKey, PACK_BYTES_MAX, Refusal, SEALED_BYTES_MAX};
use openmesh_lender::loans::{BringBack, Loan, Loans, Standing};
use openmesh_lender::report::{LoanReport, Report};
use openmesh_primitives::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Longest words of a refusal that a person reads, bytes.
const WORDS_BYTES_MAX: usize = 1_000;

/// Requests, answers and keys: one encoding of each, no name that leads out of a store, no words that a terminal would obey.
pub fn words(data: &[u8]) {
    if let Some(request) = word::<Request>(data) {
        assert!(data.len() <= REQUEST_BYTES_MAX, "{request:?} is longer than a lender hears");
        match request {
            Request::Put { name, .. } | Request::Read { name, .. } => named(name),
            Request::Stat { name } | Request::Delete { name } => named(name),
            Request::Terms | Request::List { .. } => {}
        }
    }
    match word::<Answer>(data) {
        Some(Answer::Refused(refusal)) => refused(refusal),
        Some(Answer::Terms(terms)) => assert!(terms.left_bytes() <= terms.room_bytes),
        _ => {}
    }
    if let Some(key) = std::str::from_utf8(data).ok().and_then(|text| text.parse::<NodePublicKey>().ok()) {
        assert_eq!(key.to_string().as_bytes(), data, "a key has two spellings");
    }
}

/// A word that is read is written as the same bytes.
fn word<T: BorshSerialize + BorshDeserialize + Debug>(data: &[u8]) -> Option<T> {
    let word = borsh::from_slice::<T>(data).ok()?;
    assert_eq!(borsh::to_vec(&word).expect("what was read can be written"), data, "{word:?} has two encodings");
    Some(word)
}

fn named(name: Name) {
    let path = name.to_string();
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    assert!(path.split('/').all(|part| !part.is_empty() && part.bytes().all(plain)), "{path} leads elsewhere");
    assert!(object_bytes_max(name) <= PACK_BYTES_MAX.max(SEALED_BYTES_MAX) as u64, "{name}");
}

fn refused(refusal: Refusal) {
    let shown = refusal.shown();
    let text = shown.to_string();
    assert!(!text.chars().any(char::is_control) && text.len() <= WORDS_BYTES_MAX, "{text:?}");
    assert_eq!(shown.clone().shown(), shown, "what a person may read changes no more");
}

/// The lender's report, which another user wrote, and the agent's file of loans: what is read is written so that it is read as the same again, and loans without a
/// fault have names of one part and keys that lead to one of them.
pub fn files(data: &[u8]) {
    same::<Report>(data);
    let Some(loans) = same::<Loans>(data).filter(|loans| loans.fault().is_none()) else { return };
    let mut seen = BTreeSet::new();
    for (name, loan) in &loans.loans {
        assert!(!name.is_empty() && !name.contains(['/', '.', '\0']), "{name:?}");
        for (key, reads_only) in
            loan.keys.iter().map(|key| (key, false)).chain(loan.readers.iter().map(|key| (key, true)))
        {
            assert!(seen.insert(key), "{key} has two meanings");
            let found = loans.of(key.parse().expect("a loan without a fault"));
            let found = found.map(|found| (found.name, found.reads_only));
            let wanted = (loan.standing != Standing::Forgotten).then_some((name.as_str(), reads_only));
            assert_eq!(found, wanted);
        }
        let rights = loan.rights(Timestamp(0));
        assert!(rights.removes || !rights.stores, "whoever stores can remove");
    }
}

fn same<T: Serialize + DeserializeOwned + PartialEq + Debug>(data: &[u8]) -> Option<T> {
    let value = serde_json::from_slice::<T>(data).ok()?;
    let json = serde_json::to_vec(&value).expect("what was read can be written");
    let again: T = serde_json::from_slice(&json).expect("what was written can be read");
    assert_eq!(again, value);
    Some(value)
}

fn key(number: u8) -> NodePublicKey {
    NodeKey::from_seed([number; 32]).public()
}

/// Seeds of [`words`].
pub fn words_seeds() -> Vec<Vec<u8>> {
    let (id, about) = (Id([0xab; 32]), About { bytes: 7, stored: Timestamp(9) });
    let pack = Name::Object(Kind::Pack, id);
    let requests = [
        Request::Terms,
        Request::Put { name: Name::Format, bytes: 83 },
        Request::Put { name: pack, bytes: u64::MAX },
        Request::Read { name: pack, from: u64::MAX, bytes: u32::MAX },
        Request::List { kind: Kind::Mark, after: None },
        Request::List { kind: Kind::Key, after: Some(id) },
        Request::Stat { name: Name::Object(Kind::Session, id) },
        Request::Delete { name: Name::Object(Kind::Snapshot, id) },
    ];
    let terms = Terms { room_bytes: 9, used_bytes: 8, held_bytes: 7, until: Some(Timestamp(6)), held_days: 5 };
    let room = Refusal::Room { room_bytes: 1, used_bytes: 2, held_bytes: 3, wanted_bytes: 4 };
    let mut answers = vec![
        Answer::Terms(terms),
        Answer::Send,
        Answer::Kept { new: true },
        Answer::Part { bytes: u32::MAX },
        Answer::Page { listed: vec![Entry { id, about }; 3], more: true },
        Answer::Page { listed: vec![Entry { id, about }; PAGE_OBJECTS / 8], more: false },
        Answer::Stat { found: Some(about) },
        Answer::Deleted { was: false },
        Answer::Refused(room),
        Answer::Refused(Refusal::Failed { words: "\u{1b}[2J\u{7}gone".into() }),
    ];
    answers.extend([Refusal::Stranger, Refusal::Over, Refusal::Reader, Refusal::Crowded].map(Answer::Refused));
    let mut seeds: Vec<Vec<u8>> = requests.iter().map(written).collect();
    seeds.extend(answers.iter().map(written));
    seeds.push(key(1).to_string().into_bytes());
    seeds
}

fn written(word: &impl BorshSerialize) -> Vec<u8> {
    borsh::to_vec(word).expect("memory")
}

/// Seeds of [`files`].
pub fn files_seeds() -> Vec<Vec<u8>> {
    let loan = |guest: u8, reader: u8| Loan {
        keys: BTreeSet::from([key(guest).to_string()]),
        readers: BTreeSet::from([key(reader).to_string()]),
        room_bytes: 1 << 30,
        until: Some(Timestamp(1_800_000_000_000_000_000)),
        held_days: 14,
        standing: Standing::Lent,
        bring_back: Some(BringBack { number: 1, days: 3 }),
    };
    let going = Loan { standing: Standing::Forgotten, until: None, bring_back: None, ..loan(3, 4) };
    let loans = BTreeMap::from([("ann".to_string(), loan(1, 2)), ("bob-2".to_string(), going)]);
    let loans = Loans { run: "one".into(), reserve_bytes: 1, loans };
    let told =
        LoanReport { used_bytes: 4096, seen: Some(Timestamp(1)), trouble: Some("x".into()), ..LoanReport::default() };
    let report = Report {
        run: "one".into(),
        pid: 7,
        landlock: true,
        listens: vec!["[::]:7790".into()],
        troubles: vec!["it cannot listen".into()],
        day: 3,
        loans: BTreeMap::from([("ann".to_string(), told)]),
    };
    vec![
        serde_json::to_vec(&loans).expect("memory"),
        serde_json::to_vec(&report).expect("memory"),
        b"{\"run\":\"a\",\"reserve_bytes\":0,\"loans\":{\"../x\":{}}}".to_vec(),
    ]
}
