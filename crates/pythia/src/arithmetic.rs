//! Arithmetic that is exact or fails.
//!
//! The library's `+`, `-` and `*` of 64-bit integers wrap around silently: a height or an amount in the smallest unit would
//! turn negative and look like a result. Of decimals it checks that a result fits the bits of its type, not that it fits the
//! type's digits: between 10^38 and 1.7 * 10^38 (and likewise in 256 bits) the value is there, but is printed with its last
//! digits cut off. So before types are settled, the operators become functions: of integers they fail where 64 bits do not
//! hold the result; of decimals they calculate in 256 bits wherever the result could need more than 38 digits, and fail where
//! it needs more than 76.

use arrow::array::{Array, AsArray, Datum};
use arrow::compute::kernels::numeric;
use arrow::datatypes::{DataType, Decimal128Type, Decimal256Type};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, DataFusionError, Result, ScalarValue, plan_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::FunctionRewrite;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility, cast, lit,
};

/// Most digits of a 256-bit decimal.
pub(crate) const WIDE_DIGITS_MAX: u8 = 76;
/// Most digits of a 128-bit decimal.
const DIGITS_MAX: u8 = 38;
/// Digits of the largest 64-bit integer, with or without a sign.
const INTEGER_DIGITS: u8 = 20;

/// Precision and scale of a decimal.
pub(crate) fn decimal(kind: &DataType) -> Option<(u8, i8)> {
    match kind {
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => Some((*precision, *scale)),
        _ => None,
    }
}

/// Puts functions that fail in the place of operators that wrap around or cut off digits.
#[derive(Debug)]
pub(crate) struct CheckedArithmetic;

impl FunctionRewrite for CheckedArithmetic {
    fn name(&self) -> &str {
        "checked_arithmetic"
    }

    fn rewrite(&self, expr: Expr, schema: &DFSchema, _config: &ConfigOptions) -> Result<Transformed<Expr>> {
        let BinaryExpr { left, op, right } = match expr {
            Expr::BinaryExpr(operation) => operation,
            // The smallest integer has no opposite: the library would leave it as it is.
            Expr::Negative(inner) if inner.get_type(schema).is_ok_and(|kind| is_signed(&kind)) => {
                BinaryExpr { left: Box::new(lit(0i64)), op: Operator::Minus, right: inner }
            }
            other => return Ok(Transformed::no(other)),
        };
        let kinds = Checked::name_of(op).and_then(|name| {
            let (left, right) = (left.get_type(schema).ok()?, right.get_type(schema).ok()?);
            operands(op, &left, &right).map(|kinds| (name, kinds))
        });
        let Some((name, kinds)) = kinds else {
            return Ok(Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right })));
        };
        let [left_kind, right_kind] = kinds;
        let args = vec![as_kind(*left, &left_kind, schema)?, as_kind(*right, &right_kind, schema)?];
        let func = ScalarUDF::new_from_impl(Checked::new(name, op)).into();
        Ok(Transformed::yes(Expr::ScalarFunction(ScalarFunction { func, args })))
    }
}

fn as_kind(expr: Expr, kind: &DataType, schema: &DFSchema) -> Result<Expr> {
    Ok(if expr.get_type(schema)? == *kind { expr } else { cast(expr, kind.clone()) })
}

/// Returns true if 64 bits with a sign hold it.
fn is_signed(kind: &DataType) -> bool {
    kind.is_signed_integer() || matches!(kind, DataType::UInt8 | DataType::UInt16 | DataType::UInt32)
}

/// The types in which an operator calculates; `None` where the library's own is right.
fn operands(op: Operator, left: &DataType, right: &DataType) -> Option<[DataType; 2]> {
    let additive = matches!(op, Operator::Plus | Operator::Minus);
    if left.is_integer() && right.is_integer() {
        // Integers are divided without a remainder, which can not wrap around but in one case that the library refuses.
        if !additive && op != Operator::Multiply {
            return None;
        }
        if is_signed(left) && is_signed(right) {
            return Some([DataType::Int64, DataType::Int64]);
        }
    }
    let digits = |kind: &DataType| decimal(kind).or_else(|| kind.is_integer().then_some((INTEGER_DIGITS, 0)));
    let ((p1, s1), (p2, s2)) = (digits(left)?, digits(right)?);
    if !additive {
        // `WideArithmetic` has settled the operands of products and quotients; here they only become of one width.
        let wide = [left, right].iter().any(|kind| matches!(kind, DataType::Decimal256(..)));
        let kind = |p, s| if wide { DataType::Decimal256(p, s) } else { DataType::Decimal128(p, s) };
        return Some([kind(p1, s1), kind(p2, s2)]);
    }
    let scale = s1.max(s2);
    let before = (i16::from(p1) - i16::from(s1)).max(i16::from(p2) - i16::from(s2));
    let needed = before + i16::from(scale) + 1;
    let kind = match u8::try_from(needed) {
        Ok(needed) if needed <= DIGITS_MAX => DataType::Decimal128(needed, scale),
        _ => DataType::Decimal256(WIDE_DIGITS_MAX, scale),
    };
    Some([kind.clone(), kind])
}

/// An operator of two 64-bit integers or two decimals.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Checked {
    name: &'static str,
    op: Operator,
    signature: Signature,
}

impl Checked {
    fn new(name: &'static str, op: Operator) -> Checked {
        Checked { name, op, signature: Signature::any(2, Volatility::Immutable) }
    }

    fn name_of(op: Operator) -> Option<&'static str> {
        match op {
            Operator::Plus => Some("checked_add"),
            Operator::Minus => Some("checked_subtract"),
            Operator::Multiply => Some("checked_multiply"),
            Operator::Divide => Some("checked_divide"),
            Operator::Modulo => Some("checked_remainder"),
            _ => None,
        }
    }
}

impl ScalarUDFImpl for Checked {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, kinds: &[DataType]) -> Result<DataType> {
        let [left, right] = kinds else { return plan_err!("an operator has two sides") };
        if left.is_integer() {
            return Ok(DataType::Int64);
        }
        // The kernels decide, so that both always say the same.
        let one = |kind: &DataType| ScalarValue::new_one(kind)?.to_array_of_size(1);
        Ok(self.calculate(&one(left)?, &one(right)?)?.data_type().clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [left, right] = args.args.as_slice() else {
            return Err(DataFusionError::Internal("an operator has two sides".to_string()));
        };
        Ok(match (left, right) {
            (ColumnarValue::Scalar(left), ColumnarValue::Scalar(right)) => {
                let result = self.calculate(&left.to_scalar()?, &right.to_scalar()?)?;
                ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?)
            }
            (ColumnarValue::Array(left), ColumnarValue::Array(right)) => {
                ColumnarValue::Array(self.calculate(left, right)?)
            }
            (ColumnarValue::Array(left), ColumnarValue::Scalar(right)) => {
                ColumnarValue::Array(self.calculate(left, &right.to_scalar()?)?)
            }
            (ColumnarValue::Scalar(left), ColumnarValue::Array(right)) => {
                ColumnarValue::Array(self.calculate(&left.to_scalar()?, right)?)
            }
        })
    }
}

impl Checked {
    fn calculate(&self, left: &dyn Datum, right: &dyn Datum) -> Result<arrow::array::ArrayRef> {
        let result = match self.op {
            Operator::Plus => numeric::add(left, right),
            Operator::Minus => numeric::sub(left, right),
            Operator::Multiply => numeric::mul(left, right),
            Operator::Divide => numeric::div(left, right),
            _ => numeric::rem(left, right),
        }?;
        within_digits(&result)?;
        Ok(result)
    }
}

/// Refuses decimals with more digits than their type has.
pub(crate) fn within_digits(array: &dyn Array) -> Result<()> {
    match array.data_type() {
        DataType::Decimal128(precision, _) => {
            array.as_primitive::<Decimal128Type>().validate_decimal_precision(*precision)?;
        }
        DataType::Decimal256(precision, _) => {
            array.as_primitive::<Decimal256Type>().validate_decimal_precision(*precision)?;
        }
        _ => {}
    }
    Ok(())
}

/// Largest number of digits that is summed, places included. 10^12 values of so many digits do not reach 256 bits, and no query
/// reads that many rows in its time: so a sum never wraps around.
const SUMMED_DIGITS_MAX: u8 = 64;

/// Returns the argument of a sum or average with a check around it; `None` where its type says that a sum can not wrap
/// around, or where it is checked already.
pub(crate) fn summable(argument: &Expr, kind: &DataType) -> Option<Expr> {
    let (precision, _) = decimal(kind)?;
    let checked = matches!(argument, Expr::ScalarFunction(call) if call.func.inner().is::<Summable>());
    if precision <= SUMMED_DIGITS_MAX || checked {
        return None;
    }
    let func = ScalarUDF::new_from_impl(Summable { signature: Signature::any(1, Volatility::Immutable) }).into();
    Some(Expr::ScalarFunction(ScalarFunction { func, args: vec![argument.clone()] }))
}

/// The identity, for decimals that are small enough to be summed.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Summable {
    signature: Signature,
}

impl ScalarUDFImpl for Summable {
    fn name(&self) -> &str {
        "summable"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, kinds: &[DataType]) -> Result<DataType> {
        match kinds {
            [kind] => Ok(kind.clone()),
            _ => plan_err!("one argument is summed"),
        }
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some(value) = args.args.pop() else {
            return Err(DataFusionError::Internal("one argument is summed".to_string()));
        };
        let array = value.to_array(1)?;
        if let Some(wide) = array.as_primitive_opt::<Decimal256Type>() {
            wide.validate_decimal_precision(SUMMED_DIGITS_MAX).map_err(|_| {
                DataFusionError::Execution(format!(
                    "a value of more than {SUMMED_DIGITS_MAX} digits is not summed: cast it to a decimal of fewer places"
                ))
            })?;
        }
        Ok(value)
    }
}
