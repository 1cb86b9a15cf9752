//! Everything that is kept of certificates by ACME, in one file: accounts, certificates, open orders, failures. Secrets in it are sealed texts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Moments of orders of a name that are kept: as many as a day may have, so that a clock that is set forth and back forgets none.
pub const ORDERS_KEPT: usize = 5;

/// The book.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Book {
    /// Accounts by the directory of their authority: credentials, sealed.
    pub accounts: BTreeMap<String, String>,
    /// Pauses by directory: an authority that is away, or wants no more orders for now, is left alone.
    pub pauses: BTreeMap<String, Pause>,
    /// Host names.
    pub names: BTreeMap<String, Entry>,
}

/// A time in which nothing is tried. Moments are seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pause {
    /// Its begin.
    pub at_s: u64,
    /// Its end.
    pub until_s: u64,
    /// Failures in a row.
    pub count: u32,
}

/// A host name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its certificate.
    pub issued: Option<Issued>,
    /// Its open order.
    pub open: Option<Open>,
    /// Moments of its last orders.
    pub orders: Vec<u64>,
    /// Its last failure, until a certificate comes.
    pub failure: Option<Failure>,
    /// Moment since which the door does not serve it.
    pub unserved_since_s: Option<u64>,
    /// Values of its record in the DNS that are there, or may be, each with the moment from which it is taken out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub records: BTreeMap<String, u64>,
}

/// A certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issued {
    /// Directory of its authority.
    pub directory: String,
    /// Chain as PEM, the host's own first.
    pub chain: String,
    /// Key as PEM, sealed.
    pub key: String,
    /// Begin of its life by the authority's clock.
    pub from_s: u64,
    /// End of its life.
    pub until_s: u64,
    /// Moment at which it came by this machine's clock.
    pub at_s: u64,
    /// Window in which the authority wants it renewed (RFC 9773).
    pub window: Option<(u64, u64)>,
    /// Moment at which the authority was asked for the window, and the one from which it is asked again.
    pub asked: Option<(u64, u64)>,
}

/// An open order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Open {
    /// Directory of its authority.
    pub directory: String,
    /// Its address.
    pub url: String,
    /// Key of the certificate that is ordered, as PEM, sealed.
    pub key: String,
    /// Moment of the order.
    pub at_s: u64,
}

/// A failure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// Failures in a row.
    pub count: u32,
    /// Moment.
    pub at_s: u64,
    /// Moment of the next attempt.
    pub again_s: u64,
    /// Cause.
    pub cause: String,
    /// Words that help.
    pub remedy: String,
}
