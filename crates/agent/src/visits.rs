//! Visitors of applications that are not for everybody (X-78; clauses of `docs/spec/access.md`): the agent's key, the people that the door
//! knows of, and the word that a wallet may come in.
//!
//! The agent decides by the very document that the door serves, and so as the door does at each request. A visitor gets no session: a wallet that may
//! open an application has no right at the agent.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use openmesh_access::{Access, Refusal, Role};
use openmesh_door::document::{Document, Gate, Host};
use openmesh_door::entry::RESERVED;
use openmesh_door::host::Authority;
use openmesh_door::limits::{CODE_MS, RETURN_BYTES_MAX};
use openmesh_door::pass::{Key, Kind, Moment, Pass, Place, VISIT_BYTES, Wallet};
use openmesh_primitives::Address;
use openmesh_xnode::door::Word;
use openmesh_xnode::door::visitors::Visitors;
use openmesh_xnode::marks;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::AgentError;
use crate::service::Service;

/// File with the key from which those of applications are derived. Whoever removes it, and starts the agent anew, ends every pass.
const FILE: &str = "visitors.key";
/// Port of HTTP with TLS that an address need not name.
const HTTPS: u16 = 443;

/// The way back of a visitor, as the door has written it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = VisitWay)]
pub struct Way {
    /// Host of the application, with the port where it is not the scheme's own.
    pub host: String,
    /// 1 where it was asked with TLS, else 0.
    #[serde(default)]
    pub tls: u8,
    /// Number of the visit: 32 hexadecimal digits.
    #[serde(default)]
    pub visit: String,
    /// Target of the request, in hexadecimal digits.
    #[serde(default)]
    pub to: String,
}

/// An application that a visitor wants to open.
pub struct Wanted<'a> {
    document: &'a Document,
    host: &'a Host,
    gate: &'a Gate,
    authority: Authority,
    way: &'a Way,
}

/// Reads the key, or makes one.
///
/// # Errors
/// The file cannot be read or written, or holds no key.
pub fn key(folder: &Path) -> Result<Key, AgentError> {
    let file = folder.join(FILE);
    let made = match fs::read_to_string(&file) {
        Ok(text) => return Key::try_from(text).map_err(io::Error::other).map_err(AgentError::file("reading", &file)),
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(AgentError::file("reading", &file)(error)),
        Err(_) => Key::random().map_err(AgentError::file("making a key for", &file))?,
    };
    marks::replace(&file, String::from(made.clone()).as_bytes()).map_err(AgentError::file("writing", &file))?;
    Ok(made)
}

/// Lets the door know who the people of the machine are, and waits for its answer for a second. Gives the reason for which it does not know of them yet;
/// it is told again until it does.
pub fn tell(service: &Service, access: &Access, key: &Key) -> Option<String> {
    let carrier = service.agent().machine().doors.get()?;
    // Read in the door's turn: of two changes at once, the older list would else be told last.
    let visitors = || {
        let members = access.members();
        let of = |least: Role| {
            let all = members.iter().filter(|member| member.role >= least);
            all.map(|member| member.wallet.to_string()).collect()
        };
        Visitors { key: key.clone(), owners: of(Role::Admin), members: of(Role::Viewer) }
    };
    let cause = match carrier.admit(visitors, &openmesh_xnode::open) {
        Ok(Word::None | Word::Serves) => return None,
        Ok(Word::Waits(words) | Word::Fails(words)) => words,
        Err(error) => error.to_string(),
    };
    tracing::warn!(%cause, "the door does not know of the present members yet, and is told again");
    Some(cause)
}

impl<'a> Wanted<'a> {
    /// The application of a way back. Only addresses at which the door itself listens for hosts are led back to: another port of the same host may be
    /// anybody's, who would have the code.
    ///
    /// # Errors
    /// [`Refusal::Return`].
    pub fn find(document: &'a Document, way: &'a Way) -> Result<Wanted<'a>, Refusal> {
        let odd =
            |words: &str| Refusal::Return(format!("`{}` {words}", way.host.chars().take(100).collect::<String>()));
        let authority = Authority::parse(&way.host).ok_or_else(|| odd("is no host"))?;
        // A name of a pattern may lead to another machine, whose owner would have the code.
        let host =
            document.hosts.get(&authority.name).ok_or_else(|| odd("is no host that the door of this Xnode serves"))?;
        let gate = host.gate.as_ref().filter(|_| document.people.is_some());
        let gate = gate.ok_or_else(|| odd("asks nobody to sign in here"))?;
        if way.tls != 1 {
            return Err(odd("was asked without TLS, and lets nobody in without it"));
        }
        let port = authority.port.unwrap_or(HTTPS);
        let mut hosts = document.listeners.iter().filter(|listener| listener.route.is_none() && listener.tls);
        if !hosts.any(|listener| listener.address.port() == port) {
            return Err(odd("is not served by the door at this port with TLS"));
        }
        Ok(Wanted { document, host, gate, authority, way })
    }

    /// Its application.
    pub fn application(&self) -> &str {
        &self.gate.application
    }

    /// Its host, with the port where it was asked with one.
    pub fn host(&self) -> String {
        self.authority.to_string()
    }

    /// Returns true for a wallet that may open it.
    pub fn admits(&self, wallet: &Address) -> bool {
        let wallet = Wallet::parse(&wallet.to_string());
        let wallets = self.document.wallets(&self.host.access).unwrap_or_default();
        wallet.is_some_and(|wallet| wallets.contains(&wallet))
    }

    /// Address at which the door takes the agent's word that a wallet may come in.
    ///
    /// # Errors
    /// [`Refusal::Return`], where the number of the visit or the target is none.
    pub fn address(&self, wallet: &Address, now: Moment) -> Result<String, Refusal> {
        let odd = |what: &str| Refusal::Return(format!("the address has no {what}"));
        let visit: [u8; VISIT_BYTES] =
            digits(&self.way.visit).and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| odd("number of a visit"))?;
        let target = digits(&self.way.to).filter(|bytes| bytes.len() <= RETURN_BYTES_MAX);
        target.ok_or_else(|| odd("target in digits"))?;
        let wallet = Wallet::parse(&wallet.to_string()).ok_or_else(|| odd("wallet"))?;
        let place = Place { application: &self.gate.application, host: &self.authority.name, tls: true };
        let code = Pass { kind: Kind::Code, wallet, made: now, lasts_ms: CODE_MS, visit };
        let code = code.sign(&self.gate.key, &place);
        Ok(format!("https://{}{RESERVED}/enter?code={code}&to={}", self.authority, self.way.to))
    }
}

/// Bytes of hexadecimal digits.
fn digits(text: &str) -> Option<Vec<u8>> {
    data_encoding::HEXLOWER.decode(text.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use serde_json::json;

    use super::*;

    fn document() -> Document {
        let route = json!({ "protocol": "http1", "admission": "closed" });
        let gate = json!({ "application": "notes", "key": "5c".repeat(32) });
        serde_json::from_value(json!({
            "version": 2, "serial": 1,
            "listeners": [
                { "address": "0.0.0.0:80" }, { "address": "0.0.0.0:443", "tls": true }, { "address": "0.0.0.0:9999", "route": "other/http" },
            ],
            "hosts": {
                "notes.lan": { "route": "notes/http", "access": { "wallets": [format!("0x{}", "1".repeat(40))] }, "secure": true, "gate": gate.clone() },
                "other.lan": { "route": "notes/http", "access": "owner", "secure": true, "gate": gate },
                "plain.lan": { "route": "notes/http", "access": "owner" },
                "all.lan": { "route": "other/http" },
            },
            "people": { "sign_in": "https://xnode.lan", "owners": [format!("0x{}", "2".repeat(40))] },
            "routes": { "notes/http": route.clone(), "other/http": route },
        }))
        .unwrap()
    }

    fn way(host: &str, tls: u8) -> Way {
        Way { host: host.into(), tls, visit: "07".repeat(VISIT_BYTES), to: "2f61".into() }
    }

    fn wallet(digit: &str) -> Address {
        format!("0x{}", digit.repeat(40)).parse().unwrap()
    }

    #[test]
    fn visitors_are_led_back_to_hosts_of_the_door_alone() {
        let document = document();
        for (host, expected) in [
            ("notes.lan", "notes.lan"),
            ("NOTES.lan.", "notes.lan"),
            ("notes.lan:443", "notes.lan:443"),
            ("other.lan", "other.lan"),
        ] {
            let way = way(host, 1);
            assert_eq!(Wanted::find(&document, &way).map(|wanted| wanted.host()), Ok(expected.into()), "{host}");
        }
        for (host, tls) in [
            ("evil.example", 1),
            ("notes.lan.evil.example", 1),
            ("notes.lan@evil.example", 1),
            ("evil.example/notes.lan", 1),
            ("notes.lan:9999", 1),
            ("notes.lan:9999", 0),
            ("notes.lan:80", 1),
            ("notes.lan", 0),
            ("other.lan", 0),
            ("plain.lan", 0),
            ("plain.lan", 1),
            ("plain.lan:80", 0),
            ("all.lan", 1),
            ("xnode.lan", 1),
            ("", 1),
        ] {
            let found = Wanted::find(&document, &way(host, tls)).map(|wanted| wanted.authority);
            assert!(matches!(found, Err(Refusal::Return(_))), "{host} {tls}");
        }
    }

    #[test]
    fn the_word_of_the_agent_is_what_the_door_reads() {
        let document = document();
        let way = way("notes.lan", 1);
        let wanted = Wanted::find(&document, &way).unwrap();
        assert!(wanted.admits(&wallet("1")) && !wanted.admits(&wallet("2")));
        let now = Moment::now();
        let address = wanted.address(&wallet("1"), now).unwrap();
        let code = address.strip_prefix("https://notes.lan/.openmesh-door/enter?code=").unwrap();
        let code = code.strip_suffix("&to=2f61").unwrap();
        let (key, place) = (&wanted.gate.key, Place { application: "notes", host: "notes.lan", tls: true });
        let read = Pass::read(code, Kind::Code, key, &place, &now).unwrap();
        assert_eq!(read.wallet.to_string(), wallet("1").to_string().to_lowercase());
        let odd = [("visit", "07"), ("visit", "zz"), ("to", "2"), ("to", "//evil.example"), ("to", "2F61&code=1")];
        for (field, value) in odd {
            let mut odd = way.clone();
            *(if field == "visit" { &mut odd.visit } else { &mut odd.to }) = value.into();
            let wanted = Wanted::find(&document, &odd).unwrap();
            assert!(matches!(wanted.address(&wallet("1"), now), Err(Refusal::Return(_))), "{field} {value}");
        }
    }

    #[test]
    fn the_key_is_made_once_and_is_roots_alone() {
        let folder = tempfile::tempdir().unwrap();
        let made = key(folder.path()).unwrap();
        assert_eq!(key(folder.path()).unwrap(), made);
        let mode = fs::metadata(folder.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::write(folder.path().join(FILE), "half").unwrap();
        assert!(key(folder.path()).is_err());
    }
}
