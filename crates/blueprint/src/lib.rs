//! The pure half of the Xnode: what a person writes, what is made of it, and the way from what a machine has to what it should have.
//!
//! Data walks one way. [`document`] reads what a person wrote, with every problem at once; [`compose`] reads a `docker-compose.yml` into the same
//! form; [`resolve`](resolve()) makes every choice and gives a [`Generation`]; [`plan`](plan()) compares it with an [`Inventory`] and gives steps
//! or every refusal. The executor, which is elsewhere, chooses nothing.
//!
//! Pure: no clock, no randomness, no file, no socket. The rules are numbered in `docs/spec/xnode.md`, and the code names them (`X-12`).

pub mod catalogue;
pub mod compose;
pub mod cost;
mod diff;
pub mod document;
pub mod generation;
pub mod gpu;
mod gpu_choice;
pub mod inventory;
pub mod moving;
pub mod nix;
pub mod nixos;
pub mod plan;
pub mod probation;
pub mod refusal;
pub mod resolve;
pub mod retention;
pub mod returning;
pub mod simulate;
pub mod step;
pub mod template;
pub mod text;
pub mod unit;
mod unresolved;

pub use diff::{Change, diff};
pub use document::Document;
pub use generation::Generation;
pub use inventory::Inventory;
pub use plan::{Plan, plan};
pub use refusal::Refusal;
pub use resolve::{resolve, return_to, rollback};
pub use returning::{Returning, returning};
pub use step::Step;
pub use unresolved::Unresolved;
