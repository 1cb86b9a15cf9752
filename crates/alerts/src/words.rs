//! Words that all kinds of alerts have in common.

use std::time::Duration;

use openmesh_primitives::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Severity of an alert, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Something to know.
    Info,
    /// Somebody should look at it within days.
    Warning,
    /// Somebody should look at it now.
    Critical,
}

/// Somebody who knows of an alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Acknowledged {
    /// Whoever it is.
    pub by: String,
    /// Moment.
    #[schema(value_type = String, format = "seconds")]
    pub at: Timestamp,
}

/// Event of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AlertEvent {
    /// It opened.
    Opened,
    /// It became more severe.
    Raised,
    /// It closed.
    Closed,
    /// Somebody tries whether alerts arrive.
    Test,
}

/// A message that was never taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DroppedMessage {
    /// Webhook.
    pub webhook: String,
    /// Number of the alert.
    pub alert: u64,
    /// Its event.
    pub event: AlertEvent,
    /// Moment at which it was given up.
    #[schema(value_type = String, format = "seconds")]
    pub at: Timestamp,
    /// Cause.
    pub cause: String,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Severity.
    pub severity: Severity,
    /// Cause.
    pub cause: String,
    /// Remedy, in words.
    pub remedy: String,
    /// Time for which it has to last before an alert opens.
    pub lasts: Duration,
}

/// An alert in a book. What it is about is its key: there is one for it at a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry<K> {
    /// Number, from 1; no two alerts of a book have the same.
    pub id: u64,
    /// Its subject, in words of the caller.
    #[serde(flatten)]
    pub key: K,
    /// Severity.
    pub severity: Severity,
    /// Cause.
    pub cause: String,
    /// Remedy, in words.
    pub remedy: String,
    /// Moment at which it was first seen.
    pub begin: Timestamp,
    /// Moment at which it had lasted long enough.
    pub opened: Timestamp,
    /// Moment at which it was over; none while it is open.
    pub closed: Option<Timestamp>,
    /// Somebody knows of it.
    pub acknowledged: Option<Acknowledged>,
}
