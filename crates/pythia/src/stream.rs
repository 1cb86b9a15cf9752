//! Rows of a query on their way to its reader.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use tokio::sync::mpsc::Receiver;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::cell;
use crate::error::QueryError;
use crate::governor::guard::StopOnDrop;
use crate::result::ColumnInfo;

/// Reasons to end a query early: its time, and its token.
pub(crate) struct Watch {
    pub deadline: tokio::time::Instant,
    pub time_ms_max: u64,
    pub cancel: CancellationToken,
}

impl Watch {
    pub(crate) async fn over<T>(&self, work: impl Future<Output = T>) -> Result<T, QueryError> {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(QueryError::Cancelled),
            () = tokio::time::sleep_until(self.deadline) => Err(QueryError::TimedOut { time_ms_max: self.time_ms_max }),
            done = work => Ok(done),
        }
    }
}

/// Message of a query's work to its reader.
pub(crate) enum Message {
    Schema(SchemaRef),
    Batch(RecordBatch),
    Done(Summary),
}

pub(crate) type Told = Result<Message, QueryError>;

/// Facts about a query that are known at its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// True if there were more rows than the limit.
    pub truncated: bool,
    /// Rows read from files and memory.
    pub rows_scanned: u64,
}

/// The next message. A job that ends without its last word panicked: a mistake of ours or the library's.
pub(crate) async fn receive(receiver: &mut Receiver<Told>, job: &mut AbortOnDropHandle<()>) -> Told {
    if let Some(told) = receiver.recv().await {
        return told;
    }
    match job.await {
        Err(error) if error.is_panic() => {
            tracing::error!("a query panicked");
            Err(QueryError::Internal)
        }
        _ => Err(QueryError::Cancelled),
    }
}

/// Rows as they are found. Dropping it stops the query.
pub struct QueryStream {
    schema: SchemaRef,
    receiver: Receiver<Told>,
    job: AbortOnDropHandle<()>,
    watch: Watch,
    summary: Option<Summary>,
    _stop: StopOnDrop,
}

impl QueryStream {
    /// Joins the parts of a query that has begun.
    pub(crate) const fn new(
        schema: SchemaRef,
        receiver: Receiver<Told>,
        job: AbortOnDropHandle<()>,
        watch: Watch,
        stop: StopOnDrop,
    ) -> QueryStream {
        QueryStream { schema, receiver, job, watch, summary: None, _stop: stop }
    }

    /// Columns in order.
    pub fn columns(&self) -> Vec<ColumnInfo> {
        cell::columns(&self.schema)
    }

    /// Arrow schema of the batches.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// The next rows; `None` at the end. After an error there is nothing more.
    pub async fn next(&mut self) -> Result<Option<RecordBatch>, QueryError> {
        if self.summary.is_some() {
            return Ok(None);
        }
        let told = self.watch.over(receive(&mut self.receiver, &mut self.job)).await;
        match told.and_then(|told| told) {
            Ok(Message::Batch(batch)) => Ok(Some(batch)),
            Ok(Message::Done(summary)) => {
                self.summary = Some(summary);
                Ok(None)
            }
            Ok(Message::Schema(_)) => Err(QueryError::Internal),
            Err(error) => {
                self.job.abort();
                self.summary = Some(Summary::default());
                Err(error)
            }
        }
    }

    /// Returns what is known at the end; `None` before.
    pub const fn summary(&self) -> Option<Summary> {
        self.summary
    }
}
