//! Incidents that this node noticed, as rows.
//!
//! Whoever notices one never waits: what the queue does not take is counted, and the count becomes a row itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use openmesh_lake::{Lake, NodeIncidentRow};
use openmesh_primitives::report;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Incidents that wait to become rows: what six venues that reconnect at once make.
const WAITING_MAX: usize = 4_096;
/// Incidents of one append.
const BATCH_MAX: usize = 512;
/// Pause between two appends, so that a storm of incidents makes few of them.
const PAUSE: Duration = Duration::from_secs(1);

/// Takes incidents in; clones share the queue.
#[derive(Clone, Debug)]
pub struct Incidents {
    queue: mpsc::Sender<NodeIncidentRow>,
    /// Incidents that the queue did not take since the last that it took.
    lost: Arc<AtomicU64>,
}

/// The other end of [`Incidents`], for [`crate::start`].
#[derive(Debug)]
pub struct IncidentQueue(mpsc::Receiver<NodeIncidentRow>);

impl Incidents {
    /// An empty queue.
    pub fn queue() -> (Incidents, IncidentQueue) {
        let (queue, from) = mpsc::channel(WAITING_MAX);
        (Incidents { queue, lost: Arc::default() }, IncidentQueue(from))
    }

    /// Records an incident; never waits.
    pub fn record(&self, row: NodeIncidentRow) {
        let lost = self.lost.swap(0, Ordering::Relaxed);
        let counted = (lost > 0).then(|| NodeIncidentRow {
            kind: "incidents_lost".into(),
            window: None,
            stream: None,
            detail: format!("{lost} incidents before this were not recorded: too many at once"),
            ..row.clone()
        });
        if let Some(counted) = counted
            && self.queue.try_send(counted).is_err()
        {
            self.lost.fetch_add(lost + 1, Ordering::Relaxed);
            return;
        }
        if self.queue.try_send(row).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Makes rows of incidents until the node stops, those that wait then included.
pub(crate) async fn run(IncidentQueue(mut queue): IncidentQueue, lake: Lake, stop: CancellationToken) {
    let mut batch = Vec::new();
    while !stop.is_cancelled() {
        // A full batch that could not be written is tried again, while the queue holds what comes.
        let room = BATCH_MAX - batch.len();
        if room > 0 {
            tokio::select! {
                () = stop.cancelled() => {}
                count = queue.recv_many(&mut batch, room) => if count == 0 {
                    // Nobody is left to notice anything.
                    stop.cancelled().await;
                },
            }
        }
        append(&mut batch, &lake).await;
        let _ = stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await;
    }
    while let Ok(row) = queue.try_recv() {
        batch.push(row);
    }
    append(&mut batch, &lake).await;
}

/// Appends a batch; what cannot be written stays in it.
async fn append(batch: &mut Vec<NodeIncidentRow>, lake: &Lake) {
    if batch.is_empty() {
        return;
    }
    match lake.append_node_incidents(batch).await {
        Ok(_) => batch.clear(),
        Err(error) => tracing::error!(error = report(&error), count = batch.len(), "incidents are not kept as rows"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use openmesh_primitives::Timestamp;

    fn row(n: i64) -> NodeIncidentRow {
        NodeIncidentRow {
            site: "0xabc".into(),
            source: "kraken".into(),
            time: Timestamp(n),
            kind: "gap".into(),
            window: None,
            stream: Some("BTC.USD/trades".into()),
            detail: "missed".into(),
        }
    }

    #[test]
    fn what_the_queue_does_not_take_is_counted_in_a_row() {
        let (incidents, IncidentQueue(mut queue)) = Incidents::queue();
        for n in 0..WAITING_MAX as i64 + 3 {
            incidents.record(row(n));
        }
        queue.try_recv().unwrap();
        queue.try_recv().unwrap();
        incidents.record(row(-1));
        let mut all = Vec::new();
        while let Ok(row) = queue.try_recv() {
            all.push(row);
        }
        let [.., counted, last] = &all[..] else { panic!("{}", all.len()) };
        assert_eq!((counted.kind.as_str(), *last == row(-1)), ("incidents_lost", true));
        assert!(counted.detail.starts_with("3 incidents"), "{}", counted.detail);
    }
}
