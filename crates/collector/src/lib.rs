//! Collectors: from a venue's sockets to events, windows and an archive.
//!
//! # What it owns
//! The input and output that a [`Session`](openmesh_dialect::Session) leaves to others: WebSocket connections and HTTP
//! requests, waiting and trying again, the archive of raw frames, and handing events to whoever listens. What a frame
//! means, whether a book is in step and when a window is over are rules of the `market` crate and are not known here.
//!
//! # Shape
//! [`start`] makes one task for each [`SourceConfig`] (instruments and feeds of one venue, under a source id). The task owns
//! its session, its [`WindowCutter`](openmesh_market::window::WindowCutter) and its list of connections; links and
//! requests are small tasks that only move bytes to it. So everything about a source happens in one order, which is what
//! makes [`Handle::subscribe`] free of gaps: a snapshot and the place in the stream are taken between two frames.
//! [`Handle::set_sources`] adds, changes and retires sources while the others go on.
//!
//! Closed windows leave through [`Outputs::windows`], after their chunks are held durably: what is vouched for is kept.
//! This crate does not know who attests them.
//!
//! # On failure
//! A connection that ends, is silent, or is refused is opened again with growing, jittered pauses, and the windows it
//! spoils are not covered. A venue that says 429 is left alone for as long as it asks. A source that panics is a bug of
//! ours: it is reported and started again, the others do not notice, and what it had captured is archived. A disk that is
//! full turns chunks into "not covered" and holds raw segments back in memory. A slow reader misses events and is told how
//! many. None of that holds up the live stream, and all of it stands in the source's [`SourceLiveness`] while it lasts.

mod address;
mod archive;
mod backoff;
mod clock;
mod config;
mod deps;
mod filter;
mod input;
mod link;
mod liveness;
mod manager;
mod metrics;
mod output;
mod query;
mod request;
mod service;
mod source;
mod subscription;

pub use address::rewrite;
pub use archive::{ManifestError, ManifestReader, SegmentManifest, read_manifest};
pub use config::{Config, ConfigError, SOURCES_MAX, SourceConfig};
pub use deps::{Deps, SessionFactory, Tamper};
pub use filter::Filter;
pub use liveness::SourceLiveness;
pub use manager::SourceChanges;
pub use metrics::{Metrics, SourceLabels};
pub use output::{OfSource, Outputs};
pub use service::{Handle, SetSourcesError, StartError, start};
pub use subscription::{Subscription, Update};
