//! The agent's API as OpenAPI 3.1, the text of `openapi/xnode.json`.
//!
//! # What it owns
//! Words, bodies and answers of each operation, in the files of its areas; and what holds for all of them, added here once: the role that the table of rights asks for
//! (`x-role`), the way to say who asks, the form of refusals.
//!
//! # Why so
//! Roles are not written down a second time: they are read from the one table ([`openmesh_access::RULES`]), and an endpoint that stands in only one of both fails a test. Types are
//! those that handlers answer with. A moment is described as what it is, seconds as text, and a stream as lines of JSON: OpenAPI has no word for that, so the schema of one line stands
//! there, with `x-stream`.

mod access;
mod applications;
mod backups;
mod inside;
mod list;
mod machine;
mod machines;
mod moves;

use std::collections::BTreeMap;

use openmesh_access::{Least, Role, rule};
use serde_json::{Map, Value, json};

use crate::face::COOKIE;
use crate::views::Failure;
use list::{List, MOMENT, reference};

/// Words for all of it.
const ABOUT: &str = "Applications on one machine: what is wanted, what runs, and changes that can be undone.\n\n\
    Whoever reaches the agent's Unix socket is root. People come over its face on loopback, behind the door or the gateway of a node, with a session or an API key as a bearer token; a \
    browser under a name with TLS has its session in a cookie. x-role is the least role that an operation needs: nobody, viewer, operator, admin, owner, or root for the socket alone. x-audited \
    operations are in the audit log, with who asked. Every refusal has a stable code and a message. Moments are text: seconds since 1970, with up to nine decimals where there is a part of one. \
    Unknown fields of a body are refused, and so are unknown parameters where an operation takes any; those of other changes are ignored. An answer of application/x-ndjson is one JSON value a line; its schema is that of a line.";

/// Form of an address of an account.
const ADDRESS: &str = "^0x[0-9a-fA-F]{40}$";
/// Form of a hash.
const SHA256: &str = "^[0-9a-f]{64}$";

/// The description as JSON.
pub fn openapi() -> String {
    // A description that does not serialise would be a bug of the generator; an empty one fails the test of the committed file.
    serde_json::to_string_pretty(&description()).unwrap_or_default() + "\n"
}

/// The description.
fn description() -> Value {
    let mut list = List::default();
    machine::list(&mut list);
    machines::list(&mut list);
    applications::list(&mut list);
    inside::list(&mut list);
    backups::list(&mut list);
    moves::list(&mut list);
    access::list(&mut list);
    let failure = list.take(reference::<Failure>());
    let (mut paths, mut schemas) = (list.paths, list.schemas);
    for (path, operations) in &mut paths {
        for (method, operation) in operations.as_object_mut().into_iter().flatten() {
            complete(path, method, operation, &failure);
        }
    }
    schemas.values_mut().for_each(name_forms);
    let tags = [
        ("machine", "The machine, its history, its door, its alerts, its secrets"),
        ("applications", "What is wanted, what is there, generations, templates"),
        ("inside", "Logs, processes, jobs, files and use of applications"),
        ("backups", "Backups, drills, restores, lines of data"),
        ("machines", "Machines that join this Xnode, and this one with regard to another"),
        ("moves", "Moves of applications between machines"),
        ("access", "Signing in, members, API keys, the audit log"),
    ];
    let description = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Openmesh Xnode", "version": "1", "description": ABOUT,
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "tags": tags.map(|(name, words)| json!({ "name": name, "description": words })),
        "x-roles": Role::ALL.map(Role::as_str),
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer", "description": "A session's token, or an API key" },
                "cookie": { "type": "apiKey", "in": "cookie", "name": COOKIE, "description": "The session of a browser under a name with TLS" },
            },
        },
    });
    sorted(description)
}

/// Adds what holds for every operation: its role, who may ask, its refusals.
fn complete(path: &str, method: &str, operation: &mut Value, failure: &Value) {
    let rule = rule(&method.to_uppercase(), path);
    let least = rule.map(|rule| rule.least);
    operation["x-role"] = match least {
        Some(Least::Nobody) => "nobody".into(),
        Some(Least::Role(role)) => role.as_str().into(),
        Some(Least::Root) => "root".into(),
        None => Value::Null,
    };
    operation["x-audited"] = rule.is_some_and(|rule| rule.changes).into();
    let refused =
        |words: &str| json!({ "description": words, "content": { "application/json": { "schema": failure } } });
    let is_public = least == Some(Least::Nobody);
    operation["security"] = if is_public { json!([]) } else { json!([{ "bearer": [] }, { "cookie": [] }]) };
    let Some(responses) = operation["responses"].as_object_mut() else { return };
    if !is_public {
        responses.insert("401".into(), refused("Nobody is signed in, or the session or key is over"));
        responses.insert("403".into(), refused("The role is too small, or a page of another site asks"));
    }
    responses.insert("default".into(), refused("A refusal: its code says which"));
}

/// Gives texts of one form their pattern: a moment is no `date-time`.
fn name_forms(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            let pattern = match fields.get("format").and_then(Value::as_str) {
                Some("seconds") => Some(MOMENT),
                Some("address") => Some(ADDRESS),
                Some("sha256") => Some(SHA256),
                _ => None,
            };
            if let Some(pattern) = pattern {
                fields.remove("format");
                fields.insert("pattern".into(), pattern.into());
            }
            fields.values_mut().for_each(name_forms);
        }
        Value::Array(items) => items.iter_mut().for_each(name_forms),
        _ => {}
    }
}

/// The same value with its keys in one order, whatever the build's features are.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let ordered: BTreeMap<String, Value> = map.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            Value::Object(ordered.into_iter().collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use openmesh_access::RULES;

    use super::*;

    /// A path as the table of rights has it.
    fn pattern(path: &str) -> String {
        path.split('/').map(|part| if part.starts_with('{') { "{}" } else { part }).collect::<Vec<_>>().join("/")
    }

    #[test]
    fn every_rule_is_described_and_every_operation_has_one() {
        let described = description();
        let operations = described["paths"].as_object().unwrap().iter().flat_map(|(path, operations)| {
            operations.as_object().unwrap().keys().map(move |method| (method.to_uppercase(), pattern(path)))
        });
        let operations: BTreeSet<(String, String)> = operations.collect();
        let rules: BTreeSet<(String, String)> =
            RULES.iter().map(|rule| (rule.method.to_string(), rule.path.to_string())).collect();
        assert_eq!(operations, rules);
    }

    #[test]
    fn everything_that_is_referred_to_is_there_and_everything_there_is_used() {
        let text = openapi();
        let described: Value = serde_json::from_str(&text).unwrap();
        let schemas: BTreeSet<&str> =
            described["components"]["schemas"].as_object().unwrap().keys().map(String::as_str).collect();
        let begin = "\"#/components/schemas/";
        let referred: BTreeSet<&str> =
            text.match_indices(begin).map(|(at, _)| text[at + begin.len()..].split('"').next().unwrap()).collect();
        assert_eq!(schemas, referred);
        assert!(!text.contains("date-time") && !text.contains("\"seconds\""), "moments are seconds as text");
    }

    /// Types of several rooms share one list of names.
    #[test]
    fn no_name_means_two_things() {
        let mut list = List::default();
        machine::list(&mut list);
        machines::list(&mut list);
        applications::list(&mut list);
        inside::list(&mut list);
        backups::list(&mut list);
        moves::list(&mut list);
        access::list(&mut list);
        assert_eq!(list.clashes, BTreeSet::new());
    }
}
