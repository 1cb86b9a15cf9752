//! Collectors: from a venue's sockets to events, windows and an archive.
//!
//! # What it owns
//! The input and output that a [`Session`](openmesh_dialect::Session) leaves to others: WebSocket connections and HTTP
//! requests, waiting and trying again, the archive of raw frames, and handing events to whoever listens. What a frame
//! means, whether a book is in step and when a window is over are rules of the `market` crate and are not known here.
//!
//! # Shape
//! [`start`] makes one task for each [`SourceConfig`] (a venue with instruments and feeds). The task owns its session,
//! its [`WindowCutter`](openmesh_market::window::WindowCutter) and its list of connections; links and requests are
//! small tasks that only move bytes to it. So everything about a source happens in one order, which is what makes
//! [`Handle::subscribe`] free of gaps: a snapshot and the place in the stream are taken between two frames.
//!
//! Closed windows leave through [`Outputs::windows`], after their chunks are held durably: what is vouched for is kept.
//! This crate does not know who attests them.
//!
//! # On failure
//! A connection that ends, is silent, or is refused is opened again with growing, jittered pauses, and the windows it
//! spoils are not covered. A venue that says 429 is left alone for as long as it asks. A source that panics is a bug of
//! ours: it is reported and started anew, the others do not notice. A disk that is full turns chunks into "not covered"
//! and holds raw segments back in memory; the source's status says so, and the live stream goes on. A slow reader misses events and is told how many.

mod archive;
mod backoff;
mod broadcast;
mod config;
mod link;
mod metrics;
mod request;
mod service;
mod source;

pub use archive::{ManifestError, ManifestPosition, SegmentManifest, read_manifest_from, read_manifests};
pub use broadcast::{Filter, Subscription, Update};
pub use config::{Config, ConfigError, SourceConfig, rewrite};
pub use metrics::{Metrics, SourceLabels};
pub use service::{Deps, Handle, Outputs, SessionFactory, SourceStatus, StartError, Tamper, start};
