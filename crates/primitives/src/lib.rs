//! Values that every room of the house shares: decimals, amounts, addresses, keys, digests, content
//! identifiers, symbols, timestamps and the canonical encoding.
//!
//! This crate is pure (no file, no socket; randomness for new keys and the clock for [`Timestamp::now`] are its two exceptions, so that other pure crates need
//! none) and is the only one that knows the cryptography libraries.
//! Everything here has one canonical byte form ([`canonical`]), because these values end up in chunks that
//! validators must agree on byte for byte, and in the ledger's state.

mod address;
mod amount;
pub mod canonical;
mod content_id;
mod decimal;
mod digest;
pub mod eip712;
mod keys;
mod report;
mod split_mix;
mod symbol;
mod timestamp;
mod vrf;

pub use address::{Address, AddressError};
pub use amount::{Amount, AmountError, OPEN_DECIMALS};
pub use content_id::{ContentId, ContentIdError};
pub use decimal::{Decimal, DecimalError};
pub use digest::{Digest, DigestError, Sha256, keccak256, sha256};
pub use keys::{AccountKey, AccountSignature, KeyError, ValidatorKey, ValidatorPublicKey, ValidatorSignature};
pub use report::{report, root_cause};
pub use split_mix::SplitMix64;
pub use symbol::{Contract, Symbol, SymbolError};
pub use timestamp::{Timestamp, TimestampError};
pub use vrf::{VrfOutput, VrfProof};

/// Height of a block; the first block after genesis has height 1.
pub type Height = u64;
