//! `openmesh market`.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use openmesh_market::dialect;
use openmesh_market::recording::{Line, Player};
use openmesh_market::{Event, Session, Side};

use super::Failure;
use crate::cli::MarketCommand;

/// Longest line of a recording, in bytes: exchange-wide instrument lists are a few MiB, and a line without an end
/// must not take the memory.
const LINE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Runs one of the market commands.
pub fn run(command: MarketCommand) -> Result<(), Failure> {
    let MarketCommand::Decode { recording, final_books } = command;
    let path = if recording.is_dir() { recording.join("frames.jsonl.gz") } else { recording };
    let mut out = BufWriter::new(std::io::stdout().lock());
    let player = decode(&path, &mut out)?;
    out.flush().or_else(super::unless_broken_pipe)?;
    match final_books {
        Some(file) => write_books(player.session(), &file),
        None => Ok(()),
    }
}

fn decode(path: &PathBuf, out: &mut impl Write) -> Result<Player, Failure> {
    let file = File::open(path).map_err(|e| {
        Failure::from_display(path.display(), &e).hint("a folder with frames.jsonl.gz, or such a file, is expected")
    })?;
    let reader: Box<dyn Read> = if path.extension().is_some_and(|e| e == "gz") {
        Box::new(flate2::read::MultiGzDecoder::new(file))
    } else {
        Box::new(file)
    };
    let mut reader = BufReader::with_capacity(1 << 20, reader);
    let mut player: Option<Player> = None;
    let mut events: Vec<Event> = Vec::new();
    let mut text = String::new();
    for number in 1.. {
        text.clear();
        let at = |e: &dyn std::fmt::Display| Failure::new(format!("{}, line {number}: {e}", path.display()));
        let read = (&mut reader).take(LINE_BYTES_MAX).read_line(&mut text).map_err(|e| at(&e))?;
        if read == 0 {
            break;
        }
        let line = Line::parse(text.trim_end()).map_err(|e| at(&e))?;
        if let Line::Header { exchange } = &line {
            let session = dialect::for_recording(exchange).ok_or_else(|| {
                Failure::new(format!("{}: {exchange} is not spoken here", path.display()))
                    .hint("spoken: Binance spot and USD-M futures, Coinbase, Kraken, Bybit v5, OKX v5")
            })?;
            player = Some(Player::new(session));
            continue;
        }
        let player = player.as_mut().ok_or_else(|| at(&"the first line must be a header"))?;
        events.clear();
        player.line(&line, &mut events);
        for event in &events {
            let written = serde_json::to_writer(&mut *out, event)
                .map_err(std::io::Error::from)
                .and_then(|()| out.write_all(b"\n"));
            if let Err(error) = written {
                super::unless_broken_pipe(error)?;
                std::process::exit(0);
            }
        }
    }
    player.ok_or_else(|| Failure::new(format!("{}: empty", path.display())))
}

fn write_books(session: &dyn Session, file: &Path) -> Result<(), Failure> {
    let mut all = serde_json::Map::new();
    for (symbol, book) in session.books() {
        let side = |side: Side| -> serde_json::Value {
            book.levels(side).map(|(price, size)| serde_json::json!([price, size])).collect()
        };
        all.insert(symbol.to_string(), serde_json::json!({ "bid": side(Side::Buy), "ask": side(Side::Sell) }));
    }
    let text = serde_json::Value::Object(all).to_string();
    std::fs::write(file, text).map_err(|e| Failure::from_display(file.display(), &e))
}
