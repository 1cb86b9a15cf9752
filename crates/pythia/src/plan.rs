//! From a statement to a plan that may run.

use std::sync::Arc;

use datafusion::common::{DataFusionError, Result, TableReference};
use datafusion::execution::context::SQLOptions;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::sql::parser::Statement;
use openmesh_lake::Table;

use crate::error::{QueryError, unknown_table};
use crate::governor::guard::Guard;
use crate::governor::{frames, functions, operators};
use crate::{membership, suggest};

/// Rows of a batch in queries that can make wide rows: some operators gather this many before they go on.
const WIDE_BATCH_ROWS: &str = "256";

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
    frames::bounded(&plan).map_err(planning)?;
    let plan = membership::exact(plan).map_err(planning)?;
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
    let wide = functions::wide_parts(plan)?;
    if wide > 0 {
        guard.share(wide);
        state.config_mut().options_mut().set("datafusion.execution.batch_size", WIDE_BATCH_ROWS)?;
    }
    operators::paced(state.create_physical_plan(plan).await?, guard)
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
