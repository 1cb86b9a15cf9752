//! Operators that let themselves be stopped, and hand on no more at once than they should.
//!
//! A plan that is ready to run is taken apart and put together again ([`paced`]):
//!
//! - Behind each operator stands a [`Pace`]. For every batch it asks the query's [`Guard`] whether to go on and gives
//!   other tasks a turn.
//! - It also looks at what the operator that reads the batch will make of it. Batches are bounded in rows, not in bytes,
//!   and some readers copy a value once for each row: constants, the lists that `unnest` spreads, a join's other side.
//!   So a batch whose rows are wide is cut into several; a row that is too wide for what comes next is refused.
//! - Conditions of joins ask the guard as well ([`Watched`]): a join tries all pairs of its inputs without coming back
//!   for as long as none of them fits. Joins that only test for partners get a condition for this, where they have none.
//!
//! This happens after planning, so that `EXPLAIN` shows the plan and not its paces.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use arrow::array::UInt64Array;
use arrow::compute::take_record_batch;
use arrow::datatypes::{DataType, FieldRef, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, JoinType, Result, ScalarValue};
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Literal;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coop::make_cooperative;
use datafusion::physical_plan::joins::utils::JoinFilter;
use datafusion::physical_plan::joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec, NestedLoopJoinExecBuilder};
use datafusion::physical_plan::unnest::UnnestExec;
use futures::{Stream, StreamExt};

use super::guard::Guard;
use super::passthrough::{Through, ThroughExec};
use super::row_bytes::{self, Shared, within};
use super::unnest::Spread;
use super::windows;

/// Bytes into which batches of wide rows are cut.
const CUT_BYTES: u64 = 16 << 20;

/// A batch of the usual number of rows has this width when it has [`CUT_BYTES`]; narrower batches are left whole.
const WIDE_BYTES: u64 = 2 << 10;

/// Widest row that an operator may read: some gather batches until they have enough rows.
const ROW_BYTES_MAX: u64 = 1 << 20;

/// Widest row that a join may read, without texts that it shares instead of copying them: it repeats a row for each
/// partner. All of a table's own texts are shared.
const JOIN_ROW_BYTES_MAX: u64 = 16 << 10;

/// Constants below this size are not counted.
const SMALL_CONSTANT_BYTES: u64 = 128;

/// The same plan, such that it can be stopped anywhere.
pub(crate) fn paced(plan: Arc<dyn ExecutionPlan>, guard: &Arc<Guard>) -> Result<Arc<dyn ExecutionPlan>> {
    let plan = plan.transform_up(|plan| {
        let plan = watched(plan, guard)?;
        if plan.children().is_empty() {
            return Ok(Transformed::no(plan));
        }
        let reader = Reader::of(&plan)?;
        let metered = windows::of(&plan);
        let inputs = plan.children().into_iter().map(|input| {
            let paced: Arc<dyn ExecutionPlan> = Arc::new(ThroughExec::new(
                Arc::clone(input),
                Pace { guard: Arc::clone(guard), reader: reader.clone() },
            ));
            metered.map_or(Arc::clone(&paced), |windows| Arc::new(ThroughExec::new(paced, windows)))
        });
        let inputs = inputs.collect();
        Ok(Transformed::yes(datafusion::physical_plan::replace_children_if_necessary(plan, inputs)?))
    });
    Ok(Arc::new(ThroughExec::new(plan.data()?, Pace { guard: Arc::clone(guard), reader: Reader::Person })))
}

/// Lets a join's condition ask the guard.
fn watched(plan: Arc<dyn ExecutionPlan>, guard: &Arc<Guard>) -> Result<Arc<dyn ExecutionPlan>> {
    if let Some(join) = plan.downcast_ref::<NestedLoopJoinExec>() {
        let filter = watched_filter(join.filter(), guard, *join.join_type());
        return Ok(Arc::new(NestedLoopJoinExecBuilder::from(join).with_filter(filter).build()?));
    }
    if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
        let filter = watched_filter(join.filter(), guard, *join.join_type());
        return join.builder().with_filter(filter).build_exec();
    }
    Ok(plan)
}

fn watched_filter(filter: Option<&JoinFilter>, guard: &Arc<Guard>, join: JoinType) -> Option<JoinFilter> {
    let watch = |inner| Arc::new(Watched { inner, guard: Arc::clone(guard) });
    match (filter, join) {
        (Some(filter), _) => {
            let expression = watch(Arc::clone(filter.expression()));
            Some(JoinFilter::new(expression, filter.column_indices().to_vec(), Arc::clone(filter.schema())))
        }
        // These hand on a batch for each batch of pairs.
        (None, JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full) => None,
        (None, _) => {
            let always = Arc::new(Literal::new(ScalarValue::Boolean(Some(true))));
            Some(JoinFilter::new(watch(always), Vec::new(), Arc::new(Schema::empty())))
        }
    }
}

/// A condition that fails when the query must not go on.
#[derive(Debug)]
struct Watched {
    inner: Arc<dyn PhysicalExpr>,
    guard: Arc<Guard>,
}

impl PartialEq for Watched {
    fn eq(&self, other: &Watched) -> bool {
        self.inner.eq(&other.inner)
    }
}

impl Eq for Watched {}

impl Hash for Watched {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
    }
}

impl fmt::Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl PhysicalExpr for Watched {
    fn data_type(&self, schema: &Schema) -> Result<DataType> {
        self.inner.data_type(schema)
    }

    fn nullable(&self, schema: &Schema) -> Result<bool> {
        self.inner.nullable(schema)
    }

    fn return_field(&self, schema: &Schema) -> Result<FieldRef> {
        self.inner.return_field(schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        self.guard.check()?;
        self.inner.evaluate(batch)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.inner]
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        match children.pop() {
            Some(inner) if children.is_empty() => Ok(Arc::new(Watched { inner, guard: Arc::clone(&self.guard) })),
            _ => Err(DataFusionError::Internal("a watched condition is one".to_string())),
        }
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt_sql(f)
    }
}

/// Reader of a stream, as far as it matters for the size of batches.
#[derive(Clone, Debug)]
enum Reader {
    /// The person who asked, who gets rows as they are.
    Person,
    /// An operator that adds this many bytes of constants to each row.
    Operator { constants: u64 },
    /// A join.
    Join,
    /// Spreads lists into rows.
    Unnest(Spread),
}

impl Reader {
    fn of(plan: &Arc<dyn ExecutionPlan>) -> Result<Reader> {
        if let Some(unnest) = plan.downcast_ref::<UnnestExec>() {
            return Ok(Reader::Unnest(Spread::of(unnest)));
        }
        let constants = constants(plan)?;
        if !plan.is::<CrossJoinExec>() && !plan.is::<NestedLoopJoinExec>() && !plan.is::<HashJoinExec>() {
            return Ok(Reader::Operator { constants });
        }
        within(constants, JOIN_ROW_BYTES_MAX, "the constants of a join's condition").map(|()| Reader::Join)
    }

    /// Refuses rows that are too wide, and says what each row will cost.
    fn costs(&self, batch: &RecordBatch) -> Result<Option<Vec<u64>>> {
        let (total, count) = (row_bytes::total(batch), batch.num_rows() as u64);
        match self {
            Reader::Person => Ok(None),
            Reader::Operator { constants } => {
                let whole = total.saturating_add(count.saturating_mul(*constants));
                if whole <= ROW_BYTES_MAX {
                    return Ok(None);
                }
                let mut rows = row_bytes::rows(batch, Shared::Counted);
                rows.iter_mut().for_each(|row| *row = row.saturating_add(*constants));
                within(widest(&rows), ROW_BYTES_MAX, "a row")?;
                Ok((whole > CUT_BYTES && whole / count.max(1) > WIDE_BYTES).then_some(rows))
            }
            Reader::Join => {
                if total > JOIN_ROW_BYTES_MAX {
                    let copied = row_bytes::rows(batch, Shared::Free);
                    within(widest(&copied), JOIN_ROW_BYTES_MAX, "a row of a join")?;
                    within(widest(&row_bytes::rows(batch, Shared::Counted)), ROW_BYTES_MAX, "a row")?;
                }
                Ok(None)
            }
            Reader::Unnest(spread) => spread.costs(batch).map(Some),
        }
    }
}

fn widest(rows: &[u64]) -> u64 {
    rows.iter().copied().max().unwrap_or(0)
}

/// Bytes of all large constants in an operator's expressions.
fn constants(plan: &Arc<dyn ExecutionPlan>) -> Result<u64> {
    let mut bytes = 0u64;
    plan.apply_expressions(&mut |expression| {
        expression.apply(|part| {
            if let Some(constant) = part.downcast_ref::<Literal>() {
                let size = row_bytes::constant(constant.value())?;
                bytes += if size > SMALL_CONSTANT_BYTES { size } else { 0 };
            }
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    Ok(bytes)
}

/// Asks the guard for every batch, and cuts batches whose rows are wide.
#[derive(Clone, Debug)]
struct Pace {
    guard: Arc<Guard>,
    reader: Reader,
}

impl Through for Pace {
    const NAME: &'static str = "PaceExec";

    fn pass(&self, input: SendableRecordBatchStream, _: &TaskContext) -> SendableRecordBatchStream {
        let Pace { guard, reader } = self.clone();
        Box::pin(PaceStream { input: make_cooperative(input), guard, reader, cut: None })
    }
}

struct PaceStream {
    input: SendableRecordBatchStream,
    guard: Arc<Guard>,
    reader: Reader,
    cut: Option<Cut>,
}

/// A batch of which some rows are still to be handed on.
struct Cut {
    batch: RecordBatch,
    costs: Vec<u64>,
    at: usize,
}

impl Cut {
    /// As many rows as their cost allows, at least one. Copied, so that whoever keeps them does not keep all.
    fn next(&mut self) -> Result<RecordBatch> {
        let mut cost = 0u64;
        let fitting = self.costs[self.at..].iter().take_while(|row| {
            cost = cost.saturating_add(**row);
            cost <= CUT_BYTES
        });
        let end = self.at + fitting.count().max(1);
        let start = std::mem::replace(&mut self.at, end);
        if self.batch.num_columns() == 0 {
            // Only a number of rows, which taking them one by one would lose: constants are all that is asked for.
            return Ok(self.batch.slice(start, end - start));
        }
        let rows = UInt64Array::from_iter_values((start..end).map(|row| row as u64));
        Ok(take_record_batch(&self.batch, &rows)?)
    }
}

impl PaceStream {
    fn cut_on(&mut self) -> Option<Result<RecordBatch>> {
        let cut = self.cut.as_mut()?;
        let next = cut.next();
        if cut.at >= cut.costs.len() {
            self.cut = None;
        }
        Some(next)
    }

    fn paced(&mut self, batch: RecordBatch) -> Result<RecordBatch> {
        match self.reader.costs(&batch)? {
            Some(costs) if costs.iter().fold(0u64, |sum, row| sum.saturating_add(*row)) > CUT_BYTES => {
                self.cut = Some(Cut { batch, costs, at: 0 });
                self.cut_on().unwrap_or_else(|| Err(DataFusionError::Internal("nothing to cut".to_string())))
            }
            _ => Ok(batch),
        }
    }
}

impl Stream for PaceStream {
    type Item = Result<RecordBatch>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<RecordBatch>>> {
        let this = self.get_mut();
        let guard = Arc::clone(&this.guard);
        let _entered = guard.enter();
        if let Err(stopped) = guard.check() {
            return Poll::Ready(Some(Err(stopped)));
        }
        if let Some(rows) = this.cut_on() {
            return Poll::Ready(Some(rows));
        }
        let batch = ready!(this.input.poll_next_unpin(cx));
        Poll::Ready(batch.map(|batch| batch.and_then(|batch| this.paced(batch))))
    }
}

impl RecordBatchStream for PaceStream {
    fn schema(&self) -> SchemaRef {
        self.input.schema()
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::RecordBatchOptions;

    use super::*;

    /// Found by a test that failed now and then: `SELECT repeat('x', 1000000) FROM trades` reads no column at all.
    #[test]
    fn rows_without_columns_are_cut_too() {
        let options = RecordBatchOptions::new().with_row_count(Some(40));
        let batch = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &options).unwrap();
        let costs = (Reader::Operator { constants: 1_000_000 }).costs(&batch).unwrap().unwrap();
        let mut cut = Cut { batch, costs, at: 0 };
        let mut rows = Vec::new();
        while cut.at < 40 {
            rows.push(cut.next().unwrap().num_rows());
        }
        assert_eq!(rows, [16, 16, 8]);
    }
}
