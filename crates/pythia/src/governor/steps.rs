//! Functions that can take long over little.
//!
//! A regular expression with counted repetitions takes (length of the program) x (length of the text) steps at worst,
//! looking for one text in another the product of their lengths. The arguments say how many steps a row can take: a row
//! with too many is refused, and a batch with too many is done in parts, between which the guard is asked.

use std::ops::Range;

use arrow::array::{Array, AsArray};
use arrow::compute::{cast, concat};
use arrow::datatypes::DataType;
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF};

use super::{guard, row_bytes};

/// Most steps of one row: some seconds at worst.
const ROW_STEPS_MAX: u64 = 4_000_000_000;

/// Steps between two looks at the guard.
const PART_STEPS: u64 = 400_000_000;

/// Largest program of a regular expression: (letters, weighted) x (counted repetitions).
const PROGRAM_MAX: u64 = 2_000_000;

/// Steps of a regular expression that take as long as one of a search or a distance.
const PRODUCT_WEIGHT: u64 = 20;

/// A class of letters such as `\w` is a program of its own.
const CLASS_WEIGHT: u64 = 100;

/// Rule by which the steps of a slow function are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Cost {
    /// The product of the lengths of the first two arguments.
    Product,
    /// The second argument is a regular expression over the first.
    Regex,
}

const SLOW: [(&str, Cost); 9] = [
    ("strpos", Cost::Product),
    ("levenshtein", Cost::Product),
    ("array_has_all", Cost::Product),
    ("array_has_any", Cost::Product),
    ("regexp_like", Cost::Regex),
    ("regexp_count", Cost::Regex),
    ("regexp_instr", Cost::Regex),
    ("regexp_match", Cost::Regex),
    ("regexp_replace", Cost::Regex),
];

impl Cost {
    /// Of a function, if it is one that can take long.
    pub(crate) fn of(name: &str) -> Option<Cost> {
        SLOW.iter().find(|(slow, _)| *slow == name).map(|(_, cost)| *cost)
    }

    /// Steps of each row.
    fn steps(self, args: &[ColumnarValue], rows: usize) -> Result<Vec<u64>> {
        let (Some(first), Some(second)) = (args.first(), args.get(1)) else { return Ok(vec![0; rows]) };
        let first = each(first, rows, |array| Ok(row_bytes::values(array)))?;
        let second = match self {
            Cost::Product => each(second, rows, |array| {
                Ok(row_bytes::values(array).into_iter().map(|bytes| bytes.saturating_mul(PRODUCT_WEIGHT)).collect())
            })?,
            Cost::Regex => each(second, rows, programs)?,
        };
        Ok(first.iter().zip(second).map(|(a, b)| a.saturating_mul(b)).collect())
    }

    /// Calls a function part by part.
    pub(crate) fn pay(self, function: &ScalarUDF, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let scalars_only = args.args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_)));
        let rows = if scalars_only { 1 } else { args.number_rows };
        let steps = self.steps(&args.args, rows)?;
        if let Some(most) = steps.iter().max().filter(|most| **most > ROW_STEPS_MAX) {
            let message = format!("{} could take {most} steps, the limit is {ROW_STEPS_MAX}", function.name());
            return Err(DataFusionError::Execution(message));
        }
        if scalars_only || steps.iter().fold(0u64, |sum, s| sum.saturating_add(*s)) <= PART_STEPS {
            return function.invoke_with_args(args);
        }
        let mut results = Vec::new();
        for part in parts(&steps) {
            guard::check()?;
            let rows = part.len();
            results.push(function.invoke_with_args(slice(&args, part))?.into_array(rows)?);
        }
        let results: Vec<&dyn Array> = results.iter().map(AsRef::as_ref).collect();
        Ok(ColumnarValue::Array(concat(&results)?))
    }
}

/// Ranges of rows with [`PART_STEPS`] at most, or of one row.
fn parts(steps: &[u64]) -> Vec<Range<usize>> {
    let (mut parts, mut start, mut sum) = (Vec::new(), 0, 0u64);
    for (row, steps) in steps.iter().enumerate() {
        sum = sum.saturating_add(*steps);
        if sum > PART_STEPS && row > start {
            parts.push(start..row);
            (start, sum) = (row, *steps);
        }
    }
    parts.push(start..steps.len());
    parts
}

fn slice(args: &ScalarFunctionArgs, part: Range<usize>) -> ScalarFunctionArgs {
    let slice = |arg: &ColumnarValue| match arg {
        ColumnarValue::Array(array) => ColumnarValue::Array(array.slice(part.start, part.len())),
        ColumnarValue::Scalar(scalar) => ColumnarValue::Scalar(scalar.clone()),
    };
    ScalarFunctionArgs {
        args: args.args.iter().map(slice).collect(),
        arg_fields: args.arg_fields.clone(),
        number_rows: part.len(),
        return_field: args.return_field.clone(),
        config_options: args.config_options.clone(),
    }
}

/// A number for each row; a constant's is calculated once.
fn each(arg: &ColumnarValue, rows: usize, of: impl Fn(&dyn Array) -> Result<Vec<u64>>) -> Result<Vec<u64>> {
    match arg {
        ColumnarValue::Array(array) => of(array),
        ColumnarValue::Scalar(scalar) => {
            let one = of(&scalar.to_array_of_size(1)?)?;
            Ok(vec![one.first().copied().unwrap_or(0); rows])
        }
    }
}

/// Sizes of the programs of regular expressions.
fn programs(patterns: &dyn Array) -> Result<Vec<u64>> {
    let patterns = cast(patterns, &DataType::LargeUtf8)?;
    let sizes: Vec<u64> = patterns.as_string::<i64>().iter().map(|p| p.map_or(0, program)).collect();
    match sizes.iter().max().filter(|most| **most > PROGRAM_MAX) {
        None => Ok(sizes),
        Some(_) => {
            Err(DataFusionError::Execution("the regular expression is too large: repeat less in it".to_string()))
        }
    }
}

/// An upper bound of a program's size: each letter as often as all counted repetitions together say.
fn program(pattern: &str) -> u64 {
    let (mut letters, mut times) = (0u64, 1u64);
    let mut rest = pattern.chars().peekable();
    while let Some(letter) = rest.next() {
        match letter {
            '\\' | '.' | '[' => letters += CLASS_WEIGHT,
            '{' => {
                let mut most = 0u64;
                let mut number = 0u64;
                while let Some(digit) = rest.next_if(|c| c.is_ascii_digit() || *c == ',' || *c == ' ') {
                    number = digit.to_digit(10).map_or(0, |d| number.saturating_mul(10).saturating_add(u64::from(d)));
                    most = most.max(number);
                }
                times = times.saturating_mul(most.max(1));
            }
            _ => letters += 1,
        }
    }
    letters.saturating_mul(times).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_grow_with_their_repetitions() {
        assert_eq!(program("abc"), 3);
        assert_eq!(program("(a{10}){20}"), 5 * 200);
        assert!(program("^0x[0-9a-f]{40}$") < 10_000);
        assert!(program(r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}$") < 100_000);
        assert!(program("((a{1000}){1000}){1000}") > PROGRAM_MAX);
        assert!(program("a{99999999999999999999999}") > PROGRAM_MAX);
    }

    #[test]
    fn parts_hold_all_rows_once() {
        for steps in [vec![1, 2, 3], vec![PART_STEPS; 4], vec![PART_STEPS + 1, 0, PART_STEPS, 1], vec![]] {
            let parts = parts(&steps);
            assert_eq!(parts.iter().cloned().flatten().collect::<Vec<_>>(), (0..steps.len()).collect::<Vec<_>>());
        }
        assert_eq!(parts(&[PART_STEPS; 3]), [0..1, 1..2, 2..3]);
    }
}
