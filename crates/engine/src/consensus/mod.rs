//! Our side of the consensus algorithm: its types, signatures, bytes and the streaming of blocks.

pub(crate) mod codec;
pub(crate) mod context;
pub(crate) mod evidence;
pub(crate) mod node;
pub(crate) mod parts;
mod scheme;
pub(crate) mod signing;
pub(crate) mod types;
