//! Tests on real files, sockets and processes.

mod bench;
mod crash;
mod files;
mod hostile;
mod pull;
mod recipe;
mod registry;
mod store;
mod together;
mod unpack;
