//! Joining a running network: what a node offers to those who join, and a join by snapshot.
//!
//! # What it owns
//! The questions and answers between a node that joins and its peers ([`Question`], `docs/spec/sync.md`), those of one that does not know the
//! genesis yet ([`Hello`], `docs/spec/operators.md`), the light client's way to a snapshot's header, and the fetching of its chunks. It does not know the network: peers are three functions ([`Peers`]).
//!
//! # Why it is shaped so
//! Nothing is prepared for a snapshot. Chunks are read from the state's tree as it stood after a height, so a node offers the newest
//! two heights that are multiples of [`Config::interval`](serve::Snapshots), which are the same ones at every node. There is no
//! manifest to be lied about either: a chunk is proved against the state root in a header, and the header by the signatures of a
//! set of validators that the light client has walked to from the genesis or from a block that a person trusts.
//!
//! # Limits
//! Each peer has [`QUESTIONS_EACH`](join) open questions, of all peers together [`QUESTIONS_ALL`](join); a chunk has at most 4 MiB.
//!
//! # On failure
//! What a peer sent and does not prove itself names that peer: it is logged, counted, shut out and not asked again. A peer that is
//! silent, busy or has nothing is asked later, and so is one whose headers are newer than this program, which is said to its operator.
//! Only this node's own disk ends a join, and a trusted block that cannot be right.

mod clocks;
mod error;
mod hello;
mod join;
mod metrics;
mod newer;
mod parts;
mod peers;
mod progress;
mod serve;
mod survey;
mod trusted;
mod twin;
mod walk;
mod wire;

pub use clocks::clocks;
pub use error::{JoinError, Lie, Refusal};
pub use hello::{
    GENESIS_BYTES_MAX, GENESIS_PART_BYTES, GenesisFault, GenesisParts, Greeter, Hello, HelloQuestion, check_genesis,
    check_network, clock_offset_ms, median_ms, read_who,
};
pub use join::{Deps, FALLBACK_TIME, JoinConfig, join};
pub use metrics::Metrics;
pub use peers::Peers;
pub use progress::{Progress, Step};
pub use serve::{SNAPSHOT_INTERVAL_HEIGHTS, Snapshots, answer_of_a_new_node};
pub use survey::{Own, Way, blocks_are_gone, survey};
pub use trusted::TrustError;
pub use twin::{Begin, look_time, signs_elsewhere};
pub use walk::{Trust, TrustedBlock};
pub use wire::{Anchor, Offer, Question, SnapshotOffer};
