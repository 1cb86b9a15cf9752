//! Secrets and configs: each becomes a file of the application.

use super::context::{Context, entries, one_or_more};
use super::finding::Findings;
use super::interpolate::Uses;
use super::naming::{has_password, holds_secret, propose, word};
use super::shared::{IN_THE_CLEAR, Secret, Shared, TAKEN, is_room};
use crate::document::{Application, Content, File, Mode, User};
use crate::text::{Entry, Node, Value};

/// Mode without a word. Source: the Compose specification, "secrets" and "configs".
const MODE: Mode = Mode(0o444);

/// Takes the secrets of the file. Their values are never read: a person sets them.
pub(super) fn secrets(entry: &Entry, shared: &mut Shared) {
    for (key, node) in entries(Some(&entry.value)) {
        let text = |key: &str| node.get(key).and_then(Node::as_text);
        let Some(name) = propose(key, &format!("secrets.{key}"), &mut shared.proposed) else { continue };
        let command = format!("openmesh xnode secret set {name}");
        let set = match (text("file"), text("environment")) {
            (Some(file), _) => format!("{command} --file {}", word(file)),
            (None, Some(variable)) => format!("printenv {} | {command}", word(variable)),
            (None, None) => command,
        };
        shared.secrets.insert(key.to_string(), Secret { name, set, place: node.place, is_told: false });
    }
}

/// Takes the configs of the file; one without a text is told where it is used. One with a password in it becomes a secret.
pub(super) fn configs(
    entry: &Entry,
    context: &Context,
    uses: &mut Uses,
    shared: &mut Shared,
    findings: &mut Findings<'_>,
) {
    for (key, node) in entries(Some(&entry.value)) {
        let text = |key: &str| node.get(key).and_then(Node::as_text);
        if holds_password(node, context, uses)
            && let Some(name) = propose(key, &format!("configs.{key}"), &mut shared.proposed)
        {
            let why = format!(
                "`{key}` holds a password and becomes the secret `{name}`: set it with `openmesh xnode secret set {name}` to the whole text"
            );
            findings.changed_at("configs", node.place, why);
            if let Some(used) = node.get("content").and_then(|content| uses.get_mut(&content.place)) {
                // It needs no value here: a person sets the secret.
                used.missing = None;
            }
            shared.configs.insert(key.to_string(), Ok(Content::Secret(name)));
            continue;
        }
        let content = match (text("content"), text("file"), text("environment")) {
            (Some(content), ..) => Ok(content.to_string()),
            (_, Some(file), _) => match context.file(file) {
                Some(text) => Ok(text.to_string()),
                None => Err(format!("`{file}` is not here; write its text under `content`")),
            },
            (.., Some(variable)) => {
                let value = context.variables.get(variable);
                value.cloned().ok_or_else(|| format!("the variable {variable} has no value"))
            }
            _ => Err("it has no content in this file".to_string()),
        };
        if content.as_ref().is_ok_and(|text| has_password(text)) {
            findings.changed_at("configs", node.place, format!("`{key}` {IN_THE_CLEAR}"));
        }
        shared.configs.insert(key.to_string(), content.map(Content::Text));
    }
}

/// Returns true for a config that a password is put into, or that is one.
fn holds_password(node: &Node, context: &Context, uses: &Uses) -> bool {
    let text = |key: &str| node.get(key).and_then(Node::as_text);
    let used = node.get("content").and_then(|content| uses.get(&content.place));
    used.is_some_and(|used| used.names.iter().any(|name| context.is_secret(name)))
        || text("environment").is_some_and(|name| context.is_secret(name))
        || text("file").is_some_and(|file| context.file(file).is_some_and(|text| holds_secret(file, text)))
}

/// Takes `secrets` or `configs` of a service.
pub(super) fn files(entry: &Entry, application: &mut Application, shared: &mut Shared, findings: &mut Findings<'_>) {
    if !matches!(entry.value.value, Value::List(_)) {
        return findings.unsupported(entry, "is not a list");
    }
    let is_secret = entry.key == "secrets";
    for item in one_or_more(Some(&entry.value)) {
        let text = |key: &str| item.get(key).and_then(Node::as_text);
        let source = item.as_text().or_else(|| text("source")).unwrap_or_default();
        let content = match is_secret {
            true => secret(source, shared, findings),
            false => config(source, shared).map_err(|why| format!("`{source}`: {why}")),
        };
        let content = match content {
            Ok(content) => content,
            Err(why) => {
                findings.unsupported_at(&entry.key, item.place, why);
                continue;
            }
        };
        // A relative target lies beside the usual place: below /run/secrets for secrets, at the root for configs.
        let folder = if is_secret { "/run/secrets/" } else { "/" };
        let target = text("target").unwrap_or(source);
        let target = if target.starts_with('/') { target.to_string() } else { format!("{folder}{target}") };
        let mode = mode(entry, item, findings);
        let owner = owner(entry, item, findings);
        match target.parse() {
            Ok(path) => drop(application.files.insert(path, File { content, mode, owner })),
            Err(_) => findings.unsupported_at(&entry.key, item.place, format!("`{target}` is not a path")),
        }
    }
}

fn secret(source: &str, shared: &mut Shared, findings: &mut Findings<'_>) -> Result<Content, String> {
    let missing = || format!("`{source}` is not among the `secrets` of this file");
    let secret = shared.secrets.get_mut(source).ok_or_else(missing)?;
    if !secret.is_told {
        secret.is_told = true;
        let why = format!("`{source}` becomes the secret `{}`: set it with `{}`", secret.name, secret.set);
        findings.changed_at("secrets", secret.place, why);
    }
    Ok(Content::Secret(secret.name.clone()))
}

fn config(source: &str, shared: &mut Shared) -> Result<Content, String> {
    match shared.configs.get(source) {
        Some(Ok(Content::Text(text))) if !is_room(&mut shared.taken, text.len()) => Err(TAKEN.to_string()),
        Some(Ok(content)) => Ok(content.clone()),
        Some(Err(why)) => Err(why.clone()),
        None => Err("it is not among the `configs` of this file".to_string()),
    }
}

/// Mode of a file: digits of base 8 in a text or behind a 0, else a number of base 10, as Docker reads it. Nobody writes to it.
fn mode(entry: &Entry, item: &Node, findings: &mut Findings<'_>) -> Mode {
    let Some(node) = item.get("mode").filter(|node| !node.is_null()) else { return MODE };
    let text = node.as_text().unwrap_or_default();
    let is_decimal = matches!(&node.value, Value::Scalar { plain: true, .. }) && !text.starts_with('0');
    let digits = text.strip_prefix("0o").unwrap_or(text);
    let bits = if is_decimal { text.parse().ok() } else { u16::from_str_radix(digits, 8).ok() };
    match bits {
        Some(bits) if bits <= 0o777 => Mode(bits & 0o555),
        _ => {
            findings.unsupported_at(&entry.key, node.place, format!("mode `{text}` is not one as 0440"));
            MODE
        }
    }
}

/// Owner of a file; without a word it is the application's user.
fn owner(entry: &Entry, item: &Node, findings: &mut Findings<'_>) -> Option<User> {
    let text = |key: &str| item.get(key).and_then(Node::as_text);
    let (uid, gid) = (text("uid"), text("gid"));
    if uid.is_none() && gid.is_none() {
        return None;
    }
    // What is left out of the two is root's.
    let number = |text: Option<&str>| text.unwrap_or("0").parse::<u16>().ok();
    let owner = number(uid).zip(number(gid)).map(|(uid, gid)| User { uid, gid });
    if owner.is_none() {
        findings.unsupported_at(&entry.key, item.place, "uid and gid must be numbers below 65536");
    }
    owner
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_shell_are_one_word() {
        for (text, expected) in [
            ("./a-b/c_1.txt", "./a-b/c_1.txt"),
            ("", "''"),
            ("a b", "'a b'"),
            ("a; rm -rf ~", "'a; rm -rf ~'"),
            ("it's", "'it'\\''s'"),
            ("$(id)`id`", "'$(id)`id`'"),
        ] {
            assert_eq!(word(text), expected);
        }
    }
}
