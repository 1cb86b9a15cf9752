//! Numbers for the agent.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::document::{Admission, Traffic};
use crate::switch::{Counts, Given};

/// State of a door.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Number of this process, new with each start. Counts begin at zero with it: an agent that sees a new one knows nothing of what the one
    /// before let in.
    pub door: u64,
    /// Serial of the document that is served; 0 before the first.
    pub serial: u64,
    /// It accepts nothing any more, and ends when nothing is open.
    pub retiring: bool,
    /// Open connections from outside.
    pub connections: u64,
    /// Requests that were malformed.
    pub malformed: u64,
    /// Addresses of HTTP and raw TCP as they were bound, in the order of the document.
    pub listeners: Vec<SocketAddr>,
    /// Routes by name.
    pub routes: BTreeMap<String, RouteReport>,
}

/// State of a route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteReport {
    /// Treatment of what is new.
    pub admission: Admission,
    /// Requests and connections that wait.
    pub waiting: u64,
    /// Requests and connections that ever waited.
    pub held: u64,
    /// Requests and connections that were refused.
    pub refused: u64,
    /// Longest wait, milliseconds.
    pub longest_hold_ms: u64,
    /// All that was given to instances since this process has the route, also to those that are gone.
    #[serde(default)]
    pub given: Given,
    /// Instances by name: those of the document, and others with something open.
    pub instances: BTreeMap<String, InstanceReport>,
}

/// State of an instance. It is drained when it drains and `open` is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceReport {
    /// Its traffic.
    pub traffic: Traffic,
    /// Its counts.
    #[serde(flatten)]
    pub counts: Counts,
}
