//! The same bar, without figures of its own, on every recording that there is, and on traffic that is made here where there is none.
//!
//! A recording of a venue that is not spoken (or of an older protocol of one that is) yields no event, and is named.

use std::path::Path;

use openmesh_dialect::recording::Line;
use openmesh_market::Exchange;
use openmesh_primitives::Timestamp;

use super::{Bar, MS, Recording, Seen, judge, recordings, texts};

/// Parts of a recording's length, in per cent, at which the four collectors start.
const STARTS: [i64; 4] = [0, 10, 30, 50];
/// Parts at which the second and the third collector lose their connections and have them again.
const BREAKS: [(i64, i64); 2] = [(40, 47), (60, 70)];
/// Seeds of the frames' delays on each recording.
const SEEDS: [u64; 3] = [1, 2, 3];

/// Demands that fit a recording of any length: some thirty windows or windows of a second.
fn bar(length_ms: i64) -> Bar {
    let at = |percent: i64| length_ms * percent / 100;
    let window_ms = u32::try_from((length_ms / 30).clamp(100, 10_000)).expect("clamped");
    Bar {
        length_ms: window_ms.max(if length_ms < 10_000 { 100 } else { 1_000 }),
        lateness_ms: 600,
        starts: STARTS.map(at),
        breaks: BREAKS.map(|(end, again)| (at(end), at(again))),
        chunks: 0,
        rows: 0,
    }
}

/// Streams' windows that were agreed, at least, over all seeds, with and without breaks; `None` where nothing could be read.
fn survey(name: &str, exchange: Exchange, lines: &[Line]) -> Option<usize> {
    let decode = |joins: &[i64]| Recording::decode(openmesh_dialect::session(exchange), lines.iter().cloned(), joins);
    let whole = decode(&[]);
    whole.events().find(|event| event.kind.feed().is_some())?;
    let bar = bar((whole.end - whole.first) / MS);
    let recording = decode(&bar.joins());
    let config = recording.config(bar.length_ms, bar.lateness_ms);
    let mut least = usize::MAX;
    for (seed, broken) in SEEDS.into_iter().flat_map(|seed| [(seed, true), (seed, false)]) {
        let seen: Vec<Seen> =
            (0..4).map(|nth| recording.collect(&bar.spans(nth, broken), &config, seed * 1_000 + nth as u64)).collect();
        let agreed = judge(name, &seen);
        // A window that the collector that never broke covers alone is decided by nobody; one that three cover is in `judge`.
        assert!(agreed > 0 || seen[0].chunks.is_empty(), "{name}: {} of one, none agreed", seen[0].chunks.len());
        least = least.min(agreed);
    }
    eprintln!("{name}: at least {least} chunks of {} ms agreed, no honest validator named", bar.length_ms);
    Some(least)
}

/// Files with one packed line for each frame, of those recordings that are not folders of `frames.jsonl.gz`: the folder, the exchange
/// and the address of the venue's snapshots.
const TIMED: [(&str, Exchange, &str); 3] = [
    (
        "hft-binance-coinm-btcusd_perp-20240808",
        Exchange::BinanceDelivery,
        "https://dapi.binance.com/dapi/v1/depth?symbol=BTCUSD_PERP&limit=1000",
    ),
    (
        "hft-binance-spot-btcusdt-20240808-09",
        Exchange::Binance,
        "https://api.binance.com/api/v3/depth?symbol=BTCUSDT&limit=1000",
    ),
    (
        "hft-binance-usdm-btcusdt-20240808",
        Exchange::BinanceFutures,
        "https://fapi.binance.com/fapi/v1/depth?symbol=BTCUSDT&limit=1000",
    ),
];

fn packed(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let mut files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|e| e == "gz")).collect();
    files.sort();
    files
}

/// The lines of a recording with its exchange; `None` where the venue is not spoken.
fn read(folder: &Path) -> Option<(Exchange, Vec<Line>)> {
    let name = folder.file_name()?.to_str()?;
    let frames = folder.join("frames.jsonl.gz");
    if frames.is_file() {
        let lines: Vec<Line> = texts(&frames).map(|text| Line::parse(&text).expect("a line of a recording")).collect();
        let Some(Line::Header { exchange }) = lines.first() else { panic!("{name} has no header") };
        return Some((openmesh_dialect::for_recording(exchange)?.exchange(), lines));
    }
    if let Some((_, exchange, url)) = TIMED.into_iter().find(|(timed, ..)| *timed == name) {
        let lines = packed(folder).into_iter().flat_map(|file| texts(&file).collect::<Vec<_>>());
        return Some((exchange, lines.map(|text| Line::parse_timed(&text, url).expect("a timed line")).collect()));
    }
    if name.starts_with("bybit-ob500") {
        let lines = packed(folder).into_iter().flat_map(|file| texts(&file).collect::<Vec<_>>());
        return Some((Exchange::Bybit, archive(lines)));
    }
    None
}

/// Bybit's archive of order books: messages of the linear contracts' public stream, with the venue's own time only.
fn archive(lines: impl Iterator<Item = String>) -> Vec<Line> {
    let connection = || "archive".to_owned();
    let frames: Vec<Line> = lines
        .map(|text| {
            let frame: serde_json::Value = serde_json::from_str(&text).expect("a message");
            let at = Timestamp::from_millis(frame["ts"].as_i64().expect("a time"));
            Line::Receive { at, connection: connection(), data: text.into_bytes() }
        })
        .collect();
    let Some(Line::Receive { at, .. }) = frames.first() else { panic!("an empty archive") };
    let url = "wss://stream.bybit.com/v5/public/linear".to_owned();
    [Line::Connect { at: *at, connection: connection(), url }].into_iter().chain(frames).collect()
}

#[test]
fn every_recording_is_agreed_on_and_names_nobody() {
    let Ok(entries) = std::fs::read_dir(recordings()) else {
        return eprintln!("skipped: there are no recordings in {} (see OPENMESH_RECORDINGS)", recordings().display());
    };
    let mut folders: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).filter(|p| p.is_dir()).collect();
    folders.sort();
    let (mut agreed, mut unread) = (Vec::new(), Vec::new());
    for folder in &folders {
        let name = folder.file_name().expect("a name").to_string_lossy().into_owned();
        match read(folder).and_then(|(exchange, lines)| survey(&name, exchange, &lines)) {
            Some(chunks) => agreed.push((name, chunks)),
            None => unread.push(name),
        }
    }
    eprintln!("{} recordings judged; not of a protocol that is spoken: {}", agreed.len(), unread.join(", "));
    assert!(agreed.iter().any(|(_, chunks)| *chunks > 0) || agreed.is_empty(), "{agreed:?}");
}

/// Twenty seconds of Bybit's linear stream: a book that changes ten times a second, and trades.
fn made() -> Vec<Line> {
    let connection = || "made".to_owned();
    let start = 1_786_310_820_000_i64;
    let url = "wss://stream.bybit.com/v5/public/linear".to_owned();
    let mut lines = vec![Line::Connect { at: Timestamp::from_millis(start), connection: connection(), url }];
    let mut receive = |ms: i64, text: String| {
        let at = Timestamp::from_millis(ms + 80);
        lines.push(Line::Receive { at, connection: connection(), data: text.into_bytes() });
    };
    for n in 0..200 {
        let (ms, price) = (start + 100 * n, 65_000 + n % 7);
        let kind = if n == 0 { "snapshot" } else { "delta" };
        receive(
            ms,
            format!(
                r#"{{"topic":"orderbook.200.BTCUSDT","ts":{ms},"type":"{kind}","data":{{"s":"BTCUSDT","b":[["{price}","0.{n:03}1"]],"a":[["{}","1.5"]],"u":{},"seq":{}}},"cts":{ms}}}"#,
                price + 50,
                100 + n,
                9_000 + n
            ),
        );
        receive(
            ms + 20,
            format!(
                r#"{{"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":{0},"data":[{{"T":{0},"s":"BTCUSDT","S":"Buy","v":"0.01","p":"{price}","L":"PlusTick","i":"00000000-0000-0000-0000-{n:012}","BT":false,"seq":{1}}}]}}"#,
                ms + 15,
                9_000 + n
            ),
        );
    }
    lines
}

#[test]
fn traffic_that_is_made_here_is_agreed_on_and_names_nobody() {
    let chunks = survey("made here", Exchange::Bybit, &made()).expect("events");
    assert!(chunks >= 8, "{chunks}");
}
