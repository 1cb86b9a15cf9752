//! The configuration that an agent hands to the door: one JSON document, always whole.
//!
//! A document says what shall be and not what to do: the door compares it with the one it serves. So a lost answer is met by sending the
//! document again, and a door that was started anew needs nothing but the last document. `check` finds every problem of one at once.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::host::pattern_of;
use crate::limits::{DRAIN_MS_DEFAULT, HOLD_MS_MAX};
use crate::pass::{Key, Wallet};

/// Latest version of the format that this door reads: it has `people` and `gate`.
pub const VERSION: u32 = 2;
/// Version without them, which an older door reads as well.
pub const VERSION_WITHOUT_PEOPLE: u32 = 1;

/// A whole configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// Version of the format: [`VERSION`], or [`VERSION_WITHOUT_PEOPLE`] where nobody signs in.
    pub version: u32,
    /// Number of the document. A door that serves a higher one refuses it, as does one that serves another document with this number.
    pub serial: u64,
    /// Addresses with HTTP.
    #[serde(default)]
    pub listeners: Vec<Listener>,
    /// Host names, in lower case, without port; `*.example.org` stands for one label where no host is named exactly so.
    #[serde(default)]
    pub hosts: BTreeMap<String, Host>,
    /// People of the machine, and the place where they sign in. Without it nobody comes in where not everybody may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub people: Option<People>,
    /// Addresses with raw TCP.
    #[serde(default)]
    pub tcp: Vec<TcpListener>,
    /// Routes by name; usually `application/port`.
    #[serde(default)]
    pub routes: BTreeMap<String, Route>,
    /// Certificates for listeners with TLS.
    #[serde(default)]
    pub certificates: Vec<Certificate>,
    /// Proofs for an authority that host names lead here, as long as certificates are ordered for them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub challenges: BTreeMap<String, Challenge>,
}

/// An address with HTTP/1.1 and HTTP/2.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// Address and port; port 0 takes a free one, which the report names.
    pub address: SocketAddr,
    /// TLS with the certificates of the document.
    #[serde(default)]
    pub tls: bool,
    /// Route of protocol `http1` or `h2c` to which every request of this listener goes, whatever its host; without it the hosts of the document decide.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
}

/// An address whose connections are carried byte by byte.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TcpListener {
    /// Address and port; port 0 takes a free one, which the report names.
    pub address: SocketAddr,
    /// Route of protocol `tcp`.
    pub route: String,
}

/// A host name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Host {
    /// Route of protocol `http1` or `h2c`.
    pub route: String,
    /// People who may come in.
    #[serde(default)]
    pub access: Access,
    /// It is served with TLS alone: without it GET and HEAD are led to `https`, and everything else is refused.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub secure: bool,
    /// The way in where not everybody may come in; without it nobody does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<Gate>,
}

/// People of the machine, and the place where they sign in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct People {
    /// Address of the agent's sign-in, without a path: `https://xnode.lan`.
    pub sign_in: String,
    /// Wallets of the owners and admins.
    #[serde(default)]
    pub owners: Vec<String>,
    /// Wallets with any role.
    #[serde(default)]
    pub members: Vec<String>,
}

/// The way in to an application for those who may come in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gate {
    /// The application.
    pub application: String,
    /// Key of its passes and codes. It is why the file with a document is nobody else's to read.
    pub key: Key,
}

/// People who may come in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Access {
    /// Everybody.
    #[default]
    Everybody,
    /// Owners and admins of the machine.
    Owner,
    /// Whoever has a role on the machine.
    Members,
    /// These wallets: `0x` and 40 hexadecimal digits.
    Wallets(Vec<String>),
}

/// Language that the instances of a route speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// HTTP/1.1 without TLS.
    Http1,
    /// HTTP/2 without TLS, by prior knowledge; upgrades go by HTTP/1.1.
    H2c,
    /// Bytes.
    Tcp,
}

/// Treatment of new requests and connections of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Admission {
    /// They go to an admitted instance.
    Open,
    /// They wait.
    Hold,
    /// A maintenance page answers; raw TCP is refused.
    Maintenance,
    /// An answer says that the application is stopped; raw TCP is refused.
    Closed,
}

/// A port of an application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Language of its instances.
    pub protocol: Protocol,
    /// Treatment of what is new.
    pub admission: Admission,
    /// Longest wait of a held request, milliseconds.
    #[serde(default = "hold_default")]
    pub hold_ms: u64,
    /// Its instances. One that a document no longer names is cut at once.
    #[serde(default)]
    pub instances: Vec<Instance>,
    /// Text of its maintenance page.
    #[serde(default)]
    pub page: Option<Page>,
}

/// An instance of an application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Instance {
    /// Its name, `revision.number`. Counters belong to a name.
    pub name: String,
    /// Its address.
    pub address: SocketAddr,
    /// Its traffic.
    pub traffic: Traffic,
    /// Time for its connections to end from the moment at which `traffic` is `drain`, milliseconds.
    #[serde(default = "drain_default")]
    pub drain_ms: u64,
}

/// Traffic of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Traffic {
    /// New requests come to it.
    Admit,
    /// Its open requests and connections end by themselves or at the deadline.
    Drain,
}

/// Text for people while an application is away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Page {
    /// Heading.
    pub title: String,
    /// One paragraph.
    pub text: String,
}

/// A certificate in files of PEM. They are read again whenever a document comes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// Host names for which it is used; `*.example.org` stands for one label.
    pub names: Vec<String>,
    /// The chain, the host's own first.
    pub chain: PathBuf,
    /// The key.
    pub key: PathBuf,
}

/// Proof for an authority that a host name leads here (RFC 8555, section 8).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Challenge {
    /// Answers by their token, without TLS (http-01).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tokens: BTreeMap<String, String>,
    /// SHA-256 that the certificate of a greeting with `acme-tls/1` carries, as hexadecimal digits (tls-alpn-01, RFC 8737).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

fn hold_default() -> u64 {
    HOLD_MS_MAX
}

fn drain_default() -> u64 {
    DRAIN_MS_DEFAULT
}

impl Document {
    /// A document that serves nothing.
    pub fn empty() -> Document {
        Document {
            version: VERSION_WITHOUT_PEOPLE,
            serial: 0,
            listeners: Vec::new(),
            hosts: BTreeMap::new(),
            people: None,
            tcp: Vec::new(),
            routes: BTreeMap::new(),
            certificates: Vec::new(),
            challenges: BTreeMap::new(),
        }
    }
    /// A host in its normal form: its own entry, else that of the pattern which covers it.
    pub fn host(&self, name: &str) -> Option<&Host> {
        self.hosts.get(name).or_else(|| self.hosts.get(&pattern_of(name)?))
    }

    /// Wallets that may come in; none where everybody may.
    pub fn wallets(&self, access: &Access) -> Option<BTreeSet<Wallet>> {
        let people = |of: fn(&People) -> &Vec<String>| self.people.as_ref().map(of).into_iter().flatten();
        let read = |wallet: &String| Wallet::parse(wallet);
        match access {
            Access::Everybody => None,
            Access::Owner => Some(people(|people| &people.owners).filter_map(read).collect()),
            Access::Members => Some(people(|people| &people.members).filter_map(read).collect()),
            Access::Wallets(wallets) => Some(wallets.iter().filter_map(read).collect()),
        }
    }
}
