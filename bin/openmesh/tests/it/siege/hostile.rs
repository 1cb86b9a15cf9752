//! Hostile clients, in a process of their own: this test binary, started again.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Semaphore;

/// Longest time for which a hostile client holds a connection.
const HOLD: Duration = Duration::from_secs(5);
/// Time after which every address has used up what strangers are given at first.
const WARM_UP: Duration = Duration::from_secs(15);
/// Addresses from which they come.
const ADDRESSES: u8 = 8;
/// Connections that they hold at once: all that file descriptors allow, far beyond the node's places.
const OPEN_MAX: usize = 8_000;
/// Word under which the second process finds what to do.
const ORDERS: &str = "OPENMESH_SIEGE_ORDERS";
/// Words of the second process once it sends at full rate.
const AT_RATE: &str = "at rate";

/// The hostile process.
pub struct Besiegers {
    process: tokio::process::Child,
    lines: tokio::io::Lines<BufReader<tokio::process::ChildStdout>>,
}

impl Besiegers {
    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id().expect("it runs")
    }
}

/// Account of the hostile process.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub struct Sent {
    requests: u64,
    seconds: f64,
    /// Connections on which the node answered something.
    answered: u64,
    /// Of these, with a refusal (4xx or 5xx).
    refused: u64,
}

impl Sent {
    /// Requests a second.
    pub fn per_second(&self) -> u32 {
        (self.requests as f64 / self.seconds) as u32
    }
}

impl fmt::Display for Sent {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Sent { requests, seconds, answered, refused } = self;
        write!(out, "{requests} requests in {seconds:.1} s, {answered} answered, {refused} of them refused")
    }
}

/// Starts the hostile process.
pub fn besiege(api: &str, per_second: u32, time: Duration) -> Besiegers {
    let orders = format!("{} {per_second} {}", api.trim_start_matches("http://"), time.as_secs());
    let mut process = tokio::process::Command::new(std::env::current_exe().expect("this binary"))
        .args(["--exact", "siege::hostile::besieges", "--ignored", "--nocapture"])
        .env(ORDERS, orders)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("a second process");
    let lines = BufReader::new(process.stdout.take().expect("stdout")).lines();
    Besiegers { process, lines }
}

/// Waits until it sends at full rate and its connections are as many as they get.
pub async fn until_at_rate(besiegers: &mut Besiegers) {
    while let Some(line) = besiegers.lines.next_line().await.expect("lines") {
        if line == AT_RATE {
            return;
        }
    }
    panic!("the hostile process ended before it began");
}

/// Waits for its end.
pub async fn end(mut besiegers: Besiegers) -> Sent {
    let mut sent = None;
    while let Some(line) = besiegers.lines.next_line().await.expect("lines") {
        sent = serde_json::from_str(&line).ok().or(sent);
    }
    besiegers.process.wait().await.expect("status");
    sent.expect("what was sent")
}

#[derive(Default)]
struct Counts {
    answered: AtomicU64,
    refused: AtomicU64,
}

/// The hostile process itself; does nothing unless it has orders.
#[tokio::test(flavor = "current_thread")]
#[ignore = "part of make siege"]
async fn besieges() {
    let Ok(orders) = std::env::var(ORDERS) else { return };
    let mut words = orders.split(' ');
    let node: SocketAddr = words.next().unwrap().parse().unwrap();
    let per_second: u32 = words.next().unwrap().parse().unwrap();
    let time = Duration::from_secs(words.next().unwrap().parse().unwrap());
    let (counts, places) = (Arc::new(Counts::default()), Arc::new(Semaphore::new(OPEN_MAX)));
    let begun = Instant::now();
    let (mut requests, mut said) = (0_u64, false);
    let mut tick = tokio::time::interval(Duration::from_millis(10));
    while begun.elapsed() < time {
        tick.tick().await;
        let due = (begun.elapsed().as_secs_f64() * f64::from(per_second)) as u64;
        while requests < due {
            let counts = Arc::clone(&counts);
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else { break };
            let number = requests;
            requests += 1;
            tokio::spawn(async move {
                // Whatever the node does with it, the next one comes.
                let _ = tokio::time::timeout(HOLD, attack(node, number, &counts)).await;
                drop(place);
            });
        }
        if !said && begun.elapsed() > WARM_UP {
            said = true;
            println!("\n{AT_RATE}");
        }
    }
    let [answered, refused] = [&counts.answered, &counts.refused].map(|count| count.load(Ordering::Relaxed));
    let sent = Sent { requests, seconds: begun.elapsed().as_secs_f64(), answered, refused };
    println!("\n{}", serde_json::to_string(&sent).unwrap());
}

async fn connect(node: SocketAddr, number: u64) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    let last = u8::try_from(number % u64::from(ADDRESSES)).unwrap_or(0) + 1;
    socket.bind(SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 1, last)), 0))?;
    socket.connect(node).await
}

/// Kinds of attack, in turn.
const KINDS: u64 = 17;

/// One hostile client.
async fn attack(node: SocketAddr, number: u64, counts: &Counts) -> std::io::Result<()> {
    let mut stream = connect(node, number).await?;
    // Not in step with the addresses, so that each address tries each kind.
    let (kind, round) = (number % KINDS, number / KINDS);
    match kind {
        0 => ask(&mut stream, &get(&format!("/v1/transactions?account=0x{round:040x}&limit=500")), counts).await,
        1 => ask(&mut stream, &get(&format!("/v1/blocks?proposer=0x{round:040x}&limit=500")), counts).await,
        2 => ask(&mut stream, &get("/v1/chunks?source=kraken&stream=nothing&limit=500"), counts).await,
        3 => ask(&mut stream, &get("/v1/agreement?windows=240"), counts).await,
        4 => ask(&mut stream, &get("/v1/blocks?limit=1000000000"), counts).await,
        5 => ask(&mut stream, &post("/v1/sql", BOMBS[(round % BOMBS.len() as u64) as usize]), counts).await,
        6 => drip(&mut stream, b"GET /v1/status HTTP/1.1\r\nhost: here\r\nx-slow: ").await,
        7 => drip(&mut stream, slow_body("/v1/sql").as_bytes()).await,
        8 => reset(stream, b"GET /v1/blocks?limit=500 HTTP/1.1\r\nhost: here\r\n\r\n").await,
        9 => reset(stream, b"POST /v1/sql HTTP/1.1\r\nhost: here\r\ncontent-length: 900\r\n\r\n{\"sql\":").await,
        10 => oversized(&mut stream, counts).await,
        11 => deaf(stream, "/v1/stream", &feeds()).await,
        12 => ask(&mut stream, &garbage(number), counts).await,
        13 => ask(&mut stream, &post("/v1/rpc", &json_rpc(round)), counts).await,
        14 => drip(&mut stream, slow_body("/v1/rpc").as_bytes()).await,
        15 => deaf(stream, "/v1/rpc", &heads()).await,
        _ => drip(&mut stream, b"").await,
    }
}

/// Queries that would take for ever, or all memory.
const BOMBS: [&str; 3] = [
    r#"{"sql":"SELECT count(*) FROM ledger_transactions a, ledger_transactions b, ledger_transactions c"}"#,
    r#"{"sql":"SELECT a.hash, b.hash FROM ledger_transactions a, ledger_transactions b ORDER BY a.hash, b.hash"}"#,
    r#"{"sql":"WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"}"#,
];

fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n").into_bytes()
}

fn post(path: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nhost: here\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn slow_body(path: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: here\r\ncontent-type: application/json\r\ncontent-length: 60000\r\n\r\n{{\"sql\":\""
    )
}

/// A request of JSON-RPC, so many times in one batch.
fn batch(times: usize, method: &str, params: &str) -> String {
    let one = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#);
    format!("[{}]", vec![one; times].join(","))
}

/// Bodies of JSON-RPC that ask for much, and such as are refused before they are read.
fn json_rpc(round: u64) -> String {
    let account = format!("0x{round:040x}");
    match round % 6 {
        0 => batch(100, "eth_feeHistory", r#"["0x400","latest",[0,25,50,75,100]]"#),
        1 => batch(100, "eth_getBlockByNumber", r#"["latest",true]"#),
        // Each with a path through the tree of that height.
        2 => batch(100, "eth_getBalance", &format!(r#"["{account}","0x1"]"#)),
        3 => batch(100, "eth_getTransactionCount", &format!(r#"["{account}","pending"]"#)),
        4 => batch(10_000, "eth_chainId", "[]"),
        _ => "[".repeat(500_000),
    }
}

/// Subscriptions to what the API's stream tells.
fn feeds() -> Vec<String> {
    ["blocks", "chunks", "incidents", "status"].map(|feed| format!(r#"{{"op":"subscribe","feed":"{feed}"}}"#)).into()
}

/// As many subscriptions to blocks as there may be and more, and work beside them.
fn heads() -> Vec<String> {
    vec![batch(20, "eth_subscribe", r#"["newHeads"]"#), batch(100, "eth_getBlockByNumber", r#"["latest",true]"#)]
}

fn garbage(number: u64) -> Vec<u8> {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        // Xorshift: any bytes do, as long as they are the same each time.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    let mut bytes: Vec<u8> = (0..512).map(|_| next()).collect();
    bytes.extend(b"\r\n\r\n");
    bytes
}

async fn ask(stream: &mut TcpStream, bytes: &[u8], counts: &Counts) -> std::io::Result<()> {
    stream.write_all(bytes).await?;
    heard(stream, counts).await
}

/// Reads the answer to its end.
async fn heard(stream: &mut TcpStream, counts: &Counts) -> std::io::Result<()> {
    let mut buffer = vec![0; 16_384];
    let got = stream.read(&mut buffer).await?;
    if got > 0 {
        counts.answered.fetch_add(1, Ordering::Relaxed);
    }
    if buffer.get(9).is_some_and(|digit| matches!(digit, b'4' | b'5')) {
        counts.refused.fetch_add(1, Ordering::Relaxed);
    }
    while stream.read(&mut buffer).await? > 0 {}
    Ok(())
}

/// A byte now and then, as long as the connection is left open.
async fn drip(stream: &mut TcpStream, begin: &[u8]) -> std::io::Result<()> {
    stream.write_all(begin).await?;
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        if !begin.is_empty() {
            stream.write_all(b"a").await?;
        }
    }
}

/// Asks, and breaks the connection before the answer.
async fn reset(mut stream: TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    stream.write_all(bytes).await?;
    stream.set_zero_linger()
}

async fn oversized(stream: &mut TcpStream, counts: &Counts) -> std::io::Result<()> {
    let head = "POST /v1/transactions HTTP/1.1\r\nhost: here\r\ncontent-type: application/json\r\ncontent-length: 67108864\r\n\r\n";
    stream.write_all(head.as_bytes()).await?;
    let piece = vec![b' '; 65_536];
    for _ in 0..32 {
        if stream.write_all(&piece).await.is_err() {
            break;
        }
    }
    heard(stream, counts).await
}

/// A WebSocket that says all this, and never reads.
async fn deaf(mut stream: TcpStream, path: &str, texts: &[String]) -> std::io::Result<()> {
    let upgrade = format!(
        "GET {path} HTTP/1.1\r\nhost: here\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(upgrade.as_bytes()).await?;
    for text in texts {
        stream.write_all(&frame(text)).await?;
    }
    std::future::pending().await
}

/// A final text frame, masked with zeros. Source: RFC 6455, 5.2.
fn frame(text: &str) -> Vec<u8> {
    let mut frame = match u8::try_from(text.len()) {
        Ok(length) if length < 126 => vec![0x81, 0x80 | length],
        _ => {
            let [high, low] = u16::try_from(text.len()).expect("at most 64 KiB").to_be_bytes();
            vec![0x81, 0x80 | 126, high, low]
        }
    };
    frame.extend([0; 4]);
    frame.extend(text.as_bytes());
    frame
}
