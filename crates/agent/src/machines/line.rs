//! The line of an invitation: one word with everything that another machine needs. Pure.

use std::fmt;
use std::net::IpAddr;

use data_encoding::BASE64URL_NOPAD;
use openmesh_primitives::{Address, Digest, sha256};
use serde::{Deserialize, Serialize};

use super::error::LineFault;

/// Beginning of every invitation, whatever its version.
const BEGIN: &str = "openmesh-invitation-";
/// Its version.
const VERSION: &str = "1";
/// Digits of the check: chance lets one of four billion changes pass, and the token is known by its hash alone.
const CHECK_DIGITS: usize = 8;
/// Longest line, characters: a terminal takes no more on one (`N_TTY_BUF_SIZE` of the kernel has 4,096).
const CHARS_MAX: usize = 4_000;
/// Addresses in a line: those of a machine with some networks.
pub(super) const ADDRESSES_MAX: usize = 8;

/// An invitation, read.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Line {
    /// Address of the agent that made it.
    pub at: String,
    /// Addresses at which its name is looked for first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpAddr>,
    /// SHA-256 of the root of its own authority, as it gives that out; none where an authority that everybody trusts vouches for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<Digest>,
    /// Wallet that owns the machine that joins.
    pub owner: Address,
    /// Token, good once.
    pub token: String,
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").field("at", &self.at).field("owner", &self.owner).finish_non_exhaustive()
    }
}

impl Line {
    /// Its text.
    pub fn text(&self) -> String {
        let body = BASE64URL_NOPAD.encode(&serde_json::to_vec(self).unwrap_or_default());
        let head = format!("{BEGIN}{VERSION}.{body}");
        let check = check(&head);
        format!("{head}.{check}")
    }

    /// Reads a line. White space in it is from a terminal or a message, and means nothing.
    ///
    /// # Errors
    /// Each fault has its own word.
    pub fn parse(text: &str) -> Result<Line, LineFault> {
        let text: String = text.chars().filter(|sign| !sign.is_whitespace()).take(CHARS_MAX + 1).collect();
        let rest = text.strip_prefix(BEGIN).ok_or(LineFault::NotOne)?;
        let (version, rest) = rest.split_once('.').ok_or(LineFault::Cut)?;
        if version != VERSION {
            let is_number = !version.is_empty() && version.bytes().all(|sign| sign.is_ascii_digit());
            return Err(if is_number { LineFault::Later } else { LineFault::Cut });
        }
        let (body, found) = rest.split_once('.').ok_or(LineFault::Cut)?;
        if text.len() > CHARS_MAX || check(&format!("{BEGIN}{VERSION}.{body}")) != found {
            return Err(LineFault::Cut);
        }
        let bytes = BASE64URL_NOPAD.decode(body.as_bytes()).map_err(|_| LineFault::Cut)?;
        let line: Line = serde_json::from_slice(&bytes).map_err(|cause| LineFault::Odd(cause.to_string()))?;
        if line.addresses.len() > ADDRESSES_MAX {
            return Err(LineFault::Odd(format!("it has more than {ADDRESSES_MAX} addresses")));
        }
        if !openmesh_access::is_invitation(&line.token) {
            return Err(LineFault::Odd("its token is of another form".into()));
        }
        Ok(line)
    }
}

fn check(head: &str) -> String {
    sha256(&[head.as_bytes()]).to_string().chars().take(CHECK_DIGITS).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line() -> Line {
        Line {
            at: "https://xnode.lan:8443".into(),
            addresses: vec!["10.0.0.5".parse().unwrap(), "fd00::5".parse().unwrap()],
            root: Some(Digest([7; 32])),
            owner: Address([1; 20]),
            token: format!("omi_{}", "0a".repeat(32)),
        }
    }

    #[test]
    fn a_line_is_read_back_also_from_a_terminal() {
        let text = line().text();
        assert!(text.starts_with("openmesh-invitation-1.") && text.len() < 700, "{}", text.len());
        assert!(text.bytes().all(|sign| sign.is_ascii_alphanumeric() || b"-_.".contains(&sign)), "one word in a shell");
        assert_eq!(Line::parse(&text), Ok(line()));
        let (left, right) = text.split_at(80);
        assert_eq!(Line::parse(&format!("  {left}\r\n{right}\n")), Ok(line()));
        assert!(!format!("{:?}", line()).contains("0a0a"), "no secret in a log");
    }

    #[test]
    fn each_fault_has_its_own_word() {
        let text = line().text();
        assert_eq!(Line::parse(""), Err(LineFault::NotOne));
        assert_eq!(Line::parse("omi_00"), Err(LineFault::NotOne));
        assert_eq!(Line::parse(&text.replace("invitation-1.", "invitation-2.")), Err(LineFault::Later));
        assert_eq!(Line::parse(&text[..text.len() - 1]), Err(LineFault::Cut));
        assert_eq!(Line::parse(&text[..40]), Err(LineFault::Cut));
        assert_eq!(Line::parse(&(text.clone() + "0")), Err(LineFault::Cut));
        assert_eq!(Line::parse(&format!("{text}{text}")), Err(LineFault::Cut));
        let wrong = Line { token: "omk_00".into(), ..line() }.text();
        assert!(matches!(Line::parse(&wrong), Err(LineFault::Odd(_))));
        let many = Line { addresses: vec!["10.0.0.5".parse().unwrap(); ADDRESSES_MAX + 1], ..line() }.text();
        assert!(matches!(Line::parse(&many), Err(LineFault::Odd(_))));
    }

    proptest! {
        /// Whatever sign is changed, nothing else is read from a line.
        #[test]
        fn a_changed_sign_is_noticed(at in 0usize..600, sign in "[A-Za-z0-9_.-]") {
            let text = line().text();
            let at = at % text.len();
            let changed = format!("{}{sign}{}", &text[..at], &text[at + 1..]);
            if changed != text {
                prop_assert!(Line::parse(&changed).is_err());
            }
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,200}") {
            prop_assert!(Line::parse(&text).is_err());
        }
    }
}
