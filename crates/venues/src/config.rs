//! Configuration of the server: market, addresses, pace, faults.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::faults::Faults;

/// Answers one JSON-RPC body with another: the replayed chain, injected so that this crate does not know it.
pub type EthereumAnswer = Arc<dyn Fn(&[u8]) -> Vec<u8> + Send + Sync>;

/// Configuration of the server.
#[derive(Clone)]
pub struct Config {
    /// Address; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Market to serve.
    pub mode: Mode,
    /// Faults of every connection.
    pub faults: Faults,
    /// Ethereum at `POST /ethereum`, where given.
    pub ethereum: Option<EthereumAnswer>,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("listen", &self.listen)
            .field("mode", &self.mode)
            .field("faults", &self.faults)
            .field("ethereum", &self.ethereum.is_some())
            .finish()
    }
}

/// Origin of the market.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// From a generator.
    Simulation(SimulationConfig),
    /// From recordings.
    Replay(ReplayConfig),
}

/// A simulated market.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SimulationConfig {
    /// The same seed makes the same market.
    pub seed: u64,
    /// Events a second over all venues together.
    pub events_per_second: u32,
}

/// Enough for every page to move and little enough for four validators on two cores.
const EVENTS_PER_SECOND: u32 = 300;

impl Default for SimulationConfig {
    fn default() -> SimulationConfig {
        SimulationConfig { seed: 1, events_per_second: EVENTS_PER_SECOND }
    }
}

/// A replay of recordings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplayConfig {
    /// A set's folder, or a folder of sets.
    pub dir: PathBuf,
    /// Pace.
    #[serde(default)]
    pub speed: Speed,
    /// Names of the sets (their folders'); empty for every set of a venue that is served.
    #[serde(default)]
    pub sets: Vec<String>,
    /// Collectors that a set waits for before its clock starts; 0 starts it with the server.
    ///
    /// A set's clock stands at its beginning until then, so that whoever subscribes meanwhile gets the recording from
    /// its first frame. So many connections must have subscribed to each of its books and streams of trades.
    #[serde(default)]
    pub hold_subscribers: usize,
    /// Longest wait for them, in milliseconds from the first; the clock starts without the rest.
    #[serde(default = "hold_ms_max")]
    pub hold_ms_max: u64,
}

/// Collectors of one network start within a few seconds of each other; half a minute is a fault, not a wait.
const fn hold_ms_max() -> u64 {
    30_000
}

impl ReplayConfig {
    /// Everything in a folder, at the speed it was recorded.
    pub fn new(dir: impl Into<PathBuf>) -> ReplayConfig {
        ReplayConfig {
            dir: dir.into(),
            speed: Speed::default(),
            sets: Vec::new(),
            hold_subscribers: 0,
            hold_ms_max: hold_ms_max(),
        }
    }
}

/// Pace at which a recording is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Speed {
    /// So many times as fast as it was recorded.
    Times(u32),
    /// As fast as the listeners take it.
    Fastest,
}

impl Default for Speed {
    fn default() -> Speed {
        Speed::Times(1)
    }
}

/// A text that names no speed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no speed: 1x, 10x or fastest")]
pub struct SpeedError(String);

impl FromStr for Speed {
    type Err = SpeedError;
    fn from_str(text: &str) -> Result<Speed, SpeedError> {
        if text == "fastest" {
            return Ok(Speed::Fastest);
        }
        let times = text.strip_suffix('x').and_then(|n| n.parse().ok()).filter(|n| (1..=10_000).contains(n));
        times.map(Speed::Times).ok_or_else(|| SpeedError(text.chars().take(20).collect()))
    }
}

impl TryFrom<String> for Speed {
    type Error = SpeedError;
    fn try_from(text: String) -> Result<Speed, SpeedError> {
        text.parse()
    }
}

impl fmt::Display for Speed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Speed::Times(n) => write!(f, "{n}x"),
            Speed::Fastest => f.write_str("fastest"),
        }
    }
}

impl From<Speed> for String {
    fn from(speed: Speed) -> String {
        speed.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speeds() {
        for text in ["1x", "25x", "fastest"] {
            assert_eq!(text.parse::<Speed>().unwrap().to_string(), text);
        }
        for text in ["", "x", "0x", "-1x", "fast", "1.5x", "99999x"] {
            assert!(text.parse::<Speed>().is_err(), "{text}");
        }
    }
}
