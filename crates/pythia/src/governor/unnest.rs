//! Size of what `unnest` makes of a row: as many rows as its longest list has elements, each with all other columns.

use arrow::array::{Array, AsArray};
use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;
use datafusion::common::Result;
use datafusion::physical_plan::unnest::UnnestExec;

use super::row_bytes::{self, Shared, within};

/// Most bytes that may be made of one row.
const SPREAD_BYTES_MAX: u64 = 64 << 20;

/// Fewest bytes of a list's element, for lists within lists whose elements are not counted one by one.
const ELEMENT_BYTES_MIN: u64 = 8;

/// The lists that are spread.
#[derive(Clone, Debug)]
pub(crate) struct Spread {
    /// Columns, and whether lists within lists are spread at once.
    lists: Vec<(usize, bool)>,
}

impl Spread {
    pub(crate) fn of(plan: &UnnestExec) -> Spread {
        Spread { lists: plan.list_column_indices().iter().map(|l| (l.index_in_input_schema, l.depth > 1)).collect() }
    }

    /// Bytes that each row becomes.
    pub(crate) fn costs(&self, batch: &RecordBatch) -> Result<Vec<u64>> {
        let mut costs = row_bytes::rows(batch, Shared::Counted);
        let mut counts = vec![1u64; batch.num_rows()];
        let mut spread = vec![0u64; batch.num_rows()];
        for (column, deep) in &self.lists {
            let array = batch.column(*column);
            for (row, bytes) in row_bytes::values(array).into_iter().enumerate() {
                let elements = if *deep { bytes / ELEMENT_BYTES_MIN } else { length(array, row) };
                counts[row] = counts[row].max(elements);
                spread[row] += bytes;
            }
        }
        for (row, cost) in costs.iter_mut().enumerate() {
            let others = cost.saturating_sub(spread[row]).max(ELEMENT_BYTES_MIN);
            *cost = counts[row].saturating_mul(others).saturating_add(spread[row]);
            within(*cost, SPREAD_BYTES_MAX, "what unnest makes of one row")?;
        }
        Ok(costs)
    }
}

/// Elements of a list.
fn length(array: &dyn Array, row: usize) -> u64 {
    let length = match array.data_type() {
        DataType::List(_) => array.as_list::<i32>().value_length(row) as usize,
        DataType::LargeList(_) => array.as_list::<i64>().value_length(row) as usize,
        DataType::FixedSizeList(_, length) => *length as usize,
        DataType::Map(..) => array.as_map().value_length(row) as usize,
        _ => 1,
    };
    length as u64
}
