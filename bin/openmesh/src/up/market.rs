//! The origin of a local network's market data, and the venues that can be reached from here.

use std::time::Duration;

use openmesh_market::Exchange;
use openmesh_primitives::root_cause;

use super::terminal::say;
use crate::cli::UpArgs;
use crate::failure::Failure;

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
/// Longest wait for a venue's answer, in milliseconds: a name, a connection, TLS and a few bytes, from the other side of the
/// world. A person without internet waits as long.
const REACH_MS_MAX: u64 = 5_000;

/// Origin of the market data in this run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Market {
    /// The venues themselves.
    Live,
    /// The simulated market.
    Simulated,
    /// Recordings in this folder.
    Replay(std::path::PathBuf),
}

impl Market {
    /// The name of this kind of market for people: what is not live is written large.
    pub fn word(&self) -> &'static str {
        match self {
            Market::Live => "live",
            Market::Simulated => "SIMULATED",
            Market::Replay(_) => "REPLAY",
        }
    }
}

/// Chooses the market that the arguments ask for, or else the live venues where any can be reached. Says why.
pub async fn choose(arguments: &UpArgs) -> Result<(Market, String), Failure> {
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
                Err(error) => Some((*exchange, format!("{url} cannot be reached ({})", root_cause(&error)))),
            }
        }
    });
    Ok(futures::future::join_all(asks).await.into_iter().flatten().collect())
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
