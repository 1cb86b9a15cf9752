//! From the generator's events to each venue's messages: numbers in the digits of the endpoint, one message for each stream
//! that somebody listens to.
//!
//! The board holds its own copy of every book, because a step of the generator makes many events at once and a checksum
//! is that of the book after its own message, not after the step.

use std::collections::{BTreeMap, VecDeque};

use openmesh_dialect::emulate::{
    BookChange, BookStep, CandleState, Channel, Derivative, Endpoint, Entry, Frame, Instrument, LevelBook, PushedOut,
    Summary, Topic, TradePrint, View, binance, bybit, coinbase, kraken, okx,
};
use openmesh_market::Side;
use openmesh_primitives::{Decimal, Timestamp};

use super::{Bar, BookMove, CANDLE_SECONDS, Figures, Fill, Listed, Perpetual, Simulator, VenueEvent, VenueEventKind};

/// Trades that are kept for those who subscribe later: what Kraken v2 sends, and about what Coinbase does.
const RECENT_TRADES_MAX: usize = 50;

/// An instrument at an endpoint, and its state as told so far.
pub(super) struct Shown {
    pub(super) instrument: Instrument,
    pub(super) book: LevelBook,
    pub(super) update: u64,
    pub(super) summary: Summary,
    trades: VecDeque<TradePrint>,
    candles: Vec<CandleState>,
    pub(super) derivative: Option<Derivative>,
    /// Streams that somebody listens to, and how many do.
    active: BTreeMap<Topic, usize>,
    views: BTreeMap<Topic, View>,
    ticker_fields: Vec<(&'static str, String)>,
}

/// Everything that is shown.
pub(super) struct Board {
    pub(super) shown: Vec<Shown>,
    /// Of each book of the generator, what shows it.
    of_market: Vec<Vec<usize>>,
    index: BTreeMap<(Endpoint, String), usize>,
}

impl Board {
    pub(super) fn new(simulator: &Simulator) -> Board {
        let mut board = Board { shown: Vec::new(), of_market: Vec::new(), index: BTreeMap::new() };
        for (market, Listed { instruments, .. }) in simulator.listed().iter().enumerate() {
            let mut of = Vec::new();
            for instrument in instruments {
                let Some(shown) = Shown::new(instrument, simulator, market) else { continue };
                board.index.insert((instrument.endpoint, instrument.name.clone()), board.shown.len());
                of.push(board.shown.len());
                board.shown.push(shown);
            }
            board.of_market.push(of);
        }
        board
    }

    /// The instruments of an endpoint.
    pub(super) fn of_endpoint(&self, endpoint: Endpoint) -> Vec<&Shown> {
        self.shown.iter().filter(|s| s.instrument.endpoint == endpoint).collect()
    }

    pub(super) fn find(&self, endpoint: Endpoint, name: &str) -> Option<&Shown> {
        // OKX names an index by its pair; the perpetual of that pair carries it.
        self.index.get(&(endpoint, name.to_owned())).and_then(|at| self.shown.get(*at))
    }

    /// Returns the topic's place: an index price is that of the pair's perpetual.
    fn place(&self, topic: &Topic) -> Option<usize> {
        let name = match (topic.channel, topic.endpoint) {
            (Channel::IndexPrice, Endpoint::OkxPublic) => format!("{}-SWAP", topic.instrument),
            _ => topic.instrument.clone(),
        };
        self.index.get(&(topic.endpoint, name)).copied()
    }

    /// Returns true when there is such a stream.
    pub(super) fn knows(&self, topic: &Topic) -> bool {
        match topic.channel {
            Channel::Heartbeat | Channel::Instruments => return true,
            Channel::Candle { seconds } if !CANDLE_SECONDS.contains(&seconds) => return false,
            _ => {}
        }
        let Some(shown) = self.place(topic).and_then(|at| self.shown.get(at)) else { return false };
        match topic.channel {
            Channel::MarkPrice
            | Channel::IndexPrice
            | Channel::Funding
            | Channel::OpenInterest
            | Channel::Liquidation => shown.derivative.is_some(),
            _ => true,
        }
    }

    /// Somebody starts to listen: what they are told at once.
    pub(super) fn begin(&mut self, topic: &Topic) -> Vec<Frame> {
        if topic.channel == Channel::Instruments {
            let list: Vec<&Instrument> = self.of_endpoint(topic.endpoint).into_iter().map(|s| &s.instrument).collect();
            return vec![kraken::v2_instruments(&list)];
        }
        let Some(shown) = self.place(topic).and_then(|at| self.shown.get_mut(at)) else { return Vec::new() };
        *shown.active.entry(topic.clone()).or_insert(0) += 1;
        shown.first(topic)
    }

    /// Somebody listens no more.
    pub(super) fn end(&mut self, topic: &Topic) {
        let Some(shown) = self.place(topic).and_then(|at| self.shown.get_mut(at)) else { return };
        if let Some(count) = shown.active.get_mut(topic) {
            *count -= 1;
            if *count == 0 {
                shown.active.remove(topic);
                shown.views.remove(topic);
            }
        }
    }

    /// An event, as the messages that it leads to.
    pub(super) fn take(&mut self, event: &VenueEvent, out: &mut Vec<(Topic, Frame)>) {
        for at in self.of_market.get(event.market).into_iter().flatten() {
            let Some(shown) = self.shown.get_mut(*at) else { continue };
            match &event.kind {
                VenueEventKind::Trades(fills) => shown.trades(fills, out),
                VenueEventKind::Book(book) => shown.book(event.at, book, out),
                VenueEventKind::Quote(figures) => shown.quote(figures, out),
                VenueEventKind::Candle(bar) => shown.candle(bar, out),
                VenueEventKind::Perpetual(perpetual) => shown.perpetual(perpetual, out),
            }
        }
    }
}

impl Shown {
    fn new(instrument: &Instrument, simulator: &Simulator, market: usize) -> Option<Shown> {
        let (levels, update) = simulator.book(market);
        let figures = simulator.figures(market)?;
        let mut shown = Shown {
            instrument: instrument.clone(),
            book: LevelBook::default(),
            update,
            summary: summary(instrument, &figures),
            trades: VecDeque::new(),
            candles: simulator.bars(market).iter().map(|b| candle(instrument, b)).collect(),
            derivative: simulator.perpetual(market).map(|p| derivative(instrument, &p)),
            active: BTreeMap::new(),
            views: BTreeMap::new(),
            ticker_fields: Vec::new(),
        };
        for level in levels {
            shown.book.apply(&change(instrument, figures.at, level));
        }
        Some(shown)
    }

    fn topics(&self) -> Vec<Topic> {
        self.active.keys().cloned().collect()
    }

    fn trades(&mut self, fills: &[Fill], out: &mut Vec<(Topic, Frame)>) {
        let i = &self.instrument;
        let prints: Vec<TradePrint> = fills
            .iter()
            .map(|f| TradePrint {
                id: f.id,
                aggregate: f.aggregate,
                side: f.side,
                price: i.price(f.price),
                size: i.size(f.lots),
                at: f.at,
                at_market: f.at_market,
            })
            .collect();
        for topic in self.topics() {
            let mut push = |frame| out.push((topic.clone(), frame));
            let name = &topic.instrument;
            match (topic.channel, topic.endpoint) {
                (Channel::AggregateTrade, _) => prints.iter().for_each(|t| push(binance::aggregate_trade(&topic, t))),
                (Channel::Trade, Endpoint::BinanceSpot | Endpoint::BinanceUsdm) => {
                    prints.iter().for_each(|t| push(binance::trade(&topic, t)));
                }
                (Channel::Trade, Endpoint::Coinbase) => {
                    let at = prints.last().map_or(Timestamp(0), |t| t.at);
                    push(coinbase::trades("update", name, at, prints.iter().rev()));
                }
                (Channel::Trade, Endpoint::KrakenV1) => {
                    push(kraken::v1_trades(kraken::channel_id(&topic), &topic, &prints))
                }
                (Channel::Trade, Endpoint::KrakenV2) => push(kraken::v2_trades("update", name, prints.iter())),
                (Channel::Trade, Endpoint::BybitSpot | Endpoint::BybitLinear) => {
                    push(bybit::trades(&topic, &prints, self.update));
                }
                (Channel::Trade, Endpoint::OkxPublic) => {
                    prints.iter().for_each(|t| push(okx::trade(&topic, t, self.update)));
                }
                _ => {}
            }
        }
        self.trades.extend(prints);
        let surplus = self.trades.len().saturating_sub(RECENT_TRADES_MAX);
        self.trades.drain(..surplus);
    }

    fn book(&mut self, at: Timestamp, moved: &BookMove, out: &mut Vec<(Topic, Frame)>) {
        let changes: Vec<BookChange> = moved.levels.iter().map(|l| change(&self.instrument, at, *l)).collect();
        changes.iter().for_each(|c| self.book.apply(c));
        self.update = moved.last;
        let step = BookStep {
            at,
            matched: at,
            first: moved.first,
            last: moved.last,
            previous: moved.previous,
            changes: &changes,
        };
        for topic in self.topics() {
            if let Some(frame) = self.book_frame(&topic, &step) {
                out.push((topic, frame));
            }
        }
    }

    fn book_frame(&mut self, topic: &Topic, step: &BookStep<'_>) -> Option<Frame> {
        let (at, last) = (step.at, step.last);
        match (topic.endpoint, topic.channel) {
            (Endpoint::BinanceSpot | Endpoint::BinanceUsdm, Channel::Book { .. }) => Some(binance::depth(topic, step)),
            (Endpoint::Coinbase, Channel::Book { .. }) => Some(coinbase::book_update(&topic.instrument, step)),
            (Endpoint::OkxPublic, Channel::Book { depth: okx::SHORT_BOOK_DEPTH } | Channel::BestQuote) => {
                Some(okx::short_book(topic, &self.book, at, last))
            }
            (endpoint, Channel::Book { .. }) => {
                let view = self.views.get_mut(topic)?;
                let before = view.sequence;
                let rule = if topic.endpoint.exchange() == openmesh_market::Exchange::Kraken {
                    PushedOut::Cut
                } else {
                    PushedOut::Said
                };
                let changes = view.step(&self.book, last, rule)?;
                let step = BookStep { at, changes: &changes, ..*step };
                Some(match endpoint {
                    Endpoint::KrakenV1 => kraken::v1_book_update(kraken::channel_id(topic), topic, &step, view.shown()),
                    Endpoint::KrakenV2 => kraken::v2_book_update(&topic.instrument, &step, view.shown()),
                    Endpoint::OkxPublic | Endpoint::OkxBusiness => {
                        let numbers = okx::BookNumbers { at, sequence: Some((before as i64, last as i64)) };
                        okx::book_update(topic, &changes, view.shown(), numbers)
                    }
                    _ => {
                        let numbers = bybit::BookNumbers { at, matched: at, update: view.messages, sequence: last };
                        bybit::book_delta(topic, &changes, numbers)
                    }
                })
            }
            _ => None,
        }
    }

    fn quote(&mut self, figures: &Figures, out: &mut Vec<(Topic, Frame)>) {
        self.summary = summary(&self.instrument, figures);
        for topic in self.topics() {
            if let Some(frame) = self.ticker_frame(&topic, "update", "delta") {
                out.push((topic, frame));
            }
        }
    }

    /// The ticker; `kind` is Coinbase's and Kraken's word for a first or a later one, `bybit_kind` Bybit's.
    fn ticker_frame(&mut self, topic: &Topic, kind: &str, bybit_kind: &str) -> Option<Frame> {
        let s = self.summary;
        Some(match (topic.endpoint, topic.channel) {
            (Endpoint::BinanceSpot | Endpoint::BinanceUsdm, Channel::BestQuote) => binance::best_quote(topic, &s),
            (Endpoint::BinanceSpot | Endpoint::BinanceUsdm, Channel::Ticker) => binance::ticker(topic, &s),
            (Endpoint::Coinbase, Channel::Ticker) => coinbase::ticker(kind, &topic.instrument, &s),
            (Endpoint::KrakenV1, Channel::Ticker) => kraken::v1_ticker(kraken::channel_id(topic), topic, &s),
            (Endpoint::KrakenV1, Channel::BestQuote) => kraken::v1_spread(kraken::channel_id(topic), topic, &s),
            (Endpoint::KrakenV2, Channel::Ticker) => kraken::v2_ticker(kind, &topic.instrument, &s),
            (Endpoint::BybitSpot, Channel::Ticker) => bybit::spot_ticker(topic, &s),
            (Endpoint::BybitLinear, Channel::Ticker) => {
                let fields = bybit::linear_fields(&s, &self.derivative?);
                if bybit_kind == "snapshot" {
                    return Some(bybit::linear_ticker(topic, "snapshot", fields.into_iter(), s.update, s.at));
                }
                let changed: Vec<_> = fields.iter().filter(|f| !self.ticker_fields.contains(f)).cloned().collect();
                self.ticker_fields = fields;
                if changed.is_empty() {
                    return None;
                }
                bybit::linear_ticker(topic, "delta", changed.into_iter(), s.update, s.at)
            }
            (Endpoint::OkxPublic, Channel::Ticker) => okx::ticker(topic, &self.instrument, &s),
            _ => return None,
        })
    }

    fn candle(&mut self, bar: &Bar, out: &mut Vec<(Topic, Frame)>) {
        let state = candle(&self.instrument, bar);
        for topic in self.topics() {
            if topic.channel == (Channel::Candle { seconds: state.seconds })
                && let Some(frame) = candle_frame(&topic, "update", &state)
            {
                out.push((topic, frame));
            }
        }
        if let Some(old) = self.candles.iter_mut().find(|c| c.seconds == state.seconds) {
            *old = state;
        }
    }

    fn perpetual(&mut self, perpetual: &Perpetual, out: &mut Vec<(Topic, Frame)>) {
        let state = derivative(&self.instrument, perpetual);
        self.derivative = Some(state);
        for topic in self.topics() {
            if let Some(frame) = derivative_frame(&topic, &state) {
                out.push((topic, frame));
            } else if (topic.endpoint, topic.channel) == (Endpoint::BybitLinear, Channel::Ticker) {
                self.summary.at = self.summary.at.max(state.at);
                if let Some(frame) = self.ticker_frame(&topic, "update", "delta") {
                    out.push((topic, frame));
                }
            }
        }
    }

    /// Returns the first frames of a stream.
    fn first(&mut self, topic: &Topic) -> Vec<Frame> {
        let name = &topic.instrument;
        let at = self.summary.at;
        let frame = match (topic.endpoint, topic.channel) {
            (Endpoint::BinanceSpot | Endpoint::BinanceUsdm, _) => None,
            (Endpoint::Coinbase, Channel::Book { .. }) => Some(coinbase::book_snapshot(name, &self.book, at)),
            (Endpoint::Coinbase, Channel::Trade) => {
                Some(coinbase::trades("snapshot", name, at, self.trades.iter().rev()))
            }
            (Endpoint::Coinbase, Channel::Candle { .. }) => {
                let list = self.candles.iter().filter(|c| c.seconds == coinbase::CANDLE_SECONDS);
                Some(coinbase::candles("snapshot", name, at, list))
            }
            (Endpoint::KrakenV2, Channel::Trade) => Some(kraken::v2_trades("snapshot", name, self.trades.iter())),
            (_, Channel::Candle { seconds }) => {
                let state = self.candles.iter().find(|c| c.seconds == seconds);
                state.and_then(|c| candle_frame(topic, "snapshot", c))
            }
            (Endpoint::OkxPublic, Channel::Book { depth: okx::SHORT_BOOK_DEPTH } | Channel::BestQuote) => {
                Some(okx::short_book(topic, &self.book, at, self.update))
            }
            (_, Channel::Book { depth }) => Some(self.view_snapshot(topic, usize::from(depth))),
            (_, Channel::Ticker | Channel::BestQuote) => self.ticker_frame(topic, "snapshot", "snapshot"),
            _ => self.derivative.and_then(|d| derivative_frame(topic, &d)),
        };
        frame.into_iter().collect()
    }

    /// A depth-limited book; its view starts with the first who listens and is shared by all.
    fn view_snapshot(&mut self, topic: &Topic, depth: usize) -> Frame {
        let (book, update) = (&self.book, self.update);
        let view = self.views.entry(topic.clone()).or_insert_with(|| {
            // Counting on from the book's own number, a stream that was left and taken up again never counts back.
            let mut view = View::new(depth, book, update);
            view.messages = update;
            view
        });
        let at = self.summary.at;
        match topic.endpoint {
            Endpoint::KrakenV1 => kraken::v1_book_snapshot(kraken::channel_id(topic), topic, view.shown()),
            Endpoint::KrakenV2 => kraken::v2_book_snapshot(&topic.instrument, view.shown(), at),
            Endpoint::OkxPublic | Endpoint::OkxBusiness => {
                let numbers = okx::BookNumbers { at, sequence: Some((-1, view.sequence as i64)) };
                okx::book_snapshot(topic, view.shown(), numbers)
            }
            _ => {
                let numbers = bybit::BookNumbers { at, matched: at, update: view.messages, sequence: view.sequence };
                bybit::book_snapshot(topic, view.shown(), numbers)
            }
        }
    }
}

fn candle_frame(topic: &Topic, kind: &str, c: &CandleState) -> Option<Frame> {
    Some(match topic.endpoint {
        // A candle without trades is not told by these.
        Endpoint::Coinbase | Endpoint::KrakenV1 | Endpoint::KrakenV2 if c.trades == 0 => return None,
        Endpoint::BinanceSpot | Endpoint::BinanceUsdm => binance::candle(topic, c),
        Endpoint::Coinbase => coinbase::candles(kind, &topic.instrument, c.at, std::iter::once(c)),
        Endpoint::KrakenV1 => kraken::v1_candle(kraken::channel_id(topic), topic, c),
        Endpoint::KrakenV2 => kraken::v2_candle(kind, &topic.instrument, c),
        Endpoint::BybitSpot | Endpoint::BybitLinear => bybit::candle(topic, c),
        Endpoint::OkxPublic | Endpoint::OkxBusiness => okx::candle(topic, c),
    })
}

fn derivative_frame(topic: &Topic, d: &Derivative) -> Option<Frame> {
    Some(match (topic.endpoint, topic.channel) {
        (Endpoint::BinanceUsdm, Channel::MarkPrice) => binance::mark_price(topic, d),
        (Endpoint::OkxPublic, Channel::MarkPrice) => okx::mark_price(topic, d),
        (Endpoint::OkxPublic, Channel::IndexPrice) => okx::index_price(topic, d),
        (Endpoint::OkxPublic, Channel::Funding) => okx::funding(topic, d),
        (Endpoint::OkxPublic, Channel::OpenInterest) => okx::open_interest(topic, d),
        _ => return None,
    })
}

fn change(i: &Instrument, at: Timestamp, (side, ticks, lots, orders): (Side, i64, i64, u32)) -> BookChange {
    BookChange { side, entry: Entry { price: i.price(ticks), size: i.size(lots), at, orders } }
}

/// Ticks times lots in the quote asset.
fn turnover(i: &Instrument, sum: i128) -> Decimal {
    let unit = i.tick.normalized().checked_mul(i.lot.normalized()).unwrap_or_default();
    Decimal::new(sum.saturating_mul(unit.mantissa()), unit.scale())
}

fn summary(i: &Instrument, f: &Figures) -> Summary {
    let pair = |(ticks, lots): (i64, i64)| (i.price(ticks), i.size(lots));
    Summary {
        at: f.at,
        update: f.update,
        bid: pair(f.bid),
        ask: pair(f.ask),
        last: pair(f.last),
        open: i.price(f.open),
        high: i.price(f.high),
        low: i.price(f.low),
        volume: i.size(f.volume),
        turnover: turnover(i, f.turnover),
        trades: f.trades,
    }
}

fn candle(i: &Instrument, b: &Bar) -> CandleState {
    let [open, high, low, close] = b.prices.map(|p| i.price(p));
    CandleState {
        start: b.start,
        seconds: b.seconds,
        open,
        high,
        low,
        close,
        volume: i.size(b.volume.0),
        turnover: turnover(i, b.turnover.0),
        taker_volume: i.size(b.volume.1),
        taker_turnover: turnover(i, b.turnover.1),
        first_trade: b.ids.0,
        last_trade: b.ids.1,
        trades: b.trades,
        at: b.at,
        closed: b.closed,
    }
}

fn derivative(i: &Instrument, p: &Perpetual) -> Derivative {
    Derivative {
        at: p.at,
        mark: i.price(p.mark),
        index: i.price(p.index),
        funding_rate: Decimal::new(i128::from(p.funding_e8), 8),
        next_funding: p.next_funding,
        open_interest: i.size(p.open_interest),
    }
}
