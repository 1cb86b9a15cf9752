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

/// A network that collects nothing is a network too: these validators have no sources, and stay until they are told to stop.
#[test]
fn transfers_are_committed_by_a_network() {
    let small = ["--accounts", "16", "--transfers", "64", "--rates", "20", "--seconds", "1", "--connections", "4"];
    let figures = run(&[&["transfers"][..], &small].concat());
    assert_eq!((figures["transfers"].as_u64(), figures["committed"].as_u64()), (Some(20), Some(20)), "{figures}");
}
