//! The place of one connection of a session, which several links fill one after the other.

use std::sync::Arc;

use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::link::Link;

/// A connection that the session has asked for.
pub(super) struct ConnectionSlot {
    /// Address as the session asked for it.
    pub(super) url: Arc<str>,
    /// Name in raw segments.
    pub(super) name: Arc<str>,
    pub(super) link: Option<Link>,
    pub(super) backoff: Backoff,
    /// Time at which the link was opened.
    pub(super) opened: Option<Instant>,
    /// Time at which the link is given up for a new one.
    pub(super) until: Option<Instant>,
}

impl ConnectionSlot {
    pub(super) const fn new(url: Arc<str>, name: Arc<str>, backoff: Backoff) -> ConnectionSlot {
        ConnectionSlot { url, name, link: None, backoff, opened: None, until: None }
    }

    pub(super) fn is_open(&self) -> bool {
        self.link.as_ref().is_some_and(|link| link.opened)
    }
}
