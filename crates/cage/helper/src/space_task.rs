//! Command lines of namespaces and roots.

use std::path::PathBuf;

use crate::HelperError;
use crate::space::{self, Ids, Root};

/// Words that are tasks of this module.
pub const VERBS: [&str; 5] = ["hold", "namespaces", "namespaces-remove", "root", "root-remove"];

/// A command line, read.
#[derive(Debug, Default)]
struct Words {
    ids: Option<Ids>,
    user: Option<PathBuf>,
    network: Option<PathBuf>,
    at: Option<PathBuf>,
    upper: Option<PathBuf>,
    work: Option<PathBuf>,
    lowers: Vec<PathBuf>,
}

impl Words {
    fn read(arguments: &[String]) -> Result<Words, HelperError> {
        let mut words = Words::default();
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let mut value = || rest.next().ok_or_else(|| usage(format!("{argument} lacks its value")));
            match argument.as_str() {
                "--ids" => {
                    let text = value()?;
                    let ids = Ids::parse(text)
                        .ok_or_else(|| usage(format!("{text} is no FIRST:COUNT of ids above 65535")))?;
                    words.ids = Some(ids);
                }
                "--user" => words.user = Some(absolute(value()?)?),
                "--net" => words.network = Some(absolute(value()?)?),
                "--at" => words.at = Some(absolute(value()?)?),
                "--upper" => words.upper = Some(absolute(value()?)?),
                "--work" => words.work = Some(absolute(value()?)?),
                option if option.starts_with('-') => return Err(usage(format!("unknown option {option}"))),
                lower => words.lowers.push(absolute(lower)?),
            }
        }
        Ok(words)
    }
}

fn usage(text: String) -> HelperError {
    HelperError::Usage(text)
}

fn absolute(text: &str) -> Result<PathBuf, HelperError> {
    let path = PathBuf::from(text);
    if path.is_absolute() { Ok(path) } else { Err(usage(format!("{text} does not begin with /"))) }
}

/// Does the task of a command line that begins with one of [`VERBS`].
///
/// # Errors
/// The command line is wrong, or the kernel's word.
pub fn run(arguments: &[String]) -> Result<(), HelperError> {
    let incomplete = || usage(format!("{} is no whole task", arguments.join(" ")));
    let (verb, rest) = arguments.split_first().ok_or_else(incomplete)?;
    let words = Words::read(rest)?;
    let both = || words.user.as_deref().zip(words.network.as_deref()).ok_or_else(incomplete);
    match verb.as_str() {
        "hold" => space::stay(words.ids.ok_or_else(incomplete)?),
        "namespaces" => {
            let (user, network) = both()?;
            space::make_namespaces(words.ids.ok_or_else(incomplete)?, user, network)
        }
        "namespaces-remove" => {
            let (user, network) = both()?;
            space::remove_namespaces(user, network)
        }
        "root" => {
            if words.lowers.is_empty() || words.upper.is_some() != words.work.is_some() {
                return Err(incomplete());
            }
            let root = Root {
                user: words.user.clone().ok_or_else(incomplete)?,
                at: words.at.clone().ok_or_else(incomplete)?,
                lowers: words.lowers.clone(),
                upper: words.upper.clone().zip(words.work.clone()),
            };
            root.make()
        }
        _ => space::remove_root(words.at.as_deref().ok_or_else(incomplete)?),
    }
}
