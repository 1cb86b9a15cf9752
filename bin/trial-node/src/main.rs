//! The program of this product with the rule sets of the trial, for tests of upgrades on real processes.
//!
//! How many of them it knows is in the environment, so that one file is both the old program and the newer one: with 1 it is
//! `openmesh` itself.

use std::process::ExitCode;

/// Names the newest rule set that this program knows; all of the trial where it is not set.
const NEWEST: &str = "OPENMESH_TRIAL_RULES";

fn main() -> ExitCode {
    let newest = match std::env::var(NEWEST).map(|text| text.parse::<u32>()) {
        Ok(Ok(newest)) => newest,
        Err(std::env::VarError::NotPresent) => u32::MAX,
        Ok(Err(_)) | Err(std::env::VarError::NotUnicode(_)) => {
            eprintln!("error: {NEWEST}: the version of a rule set is expected");
            return ExitCode::from(2);
        }
    };
    match openmesh_trial::rule_sets(newest) {
        Ok(sets) => openmesh::run(sets),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
