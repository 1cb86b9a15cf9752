//! Venues to connect to where there is no internet, or where a test needs the same market twice: a simulated market
//! and a replay of recordings, each served through every venue's own WebSocket and REST protocol.
//!
//! The point of it is that a collector has no mode of its own for this. It opens `wss://HOST/PATH` and `https://HOST/PATH`
//! as ever; only its dialler puts `ws://127.0.0.1:PORT/HOST/PATH` in their place, and one server here routes by the host in
//! the path. What the venues say and how they word it is [`openmesh_dialect::emulate`]; this crate adds the market behind
//! it ([`simulation`], [`replay`]), the sockets, and faults on demand.
//!
//! One lock stands around the market and the list of who listens to what ([`hub`]): a subscription takes its snapshot
//! and joins the stream in one critical section, so that there is neither a gap nor an overlap, which is the property
//! everything else here leans on. A client that reads too slowly is disconnected, as venues do; only a replay "as fast
//! as possible" waits for its listeners instead.
//!
//! Everything binds to the address that it is given and there is no outward traffic.

mod catalogue;
mod config;
mod connection;
mod faults;
mod hub;
mod progress;
pub mod replay;
mod server;
pub mod simulation;
mod source;

pub use catalogue::{Catalogue, CatalogueEntry, SetInfo};
pub use config::{Config, EthereumAnswer, Mode, ReplayConfig, SimulationConfig, Speed};
pub use faults::Faults;
pub use progress::{Progress, SetProgress, SetState};
pub use server::{Error, Handle, start};
