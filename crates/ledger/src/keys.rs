//! Keys of the state: a readable prefix, then parts of fixed length or without `/`. Numbers are big-endian, so that a
//! scan of a prefix comes in their order. Each module declares its own; the layout is written down in
//! `docs/spec/state.md`, and a golden test holds it.

pub use crate::modules::accounts::keys::*;
pub use crate::modules::beacon::keys::*;
pub use crate::modules::deposits::keys::*;
pub use crate::modules::epochs::keys::*;
pub use crate::modules::evidence::keys::*;
pub use crate::modules::fees::keys::*;
pub use crate::modules::incidents::keys::*;
pub use crate::modules::sources::keys::*;
pub use crate::modules::stamps::keys::*;
pub use crate::modules::supply::keys::*;
pub use crate::modules::upgrades::keys::*;
pub use crate::modules::validators::keys::*;
pub use crate::modules::windows::keys::*;

/// The network's [`crate::Params`].
pub const PARAMS: &[u8] = b"params";
/// The network's number, `u64`.
pub const CHAIN_ID: &[u8] = b"chain-id";
/// [`crate::BlockMeta`] of the last block.
pub const BLOCK: &[u8] = b"block";
