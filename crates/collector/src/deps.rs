//! Dependencies of a collector.

use std::sync::Arc;

use openmesh_content::BlockStore;
use openmesh_dialect::Session;
use openmesh_market::{Event, Exchange};
use openmesh_primitives::ValidatorKey;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

/// Makes the session of a venue.
pub type SessionFactory = Arc<dyn Fn(Exchange) -> Box<dyn Session> + Send + Sync>;

/// Alters events before windows are cut from them. For tests of a dishonest node; live events stay as they are.
pub type Tamper = Arc<dyn Fn(&mut Event) + Send + Sync>;

/// Dependencies of a collector.
pub struct Deps {
    /// Store of chunks.
    pub store: Arc<BlockStore>,
    /// Store of raw segments: that of the chunks, unless they have a place of their own, so that they cannot take theirs.
    pub raw: Arc<BlockStore>,
    /// Signs the manifests of raw segments.
    pub key: ValidatorKey,
    /// Counters and gauges.
    pub metrics: Metrics,
    /// Sessions; [`openmesh_dialect::session`] unless a test has its own.
    pub session: SessionFactory,
    /// For tests only.
    pub tamper: Option<Tamper>,
    /// Cancelled to drain and stop.
    pub stop: CancellationToken,
}

impl Deps {
    /// Dependencies with the venues' own sessions, counters that nobody sees, and a token of its own.
    pub fn new(store: Arc<BlockStore>, key: ValidatorKey) -> Deps {
        Deps {
            raw: store.clone(),
            store,
            key,
            metrics: Metrics::default(),
            session: Arc::new(openmesh_dialect::session),
            tamper: None,
            stop: CancellationToken::new(),
        }
    }
}
