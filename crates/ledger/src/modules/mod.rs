//! The modules of the ledger: one folder for each subject, with its records, keys, parameters, actions, checks, effects,
//! events and errors. The pipeline above them (`dispatch`, `build`, `execute`, `mempool`) knows only their checks and
//! effects. `docs/guide/adding-a-module.md` says how one is added.

pub mod accounts;
pub mod beacon;
pub mod deposits;
pub mod epochs;
pub mod evidence;
pub mod fees;
pub mod incidents;
pub mod sources;
pub mod stamps;
pub mod supply;
pub mod upgrades;
pub mod validators;
pub mod windows;
