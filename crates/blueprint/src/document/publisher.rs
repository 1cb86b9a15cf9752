//! Catalogues of templates of other publishers, as a document names them.

use std::net::IpAddr;

use openmesh_primitives::ValidatorPublicKey;

use crate::text::{record, scalar};

/// Most catalogues of one machine: each is looked at several times a day, and is read by a person before it is trusted.
pub const CATALOGUES_MAX: usize = 16;
/// Longest address, in bytes: that of a folder with room for its parts.
const ADDRESS_BYTES_MAX: usize = 1024;

scalar! {
    ValidatorPublicKey: "a public key of ed25519, 64 hexadecimal digits", "^(0x)?[0-9a-fA-F]{64}$";
}

record! {
    /// A catalogue of templates of another publisher.
    CatalogueSource {
        /// Address, https; or the path of a folder of this machine.
        address: String,
        /// The publisher's public key: only what it has signed is used.
        key: ValidatorPublicKey,
    }
}

impl CatalogueSource {
    /// The fault of its address as a half sentence, with a way out; none where it is one.
    pub(super) fn fault(&self) -> Option<(String, &'static str)> {
        const FORMS: &str = "write it as `https://templates.example.org/xnode`, or as the path of a folder";
        let address = &self.address;
        let is_odd = |c: char| c.is_control() || c.is_whitespace() || matches!(c, '?' | '#' | '@' | '\\');
        if address.len() > ADDRESS_BYTES_MAX || (!address.starts_with('/') && address.contains(is_odd)) {
            return Some(("is no plain address of a catalogue".to_string(), FORMS));
        }
        if address.starts_with('/') {
            let is_plain = address.len() > 1
                && !address.contains(char::is_control)
                && address.split('/').skip(1).all(|part| !matches!(part, "" | "." | ".."));
            return (!is_plain)
                .then(|| (format!("is `{address}`, which is no path from the root without `..`"), FORMS));
        }
        if let Some(rest) = address.strip_prefix("https://") {
            return authority(rest).is_empty().then(|| (format!("is `{address}`, which names no host"), FORMS));
        }
        match address.strip_prefix("http://") {
            Some(rest) if is_loopback(authority(rest)) => None,
            Some(_) => Some((format!("is `{address}`, which is not encrypted and not on this machine"), FORMS)),
            None => Some((format!("is `{address}`, which is neither an address of https nor a path"), FORMS)),
        }
    }
}

/// Host and port of an address, from behind its scheme.
fn authority(rest: &str) -> &str {
    rest.split('/').next().unwrap_or_default()
}

/// Returns true for a host, with or without a port, that is an address of loopback.
fn is_loopback(authority: &str) -> bool {
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use crate::document::Document;

    fn with(catalogues: &str) -> Result<Document, String> {
        let text = format!("version: 1\nmachine: {{catalogues: {catalogues}}}\napplications: {{}}\n");
        Document::parse(&text).map_err(|problems| problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_catalogue_has_an_address_and_a_key() {
        let key = "ab".repeat(32);
        for address in [
            "https://templates.example.org/xnode",
            "https://templates.example.org:8443",
            "http://127.0.0.1:8000/a",
            "http://[::1]:8000",
            "/srv/templates",
        ] {
            let document = with(&format!("{{acme: {{address: \"{address}\", key: {key}}}}}")).unwrap();
            assert_eq!(Document::parse(&document.to_yaml()).unwrap(), document, "{address}");
            assert_eq!(Document::parse(&document.to_json()).unwrap(), document, "{address}");
        }
        for (wrong, words) in [
            ("http://templates.example.org", "not encrypted"),
            ("http://localhost:8000", "not encrypted"),
            ("http://127.0.0.1.example.org/", "not encrypted"),
            ("http://user@127.0.0.1/", "no plain address"),
            ("https://user:word@a.example/", "no plain address"),
            ("https://a.example/?a=b", "no plain address"),
            ("https://a.example/a b", "no plain address"),
            ("https:///a", "names no host"),
            ("ftp://a.example/", "neither an address of https"),
            ("templates", "neither an address of https"),
            ("/srv/../etc", "no path from the root"),
            ("/", "no path from the root"),
            ("/srv//a", "no path from the root"),
        ] {
            let problems = with(&format!("{{acme: {{address: \"{wrong}\", key: {key}}}}}")).unwrap_err();
            assert!(problems.contains(words), "{wrong}: {problems}");
        }
        assert!(with("{acme: {address: /srv/a, key: abcd}}").unwrap_err().contains("machine.catalogues.acme.key"));
        assert!(with("{acme: {address: /srv/a}}").unwrap_err().contains("lacks `key`"));
        let many: Vec<String> = (0..17).map(|n| format!("c{n}: {{address: /srv/a, key: {key}}}")).collect();
        assert!(with(&format!("{{{}}}", many.join(", "))).unwrap_err().contains("at most 16"));
    }

    #[test]
    fn a_template_of_a_catalogue_names_its_version() {
        let one = |template: &str| {
            let text = format!("version: 1\napplications: {{shop: {{template: {template}}}}}\n");
            Document::parse(&text).map_err(|problems| problems.iter().map(ToString::to_string).collect::<String>())
        };
        let document = one("{catalogue: acme, name: shop, version: 3}").unwrap();
        assert_eq!(Document::parse(&document.to_yaml()).unwrap(), document);
        let using = document.applications.values().next().unwrap().template.as_ref().unwrap();
        assert_eq!(using.words(), "acme/shop 3");
        assert!(one("{catalogue: acme, name: shop}").unwrap_err().contains("needs its version"));
        assert!(one("{name: redis}").is_ok());
    }
}
