//! Challenges of registries, and the tokens that answer them (RFC 7235, distribution specification's token authentication).

use std::fmt;

use url::Url;

/// A user's name and password at a registry.
#[derive(Clone)]
pub struct Credential {
    /// User.
    pub username: String,
    /// Password or access token.
    pub password: String,
}

/// The password is never shown.
impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:***", self.username)
    }
}

/// A challenge of `WWW-Authenticate`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
}

/// Characters of a challenge that are looked at: real ones have two hundred.
const CHALLENGE_CHARS_MAX: usize = 4_096;

impl Challenge {
    /// Reads the first challenge of a header; `None` for a scheme that is not known.
    pub fn parse(header: &str) -> Option<Challenge> {
        if header.len() > CHALLENGE_CHARS_MAX {
            return None;
        }
        let (scheme, rest) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Challenge::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let (mut realm, mut service, mut scope) = (None, None, None);
        for (key, value) in parameters(rest) {
            match key.to_ascii_lowercase().as_str() {
                "realm" => realm = Some(value),
                "service" => service = Some(value),
                "scope" => scope = Some(value),
                _ => {}
            }
        }
        Some(Challenge::Bearer { realm: realm?, service, scope })
    }
}

/// Pairs of `key="value"` or `key=value` between commas.
fn parameters(mut rest: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    loop {
        rest = rest.trim_start_matches([' ', ',', '\t']);
        let Some((key, after)) = rest.split_once('=') else { return found };
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => after.split_at(after.find(',').unwrap_or(after.len())),
        };
        found.push((key.trim().to_string(), value.trim().to_string()));
        rest = after;
    }
}

/// Returns true where a token server belongs to the registry: the same host and port, or the same domain of two or more labels.
pub(super) fn of_same_domain(registry: &Url, realm: &Url) -> bool {
    if registry.host_str() == realm.host_str() && registry.port_or_known_default() == realm.port_or_known_default() {
        return true;
    }
    let (Some(url::Host::Domain(a)), Some(url::Host::Domain(b))) = (registry.host(), realm.host()) else {
        return false;
    };
    let domain = |host: &str| {
        let labels: Vec<&str> = host.rsplit('.').collect();
        // Under `co.uk` and its like two labels belong to nobody: three are compared where the second is short.
        let count = if labels.get(1).is_some_and(|label| label.len() <= 3) { 3 } else { 2 };
        (labels.len() >= count)
            .then(|| labels[..count].iter().map(|label| label.to_ascii_lowercase()).collect::<Vec<_>>())
    };
    domain(a).is_some_and(|own| Some(own) == domain(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read() {
        let header = r#"Bearer realm="https://auth.example.org/token",service="a,b",scope=repository:x:pull"#;
        let found = Challenge::parse(header).unwrap();
        let text = |text: &str| Some(text.to_string());
        let scope = text("repository:x:pull");
        let realm = "https://auth.example.org/token".to_string();
        assert_eq!(found, Challenge::Bearer { realm, service: text("a,b"), scope });
        assert_eq!(Challenge::parse("basic realm=\"x\""), Some(Challenge::Basic));
        for header in
            ["", "Digest realm=x", "Bearer", "Bearer realm", "Bearer service=x", &"Bearer realm=x,".repeat(1_000)]
        {
            assert_eq!(Challenge::parse(header), None, "{header}");
        }
    }

    #[test]
    fn domains() {
        let same = |a: &str, b: &str| of_same_domain(&Url::parse(a).unwrap(), &Url::parse(b).unwrap());
        assert!(same("https://registry-1.docker.io", "https://auth.docker.io/token"));
        assert!(same("https://r.example.co.uk", "https://auth.example.co.uk"));
        assert!(same("http://127.0.0.1:5000/a", "http://127.0.0.1:5000/token"));
        for (a, b) in [
            ("http://127.0.0.1:5000", "http://127.0.0.1:5001"),
            ("https://docker.io", "https://docker.io.evil.org"),
            ("https://a.co.uk", "https://b.co.uk"),
            ("https://registry.example.org", "https://example.com"),
            ("https://org", "https://example.org"),
        ] {
            assert!(!same(a, b), "{a} {b}");
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        let credential = Credential { username: "ann".into(), password: "hunter2".into() };
        assert_eq!(format!("{credential:?}"), "ann:***");
    }
}
