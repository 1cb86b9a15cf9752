//! The document as a whole.

use std::collections::BTreeMap;

use openmesh_primitives::{Digest, sha256};

use super::application::Application;
use super::check::check;
use super::machine::{Alerts, Machine, PortRange, Reserve};
use super::names::{Name, Subnet};
use super::units::Size;
use crate::text::{Problem, Problems, Shape, parse, record};

record! {
    /// A machine and its applications.
    Document {
        /// Version of the form: 1.
        version: u32,
        /// The machine.
        machine: Machine = Machine {
            name: None,
            subnet: Subnet { address: std::net::Ipv4Addr::new(10, 89, 0, 0), prefix: 16 },
            ports: PortRange { first: 20_000, last: 29_999 },
            reserve: Reserve { memory: Size(256 << 20), disk: Size(1 << 30) },
            registries: Vec::new(),
            backups: BTreeMap::new(),
            alerts: Alerts { webhooks: BTreeMap::new() },
            certificates: None,
            catalogues: BTreeMap::new(),
            prices: None,
        },
        /// Applications by their name.
        applications: BTreeMap<Name, Application>,
    }
}

impl Document {
    /// The document of a text in YAML or JSON. Fails with every problem of it, in the order of the text.
    pub fn parse(text: &str) -> Result<Document, Vec<Problem>> {
        let tree = parse(text)?;
        let mut problems = Problems::default();
        let document = Document::read(&tree, &mut problems);
        if let Some(document) = &document {
            check(document, &tree, &mut problems);
        }
        match document {
            Some(document) if problems.is_empty() => Ok(document),
            _ => Err(problems.into_sorted()),
        }
    }

    /// The document in canonical YAML: reading it gives the same document.
    pub fn to_yaml(&self) -> String {
        self.write().to_yaml()
    }

    /// The document in canonical JSON: reading it gives the same document.
    pub fn to_json(&self) -> String {
        self.write().to_json()
    }

    /// SHA-256 of the document as JSON without blanks and with sorted keys, as `builtins.toJSON` of Nix writes it. Equal for equal documents, however they
    /// were written.
    pub fn hash(&self) -> Digest {
        sha256(&[self.write().to_compact_json().as_bytes()])
    }
}
