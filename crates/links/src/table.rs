//! The nft table as the kernel has it, and transactions to it, both by the program `nft`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::elements::{Elements, Set};
use crate::error::LinksError;
use crate::network::Network;
use crate::ruleset::{Hook, chains};

/// Longest part of nft's output in an error, in bytes: its first lines name the fault, the rest repeats the text.
const OUTPUT_BYTES_MAX: usize = 600;

/// The table as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TableState {
    /// It is not there.
    Gone,
    /// Its chains, rules or sets are not those of this version.
    Altered(String),
    /// Its chains, rules and sets are as they should be, with these elements.
    Whole(Elements),
}

/// Rules of a table as far as they tell it apart: base chains with their hooks, and the comments of all rules in their order.
#[derive(Default, PartialEq, Eq)]
struct Skeleton {
    chains: BTreeMap<String, (Option<String>, Vec<String>)>,
    sets: BTreeMap<String, String>,
}

impl Skeleton {
    fn of(network: &Network) -> Skeleton {
        let hook = |Hook { kind, name, priority }: Hook| format!("{kind} {name} {priority} accept");
        let chains = chains(network).into_iter().map(|chain| {
            let rules = chain.rules.iter().map(crate::ruleset::Rule::comment).collect();
            (chain.name.to_string(), (chain.hook.map(hook), rules))
        });
        let types = |set: Set| match set.types() {
            (key, Some(value)) => format!("{key} : {value}"),
            (key, None) => key.to_string(),
        };
        let sets = Set::ALL.map(|set| (set.name().to_string(), types(set)));
        Skeleton { chains: chains.collect(), sets: sets.into() }
    }

    /// The first difference, in words.
    fn difference(&self, found: &Skeleton) -> Option<String> {
        for (name, (hook, rules)) in &self.chains {
            let Some((found_hook, found_rules)) = found.chains.get(name) else {
                return Some(format!("the chain {name} is gone"));
            };
            if hook != found_hook {
                return Some(format!("the hook of the chain {name} differs"));
            }
            if rules != found_rules {
                let missing = rules.iter().find(|rule| !found_rules.contains(rule));
                return Some(match missing {
                    Some(rule) => format!("the chain {name} has no rule \"{rule}\""),
                    None => format!("the chain {name} has other rules, or in another order"),
                });
            }
        }
        let names =
            |skeleton: &Skeleton| skeleton.chains.keys().chain(skeleton.sets.keys()).cloned().collect::<BTreeSet<_>>();
        if let Some(name) = names(found).difference(&names(self)).next() {
            return Some(format!("the chain or set {name} is not one of ours"));
        }
        (self.sets != found.sets).then(|| "its sets differ".to_string())
    }
}

/// Reads the JSON of `nft -j list table`.
///
/// # Errors
/// A reason where it is not such JSON.
pub fn read_table(network: &Network, json: &str) -> Result<TableState, String> {
    let document: Value = serde_json::from_str(json).map_err(|error| error.to_string())?;
    let items = document["nftables"].as_array().ok_or("it has no list nftables")?;
    let mut found = Skeleton::default();
    let mut elements = Elements::default();
    for item in items {
        let Some((kind, item)) = item.as_object().and_then(|item| item.iter().next()) else { continue };
        let text = |key: &str| item[key].as_str().unwrap_or_default().to_string();
        match kind.as_str() {
            "table" if !item["flags"].is_null() => return Ok(TableState::Altered("it is dormant".to_string())),
            "chain" => {
                let hook = (!item["hook"].is_null())
                    .then(|| format!("{} {} {} {}", text("type"), text("hook"), item["prio"], text("policy")));
                found.chains.entry(text("name")).or_default().0 = hook;
            }
            "rule" => found.chains.entry(text("chain")).or_default().1.push(text("comment")),
            "set" | "map" => {
                found.sets.insert(text("name"), types(item));
                let Some(set) = Set::ALL.into_iter().find(|set| set.name() == text("name")) else { continue };
                for element in item["elem"].as_array().into_iter().flatten() {
                    let Some((key, value)) = entry(set, element) else {
                        return Ok(TableState::Altered(format!("the set {} holds {element}", set.name())));
                    };
                    elements.insert(set, key, value);
                }
            }
            _ => {}
        }
    }
    Ok(match Skeleton::of(network).difference(&found) {
        Some(difference) => TableState::Altered(difference),
        None => TableState::Whole(elements),
    })
}

/// Types of a set or map as the ruleset writes them.
fn types(item: &Value) -> String {
    let key = joined(&item["type"]).unwrap_or_default();
    match joined(&item["map"]) {
        Some(value) => format!("{key} : {value}"),
        None => key,
    }
}

/// One element: its key, and its value in a map.
fn entry(set: Set, element: &Value) -> Option<(String, Option<String>)> {
    if set.types().1.is_none() {
        return Some((joined(element)?, None));
    }
    let [key, value] = element.as_array()?.as_slice() else { return None };
    Some((joined(key)?, Some(joined(value)?)))
}

/// Parts of a key or value, joined as in a text.
fn joined(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Array(parts) => Some(parts.iter().map(joined).collect::<Option<Vec<_>>>()?.join(" . ")),
        Value::Object(object) => joined(object.get("concat")?),
        _ => None,
    }
}

/// Runs nft, which is at home in a folder that is not on every path.
fn nft(arguments: &[&str], input: &str) -> Result<Output, LinksError> {
    let start = |program: &str| {
        let mut command = Command::new(program);
        command.args(arguments).env("LC_ALL", "C");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
    };
    let missing = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    let started = start("nft").or_else(|error| if missing(&error) { start("/usr/sbin/nft") } else { Err(error) });
    let run = |mut child: std::process::Child| {
        if let Some(mut stdin) = child.stdin.take() {
            // nft reads all of it before it writes, and one that ends early says why.
            let _ = stdin.write_all(input.as_bytes());
        }
        child.wait_with_output()
    };
    started.and_then(run).map_err(|source| LinksError::NoProgram { program: "nft", package: "nftables", source })
}

/// The beginning of a program's error output.
fn said(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let mut end = text.len().min(OUTPUT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].trim().to_string()
}

/// Looks at the table in the namespace of the calling thread.
///
/// # Errors
/// nft is missing, refuses, or prints something else.
pub fn observe_table(network: &Network) -> Result<TableState, LinksError> {
    let table = network.table();
    match list(&table)? {
        None => Ok(TableState::Gone),
        Some(json) => read_table(network, &json).map_err(|reason| LinksError::Json { table, reason }),
    }
}

/// JSON of a table; `None` where it is not there.
fn list(table: &str) -> Result<Option<String>, LinksError> {
    let output = nft(&["-j", "list", "table", "inet", table], "")?;
    if output.status.success() {
        return Ok(Some(String::from_utf8_lossy(&output.stdout).into_owned()));
    }
    match said(&output) {
        said if said.contains("No such file or directory") => Ok(None),
        output => Err(LinksError::Nft { task: format!("list the table {table}"), output }),
    }
}

/// Returns true when a table is there.
pub(crate) fn exists(table: &str) -> Result<bool, LinksError> {
    Ok(list(table)?.is_some())
}

/// Does a transaction: all of it or nothing.
pub(crate) fn transact(task: &str, text: &str) -> Result<(), LinksError> {
    let output = nft(&["-f", "-"], text)?;
    if output.status.success() {
        return Ok(());
    }
    Err(LinksError::Nft { task: task.to_string(), output: said(&output) })
}

/// Base chains of others that drop whatever they do not know, in words: where there is one at `forward`, instances have no traffic although our table lets it
/// pass, since a drop of one table is final. We never change others' tables; a person does.
///
/// # Errors
/// nft is missing, refuses, or prints something else.
pub fn foreign_drops(network: &Network) -> Result<Vec<String>, LinksError> {
    let output = nft(&["-j", "list", "chains"], "")?;
    if !output.status.success() {
        return Err(LinksError::Nft { task: "list the chains".to_string(), output: said(&output) });
    }
    let document: Value = serde_json::from_slice(&output.stdout)
        .map_err(|error| LinksError::Json { table: "all tables".to_string(), reason: error.to_string() })?;
    let own = network.table();
    let chains = document["nftables"].as_array().into_iter().flatten().map(|item| &item["chain"]);
    let drops = chains.filter(|chain| {
        chain["policy"] == "drop"
            && (chain["hook"] == "forward" || chain["hook"] == "input")
            && chain["table"] != own.as_str()
    });
    let text = |chain: &Value, key: &str| chain[key].as_str().unwrap_or_default().to_string();
    let drops = drops.map(|chain| {
        let [family, table, name, hook] = ["family", "table", "name", "hook"].map(|key| text(chain, key));
        let direction = if hook == "forward" { "from and to instances" } else { "from instances to the host" };
        format!(
            "the chain {name} of the table {family} {table} drops packets {direction} that none of its rules accepts"
        )
    });
    Ok(drops.collect())
}
