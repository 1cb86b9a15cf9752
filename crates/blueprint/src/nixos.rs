//! A document as a flake of NixOS: the agent's service as a module, its program by its hash, the document as a value.
//!
//! Module, package and flake are files beside this one, with marks (`@version@`) in the places of what differs. What comes from a person stands in `document.nix`
//! alone, printed by [`crate::nix`].

use std::collections::{BTreeMap, BTreeSet};

use openmesh_primitives::Digest;

use crate::document::{Content, Document, Name};
use crate::nix::{NixError, Value, expression, string};
use crate::text::Shape as _;
use crate::unit::{Section, Setting, settings};

/// Variable of the unit that NixOS has as an option.
const LOG: &str = "OPENMESH_LOG=";
/// Level of the log where no setting says it.
const LOG_LEVEL: &str = "info";
/// Settings that NixOS has by names of its own, as lists of words.
const LISTS: [(&str, &str); 2] = [("After", "after"), ("WantedBy", "wantedBy")];

/// The program that a flake pins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Its version.
    pub version: String,
    /// Hash of its one file.
    pub sha256: Digest,
    /// Architecture of its machine, as Rust names it: `x86_64`.
    pub architecture: String,
}

/// A document with everything that its flake says.
#[derive(Clone, Copy, Debug)]
pub struct Export<'a> {
    /// The document.
    pub document: &'a Document,
    /// Number and portable hash of the generation that it was taken from; none for a document of a file.
    pub generation: Option<(u64, Digest)>,
    /// The program.
    pub program: &'a Program,
}

impl Export<'_> {
    /// The files by their names.
    ///
    /// # Errors
    /// A part of the document that no value of Nix can hold.
    pub fn files(&self) -> Result<BTreeMap<&'static str, String>, NixError> {
        let Program { version, sha256, architecture } = self.program;
        let (hash, sha256) = (self.document.hash().to_string(), sha256.to_string());
        let portable = self.generation.map(|(number, portable)| {
            format!("\n# SHA-256 of the portable part of generation {number}, of which it is the document: {portable}")
        });
        let (portable, system) = (portable.unwrap_or_default(), format!("{architecture}-linux"));
        let values = [
            ("@version@", version.as_str()),
            ("@sha256@", sha256.as_str()),
            ("@system@", system.as_str()),
            ("@document@", hash.as_str()),
            ("@portable@", portable.as_str()),
        ];
        Ok(BTreeMap::from([
            ("document.nix", self.value()?),
            ("flake.nix", filled(include_str!("nixos/flake.nix"), &values)),
            ("module.nix", module(version)),
            ("package.nix", filled(include_str!("nixos/package.nix"), &values)),
        ]))
    }

    fn value(&self) -> Result<String, NixError> {
        let value = expression(&Value::from(&self.document.write()))?;
        let secrets = secrets(self.document).iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let needs = match secrets.as_str() {
            "" => String::new(),
            names => format!("# Secrets that it needs, each set there by `openmesh xnode secret set NAME`: {names}.\n"),
        };
        let version = &self.program.version;
        Ok(format!(
            "# The document of an Xnode, as `openmesh app deploy` takes it. Written by `openmesh xnode export --nixos` of version {version}.\n\
             # Everybody on the machine can read what stands here: a secret is named, and never stands here itself.\n{needs}{value}"
        ))
    }
}

/// Names of the secrets that a document needs, for its applications and for the machine.
pub fn secrets(document: &Document) -> BTreeSet<&Name> {
    let machine = &document.machine;
    let registries = machine.registries.iter().map(|registry| &registry.password);
    let stores = machine.backups.values().flat_map(|store| [&store.key, &store.secret].into_iter().flatten());
    let webhooks = machine.alerts.webhooks.values().flat_map(|webhook| [&webhook.url, &webhook.secret]);
    let named = registries.chain(stores).chain(webhooks).filter_map(|content| match content {
        Content::Secret(name) => Some(name),
        Content::Text(_) => None,
    });
    named.chain(document.applications.values().flat_map(|application| application.secrets())).collect()
}

/// The module, with the settings of the service.
fn module(version: &str) -> String {
    let log = settings(Section::Service).find_map(|setting| setting.value.strip_prefix(LOG)).unwrap_or(LOG_LEVEL);
    let top: String = LISTS.iter().filter_map(|(key, name)| listed(key, name)).collect();
    let (unit, service) = (pairs(Section::Unit), pairs(Section::Service));
    let values = [
        ("@version@", version),
        ("@log@", log),
        ("@top@", top.trim_end()),
        ("@unit@", unit.as_str()),
        ("@service@", service.as_str()),
    ];
    filled(include_str!("nixos/module.nix"), &values)
}

/// A setting of several words as an option of NixOS.
fn listed(key: &str, name: &str) -> Option<String> {
    let setting = crate::unit::SETTINGS.iter().find(|setting| setting.key == key)?;
    let words: Vec<String> = setting.value.split(' ').map(string).collect();
    Some(format!("      {name} = [ {} ];\n", words.join(" ")))
}

/// Settings of a part as pairs, each below the reason for it.
fn pairs(section: Section) -> String {
    let is_pair =
        |setting: &&Setting| LISTS.iter().all(|(key, _)| *key != setting.key) && !setting.value.starts_with(LOG);
    let pair = |Setting { key, value, why, .. }: &Setting| {
        let why = if why.is_empty() { String::new() } else { format!("        # {why}\n") };
        format!("{why}        {key} = {};\n", string(value))
    };
    settings(section).filter(is_pair).map(pair).collect::<String>().trim_end().to_string()
}

/// A text with values in the places of marks.
fn filled(text: &str, values: &[(&str, &str)]) -> String {
    values.iter().fold(text.to_string(), |text, (mark, value)| text.replace(mark, value))
}
