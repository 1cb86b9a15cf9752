//! From a statement to a plan that may run.

use std::sync::Arc;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, Result, ScalarValue, TableReference, plan_err};
use datafusion::execution::context::SQLOptions;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::expr::{WindowFunction, WindowFunctionDefinition, WindowFunctionParams};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, WindowFrameBound, WindowFrameUnits};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::sql::parser::Statement;
use openmesh_lake::Table;

use crate::error::{QueryError, unknown_table};
use crate::guard::Guard;
use crate::{bounded, pace, suggest};

/// Rows of a batch in queries that can make wide rows: some operators gather this many before they go on.
const WIDE_BATCH_ROWS: &str = "256";

/// Aggregates whose result grows with its input: as window functions they would hold one for each row.
const GROWING_AGGREGATES: [&str; 2] = ["array_agg", "string_agg"];

/// Aggregates that look at all their input for each result.
const SLOW_AGGREGATES: [&str; 4] = ["median", "percentile_cont", "approx_percentile_cont", "approx_median"];

/// Longest frame, in rows before and after, over which a slow aggregate may slide.
const SLOW_FRAME_ROWS_MAX: u64 = 1_000;

/// The plan of a statement, and only of one that reads. One row more than the limit comes out of it, so that whoever
/// runs it knows whether there were more.
pub(crate) async fn logical(
    state: &SessionState,
    statement: Statement,
    rows_max: usize,
    planning: impl Fn(DataFusionError) -> QueryError + Copy,
) -> Result<LogicalPlan, QueryError> {
    for table in state.resolve_table_references(&statement).map_err(planning)? {
        // A table function is listed among the tables.
        let function = table.schema().is_none() && state.table_functions().contains_key(table.table());
        if !function && !known(&table) {
            return Err(unknown_table(&table.to_string()));
        }
    }
    let plan = state.statement_to_plan(statement).await.map_err(|e| suggest_function(state, planning(e)))?;
    // The parser let only reading through; this looks again, at the plan.
    let only_reading = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    only_reading.verify_plan(&plan).map_err(|_| QueryError::RefusedStatement { statement: "this".to_string() })?;
    bounded_windows(&plan).map_err(planning)?;
    match plan {
        // These must be at the top of a plan, and answer with few rows.
        LogicalPlan::Explain(_) | LogicalPlan::Analyze(_) | LogicalPlan::DescribeTable(_) => Ok(plan),
        plan => LogicalPlanBuilder::from(plan)
            .limit(0, Some(rows_max.saturating_add(1)))
            .and_then(LogicalPlanBuilder::build)
            .map_err(planning),
    }
}

/// The plan as it runs.
pub(crate) async fn physical(
    state: &mut SessionState,
    plan: &LogicalPlan,
    guard: &Arc<Guard>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let wide = bounded::wide_parts(plan)?;
    if wide > 0 {
        guard.share(wide);
        state.config_mut().options_mut().set("datafusion.execution.batch_size", WIDE_BATCH_ROWS)?;
    }
    pace::paced(state.create_physical_plan(plan).await?, guard)
}

fn suggest_function(state: &SessionState, error: QueryError) -> QueryError {
    let QueryError::UnknownFunction { name, .. } = error else { return error };
    let scalar = state.scalar_functions().keys();
    let names = scalar.chain(state.aggregate_functions().keys()).chain(state.window_functions().keys());
    QueryError::UnknownFunction { suggestions: suggest::closest(&name, names.map(String::as_str)), name }
}

fn known(table: &TableReference) -> bool {
    match table.schema() {
        None | Some("public") => table.table().parse::<Table>().is_ok(),
        Some(schema) => schema == "information_schema",
    }
}

/// Refuses window functions that take memory or time with the square of their input.
fn bounded_windows(plan: &LogicalPlan) -> Result<()> {
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expression| {
            expression.apply(|part| match part {
                Expr::WindowFunction(window) => bounded_window(window).map(|()| TreeNodeRecursion::Continue),
                _ => Ok(TreeNodeRecursion::Continue),
            })
        })
    })
    .map(|_| ())
}

fn bounded_window(window: &WindowFunction) -> Result<()> {
    let WindowFunctionDefinition::AggregateUDF(aggregate) = &window.fun else { return Ok(()) };
    let name = aggregate.name();
    if GROWING_AGGREGATES.contains(&name) {
        return plan_err!("{name} can not be used with OVER: group instead");
    }
    if SLOW_AGGREGATES.contains(&name) && !short_or_whole(&window.params) {
        return plan_err!(
            "{name} with OVER (ORDER BY ...) wants a frame: ROWS BETWEEN n PRECEDING AND CURRENT ROW, \
             n up to {SLOW_FRAME_ROWS_MAX}"
        );
    }
    Ok(())
}

/// Whether a frame is the whole partition, or few rows.
fn short_or_whole(params: &WindowFunctionParams) -> bool {
    let frame = &params.window_frame;
    let (start, end) = (&frame.start_bound, &frame.end_bound);
    let short = |bound: &WindowFrameBound| match bound {
        WindowFrameBound::CurrentRow => true,
        WindowFrameBound::Preceding(rows) | WindowFrameBound::Following(rows) => {
            matches!(rows, ScalarValue::UInt64(Some(rows)) if *rows <= SLOW_FRAME_ROWS_MAX)
        }
    };
    (start.is_unbounded() && end.is_unbounded())
        || params.order_by.is_empty() && frame.units != WindowFrameUnits::Rows
        || frame.units == WindowFrameUnits::Rows && short(start) && short(end)
}
