//! Tests of the audit log on a disk.

use std::fs::OpenOptions;

use super::super::request::TEXT_BYTES_MAX;
use super::*;
use crate::count::{DAY_MS, MINUTE_MS};
use crate::role::Role;

fn at(ran_ms: u64) -> Moment {
    Moment { wall: Timestamp::from_millis(1_000_000), ran_ms }
}

fn request(path: &str) -> Request {
    Request {
        who: Some("0xf39F".into()),
        role: Some(Role::Operator),
        from: "127.0.0.1:4000".into(),
        method: "POST".into(),
        path: path.into(),
    }
}

fn filled(folder: &Path, changes: u64) {
    let log = Log::open(folder, Timestamp::now()).unwrap();
    for n in 0..changes {
        let request = request(&format!("/v1/xnode/applications/{n}"));
        let of = log.begin(&request, &at(n)).unwrap();
        log.end(of, &request, 200, &at(n)).unwrap();
    }
}

fn newest(folder: &Path) -> PathBuf {
    numbers(folder).unwrap().pop_last().unwrap().1
}

#[test]
fn records_follow_each_other_and_are_found() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path(), 3);
    filled(folder.path(), 2);
    let log = Log::open(folder.path(), Timestamp::now()).unwrap();
    let report = log.verify(None).unwrap();
    assert_eq!((report.files, report.records, report.first, report.head.sequence), (1, 11, 1, 11));
    assert_eq!((report.broken, report.torn_bytes, report.cuts), (None, None, 0));
    let all = log.list(&Filter::default()).unwrap();
    assert!(all.windows(2).all(|pair| pair[0].sequence == pair[1].sequence + 1));
    let filter = Filter { path: Some("/v1/xnode/applications/1".into()), kind: Some(Kind::Ended), ..Filter::default() };
    let found = log.list(&filter).unwrap();
    assert_eq!(found.iter().map(|record| record.of).collect::<Vec<_>>(), [Some(10), Some(4)]);
    let page = log.list(&Filter { before: Some(10), limit: Some(2), ..Filter::default() }).unwrap();
    assert_eq!(page.iter().map(|record| record.sequence).collect::<Vec<_>>(), [9, 8]);
    assert_eq!(log.list(&Filter { who: Some("nobody".into()), ..Filter::default() }).unwrap(), []);
}

/// Each byte of a file changed in turn, each line taken out, doubled or swapped: found at its line or the next one.
#[test]
fn whatever_is_changed_is_found() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path(), 3);
    let (path, head) = (newest(folder.path()), verify_folder(folder.path(), None).unwrap().head);
    let good = fs::read(&path).unwrap();
    let broken = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        let report = verify_folder(folder.path(), None).unwrap();
        report.broken.map(|broken| broken.line)
    };
    assert_eq!(broken(&good), None);
    let mut line = 1;
    for (at, byte) in good.iter().enumerate() {
        let mut changed = good.clone();
        changed[at] ^= 0x11;
        let found = broken(&changed).unwrap();
        assert!(found == line || found == line + 1 || at + 1 == good.len(), "byte {at}: {found}, not {line}");
        line += u64::from(*byte == b'\n');
    }
    let lines: Vec<&[u8]> = good.split_inclusive(|byte| *byte == b'\n').collect();
    for at in 0..lines.len() {
        let mut without = lines.clone();
        without.remove(at);
        assert!(broken(&without.concat()).is_some(), "line {} taken out", at + 1);
        let mut doubled = lines.clone();
        doubled.insert(at, lines[at]);
        assert_eq!(broken(&doubled.concat()), Some(at as u64 + 2), "line {} doubled", at + 1);
        if at > 0 {
            let mut swapped = lines.clone();
            swapped.swap(at - 1, at);
            assert_eq!(broken(&swapped.concat()), Some(at as u64), "line {} swapped", at + 1);
        }
    }
    // Whoever writes the whole log anew, with good hashes, is found by a head that was noted elsewhere.
    fs::write(&path, &good).unwrap();
    assert_eq!(verify_folder(folder.path(), Some(head)).unwrap().broken, None);
    fs::remove_file(&path).unwrap();
    fs::remove_file(folder.path().join("head")).unwrap();
    filled(folder.path(), 4);
    assert_eq!(verify_folder(folder.path(), None).unwrap().broken, None);
    assert!(verify_folder(folder.path(), Some(head)).unwrap().broken.is_some());
}

/// A record that somebody has written anew, with a good hash of its own: the next one names the hash of before, and of the last one the mark does.
#[test]
fn a_record_with_a_new_hash_of_its_own_is_found_at_the_next() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path(), 3);
    let path = newest(folder.path());
    let good = fs::read_to_string(&path).unwrap();
    let lines: Vec<String> = good.lines().map(|line| format!("{line}\n")).collect();
    for at in 0..lines.len() {
        let (mut record, _) = Record::parse(lines[at].trim_end().as_bytes()).unwrap();
        record.at = Timestamp::from_millis(7);
        let mut changed = lines.clone();
        changed[at] = record.line().0;
        fs::write(&path, changed.concat()).unwrap();
        let broken = verify_folder(folder.path(), None).unwrap().broken;
        let broken = broken.expect("the next record names the hash of before");
        let expected = if at + 1 < lines.len() { at as u64 + 2 } else { 0 };
        assert_eq!(broken.line, expected, "line {} written anew: {}", at + 1, broken.reason);
    }
}

/// A power cut at each byte of the last line: torn, and named by the next run. The same cut by somebody is a break.
#[test]
fn a_torn_line_is_told_apart_from_tampering() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path(), 2);
    let path = newest(folder.path());
    let mark = fs::read(folder.path().join("head")).unwrap();
    let before = fs::read(&path).unwrap().len();
    filled(folder.path(), 1);
    let good = fs::read(&path).unwrap();
    let line = before + good[before..].iter().position(|byte| *byte == b'\n').unwrap() + 1;
    for cut in before..line {
        fs::write(&path, &good[..cut]).unwrap();
        let tampered = verify_folder(folder.path(), None).unwrap();
        assert!(tampered.broken.is_some() && tampered.torn_bytes.is_none(), "{cut}");
        // The mark that the cut left behind is the one of the record before.
        fs::write(folder.path().join("head"), &mark).unwrap();
        let torn = verify_folder(folder.path(), None).unwrap();
        // A record that lacks its line break alone is whole.
        let bytes = Some((cut - before) as u64).filter(|bytes| *bytes > 0 && cut + 1 < line);
        assert_eq!((torn.broken, torn.torn_bytes), (None, bytes), "{cut}");
        filled(folder.path(), 1);
        let healed = verify_folder(folder.path(), None).unwrap();
        assert_eq!((healed.broken, healed.torn_bytes, healed.cuts), (None, None, u64::from(bytes.is_some())), "{cut}");
    }
}

#[test]
fn records_that_are_gone_stay_gone() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path(), 3);
    let path = newest(folder.path());
    let good = fs::read(&path).unwrap();
    let lines: Vec<&[u8]> = good.split_inclusive(|byte| *byte == b'\n').collect();
    fs::write(&path, lines[..4].concat()).unwrap();
    assert!(verify_folder(folder.path(), None).unwrap().broken.is_some());
    // A new run does not make it good.
    filled(folder.path(), 1);
    assert_eq!(verify_folder(folder.path(), None).unwrap().broken.unwrap().line, 5);
}

#[test]
fn files_are_turned_kept_and_checked_across() {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::open(folder.path(), Timestamp::now()).unwrap();
    // A file counts as full at once, so that each record turns it.
    log.lock().bytes_max = 1;
    for n in 0..FILES_KEPT + 3 {
        log.begin(&request(&format!("/{n}")), &at(0)).unwrap();
    }
    let report = log.verify(None).unwrap();
    assert_eq!((report.files, report.broken.clone()), (FILES_KEPT, None), "{report:?}");
    assert!(report.first > 1);
    let oldest = numbers(folder.path()).unwrap().pop_first().unwrap().1;
    let middle = numbers(folder.path()).unwrap().into_values().nth(5).unwrap();
    let bytes = fs::read(&middle).unwrap();
    fs::remove_file(&middle).unwrap();
    assert!(log.verify(None).unwrap().broken.unwrap().reason.contains("missing"));
    fs::write(&middle, &bytes).unwrap();
    fs::remove_file(oldest).unwrap();
    assert!(log.verify(None).unwrap().broken.unwrap().reason.contains("missing"));
}

#[test]
fn whoever_has_it_open_writes_in_turn() {
    let folder = tempfile::tempdir().unwrap();
    let logs = [0, 1, 2].map(|_| Log::open(folder.path(), Timestamp::now()).unwrap());
    logs[1].lock().bytes_max = 3_000;
    std::thread::scope(|scope| {
        for log in &logs {
            scope.spawn(move || {
                for n in 0..15 {
                    let request = request(&format!("/{n}"));
                    let of = log.begin(&request, &at(n)).unwrap();
                    log.end(of, &request, 200, &at(n)).unwrap();
                }
            });
        }
    });
    // One who has not written for long finds the file that is the newest by now.
    logs[0].begin(&request("/late"), &at(20)).unwrap();
    let report = logs[2].verify(None).unwrap();
    assert_eq!((report.broken, report.torn_bytes, report.cuts), (None, None, 0));
    assert!(report.files > 1);
    let all = logs[0].list(&Filter::default()).unwrap();
    assert_eq!(all.iter().filter(|record| record.kind == Kind::Ended).count(), 45);
    assert_eq!(all[0].path.as_deref(), Some("/late"));
}

#[test]
fn whoever_knocks_all_day_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::open(folder.path(), Timestamp::now()).unwrap();
    let stranger = Request { who: None, role: None, ..request("/v1/xnode/applications") };
    for _ in 0..STRANGERS_PER_MINUTE_MAX + 70 {
        log.refuse(&stranger, 401, "not_signed_in", &at(5)).unwrap();
    }
    log.refuse(&request("/v1/xnode/secrets/a"), 403, "role", &at(6)).unwrap();
    let all = log.list(&Filter { kind: Some(Kind::Refused), ..Filter::default() }).unwrap();
    assert_eq!(all.len() as u64, STRANGERS_PER_MINUTE_MAX + 1);
    assert_eq!((all[0].unrecorded, all[1].unrecorded), (Some(70), None));
    log.refuse(&stranger, 401, "not_signed_in", &at(5 + MINUTE_MS)).unwrap();
    assert_eq!(log.list(&Filter::default()).unwrap()[0].unrecorded, None);
}

#[test]
fn whoever_knocks_for_a_year_pushes_nothing_out() {
    let mut count = Count::default();
    let days: u64 = 3;
    let knocks = (0..days * DAY_MS).step_by(1_000);
    let recorded = knocks.filter(|ms| count.takes(&at(*ms), 30, STRANGERS_PER_DAY_MAX)).count();
    assert_eq!(recorded as u64, days * STRANGERS_PER_DAY_MAX);
    let folder = tempfile::tempdir().unwrap();
    let log = Log::open(folder.path(), Timestamp::now()).unwrap();
    let before = fs::read(newest(folder.path())).unwrap().len();
    let long = |char: &str| char.repeat(2 * TEXT_BYTES_MAX);
    let request = Request { who: None, role: None, from: long("f"), method: long("M"), path: long("\"") };
    log.refuse(&request, 401, "unknown_credential", &at(0)).unwrap();
    let bytes = (fs::read(newest(folder.path())).unwrap().len() - before) as u64;
    assert!(365 * STRANGERS_PER_DAY_MAX * bytes < FILE_BYTES_MAX * FILES_KEPT, "{bytes} bytes each");
}

#[test]
fn a_path_gives_a_terminal_no_orders() {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::open(folder.path(), Timestamp::now()).unwrap();
    log.begin(&request("/v1/xnode/\u{9b}2J\u{1b}[31m\u{202e}a%2Fb"), &at(0)).unwrap();
    let found = log.list(&Filter::default()).unwrap().remove(0).path.unwrap();
    assert_eq!(found, "/v1/xnode/%C2%9B2J%1B[31m%E2%80%AEa%2Fb");
}

#[test]
fn what_cannot_be_written_is_told_and_leaves_no_break() {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::open(folder.path(), Timestamp::now()).unwrap();
    log.begin(&request("/a"), &at(0)).unwrap();
    let path = newest(folder.path());
    let good = std::mem::replace(&mut log.lock().file, File::open(&path).unwrap());
    assert!(log.begin(&request("/b"), &at(1)).is_err(), "a file that cannot be written");
    log.lock().file = good;
    // What a write left that was broken off, by a full disk for instance.
    OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"hash\":\"01").unwrap();
    log.begin(&request("/c"), &at(2)).unwrap();
    let report = log.verify(None).unwrap();
    assert_eq!((report.broken, report.torn_bytes, report.cuts, report.records), (None, None, 0, 3));
}

#[test]
fn long_texts_are_cut() {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::open(folder.path(), Timestamp::now()).unwrap();
    log.begin(&request(&"ü".repeat(10_000)), &at(0)).unwrap();
    assert!(fs::read(newest(folder.path())).unwrap().len() < 2_000);
    assert_eq!(log.verify(None).unwrap().broken, None);
}
