//! Command line of `openmesh app import`.

use std::path::PathBuf;

use clap::Args;

use super::common::Output;

/// Arguments of `app import`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// Compose file (docker-compose.yml); - is standard input.
    pub file: PathBuf,
    /// Part that can be done without, by its key in all services or by its path (build, services.web.build); may be given several times.
    #[arg(long, value_name = "KEY")]
    pub without: Vec<String>,
    /// File to write the document to, which must not exist yet; it is written where nothing unsupported is left.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Variable of the compose file, before those of the shell and of the file .env beside it; may be given several times.
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    pub set: Vec<(String, String)>,
    /// Profile whose services are wanted; may be given several times.
    #[arg(long, value_name = "NAME")]
    pub profile: Vec<String>,
    /// Image of a service that would be built from a folder; may be given several times.
    #[arg(long, value_name = "SERVICE=IMAGE", value_parser = pair)]
    pub image: Vec<(String, String)>,
    /// Output.
    #[command(flatten)]
    pub output: Output,
}

fn pair(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_string(), value.to_string())),
        _ => Err("NAME=VALUE is expected"),
    }
}
