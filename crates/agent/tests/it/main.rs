//! An agent as a process of a test: what a person asks of it, over its socket.

mod access;
mod acme;
mod alerts;
mod authority;
mod backups;
mod contract;
mod doors;
mod drain;
mod early;
mod exec;
mod files;
mod hook;
mod imports;
mod joins;
mod neighbours;
mod pantry;
mod pauses;
mod protocols;
mod restarts;
mod returns;
mod service;
mod takeover;
mod templates;
mod uninstall;
mod visits;
mod world;
