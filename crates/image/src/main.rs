//! `openmesh-unpack`: the caged process that unpacks one layer. Started by the store, never by a person.

use std::process::ExitCode;

fn main() -> ExitCode {
    match std::env::args().next_back().filter(|_| std::env::args().len() > 1) {
        Some(job) => openmesh_image::unpack::helper_main(&job),
        None => {
            eprintln!("openmesh-unpack JOB    unpacks standard input into the working folder; JOB is JSON");
            ExitCode::from(2)
        }
    }
}
