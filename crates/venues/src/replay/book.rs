//! A recorded book as it stands at the replay's time.

use openmesh_dialect::emulate::{
    BookMessage, Endpoint, Frame, LevelBook, Topic, binance, bybit, coinbase, kraken, okx,
};
use openmesh_primitives::Timestamp;

/// Changes that wait for a snapshot over HTTP; a recorder asks for it within seconds.
const BUFFERED_MAX: usize = 20_000;

/// A recorded book.
#[derive(Debug, Default)]
pub(super) struct RecordedBook {
    book: LevelBook,
    /// True after a snapshot.
    in_step: bool,
    update: u64,
    sequence: u64,
    at: Timestamp,
    matched: Timestamp,
    /// Binance: changes before the snapshot over HTTP, of which some come after it by their numbers.
    buffered: Vec<BookMessage>,
}

impl RecordedBook {
    /// A message of the stream was played.
    pub(super) fn take(&mut self, message: BookMessage, endpoint: Endpoint) {
        let binance = matches!(endpoint, Endpoint::BinanceSpot | Endpoint::BinanceUsdm);
        if message.snapshot {
            self.book.clear();
            self.in_step = true;
            self.set(&message);
        } else if self.in_step {
            // What the snapshot over HTTP holds already.
            if !binance || message.update > self.update {
                self.set(&message);
            }
        } else if binance && self.buffered.len() < BUFFERED_MAX {
            self.buffered.push(message);
        }
    }

    /// A snapshot over HTTP was received.
    pub(super) fn take_answer(&mut self, snapshot: BookMessage) {
        if self.in_step && snapshot.update <= self.update {
            return;
        }
        self.book.clear();
        self.in_step = true;
        let last = snapshot.update;
        self.set(&snapshot);
        for message in std::mem::take(&mut self.buffered) {
            if message.update > last {
                self.set(&message);
            }
        }
    }

    fn set(&mut self, message: &BookMessage) {
        message.changes.iter().for_each(|c| self.book.apply(c));
        if message.cut > 0 {
            self.book.truncate(message.cut);
        }
        self.update = message.update;
        self.sequence = message.sequence;
        self.at = self.at.max(message.at);
        self.matched = self.matched.max(message.matched);
    }

    /// The snapshot for one who subscribes now, as a message of the recorded stream that was acknowledged so; `None`
    /// before the recorded snapshot, and where the venue sends none.
    pub(super) fn snapshot(&self, topic: &Topic, acknowledgement: Option<&str>) -> Option<Frame> {
        if !self.in_step {
            return None;
        }
        let name = &topic.instrument;
        match topic.endpoint {
            Endpoint::BinanceSpot | Endpoint::BinanceUsdm => None,
            Endpoint::Coinbase => Some(coinbase::book_snapshot(name, &self.book, self.at)),
            Endpoint::KrakenV1 => {
                let id = acknowledgement.and_then(channel_id).unwrap_or_else(|| kraken::channel_id(topic));
                Some(kraken::v1_book_snapshot(id, topic, &self.book))
            }
            Endpoint::KrakenV2 => Some(kraken::v2_book_snapshot(name, &self.book, self.at)),
            Endpoint::BybitSpot | Endpoint::BybitLinear => {
                let numbers = bybit::BookNumbers {
                    at: self.at,
                    matched: self.matched,
                    update: self.update,
                    sequence: self.sequence,
                };
                Some(bybit::book_snapshot(topic, &self.book, numbers))
            }
            Endpoint::OkxPublic | Endpoint::OkxBusiness => {
                // Messages before 2023 have no numbers.
                let sequence = (self.update > 0).then_some((-1, i64::try_from(self.update).unwrap_or(i64::MAX)));
                Some(okx::book_snapshot(topic, &self.book, okx::BookNumbers { at: self.at, sequence }))
            }
        }
    }

    /// Binance's snapshot over HTTP.
    pub(super) fn depth(&self, endpoint: Endpoint, limit: usize, now: Timestamp) -> Option<String> {
        self.in_step.then(|| binance::depth_snapshot(endpoint, &self.book, self.update, limit, now))
    }
}

/// The number of a stream in Kraken's v1 acknowledgement.
fn channel_id(acknowledgement: &str) -> Option<u32> {
    #[derive(serde::Deserialize)]
    struct Acknowledged {
        #[serde(rename = "channelID")]
        id: u32,
    }
    serde_json::from_str::<Acknowledged>(acknowledgement).ok().map(|a| a.id)
}
