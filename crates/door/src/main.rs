//! `openmesh-door START`: the process that carries the traffic of an Xnode.

use std::process::ExitCode;

use openmesh_door::start;

fn main() -> ExitCode {
    if let Err(cause) = start::close_inherited() {
        eprintln!("openmesh-door: what is open here cannot be found: {cause}");
        return ExitCode::FAILURE;
    }
    let mut arguments = std::env::args_os().skip(1);
    let (Some(path), None) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: openmesh-door START\nSTART is a JSON file with `socket`, `document` and `user`.");
        return ExitCode::from(2);
    };
    match start::read(path.as_ref()).and_then(|start| start::run(&start)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("openmesh-door: {error}");
            ExitCode::FAILURE
        }
    }
}
