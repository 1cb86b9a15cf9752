//! The state of all recordings that are replayed: their books, tickers and recent trades at the replay's time, and who is
//! counted as waiting for a set to begin.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use openmesh_dialect::emulate::{
    BookMessage, Channel, Endpoint, Frame, Listing, TickerFields, Topic, binance, bybit, coinbase, kraken, read_book,
    read_bybit_ticker, read_coinbase_trades, read_depth_snapshot,
};
use openmesh_primitives::Timestamp;
use tokio::sync::watch;

use super::book::RecordedBook;
use super::instruments::Names;
use super::load::{RecordedAnswer, Recording};
use crate::catalogue::{Catalogue, CatalogueEntry, SetInfo};
use crate::progress::{SetProgress, SetState};
use crate::source::{HttpAnswer, HttpRequest, Source};

/// Trades that are kept for those who subscribe later at Coinbase, which sends about so many.
const RECENT_TRADES_MAX: usize = 50;

/// Levels of a depth snapshot where the client names none (Binance's default), and at most.
const DEPTH_DEFAULT: usize = 100;
const DEPTH_MAX: usize = 5_000;

/// A set and how far it is.
pub(super) struct PlayedSet {
    pub recording: Recording,
    pub state: SetState,
    /// Nanoseconds since its beginning.
    pub position: u64,
    /// Frames played.
    pub played: usize,
    /// Answers over HTTP that have been received by then.
    answered: usize,
    /// The venue's time of the last frame that gave one.
    venue_time: Timestamp,
    /// Connections that have subscribed to its streams of books and trades.
    listeners: BTreeMap<Topic, BTreeSet<u64>>,
    /// The fewest listeners of those streams, and all subscriptions to them; watched by its clock.
    fewest: watch::Sender<(usize, usize)>,
}

/// All sets.
pub(super) struct ReplayState {
    pub sets: Vec<PlayedSet>,
    /// By the loose topic.
    index: BTreeMap<Topic, usize>,
    books: BTreeMap<Topic, RecordedBook>,
    tickers: BTreeMap<Topic, TickerFields>,
    trades: BTreeMap<Topic, VecDeque<String>>,
    names: Names,
}

impl ReplayState {
    pub(super) fn new(recordings: Vec<Recording>) -> ReplayState {
        let mut state = ReplayState {
            sets: Vec::new(),
            index: BTreeMap::new(),
            books: BTreeMap::new(),
            tickers: BTreeMap::new(),
            trades: BTreeMap::new(),
            names: Names::default(),
        };
        for recording in recordings {
            recording.answers.iter().for_each(|a| state.names.read(a));
            let at = state.sets.len();
            for topic in &recording.topics {
                if let Some(other) = state.index.get(topic) {
                    let other = &state.sets[*other].recording.name;
                    tracing::warn!(
                        ?topic,
                        first = other,
                        second = recording.name,
                        "two sets hold the same stream: the first is served"
                    );
                } else {
                    state.index.insert(topic.clone(), at);
                }
            }
            let venue_time = recording.first_venue_time.unwrap_or_default();
            let counted = |t: &&Topic| matches!(t.channel, Channel::Book { .. } | Channel::Trade);
            let listeners = recording.topics.iter().filter(counted).map(|t| (t.clone(), BTreeSet::new())).collect();
            state.sets.push(PlayedSet {
                listeners,
                recording,
                state: SetState::Waiting,
                position: 0,
                played: 0,
                answered: 0,
                venue_time,
                fewest: watch::Sender::new((0, 0)),
            });
        }
        state
    }

    /// Follows how many listen to a set: the fewest of its books and trades, and all together.
    pub(super) fn watch(&self, set: usize) -> Option<watch::Receiver<(usize, usize)>> {
        self.sets.get(set).map(|s| s.fewest.subscribe())
    }

    /// Plays the next frame of a set where it is due: its topics and itself.
    pub(super) fn play(&mut self, set: usize, until: u64) -> Option<(Vec<Topic>, Frame)> {
        let played = self.sets.get_mut(set)?;
        let next = played.recording.frames.get(played.played).filter(|f| f.at <= until)?;
        let (due, endpoint, frame) = (next.at, next.endpoint, next.frame.clone());
        let mut topics: Vec<Topic> =
            next.topics.iter().filter_map(|t| played.recording.topics.get(*t as usize).cloned()).collect();
        played.played += 1;
        played.position = due;
        let mut answers: Vec<RecordedAnswer> = Vec::new();
        while let Some(answer) = played.recording.answers.get(played.answered).filter(|a| a.at <= due) {
            if answer.path.ends_with("/depth") {
                answers.push(answer.clone());
            }
            played.answered += 1;
        }
        for answer in answers {
            self.answer(&answer);
        }
        topics.retain(|t| self.index.get(t) == Some(&set));
        self.note(set, endpoint, &topics, &frame.text(0));
        Some((topics, frame))
    }

    /// A recorded depth snapshot has been received.
    fn answer(&mut self, answer: &RecordedAnswer) {
        let Some((endpoint, symbol)) = depth_request(&answer.host, &answer.path, &answer.query) else { return };
        match read_depth_snapshot(&symbol, &answer.body) {
            Ok(message) => self.books.entry(book_topic(endpoint, &symbol)).or_default().take_answer(message),
            Err(error) => tracing::warn!(%error, symbol, "a recorded depth snapshot cannot be read"),
        }
    }

    /// Keeps what those who subscribe later must be told.
    fn note(&mut self, set: usize, endpoint: Endpoint, topics: &[Topic], text: &str) {
        for topic in topics {
            match topic.channel {
                Channel::Book { .. } => match read_book(endpoint, text) {
                    Ok(messages) => {
                        for message in messages {
                            self.note_book(set, endpoint, message);
                        }
                        break;
                    }
                    Err(error) => tracing::warn!(%error, ?topic, "a recorded book message cannot be read"),
                },
                // Spot's are whole each time.
                Channel::Ticker if endpoint == Endpoint::BybitLinear => self.note_ticker(topic, text),
                Channel::Trade if endpoint == Endpoint::Coinbase => {
                    // Newest first in a frame, so the last of a frame is the oldest.
                    for (product, object) in read_coinbase_trades(text).unwrap_or_default().into_iter().rev() {
                        if product == topic.instrument {
                            let recent = self.trades.entry(topic.clone()).or_default();
                            recent.push_front(object);
                            recent.truncate(RECENT_TRADES_MAX);
                        }
                    }
                }
                _ => {}
            }
        }
    }

    fn note_book(&mut self, set: usize, endpoint: Endpoint, message: BookMessage) {
        if let Some(set) = self.sets.get_mut(set) {
            set.venue_time = set.venue_time.max(message.at);
        }
        let topic = book_topic(endpoint, &message.instrument);
        self.books.entry(topic).or_default().take(message, endpoint);
    }

    fn note_ticker(&mut self, topic: &Topic, text: &str) {
        let Ok(Some(ticker)) = read_bybit_ticker(text) else { return };
        match self.tickers.get_mut(topic) {
            Some(whole) if !ticker.snapshot => {
                for (name, value) in ticker.fields {
                    match whole.fields.iter_mut().find(|f| f.0 == name) {
                        Some(field) => field.1 = value,
                        None => whole.fields.push((name, value)),
                    }
                }
                (whole.sequence, whole.at) = (ticker.sequence, ticker.at);
            }
            _ if ticker.snapshot => {
                self.tickers.insert(topic.clone(), ticker);
            }
            _ => {}
        }
    }

    /// A book as it stands, in the words of its recorded stream.
    fn book_snapshot(&self, loose: &Topic) -> Option<Frame> {
        let recording = &self.sets.get(*self.index.get(loose)?)?.recording;
        let at = recording.topics.iter().position(|t| t == loose)?;
        let recorded = recording.recorded_topics.get(at)?;
        self.books.get(loose)?.snapshot(recorded, recording.acknowledgements.get(recorded).map(String::as_str))
    }

    fn count(&mut self, set: usize, connection: u64, topic: &Topic) {
        let Some(set) = self.sets.get_mut(set) else { return };
        if let Some(ids) = set.listeners.get_mut(topic) {
            ids.insert(connection);
        }
        let fewest = set.listeners.values().map(BTreeSet::len).min().unwrap_or(0);
        let all = set.listeners.values().map(BTreeSet::len).sum();
        set.fewest.send_replace((fewest, all));
    }

    /// The recorded answer to a request: the same address, with the fields of the query in any order, those without a
    /// value aside; else one of the same path whose own fields the request repeats.
    fn recorded(&self, request: &HttpRequest<'_>) -> Option<&RecordedAnswer> {
        let fields = |query: &str| -> BTreeMap<String, String> {
            let pairs = url::form_urlencoded::parse(query.as_bytes()).into_owned();
            pairs.filter(|(_, value)| !value.is_empty()).collect()
        };
        let wanted = fields(request.query);
        let same: Vec<&RecordedAnswer> = self
            .sets
            .iter()
            .flat_map(|s| &s.recording.answers)
            .filter(|a| bare(&a.host) == bare(request.host) && a.path == request.path)
            .collect();
        let exact = same.iter().find(|a| fields(&a.query) == wanted);
        // A limit or a status in the recorded query does not decide what the list is about.
        let about = |a: &RecordedAnswer| {
            let keys = ["instType", "uly", "category", "symbol"];
            let own = fields(&a.query);
            keys.iter().all(|k| own.get(*k) == wanted.get(*k))
        };
        exact.or_else(|| same.iter().find(|a| about(a))).copied()
    }

    fn depth(&self, request: &HttpRequest<'_>, endpoint: Endpoint, symbol: &str) -> HttpAnswer {
        let limit = match request.field("limit").map(|l| l.parse::<usize>()) {
            None => DEPTH_DEFAULT,
            Some(Ok(limit)) => limit.clamp(1, DEPTH_MAX),
            Some(Err(_)) => {
                let text = binance::error(-1100, "Illegal characters found in parameter 'limit'.");
                return HttpAnswer::refused(400, text);
            }
        };
        let now = self.now(endpoint);
        let topic = book_topic(endpoint, symbol);
        if let Some(body) = self.books.get(&topic).and_then(|b| b.depth(endpoint, limit, now)) {
            return HttpAnswer::ok(body);
        }
        // Before the recorded snapshot's time: that one, for this instrument whatever the limit.
        let recorded = self
            .sets
            .iter()
            .flat_map(|s| &s.recording.answers)
            .find(|a| depth_request(&a.host, &a.path, &a.query).is_some_and(|(d, s)| d == endpoint && s == symbol));
        match recorded {
            Some(answer) => HttpAnswer::ok(answer.body.clone()),
            None => HttpAnswer::refused(400, binance::error(-1121, "Invalid symbol.")),
        }
    }

    /// A list of what is played, for a venue whose own was not recorded.
    fn made_list(&self, endpoint: Endpoint) -> String {
        let names: BTreeSet<&str> =
            self.index.keys().filter(|t| t.endpoint == endpoint).map(|t| t.instrument.as_str()).collect();
        let list: Vec<_> = names.iter().filter_map(|n| self.names.instrument(endpoint, n)).collect();
        binance::exchange_info(endpoint, &list.iter().collect::<Vec<_>>(), self.now(endpoint))
    }
}

/// Under which stream of the recordings a client's stream is played. Kraken was recorded through v1, whose messages
/// are played at both its endpoints.
fn played_as(topic: &Topic) -> Topic {
    let loose = topic.loose();
    match loose.endpoint {
        Endpoint::KrakenV2 => {
            Topic { endpoint: Endpoint::KrakenV1, instrument: kraken::v1_pair(&loose.instrument), ..loose }
        }
        _ => loose,
    }
}

fn bare(host: &str) -> &str {
    host.split(':').next().unwrap_or(host)
}

fn book_topic(endpoint: Endpoint, instrument: &str) -> Topic {
    let endpoint = if endpoint == Endpoint::OkxBusiness { Endpoint::OkxPublic } else { endpoint };
    Topic { endpoint, channel: BookMessage::CHANNEL, instrument: instrument.to_owned(), name: String::new() }
}

/// Endpoint and instrument of a request for Binance's depth.
fn depth_request(host: &str, path: &str, query: &str) -> Option<(Endpoint, String)> {
    let endpoint = match (bare(host), path) {
        ("api.binance.com", "/api/v3/depth") => Endpoint::BinanceSpot,
        ("fapi.binance.com", "/fapi/v1/depth") => Endpoint::BinanceUsdm,
        _ => return None,
    };
    let symbol = url::form_urlencoded::parse(query.as_bytes()).find(|(k, _)| k == "symbol")?.1.into_owned();
    Some((endpoint, symbol))
}

impl Listing for ReplayState {
    fn knows(&self, topic: &Topic) -> bool {
        topic.channel == Channel::Heartbeat || self.index.contains_key(&played_as(topic))
    }

    fn acknowledgement(&self, topic: &Topic) -> Option<String> {
        let set = self.index.get(&played_as(topic))?;
        self.sets.get(*set)?.recording.acknowledgements.get(topic).cloned()
    }
}

impl Source for ReplayState {
    fn key(&self, topic: &Topic) -> Topic {
        played_as(topic)
    }

    fn now(&self, endpoint: Endpoint) -> Timestamp {
        let of_endpoint = self.sets.iter().filter(|s| s.recording.topics.iter().any(|t| t.endpoint == endpoint));
        of_endpoint.map(|s| s.venue_time).max().unwrap_or_default()
    }

    fn begin(&mut self, connection: u64, topic: &Topic) -> Vec<Frame> {
        let loose = played_as(topic);
        if let Some(set) = self.index.get(&loose).copied() {
            self.count(set, connection, &loose);
        }
        let frame = match topic.channel {
            Channel::Book { .. } => self.book_snapshot(&loose),
            Channel::Ticker => self.tickers.get(&loose).map(|t| {
                let recorded = Topic { name: t.topic.clone(), ..topic.clone() };
                let fields = t.fields.iter().map(|(name, value)| (name, value));
                bybit::linear_ticker(&recorded, "snapshot", fields, t.sequence, t.at)
            }),
            Channel::Trade if topic.endpoint == Endpoint::Coinbase => self.trades.get(&loose).map(|recent| {
                let objects: Vec<String> = recent.iter().cloned().collect();
                coinbase::recorded_trades(self.now(Endpoint::Coinbase), &objects)
            }),
            _ => None,
        };
        frame.into_iter().collect()
    }

    fn end(&mut self, _connection: u64, _topic: &Topic) {}

    fn http(&mut self, request: &HttpRequest<'_>) -> Option<HttpAnswer> {
        if let Some((endpoint, symbol)) = depth_request(request.host, request.path, request.query) {
            return Some(self.depth(request, endpoint, &symbol));
        }
        if let Some(answer) = self.recorded(request) {
            return Some(HttpAnswer::ok(answer.body.clone()));
        }
        match (bare(request.host), request.path) {
            ("api.binance.com", "/api/v3/exchangeInfo") => Some(HttpAnswer::ok(self.made_list(Endpoint::BinanceSpot))),
            ("fapi.binance.com", "/fapi/v1/exchangeInfo") => {
                Some(HttpAnswer::ok(self.made_list(Endpoint::BinanceUsdm)))
            }
            ("api.binance.com", "/api/v3/time") | ("fapi.binance.com", "/fapi/v1/time") => {
                let now = self.now(Endpoint::BinanceSpot).max(self.now(Endpoint::BinanceUsdm));
                Some(HttpAnswer::ok(format!(r#"{{"serverTime":{}}}"#, now.millis())))
            }
            _ => None,
        }
    }

    fn catalogue(&self) -> Catalogue {
        let mut catalogue = Catalogue::default();
        let mut entries: BTreeMap<(usize, Endpoint, &str), CatalogueEntry> = BTreeMap::new();
        for (topic, set) in &self.index {
            let Some(played) = self.sets.get(*set) else { continue };
            let Some(symbol) = self.names.symbol(topic.endpoint, &topic.instrument) else { continue };
            let entry = entries.entry((*set, topic.endpoint, &topic.instrument)).or_insert_with(|| CatalogueEntry {
                exchange: topic.endpoint.exchange(),
                symbol,
                instrument: topic.instrument.clone(),
                feeds: Vec::new(),
                set: played.recording.name.clone(),
            });
            entry.feeds.extend(topic.channel.feeds(topic.endpoint));
            entry.feeds.sort();
            entry.feeds.dedup();
        }
        catalogue.entries = entries.into_values().collect();
        catalogue.entries.sort();
        for played in &self.sets {
            let r = &played.recording;
            let mut exchanges: Vec<_> = r.topics.iter().map(|t| t.endpoint.exchange()).collect();
            exchanges.sort();
            exchanges.dedup();
            catalogue.sets.push(SetInfo {
                name: r.name.clone(),
                exchanges,
                first_venue_time: r.first_venue_time,
                last_venue_time: r.last_venue_time,
                length_ms: r.length / 1_000_000,
                frames: r.frames.len() as u64,
            });
        }
        catalogue
    }

    fn positions(&self) -> Vec<SetProgress> {
        self.sets
            .iter()
            .map(|s| SetProgress {
                name: s.recording.name.clone(),
                state: s.state,
                position_ms: s.position / 1_000_000,
                length_ms: s.recording.length / 1_000_000,
                frames_played: s.played as u64,
                frames: s.recording.frames.len() as u64,
            })
            .collect()
    }
}
