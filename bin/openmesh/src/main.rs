//! The program of this product: it knows the rule sets of the product.

use std::process::ExitCode;

fn main() -> ExitCode {
    openmesh::run(openmesh_ledger::RuleSets::built_in())
}
