//! Operators that hand on what they are given, and look at it on the way.

use std::fmt;
use std::sync::Arc;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};

/// Work on the batches that pass.
pub(crate) trait Through: Clone + fmt::Debug + Send + Sync + 'static {
    /// The operator's name.
    const NAME: &'static str;

    /// The stream of batches in place of `input`: the same rows in the same order.
    fn pass(&self, input: SendableRecordBatchStream, context: &TaskContext) -> SendableRecordBatchStream;
}

/// Passes its input on, and has all its properties.
#[derive(Debug)]
pub(crate) struct ThroughExec<T> {
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
    what: T,
}

impl<T: Through> ThroughExec<T> {
    pub(crate) fn new(input: Arc<dyn ExecutionPlan>, what: T) -> ThroughExec<T> {
        ThroughExec { properties: Arc::clone(input.properties()), input, what }
    }
}

impl<T: Through> DisplayAs for ThroughExec<T> {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::NAME)
    }
}

impl<T: Through> ExecutionPlan for ThroughExec<T> {
    fn name(&self) -> &str {
        T::NAME
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        match children.pop() {
            Some(input) if children.is_empty() => Ok(Arc::new(ThroughExec::new(input, self.what.clone()))),
            _ => Err(DataFusionError::Internal(format!("{} has one input", T::NAME))),
        }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        Ok(self.what.pass(self.input.execute(partition, Arc::clone(&context))?, &context))
    }
}
