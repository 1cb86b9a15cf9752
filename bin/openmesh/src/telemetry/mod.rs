//! Structured logs, to standard error or into the file that a supervisor names.

mod bounded;

use std::io::IsTerminal;
use std::path::Path;
use std::sync::Mutex;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use crate::cli::LogFormat;

/// Variable that names the file into which standard error leads, where a supervisor has opened it. It is kept within bounds.
pub const LOG_FILE: &str = "OPENMESH_LOG_FILE";

/// Starts logging. `filter` is in the syntax of `tracing_subscriber::EnvFilter` (`info,openmesh=debug`).
pub fn start(filter: &str, format: LogFormat) {
    // A kernel newer than that library gives it longer attributes, of which it warns with each message.
    let filter = EnvFilter::try_new(format!("netlink_packet_route=error,{filter}")).unwrap_or_else(|error| {
        eprintln!("warning: the log filter {filter:?} is not understood ({error}); using info");
        EnvFilter::new("info")
    });
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(writer());
    let result = match format {
        LogFormat::Text => builder.with_target(true).try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    if let Err(error) = result {
        eprintln!("warning: logging could not be started: {error}");
    }
}

fn writer() -> BoxMakeWriter {
    let Some(path) = std::env::var_os(LOG_FILE) else { return BoxMakeWriter::new(std::io::stderr) };
    let bounds = bounded::Bounds { bytes_max: bounded::LOG_BYTES_MAX, parts_max: bounded::LOG_PARTS_MAX };
    match bounded::BoundedLog::open(Path::new(&path), bounds) {
        Ok(log) => BoxMakeWriter::new(Mutex::new(log)),
        Err(error) => {
            eprintln!("warning: {}: {error}; the log goes to standard error", Path::new(&path).display());
            BoxMakeWriter::new(std::io::stderr)
        }
    }
}
