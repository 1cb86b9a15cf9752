//! The governor: everything that keeps one query from taking more than its share.
//!
//! | resource | module | means |
//! | --- | --- | --- |
//! | time | [`guard`] | a deadline and a stop that all parts of a query ask on their way |
//! | time of planning | [`planning`] | the guard is asked before each rule |
//! | processor, between batches | [`operators`] | the guard is asked for each batch and each pair of a join |
//! | processor, within a function | [`steps`] | steps are counted from the arguments, long calls are cut in parts |
//! | memory of operators | [`memory`], [`windows`] | one pool for all queries, a limit for each |
//! | memory of a function's result | [`functions`] | the result's size is bounded from the arguments |
//! | time and memory of window functions | [`frames`] | calls that need the square of their input are refused |
//! | bytes of a row or batch | [`row_bytes`], [`unnest`], [`operators`] | wide batches are cut, rows that are too wide refused |

pub(crate) mod frames;
pub(crate) mod functions;
pub(crate) mod guard;
pub(crate) mod memory;
pub(crate) mod operators;
mod passthrough;
pub(crate) mod planning;
mod row_bytes;
mod steps;
mod unnest;
mod windows;
