//! From what the other rooms know (events, chain rows, ledger blocks) to rows of tables.
//!
//! Pure functions: the same input gives the same rows on every machine, so a table can always be filled again from the
//! content store and the ledger.

pub(crate) mod chain;
pub(crate) mod ledger;
pub(crate) mod market;

use arrow::record_batch::RecordBatch;
use openmesh_primitives::Timestamp;

use crate::table::Table;

/// Rows of one table that belong to one partition.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    /// Table.
    pub table: Table,
    /// Decides the partition (year, month, day, hour).
    pub at: Timestamp,
    /// Pieces of a file are put in this order, which is that of the table's sort columns without looking into rows.
    pub order: String,
    /// The rows.
    pub batch: RecordBatch,
}
