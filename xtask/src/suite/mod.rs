//! Every test of the workspace, several programs at a time (`make test`): those that wait beside those that compute.
//!
//! `cargo test` runs one program after the other, so that a machine is idle while a program waits for a probation or a drain. Here programs run side by side as
//! far as the machine's cores go; `xtask/tests.toml` says of a program how many of its tests run at once, how much it computes, what of it runs apart, and what
//! has to be alone on the machine. What is not named there is run like anything else: nothing can be left out.

pub mod family;
pub mod jobs;
pub mod list;
pub mod machine;
pub mod order;
pub mod programs;
pub mod report;
pub mod run;
