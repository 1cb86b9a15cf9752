//! Rules of the machine that no type can say.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::application::Content;
use super::checker::Checker;
use super::machine::{Certificates, DnsHook, Machine, StoreKind};
use super::names::{Name, Subnet};
use super::publisher::{CATALOGUES_MAX, CatalogueSource};

/// Networks that no instance can have an address of. Source: RFC 6890, section 2.2.2.
const SPECIAL_SUBNETS: [(Subnet, &str); 5] = [
    (Subnet { address: Ipv4Addr::new(0, 0, 0, 0), prefix: 8 }, "the addresses of \"this network\""),
    (Subnet { address: Ipv4Addr::new(127, 0, 0, 0), prefix: 8 }, "the loopback addresses"),
    (Subnet { address: Ipv4Addr::new(169, 254, 0, 0), prefix: 16 }, "the link-local addresses"),
    (Subnet { address: Ipv4Addr::new(224, 0, 0, 0), prefix: 4 }, "the multicast addresses"),
    (Subnet { address: Ipv4Addr::new(240, 0, 0, 0), prefix: 4 }, "the reserved addresses of class E"),
];
/// Most servers of the DNS that are asked for a record: more say nothing new.
const RESOLVERS_MAX: usize = 8;
/// Shortest and longest time until a record is in the DNS, milliseconds: its order is open for a day, and is tried again.
const WAIT_MS_MIN: u64 = 1_000;
const WAIT_MS_MAX: u64 = 3_600_000;

/// Notes every problem of the machine.
pub(super) fn machine(machine: &Machine, checker: &mut Checker<'_>) {
    if machine.ports.first > machine.ports.last || machine.ports.first < 1024 {
        checker.add(&["machine", "ports"], "must go from a port of at least 1024 to one that is not below it", None);
    }
    subnet(machine.subnet, checker);
    let mut hosts = BTreeSet::new();
    for (index, registry) in machine.registries.iter().enumerate() {
        let index = index.to_string();
        if !hosts.insert(&registry.host) {
            checker.add(
                &["machine", "registries", &index, "host"],
                format!("`{}` stands here twice", registry.host),
                None,
            );
        }
        secret_only(&registry.password, &["machine", "registries", &index, "password"], checker);
    }
    for (name, store) in &machine.backups {
        let path = ["machine", "backups", name.as_str()];
        let lacks = match store.kind {
            StoreKind::Peer => [("node", store.node.is_none()), ("", false), ("", false)],
            StoreKind::S3 => {
                [("bucket", store.bucket.is_none()), ("key", store.key.is_none()), ("secret", store.secret.is_none())]
            }
            StoreKind::Folder => [("", false); 3],
        };
        for (key, _) in lacks.iter().filter(|(_, lacks)| *lacks) {
            checker.add(&path, format!("lacks `{key}`, which the kind `{}` needs", store.kind), None);
        }
        if store.kind == StoreKind::Folder && !is_plain_path(&store.address) {
            let what = format!("is `{}`, which is no path from the root without `..`", store.address);
            checker.add(&[&path[..], &["address"]].concat(), what, Some("write it as `/mnt/backups/xnode`"));
        }
        let faults = if store.kind == StoreKind::Peer { store.peer_faults() } else { Vec::new() };
        for (key, what, hint) in faults {
            checker.add(&[&path[..], &[key]].concat(), what, Some(hint));
        }
        if let Some(secret) = &store.secret {
            secret_only(secret, &[&path[..], &["secret"]].concat(), checker);
        }
    }
    for (name, webhook) in &machine.alerts.webhooks {
        let path = ["machine", "alerts", "webhooks", name.as_str()];
        secret_only(&webhook.secret, &[&path[..], &["secret"]].concat(), checker);
        let what = "is not encrypted, so that anybody on the way reads the alerts";
        receiver(&webhook.url, (webhook.private, what), &[&path[..], &["url"]].concat(), checker);
    }
    if let Some(certificates) = &machine.certificates {
        check_certificates(certificates, checker);
    }
    catalogues(&machine.catalogues, checker);
}

/// Catalogues of other publishers are few, and each is at a place that can be read.
fn catalogues(all: &BTreeMap<Name, CatalogueSource>, checker: &mut Checker<'_>) {
    if all.len() > CATALOGUES_MAX {
        checker.add(&["machine", "catalogues"], format!("are {}, but at most {CATALOGUES_MAX} fit", all.len()), None);
    }
    for (name, (what, hint)) in all.iter().filter_map(|(name, source)| Some((name, source.fault()?))) {
        checker.add(&["machine", "catalogues", name.as_str(), "address"], what, Some(hint));
    }
}

/// An address to which the agent sends something: by TLS, or on a private way with the words for one that is not.
fn receiver(url: &Content, (private, open): (bool, &str), path: &[&str], checker: &mut Checker<'_>) {
    let Content::Text(url) = url else { return };
    if url.starts_with("http://") && !private {
        let hint = "write `https://`, or `private: true` for a receiver in the own network";
        checker.add(path, open, Some(hint));
    } else if !url.starts_with("https://") && !url.starts_with("http://") {
        let hint = "write it as `https://hooks.example.org/path`";
        checker.add(path, "is no address of a receiver", Some(hint));
    }
}

/// An authority is asked for certificates when a person has named it and agrees.
fn check_certificates(certificates: &Certificates, checker: &mut Checker<'_>) {
    let path = |key| ["machine", "certificates", key];
    if !certificates.agree {
        let what = "is not agreed to, so that nothing can be ordered";
        let hint =
            "read the authority's terms, to which its directory leads as `termsOfService`, and write `agree: true`";
        checker.add(&path("agree"), what, Some(hint));
    }
    let is_address = certificates.contact.split_once('@').is_some_and(|(user, host)| {
        !user.is_empty() && !host.is_empty() && !certificates.contact.contains(char::is_whitespace)
    });
    if !is_address {
        let what = format!("is `{}`, which is no address of e-mail", certificates.contact);
        checker.add(&path("contact"), what, Some("write it as `ops@example.org`"));
    }
    if !certificates.directory.starts_with("https://") {
        let what = format!("is `{}`, which is no address of a directory by TLS", certificates.directory);
        checker.add(&path("directory"), what, Some("write it as `https://ca.example.org/directory`"));
    }
    if certificates.root.as_ref().is_some_and(|root| !root.contains("-----BEGIN CERTIFICATE-----")) {
        checker.add(&path("root"), "is no certificate as PEM", Some("it begins with `-----BEGIN CERTIFICATE-----`"));
    }
    if let Some(hook) = &certificates.dns {
        check_hook(hook, checker);
    }
}

/// A hook for the DNS is reached by TLS or on a private way, and has an end.
fn check_hook(hook: &DnsHook, checker: &mut Checker<'_>) {
    let path = |key| ["machine", "certificates", "dns", key];
    secret_only(&hook.secret, &path("secret"), checker);
    let open = "is not encrypted, so that whoever is on the way could send its messages again";
    receiver(&hook.url, (hook.private, open), &path("url"), checker);
    if hook.resolvers.len() > RESOLVERS_MAX {
        let what = format!("has {} servers, but at most {RESOLVERS_MAX} are asked", hook.resolvers.len());
        checker.add(&path("resolvers"), what, None);
    }
    for (index, resolver) in hook.resolvers.iter().enumerate() {
        if resolver.parse::<IpAddr>().is_err() && resolver.parse::<SocketAddr>().is_err() {
            let index = index.to_string();
            let what = format!("is `{resolver}`, which is no address of a server");
            let hint = "write it as `192.0.2.53`, or with a port as `192.0.2.53:5353`";
            checker.add(&["machine", "certificates", "dns", "resolvers", &index], what, Some(hint));
        }
    }
    if !(WAIT_MS_MIN..=WAIT_MS_MAX).contains(&hook.wait.0) {
        let what = format!("is {}, but 1 s to 1 h are possible", hook.wait);
        checker.add(&path("wait"), what, Some("a record is seen within some minutes"));
    }
}

/// Instances have addresses that a machine can give out.
fn subnet(subnet: Subnet, checker: &mut Checker<'_>) {
    let meets = |special: &Subnet| special.contains(subnet.address) || subnet.contains(special.address);
    if let Some((special, words)) = SPECIAL_SUBNETS.iter().find(|(special, _)| meets(special)) {
        let what = format!("is {subnet}, but {special} are {words}, which no instance can have");
        let hint = "take a part of 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16 that no network of the host uses";
        checker.add(&["machine", "subnet"], what, Some(hint));
    }
}

/// A path of the host that means one place.
fn is_plain_path(text: &str) -> bool {
    text.len() > 1 && text.starts_with('/') && text.split('/').skip(1).all(|part| !matches!(part, "" | "." | ".."))
}

/// A password must not stand in a document.
fn secret_only(content: &Content, path: &[&str], checker: &mut Checker<'_>) {
    if matches!(content, Content::Text(_)) {
        checker.add(path, "must be the name of a secret", Some("write `{ secret: NAME }`"));
    }
}
