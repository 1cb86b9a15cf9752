//! Long runs: what grows, and what must not.
//!
//! [`Year`] drives the ledger's rules, the pool of waiting transactions and the validators' attesters through a year of
//! virtual time, without consensus: a block a minute, windows of ten minutes, six sources, four validators with outages
//! of days, clients, and senders that never stop to send what cannot be included. State and pool are in memory, so that
//! a year takes minutes. [`crate::run_long`] lets a whole network with consensus, stores and failing disks run for hours
//! or a day at the default pace.
//!
//! Each virtual day, or each ten minutes, leaves a [`Sample`]. What should be flat is judged by the slope of a line through the samples of the
//! second half ([`slope`]), against the mean of that half: a store that only grows shows as a slope of about its size
//! over the length of the run, whatever the noise.

mod plot;
pub(crate) mod record;
mod year;

pub use plot::svg;
pub use record::{COLUMNS, Column, Sample, csv, relative_slope};
pub use year::{Year, YearError};
