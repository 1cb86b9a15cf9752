//! Keys of fees.

/// Key of the base fee of the next block, for a unit of weight, [`openmesh_primitives::Amount`].
pub const BASE_FEE: &[u8] = b"base-fee";
