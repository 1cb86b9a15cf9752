//! `openmesh-lender START`: the process that keeps the objects of guests on this machine (B-80).

use std::process::ExitCode;

use openmesh_lender::start;

fn main() -> ExitCode {
    if let Err(cause) = start::close_inherited() {
        eprintln!("openmesh-lender: what is open here cannot be found: {cause}");
        return ExitCode::FAILURE;
    }
    let mut arguments = std::env::args_os().skip(1);
    let (Some(path), None) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: openmesh-lender START\nSTART is a JSON file with places, loans, key and user.");
        return ExitCode::from(2);
    };
    match start::read(path.as_ref()).and_then(|start| start::run(&start)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("openmesh-lender: {error}");
            ExitCode::FAILURE
        }
    }
}
