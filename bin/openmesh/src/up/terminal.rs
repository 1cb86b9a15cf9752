//! Output of `up` and `down` for the person at the terminal.

use std::io::Write as _;

/// Prints a line. A reader that has gone away (`make up | head`) is no reason to stop the network.
pub fn say(line: std::fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// The command that stops the networks in this folder (none: the usual one).
pub fn down_command(home: Option<&std::path::Path>) -> String {
    match home {
        Some(home) => format!("{} down --home {}", command(), home.display()),
        None => format!("{} down", command()),
    }
}

/// This program as a person calls it: by its name where the shell finds this very file by it, else by its path.
pub fn command() -> String {
    const NAME: &str = "openmesh";
    let Ok(own) = std::env::current_exe() else { return NAME.to_owned() };
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_own = |dir: std::path::PathBuf| std::fs::canonicalize(dir.join(NAME)).is_ok_and(|found| found == own);
    match std::env::split_paths(&path).any(is_own) {
        true => NAME.to_owned(),
        false => own.display().to_string(),
    }
}
