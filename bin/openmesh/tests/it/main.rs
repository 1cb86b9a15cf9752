//! Whole networks of real processes on loopback, and the command line as a person uses it. One binary, because linking
//! is what costs; each test has its own folder, its own free ports, and its own network.

mod bad_input;
mod chaos;
mod command_line;
mod copier;
mod full_disk;
mod joining;
mod liar;
mod live;
mod live_venues;
mod network;
mod path;
mod siege;
mod supervisor;
mod xnode_access;
mod xnode_export;
mod xnode_service;
mod xnode_up;
