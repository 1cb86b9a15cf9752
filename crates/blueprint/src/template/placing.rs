//! Publication of a port, as an answer of one word.

use std::fmt;
use std::str::FromStr;

use crate::document::{HostAddress, Publish};

/// Publication of a port: `none`, `auto`, `8080`, `127.0.0.1:auto`, `[::1]:8080`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Publication {
    /// Only applications with a link reach the port.
    None,
    /// It is published.
    At(Publish),
}

impl Publication {
    /// The document's words for it; none where it is not published.
    pub fn publish(&self) -> Option<Publish> {
        match self {
            Publication::None => None,
            Publication::At(publish) => Some(publish.clone()),
        }
    }
}

impl FromStr for Publication {
    type Err = String;

    fn from_str(text: &str) -> Result<Publication, String> {
        let wrong = || {
            format!(
                "is `{text}`, but none, auto, a port from 1 to 65535, or one of the two behind an address is expected"
            )
        };
        if text == "none" {
            return Ok(Publication::None);
        }
        let (address, port) = match text.rsplit_once(':') {
            Some((address, port)) => {
                let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
                (bare.parse::<HostAddress>().map_err(|_| wrong())?, port)
            }
            None => (HostAddress::ANY, text),
        };
        let port = match port {
            "auto" => None,
            digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(digits.parse::<u16>().ok().filter(|port| *port > 0).ok_or_else(wrong)?)
            }
            _ => return Err(wrong()),
        };
        Ok(Publication::At(Publish { port, address }))
    }
}

impl fmt::Display for Publication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Publication::At(publish) = self else { return f.write_str("none") };
        let port = publish.port.map_or("auto".to_string(), |port| port.to_string());
        if publish.address == HostAddress::ANY {
            return f.write_str(&port);
        }
        match publish.address.0 {
            std::net::IpAddr::V6(address) => write!(f, "[{address}]:{port}"),
            std::net::IpAddr::V4(address) => write!(f, "{address}:{port}"),
        }
    }
}
