//! Host names as they stand in a `Host` field, in `:authority`, in a TLS greeting and in the document.

use std::fmt;

/// A host of a request: its name in lower case without a final dot, and its port where one was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// Name or address; an IPv6 address with its brackets.
    pub name: String,
    /// Port.
    pub port: Option<u16>,
}

impl Authority {
    /// Reads `name`, `name:port`, `1.2.3.4:port` or `[::1]:port`. `None` for user information, spaces, empty or malformed names and ports.
    pub fn parse(text: &str) -> Option<Authority> {
        let (name, port) = split(text)?;
        let port = match port {
            Some(digits) if digits.is_empty() || digits.len() > 5 => return None,
            Some(digits) if !digits.bytes().all(|byte| byte.is_ascii_digit()) => return None,
            Some(digits) => Some(digits.parse().ok()?),
            None => None,
        };
        Some(Authority { name: normal(name)?, port })
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

fn split(text: &str) -> Option<(&str, Option<&str>)> {
    if text.starts_with('[') {
        let end = text.find(']')? + 1;
        let rest = &text[end..];
        return match rest.strip_prefix(':') {
            Some(port) => Some((&text[..end], Some(port))),
            None if rest.is_empty() => Some((text, None)),
            None => None,
        };
    }
    Some(match text.split_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (text, None),
    })
}

/// A name in its normal form: lower case, no final dot. `None` where it is neither a name of at most 253 bytes with labels of 1 to 63 letters,
/// digits, hyphens and underscores, nor an IPv6 address in brackets.
pub fn normal(name: &str) -> Option<String> {
    if let Some(inner) = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let address: std::net::Ipv6Addr = inner.parse().ok()?;
        return Some(format!("[{address}]"));
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    let label_is_good = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    (name.len() <= 253 && name.split('.').all(label_is_good)).then(|| name.to_ascii_lowercase())
}

/// A name of a certificate in its normal form: as [`normal`], or `*.` and at least two labels.
pub fn normal_pattern(pattern: &str) -> Option<String> {
    match pattern.strip_prefix("*.") {
        Some(rest) => normal(rest).filter(|rest| rest.contains('.')).map(|rest| format!("*.{rest}")),
        None => normal(pattern),
    }
}

/// The pattern that covers a name: the first label replaced by `*`.
pub fn pattern_of(name: &str) -> Option<String> {
    name.split_once('.').map(|(_, rest)| format!("*.{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_have_one_reading() {
        let read = |text: &str| Authority::parse(text).map(|found| (found.name, found.port));
        assert_eq!(read("Shop.Example."), Some(("shop.example".into(), None)));
        assert_eq!(read("shop.example:8080"), Some(("shop.example".into(), Some(8080))));
        assert_eq!(read("[0::1]:80"), Some(("[::1]".into(), Some(80))));
        assert_eq!(read("127.0.0.1"), Some(("127.0.0.1".into(), None)));
        let long = format!("{}.example", "a".repeat(64));
        let bad =
            ["", ":80", "a b", "user@shop", "shop:", "shop:x", "shop:99999", "shop:80:80", "a..b", "[::1", "[::1]x"];
        for text in bad.into_iter().chain(["-a", "a/b", "a,b", "shop:+80", "shöp", "[shop]", ".", long.as_str()]) {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn patterns_stand_for_one_label() {
        assert_eq!(normal_pattern("*.Example.org"), Some("*.example.org".into()));
        for pattern in ["*.org", "*", "a.*.org", "**.example.org"] {
            assert_eq!(normal_pattern(pattern), None, "{pattern}");
        }
        assert_eq!(pattern_of("shop.example.org"), Some("*.example.org".into()));
    }
}
