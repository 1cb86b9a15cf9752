//! The nft table as the kernel has it, and transactions to it, both by the program `nft`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::elements::{Elements, Set};
use crate::error::LinksError;
use crate::network::Network;
use crate::ruleset::{COUNTED, Hook, chains};

/// Longest part of nft's output in an error, in bytes: its first lines name the fault, the rest repeats the text.
const OUTPUT_BYTES_MAX: usize = 600;
/// Time for nft, milliseconds: it takes some ten, and waits for the kernel's lock where others change tables by the thousand.
const NFT_MS_MAX: u64 = 60_000;
/// Pause between looks for the end of a program that has closed its output, milliseconds: it is on its way out.
const END_LOOK_MS: u64 = 1;
/// Names of the tables of the older interface that are loaded in the thread's namespace.
const LEGACY_TABLES: &str = "/proc/thread-self/net/ip_tables_names";

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
        let counted = (COUNTED.0.to_string(), COUNTED.1.to_string());
        let sets = Set::ALL.map(|set| (set.name().to_string(), types(set))).into_iter().chain([counted]);
        Skeleton { chains: chains.collect(), sets: sets.collect() }
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
pub(crate) fn entry(set: Set, element: &Value) -> Option<(String, Option<String>)> {
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

/// Runs nft.
pub(crate) fn nft(arguments: &[&str], input: &str) -> Result<Output, LinksError> {
    run(("nft", "nftables"), arguments, input, NFT_MS_MAX)
}

/// Runs a program of a package, which is at home in a folder that is not on every path.
fn run(
    (program, package): (&'static str, &'static str),
    arguments: &[&str],
    input: &str,
    ms_max: u64,
) -> Result<Output, LinksError> {
    let start = |path: &str| {
        let mut command = Command::new(path);
        command.args(arguments).env("LC_ALL", "C");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
    };
    let missing = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    let at_home = || start(&format!("/usr/sbin/{program}"));
    let started = start(program).or_else(|error| if missing(&error) { at_home() } else { Err(error) });
    let output = started.and_then(|child| finish(child, input, ms_max));
    let error = |source| LinksError::NoProgram { program, package, source };
    output.map_err(error)?.ok_or(LinksError::Late { program, ms: ms_max })
}

/// Gives a program its input, takes what it says and waits for its end; none where that takes longer than given, and it was killed.
fn finish(mut child: Child, input: &str, ms_max: u64) -> io::Result<Option<Output>> {
    let until = Instant::now() + Duration::from_millis(ms_max);
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    std::thread::scope(|scope| {
        scope.spawn(move || {
            // A program that ends early says why.
            stdin.map(|mut stdin| stdin.write_all(input.as_bytes()))
        });
        let (said, words) = channel();
        for (place, pipe) in [(0_usize, stdout.map(boxed)), (1, stderr.map(boxed))] {
            let said = said.clone();
            scope.spawn(move || {
                let mut bytes = Vec::new();
                let read = pipe.map_or(Ok(0), |mut pipe| pipe.read_to_end(&mut bytes));
                let _ = said.send((place, read.map(|_| bytes)));
            });
        }
        let mut output = [Vec::new(), Vec::new()];
        for _ in 0..output.len() {
            let Ok((place, bytes)) = words.recv_timeout(until.saturating_duration_since(Instant::now())) else {
                // Its pipes close, so that the threads end.
                child.kill()?;
                return child.wait().map(|_| None);
            };
            output[place] = bytes?;
        }
        let status = loop {
            match child.try_wait()? {
                Some(status) => break status,
                None if Instant::now() > until => {
                    child.kill()?;
                    return child.wait().map(|_| None);
                }
                None => std::thread::sleep(Duration::from_millis(END_LOOK_MS)),
            }
        };
        let [stdout, stderr] = output;
        Ok(Some(Output { status, stdout, stderr }))
    })
}

fn boxed(pipe: impl Read + Send + 'static) -> Box<dyn Read + Send> {
    Box::new(pipe)
}

/// The beginning of a program's error output.
pub(crate) fn said(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let mut end = text.len().min(OUTPUT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].trim().to_string()
}

/// JSON of a table; `None` where it is not there.
pub(crate) fn list(table: &str) -> Result<Option<String>, LinksError> {
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
    Ok(drops.chain(legacy_drops()?).collect())
}

/// Chains of the older interface of the kernel that drop by policy, which nft does not show.
fn legacy_drops() -> Result<Vec<String>, LinksError> {
    let tables = std::fs::read_to_string(LEGACY_TABLES).unwrap_or_default();
    if !tables.lines().any(|table| table == "filter") {
        return Ok(Vec::new());
    }
    match run(("iptables-legacy", "iptables"), &["-S"], "", NFT_MS_MAX) {
        Ok(output) if output.status.success() => Ok(policies(&String::from_utf8_lossy(&output.stdout))),
        Ok(output) => Err(LinksError::Nft { task: "list what iptables-legacy has".to_string(), output: said(&output) }),
        Err(LinksError::NoProgram { .. }) => Ok(vec![
            "the older tables of iptables are in use and cannot be read: install the Debian package iptables"
                .to_string(),
        ]),
        Err(error) => Err(error),
    }
}

/// Chains of `iptables-legacy -S` that drop what none of their rules accepts.
fn policies(rules: &str) -> Vec<String> {
    let drops = |chain: &str| rules.lines().any(|line| line == format!("-P {chain} DROP"));
    let chains = [("FORWARD", "from and to instances"), ("INPUT", "from instances to the host")];
    let found = chains.into_iter().filter(|(chain, _)| drops(chain));
    let text = |(chain, direction): (&str, &str)| {
        format!("the chain {chain} of iptables-legacy drops packets {direction} that none of its rules accepts")
    };
    found.map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_hangs_is_killed_and_named() {
        let hangs = run(("sleep", "coreutils"), &["1000"], "", 50);
        assert_eq!(hangs.unwrap_err().to_string(), "sleep did not end within 50 ms and was killed");
        let echo = run(("cat", "coreutils"), &[], &"x".repeat(1 << 20), 60_000).unwrap();
        assert!(echo.status.success() && echo.stdout.len() == 1 << 20);
        let missing = run(("no-such-program", "nothing"), &[], "", 50).unwrap_err();
        assert!(matches!(missing, LinksError::NoProgram { .. }), "{missing}");
    }

    #[test]
    fn policies_of_the_older_interface_are_read() {
        let found = policies("-P INPUT ACCEPT\n-P FORWARD DROP\n-P OUTPUT DROP\n-A FORWARD -j ACCEPT\n");
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("the chain FORWARD of iptables-legacy drops packets from and to instances"));
    }
}
