//! Decoding a recording and applying it to books, on one core.
//!
//! Reading and splitting the file is not measured, nor is what comes before the first frame (lists of instruments);
//! every repetition begins with a new session.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Args;
use openmesh_dialect::recording::{Line, Player};

/// Arguments of `normalise`.
#[derive(Debug, Args)]
pub struct NormaliseArgs {
    /// A folder with frames.jsonl.gz, or such a file.
    recording: PathBuf,
    /// Passes over it, of which the best counts.
    #[arg(default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
}

/// Counts and times.
struct Measured {
    frames: usize,
    events: usize,
    took: Duration,
}

/// Plays the recording as often as asked and prints one JSON object.
pub fn run(arguments: &NormaliseArgs) -> anyhow::Result<()> {
    let (path, repeat) = (&arguments.recording, arguments.repeat);
    let lines = read(path)?;
    let Some(Line::Header { exchange }) = lines.first() else { bail!("the first line is no header") };
    let mut best: Option<Measured> = None;
    let mut whole = Measured { frames: 0, events: 0, took: Duration::ZERO };
    for _ in 0..repeat {
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
        "repeat": repeat,
        "benchmark": "normalise",
        "frames": whole.frames,
        "events": whole.events,
        "seconds": whole.took.as_secs_f64(),
        "frames_per_second": rate(&whole),
        "frames_per_second_best": best.as_ref().map(rate),
    });
    println!("{report}");
    Ok(())
}

fn play(exchange: &str, lines: &[Line]) -> anyhow::Result<Measured> {
    let session =
        openmesh_dialect::for_recording(exchange).with_context(|| format!("{exchange}: no such venue here"))?;
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

fn read(path: &Path) -> anyhow::Result<Vec<Line>> {
    let path = if path.is_dir() { path.join("frames.jsonl.gz") } else { path.to_path_buf() };
    let file = std::fs::File::open(&path).with_context(|| path.display().to_string())?;
    let reader = BufReader::new(flate2::read::MultiGzDecoder::new(file));
    reader.lines().map(|line| Ok(Line::parse(&line?)?)).collect()
}
