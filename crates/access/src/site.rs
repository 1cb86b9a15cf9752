//! Names under which the agent is asked, and pages from which it is: against DNS rebinding and requests of other sites (clauses of `docs/spec/access.md`).

use std::net::IpAddr;

/// Longest value of `Host` and `Origin`, bytes: a name of DNS has 253, and a port and a scheme are added.
const BYTES_MAX: usize = 300;

/// Names under which the agent may be asked, beside those of loopback.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names(Vec<String>);

impl Names {
    /// These names, in any case.
    pub fn new(names: impl IntoIterator<Item = String>) -> Names {
        let names = names.into_iter().map(|name| name.trim().trim_end_matches('.').to_ascii_lowercase());
        Names(names.filter(|name| !name.is_empty()).collect())
    }

    /// The kind of a `Host`; none where the agent must not answer under it.
    pub fn kind(&self, host: &str) -> Option<Kind> {
        let name = name(host)?.to_ascii_lowercase();
        let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok();
        if name == "localhost" || address.is_some_and(|address| address.is_loopback()) {
            return Some(Kind::Loopback);
        }
        self.0.contains(&name).then_some(Kind::Named)
    }
}

/// Kind of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A name of loopback. Its cookies go to every port of the machine, those of applications too: no session lies in one.
    Loopback,
    /// A name that was given, behind the door and its TLS.
    Named,
}

/// The name in a `Host`; none where it is of another form. A dot at its end is no other name.
fn name(host: &str) -> Option<&str> {
    if host.is_empty() || host.len() > BYTES_MAX {
        return None;
    }
    let (name, port) = match host.rfind(':') {
        Some(at) if !host.ends_with(']') => (&host[..at], Some(&host[at + 1..])),
        _ => (host, None),
    };
    if port.is_some_and(|port| port.parse::<u16>().is_err() || !port.bytes().all(|byte| byte.is_ascii_digit())) {
        return None;
    }
    let bracketed = name.starts_with('[') && name.ends_with(']');
    let good =
        |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte) || (bracketed && b":[]".contains(&byte));
    let name = name.strip_suffix('.').unwrap_or(name);
    (!name.is_empty() && name.bytes().all(good)).then_some(name)
}

/// Words of a browser about the page that asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Page<'a> {
    /// `Origin`.
    pub origin: Option<&'a str>,
    /// `Sec-Fetch-Site`.
    pub fetch_site: Option<&'a str>,
}

/// Reason for which a page may not ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Foreign {
    /// It is of another site.
    #[error("the page that asks is of another site; open the agent's own page")]
    Other,
    /// Nothing tells that it is of this site.
    #[error(
        "nothing tells that the agent's own page asks: a change with a cookie needs an Origin or Sec-Fetch-Site; programs send a bearer token in place of the cookie"
    )]
    Unknown,
}

impl Page<'_> {
    /// Checks that the agent's own page asks. `acts` is true for whatever changes something or opens a connection for that, `by_cookie` where the browser adds the
    /// session by itself.
    ///
    /// # Errors
    /// [`Foreign`].
    pub fn check(&self, host: &str, acts: bool, by_cookie: bool) -> Result<(), Foreign> {
        if !acts && !by_cookie {
            return Ok(());
        }
        if let Some(origin) = self.origin {
            // A cookie is of a page with TLS: one without could be anybody's on the way there.
            let plain = origin.strip_prefix("http://").filter(|_| !by_cookie);
            let authority = plain.or_else(|| origin.strip_prefix("https://"));
            let here = origin.len() <= BYTES_MAX && authority.is_some_and(|found| found.eq_ignore_ascii_case(host));
            return if here { Ok(()) } else { Err(Foreign::Other) };
        }
        match self.fetch_site {
            Some("same-origin") => Ok(()),
            // A person typed the address or followed a bookmark: they look, and nothing is changed by that.
            Some("none") if !acts => Ok(()),
            Some(_) => Err(Foreign::Other),
            None if acts && by_cookie => Err(Foreign::Unknown),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names() -> Names {
        Names::new(["Xnode.Example.".into(), "box.local".into(), " ".into()])
    }

    #[test]
    fn names_of_the_agent() {
        for host in ["localhost", "LocalHost:7780", "localhost.:80", "127.0.0.1:1", "127.9.9.9", "[::1]:7780", "[::1]"]
        {
            assert_eq!(names().kind(host), Some(Kind::Loopback), "{host}");
        }
        for host in ["xnode.example", "XNODE.example:443", "xnode.example.", "box.local"] {
            assert_eq!(names().kind(host), Some(Kind::Named), "{host}");
        }
        for host in [
            "",
            ":80",
            ".",
            "evil.example",
            "xnode.example.evil",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "xnode.example@evil.example",
            "evil.example/xnode.example",
            "xnode.example, evil.example",
            "xnode.example:port",
            "xnode.example:+80",
            "xnode.example:99999",
            "::1",
            "[::1",
            "[::2]",
            "10.0.0.1",
            "0.0.0.0",
            "xnode.example ",
        ] {
            assert_eq!(names().kind(host), None, "{host}");
        }
        assert_eq!(names().kind(&"a".repeat(BYTES_MAX + 1)), None);
    }

    #[test]
    fn pages_of_other_sites_change_nothing() {
        let host = "xnode.example";
        let page = |origin, fetch_site| Page { origin, fetch_site };
        let own = page(Some("https://Xnode.example"), None);
        for (acts, by_cookie) in [(false, false), (true, false), (false, true), (true, true)] {
            assert_eq!(own.check(host, acts, by_cookie), Ok(()));
        }
        for origin in [
            "null",
            "https://evil.example",
            "https://xnode.example.evil",
            "https://xnode.example:444",
            "xnode.example",
            "https://a@xnode.example",
            "",
        ] {
            let page = page(Some(origin), Some("same-origin"));
            assert_eq!(page.check(host, true, true), Err(Foreign::Other), "{origin}");
            assert_eq!(page.check(host, true, false), Err(Foreign::Other), "{origin}");
            assert_eq!(page.check(host, false, true), Err(Foreign::Other), "{origin}");
        }
        // The same name without TLS: with a token that it has it may act, with the browser's cookie not.
        let plain = page(Some("http://xnode.example"), Some("same-origin"));
        assert_eq!(plain.check(host, true, false), Ok(()));
        assert_eq!(plain.check(host, true, true), Err(Foreign::Other));
        assert_eq!(plain.check(host, false, true), Err(Foreign::Other));
        for site in ["cross-site", "same-site", "none"] {
            assert_eq!(page(None, Some(site)).check(host, true, true), Err(Foreign::Other), "{site}");
        }
        assert_eq!(page(None, Some("none")).check(host, false, true), Ok(()));
        assert_eq!(page(None, Some("same-site")).check(host, false, true), Err(Foreign::Other));
        // A program: with a bearer token it acts, with a cookie alone it does not.
        assert_eq!(Page::default().check(host, true, false), Ok(()));
        assert_eq!(Page::default().check(host, true, true), Err(Foreign::Unknown));
        assert_eq!(Page::default().check(host, false, true), Ok(()));
    }

    proptest! {
        #[test]
        fn any_text_is_a_name_or_none(host in "\\PC{0,40}") {
            if let Some(kind) = names().kind(&host) {
                let lower = host.to_ascii_lowercase();
                let known = ["localhost", "127.", "[::", "[0", "xnode.example", "box.local"];
                prop_assert!(known.iter().any(|name| lower.starts_with(name)), "{host} {kind:?}");
            }
        }
    }
}
