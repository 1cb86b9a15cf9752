//! Fees: the base fee that follows the load and is burnt, the tip of the proposer, and what a transaction reserves.
//! `docs/spec/fees.md`.

mod base_fee;
mod charge;
mod close;
mod collected;
mod events;
mod history;
pub mod keys;
mod limits;
mod offer;
mod params;
mod records;

pub use base_fee::{BlockLoad, next_base_fee};
pub use charge::{Charge, Fee, FeeEstimate, estimate_fee, fee_of, tip_of_weight, weight_fee};
pub(crate) use close::close;
pub(crate) use collected::Collected;
pub use events::FeesEvent;
pub use history::{BlockFees, block_fees};
pub use limits::*;
pub use offer::FeeOffer;
pub use params::FeesParams;
pub use records::base_fee;
