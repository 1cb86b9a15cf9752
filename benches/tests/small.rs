//! Every benchmark runs to its end, at a small size. The figures mean nothing here.

use std::process::Command;

use serde_json::Value;

fn run(arguments: &[&str]) -> Value {
    let bench = env!("CARGO_BIN_EXE_openmesh-bench");
    let output = Command::new(bench).args(arguments).output().expect("the benchmarks' binary");
    let (out, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{arguments:?}: {told}");
    serde_json::from_str(out.lines().last().unwrap_or_default()).unwrap_or_else(|e| panic!("{e}: {out}\n{told}"))
}

#[test]
fn transfers_are_committed_by_one_store() {
    let figures = run(&["throughput", "--blocks", "2", "--transfers", "8", "--accounts", "4"]);
    assert_eq!((figures["transfers"].as_u64(), figures["blocks"].as_u64()), (Some(16), Some(2)), "{figures}");
}

#[test]
fn small_blocks_are_kept_as_files_and_as_rows() {
    let figures = run(&["content", "--blocks", "100", "--kept", "30", "--batch", "24"]);
    assert_eq!((figures["kind"].as_str(), figures["blocks"].as_u64()), (Some("large"), Some(100)), "{figures}");
}

#[test]
fn a_recording_is_decoded() {
    let line = r#"{"t":"header","exchange":"KRAKEN"}"#;
    let frame = r#"{"t":"recv","conn":"0","ts":1618643730.0,"data":"{\"event\":\"heartbeat\"}"}"#;
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("frames.jsonl.gz");
    let made = std::fs::File::create(&file).expect("a file");
    let mut encoder = flate2::write::GzEncoder::new(made, flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, format!("{line}\n{frame}\n").as_bytes()).expect("written");
    encoder.finish().expect("finished");
    let figures = run(&["normalise", dir.path().to_str().expect("a path"), "2"]);
    assert_eq!(figures["frames"].as_u64(), Some(2), "{figures}");
}

#[test]
fn stages_of_a_restore_are_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path().to_str().expect("a path");
    let figures = run(&["stages", "--files", "1", "--runs", "1", "--at", at]);
    assert_eq!((figures["act"].as_str(), figures["bytes"].as_u64()), (Some("restore"), Some(16 << 20)), "{figures}");
    let stages = figures["stages"].as_array().expect("stages");
    let bytes =
        |word: &str| stages.iter().find(|stage| stage["stage"] == word).and_then(|stage| stage["bytes"].as_u64());
    assert_eq!((bytes("write"), bytes("read_back"), bytes("cut")), (Some(16 << 20), Some(16 << 20), None), "{figures}");
    assert_eq!(std::fs::read_dir(folder.path()).expect("the folder").count(), 0);
}

/// A network that collects nothing is a network too: these validators have no sources, and stay until they are told to stop.
#[test]
fn transfers_are_committed_by_a_network() {
    let small = ["--accounts", "16", "--transfers", "64", "--rates", "20", "--seconds", "1", "--connections", "4"];
    let figures = run(&[&["transfers"][..], &small].concat());
    assert_eq!((figures["transfers"].as_u64(), figures["committed"].as_u64()), (Some(20), Some(20)), "{figures}");
}

#[test]
fn transfers_are_committed_that_come_in_batches() {
    let small = ["--accounts", "16", "--transfers", "64", "--rates", "20", "--seconds", "1", "--connections", "2"];
    let figures = run(&[&["transfers", "--batch", "3"][..], &small].concat());
    assert_eq!((figures["transfers"].as_u64(), figures["committed"].as_u64()), (Some(20), Some(20)), "{figures}");
}

/// A replay has to come to the recorded receipts, so a part that measures something else ends the run.
#[test]
fn the_time_of_a_transfer_is_told_by_part() {
    let small = ["--accounts", "16", "--transfers", "64", "--connections", "4", "--profile", "--idle-seconds", "3"];
    let figures = run(&[&["transfers"][..], &small].concat());
    assert_eq!(figures["benchmark"].as_str(), Some("profile"), "{figures}");
    assert_eq!(figures["transfers"].as_u64(), Some(64), "{figures}");
    let us = |part: &str| figures["parts"][part].as_f64().unwrap_or_else(|| panic!("{part}: {figures}"));
    for part in ["signature", "hash", "decode", "admit", "check", "execute", "root", "store", "gossip"] {
        assert!(us(part) > 0.0, "{part}: {figures}");
    }
    let sum: f64 = ["signature", "hash", "decode", "admit", "check", "execute", "root", "store", "gossip", "doors"]
        .into_iter()
        .chain(["tables", "consensus", "rest"])
        .map(us)
        .sum();
    assert!((sum - figures["total"].as_f64().unwrap_or(0.0)).abs() < 2.0, "the parts are the whole: {figures}");
}

#[test]
fn the_pause_between_blocks_is_told_with_one_validator_down() {
    let load = ["--accounts", "16", "--transfers", "64", "--connections", "4"];
    let figures = run(&[&["transfers", "--one-down"][..], &load, &["--seconds", "4", "--idle-seconds", "6"]].concat());
    assert_eq!(figures["benchmark"].as_str(), Some("one_down"), "{figures}");
    for figure in ["idle", "idle_one_down", "half_load", "half_load_one_down"] {
        assert!(figures[figure].as_f64().is_some_and(|ms| ms > 0.0), "{figure}: {figures}");
    }
}

#[test]
fn single_transfers_are_timed_on_the_idle_network() {
    let figures = run(&["transfers", "--accounts", "16", "--single", "3"]);
    assert_eq!((figures["benchmark"].as_str(), figures["transfers"].as_u64()), (Some("single"), Some(3)), "{figures}");
    assert!(
        figures["p50"].as_f64().is_some_and(|ms| ms > 0.0 && ms <= figures["max"].as_f64().unwrap_or(0.0)),
        "{figures}"
    );
}

/// Half of the order of secp256k1's group: an `s` above it is refused (EIP-2).
const HALF_ORDER: [u8; 32] = [
    0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x5d, 0x57, 0x6e,
    0x73, 0x57, 0xa4, 0x50, 0x1d, 0xdf, 0xe9, 0x2f, 0x46, 0x68, 0x1b, 0x20, 0xa0,
];

/// Writes a copy of a program in which nothing is above the bound of `s`; returns how often the bound stood there.
fn without_the_check(program: &std::path::Path, copy: &std::path::Path) -> usize {
    let mut bytes = std::fs::read(program).expect("the product's binary");
    let (mut at, mut found) = (0, 0);
    // The sixteenth byte of the bound and the fourteen before it are 0xff: where one is not, the bound does not begin at those places.
    while at + HALF_ORDER.len() <= bytes.len() {
        if bytes[at + 15] != 0xff {
            at += 15;
        } else if bytes[at..at + HALF_ORDER.len()] == HALF_ORDER {
            bytes[at..at + HALF_ORDER.len()].fill(0xff);
            found += 1;
            at += HALF_ORDER.len();
        } else {
            at += 1;
        }
    }
    std::fs::write(copy, bytes).expect("a copy");
    let mode = std::fs::metadata(program).expect("the product's binary").permissions();
    std::fs::set_permissions(copy, mode).expect("permissions");
    found
}

/// The check that refuses the other form of a signature is taken out of the last validator's program, and of no other's.
#[test]
fn a_run_beside_a_validator_that_does_not_check_signatures_is_refused() {
    let bench = env!("CARGO_BIN_EXE_openmesh-bench");
    let folder = tempfile::tempdir().expect("a folder");
    let (program, odd) = (std::path::Path::new(bench).with_file_name("openmesh"), folder.path().join("openmesh"));
    let found = without_the_check(&program, &odd);
    assert!(found > 0, "{} does not hold the bound as its bytes: it was optimised away", program.display());
    let home = folder.path().join("network");
    let words = [home.to_str().expect("a path"), odd.to_str().expect("a path")];
    let mut command = Command::new(bench);
    command.args(["transfers", "--accounts", "16", "--transfers", "64", "--connections", "4"]);
    let output = command.args(["--home", words[0], "--last-bin", words[1]]).output().expect("the benchmarks' binary");
    let (out, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(!output.status.success() && out.is_empty(), "no figure: {out}");
    assert!(told.contains("validator 3 (127.0.0.1:"), "{told}");
    assert!(told.contains("does not refuse a transfer with a high s for its signature"), "{told}");
}

/// Backups need no agent. A machine without restic or root says what lacks, and leaves nothing behind either.
#[test]
fn the_xnode_is_measured_beside_its_peer_or_what_lacks_is_said() {
    let bench = env!("CARGO_BIN_EXE_openmesh-bench");
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(bench);
    command.args(["xnode", "--quick", "--rows", "backup", "--bin", bench]).env("TMPDIR", folder.path());
    let output = command.output().expect("the benchmarks' binary");
    let (out, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() {
        for words in ["verified restore, 64 MiB", "| restic 0.", "<= 1 x peer", "not judged: a trial"] {
            assert!(out.contains(words), "{words}: {out}");
        }
    } else {
        assert!(told.contains("need root: sudo") || told.contains("Debian package restic"), "{told}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).expect("the folder").count(), 0, "{told}");
}

/// Two hours in which nothing grows but the tables, and the same with a memory that grows.
#[test]
fn a_table_of_an_earlier_run_is_judged() {
    let dir = tempfile::tempdir().expect("a folder");
    let table = dir.path().join("run.csv");
    let write = |memory: fn(u64) -> u64| {
        let heading = "minutes,height,blocks,chunks,chunks_ever,disputed,events_per_second,cpu_ms,awaited,memory_bytes,\
                       ledger_bytes,content_bytes,lake_bytes,raw_bytes\n";
        let line =
            |m: u64| format!("{m},{},282,10800,{},0,90,55000,100,{},9,9,{m},9\n", m * 282, m * 10_800, memory(m));
        std::fs::write(&table, heading.to_owned() + &(1..=120).map(line).collect::<String>()).expect("written");
    };
    let paths = [&table, dir.path()].map(|path: &std::path::Path| path.to_str().expect("a path"));
    let arguments = ["windows", "--judge", paths[0], "--out", paths[1]];
    write(|_| 300 << 20);
    run(&arguments);
    assert!(std::fs::read_to_string(dir.path().join("windows.svg")).expect("a picture").contains("120 minutes"));
    write(|minute| minute << 20);
    let output = Command::new(env!("CARGO_BIN_EXE_openmesh-bench")).args(arguments).output().expect("a verdict");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && told.contains("memory_bytes grows by 0.39"), "{told}");
}
