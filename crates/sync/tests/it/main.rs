//! Joining, with peers in memory: honest ones, liars of every kind, silent and busy ones.

#![allow(clippy::unwrap_used, reason = "a test says what failed by failing")]

mod chain;
mod join;
mod survey;
mod trusted;
mod twin;
mod walk;
mod world;
