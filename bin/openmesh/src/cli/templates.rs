//! Command line of templates and of catalogues of other publishers.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Subcommand};
use openmesh_agent::Name;

use super::common::{AgentName, ChangeArgs, Output};

/// A template as a person writes it: `redis`, or `acme/shop` where it is of the catalogue of another publisher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateName {
    /// Catalogue, by the machine's name for it.
    pub catalogue: Option<Name>,
    /// Name.
    pub name: Name,
}

impl FromStr for TemplateName {
    type Err = String;

    fn from_str(text: &str) -> Result<TemplateName, String> {
        let name = |text: &str| text.parse::<Name>().map_err(|error| error.to_string());
        match text.split_once('/') {
            Some((catalogue, template)) => {
                Ok(TemplateName { catalogue: Some(name(catalogue)?), name: name(template)? })
            }
            None => Ok(TemplateName { catalogue: None, name: name(text)? }),
        }
    }
}

impl fmt::Display for TemplateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.catalogue {
            Some(catalogue) => write!(f, "{catalogue}/{}", self.name),
            None => write!(f, "{}", self.name),
        }
    }
}

/// Arguments of `app templates`.
#[derive(Debug, Args)]
pub struct TemplatesArgs {
    /// Template to show; one of another publisher as CATALOGUE/TEMPLATE.
    pub name: Option<TemplateName>,
    /// Only those with this word; several words may be given.
    #[arg(long, value_name = "WORD", conflicts_with = "name")]
    pub search: Vec<String>,
    /// Only those of this category (web, database, monitoring, blockchain, development, data, ai, automation, personal, games, openmesh).
    #[arg(long, value_name = "CATEGORY", conflicts_with = "name")]
    pub category: Option<String>,
    /// Agent.
    #[command(flatten)]
    pub agent: AgentName,
    /// Output.
    #[command(flatten)]
    pub output: Output,
}

/// Arguments of `app upgrade`.
#[derive(Debug, Args)]
pub struct UpgradeArgs {
    /// Application.
    pub name: Name,
    /// Version of its template; without it the newest that may take the place of the present one.
    #[arg(long, value_name = "VERSION")]
    pub version: Option<u32>,
    /// Change.
    #[command(flatten)]
    pub change: ChangeArgs,
}

/// Arguments of `app catalogues`.
#[derive(Debug, Args)]
pub struct CataloguesArgs {
    /// Something else than a look at the copies of this machine.
    #[command(subcommand)]
    pub command: Option<CataloguesCommand>,
    /// Agent.
    #[command(flatten)]
    pub agent: AgentName,
    /// Output.
    #[command(flatten)]
    pub output: Output,
}

/// Catalogues of other publishers.
#[derive(Debug, Subcommand)]
pub enum CataloguesCommand {
    /// List the catalogues that the document names: publisher, age of the copy, what is wrong (what is done without a word, too).
    List {
        /// Agent.
        #[command(flatten)]
        agent: AgentName,
        /// Output.
        #[command(flatten)]
        output: Output,
    },
    /// Fetch a catalogue now; all of them without a name.
    Refresh {
        /// Catalogue.
        name: Option<Name>,
        /// Agent.
        #[command(flatten)]
        agent: AgentName,
        /// Output.
        #[command(flatten)]
        output: Output,
    },
}

/// A publisher's own catalogue: a folder with NAME@VERSION.yaml and NAME.svg, and a signed index.
#[derive(Debug, Subcommand)]
pub enum CatalogueCommand {
    /// Make a publisher's key, write it to a new file, and print its public half, which machines name in their documents.
    Key {
        /// File to write; must not exist.
        file: PathBuf,
    },
    /// Look at every template of a folder, and sign its index. What goes to a web server is the folder as it is then.
    Sign {
        /// Folder of the catalogue.
        folder: PathBuf,
        /// File with the publisher's key.
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// Name of the catalogue; that of the index before without it.
        #[arg(long, value_name = "NAME")]
        name: Option<Name>,
        /// Publisher, as people read it; that of the index before without it.
        #[arg(long, value_name = "WORDS")]
        publisher: Option<String>,
        /// Days for which machines take the index: sign again before they are over.
        #[arg(long, value_name = "DAYS", default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=400))]
        days: u32,
        /// Output.
        #[command(flatten)]
        output: Output,
    },
    /// Look at a folder as a machine does: signature, end, and every template.
    Verify {
        /// Folder of the catalogue.
        folder: PathBuf,
        /// The publisher's public key, 64 hexadecimal digits.
        #[arg(long, value_name = "KEY")]
        key: String,
        /// Output.
        #[command(flatten)]
        output: Output,
    },
}
