//! Variables of a service: `environment` and `env_file`.
//!
//! Text in a document is read by everybody who sees the document, its plan and its history. So a password that does not stand in the compose file
//! itself, but comes from a variable or an env file, becomes a secret by its name.

use std::collections::{BTreeMap, BTreeSet};

use super::context::{Context, one_or_more};
use super::finding::Findings;
use super::interpolate::{BYTES_MAX, Uses, replaced};
use super::naming::{Proposed, has_password, is_secret, propose};
use super::shared::{TAKEN, is_room};
use crate::document::{Application, Content, Name, VariableName};
use crate::text::{Entry, Node, Place, Problems, Value, unmarked};

/// Bytes that an env file counts for at least, since all variables are read with each: 256 uses of small ones.
const FILE_BYTES_LEAST: usize = 16 << 10;

/// Returns true for a value that is a switch and no password, as in `ALLOW_EMPTY_PASSWORD: "yes"`.
fn is_switch(value: &str) -> bool {
    matches!(value.to_ascii_lowercase().as_str(), "" | "yes" | "no" | "true" | "false" | "on" | "off" | "0" | "1")
}

/// A variable on its way.
struct Variable<'a> {
    name: &'a str,
    /// Its text; `None` where the shell has it.
    value: Option<&'a str>,
    place: Place,
    /// Key of the service that it stands under.
    key: &'a str,
    /// It stands in a file of its own, which people do not show around.
    is_apart: bool,
    /// A password was put into its text.
    is_tainted: bool,
}

/// Variables of a service.
pub(super) struct Environment<'a> {
    pub(super) service: &'a Name,
    pub(super) context: &'a Context,
    pub(super) uses: &'a mut Uses,
    /// Secrets that were proposed.
    pub(super) proposed: &'a mut Proposed,
    /// Bytes of files that were taken into the document.
    pub(super) taken: &'a mut usize,
}

impl Environment<'_> {
    /// Takes `env_file`, of which the values stand behind those of `environment`.
    pub(super) fn files(
        &mut self,
        entry: &Entry,
        application: &mut Application,
        findings: &mut Findings<'_>,
        problems: &mut Problems,
    ) {
        for item in one_or_more(Some(&entry.value)) {
            let path = item.as_text().or_else(|| item.get("path").and_then(Node::as_text)).unwrap_or_default();
            let is_required = item.get("required").and_then(Node::as_text) != Some("false");
            let context = self.context;
            match context.file(path) {
                Some(text) => {
                    let is_raw = item.get("format").and_then(Node::as_text) == Some("raw");
                    self.file(text, is_raw, item.place, path, application, findings, problems);
                }
                None if is_required => {
                    let why = format!("`{path}` is not here; write its lines under `environment`");
                    findings.unsupported_at("env_file", item.place, why);
                }
                None => findings.ignored_at("env_file", item.place, format!("`{path}` is not here and not required")),
            }
        }
    }

    fn file(
        &mut self,
        text: &str,
        is_raw: bool,
        place: Place,
        path: &str,
        application: &mut Application,
        findings: &mut Findings<'_>,
        problems: &mut Problems,
    ) {
        if !is_room(self.taken, text.len().max(FILE_BYTES_LEAST)) {
            return findings.unsupported_at("env_file", place, format!("`{path}` {TAKEN}"));
        }
        let parsed = match is_raw {
            true => Ok(raw_lines(text)),
            false => live_lines(text, &self.context.variables),
        };
        let lines = match parsed {
            Ok(lines) => lines,
            Err(fault) => return problems.add(place, format!("`{path}`: {fault}")),
        };
        // Variables may have made more of it.
        if !is_room(self.taken, lines.iter().map(|line| line.value.as_ref().map_or(0, String::len)).sum()) {
            return findings.unsupported_at("env_file", place, format!("`{path}` {TAKEN}"));
        }
        for Line { name, value, is_tainted } in &lines {
            let (value, key) = (value.as_deref(), "env_file");
            let variable = Variable { name, value, place, key, is_apart: true, is_tainted: *is_tainted };
            self.set(&variable, application, findings, problems);
        }
    }

    /// Takes `environment`, a map or a list of `NAME=VALUE`.
    pub(super) fn variables(
        &mut self,
        entry: &Entry,
        application: &mut Application,
        findings: &mut Findings<'_>,
        problems: &mut Problems,
    ) {
        let key = "environment";
        match &entry.value.value {
            Value::List(items) => {
                for item in items {
                    let text = item.as_text().unwrap_or_default();
                    let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
                    let place = item.place;
                    let variable = Variable { name, value, place, key, is_apart: false, is_tainted: false };
                    self.set(&variable, application, findings, problems);
                }
            }
            Value::Map(entries) => {
                for Entry { key: name, value, .. } in entries {
                    if matches!(value.value, Value::List(_) | Value::Map(_)) {
                        problems.add(value.place, format!("{name} is {}, but a text is expected", value.kind()));
                        continue;
                    }
                    let (place, value) = (value.place, value.as_text());
                    let variable = Variable { name, value, place, key, is_apart: false, is_tainted: false };
                    self.set(&variable, application, findings, problems);
                }
            }
            Value::Scalar { .. } => findings.unsupported(entry, "is neither a list nor a map"),
        }
    }

    fn set(
        &mut self,
        variable: &Variable<'_>,
        application: &mut Application,
        findings: &mut Findings<'_>,
        problems: &mut Problems,
    ) {
        let name = match variable.name.parse::<VariableName>() {
            Ok(name) => name,
            Err(error) => return problems.add(variable.place, format!("{error}")),
        };
        let Variable { key, place, .. } = *variable;
        if let Some((secret, why)) = self.secret(variable) {
            if let Some(used) = self.uses.get_mut(&place) {
                // It needs no value here: a person sets the secret.
                used.missing = None;
            }
            findings.changed_at(key, place, why);
            drop(application.variables.insert(name, Content::Secret(secret)));
            return;
        }
        let shell = || self.context.variables.get(variable.name).map(String::as_str);
        match variable.value.or_else(shell) {
            Some(text) => {
                if (is_secret(variable.name) && !is_switch(text)) || has_password(text) {
                    let why = format!(
                        "{name} stands in the clear in document, plan and history; write `{{ secret: NAME }}` for it"
                    );
                    findings.changed_at(key, place, why);
                }
                drop(application.variables.insert(name, Content::Text(text.to_string())));
            }
            None => {
                // It is taken out, whatever an env file says of it.
                application.variables.remove(&name);
                let why = format!("{name} takes its value from the shell, which has none: it is not set, as in Docker");
                findings.ignored_at(key, place, why);
            }
        }
    }

    /// The secret that a variable becomes, with the words for it.
    fn secret(&mut self, variable: &Variable<'_>) -> Option<(Name, String)> {
        let Variable { name, value, place, is_apart, is_tainted, .. } = *variable;
        let set = |secret: &Name| format!("set it with `openmesh xnode secret set {secret}`");
        // `NAME` alone, or a value of an env file.
        if value.is_none() || is_apart {
            let text = value.or_else(|| self.context.variables.get(name).map(String::as_str));
            let is_password = is_secret(name) || is_tainted || text.is_some_and(has_password);
            if !is_password || text.is_some_and(is_switch) {
                return None;
            }
            let secret = propose(name, name, self.proposed)?;
            let why = format!("{name} becomes the secret `{secret}`: {}", set(&secret));
            return Some((secret, why));
        }
        let used = self.uses.get(&place).cloned()?;
        if !is_secret(name) && !used.names.iter().any(|used| self.context.is_secret(used)) {
            return None;
        }
        let of = used.names.iter().map(|used| format!("${{{used}}}")).collect::<Vec<_>>().join(", ");
        // One variable that is the value as a whole gives the secret its name, so that two services have one.
        let (secret, what) = match &used.whole {
            Some(used) => (propose(used, used, self.proposed)?, ""),
            None => {
                let own = format!("{}-{name}", self.service);
                (propose(&own, &own, self.proposed)?, " to the whole value")
            }
        };
        let why = format!("{name} comes from {of} and becomes the secret `{secret}`: {}{what}", set(&secret));
        Some((secret, why))
    }
}

/// A variable of an env file.
struct Line {
    name: String,
    /// Its text; `None` where the shell has it.
    value: Option<String>,
    /// A password was put into its text.
    is_tainted: bool,
}

/// Lines `NAME=VALUE` taken as they are.
fn raw_lines(text: &str) -> Vec<Line> {
    let lines = unmarked(text).lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    let line = |line: &str| match line.split_once('=') {
        Some((name, value)) => Line { name: name.trim().into(), value: Some(value.into()), is_tainted: false },
        None => Line { name: line.trim().into(), value: None, is_tainted: false },
    };
    lines.map(line).collect()
}

/// Variables of a text of the form of `.env`, each with its text, or with none where the shell has it: comments, quotes, escapes in double quotes,
/// variables outside of single quotes. Fails with the line of a quote that is not closed, and of a variable without value.
pub fn env_lines(text: &str, variables: &BTreeMap<String, String>) -> Result<Vec<(String, Option<String>)>, String> {
    Ok(live_lines(text, variables)?.into_iter().map(|line| (line.name, line.value)).collect())
}

fn live_lines(text: &str, variables: &BTreeMap<String, String>) -> Result<Vec<Line>, String> {
    let mut known = variables.clone();
    let mut tainted: BTreeSet<String> = BTreeSet::new();
    let mut lines = Vec::new();
    let mut room = BYTES_MAX;
    let (mut rest, mut number) = (unmarked(text), 1);
    while !rest.is_empty() {
        let end = rest.find('\n').map_or(rest.len(), |at| at + 1);
        let current = rest[..end].trim();
        let assigned = current.strip_prefix("export ").unwrap_or(current);
        let Some((name, value)) = assigned.split_once('=').filter(|_| !assigned.starts_with('#')) else {
            if !assigned.is_empty() && !assigned.starts_with('#') {
                lines.push(Line { name: assigned.to_string(), value: None, is_tainted: false });
            }
            (rest, number) = (&rest[end..], number + 1);
            continue;
        };
        let name = name.trim().to_string();
        let (value, is_live, used) = assigned_value(rest, value.trim_start(), end)
            .ok_or_else(|| format!("line {number}: a quote is not closed"))?;
        let (value, is_tainted) = match is_live {
            true => live(&value, &known, &tainted, &mut room).map_err(|what| match is_secret(&name) {
                // What is said of a password must not hold a part of it.
                true => format!("line {number}: {name} has a `$` that leads to no value; write it in single quotes"),
                false => format!("line {number}: {name} {what}"),
            })?,
            false => (value, false),
        };
        if is_tainted {
            tainted.insert(name.clone());
        }
        number += rest[..used].matches('\n').count();
        rest = &rest[used..];
        known.entry(name.clone()).or_insert_with(|| value.clone());
        lines.push(Line { name, value: Some(value), is_tainted });
    }
    Ok(lines)
}

/// The text of an assignment that begins `rest`, of which the first line ends at `end`: its text without quotes, true where variables in it are
/// replaced, and the bytes of its lines. `None` where a quote is not closed.
fn assigned_value(rest: &str, value: &str, end: usize) -> Option<(String, bool, usize)> {
    let Some(quote) = value.chars().next().filter(|c| matches!(c, '"' | '\'')) else {
        let plain = value.split(" #").next().unwrap_or_default().trim_end();
        return Some((plain.to_string(), true, end));
    };
    // A text in quotes may go over several lines.
    let begin = rest.find(quote)? + 1;
    let (text, length) = quoted(&rest[begin..], quote)?;
    let behind = begin + length;
    let used = rest[behind..].find('\n').map_or(rest.len(), |at| behind + at + 1);
    Some((text, quote == '"', used))
}

/// A text with its variables, and true where one of them is a password or was made of one.
fn live(
    value: &str,
    known: &BTreeMap<String, String>,
    tainted: &BTreeSet<String>,
    room: &mut usize,
) -> Result<(String, bool), String> {
    match replaced(value, known, room) {
        Ok((_, used)) if used.missing.is_some() => Err(used.missing.map(|(_, what, _)| what).unwrap_or_default()),
        Ok((value, used)) => {
            let is_tainted = used.names.iter().any(|name| is_secret(name) || tainted.contains(name));
            Ok((value, is_tainted))
        }
        Err((what, _)) => Err(what),
    }
}

/// A text up to its closing quote, with its escapes, and the bytes that it takes with the quote.
fn quoted(text: &str, quote: char) -> Option<(String, usize)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            c if c == quote => return Some((value, at + 1)),
            '\\' if quote == '"' => match characters.next()?.1 {
                'n' => value.push('\n'),
                'r' => value.push('\r'),
                't' => value.push('\t'),
                // A dollar that is not a variable's.
                '$' => value.push_str("$$"),
                other => value.push(other),
            },
            '\\' if text[at + 1..].starts_with('\'') => {
                characters.next();
                value.push('\'');
            }
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_two_origins_have_two_names() {
        let mut proposed = Proposed::default();
        let long = "a-very-long-name-of-a-service-indeed";
        let mut name = |text: &str, origin: &str| propose(text, origin, &mut proposed).unwrap().to_string();
        assert_eq!(name("DB_PASSWORD", "DB_PASSWORD"), "db-password");
        assert_eq!(name("DB_PASSWORD", "DB_PASSWORD"), "db-password");
        assert_eq!(name("db-password", "secrets.db-password"), "db-password-2");
        assert_eq!(name(&format!("{long}-one"), "one"), "a-very-long-name-of-a-service-in");
        assert_eq!(name(&format!("{long}-two"), "two"), "a-very-long-name-of-a-serv-2");
        assert_eq!(propose("___", "x", &mut proposed), None);
    }

    /// Fifty thousand of one beginning are not compared with each other.
    #[test]
    fn many_secrets_of_one_beginning() {
        let mut proposed = Proposed::default();
        let name = |at: u32, proposed: &mut Proposed| {
            propose(&format!("A_VERY_LONG_BEGINNING_OF_A_TOKEN_{at}"), &at.to_string(), proposed)
        };
        let names: BTreeSet<Name> = (0..50_000).filter_map(|at| name(at, &mut proposed)).collect();
        assert_eq!(names.len(), 50_000);
        assert!(name(7, &mut proposed).is_some_and(|known| names.contains(&known)));
        for at in 50_000..99_999 {
            assert!(name(at, &mut proposed).is_some(), "{at}");
        }
        assert_eq!(name(99_999, &mut proposed), None);
    }

    #[test]
    fn names_that_tell_a_password() {
        for name in ["DB_PASSWORD", "POSTGRES_PASSWORD", "JWT_SECRET", "API_KEY", "token", "SMTP_PASS", "app-secret"] {
            assert!(is_secret(name), "{name}");
        }
        for name in
            ["POSTGRES_PASSWORD_FILE", "DB_USER", "KEYBOARD", "PASSENGERS", "TOKEN_EXPIRY", "HOST", "SECRET_NAME"]
        {
            assert!(!is_secret(name), "{name}");
        }
    }

    #[test]
    fn addresses_with_a_password() {
        for text in ["postgres://u:p@db:5432/x", "x,redis://:p@cache", "amqp://u:p%40q@mq", "a://b c://u:p@d"] {
            assert!(has_password(text), "{text}");
        }
        for text in ["postgres://u@db", "http://h:80/a@b", "u:p@db", "http://a/?u:p@b", "redis://u:@cache", "", "://"] {
            assert!(!has_password(text), "{text}");
        }
    }

    #[test]
    fn env_files_are_read_as_docker_reads_them() {
        let text = "# a comment\n\nexport A=1\nB = two words # said\nC='$A # kept'\nD=\"x\\ty $A \\$5 \\\"q\\\"\"\nE=\"a\nb\" # over two lines\nF\nG=\nH=a#b\nI='Let\\'s go'\nJ=${B:-no}-$H\n";
        let pairs = env_lines(text, &BTreeMap::new()).unwrap();
        let shown: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
        let expected = [
            "A=Some(\"1\")",
            "B=Some(\"two words\")",
            "C=Some(\"$A # kept\")",
            "D=Some(\"x\\ty 1 $5 \\\"q\\\"\")",
            "E=Some(\"a\\nb\")",
            "F=None",
            "G=Some(\"\")",
            "H=Some(\"a#b\")",
            "I=Some(\"Let's go\")",
            "J=Some(\"two words-a#b\")",
        ];
        assert_eq!(shown, expected);
        assert_eq!(env_lines("A=1\nB=\"x\n\n", &BTreeMap::new()), Err("line 2: a quote is not closed".to_string()));
        let marked = [("A".to_string(), Some("1".to_string()))];
        assert_eq!(env_lines("\u{feff}A=1\n", &BTreeMap::new()).unwrap(), marked);
        assert_eq!(env_lines("A=$Z\n", &BTreeMap::new()), Err("line 1: A needs the variable Z".to_string()));
        for value in ["ab$Zcd", "ab${Zcd!ef}", "${ab:?cd}"] {
            let said = env_lines(&format!("\nDB_PASSWORD={value}\n"), &BTreeMap::new()).unwrap_err();
            assert_eq!(said, "line 2: DB_PASSWORD has a `$` that leads to no value; write it in single quotes");
        }
        let raw: Vec<(String, Option<String>)> =
            raw_lines("\u{feff}A='1'\nB\n#c\n").into_iter().map(|line| (line.name, line.value)).collect();
        assert_eq!(raw, [("A".to_string(), Some("'1'".to_string())), ("B".to_string(), None)]);
    }

    #[test]
    fn what_is_made_of_a_password_is_one() {
        let variables = [("DB_PASSWORD".to_string(), "x".to_string())].into();
        let lines = live_lines("A=${DB_PASSWORD}\nB=$A\nC='$A'\nD=1\n", &variables).unwrap();
        let tainted: Vec<&str> = lines.iter().filter(|line| line.is_tainted).map(|line| line.name.as_str()).collect();
        assert_eq!(tainted, ["A", "B"]);
    }
}
