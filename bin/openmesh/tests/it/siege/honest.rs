//! Honest clients: a few requests a second of each kind, and a stream.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::Message;

/// Time between two requests of one honest client.
const PAUSE: Duration = Duration::from_millis(100);
/// The same of those that ask in SQL and in JSON-RPC.
const SQL_PAUSE: Duration = Duration::from_millis(500);
/// Longest time that an honest client waits for an answer.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// Times and failures that honest clients saw.
#[derive(Debug, Default)]
pub struct Measured {
    /// Times of answers by kind of request.
    pub times: BTreeMap<&'static str, Vec<Duration>>,
    /// Intervals between blocks, as the stream told of them.
    pub blocks: Vec<Duration>,
    failures: Vec<String>,
}

impl Measured {
    /// Requests that were not answered as they should be.
    pub fn failures(&self) -> Vec<String> {
        self.failures.clone()
    }

    /// Number of requests that were answered.
    pub fn requests(&self) -> usize {
        self.times.values().map(Vec::len).sum()
    }
}

/// The value below which this many in a hundred lie, in seconds; 0 of nothing.
pub fn percentile(all: &[Duration], percent: usize) -> f64 {
    let mut sorted = all.to_vec();
    sorted.sort_unstable();
    let at = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(at).map_or(0.0, Duration::as_secs_f64)
}

/// Runs honest clients for a time, on a thread of their own.
pub async fn clients(api: String, time: Duration) -> Measured {
    let run = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let until = Instant::now() + time;
            let sql = r#"{"sql":"SELECT count(*) AS blocks, max(height) AS height FROM ledger_blocks"}"#;
            let wallet = concat!(
                r#"[{"jsonrpc":"2.0","id":1,"method":"eth_blockNumber"},{"jsonrpc":"2.0","id":2,"method":"eth_getBalance","#,
                r#""params":["0x00000000000000000000000000000000000000aa","latest"]}]"#
            );
            let (blocks, status, chunks, accounts, query, wallet) = tokio::join!(
                blocks(&api, until),
                asks(&api, "status", "/v1/status", None, until),
                asks(&api, "chunks", "/v1/chunks?source=kraken&limit=50", None, until),
                asks(&api, "transactions", "/v1/transactions?limit=50", None, until),
                asks(&api, "sql", "/v1/sql", Some(sql), until),
                asks(&api, "wallet", "/v1/rpc", Some(wallet), until),
            );
            let mut measured = blocks;
            for (name, (times, failures)) in [status, chunks, accounts, query, wallet] {
                measured.times.insert(name, times);
                measured.failures.extend(failures);
            }
            measured
        })
    };
    tokio::task::spawn_blocking(run).await.expect("honest clients")
}

type Answers = (&'static str, (Vec<Duration>, Vec<String>));

async fn asks(api: &str, name: &'static str, path: &str, body: Option<&'static str>, until: Instant) -> Answers {
    let http = reqwest::Client::builder().timeout(ANSWER_MAX).no_proxy().build().expect("a client");
    let (mut times, mut failures) = (Vec::new(), Vec::new());
    let mut pause = tokio::time::interval(if body.is_some() { SQL_PAUSE } else { PAUSE });
    pause.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while Instant::now() < until {
        pause.tick().await;
        let url = format!("{api}{path}");
        let begun = Instant::now();
        let request = match body {
            Some(body) => http.post(url).header("content-type", "application/json").body(body),
            None => http.get(url),
        };
        let answer = async {
            let answer = request.send().await?;
            Ok::<_, reqwest::Error>((answer.status(), answer.text().await?))
        };
        match answer.await {
            // JSON-RPC refuses with the status of a success.
            Ok((status, text)) if status.is_success() && !text.contains(r#""error":{"#) => times.push(begun.elapsed()),
            Ok((status, text)) => failures.push(format!("{name}: {status} {text:.200}")),
            Err(error) => failures.push(format!("{name}: {error:?}")),
        }
    }
    (name, (times, failures))
}

async fn blocks(api: &str, until: Instant) -> Measured {
    let mut measured = Measured::default();
    let url = format!("{}/v1/stream", api.replacen("http", "ws", 1));
    let mut stream = match tokio_tungstenite::connect_async(url).await {
        Ok((stream, _)) => stream,
        Err(error) => {
            measured.failures.push(format!("stream: {error}"));
            return measured;
        }
    };
    let subscribe = Message::text(r#"{"op":"subscribe","feed":"blocks"}"#);
    if let Err(error) = stream.send(subscribe).await {
        measured.failures.push(format!("stream: {error}"));
    }
    let mut last = None;
    while let Ok(message) = tokio::time::timeout_at(until.into(), stream.next()).await {
        match message {
            Some(Ok(Message::Text(text))) if text.contains(r#""op":"block""#) => {
                let now = Instant::now();
                measured.blocks.extend(last.replace(now).map(|last| now - last));
            }
            Some(Ok(_)) => {}
            ended => {
                measured.failures.push(format!("stream: {ended:?}"));
                break;
            }
        }
    }
    measured
}
