//! `openmesh-notices`: prints the notices of a release (`make release`).

use std::io::Write as _;
use std::process::ExitCode;

use xtask::notices::{crates, notices, npm};

fn main() -> ExitCode {
    match text() {
        Ok(text) if std::io::stdout().write_all(text.as_bytes()).is_ok() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(fault) => {
            eprintln!("error: {fault}");
            ExitCode::FAILURE
        }
    }
}

fn text() -> Result<String, Box<dyn std::error::Error>> {
    let mut packages = crates(&xtask::metadata(true)?, &xtask::linked()?);
    packages.extend(npm(&xtask::root().join("studio"))?);
    Ok(notices(packages)?)
}
