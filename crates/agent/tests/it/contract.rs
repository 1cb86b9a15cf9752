//! The description of the API: the committed file, what a running agent does about each operation in it, and the form of what it answers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use openmesh_access::{RULES, Role};
use openmesh_agent::views::Failure;
use openmesh_agent::views::access::MadeKey;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::access::{Site, refusal, value, world};
use crate::pantry::server;
use crate::world::{World, free_port, plain};

/// The committed file.
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../openapi/xnode.json");

fn described() -> &'static Value {
    static READ: OnceLock<Value> = OnceLock::new();
    READ.get_or_init(|| serde_json::from_str(&std::fs::read_to_string(FILE).unwrap()).unwrap())
}

/// `OPENMESH_UPDATE=1 cargo test -p openmesh-agent --test it -- contract` writes it anew.
#[test]
fn the_committed_description_is_true() {
    let made = openmesh_agent::openapi();
    assert!(made.len() > 50_000, "the description was not generated");
    if std::env::var_os("OPENMESH_UPDATE").is_some() {
        std::fs::write(FILE, &made).unwrap();
    }
    let committed = std::fs::read_to_string(FILE).unwrap_or_default();
    let words = "openapi/xnode.json is not what the agent makes: OPENMESH_UPDATE=1 cargo test -p openmesh-agent --test it -- contract";
    assert!(made == committed, "{words}");
}

/// Operations of the file: path, method, and the least role.
fn operations() -> Vec<(&'static str, Method, &'static str)> {
    let paths = described()["paths"].as_object().unwrap();
    let all = paths.iter().flat_map(|(path, operations)| {
        operations.as_object().unwrap().iter().map(move |(method, operation)| {
            let role = operation["x-role"].as_str().unwrap_or_else(|| panic!("{method} {path} has no role"));
            (path.as_str(), method.to_uppercase().parse::<Method>().unwrap(), role)
        })
    });
    all.collect()
}

/// A path with something in the place of each parameter.
fn filled(path: &str) -> String {
    path.split('/').map(|part| if part.starts_with('{') { "nothing-here" } else { part }).collect::<Vec<_>>().join("/")
}

/// Every operation by everybody, as the file says; and nothing beside what is in the file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn roles_are_those_of_the_description() {
    const DENIED: [&str; 5] = ["not_signed_in", "role", "root", "no_rule", "no_endpoint"];
    let Some((mut world, site)) = world().await else { return };
    let owner = site.sign_in(1).await.token;
    let mut askers = vec![(None, None), (Some(Role::Owner), Some(owner.clone()))];
    for (n, role) in [(2, Role::Admin), (3, Role::Operator), (4, Role::Viewer)] {
        site.let_in(&owner, n, role).await;
        askers.push((Some(role), Some(site.sign_in(n).await.token)));
    }
    let wish = json!({ "name": "pipeline", "role": "operator" });
    let made: MadeKey = value(site.request(Method::POST, "/access/keys", Some(&owner)).json(&wish)).await;
    askers.push((Some(Role::Operator), Some(made.key)));
    let operations = operations();
    let roles: BTreeMap<(&str, String), &str> =
        operations.iter().map(|(path, method, role)| ((*path, method.to_string()), *role)).collect();
    let paths: BTreeSet<&str> = operations.iter().map(|(path, _, _)| *path).collect();
    assert_eq!(operations.len(), RULES.len(), "an operation for each rule");
    let mut asked = 0;
    for (role, token) in &askers {
        for path in &paths {
            for method in [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
                // Whoever signs out asks nothing any more.
                if path.ends_with("/access/session") && method == Method::DELETE && token.is_some() {
                    continue;
                }
                let request = site.http.request(method.clone(), format!("http://{}{}", site.host, filled(path)));
                let (status, code) =
                    refusal(token.iter().fold(request, |request, token| request.bearer_auth(token))).await;
                let least = roles.get(&(*path, method.to_string())).copied();
                let allowed = match (least, role) {
                    (Some("nobody"), _) => true,
                    (Some("root") | None, _) | (Some(_), None) => false,
                    (Some(least), Some(role)) => *role >= least.parse().unwrap(),
                };
                let denied = DENIED.contains(&code.as_str());
                assert_eq!(denied, !allowed, "{role:?} {method} {path}, which needs {least:?}: {status} {code}");
                // Every refusal has the one form.
                assert!(status < 400 || !code.is_empty(), "{role:?} {method} {path}: {status} without a code");
                asked += 1;
            }
        }
    }
    println!("{asked} requests by {} askers, {} operations", askers.len(), operations.len());
    world.stop().await;
}

/// Faults of a value against a schema, each with its place.
fn faults(schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = described().pointer(reference.trim_start_matches('#')).unwrap_or_else(|| panic!("{reference}"));
        return faults(target, value, at, found);
    }
    for (word, fits) in [("oneOf", 1..2), ("anyOf", 1..usize::MAX)] {
        let Some(ways) = schema[word].as_array() else { continue };
        let good = ways.iter().filter(|way| is_valid(way, value)).count();
        if !fits.contains(&good) {
            found.push(format!("{at}: {good} of {word} fit {value}"));
        }
    }
    schema["allOf"].as_array().into_iter().flatten().for_each(|part| faults(part, value, at, found));
    let kinds: Vec<&str> = match &schema["type"] {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if !kinds.is_empty() && !kinds.iter().any(|kind| is_of(kind, value)) {
        found.push(format!("{at}: {value} is none of {kinds:?}"));
    }
    if schema["enum"].as_array().is_some_and(|words| !words.contains(value)) {
        found.push(format!("{at}: {value} is none of {}", schema["enum"]));
    }
    if let (Some(least), Some(number)) = (schema["minimum"].as_f64(), value.as_f64())
        && number < least
    {
        found.push(format!("{at}: {number} is below {least}"));
    }
    if let (Some(pattern), Some(text)) = (schema["pattern"].as_str(), value.as_str())
        && !matches(pattern, text)
    {
        found.push(format!("{at}: {text} does not match {pattern}"));
    }
    parts(schema, value, at, found);
}

/// Faults of the members of an object and of the items of an array. What is not described is a fault: the description would leave it out.
fn parts(schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    if let Value::Object(members) = value {
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !members.contains_key(name) {
                found.push(format!("{at}: {name} is not there"));
            }
        }
        for (name, member) in members {
            match (&schema["properties"][name], &schema["additionalProperties"]) {
                (Value::Null, Value::Object(_)) => {
                    faults(&schema["additionalProperties"], member, &format!("{at}.{name}"), found)
                }
                (Value::Null, _) if schema["properties"].is_object() => {
                    found.push(format!("{at}.{name} is not described"))
                }
                (Value::Null, _) => {}
                (known, _) => faults(known, member, &format!("{at}.{name}"), found),
            }
        }
    }
    if let Value::Array(items) = value {
        for (index, item) in items.iter().enumerate() {
            let own = schema["prefixItems"].get(index).unwrap_or(&schema["items"]);
            if own.is_object() {
                faults(own, item, &format!("{at}[{index}]"), found);
            }
        }
    }
}

fn is_valid(schema: &Value, value: &Value) -> bool {
    let mut found = Vec::new();
    faults(schema, value, "", &mut found);
    found.is_empty()
}

fn is_of(kind: &str, value: &Value) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("{other}"),
    }
}

/// Matches one of the few patterns that the description has.
fn matches(pattern: &str, text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let hex = |text: &str, chars: usize| text.len() == chars && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    match pattern {
        r"^-?[0-9]+(\.[0-9]{1,9})?$" => {
            let text = text.strip_prefix('-').unwrap_or(text);
            let (whole, part) = text.split_once('.').map_or((text, None), |(whole, part)| (whole, Some(part)));
            digits(whole) && part.is_none_or(|part| digits(part) && part.len() <= 9)
        }
        "^0x[0-9a-fA-F]{40}$" => text.strip_prefix("0x").is_some_and(|rest| hex(rest, 40)),
        "^[0-9a-f]{64}$" => hex(text, 64),
        "^(file|folder|link|other)$" => ["file", "folder", "link", "other"].contains(&text),
        other => panic!("the pattern {other} is not known here"),
    }
}

#[test]
fn the_judge_of_answers_is_no_fool() {
    let schema = json!({
        "type": "object", "required": ["a"],
        "properties": { "a": { "type": ["integer", "null"], "minimum": 0 }, "at": { "type": "string", "pattern": r"^-?[0-9]+(\.[0-9]{1,9})?$" } },
    });
    for good in [json!({ "a": 1 }), json!({ "a": null, "at": "12.5" })] {
        assert!(is_valid(&schema, &good), "{good}");
    }
    for bad in [
        json!({}),
        json!({ "a": "1" }),
        json!({ "a": -1 }),
        json!({ "a": 1, "b": 2 }),
        json!({ "a": 1, "at": "2026-11-29T00:00:00Z" }),
        json!([]),
    ] {
        assert!(!is_valid(&schema, &bad), "{bad}");
    }
}

/// An answer of an operation held against its description. The number of values that were looked at: lines of a stream count each.
async fn hold_against(site: &Site, path: &str, asked: &str, token: &str) -> usize {
    let answer = site.http.get(format!("http://{}{asked}", site.host)).bearer_auth(token).send().await.unwrap();
    let status = answer.status();
    let kind = answer.headers().get("content-type").map(|kind| kind.to_str().unwrap().to_string()).unwrap_or_default();
    let text = answer.text().await.unwrap();
    let operation = &described()["paths"][path]["get"];
    let word = status.as_u16().to_string();
    let response = operation["responses"].get(&word).unwrap_or(&operation["responses"]["default"]);
    assert!(
        status.is_success() || response["description"].as_str().is_some_and(|words| words.starts_with("A refusal")),
        "{asked}: {status} {text}"
    );
    let media = kind.split(';').next().unwrap();
    let content =
        response["content"].as_object().unwrap_or_else(|| panic!("{asked}: {status} has no content, and is {kind}"));
    let described =
        content.get(media).unwrap_or_else(|| panic!("{asked}: {status} is {kind}, and not {:?}", content.keys()));
    let values: Vec<Value> = match media {
        "application/json" => {
            vec![serde_json::from_str(&text).unwrap_or_else(|error| panic!("{asked}: {error}: {text}"))]
        }
        "application/x-ndjson" => text.lines().map(|line| serde_json::from_str(line).unwrap()).collect(),
        _ => Vec::new(),
    };
    let mut found = Vec::new();
    values.iter().for_each(|value| faults(&described["schema"], value, asked, &mut found));
    assert!(found.is_empty(), "{found:#?}");
    if status.is_success() { values.len() } else { 0 }
}

/// Each answer of a live agent to a GET is of the form that the description has, with an application, a job, a secret, members and a log to tell of.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_of_the_form_that_is_described() {
    let Some((mut world, site)) = world().await else { return };
    let owner = site.sign_in(1).await.token;
    site.let_in(&owner, 3, Role::Operator).await;
    fill(&world, &site, &owner).await;
    let put = |path: &str, value: &str| {
        let value = value.to_string();
        path.replace("{name}", &value)
    };
    let (mut looked, mut silent) = (0, Vec::new());
    for (path, method, role) in operations() {
        if method != Method::GET || role == "root" || path.ends_with("/terminal") {
            continue;
        }
        let name = if path.contains("/templates/") { "redis" } else { "web" };
        let asked = put(path, name);
        let parts = [("{number}", "1"), ("{other}", "2"), ("{job}", "say"), ("{volume}", "data")];
        let asked = parts.iter().fold(asked, |asked, (part, value)| asked.replace(part, value));
        let asked = if asked.ends_with("volumes/data/content") { format!("{asked}?path=words") } else { asked };
        let values = hold_against(&site, path, &asked, &owner).await;
        looked += values;
        if values == 0 {
            silent.push(asked);
        }
    }
    println!("{looked} values of the form that is described; no value in {silent:?}");
    assert!(looked > 40, "{looked}");
    // A refusal has its form too, also one that is made before a handler sees the request.
    for (method, path, body, code) in [
        (Method::GET, "/generations/none", "", "malformed"),
        (Method::GET, "/events?from=x", "", "malformed"),
        (Method::GET, "/applications/nothing-here", "", "no_application"),
        (Method::POST, "/access/keys", "{", "media_type"),
    ] {
        let answer = site.request(method, path, Some(&owner)).body(body).send().await.unwrap();
        assert!(answer.status().is_client_error(), "{path}");
        let failure: Failure = answer.json().await.unwrap();
        assert_eq!(failure.code, code, "{path}: {failure:?}");
        assert!(!failure.message.is_empty(), "{path}");
    }
    for path in ["/openapi.json", "/v1/xnode/openapi.json"] {
        let served = site.http.get(format!("http://{}{path}", site.host)).send().await.unwrap();
        assert_eq!(served.status(), StatusCode::OK);
        assert_eq!(served.text().await.unwrap(), openmesh_agent::openapi(), "{path}, to whoever asks");
    }
    world.stop().await;
}

/// Gives an agent something to tell of.
async fn fill(world: &World, site: &Site, owner: &str) {
    let (one, two, port) = (world.image(&server("one")), world.image(&server("two")), free_port());
    let job = "    jobs:\n      say: {command: [/bin/sh, -c, 'echo said']}\n";
    world.deploy(world.document(&(plain(&one, port) + job))).await;
    world.deploy(world.document(&(plain(&two, port) + job))).await;
    let sent = [
        (Method::PUT, "/secrets/token", "correct horse"),
        (Method::POST, "/applications/web/jobs/say", ""),
        (Method::PUT, "/applications/web/files/volumes/data/content?path=words", "kept\n"),
        (Method::POST, "/applications/web/restart", ""),
    ];
    for (method, path, body) in sent {
        let request = site.request(method, path, Some(owner)).header("if-none-match", "*").body(body);
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.text().await.unwrap());
    }
    let wish = json!({ "name": "bot", "role": "viewer", "lasts_ms": 60_000 });
    let _: MadeKey = value(site.request(Method::POST, "/access/keys", Some(owner)).json(&wish)).await;
}
