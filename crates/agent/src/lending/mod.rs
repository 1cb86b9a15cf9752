//! Room for the backups of other machines (B-70, B-74 to B-80): keys, loans, and the process that keeps what guests store.
//!
//! # What it owns
//! The word of a person on who may store how much, and the start of the lender, a process of its own that answers strangers (`openmesh-lender`). The agent
//! never reads what guests have stored, and writes nothing into folders that the lender's user could change.
//!
//! ```text
//! STATE/lending/guest.key      secret key by which this machine is known to its own lenders, of root alone
//!               lender.key     secret key of the lender, read by it before it gives its rights away
//!               book.json      loans, as people gave them
//!               start.json     the file of the lender's start
//!               known.json     the folder of guests that was used before
//!               told/          what the lender is told; its group reads it
//!               own/           the lender's: its lock, its days
//!               guests/        the lender's: objects of guests, where no other folder is named
//!               log            what it says on its standard error
//! RUN/lending/report.json      the lender's: its state
//! ```
//!
//! # On failure
//! The lender goes on without the agent, by the loans that it was told. A dead one is started again with growing pauses; whoever stores meanwhile tries again.

mod book;
mod error;
mod keeping;
mod report;
mod start;
pub mod views;

pub(crate) use book::{Lending, Wish};
pub use error::LendingError;
pub(crate) use keeping::watch;
pub(crate) use start::end;
