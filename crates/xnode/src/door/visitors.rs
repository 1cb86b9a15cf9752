//! The part of the door's document that lets visitors in where not everybody may come in. Pure.
//!
//! Whoever may come in stands in the document itself, so that the door asks nobody: the wallets of an audience, and those of the machine's own people. A
//! key for each application is derived from one of the agent's.

use std::collections::BTreeSet;

use openmesh_door::document::{Access, Document, Gate, People, VERSION};
use openmesh_door::host::pattern_of;
use openmesh_door::pass::Key;

/// Port of HTTP with TLS that an address need not name.
const HTTPS: u16 = 443;

/// People of the machine, as its agent knows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visitors {
    /// Key from which those of applications are derived.
    pub key: Key,
    /// Wallets of the owners and admins.
    pub owners: BTreeSet<String>,
    /// Wallets with any role.
    pub members: BTreeSet<String>,
}

impl Visitors {
    /// The people in a document that lets some in; it is left as it is where it lets none in.
    pub fn renew(&self, document: &mut Document) {
        if let Some(people) = &mut document.people {
            people.owners = self.owners.iter().cloned().collect();
            people.members = self.members.iter().cloned().collect();
        }
    }
}

/// Returns true where a certificate covers a host.
pub(super) fn has_certificate(document: &Document, host: &str) -> bool {
    let pattern = pattern_of(host);
    let mut names = document.certificates.iter().flat_map(|one| &one.names);
    names.any(|name| name == host || Some(name) == pattern.as_ref())
}

/// Gives every host that is not for everybody and has a certificate its way in, with TLS alone. `face` is the route to the agent and the port of its names.
/// Without a certificate, or a place where people sign in, nobody comes in, of which the words are given.
pub(super) fn guard(document: &mut Document, face: Option<(&str, u16)>, visitors: Option<&Visitors>) -> Vec<String> {
    let hosts = document.hosts.iter().filter(|(_, host)| host.access != Access::Everybody);
    let guarded: Vec<String> = hosts.map(|(name, _)| name.clone()).collect();
    if guarded.is_empty() {
        return Vec::new();
    }
    let sign_in = face.and_then(|(route, port)| sign_in(document, route, port));
    let Some((sign_in, visitors)) = sign_in.zip(visitors) else {
        let words = |name: &String| {
            format!(
                "{name} lets nobody in: it is not for everybody, and people sign in under a name of the machine's own with a certificate; `hosts` in xnode.toml gives one"
            )
        };
        return guarded.iter().map(words).collect();
    };
    let (covered, bare): (Vec<String>, Vec<String>) =
        guarded.into_iter().partition(|name| has_certificate(document, name));
    for name in &covered {
        let Some(host) = document.hosts.get_mut(name) else { continue };
        let application = host.route.split('/').next().unwrap_or_default().to_string();
        host.gate = Some(Gate { key: visitors.key.of(&application), application });
        // A pass that goes over the line in the clear is anybody's.
        host.secure = true;
    }
    if !covered.is_empty() {
        let people = People { sign_in, owners: Vec::new(), members: Vec::new() };
        (document.version, document.people) = (VERSION, Some(people));
        visitors.renew(document);
    }
    // Without a gate a door of any version lets nobody in.
    let words = |name: &String| {
        format!(
            "{name} lets nobody in: it is not for everybody and has no certificate, and without TLS a pass would go to every port of that name; `openmesh xnode doors certificate {name}` gives one"
        )
    };
    bare.iter().map(words).collect()
}

/// Address of the agent's own page: the first of its names with a certificate.
fn sign_in(document: &Document, route: &str, port: u16) -> Option<String> {
    let mut own = document.hosts.iter().filter(|(_, host)| host.route == route).map(|(name, _)| name);
    let name = own.find(|name| !name.starts_with('*') && has_certificate(document, name))?;
    Some(if port == HTTPS { format!("https://{name}") } else { format!("https://{name}:{port}") })
}
