//! Licences of everything that is linked.

use std::collections::BTreeSet;

use cargo_metadata::Metadata;
use serde::Deserialize;

/// The part of `deny.toml` that is enforced here.
#[derive(Debug, Deserialize)]
pub struct Deny {
    /// Licences.
    pub licenses: Licenses,
}

/// `[licenses]`.
#[derive(Debug, Deserialize)]
pub struct Licenses {
    /// SPDX identifiers that are allowed.
    pub allow: BTreeSet<String>,
}

/// Packages whose licence is not allowed, as sentences. Only what is linked into the binary counts, not what the lock file
/// holds for other features, for building and for tests. The exceptions of `deny.toml` do not count here: they are for
/// packages that are never linked.
///
/// `linked` are names and versions, see [`crate::linked`].
pub fn violations(deny: &Deny, metadata: &Metadata, linked: &BTreeSet<(String, String)>) -> Vec<String> {
    metadata
        .packages
        .iter()
        .filter(|package| linked.contains(&(package.name.to_string(), package.version.to_string())))
        .filter_map(|package| match &package.license {
            Some(expression) if allowed(expression, &deny.licenses.allow) => None,
            Some(expression) => Some(format!("{} {} is under {expression}", package.name, package.version)),
            None if package.license_file.is_some() => {
                Some(format!("{} {} has a licence file of its own: look at it", package.name, package.version))
            }
            None => Some(format!("{} {} names no licence", package.name, package.version)),
        })
        .collect()
}

/// Returns true when an SPDX expression can be met with the allowed licences: `OR` needs one side, `AND` both. The old `/` of
/// crates.io means `OR`.
pub fn allowed(expression: &str, allow: &BTreeSet<String>) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let tokens: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    let met = any_of(&tokens, &mut at, allow);
    met && at == tokens.len()
}

fn any_of(tokens: &[&str], at: &mut usize, allow: &BTreeSet<String>) -> bool {
    let mut met = all_of(tokens, at, allow);
    while tokens.get(*at) == Some(&"OR") {
        *at += 1;
        met |= all_of(tokens, at, allow);
    }
    met
}

fn all_of(tokens: &[&str], at: &mut usize, allow: &BTreeSet<String>) -> bool {
    let mut met = one(tokens, at, allow);
    while tokens.get(*at) == Some(&"AND") {
        *at += 1;
        met &= one(tokens, at, allow);
    }
    met
}

fn one(tokens: &[&str], at: &mut usize, allow: &BTreeSet<String>) -> bool {
    if tokens.get(*at) == Some(&"(") {
        *at += 1;
        let met = any_of(tokens, at, allow);
        *at += usize::from(tokens.get(*at) == Some(&")"));
        return met;
    }
    let mut name = tokens.get(*at).copied().unwrap_or_default().to_string();
    *at += 1;
    if tokens.get(*at) == Some(&"WITH") {
        name = format!("{name} WITH {}", tokens.get(*at + 1).copied().unwrap_or_default());
        *at += 2;
    }
    allow.contains(&name)
}
