//! Arithmetic of integers that says when it overflows.
//!
//! The library's `+`, `-` and `*` of 64-bit integers wrap around silently, and so does its sum: a height or an amount
//! in the smallest unit would turn negative and look like a result. Before types are settled, the operators become
//! functions that fail instead, and sums are of decimals, which hold any sum of 64-bit integers.

use arrow::array::Datum;
use arrow::compute::kernels::numeric;
use arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, DataFusionError, Result};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::FunctionRewrite;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility, cast,
};

/// Puts functions that fail in the place of operators that wrap around.
#[derive(Debug)]
pub(crate) struct CheckedIntegers;

/// Whether 64 bits with a sign hold it.
fn is_signed(kind: &DataType) -> bool {
    kind.is_signed_integer() || matches!(kind, DataType::UInt8 | DataType::UInt16 | DataType::UInt32)
}

impl FunctionRewrite for CheckedIntegers {
    fn name(&self) -> &str {
        "checked_integers"
    }

    fn rewrite(&self, expr: Expr, schema: &DFSchema, _config: &ConfigOptions) -> Result<Transformed<Expr>> {
        let Expr::BinaryExpr(BinaryExpr { left, op, right }) = expr else { return Ok(Transformed::no(expr)) };
        let signed = |side: &Expr| side.get_type(schema).is_ok_and(|kind| is_signed(&kind));
        let checked = Checked::of(op).filter(|_| signed(&left) && signed(&right));
        Ok(match checked {
            None => Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right })),
            Some(checked) => {
                let args = [left, right].into_iter().map(|side| cast(*side, DataType::Int64)).collect();
                let function = ScalarUDF::new_from_impl(checked).into();
                Transformed::yes(Expr::ScalarFunction(ScalarFunction { func: function, args }))
            }
        })
    }
}

/// An operator of two 64-bit integers.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Checked {
    name: &'static str,
    op: Operator,
    signature: Signature,
}

impl Checked {
    fn of(op: Operator) -> Option<Checked> {
        let name = match op {
            Operator::Plus => "checked_add",
            Operator::Minus => "checked_subtract",
            Operator::Multiply => "checked_multiply",
            _ => return None,
        };
        let signature = Signature::exact(vec![DataType::Int64, DataType::Int64], Volatility::Immutable);
        Some(Checked { name, op, signature })
    }
}

impl ScalarUDFImpl for Checked {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [left, right] = args.args.as_slice() else {
            return Err(DataFusionError::Internal("an operator has two sides".to_string()));
        };
        let calculate = |left: &dyn Datum, right: &dyn Datum| match self.op {
            Operator::Plus => numeric::add(left, right),
            Operator::Minus => numeric::sub(left, right),
            _ => numeric::mul(left, right),
        };
        Ok(ColumnarValue::Array(match (left, right) {
            (ColumnarValue::Array(left), ColumnarValue::Array(right)) => calculate(left, right)?,
            (ColumnarValue::Array(left), ColumnarValue::Scalar(right)) => calculate(left, &right.to_scalar()?)?,
            (ColumnarValue::Scalar(left), ColumnarValue::Array(right)) => calculate(&left.to_scalar()?, right)?,
            (ColumnarValue::Scalar(left), ColumnarValue::Scalar(right)) => {
                let result = calculate(&left.to_scalar()?, &right.to_scalar()?)?;
                let result = datafusion::common::ScalarValue::try_from_array(&result, 0)?;
                return Ok(ColumnarValue::Scalar(result));
            }
        }))
    }
}
