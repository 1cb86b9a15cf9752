//! Mutants of the Xnode's rules (`make mutants`): each breaks one rule, and a test has to notice.
//!
//! # Shape
//! [`list`] is what `xtask/mutants.toml` says, and a check that it is still true of the code. [`tree`] is a copy of the checkout, in which one mutant at a
//! time is applied; [`build`] compiles a test program of it, [`run`] runs one test with an end in any case, [`clean`] takes away what a test has left, and
//! [`report`] tells the outcome.
//!
//! # Why a copy
//! Whoever works in the checkout goes on meanwhile, and a death in the middle leaves no broken rule behind. The copy has artefacts of its own: those of the
//! checkout hold programs (`openmesh-shim`, `openmesh-unpack`, `openmesh-door`, `openmesh-lender`) that others find and run, and one of a mutant must not be among them.
//!
//! # Why not a tool that mutates everything
//! Such a tool finds places that no test reaches. Here it is known which mistake would do the most harm, and in which words a test has to tell it: a test that
//! fails for another reason, as for want of a program, has noticed nothing.

pub mod build;
pub mod clean;
pub mod list;
pub mod report;
pub mod run;
pub mod tree;
