//! The network of an agent's instances (clauses of `docs/spec/xnode.md`).
//!
//! # What it owns
//! Of each agent: one nft table, and of each instance one veth pair. [`Network`] is what is wanted, checked; [`Inventory`] is what is found;
//! [`Network::faults`] is the difference; [`converge`] makes it go away. Everything but `observe`, `converge` and `remove` is pure.
//!
//! # Why no bridge
//! Every packet of an instance is routed by the host, from a link with one address to a link with one address. On a bridge, ports that do not see each other
//! (isolated ones) are needed so that packets pass the rules, and then an instance that reaches another one by a published port is cut off wherever
//! `br_netfilter` is loaded: its packet is given another target before the bridge forwards it, and the bridge refuses to forward between isolated ports. Without a bridge
//! there is nothing to isolate, no shared layer 2 on which neighbours are claimed or overheard, no limit of 1,024 ports, and a source address is
//! bound to a link by one element of a set.
//!
//! # Why not on one's own
//! Rules are texts for the program `nft`, because a person can read and test them, and because its transactions are atomic. Links, addresses, routes and
//! rates are requests of netlink, because an agent looks at them every five seconds and a program for each look would cost more than the look. For the same
//! reason nft lists rules only after somebody has changed some ([`Listings`]).
//!
//! # On failure
//! An effect that fails leaves the effects before it done; the next round goes on from what it finds. A link that is made and not set up has no address and is
//! down. A table that somebody flushed leaves instances unfiltered until it is found, at most five seconds later.
//!
//! # Known limits
//! Instances have no IPv6. A chain of somebody else that drops forwarded packets by policy drops ours: [`foreign_drops`] names it. What a
//! published port leads to is one instance; several are the door's business.

mod converge;
mod elements;
mod ends;
mod error;
mod flows;
mod generation;
mod inventory;
mod listings;
mod message;
pub mod names;
mod namespace;
mod netlink;
mod network;
mod others;
mod rate;
mod ruleset;
mod settings;
mod sockets;
mod table;
pub mod texts;

pub use converge::{Context, converge, remove};
pub use elements::{Change, Elements, Set, transaction};
pub use ends::{End, EndFault, EndSpec, Kind, Way};
pub use error::{Effect, LinksError};
pub use inventory::{Fault, Inside, Inventory, Namespaces, observe};
pub use listings::{Listings, observe_table};
pub use namespace::Namespace;
pub use network::{Allocations, Endpoint, Network, Problem, RATE_BITS_MIN, Target};
pub use others::{others_ports, read_others};
pub use ruleset::{COMMENT_BYTES_MAX, CONNECTIONS_MAX, Chain, Hook, Rule, chains, replacement, ruleset};
pub use sockets::waiting;
pub use table::{TableState, foreign_drops, read_table};
