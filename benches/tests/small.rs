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
