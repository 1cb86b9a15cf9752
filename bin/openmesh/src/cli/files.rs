//! Command line of files and alerts.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use openmesh_agent::Name;

use super::common::{AgentName, Output};

/// A path in a volume, or in the root of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilePlace {
    /// Volume; none for the root.
    pub volume: Option<Name>,
    /// Path below it; what is no plain text in it as \xNN.
    pub path: String,
}

impl std::str::FromStr for FilePlace {
    type Err = String;

    fn from_str(text: &str) -> Result<FilePlace, String> {
        let (volume, path) = text.split_once(':').unwrap_or((text, ""));
        let volume = match volume {
            "" if text.is_empty() => return Err("VOLUME:PATH is expected, or :PATH for the root".into()),
            "" => None,
            volume => {
                let parsed = volume.parse::<Name>().map_err(|error| {
                    format!("`{volume}` is no volume, and VOLUME:PATH is expected, or :PATH for the root: {error}")
                })?;
                Some(parsed)
            }
        };
        Ok(FilePlace { volume, path: path.into() })
    }
}

/// Arguments of `app files`.
#[derive(Debug, Args)]
pub struct FilesArgs {
    /// Application.
    pub name: Name,
    /// Something else than a look at its volumes.
    #[command(subcommand)]
    pub command: Option<FilesCommand>,
    /// Agent.
    #[command(flatten)]
    pub agent: AgentName,
    /// Output.
    #[command(flatten)]
    pub output: Output,
}

/// Acts on files. A place is VOLUME:PATH, or :PATH for the root, which is only read.
#[derive(Debug, Subcommand)]
pub enum FilesCommand {
    /// List a folder.
    List {
        /// Folder.
        place: FilePlace,
        /// Agent.
        #[command(flatten)]
        agent: AgentName,
        /// Output.
        #[command(flatten)]
        output: Output,
    },
    /// Copy a file out of the application.
    Get {
        /// File.
        place: FilePlace,
        /// File on this machine, which is not written over; - is standard output.
        to: PathBuf,
        /// Agent.
        #[command(flatten)]
        agent: AgentName,
    },
    /// Copy a file into a volume; it belongs to the application's user and takes its place as a whole.
    Put {
        /// File on this machine.
        from: PathBuf,
        /// File in a volume.
        place: FilePlace,
        /// Replace the file with this tag (the list shows tags), and refuse if it has changed since.
        #[arg(long, value_name = "TAG", conflicts_with = "force")]
        replace: Option<String>,
        /// Replace whatever file is there.
        #[arg(long)]
        force: bool,
        /// Agent.
        #[command(flatten)]
        agent: AgentName,
        /// Output.
        #[command(flatten)]
        output: Output,
    },
    /// Make a folder.
    Mkdir {
        /// Folder.
        place: FilePlace,
        /// Agent.
        #[command(flatten)]
        agent: AgentName,
    },
    /// Give a file or folder another name in its volume.
    Move {
        /// File or folder.
        place: FilePlace,
        /// New path, which is free.
        to: String,
        /// Agent.
        #[command(flatten)]
        agent: AgentName,
    },
    /// Remove a file, a link or an empty folder.
    Remove {
        /// File, link or folder.
        place: FilePlace,
        /// A folder goes with everything in it.
        #[arg(long)]
        all: bool,
        /// Agent.
        #[command(flatten)]
        agent: AgentName,
    },
}

/// Arguments of `xnode alerts`.
#[derive(Debug, Args)]
pub struct AlertsArgs {
    /// Note that somebody knows of this open alert.
    #[arg(long, value_name = "NUMBER", conflicts_with = "test")]
    pub acknowledge: Option<u64>,
    /// Send a test to this webhook of the document.
    #[arg(long, value_name = "WEBHOOK")]
    pub test: Option<Name>,
    /// Agent.
    #[command(flatten)]
    pub agent: AgentName,
    /// Output.
    #[command(flatten)]
    pub output: Output,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_name_a_volume_or_the_root() {
        let place = |text: &str| text.parse::<FilePlace>();
        let data = Some("data".parse::<Name>().unwrap());
        assert_eq!(place("data:a/b").unwrap(), FilePlace { volume: data.clone(), path: "a/b".into() });
        assert_eq!(place("data").unwrap(), FilePlace { volume: data.clone(), path: String::new() });
        assert_eq!(place("data:a:b").unwrap(), FilePlace { volume: data, path: "a:b".into() });
        assert_eq!(place(":/etc/hosts").unwrap(), FilePlace { volume: None, path: "/etc/hosts".into() });
        assert!(place("").is_err() && place("No Name:x").is_err());
        assert!(place("/srv").unwrap_err().contains("VOLUME:PATH"));
    }
}
