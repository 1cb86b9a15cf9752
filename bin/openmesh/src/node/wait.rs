//! The time in which a node's disk has no room: it answers, says so, and does nothing else.

use std::sync::Arc;

use openmesh_api::{ErrorCode, FullDisk};
use openmesh_gateway::{Waiting, answer_waiting};
use prometheus_client::registry::Registry;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Draining, Node};
use crate::failure::{Failure, OrFail as _};

impl Node {
    /// Waits until there is room on the disk and the parts of the last run have drained. Returns the
    /// transactions that it had accepted; `None` if the process was asked to stop meanwhile.
    ///
    /// Fails where nobody can be told: the API's address is taken.
    pub(super) async fn wait_for_room(&mut self, draining: Option<Draining>) -> Result<Option<Vec<Vec<u8>>>, Failure> {
        let mut registry = Registry::with_prefix("openmesh");
        self.room.register(&mut registry);
        self.room.waits(true);
        let (said, newest) = watch::channel(reason(self.room.lacking(super::room::START_BYTES)));
        let stop = CancellationToken::new();
        let answering =
            answer_waiting(self.config.api, move || newest.borrow().clone(), Arc::new(registry), stop.clone());
        let (api, answering) = answering.await.or_fail("api")?;
        if let Err(failure) = self.announce(api) {
            // The record may lie on the disk that is full; whoever started this process knows it without one.
            tracing::warn!(failure = failure.message(), "this process is not recorded");
        }
        let room = self.room.until_room(|disk| drop(said.send_replace(reason(Some(disk)))));
        let goes_on = tokio::select! {
            () = self.asked.wait() => false,
            () = room => true,
        };
        let accepted = match draining {
            Some(draining) => draining.await.or_fail("draining")?,
            None => Vec::new(),
        };
        stop.cancel();
        answering.await.or_fail("api")?;
        self.room.waits(false);
        if goes_on {
            tracing::info!("there is room on the disk: this node starts again");
        }
        Ok(goes_on.then_some(accepted))
    }
}

/// The reason in words.
fn reason(disk: Option<FullDisk>) -> Waiting {
    let hint = "free space on that disk; the node then goes on by itself, and nothing that was accepted is lost";
    let message = match disk {
        Some(FullDisk { folder, free_bytes, least_bytes }) => format!(
            "this node waits for room on its disk: {folder} has {} MiB free of {} MiB that it needs",
            free_bytes >> 20,
            least_bytes >> 20
        ),
        None => "this node stopped because its disk was full, and is about to start again".to_owned(),
    };
    Waiting { code: ErrorCode::DiskFull, message, hint: hint.to_owned() }
}
