//! Measures how fast a recording is decoded and applied to books, on one core:
//! `normalise RECORDING [REPEAT]`. RECORDING is a folder with `frames.jsonl.gz`, or such a file. Prints one JSON object.
//!
//! Reading and splitting the file is not measured, nor is what comes before the first frame (lists of instruments);
//! every repetition begins with a new session.

#![allow(clippy::disallowed_types, reason = "a benchmark reads the clock and prints rates")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use openmesh_dialect::recording::{Line, Player};

type Failure = Box<dyn std::error::Error>;

/// Counts and times.
struct Measured {
    frames: usize,
    events: usize,
    took: Duration,
}

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let path = PathBuf::from(arguments.next().ok_or("usage: normalise RECORDING [REPEAT]")?);
    let repeat: usize = arguments.next().map_or(Ok(1), |n| n.parse())?;
    let lines = read(&path)?;
    let Some(Line::Header { exchange }) = lines.first() else { return Err("the first line is no header".into()) };
    let mut best: Option<Measured> = None;
    let mut whole = Measured { frames: 0, events: 0, took: Duration::ZERO };
    for _ in 0..repeat.max(1) {
        let once = play(exchange, &lines)?;
        whole.frames += once.frames;
        whole.events += once.events;
        whole.took += once.took;
        if best.as_ref().is_none_or(|b| once.took < b.took) {
            best = Some(once);
        }
    }
    let rate = |m: &Measured| (m.frames as f64 / m.took.as_secs_f64()).round();
    let report = serde_json::json!({
        "recording": path.display().to_string(),
        "exchange": exchange,
        "repeat": repeat.max(1),
        "frames": whole.frames,
        "events": whole.events,
        "seconds": whole.took.as_secs_f64(),
        "frames_per_second": rate(&whole),
        "frames_per_second_best": best.as_ref().map(rate),
    });
    println!("{report}");
    Ok(())
}

fn play(exchange: &str, lines: &[Line]) -> Result<Measured, Failure> {
    let session = openmesh_dialect::for_recording(exchange).ok_or_else(|| format!("{exchange}: no such venue here"))?;
    let mut player = Player::new(session);
    let mut events = Vec::new();
    let (mut frames, mut count) = (0, 0);
    let first = lines.iter().position(|line| matches!(line, Line::Receive { .. })).unwrap_or(lines.len());
    for line in &lines[..first] {
        player.line(line, &mut events);
    }
    let began = Instant::now();
    for line in &lines[first..] {
        player.line(line, &mut events);
        frames += usize::from(matches!(line, Line::Receive { .. }));
        count += events.len();
        events.clear();
    }
    Ok(Measured { frames, events: count, took: began.elapsed() })
}

fn read(path: &Path) -> Result<Vec<Line>, Failure> {
    let path = if path.is_dir() { path.join("frames.jsonl.gz") } else { path.to_path_buf() };
    let file = std::fs::File::open(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let reader = BufReader::new(flate2::read::MultiGzDecoder::new(file));
    reader.lines().map(|line| Ok(Line::parse(&line?)?)).collect()
}
