//! `openmesh-cage-helper`: makes, starts, signals and removes one container with libcontainer, and ends.

use std::process::ExitCode;

fn main() -> ExitCode {
    openmesh_cage_helper::helper_main(std::env::args().skip(1))
}
