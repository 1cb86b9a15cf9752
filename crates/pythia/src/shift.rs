//! `lead` and `lag`, right where the library's are not.
//!
//! Over nulls that are ignored the library loses its place at a gap, a LIMIT keeps rows from it that it would have to see, and a
//! default of another type is rounded to the column's. So rows are found here whenever nulls are ignored, over the whole
//! partition; a LIMIT never cuts what these functions read; and a default that the column's type does not hold is refused.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::compute::interleave;
use arrow::datatypes::FieldRef;
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::function::{ExpressionArgs, PartitionEvaluatorArgs, WindowUDFFieldArgs};
use datafusion::logical_expr::{
    Documentation, LimitEffect, PartitionEvaluator, ReversedUDWF, Signature, WindowUDF, WindowUDFImpl,
};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Literal;

/// The session's window functions, with these in the place of the library's.
pub(crate) fn functions(library: Vec<Arc<WindowUDF>>) -> Vec<Arc<WindowUDF>> {
    let replaced = |function: Arc<WindowUDF>| match function.name() {
        "lead" => Arc::new(WindowUDF::new_from_impl(Shift { forward: true, inner: function })),
        "lag" => Arc::new(WindowUDF::new_from_impl(Shift { forward: false, inner: function })),
        _ => function,
    };
    library.into_iter().map(replaced).collect()
}

/// `lead` (forward) or `lag`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Shift {
    forward: bool,
    inner: Arc<WindowUDF>,
}

impl WindowUDFImpl for Shift {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn expressions(&self, args: ExpressionArgs) -> Vec<Arc<dyn PhysicalExpr>> {
        self.inner.expressions(args)
    }

    fn partition_evaluator(&self, args: PartitionEvaluatorArgs) -> Result<Box<dyn PartitionEvaluator>> {
        let offset = match constant(&args, 1, "offset")? {
            None => 1,
            Some(value) => match value.cast_to(&arrow::datatypes::DataType::Int64)? {
                ScalarValue::Int64(Some(offset)) => offset,
                _ => return plan_err!("the offset of {} is null", self.name()),
            },
        };
        let default = constant(&args, 2, "default")?;
        let kind = args.input_fields().first().map(|field| field.data_type().clone());
        let default = match (default, kind) {
            (Some(value), Some(kind)) if !value.is_null() && !kind.is_null() => Some(lossless(&value, &kind)?),
            _ => None,
        };
        if !args.ignore_nulls() {
            return self.inner.partition_evaluator_factory(args);
        }
        // A frame that is calculated from its end hands in rows in the other direction.
        let forward = self.forward != args.is_reversed();
        let Some(steps) = (if forward { Some(offset) } else { offset.checked_neg() }) else {
            return plan_err!("the offset of {} is too large", self.name());
        };
        Ok(Box::new(SkipNulls { steps, default }))
    }

    fn field(&self, args: WindowUDFFieldArgs) -> Result<FieldRef> {
        self.inner.field(args)
    }

    fn reverse_expr(&self) -> ReversedUDWF {
        ReversedUDWF::NotSupported
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }

    fn limit_effect(&self, _: &[Arc<dyn PhysicalExpr>]) -> LimitEffect {
        LimitEffect::Unknown
    }
}

/// An argument that must be a constant.
fn constant(args: &PartitionEvaluatorArgs, at: usize, what: &str) -> Result<Option<ScalarValue>> {
    let Some(argument) = args.input_exprs().get(at) else { return Ok(None) };
    match argument.downcast_ref::<Literal>() {
        Some(literal) => Ok(Some(literal.value().clone())),
        None => plan_err!("the {what} of lead and lag must be a constant"),
    }
}

/// The value in another type, where that holds it exactly.
fn lossless(value: &ScalarValue, kind: &arrow::datatypes::DataType) -> Result<ScalarValue> {
    let cast = value.cast_to(kind)?;
    if cast.cast_to(&value.data_type()).is_ok_and(|back| back == *value) {
        return Ok(cast);
    }
    plan_err!("the default {value} can not be a {kind}, which the column is: cast the column")
}

/// Finds the value so many steps away, where nulls are no steps.
#[derive(Debug)]
struct SkipNulls {
    /// Forward where positive; 0 is the row itself.
    steps: i64,
    default: Option<ScalarValue>,
}

impl PartitionEvaluator for SkipNulls {
    fn evaluate_all(&mut self, values: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        let Some(column) = values.first() else { return exec_err!("lead and lag have an argument") };
        let default = match &self.default {
            Some(value) => value.cast_to(column.data_type())?,
            None => ScalarValue::try_from(column.data_type())?,
        };
        let present: Vec<usize> = (0..rows).filter(|row| column.is_valid(*row)).collect();
        // How many values are before the row, and whether its own is one.
        let mut before = 0;
        let found = (0..rows).map(|row| {
            let own = column.is_valid(row);
            let at = match self.steps {
                0 => return Some(row),
                steps if steps > 0 => {
                    usize::try_from(steps - 1).ok().and_then(|s| s.checked_add(before + usize::from(own)))
                }
                steps => usize::try_from(steps.unsigned_abs()).ok().and_then(|s| before.checked_sub(s)),
            };
            before += usize::from(own);
            at.and_then(|at| present.get(at).copied())
        });
        let places: Vec<(usize, usize)> = found.map(|row| row.map_or((1, 0), |row| (0, row))).collect();
        let default = default.to_array_of_size(1)?;
        Ok(interleave(&[column.as_ref(), default.as_ref()], &places)?)
    }
}
