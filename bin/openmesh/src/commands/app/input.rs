//! Texts that a command names: a file, or standard input.

use std::io::Read as _;
use std::path::Path;

use crate::failure::Failure;

/// The text of a file; `-` is standard input.
pub fn read(path: &Path) -> Result<String, Failure> {
    if path != Path::new("-") {
        return std::fs::read_to_string(path).map_err(|error| Failure::from_display(path.display(), &error));
    }
    let mut text = String::new();
    let read = std::io::stdin().lock().read_to_string(&mut text);
    read.map_err(|error| Failure::from_display("standard input", &error))?;
    Ok(text)
}
