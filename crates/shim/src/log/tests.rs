//! Logs: records, lines, rotation, resumption, damage.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

use proptest::prelude::*;

use super::*;

const BYTES_MAX: u64 = 1 << 20;

fn read_all(reader: &mut LogReader) -> Batch {
    let mut all = Batch::default();
    loop {
        let batch = reader.read().unwrap();
        all.records.extend(batch.records);
        all.missing.extend(batch.missing);
        all.damaged += batch.damaged;
        if batch.at_end {
            return Batch { at_end: true, ..all };
        }
    }
}

fn from(directory: &Path, position: Position) -> Batch {
    read_all(&mut LogReader::new(directory, position, Filter::default()))
}

fn size(directory: &Path) -> u64 {
    files(directory).unwrap().iter().map(|f| directory.join(file_name(*f)).metadata().unwrap().len()).sum()
}

fn line(n: u64) -> String {
    format!("line {n} {}", "x".repeat((n % 300) as usize))
}

/// Writes lines whose text follows from their sequence.
fn write(log: &mut LogWriter, count: u64) {
    for _ in 0..count {
        let n = log.next();
        log.append(n * 10, Stream::Stdout, false, line(n).as_bytes());
    }
    log.flush();
}

#[test]
fn sequences_that_an_earlier_writer_gave_out_are_counted_and_not_used_again() {
    let directory = tempfile::tempdir().unwrap();
    write(&mut LogWriter::open(directory.path(), BYTES_MAX).unwrap(), 10);
    // It went on to 63 while the disk was full, and died.
    let mut log = LogWriter::open(directory.path(), BYTES_MAX).unwrap();
    log.go_on(64, Some("No space left on device (os error 28)"));
    log.go_on(64, None);
    assert_eq!((log.next(), log.dropped()), (64, (53, 0)));
    log.retry(7);
    write(&mut log, 1);
    let batch = from(directory.path(), Position::Sequence(10));
    let texts: Vec<String> =
        batch.records.iter().map(|record| String::from_utf8(record.text.clone()).unwrap()).collect();
    let word = "dropped 53 lines (0 bytes), sequences 11 to 63: No space left on device (os error 28)";
    assert_eq!(texts, [line(10).as_str(), word, line(65).as_str()]);
    assert_eq!(batch.records[1].sequence, 64);
    // The next one has nothing to make up for.
    let mut log = LogWriter::open(directory.path(), BYTES_MAX).unwrap();
    log.go_on(66, None);
    assert_eq!((log.next(), log.pending()), (66, None));
}

#[test]
fn a_record_looks_like_this() {
    let mut bytes = Vec::new();
    let record = Record {
        sequence: 1842,
        time_us: 1_764_374_254_123_456,
        stream: Stream::Stderr,
        goes_on: true,
        text: b"a b\xff",
    };
    record.encode(&mut bytes);
    assert_eq!(bytes, b"1842 1764374254123456 e+ a b\xff\n");
    assert_eq!(Record::decode(&bytes[..bytes.len() - 1]), Some(record));
    for bad in [
        "",
        " ",
        "1",
        "1 2",
        "1 2 ",
        "1 2 o",
        "1 2 o.",
        "1 2 x. t",
        "1 2 o, t",
        "1 2 o.t",
        "-1 2 o. t",
        "99999999999999999999 2 o. t",
    ] {
        assert_eq!(Record::decode(bad.as_bytes()), None, "{bad}");
    }
}

#[test]
fn long_and_unfinished_lines_are_parts() {
    let mut splitter = Splitter::default();
    let mut got: Vec<(usize, bool)> = Vec::new();
    splitter.feed(&[b'a'; LINE_BYTES_MAX], |text, part| got.push((text.len(), part)));
    assert!(got.is_empty(), "a line that just fits waits for its newline");
    splitter.feed(b"\n", |text, part| got.push((text.len(), part)));
    splitter.feed(&[b'b'; 2 * LINE_BYTES_MAX + 5], |text, part| got.push((text.len(), part)));
    splitter.part(|text, part| got.push((text.len(), part)));
    splitter.feed(b"\nlast", |text, part| got.push((text.len(), part)));
    splitter.finish(|text, part| got.push((text.len(), part)));
    let max = LINE_BYTES_MAX;
    assert_eq!(got, [(max, false), (max, true), (max, true), (5, true), (0, false), (4, false)]);
}

#[test]
fn the_size_is_bounded_and_a_reader_resumes_over_rotations() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = LogWriter::open(directory.path(), BYTES_MAX).unwrap();
    let mut reader = LogReader::new(directory.path(), Position::Oldest, Filter::default());
    let mut seen = 0;
    for _ in 0..200 {
        write(&mut log, 200);
        assert!(size(directory.path()) <= BYTES_MAX && log.bytes() == size(directory.path()));
        let batch = read_all(&mut reader);
        assert_eq!((batch.missing, batch.damaged), (vec![], 0), "a reader that keeps up misses nothing");
        for record in batch.records {
            seen += 1;
            assert_eq!((record.sequence, record.text), (seen, line(seen).into_bytes()));
        }
    }
    assert_eq!(seen, 40_000);
    assert!(files(directory.path()).unwrap().len() as u64 <= FILES_MAX);
    for sequence in [log.oldest(), log.oldest() + 777, log.next() - 1] {
        let batch = from(directory.path(), Position::Sequence(sequence));
        assert_eq!(batch.records[0].sequence, sequence);
        assert_eq!(batch.records.len() as u64, log.next() - sequence);
    }
    let late = from(directory.path(), Position::Sequence(5));
    assert_eq!(late.missing, [(5, log.oldest() - 1)], "a reader that comes too late is told");
}

#[test]
fn a_reader_that_was_overtaken_goes_on_with_the_oldest() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = LogWriter::open(directory.path(), BYTES_MAX).unwrap();
    write(&mut log, 10);
    let mut reader = LogReader::new(directory.path(), Position::Oldest, Filter::default());
    assert_eq!(read_all(&mut reader).records.len(), 10);
    write(&mut log, 40_000);
    let batch = read_all(&mut reader);
    let read: u64 = batch.records.len() as u64;
    let missed: u64 = batch.missing.iter().map(|(first, last)| last - first + 1).sum();
    assert_eq!((read + missed, batch.missing.len()), (40_000, 1), "{:?}", batch.missing);
}

#[test]
fn the_next_writer_goes_on_after_a_torn_record() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = LogWriter::open(directory.path(), BYTES_MAX).unwrap();
    write(&mut log, 5);
    drop(log);
    let path = directory.path().join(file_name(1));
    OpenOptions::new().append(true).open(&path).unwrap().write_all(b"6 60 o. torn").unwrap();
    let mut reader = LogReader::new(directory.path(), Position::Oldest, Filter::default());
    assert_eq!(read_all(&mut reader).records.len(), 5, "a torn record is not handed out");
    let mut log = LogWriter::open(directory.path(), BYTES_MAX).unwrap();
    assert_eq!(log.next(), 6);
    write(&mut log, 3);
    let batch = read_all(&mut reader);
    assert_eq!(batch.records.iter().map(|r| r.sequence).collect::<Vec<_>>(), [6, 7, 8]);
    assert_eq!((batch.damaged, batch.missing.len()), (0, 0));
}

#[test]
fn damage_in_the_middle_is_counted_and_passed() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = LogWriter::open(directory.path(), BYTES_MAX).unwrap();
    write(&mut log, 5);
    let path = directory.path().join(file_name(1));
    let mut file = OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(b"garbage\n").unwrap();
    file.write_all(&vec![0; 200_000]).unwrap();
    file.write_all(b"\n").unwrap();
    write(&mut log, 5);
    let batch = from(directory.path(), Position::Oldest);
    assert_eq!(batch.records.len(), 10);
    assert!(batch.damaged >= 2, "{}", batch.damaged);
    drop(log);
    std::fs::write(&path, [0; 5_000]).unwrap();
    let log = LogWriter::open(directory.path(), BYTES_MAX).unwrap();
    assert!(log.next() > 10, "no sequence is used twice although nothing of the file can be read");
}

#[test]
fn filters() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = LogWriter::open(directory.path(), BYTES_MAX).unwrap();
    for (time, stream, text) in [
        (10, Stream::Stdout, "one"),
        (20, Stream::Stderr, "two error"),
        (30, Stream::Shim, "three"),
        (40, Stream::Stderr, "four errror"),
    ] {
        log.append(time, stream, false, text.as_bytes());
    }
    log.flush();
    let texts = |filter: Filter| -> Vec<String> {
        let batch = read_all(&mut LogReader::new(directory.path(), Position::Oldest, filter));
        batch.records.into_iter().map(|r| String::from_utf8(r.text).unwrap()).collect()
    };
    assert_eq!(texts(Filter { since_us: Some(20), until_us: Some(40), ..Filter::default() }), ["two error", "three"]);
    assert_eq!(texts(Filter { streams: vec![Stream::Stderr], ..Filter::default() }), ["two error", "four errror"]);
    assert_eq!(texts(Filter { contains: Some("error".into()), ..Filter::default() }), ["two error"]);
    assert_eq!(texts(Filter { contains: Some(String::new()), ..Filter::default() }).len(), 4);
    let last = tail(directory.path(), Filter { streams: vec![Stream::Stderr], ..Filter::default() }, 1).unwrap();
    assert_eq!(last[0].text, b"four errror");
    assert_eq!(from(directory.path(), Position::Newest).records, []);
}

#[test]
fn a_log_without_a_folder_is_empty_and_a_folder_that_vanished_is_made_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("logs");
    assert!(from(&path, Position::Oldest).at_end);
    let mut log = LogWriter::open(&path, BYTES_MAX).unwrap();
    std::fs::remove_dir_all(&path).unwrap();
    write(&mut log, 3);
    assert_eq!(from(&path, Position::Oldest).records.len(), 3);
}

proptest! {
    #[test]
    fn any_bytes_come_back_whatever_the_pieces(
        lines in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..400), 1..40),
        cuts in prop::collection::vec(1usize..700, 1..40),
        blow in prop::collection::vec(0usize..3, 1..40),
    ) {
        let mut written = Vec::new();
        for (index, text) in lines.iter().enumerate() {
            let times = if blow[index % blow.len()] == 2 { 90 } else { 1 };
            (0..times).for_each(|_| written.extend_from_slice(text));
            written.push(b'\n');
        }
        let directory = tempfile::tempdir().unwrap();
        let mut log = LogWriter::open(directory.path(), 8 << 20).unwrap();
        let (mut splitter, mut rest, mut turn) = (Splitter::default(), &written[..], 0);
        while !rest.is_empty() {
            let (piece, later) = rest.split_at(cuts[turn % cuts.len()].min(rest.len()));
            splitter.feed(piece, |text, goes_on| log.append(1, Stream::Stdout, goes_on, text));
            if turn % 7 == 0 {
                splitter.part(|text, goes_on| log.append(1, Stream::Stdout, goes_on, text));
            }
            (rest, turn) = (later, turn + 1);
        }
        splitter.finish(|text, goes_on| log.append(1, Stream::Stdout, goes_on, text));
        log.flush();
        let mut read = Vec::new();
        for record in from(directory.path(), Position::Oldest).records {
            read.extend_from_slice(&record.text);
            if !record.goes_on {
                read.push(b'\n');
            }
        }
        prop_assert!(read == written);
    }

    #[test]
    fn no_bytes_of_a_file_make_a_reader_or_a_writer_fail(bytes in prop::collection::vec(any::<u8>(), 0..3000), sequence in any::<u64>()) {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join(file_name(7)), &bytes).unwrap();
        from(directory.path(), Position::Oldest);
        from(directory.path(), Position::Sequence(sequence));
        let mut log = LogWriter::open(directory.path(), BYTES_MAX).unwrap();
        log.append(1, Stream::Stdout, false, b"whole");
        log.flush();
        let last = from(directory.path(), Position::Oldest).records.pop().unwrap();
        prop_assert_eq!(last.text, b"whole");
    }
}
