//! `openmesh up`: a whole network on this machine.
//!
//! Every part is a process of its own (the venues' server, each validator), as it would be on machines of their own:
//! one that dies takes nothing with it, is started again with the same state, and catches up. This process only
//! supervises: losing it stops no validator by itself, except that children ask the kernel to be told when their
//! supervisor is gone (so that a killed `up` leaves nothing behind that holds the ports).

pub mod child;
pub mod home;
mod progress;

use std::io::Write as _;
use std::time::Duration;

use openmesh_market::Exchange;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::UpArgs;
use crate::failure::Failure;
use child::{Child, Program};
use home::Home;

/// How long validators have to drain after Ctrl-C before they are killed.
const DRAIN_SECONDS_MAX: u64 = 10;
/// How long a validator may take until its API answers: opening the store and reading its tip is quick, replaying an
/// unflushed lake after a crash is not.
const READY_SECONDS_MAX: u64 = 120;
/// How long the venues' server may take to be ready: recordings are read and indexed first.
const VENUES_SECONDS_MAX: u64 = 120;
/// A small public question to each venue, by which one sees whether it serves this place: where a venue does not serve a region,
/// its hosts take a connection all the same, and say 403 or 451 to what is asked over it.
const VENUES: [(Exchange, &str); 6] = [
    (Exchange::Binance, "https://api.binance.com/api/v3/ping"),
    (Exchange::BinanceFutures, "https://fapi.binance.com/fapi/v1/ping"),
    (Exchange::Coinbase, "https://api.coinbase.com/api/v3/brokerage/time"),
    (Exchange::Kraken, "https://api.kraken.com/0/public/Time"),
    (Exchange::Bybit, "https://api.bybit.com/v5/market/time"),
    (Exchange::Okx, "https://www.okx.com/api/v5/public/time"),
];
/// How long a venue may take to answer, in milliseconds: a name, a connection, TLS and a few bytes, from the other side of the
/// world. A person without internet waits as long.
const REACH_MS_MAX: u64 = 5_000;

/// Where market data comes from in this run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Market {
    /// The venues themselves.
    Live,
    /// The simulated market.
    Simulated,
    /// Recordings in this folder.
    Replay(std::path::PathBuf),
}

/// Starts the network, shows its progress, and drains it on Ctrl-C.
pub async fn run(arguments: UpArgs) -> Result<(), Failure> {
    let (market, reason) = choose(&arguments).await?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|e| Failure::from_display("signals", &e))?;
    let mut terminate = signal(SignalKind::terminate()).map_err(|e| Failure::from_display("signals", &e))?;
    let home = Home::open(&arguments, &market)?;
    say(format_args!("{reason}"));
    say(format_args!("home     {}", home.root().display()));

    let mut children = Vec::new();
    let stop = tokio::select! {
        started = start(&arguments, &market, &home, &mut children) => started,
        _ = interrupt.recv() => Err(Failure::new("interrupted while starting")),
        _ = terminate.recv() => Err(Failure::new("ended while starting")),
    };
    let outcome = match stop {
        Ok(network) => {
            network.announce();
            tokio::select! {
                outcome = supervise(&mut children) => outcome,
                () = progress::show(&network.apis, &market) => Ok(()),
                _ = interrupt.recv() => Ok(()),
                _ = terminate.recv() => Ok(()),
            }
        }
        Err(failure) => {
            drain(children, &mut interrupt).await;
            return Err(hinted(failure));
        }
    };
    say(format_args!("\nstopping: validators finish what they write (Ctrl-C again does not hurt)"));
    drain(children, &mut interrupt).await;
    say(format_args!("stopped; started again it goes on from here"));
    outcome
}

/// How this binary is called: by its name where the shell finds this very file by it, else by its path.
fn command() -> String {
    const NAME: &str = "openmesh";
    let Ok(own) = std::env::current_exe() else { return NAME.to_owned() };
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_own = |dir: std::path::PathBuf| std::fs::canonicalize(dir.join(NAME)).is_ok_and(|found| found == own);
    match std::env::split_paths(&path).any(is_own) {
        true => NAME.to_owned(),
        false => own.display().to_string(),
    }
}

/// What to do about a start that failed, where the end of a process's log tells.
fn hinted(failure: Failure) -> Failure {
    let says = |text: &str| failure.message().contains(text);
    if says("Address already in use") {
        return failure.hint("another port with --port N, or any free ones with --port 0");
    }
    if says("the store has format") {
        return failure
            .hint("this home was written by another version of openmesh: move it away, or take another with --home");
    }
    failure
}

/// Tells the person at the terminal. One who has gone away (`make up | head`) is no reason to stop the network.
fn say(line: std::fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Addresses of a started network.
struct Network {
    apis: Vec<String>,
    genesis: std::path::PathBuf,
}

impl Network {
    fn announce(&self) {
        let api = &self.apis[0];
        say(format_args!("studio   {api}/"));
        say(format_args!("api      {api}/v1/status   (openapi: {api}/openapi.json)"));
        for (number, api) in self.apis.iter().enumerate().skip(1) {
            say(format_args!("         {api}   (validator {number})"));
        }
        let openmesh = command();
        say(format_args!(
            "sql      {openmesh} sql --api {api} \"select exchange, symbol, count(*) from trades group by 1, 2\""
        ));
        say(format_args!("trust    {}   (for openmesh verify --trust)", self.genesis.display()));
        say(format_args!("ready"));
    }
}

async fn choose(arguments: &UpArgs) -> Result<(Market, String), Failure> {
    if let Some(folder) = &arguments.replay {
        let folder = folder.canonicalize().map_err(|e| {
            Failure::usage(format!("{}: {e}", folder.display())).hint("--replay takes a folder of recordings")
        })?;
        let reason = format!("market   REPLAY of recorded traffic in {}", folder.display());
        return Ok((Market::Replay(folder), reason));
    }
    if arguments.simulate {
        return Ok((Market::Simulated, "market   SIMULATED (asked for): these prices are not real".into()));
    }
    let missing = missing(&VENUES).await?;
    let none = missing.len() == VENUES.len();
    if arguments.live || !none {
        // What is missing will be missing in every window; a person should not have to find out why.
        missing.iter().for_each(|(exchange, why)| say(format_args!("venues   {exchange} will be missing: {why}")));
    }
    match (none, arguments.live) {
        (false, _) => Ok((Market::Live, "market   live venues".into())),
        (true, true) => Err(Failure::new("none of the venues can be reached")
            .hint("without internet, leave --live away: a simulated market is used then")),
        (true, false) => Ok((
            Market::Simulated,
            "market   SIMULATED, because the venues cannot be reached from here: these prices are not real".into(),
        )),
    }
}

/// The venues that do not answer what they are asked, and why.
async fn missing(venues: &[(Exchange, &str)]) -> Result<Vec<(Exchange, String)>, Failure> {
    let http = reqwest::Client::builder()
        .user_agent(concat!("openmesh/", env!("CARGO_PKG_VERSION")))
        .timeout(Duration::from_millis(REACH_MS_MAX))
        .build()
        .map_err(|e| Failure::from_display("the venues cannot be asked", &e))?;
    let asks = venues.iter().map(|(exchange, url)| {
        let ask = http.get(*url).send();
        async move {
            match ask.await {
                Ok(answer) if answer.status().is_success() => None,
                Ok(answer) => Some((*exchange, format!("{url} answers {}", answer.status()))),
                Err(error) if error.is_timeout() => {
                    Some((*exchange, format!("{url} does not answer in {REACH_MS_MAX} ms")))
                }
                Err(error) => Some((*exchange, format!("{url} cannot be reached ({})", root_of(&error)))),
            }
        }
    });
    Ok(futures::future::join_all(asks).await.into_iter().flatten().collect())
}

/// What lies at the bottom of an error: the rest says where, not why.
fn root_of(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source()).last().map_or_else(String::new, ToString::to_string)
}

async fn start(
    arguments: &UpArgs,
    market: &Market,
    home: &Home,
    children: &mut Vec<Child>,
) -> Result<Network, Failure> {
    let mut gateway = None;
    let mut catalogue = None;
    if *market != Market::Live {
        say(format_args!("venues   starting"));
        let program = Program::venues(arguments, market, home);
        let mut child = Child::start(program)?;
        let ready = child.ready(Duration::from_secs(VENUES_SECONDS_MAX)).await?;
        children.push(child);
        let listening: home::VenuesReady = serde_json::from_value(ready)
            .map_err(|e| Failure::from_display("the venues' server said something else than expected", &e))?;
        for set in &listening.sets {
            say(format_args!("venues   {set}"));
        }
        gateway = Some(format!("http://{}", listening.venues));
        catalogue = Some(listening.catalogue);
    }
    let nodes = home.prepare(arguments, market, gateway.as_deref(), catalogue.as_ref())?;
    let first = children.len();
    for node in &nodes {
        children.push(Child::start(Program::node(node))?);
    }
    let mut apis = Vec::new();
    for (number, child) in children[first..].iter_mut().enumerate() {
        let ready = child.ready(Duration::from_secs(READY_SECONDS_MAX)).await?;
        let api = ready.get("api").and_then(|a| a.as_str()).unwrap_or_default().to_string();
        say(format_args!("node     validator {number} is up: http://{api}"));
        apis.push(format!("http://{api}"));
    }
    Ok(Network { apis, genesis: home.genesis_file() })
}

/// Starts again whatever ends; returns only where that is hopeless.
async fn supervise(children: &mut [Child]) -> Result<(), Failure> {
    loop {
        let ends = children.iter_mut().map(|child| Box::pin(child.ended()));
        let (status, number, _) = futures::future::select_all(ends).await;
        let child = &mut children[number];
        say(format_args!("\n{} ended ({status}); starting it again", child.name()));
        child.restart().await?;
    }
}

async fn drain(children: Vec<Child>, interrupt: &mut tokio::signal::unix::Signal) {
    // Validators first: they still read from the venues' server while they close their windows.
    let (venues, nodes): (Vec<Child>, Vec<Child>) = children.into_iter().partition(Child::is_venues);
    for group in [nodes, venues] {
        let stops = group.into_iter().map(|child| child.stop(Duration::from_secs(DRAIN_SECONDS_MAX)));
        let all = futures::future::join_all(stops);
        tokio::pin!(all);
        loop {
            tokio::select! {
                _ = &mut all => break,
                _ = interrupt.recv() => {}
            }
        }
    }
}

/// In a child of `up`: asks the kernel to send SIGTERM when the supervisor is gone, so that a killed `up` leaves nothing
/// behind that holds its ports and files.
pub fn follow_supervisor() -> Result<(), Failure> {
    let Some(supervisor) = std::env::var("OPENMESH_SUPERVISOR").ok().and_then(|t| t.parse::<i32>().ok()) else {
        return Ok(());
    };
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM))
        .map_err(|e| Failure::from_display("the supervisor cannot be followed", &e))?;
    // It may have ended before the kernel was asked.
    match rustix::process::getppid() {
        Some(parent) if parent.as_raw_nonzero().get() == supervisor => Ok(()),
        _ => Err(Failure::new("the supervisor is gone")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// A venue that does not serve a region takes the connection and refuses the question.
    #[tokio::test]
    async fn a_venue_that_refuses_is_missing() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let mut head = [0u8; 1_024];
                let read = client.read(&mut head).await.unwrap();
                let status = match String::from_utf8_lossy(&head[..read]).split(' ').nth(1) {
                    Some("/good") => "200 OK",
                    Some("/region") => "451 Unavailable For Legal Reasons",
                    _ => continue,
                };
                let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{{}}");
                client.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        let urls = ["/good", "/region", "/gone"].map(|path| format!("{base}{path}"));
        let venues = [
            (Exchange::Kraken, urls[0].as_str()),
            (Exchange::Binance, urls[1].as_str()),
            (Exchange::Okx, urls[2].as_str()),
        ];
        let found = missing(&venues).await.unwrap();
        let named: Vec<Exchange> = found.iter().map(|(exchange, _)| *exchange).collect();
        assert_eq!(named, [Exchange::Binance, Exchange::Okx], "{found:?}");
        assert!(found[0].1.ends_with("answers 451 Unavailable For Legal Reasons"), "{found:?}");
        assert!(found[1].1.contains("cannot be reached"), "{found:?}");
    }
}
