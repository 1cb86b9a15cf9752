//! Counts what window functions hold.
//!
//! `sum(x) OVER ()` keeps all its input until the end, and the library's operators for it tell the memory limit
//! nothing. An operator before them counts what passes and asks for that much memory. Those that work row after row
//! hold less, but `lead(x, 1000000)` or a frame of a million rows makes them hold as much, so they are counted alike.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::window::WindowExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};
use futures::StreamExt;

use super::passthrough::Through;
use super::row_bytes::{self, Shared};

/// Bytes of a window function's result that is no text.
const RESULT_BYTES: u64 = 16;

/// Bytes that window functions add to their input.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Windows {
    /// Functions.
    count: u64,
    /// Of these, with texts or lists as results, each as wide as the widest row at most.
    wide: u64,
}

/// Returns what an operator's window functions add; `None` if it has none.
pub(crate) fn of(plan: &Arc<dyn ExecutionPlan>) -> Option<Windows> {
    let bounded = plan.downcast_ref::<BoundedWindowAggExec>().map(|w| w.window_expr());
    let functions = plan.downcast_ref::<WindowAggExec>().map(|w| w.window_expr()).or(bounded)?;
    let wide = |function: &&Arc<dyn WindowExpr>| {
        let kind = function.field().map_or(DataType::Null, |field| field.data_type().clone());
        kind.is_nested() || kind.is_string() || kind.is_binary()
    };
    Some(Windows { count: functions.len() as u64, wide: functions.iter().filter(wide).count() as u64 })
}

/// Holds a reservation of the size of what passes, until it ends.
impl Through for Windows {
    const NAME: &'static str = "MeterExec";

    fn pass(&self, input: SendableRecordBatchStream, context: &TaskContext) -> SendableRecordBatchStream {
        let reservation = MemoryConsumer::new("window").register(context.memory_pool());
        let schema = input.schema();
        let Windows { count, wide } = *self;
        let (mut held, mut rows, mut widest) = (0, 0, 0);
        let metered = input.map(move |batch| {
            let batch = batch?;
            held += batch.get_array_memory_size() as u64;
            rows += batch.num_rows() as u64;
            if wide > 0 {
                widest = row_bytes::rows(&batch, Shared::Counted).into_iter().fold(widest, u64::max);
            }
            let results = rows * (count * RESULT_BYTES + wide * widest);
            reservation.try_resize(usize::try_from(held + results).unwrap_or(usize::MAX))?;
            Ok(batch)
        });
        Box::pin(RecordBatchStreamAdapter::new(schema, metered))
    }
}
