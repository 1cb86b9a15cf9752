//! Long runs: what grows, and what must not.
//!
//! [`crate::run_year`] lets a whole network (consensus, ledger, mempool, stores, the validators' attesters, the queues of their
//! tables) run through days or a year of virtual time with a block a minute, windows of ten minutes, six sources, outages, full
//! disks, clients, and senders that never stop to send what cannot be included. [`crate::run_long`] does so for hours or a day at the
//! default pace. What the simulation itself remembers is bounded as well, so that the memory of the process can be judged.
//!
//! Each virtual day, or each ten minutes, leaves a [`Sample`]. What should be flat is judged by the slope of a line through the samples of the
//! second half ([`slope()`]), against the mean of that half: a store that only grows shows as a slope of about its size
//! over the length of the run, whatever the noise.

mod plot;
pub(crate) mod record;

pub use plot::{Curve, picture, svg};
pub use record::{COLUMNS, Column, Sample, csv, read_csv, relative_slope, slope};
