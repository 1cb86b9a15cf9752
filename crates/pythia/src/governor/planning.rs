//! Planning that ends in time.
//!
//! Planning is one long step of a task: nothing can drop it. So each rule of the library's planner is wrapped in one that asks
//! the query's guard first, for each node of the plan where the library calls it so. A plan of thousands of nodes then stops soon
//! after its time is over, as its execution does.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::analyzer::{Analyzer, AnalyzerRule};
use datafusion::optimizer::optimizer::{ApplyOrder, Optimizer, OptimizerConfig, OptimizerRule};
use datafusion::physical_optimizer::optimizer::{PhysicalOptimizer, PhysicalOptimizerContext, PhysicalOptimizerRule};
use datafusion::physical_plan::ExecutionPlan;

use super::guard;

/// Wraps all rules of a session.
pub(crate) fn interruptible(builder: SessionStateBuilder) -> SessionStateBuilder {
    let analyzers = Analyzer::new().rules.into_iter();
    let optimizers = Optimizer::new().rules.into_iter();
    let physical = PhysicalOptimizer::new().rules.into_iter();
    builder
        .with_analyzer_rules(analyzers.map(|rule| Arc::new(Interruptible(rule)) as _).collect())
        .with_optimizer_rules(optimizers.map(|rule| Arc::new(Interruptible(rule)) as _).collect())
        .with_physical_optimizer_rules(physical.map(|rule| Arc::new(Interruptible(rule)) as _).collect())
}

/// A rule that is not applied once its query must not go on.
#[derive(Debug)]
struct Interruptible<R: ?Sized>(Arc<R>);

impl AnalyzerRule for Interruptible<dyn AnalyzerRule + Send + Sync> {
    fn analyze(&self, plan: LogicalPlan, config: &ConfigOptions) -> Result<LogicalPlan> {
        guard::check()?;
        self.0.analyze(plan, config)
    }

    fn name(&self) -> &str {
        self.0.name()
    }
}

impl OptimizerRule for Interruptible<dyn OptimizerRule + Send + Sync> {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.0.apply_order()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        guard::check()?;
        self.0.rewrite(plan, config)
    }
}

impl PhysicalOptimizerRule for Interruptible<dyn PhysicalOptimizerRule + Send + Sync> {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        guard::check()?;
        self.0.optimize(plan, config)
    }

    fn optimize_with_context(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        context: &dyn PhysicalOptimizerContext,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        guard::check()?;
        self.0.optimize_with_context(plan, context)
    }

    fn name(&self) -> &str {
        self.0.name()
    }

    fn schema_check(&self) -> bool {
        self.0.schema_check()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use datafusion::prelude::{SessionContext, col, lit};
    use tokio::sync::Semaphore;

    use super::guard::{Guard, Stopped};
    use super::*;

    /// Returns what the planner answers under a guard whose time ends at a moment.
    async fn planned(deadline: Instant) -> Result<Arc<dyn ExecutionPlan>> {
        let place = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        let guard = Arc::new(Guard::new(deadline, 1, 1, place));
        let state = interruptible(SessionStateBuilder::new().with_default_features()).build();
        let context = SessionContext::new_with_state(state);
        let plan = context.read_empty().unwrap().filter(lit(1).eq(lit(1))).unwrap();
        let plan = plan.select(vec![lit(1).alias("a")]).unwrap().sort(vec![col("a").sort(true, true)]).unwrap();
        guard.over(async { context.state().create_physical_plan(plan.logical_plan()).await }).await
    }

    #[tokio::test]
    async fn planning_ends_when_its_time_is_over() {
        let error = planned(Instant::now()).await.expect_err("planned though its time was over");
        let stopped = error.find_root().to_string();
        assert_eq!(stopped, format!("External error: {}", Stopped::TimedOut { time_ms_max: 1 }));
        planned(Instant::now() + Duration::from_secs(3600)).await.unwrap();
    }
}
