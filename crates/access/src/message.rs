//! Messages of sign-in.
//!
//! Source: EIP-4361, "Sign-In with Ethereum", and RFC 3339 for its times. The grammar is kept to the letter: what is read here is what a wallet has shown, and a
//! message that could be read in two ways is refused.

use openmesh_primitives::{Address, Timestamp};

use crate::error::Refusal;
use crate::moment::Moment;

/// Longest message, bytes: a dozen resources, many times what Studio writes.
pub const MESSAGE_BYTES_MAX: usize = 4_096;
/// Longest life of a nonce, milliseconds: a person reads and signs a message within minutes.
pub const NONCE_MS_MAX: u64 = 300_000;
/// Difference between the clock that wrote a message and this machine's, milliseconds: wallets on phones are minutes off, and the nonce bounds a message's age anyway.
const SKEW_MS_MAX: i64 = 600_000;
/// Shortest nonce, characters. Source: EIP-4361.
const NONCE_CHARS_MIN: usize = 8;
/// End of the first line. Source: EIP-4361.
const PREAMBLE: &str = " wants you to sign in with your Ethereum account:";

/// Last words of the text for the person.
const HARMLESS: &str = "This costs nothing and sends no transaction.";

/// Purpose for which a message is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose<'a> {
    /// A session at the agent.
    SignIn,
    /// A visit of an application.
    Visit {
        /// The application.
        application: &'a str,
        /// Its host, with the port where it is not the scheme's own.
        host: &'a str,
    },
}

impl Purpose<'_> {
    /// The text for the person under a name of the agent. No two purposes have the same: names of applications and hosts have no space.
    pub fn statement(&self, domain: &str) -> String {
        let domain = domain.to_ascii_lowercase();
        match self {
            Purpose::SignIn => format!("Sign in to the Xnode {domain}. {HARMLESS}"),
            Purpose::Visit { application, host } => {
                format!("Open {application} at {host} through the Xnode {domain}. {HARMLESS}")
            }
        }
    }
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Scheme of the site that asks, where it is written.
    pub scheme: Option<String>,
    /// Host of the site that asks, with the port where it is not the scheme's own.
    pub domain: String,
    /// Account that signs.
    pub address: Address,
    /// Text for the person.
    pub statement: Option<String>,
    /// URI of what is signed in to.
    pub uri: String,
    /// Number of the chain.
    pub chain_id: u64,
    /// Nonce of the site that asks.
    pub nonce: String,
    /// Moment at which it was written.
    pub issued_at: Timestamp,
    /// Moment at which it ends to be valid.
    pub expiration: Option<Timestamp>,
    /// Moment from which it is valid.
    pub not_before: Option<Timestamp>,
}

impl Message {
    /// Reads a message.
    ///
    /// # Errors
    /// [`Refusal::Message`], with the place.
    pub fn parse(text: &str) -> Result<Message, Refusal> {
        if text.len() > MESSAGE_BYTES_MAX {
            return Err(wrong(format!("it has {} bytes, and at most {MESSAGE_BYTES_MAX} are read", text.len())));
        }
        let mut lines = Lines { lines: text.split('\n').collect(), at: 0 };
        let first = lines.next("the site")?.strip_suffix(PREAMBLE);
        let site = first.ok_or_else(|| wrong(format!("its first line does not end with \"{}\"", PREAMBLE.trim())))?;
        let (scheme, domain) = match site.split_once("://") {
            Some((scheme, domain)) => (Some(scheme.to_string()), domain),
            None => (None, site),
        };
        let domain = domain.to_string();
        if !is_authority(&domain) || scheme.as_deref().is_some_and(|scheme| !is_scheme(scheme)) {
            return Err(wrong(format!("`{site}` is no site")));
        }
        let address = lines.next("the account")?;
        let address = address.parse::<Address>().map_err(|cause| wrong(format!("its account: {cause}")))?;
        lines.blank()?;
        let statement = lines.statement()?;
        let uri = lines.field("URI: ")?.to_string();
        if lines.field("Version: ")? != "1" {
            return Err(wrong("its version is not 1".into()));
        }
        let chain_id = number(lines.field("Chain ID: ")?)?;
        let nonce = lines.field("Nonce: ")?.to_string();
        if nonce.len() < NONCE_CHARS_MIN || !nonce.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(wrong(format!("a nonce has at least {NONCE_CHARS_MIN} letters and digits")));
        }
        let issued_at = time(lines.field("Issued At: ")?)?;
        let expiration = lines.option("Expiration Time: ").map(time).transpose()?;
        let not_before = lines.option("Not Before: ").map(time).transpose()?;
        if lines.option("Request ID: ").is_some_and(|id| !id.is_empty() && !is_plain(id)) {
            return Err(wrong("its request id is not of visible characters".into()));
        }
        lines.resources()?;
        Ok(Message { scheme, domain, address, statement, uri, chain_id, nonce, issued_at, expiration, not_before })
    }

    /// Checks that it was made for this site: domain and URI name the host under which the agent was asked, whose name is checked before.
    ///
    /// # Errors
    /// [`Refusal::Domain`].
    pub fn check_site(&self, host: &str) -> Result<(), Refusal> {
        let is_here = |found: &str| found.eq_ignore_ascii_case(host);
        let other = |found: &str| Refusal::Domain { expected: host.into(), found: found.into() };
        if !is_here(&self.domain) {
            return Err(other(&self.domain));
        }
        if self.scheme.as_deref().is_some_and(|scheme| scheme != "http" && scheme != "https") {
            return Err(other(&format!("{}://{}", self.scheme.as_deref().unwrap_or_default(), self.domain)));
        }
        let rest = self.uri.strip_prefix("http://").or_else(|| self.uri.strip_prefix("https://"));
        let authority = rest.and_then(|rest| rest.split(['/', '?', '#']).next());
        if authority.is_some_and(is_here) { Ok(()) } else { Err(other(&self.uri)) }
    }

    /// Checks that it was signed for a purpose: the text that the person has read is the one of that purpose, to the letter.
    ///
    /// # Errors
    /// [`Refusal::Statement`].
    pub fn check_purpose(&self, purpose: Purpose<'_>, host: &str) -> Result<(), Refusal> {
        let expected = purpose.statement(host);
        if self.statement.as_deref() == Some(expected.as_str()) { Ok(()) } else { Err(Refusal::Statement { expected }) }
    }

    /// Checks its own times against the machine's clock.
    ///
    /// # Errors
    /// [`Refusal::Time`], with both times.
    pub fn check_times(&self, now: &Moment) -> Result<(), Refusal> {
        let here = now.wall.to_rfc3339();
        let refuse = |words: String| Err(Refusal::Time(format!("{words}, and it is {here} here")));
        if self.expiration.is_some_and(|end| end <= now.wall) {
            return refuse(format!("it ended at {}", self.expiration.unwrap_or_default().to_rfc3339()));
        }
        if self.not_before.is_some_and(|begin| begin > now.wall) {
            return refuse(format!("it begins at {}", self.not_before.unwrap_or_default().to_rfc3339()));
        }
        let off = self.issued_at.millis().saturating_sub(now.wall.millis());
        let oldest = -SKEW_MS_MAX - i64::try_from(NONCE_MS_MAX).unwrap_or(i64::MAX);
        if off > SKEW_MS_MAX || off < oldest {
            return refuse(format!("it was written at {}", self.issued_at.to_rfc3339()));
        }
        Ok(())
    }
}

fn wrong(words: String) -> Refusal {
    Refusal::Message(words)
}

/// Lines of a message that are still to be read.
struct Lines<'a> {
    lines: Vec<&'a str>,
    at: usize,
}

impl<'a> Lines<'a> {
    fn peek(&self) -> Option<&'a str> {
        self.lines.get(self.at).copied()
    }

    fn next(&mut self, what: &str) -> Result<&'a str, Refusal> {
        let line = self.peek().ok_or_else(|| wrong(format!("it ends before {what}")))?;
        self.at += 1;
        Ok(line)
    }

    fn blank(&mut self) -> Result<(), Refusal> {
        let line = self.next("an empty line")?;
        if line.is_empty() { Ok(()) } else { Err(wrong(format!("line {} is not empty", self.at))) }
    }

    /// The text for the person, with the empty line after it; an empty line alone where there is none.
    fn statement(&mut self) -> Result<Option<String>, Refusal> {
        let line = self.next("the text for the person")?;
        if line.is_empty() {
            return Ok(None);
        }
        // What looks alike, or is shown in another order than it is written, has no place in what a person signs.
        if !line.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
            return Err(wrong(
                "its text for the person has other characters than those of ASCII that are printed".into(),
            ));
        }
        self.blank()?;
        Ok(Some(line.into()))
    }

    fn field(&mut self, tag: &str) -> Result<&'a str, Refusal> {
        let line = self.next(tag.trim_end())?;
        let value = line.strip_prefix(tag).filter(|value| is_plain(value));
        value.ok_or_else(|| wrong(format!("line {} is not \"{tag}...\"", self.at)))
    }

    fn option(&mut self, tag: &str) -> Option<&'a str> {
        let value = self.peek()?.strip_prefix(tag)?;
        self.at += 1;
        Some(value)
    }

    /// The list of resources, and the end of the message.
    fn resources(&mut self) -> Result<(), Refusal> {
        if self.peek() == Some("Resources:") {
            self.at += 1;
            while self.peek().is_some_and(|line| line.strip_prefix("- ").is_some_and(is_plain)) {
                self.at += 1;
            }
        }
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(wrong(format!("line {} has no place in it", self.at + 1))),
        }
    }
}

/// Visible ASCII without a space, and something of it: what a field of a message is made of.
fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Host and port: no user, no path.
fn is_authority(text: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:[]".contains(&byte);
    !text.is_empty() && text.bytes().all(good)
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

fn number(text: &str) -> Result<u64, Refusal> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| digits);
    number.ok_or_else(|| wrong(format!("`{text}` is no number of a chain")))
}

/// A time of RFC 3339, in UTC or with an offset.
fn time(text: &str) -> Result<Timestamp, Refusal> {
    let none = || wrong(format!("`{text}` is no time of RFC 3339"));
    if !text.is_ascii() {
        return Err(none());
    }
    let (local, offset_minutes) = match text.len().checked_sub(6).map(|at| text.split_at(at)) {
        Some((local, offset)) if offset.starts_with(['+', '-']) => {
            (format!("{local}Z"), offset_of(offset).ok_or_else(none)?)
        }
        _ => (text.to_string(), 0),
    };
    let local = Timestamp::parse_rfc3339(local.as_bytes()).map_err(|_| none())?;
    local.0.checked_sub(offset_minutes * 60_000_000_000).map(Timestamp).ok_or_else(none)
}

/// Minutes of an offset such as `+02:00`.
fn offset_of(text: &str) -> Option<i64> {
    let (sign, rest) = text.split_at(1);
    let (hours, minutes) = rest.split_once(':')?;
    let part = |text: &str, below: i64| {
        let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<i64>().ok().filter(|value| digits && *value < below)
    };
    let total = part(hours, 24)? * 60 + part(minutes, 60)?;
    Some(if sign == "-" { -total } else { total })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXT: &str = "xnode.example wants you to sign in with your Ethereum account:\n\
        0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266\n\n\
        Sign in to this Xnode.\n\n\
        URI: https://xnode.example/nodes\nVersion: 1\nChain ID: 1\nNonce: 0123456789abcdef\nIssued At: 2026-05-01T12:00:00Z";

    fn at(text: &[u8]) -> Moment {
        Moment { wall: Timestamp::parse_rfc3339(text).unwrap(), ran_ms: 0 }
    }

    #[test]
    fn a_message_is_read_to_the_letter() {
        let message = Message::parse(TEXT).unwrap();
        assert_eq!((message.domain.as_str(), message.chain_id), ("xnode.example", 1));
        assert_eq!(message.statement.as_deref(), Some("Sign in to this Xnode."));
        assert_eq!((message.expiration, message.not_before, message.scheme), (None, None, None));
        let whole = format!(
            "https://{}\nExpiration Time: 2026-05-01T15:00:00.5+02:00\nNot Before: 2026-05-01T07:00:00-05:00\nRequest ID: 7\nResources:\n- ipfs://a\n- https://b",
            TEXT.replace("Sign in to this Xnode.\n", "")
        );
        let message = Message::parse(&whole).unwrap();
        assert_eq!((message.scheme.as_deref(), message.statement), (Some("https"), None));
        assert_eq!(message.expiration, Some(Timestamp::parse_rfc3339(b"2026-05-01T13:00:00.5Z").unwrap()));
        assert_eq!(message.not_before, Some(Timestamp::parse_rfc3339(b"2026-05-01T12:00:00Z").unwrap()));
    }

    #[test]
    fn what_is_no_message_is_refused_with_its_place() {
        for (from, to) in [
            (" wants you", " wants  you"),
            ("xnode.example wants", "a b wants"),
            ("xnode.example wants", "user@xnode.example wants"),
            ("xnode.example wants", " wants"),
            ("0xf39F", "0xF39f"),
            ("0xf39F", "f39F"),
            ("Version: 1", "Version: 2"),
            ("Chain ID: 1", "Chain ID: +1"),
            ("Chain ID: 1", "Chain ID: 99999999999999999999"),
            ("Nonce: 0123456789abcdef", "Nonce: 0123"),
            ("Nonce: 0123456789abcdef", "Nonce: 01234567-9abcdef"),
            ("Issued At: 2026-05-01T12:00:00Z", "Issued At: 2026-05-01"),
            ("Issued At: 2026-05-01T12:00:00Z", "Issued At: 2026-05-01T12:00:00+24:00"),
            ("Issued At: 2026-05-01T12:00:00Z", "Issued At: 2026-05-01T12:00:00Z\n"),
            ("Issued At: 2026-05-01T12:00:00Z", "Issued At: 2026-05-01T12:00:00Z\nURI: https://evil.example"),
            ("URI: ", "Uri: "),
            ("Xnode.\n\n", "Xnode.\n"),
            ("this Xnode", "this\tXnode"),
            ("this Xnode", "this\u{202e}Xnode"),
            ("this Xnode", "this Xn\u{43e}de"),
            ("xnode.example wants", "xn\u{43e}de.example wants"),
            ("12:00:00Z", "12:00:00Z\r"),
            ("12:00:00Z", "12:00:00Z\nRequest ID: 7\r"),
            ("12:00:00Z", "12:00:00Z\nRequest ID: a b"),
            ("12:00:00Z", "12:00:00Z\nNot Before: 2026-05-01T12:00:00Z\nExpiration Time: 2026-05-01T13:00:00Z"),
            ("12:00:00Z", "12:00:00Z\nResources:\n- \n- https://b"),
            ("account:\n", "account:\r\n"),
        ] {
            let text = TEXT.replacen(from, to, 1);
            assert_ne!(text, TEXT, "{from}");
            assert!(matches!(Message::parse(&text), Err(Refusal::Message(_))), "{from:?} as {to:?}");
        }
        assert!(Message::parse(&format!("{TEXT}{}", "x".repeat(MESSAGE_BYTES_MAX))).is_err());
    }

    #[test]
    fn the_site_is_the_one_that_was_asked() {
        let message = Message::parse(TEXT).unwrap();
        assert_eq!(message.check_site("xnode.example"), Ok(()));
        assert_eq!(message.check_site("Xnode.Example"), Ok(()));
        assert!(message.check_site("xnode.example:444").is_err() && message.check_site("localhost:7780").is_err());
        for uri in [
            "https://evil.example/xnode.example",
            "https://xnode.example@evil.example",
            "urn:xnode.example",
            "https://xnode.example.evil",
        ] {
            let message = Message::parse(&TEXT.replace("https://xnode.example/nodes", uri)).unwrap();
            let refused = Refusal::Domain { expected: "xnode.example".into(), found: uri.into() };
            assert_eq!(message.check_site("xnode.example"), Err(refused));
        }
        let message = Message::parse(&format!("ftp://{TEXT}")).unwrap();
        assert!(message.check_site("xnode.example").is_err());
    }

    #[test]
    fn a_message_is_for_one_purpose() {
        let visit = |application, host| Purpose::Visit { application, host };
        let all = [
            Purpose::SignIn,
            visit("notes", "notes.lan"),
            visit("notes", "notes.lan:8443"),
            visit("wiki", "notes.lan"),
            visit("notes", "wiki.lan"),
        ];
        for signed in all {
            let statement = signed.statement("Xnode.Example");
            let message = Message::parse(&TEXT.replace("Sign in to this Xnode.", &statement)).unwrap();
            for asked in all {
                let expected = asked.statement("xnode.example");
                let verdict = if asked == signed { Ok(()) } else { Err(Refusal::Statement { expected }) };
                assert_eq!(message.check_purpose(asked, "xnode.example"), verdict, "{signed:?} {asked:?}");
            }
            assert!(message.check_purpose(signed, "other.example").is_err(), "another machine");
        }
        let none = Message::parse(&TEXT.replace("Sign in to this Xnode.\n", "")).unwrap();
        assert!(none.check_purpose(Purpose::SignIn, "xnode.example").is_err());
        assert!(Message::parse(TEXT).unwrap().check_purpose(Purpose::SignIn, "xnode.example").is_err());
    }

    #[test]
    fn times_hold_now() {
        let message = Message::parse(TEXT).unwrap();
        for (now, good) in [
            (&b"2026-05-01T12:00:30Z"[..], true),
            (b"2026-05-01T11:55:00Z", true),
            (b"2026-05-01T11:45:00Z", false),
            (b"2026-05-01T12:20:00Z", false),
            (b"2025-05-01T12:00:00Z", false),
            (b"2027-05-01T12:00:00Z", false),
        ] {
            assert_eq!(message.check_times(&at(now)).is_ok(), good, "{}", String::from_utf8_lossy(now));
        }
        let ended = Message::parse(&format!("{TEXT}\nExpiration Time: 2026-05-01T12:01:00Z")).unwrap();
        assert!(ended.check_times(&at(b"2026-05-01T12:00:59Z")).is_ok());
        assert!(ended.check_times(&at(b"2026-05-01T12:01:00Z")).is_err());
        let later = Message::parse(&format!("{TEXT}\nNot Before: 2026-05-01T12:01:00Z")).unwrap();
        assert!(later.check_times(&at(b"2026-05-01T12:00:59Z")).is_err());
        assert!(later.check_times(&at(b"2026-05-01T12:01:00Z")).is_ok());
    }

    proptest! {
        /// Whatever is read here another reader of the standard reads in the same way.
        #[test]
        fn another_reader_agrees(
            cut in 0..TEXT.len(), with in "[ -~\n]{0,12}", domain in "[a-z.:0-9]{1,16}", statement in "[ -~]{0,24}", chain in any::<u64>(),
        ) {
            let text = TEXT
                .replace("xnode.example", &domain)
                .replace("Sign in to this Xnode.", &statement)
                .replace("Chain ID: 1", &format!("Chain ID: {chain}"));
            let mut spoiled = TEXT.to_string();
            spoiled.insert_str(cut, &with);
            for text in [text, spoiled] {
                let Ok(ours) = Message::parse(&text) else { continue };
                // The other reader takes fewer domains, and refuses a text for the person that is only of spaces.
                let Ok(theirs) = text.parse::<signinwithethereum::Message>() else { continue };
                prop_assert_eq!(ours.domain, theirs.domain.as_str());
                prop_assert_eq!(ours.address.0, theirs.address);
                prop_assert_eq!((ours.chain_id, ours.nonce), (theirs.chain_id, theirs.nonce));
                prop_assert_eq!(ours.uri, theirs.uri.as_str());
                prop_assert_eq!(ours.statement, theirs.statement);
            }
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,300}") {
            let _ = Message::parse(&text);
        }
    }
}
