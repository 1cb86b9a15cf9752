//! A replay of recordings through the venues' own protocols.
//!
//! Every set has a clock of its own, which starts with the server (or once enough have subscribed, see
//! [`ReplayConfig::hold_subscribers`](crate::ReplayConfig)) and goes at the chosen speed. A recorded frame goes out
//! verbatim at its time to whoever is subscribed to its stream. A client that comes at time t is acknowledged as was
//! recorded; for a book it gets a snapshot that is made from the recorded book's state at t, then the frames after t.
//! Before the recorded snapshot there is no state: it gets the recorded frames themselves, the snapshot among them. Depth
//! snapshots over HTTP likewise: before its time the recorded one is served, whose number lies in the future, so that
//! a client by Binance's rule drops what it buffered up to it.
//!
//! What belongs to one connection is not replayed but spoken anew: acknowledgements, pongs, heartbeats and Coinbase's
//! `sequence_num`. A client is matched to the recorded stream of the same instrument and kind whatever speed,
//! depth, aggregation or interval it names, because a recording holds one of each; Kraken's recordings, made through v1,
//! are played at the v2 address as well, where they stay v1 messages: v2 has ids of trades, which nobody recorded. After the end of a set connections
//! stay open with the venue's signs of life.

mod book;
mod instruments;
mod load;
mod player;
mod state;

pub use load::{LoadError, Recording, recorded_sets};
pub use player::catalogue;
pub(crate) use player::start;
