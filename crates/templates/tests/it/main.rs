//! The built-in templates, each by itself and as documents made of answers.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod catalogue;
mod orders;
mod others;
mod upgrades;

use std::collections::BTreeMap;

use openmesh_blueprint::document::Name;
use openmesh_blueprint::template::Template;
use openmesh_templates::Order;

/// A name.
fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// An order with answers.
fn order(template: &str, application: &str, answers: &[(&str, &str)]) -> Order {
    let answers = answers.iter().map(|(option, answer)| (name(option), answer.to_string())).collect();
    let template = name(template);
    Order { catalogue: None, template, version: None, name: name(application), answers, backup: None }
}

/// Answers to what a template does not answer by itself.
fn needed(template: &Template) -> BTreeMap<Name, String> {
    let open = template
        .options
        .iter()
        .filter(|(_, option)| option.default.is_none() && option.generate.is_none() && option.makes.is_none());
    open.map(|(name, _)| {
        let answer = match (template.name.as_str(), name.as_str()) {
            ("geth", "engine") => "secret:engine",
            ("chainlink", "node") => "wss://node.example/ws",
            ("openmesh-validator", "genesis") => "secret:genesis",
            ("openmesh-validator", "key") => "secret:validator-key",
            ("openmesh-validator", "peers" | "content-peers") => "/ip4/203.0.113.7/tcp/8421 /dns4/a.example/tcp/8421",
            other => panic!("{other:?} needs an answer"),
        };
        (name.clone(), answer.to_string())
    })
    .collect()
}
