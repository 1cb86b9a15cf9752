//! Processes of applications as people see them: without the values of secrets, and with the share of a processor that each has had lately.

mod hide;
mod shares;

pub(crate) use hide::Hidden;
pub(crate) use shares::{Looks, Ticks, share};
