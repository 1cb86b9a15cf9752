//! The part of the door's document that lets visitors in where not everybody may come in. Pure.
//!
//! Whoever may come in stands in the document itself, so that the door asks nobody: the wallets of an audience, and those of the machine's own people. A
//! key for each application is derived from one of the agent's.

use std::collections::BTreeSet;

use openmesh_door::document::{Access, Document, Gate, People, VERSION};
use openmesh_door::pass::Key;

use super::document::{Own, Places, Written, has_certificate};

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

/// Gives every host that is not for everybody its way in, and TLS where it has a certificate. Without a place where people sign in nobody comes in, which
/// is said.
pub(super) fn guard(own: Option<&Own>, visitors: Option<&Visitors>, places: &Places, written: &mut Written) {
    let hosts = written.document.hosts.iter().filter(|(_, host)| host.access != Access::Everybody);
    let guarded: Vec<String> = hosts.map(|(name, _)| name.clone()).collect();
    if guarded.is_empty() {
        return;
    }
    let sign_in = own.and_then(|_| sign_in(&written.document, places));
    let Some((sign_in, visitors)) = sign_in.zip(visitors) else {
        let words = |name: &String| {
            format!(
                "{name} lets nobody in: it is not for everybody, and people sign in under a name of the machine's own with a certificate; `hosts` in xnode.toml gives one"
            )
        };
        written.remarks.extend(guarded.iter().map(words));
        return;
    };
    for name in guarded {
        let covered = has_certificate(&written.document, &name);
        let Some(host) = written.document.hosts.get_mut(&name) else { continue };
        let application = host.route.split('/').next().unwrap_or_default().to_string();
        host.gate = Some(Gate { key: visitors.key.of(&application), application });
        // A pass that goes over the line in the clear is anybody's.
        host.secure |= covered;
    }
    let people = People { sign_in, owners: Vec::new(), members: Vec::new() };
    (written.document.version, written.document.people) = (VERSION, Some(people));
    visitors.renew(&mut written.document);
}

/// Address of the agent's own page: its first name with a certificate.
fn sign_in(document: &Document, places: &Places) -> Option<String> {
    let mut own = document.hosts.iter().filter(|(_, host)| Own::is_at(&host.route)).map(|(name, _)| name);
    let name = own.find(|name| !name.starts_with('*') && has_certificate(document, name))?;
    match places.https.first()?.port() {
        HTTPS => Some(format!("https://{name}")),
        port => Some(format!("https://{name}:{port}")),
    }
}
