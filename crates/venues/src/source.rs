//! A market behind the endpoints, which can be asked for snapshots.

use openmesh_dialect::emulate::{Endpoint, Frame, Listing, Topic};
use openmesh_primitives::Timestamp;

use crate::catalogue::Catalogue;
use crate::progress::SetProgress;

/// An HTTP request of a client: `https://HOST/PATH?QUERY`.
#[derive(Clone, Debug)]
pub(crate) struct HttpRequest<'a> {
    pub host: &'a str,
    pub path: &'a str,
    pub query: &'a str,
}

impl HttpRequest<'_> {
    /// The value of a field of the query.
    pub(crate) fn field(&self, name: &str) -> Option<String> {
        url::form_urlencoded::parse(self.query.as_bytes()).find(|(key, _)| key == name).map(|(_, v)| v.into_owned())
    }
}

/// An answer: status and JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HttpAnswer {
    pub status: u16,
    pub body: String,
}

impl HttpAnswer {
    pub(crate) fn ok(body: String) -> HttpAnswer {
        HttpAnswer { status: 200, body }
    }

    pub(crate) fn refused(status: u16, body: String) -> HttpAnswer {
        HttpAnswer { status, body }
    }
}

/// A market behind the endpoints. Only ever touched under the hub's lock.
pub(crate) trait Source: Listing + Send {
    /// Under which topic a client's topic is published.
    fn key(&self, topic: &Topic) -> Topic;

    /// The venue's time.
    fn now(&self, endpoint: Endpoint) -> Timestamp;

    /// A connection starts a stream: what it is told at once.
    fn begin(&mut self, connection: u64, topic: &Topic) -> Vec<Frame>;

    /// A connection ends a stream.
    fn end(&mut self, connection: u64, topic: &Topic);

    /// A request over HTTP; `None` where the venue has no such address.
    fn http(&mut self, request: &HttpRequest<'_>) -> Option<HttpAnswer>;

    /// Catalogue of what is served.
    fn catalogue(&self) -> Catalogue;

    /// Progress of each set.
    fn positions(&self) -> Vec<SetProgress>;
}
