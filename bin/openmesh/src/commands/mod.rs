//! The subcommands: each reads its arguments, calls a room, prints.

pub mod account;
mod agent;
pub mod app;
mod ceremony;
pub mod chain;
mod client;
pub mod doctor;
pub mod genesis;
pub mod init;
pub mod market;
mod proved;
mod rehearse;
pub mod sql;
pub mod stamp;
#[cfg(test)]
#[allow(dead_code, reason = "the store's tests use more of it")]
#[path = "../../../../crates/storage/tests/it/chain.rs"]
mod stored_chain;
pub mod supply;
pub mod upgrade;
pub mod validator;
pub mod venues;
pub mod verify;
pub mod xnode;
mod xnode_access;
mod xnode_agent;
mod xnode_alerts;
mod xnode_backup;
mod xnode_catalogue;
mod xnode_check;
mod xnode_doors;
mod xnode_drain;
mod xnode_export;
mod xnode_join;
mod xnode_lend;
mod xnode_service;
