//! The allowed edges between rooms.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, Metadata};
use serde::Deserialize;

use crate::room;

/// `layers.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layers {
    /// Ring of each room.
    pub ring: BTreeMap<String, u8>,
    /// Rooms that a room knows.
    pub knows: BTreeMap<String, BTreeSet<String>>,
    /// Owners of foreign crates.
    pub owns: BTreeMap<String, BTreeSet<String>>,
    /// Crates that pure rooms must not use.
    pub pure: Pure,
}

/// The rule for pure rooms.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pure {
    /// Rings that are pure.
    pub rings: BTreeSet<u8>,
    /// Crates that are not for them.
    pub forbidden: BTreeSet<String>,
    /// Exceptions by room.
    pub allowed: BTreeMap<String, BTreeSet<String>>,
}

/// Rooms that are composition or tests and may know everything.
const FREE: [&str; 4] = ["openmesh", "bench", "fuzz-targets", "xtask"];

/// Everything in the workspace that `layers.toml` does not allow, as sentences; empty where all is well.
pub fn violations(layers: &Layers, metadata: &Metadata) -> Vec<String> {
    let mut found = Vec::new();
    let mut owners_seen: BTreeSet<&str> = BTreeSet::new();
    for package in metadata.workspace_packages() {
        let name = room(&package.name);
        if FREE.contains(&name) {
            continue;
        }
        let (Some(ring), Some(knows)) = (layers.ring.get(name), layers.knows.get(name)) else {
            found.push(format!("{name} has no ring or no list of rooms it knows in layers.toml"));
            continue;
        };
        let normal: BTreeSet<&str> =
            package.dependencies.iter().filter(|d| d.kind == DependencyKind::Normal).map(|d| d.name.as_str()).collect();
        let rooms: BTreeSet<String> =
            normal.iter().filter(|d| d.starts_with("openmesh-")).map(|d| room(d).to_string()).collect();
        for extra in rooms.difference(knows) {
            found.push(format!("{name} knows {extra}, which layers.toml does not allow"));
        }
        for unused in knows.difference(&rooms) {
            found.push(format!("{name} does not know {unused} any more: remove it from layers.toml"));
        }
        for other in &rooms {
            if layers.ring.get(other).is_none_or(|r| r > ring) {
                found.push(format!("{name} (ring {ring}) knows {other} of a higher ring"));
            }
        }
        for dependency in &normal {
            if let Some((key, owners)) = layers.owns.get_key_value(*dependency) {
                owners_seen.insert(key);
                if !owners.contains(name) {
                    found.push(format!("{name} uses {dependency}, which belongs to {owners:?}"));
                }
            }
        }
        if layers.pure.rings.contains(ring) {
            let allowed = layers.pure.allowed.get(name);
            for dependency in normal.iter().filter(|d| layers.pure.forbidden.contains(**d)) {
                if !allowed.is_some_and(|a| a.contains(*dependency)) {
                    found.push(format!("{name} is pure but uses {dependency}"));
                }
            }
        }
    }
    for owned in layers.owns.keys().filter(|k| !owners_seen.contains(k.as_str())) {
        found.push(format!("{owned} has an owner in layers.toml but nobody uses it"));
    }
    found
}
