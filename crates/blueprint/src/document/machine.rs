//! The machine as a person describes it.

use std::collections::{BTreeMap, BTreeSet};

use super::application::Content;
use super::names::{Domain, Name, Subnet};
use super::prices::Prices;
use super::publisher::CatalogueSource;
use super::units::{Period, Size};
use crate::text::{record, words};

words! {
    /// Kind of a place for backups.
    StoreKind {
        /// Another Xnode, by its key as a lender.
        Peer = "peer",
        /// An object store with the protocol of S3.
        S3 = "s3",
        /// A folder of this machine: of another disk, or of a file system of the network.
        Folder = "folder",
    }
}

record! {
    /// A place for backups.
    Store {
        /// Its kind.
        kind: StoreKind,
        /// Address: `host:port` of a peer, URL of an object store, path of a folder.
        address: String,
        /// Key of a peer as a lender, 64 hexadecimal digits: no other machine is taken for it.
        node: Option<String>,
        /// Bucket of an object store; behind a slash the beginning of all keys in it.
        bucket: Option<String>,
        /// Region of an object store.
        region: Option<String>,
        /// Key id of an object store.
        key: Option<Content>,
        /// Secret key of an object store.
        secret: Option<Content>,
    }
}

impl Store {
    /// Faults of a place at another Xnode, each with its key and what helps.
    pub(super) fn peer_faults(&self) -> Vec<(&'static str, String, &'static str)> {
        let mut faults = Vec::new();
        let port = self.address.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port);
        if !port.is_some_and(|port| port.parse::<u16>().is_ok_and(|port| port > 0)) {
            let what = format!("is `{}`, which is no host with a port", self.address);
            faults.push(("address", what, "write it as `attic.example.org:7790`"));
        }
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let is_key = |node: &String| node.len() == 64 && node.bytes().all(is_digit);
        if let Some(node) = self.node.as_ref().filter(|&node| !is_key(node)) {
            let what = format!("is `{node}`, which is no key of a machine: it has 64 hexadecimal digits in lower case");
            faults.push(("node", what, "`openmesh xnode lend list` prints it on the machine that lends"));
        }
        faults
    }
}

record! {
    /// Sign-in to a registry.
    Registry {
        /// Its host, with a port where it has one.
        host: String,
        /// User.
        username: String,
        /// Password or token: a secret.
        password: Content,
    }
}

record! {
    /// Parts of the machine that are kept from applications.
    Reserve {
        /// Memory.
        memory: Size = Size(256 << 20),
        /// Disk.
        disk: Size = Size(1 << 30),
    }
}

record! {
    /// Ports of the host that are chosen from.
    PortRange {
        /// First one.
        first: u16 = 20_000,
        /// Last one.
        last: u16 = 29_999,
    }
}

record! {
    /// A receiver of alerts, by POST with a signature in its headers.
    Webhook {
        /// Address, https; a secret where it holds a key of its receiver.
        url: Content,
        /// Key of the signatures: a secret.
        secret: Content,
        /// The address may be on this machine or in a private network, and begin with http.
        private: bool = false,
    }
}

record! {
    /// Alerts.
    Alerts {
        /// Receivers by name.
        webhooks: BTreeMap<Name, Webhook>,
    }
}

/// Directory of Let's Encrypt.
pub const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

record! {
    /// A program of somebody else that sets records in the DNS, by POST with a signature in its headers.
    DnsHook {
        /// Address, https; a secret where it holds a key of its receiver.
        url: Content,
        /// Key of the signatures: a secret.
        secret: Content,
        /// The address may be on this machine or in a private network, and begin with http.
        private: bool = false,
        /// Servers of the DNS, each with a port where it is another one than 53, that are asked whether a record is there; without them those of its zone.
        resolvers: Vec<String>,
        /// Longest time until a record is there.
        wait: Period = Period(300_000),
    }
}

record! {
    /// Certificates of public domains, ordered from an authority by ACME.
    Certificates {
        /// Address of the authority's directory.
        directory: String = LETS_ENCRYPT.to_string(),
        /// Address of e-mail at which the authority reaches a person.
        contact: String,
        /// A person has read the terms of the authority and agrees; nothing is ordered without.
        agree: bool = false,
        /// Certificate, as PEM, by which the server of a private authority is known beside those that the machine trusts.
        root: Option<String>,
        /// Domains for which nothing is ordered.
        except: BTreeSet<Domain>,
        /// Way to prove names in the DNS: patterns are ordered with it alone.
        dns: Option<DnsHook>,
    }
}

record! {
    /// The machine.
    Machine {
        /// Its name for people.
        name: Option<Name>,
        /// Addresses of the applications.
        subnet: Subnet = Subnet { address: std::net::Ipv4Addr::new(10, 89, 0, 0), prefix: 16 },
        /// Ports that are chosen from where a document names none.
        ports: PortRange = PortRange { first: 20_000, last: 29_999 },
        /// Parts that are kept from applications.
        reserve: Reserve = Reserve { memory: Size(256 << 20), disk: Size(1 << 30) },
        /// Sign-ins to registries.
        registries: Vec<Registry>,
        /// Places for backups by name.
        backups: BTreeMap<Name, Store>,
        /// Alerts and their receivers.
        alerts: Alerts,
        /// Certificates of public domains; none is ordered without it.
        certificates: Option<Certificates>,
        /// Catalogues of templates of other publishers by name.
        catalogues: BTreeMap<Name, CatalogueSource>,
        /// Prices by which costs of applications are shown; none are shown without it.
        prices: Option<Prices>,
    }
}

#[cfg(test)]
mod tests {
    use crate::document::{Document, StoreKind};

    fn with(store: &str) -> Result<Document, String> {
        let text = format!("version: 1\nmachine:\n  backups:\n    disk: {store}\napplications: {{}}\n");
        Document::parse(&text).map_err(|problems| problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_webhook_has_an_address_and_the_name_of_a_secret() {
        let with = |webhook: &str| {
            let text =
                format!("version: 1\nmachine: {{alerts: {{webhooks: {{ops: {webhook}}}}}}}\napplications: {{}}\n");
            Document::parse(&text).map_err(|problems| problems.iter().map(ToString::to_string).collect::<String>())
        };
        let document = with("{url: \"https://hooks.example.org/a\", secret: {secret: hook}}").unwrap();
        assert_eq!(Document::parse(&document.to_yaml()).unwrap(), document);
        assert!(with("{url: {secret: address}, secret: {secret: hook}, private: true}").is_ok());
        assert!(with("{url: \"http://10.0.0.1/a\", secret: {secret: hook}, private: true}").is_ok());
        for (wrong, words) in [
            ("{url: \"http://hooks.example.org\", secret: {secret: hook}}", "private: true"),
            ("{url: \"ftp://a\", secret: {secret: hook}, private: true}", "no address"),
            ("{url: \"https://a/\", secret: \"in the open\"}", "name of a secret"),
            ("{url: \"https://a/\"}", "secret"),
        ] {
            let problems = with(wrong).unwrap_err();
            assert!(problems.contains(words), "{wrong}: {problems}");
        }
    }

    #[test]
    fn nothing_is_ordered_before_a_person_agrees() {
        let with = |certificates: &str| {
            let text = format!("version: 1\nmachine: {{certificates: {certificates}}}\napplications: {{}}\n");
            Document::parse(&text).map_err(|problems| problems.iter().map(ToString::to_string).collect::<String>())
        };
        let document = with("{contact: ops@example.org, agree: true, except: [a.example.org]}").unwrap();
        assert_eq!(document.machine.certificates.as_ref().unwrap().directory, super::LETS_ENCRYPT);
        let root = "\"-----BEGIN CERTIFICATE-----\\nMIIB\\n-----END CERTIFICATE-----\\n\"";
        let directory = "https://127.0.0.1:14000/dir";
        let own =
            with(&format!("{{contact: a@b.lan, agree: true, directory: \"{directory}\", root: {root}}}")).unwrap();
        for document in [document, own] {
            assert_eq!(Document::parse(&document.to_yaml()).unwrap(), document);
            assert_eq!(Document::parse(&document.to_json()).unwrap(), document);
        }
        for (wrong, words) in [
            ("{contact: ops@example.org}", "agree: true"),
            ("{agree: true}", "lacks `contact`"),
            ("{contact: ops, agree: true}", "no address of e-mail"),
            ("{contact: a@b.lan, agree: true, directory: \"http://ca.lan/dir\"}", "https://"),
            ("{contact: a@b.lan, agree: true, root: x}", "PEM"),
        ] {
            let problems = with(wrong).unwrap_err();
            assert!(problems.contains(words), "{wrong}: {problems}");
        }
    }

    #[test]
    fn a_peer_is_a_host_with_a_port_and_a_key() {
        let key = "ab".repeat(32);
        let document = with(&format!("{{kind: peer, address: \"attic.lan:7790\", node: {key}}}")).unwrap();
        assert_eq!(document.machine.backups.values().next().unwrap().kind, StoreKind::Peer);
        assert_eq!(Document::parse(&document.to_yaml()).unwrap(), document);
        assert!(with(&format!("{{kind: peer, address: \"[fd00::7]:7790\", node: {key}}}")).is_ok());
        let (key, upper) = (key.as_str(), key.to_uppercase());
        for (address, node, words) in [
            ("attic.lan", key, "no host with a port"),
            (":7790", key, "no host with a port"),
            ("attic.lan:0", key, "no host with a port"),
            ("attic.lan:70000", key, "no host with a port"),
            ("attic.lan:7790", "ab", "no key of a machine"),
            ("attic.lan:7790", upper.as_str(), "no key of a machine"),
        ] {
            let problems = with(&format!("{{kind: peer, address: \"{address}\", node: {node}}}")).unwrap_err();
            assert!(problems.contains(words), "{address} {node}: {problems}");
        }
        assert!(with("{kind: peer, address: \"attic.lan:7790\"}").unwrap_err().contains("lacks `node`"));
    }

    #[test]
    fn a_hook_for_the_dns_has_an_address_a_secret_and_an_end() {
        let with = |hook: &str| {
            let certificates = format!("{{contact: a@b.lan, agree: true, dns: {hook}}}");
            let text = format!("version: 1\nmachine: {{certificates: {certificates}}}\napplications: {{}}\n");
            Document::parse(&text).map_err(|problems| problems.iter().map(ToString::to_string).collect::<String>())
        };
        let document = with("{url: \"https://dns.example.org/hook\", secret: {secret: dns}}").unwrap();
        let hook = document.machine.certificates.as_ref().unwrap().dns.as_ref().unwrap();
        assert_eq!((hook.wait, hook.private, hook.resolvers.len()), (super::Period(300_000), false, 0));
        let near = "{url: \"http://127.0.0.1:5380/\", secret: {secret: dns}, private: true, wait: 30s, resolvers: [192.0.2.53, \"[2001:db8::1]:53\"]}";
        for document in [document, with(near).unwrap()] {
            assert_eq!(Document::parse(&document.to_yaml()).unwrap(), document);
            assert_eq!(Document::parse(&document.to_json()).unwrap(), document);
        }
        for (wrong, words) in [
            ("{url: \"http://dns.example.org/\", secret: {secret: dns}}", "private: true"),
            ("{url: dns.example.org, secret: {secret: dns}}", "no address of a receiver"),
            ("{url: \"https://a/\", secret: \"in the open\"}", "name of a secret"),
            ("{url: \"https://a/\"}", "lacks `secret`"),
            ("{url: \"https://a/\", secret: {secret: dns}, resolvers: [ns.example.org]}", "no address of a server"),
            ("{url: \"https://a/\", secret: {secret: dns}, wait: 2h}", "1 s to 1 h"),
            ("{url: \"https://a/\", secret: {secret: dns}, command: [sh]}", "is not a known key"),
        ] {
            let problems = with(wrong).unwrap_err();
            assert!(problems.contains(words), "{wrong}: {problems}");
        }
    }

    #[test]
    fn a_folder_is_a_plain_path() {
        let document = with("{kind: folder, address: /mnt/backups/xnode}").unwrap();
        assert_eq!(document.machine.backups.values().next().unwrap().kind, StoreKind::Folder);
        assert_eq!(Document::parse(&document.to_yaml()).unwrap(), document);
        for wrong in ["backups", "/", "/mnt/../etc", "/mnt//b", "/mnt/./b", "/mnt/b/", "\"\""] {
            let problems = with(&format!("{{kind: folder, address: {wrong}}}")).unwrap_err();
            assert!(problems.contains("no path from the root"), "{wrong}: {problems}");
        }
    }
}
