//! `openmesh market`.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use openmesh_dialect::Session;
use openmesh_dialect::foreign::{Form, FormError, other_version};
use openmesh_dialect::recording::{Line, Player};
use openmesh_market::event::EventKind;
use openmesh_market::{Event, Exchange, Feed, Side};

use crate::cli::MarketCommand;
use crate::failure::Failure;

/// Longest line of a recording, in bytes: exchange-wide instrument lists are a few MiB, and a line without an end
/// must not take the memory.
const LINE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// A set's own file.
const FRAMES_FILE: &str = "frames.jsonl.gz";

/// First bytes of a gzip file.
const GZIP: [u8; 2] = [0x1f, 0x8b];

const EXPECTED: &str = "a recording is a folder with frames.jsonl.gz, such a file itself, or packed files of hftbacktest's \
                        collector (Binance) or of Bybit's order book archive";

const SPOKEN: &str = "spoken: Binance spot and USD-M futures, Coinbase Advanced Trade, Kraken, Bybit v5, OKX v5";

/// Runs one of the market commands.
pub fn run(command: MarketCommand) -> Result<(), Failure> {
    let MarketCommand::Decode { recording, final_books } = command;
    let mut decoding = Decoding {
        player: None,
        events: Vec::new(),
        out: BufWriter::new(std::io::stdout().lock()),
        heard: true,
        wanted: final_books.is_some(),
        frames: 0,
        data: 0,
        books: BTreeSet::new(),
    };
    for file in files(&recording)? {
        decoding.file(&file)?;
        if decoding.is_over() {
            return Ok(());
        }
    }
    decoding.finish(&recording, final_books.as_deref())
}

/// The files of a recording, in order of their names, which are dates.
fn files(recording: &Path) -> Result<Vec<PathBuf>, Failure> {
    let failed = |e: std::io::Error| Failure::from_display(recording.display(), &e).hint(EXPECTED);
    if !std::fs::metadata(recording).map_err(failed)?.is_dir() {
        return Ok(vec![recording.to_owned()]);
    }
    let frames = recording.join(FRAMES_FILE);
    if frames.is_file() {
        return Ok(vec![frames]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(recording).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_file() && path.extension().is_some_and(|e| e == "gz") {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(Failure::new(format!("{}: no recording lies in this folder", recording.display())).hint(EXPECTED));
    }
    Ok(files)
}

fn open(path: &Path) -> std::io::Result<Box<dyn BufRead>> {
    let mut file = BufReader::with_capacity(1 << 16, File::open(path)?);
    if file.fill_buf()?.starts_with(&GZIP) {
        return Ok(Box::new(BufReader::with_capacity(1 << 20, flate2::bufread::MultiGzDecoder::new(file))));
    }
    Ok(Box::new(file))
}

/// A recording that is being decoded.
struct Decoding<W: Write> {
    player: Option<(Exchange, Player)>,
    events: Vec<Event>,
    out: W,
    /// False once whoever read the output went away.
    heard: bool,
    /// The books are wanted, even where nobody reads the events any more.
    wanted: bool,
    frames: u64,
    /// Events that are data, not incidents.
    data: u64,
    /// Instruments of which something about a book came.
    books: BTreeSet<String>,
}

impl<W: Write> Decoding<W> {
    fn is_over(&self) -> bool {
        !self.heard && !self.wanted
    }

    fn file(&mut self, path: &Path) -> Result<(), Failure> {
        let mut reader = open(path).map_err(|e| Failure::from_display(path.display(), &e).hint(EXPECTED))?;
        let mut form: Option<Form> = None;
        let mut text = String::new();
        for number in 1.. {
            text.clear();
            let at = |e: &dyn std::fmt::Display| Failure::new(format!("{}, line {number}: {e}", path.display()));
            let read = (&mut reader).take(LINE_BYTES_MAX).read_line(&mut text).map_err(|e| at(&e))?;
            if read == 0 {
                break;
            }
            if read as u64 == LINE_BYTES_MAX && !text.ends_with('\n') {
                return Err(at(&format!("longer than {LINE_BYTES_MAX} bytes")));
            }
            let text = text.trim_end();
            if text.is_empty() {
                continue;
            }
            let form = match &form {
                Some(form) => form,
                None => form.insert(self.begin(text).map_err(|e| at(&e).hint(hint_of(&e)))?),
            };
            let line = form.line(text).map_err(|e| at(&e))?;
            self.line(line).map_err(|(e, hint)| at(&e).hint(hint))?;
            self.write().map_err(Failure::new)?;
            if self.is_over() {
                break;
            }
        }
        Ok(())
    }

    /// The form of a file, by its first line. A second file goes on with the session of the first.
    fn begin(&mut self, first: &str) -> Result<Form, FormError> {
        let form = Form::of(first)?;
        if let Some(exchange) = form.exchange()
            && self.player.as_ref().is_none_or(|(playing, _)| *playing != exchange)
        {
            self.player = Some((exchange, Player::new(openmesh_dialect::session(exchange))));
        }
        Ok(form)
    }

    /// Takes a line in; an error comes with what to do about it.
    fn line(&mut self, line: Line) -> Result<(), (String, &'static str)> {
        self.events.clear();
        if let Line::Header { exchange } = &line {
            let session = openmesh_dialect::for_recording(exchange)
                .ok_or_else(|| (format!("{exchange} is not spoken here"), SPOKEN))?;
            self.player = Some((session.exchange(), Player::new(session)));
            return Ok(());
        }
        let (exchange, player) =
            self.player.as_mut().ok_or_else(|| ("the first line must be a header".to_owned(), EXPECTED))?;
        match &line {
            Line::Connect { url, .. } => {
                if let Some(spoken) = other_version(*exchange, url) {
                    let what =
                        format!("{url} is no address of {spoken}; the venue's older protocols are not spoken here");
                    return Err((what, SPOKEN));
                }
            }
            Line::Receive { .. } => self.frames += 1,
            _ => {}
        }
        player.line(&line, &mut self.events);
        Ok(())
    }

    fn write(&mut self) -> Result<(), String> {
        for event in &self.events {
            let book = match &event.kind {
                EventKind::Incident(incident) => incident.feed == Some(Feed::Book),
                kind => {
                    self.data += 1;
                    matches!(kind, EventKind::BookSnapshot(_) | EventKind::BookDelta(_))
                }
            };
            if let (true, true, Some(symbol)) = (self.wanted, book, &event.symbol) {
                let name = symbol.to_string();
                if !self.books.contains(&name) {
                    self.books.insert(name);
                }
            }
            if !self.heard {
                continue;
            }
            let written = serde_json::to_writer(&mut self.out, event)
                .map_err(std::io::Error::from)
                .and_then(|()| self.out.write_all(b"\n"));
            self.heard = still_heard(written)?;
        }
        Ok(())
    }

    fn finish(mut self, recording: &Path, final_books: Option<&Path>) -> Result<(), Failure> {
        if self.heard {
            still_heard(self.out.flush()).map_err(Failure::new)?;
        }
        let path = recording.display();
        let (_, player) = self.player.ok_or_else(|| Failure::new(format!("{path}: empty")).hint(EXPECTED))?;
        if self.data == 0 {
            let frames = self.frames;
            return Err(Failure::new(format!("{path}: {frames} frames, and no market data could be read from them")));
        }
        let Some(file) = final_books else { return Ok(()) };
        let mut missing = self.books;
        write_books(player.session(), file, &mut missing)?;
        if !missing.is_empty() {
            let names = missing.into_iter().collect::<Vec<_>>().join(", ");
            eprintln!("note: not in step with the venue at the end, so not in {}: {names}", file.display());
        }
        Ok(())
    }
}

fn hint_of(error: &FormError) -> &'static str {
    match error {
        FormError::Form => EXPECTED,
        FormError::Venue(_) => SPOKEN,
    }
}

/// Returns false when nobody reads the output any more.
fn still_heard(written: std::io::Result<()>) -> Result<bool, String> {
    match written {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(format!("standard output: {error}")),
    }
}

/// Writes the books that are in step, and takes their names out of `missing`.
fn write_books(session: &dyn Session, file: &Path, missing: &mut BTreeSet<String>) -> Result<(), Failure> {
    let mut all = serde_json::Map::new();
    for (symbol, book) in session.books() {
        let side = |side: Side| -> serde_json::Value {
            book.levels(side).map(|(price, size)| serde_json::json!([price, size])).collect()
        };
        let name = symbol.to_string();
        missing.remove(&name);
        all.insert(name, serde_json::json!({ "bid": side(Side::Buy), "ask": side(Side::Sell) }));
    }
    let text = serde_json::Value::Object(all).to_string();
    std::fs::write(file, text).map_err(|e| Failure::from_display(file.display(), &e))
}
