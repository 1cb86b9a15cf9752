//! The simulated market behind the endpoints, driven by the clock.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use openmesh_dialect::emulate::{Channel, Endpoint, Frame, Listing, Topic};
use openmesh_market::Feed;
use openmesh_primitives::Timestamp;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::board::Board;
use super::rest;
use super::{Simulator, listings};
use crate::catalogue::{Catalogue, CatalogueEntry, SetInfo};
use crate::config::SimulationConfig;
use crate::hub::{Endpoints, Hub, Room};
use crate::progress::{SetProgress, SetState};
use crate::source::{HttpAnswer, HttpRequest, Source};

/// Step of the generator: short against the delays of a network, long against a timer's cost.
const STEP: Duration = Duration::from_millis(10);

/// Name of the simulation's set.
const SET_NAME: &str = "simulation";

/// The market of a simulation.
pub(super) struct SimulatedMarket {
    simulator: Simulator,
    board: Board,
    events: u64,
    started: Timestamp,
    /// The last step: the venues' time never goes back, whatever the machine's clock does.
    stepped: Timestamp,
}

/// The machine's clock.
fn clock() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

impl SimulatedMarket {
    pub(super) fn new(config: SimulationConfig, now: Timestamp) -> SimulatedMarket {
        let simulator = Simulator::new(config.seed, config.events_per_second, now);
        let board = Board::new(&simulator);
        SimulatedMarket { simulator, board, events: 0, started: now, stepped: now }
    }

    /// Time goes on: the messages that follow, and how many events there were.
    pub(super) fn step(&mut self, now: Timestamp) -> (Vec<(Topic, Frame)>, u64) {
        let mut out = Vec::new();
        let events = self.simulator.step(now);
        for event in &events {
            self.board.take(event, &mut out);
        }
        self.stepped = self.stepped.max(now);
        self.events += events.len() as u64;
        (out, events.len() as u64)
    }
}

impl Listing for SimulatedMarket {
    fn knows(&self, topic: &Topic) -> bool {
        self.board.knows(topic)
    }
}

impl Source for SimulatedMarket {
    fn key(&self, topic: &Topic) -> Topic {
        topic.clone()
    }

    fn now(&self, _door: Endpoint) -> Timestamp {
        self.stepped.max(clock())
    }

    fn begin(&mut self, _connection: u64, topic: &Topic) -> Vec<Frame> {
        self.board.begin(topic)
    }

    fn end(&mut self, _connection: u64, topic: &Topic) {
        self.board.end(topic);
    }

    fn http(&mut self, request: &HttpRequest<'_>) -> Option<HttpAnswer> {
        rest::answer(&self.board, request, self.stepped)
    }

    fn catalogue(&self) -> Catalogue {
        catalogue()
    }

    fn positions(&self) -> Vec<SetProgress> {
        let position = (self.stepped.nanos() - self.started.nanos()) / 1_000_000;
        vec![SetProgress {
            name: SET_NAME.to_owned(),
            state: SetState::Running,
            position_ms: u64::try_from(position).unwrap_or(0),
            length_ms: 0,
            frames_played: self.events,
            frames: 0,
        }]
    }
}

/// Returns the catalogue of a simulation, the same for every seed.
fn catalogue() -> Catalogue {
    let mut feeds: BTreeMap<(openmesh_market::Exchange, openmesh_primitives::Symbol), (String, Vec<Feed>)> =
        BTreeMap::new();
    for listed in listings() {
        for instrument in &listed.instruments {
            let entry = feeds
                .entry((listed.exchange, instrument.symbol.clone()))
                .or_insert_with(|| (instrument.name.clone(), Vec::new()));
            for channel in channels(instrument.endpoint, listed.perpetual) {
                entry.1.extend(channel.feeds(instrument.endpoint));
            }
        }
    }
    let entries: Vec<CatalogueEntry> = feeds
        .into_iter()
        .map(|((exchange, symbol), (instrument, mut feeds))| {
            feeds.sort();
            feeds.dedup();
            CatalogueEntry { exchange, symbol, instrument, feeds, set: SET_NAME.to_owned() }
        })
        .collect();
    let mut catalogue = Catalogue { simulated: true, entries, sets: Vec::new() };
    catalogue.sets.push(SetInfo {
        name: SET_NAME.to_owned(),
        exchanges: catalogue.exchanges(),
        first_venue_time: None,
        last_venue_time: None,
        length_ms: 0,
        frames: 0,
    });
    catalogue
}

/// Streams of a simulated instrument at an endpoint.
fn channels(endpoint: Endpoint, perpetual: bool) -> Vec<Channel> {
    let mut channels =
        vec![Channel::Trade, Channel::Book { depth: 0 }, Channel::Ticker, Channel::Candle { seconds: 60 }];
    if perpetual && endpoint.exchange() != openmesh_market::Exchange::Bybit {
        channels.push(Channel::MarkPrice);
    }
    if perpetual && endpoint == Endpoint::BinanceUsdm {
        // Asked for over HTTP.
        channels.push(Channel::OpenInterest);
    }
    if perpetual && endpoint == Endpoint::OkxPublic {
        channels.extend([Channel::IndexPrice, Channel::Funding, Channel::OpenInterest]);
    }
    channels
}

/// Starts the generator.
pub(crate) fn start(config: SimulationConfig, tasks: &mut JoinSet<()>, stop: CancellationToken) -> Arc<dyn Endpoints> {
    let hub = Hub::new(SimulatedMarket::new(config, clock()));
    let driven = hub.clone();
    tasks.spawn(async move {
        let mut step = tokio::time::interval(STEP);
        step.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        while stop.run_until_cancelled(step.tick()).await.is_some() {
            let mut room = driven.lock();
            let (messages, events) = room.source.step(clock());
            room.count(events);
            for (topic, frame) in messages {
                Room::publish(&mut room, std::slice::from_ref(&topic), &frame);
            }
        }
    });
    hub
}
