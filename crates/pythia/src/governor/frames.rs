//! Frames of window functions.
//!
//! Some aggregates hold or look at all their input for each result. With OVER they would take memory or time with the square of
//! the input, and the operators for them ask nobody on their way: so such calls are refused while they are planned.

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::expr::{WindowFunction, WindowFunctionDefinition, WindowFunctionParams};
use datafusion::logical_expr::{Expr, LogicalPlan, WindowFrameBound, WindowFrameUnits};

/// Aggregates whose result grows with its input: as window functions they would hold one for each row.
pub(crate) const GROWING_AGGREGATES: [&str; 2] = ["array_agg", "string_agg"];

/// Aggregates that look at all their input for each result.
pub(crate) const SLOW_AGGREGATES: [&str; 5] =
    ["median", "percentile_cont", "approx_percentile_cont", "approx_percentile_cont_with_weight", "approx_median"];

/// Longest frame, in rows before and after, over which a slow aggregate may slide.
const SLOW_FRAME_ROWS_MAX: u64 = 1_000;

/// Refuses window functions that take memory or time with the square of their input.
pub(crate) fn bounded(plan: &LogicalPlan) -> Result<()> {
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

/// Returns true if a frame is the whole partition, or few rows.
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
