//! Small forms of compose files: durations, sizes, commands and ports.

use crate::document::{HostAddress, Period, Protocol, Size};

/// Most ports of one range: more are a mistake as a rule.
const RANGE_PORTS_MAX: u16 = 100;

/// A duration as `1m30s`, `500ms`, `1.5h` or `0`.
pub(super) fn duration(text: &str) -> Option<Period> {
    const UNITS: [(&str, u64); 6] =
        [("us", 1), ("µs", 1), ("ms", 1_000), ("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000)];
    let mut rest = text.trim();
    let mut micros = 0u64;
    if rest == "0" {
        return Some(Period(0));
    }
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (whole, part) = rest[..end].split_once('.').unwrap_or((&rest[..end], "0"));
        rest = &rest[end..];
        let (unit, factor) = UNITS.iter().find(|(unit, _)| rest.starts_with(unit))?;
        // Three places are as fine as the document's own milliseconds need.
        let part: String = part.chars().chain("000".chars()).take(3).collect();
        let thousandths = whole.parse::<u64>().ok()?.checked_mul(1_000)?.checked_add(part.parse().ok()?)?;
        micros = micros.checked_add(thousandths.checked_mul(*factor)? / 1_000)?;
        rest = &rest[unit.len()..];
    }
    Some(Period(micros / 1_000))
}

/// A number of bytes as `512m`, `1g`, `64KB` or `1073741824`: binary units, as Docker has them.
pub(super) fn bytes(text: &str) -> Option<Size> {
    let lower = text.trim().to_ascii_lowercase();
    let end = lower.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(lower.len());
    let unit = match lower[end..].trim().trim_end_matches("ib").trim_end_matches('b') {
        "" => "B",
        "k" => "KiB",
        "m" => "MiB",
        "g" => "GiB",
        "t" => "TiB",
        _ => return None,
    };
    format!("{} {unit}", &lower[..end]).parse().ok()
}

/// A command in one line as a shell would split it, with quotes and backslashes and without expansion.
pub(super) fn words(text: &str) -> Option<Vec<String>> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some('"') | None, '\\') => word.get_or_insert_default().push(characters.next()?),
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

/// A port of a service, with its publication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ServicePort {
    /// Port in the container.
    pub(super) target: u16,
    /// Its protocol.
    pub(super) protocol: Protocol,
    /// Address and port of the host; no port means any.
    pub(super) published: Option<(HostAddress, Option<u16>)>,
    /// Its name, where it has one.
    pub(super) name: Option<String>,
}

fn range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let range: (u16, u16) = (first.parse().ok()?, last.parse().ok()?);
    (range.0 > 0 && range.0 <= range.1 && range.1 - range.0 < RANGE_PORTS_MAX).then_some(range)
}

/// The protocol of a word.
pub(super) fn protocol(text: &str) -> Option<Protocol> {
    match text {
        "tcp" => Some(Protocol::Tcp),
        "udp" => Some(Protocol::Udp),
        _ => None,
    }
}

/// Ports of the short form `[[address:]published:]target[/protocol]`, of which either may be a range.
pub(super) fn ports(text: &str) -> Option<Vec<ServicePort>> {
    let (rest, word) = text.rsplit_once('/').unwrap_or((text, "tcp"));
    let protocol = protocol(word)?;
    let (before, target) = match rest.rsplit_once(':') {
        Some((before, target)) => (Some(before), target),
        None => (None, rest),
    };
    let target = range(target)?;
    let (address, published) = match before {
        None => (HostAddress::ANY, None),
        Some(before) => match before.rsplit_once(':') {
            Some((address, published)) => {
                let address = address.trim_start_matches('[').trim_end_matches(']').parse().ok()?;
                (address, if published.is_empty() { None } else { Some(range(published)?) })
            }
            None => (HostAddress::ANY, Some(range(before)?)),
        },
    };
    if published.is_some_and(|(first, last)| last - first != target.1 - target.0) {
        return None;
    }
    let port = |index: u16| ServicePort {
        target: target.0 + index,
        protocol,
        published: Some((address, published.map(|(first, _)| first + index))),
        name: None,
    };
    Some((0..=target.1 - target.0).map(port).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_forms() {
        assert_eq!(duration("1m30s"), Some(Period(90_000)));
        assert_eq!(duration("500ms"), Some(Period(500)));
        assert_eq!(duration("1.5h"), Some(Period(5_400_000)));
        assert_eq!(duration("0s"), Some(Period(0)));
        assert_eq!(duration("0"), Some(Period(0)));
        assert_eq!(duration("1500us"), Some(Period(1)));
        for text in ["", "5", "s", "1x", "-1s", ".s", "1.2.3s", "99999999999h"] {
            assert_eq!(duration(text), None, "{text}");
        }
        assert_eq!(bytes("512m"), Some(Size(512 << 20)));
        assert_eq!(bytes("1.5GB"), Some(Size(3 << 29)));
        assert_eq!(bytes("1048576"), Some(Size(1 << 20)));
        assert_eq!(bytes("1q"), None);
        assert_eq!(words(r#"a "b c" 'd "e' f\ g """#).unwrap(), ["a", "b c", "d \"e", "f g", ""]);
        assert_eq!(words("a 'b"), None);
    }

    #[test]
    fn ports_of_the_short_form() {
        let short = |text: &str| {
            let all = ports(text)?.into_iter().map(|port| match port.published {
                Some((address, Some(host))) => format!("{address}:{host}>{}/{}", port.target, port.protocol),
                _ => format!("any>{}/{}", port.target, port.protocol),
            });
            Some(all.collect::<Vec<_>>().join(" "))
        };
        assert_eq!(short("80").unwrap(), "any>80/tcp");
        assert_eq!(short("8080:80").unwrap(), "0.0.0.0:8080>80/tcp");
        assert_eq!(short("127.0.0.1:53:5353/udp").unwrap(), "127.0.0.1:53>5353/udp");
        assert_eq!(short("[::1]:80:80").unwrap(), "::1:80>80/tcp");
        assert_eq!(short("127.0.0.1::80").unwrap(), "any>80/tcp");
        assert_eq!(short("3000-3001:4000-4001").unwrap(), "0.0.0.0:3000>4000/tcp 0.0.0.0:3001>4001/tcp");
        for text in ["", "0:80", "80:x", "1-3:1-2", "1-2000:1-2000", "80/sctp", "a:80:80", "70000:1"] {
            assert_eq!(short(text), None, "{text}");
        }
    }
}
