//! A query among those of many others: short ones first, long ones where they delay nobody.

use std::time::Duration;

use tokio::time::timeout;

use crate::config::Query;
use crate::error::QueryError;
use crate::handle::Handle;
use crate::result::QueryResult;

/// Time of a short query, milliseconds: an indexed question to much data takes less.
const SHORT_MS_MAX: u64 = 50;

impl Handle {
    /// Asks, and waits for the whole answer, as one of many who ask. A short query is answered by the usual threads. One that
    /// takes longer, or is not `quick` to begin with, begins anew on threads that take only what everything else on the machine leaves
    /// over; where that is nothing it comes back to the usual ones.
    pub async fn query_among_many(&self, query: Query, quick: bool) -> Result<QueryResult, QueryError> {
        let short = Duration::from_millis(SHORT_MS_MAX);
        if quick && let Ok(answered) = timeout(short, self.query(query.clone())).await {
            return answered;
        }
        if !self.standstill().lasts() {
            let idle = self.idle();
            tokio::select! {
                answered = idle.query(query.clone()) => return answered,
                () = self.standstill().comes(self.threads()) => {}
            }
        }
        self.query(query).await
    }
}
