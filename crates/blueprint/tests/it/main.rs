//! Tests of the pure half of the Xnode.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod choices;
mod compose;
mod compose_shapes;
mod compose_table;
mod document;
mod generation;
mod golden;
mod gpus;
mod http;
mod moving;
mod nix;
mod nixos;
mod others;
mod plan;
mod plan_properties;
mod repairs;
mod restarts;
mod returning;
mod template;
mod world;
