//! An agent as a process of a test: what a person asks of it, over its socket.

mod access;
mod backups;
mod doors;
mod early;
mod exec;
mod imports;
mod pantry;
mod protocols;
mod returns;
mod service;
mod templates;
mod takeover;
mod uninstall;
mod world;
