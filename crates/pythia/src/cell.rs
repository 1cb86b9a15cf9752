//! Cells as JSON and text.
//!
//! Decimals, 64-bit integers and times are strings in JSON, because readers of JSON make floats of numbers. Zeros at a
//! decimal's end go: `Decimal256(76, 36)` is how it was calculated, not what it says.

use arrow::array::{Array, ArrayRef, AsArray, downcast_integer_array};
use arrow::datatypes::{DataType, Float16Type, Float32Type, Float64Type, SchemaRef};
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::Result;
use serde_json::{Number, Value};

use crate::result::ColumnInfo;

/// The words for a schema's columns.
pub(crate) fn columns(schema: &SchemaRef) -> Vec<ColumnInfo> {
    let column = |f: &arrow::datatypes::FieldRef| ColumnInfo { name: f.name().clone(), kind: type_name(f.data_type()) };
    schema.fields().iter().map(column).collect()
}

fn type_name(kind: &DataType) -> String {
    match kind {
        DataType::Null => "null".to_string(),
        DataType::Boolean => "boolean".to_string(),
        DataType::Int8 | DataType::Int16 | DataType::UInt8 => "smallint".to_string(),
        DataType::Int32 | DataType::UInt16 => "integer".to_string(),
        DataType::Int64 | DataType::UInt32 | DataType::UInt64 => "bigint".to_string(),
        DataType::Float16 | DataType::Float32 | DataType::Float64 => "double".to_string(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "text".to_string(),
        DataType::Decimal32(p, s)
        | DataType::Decimal64(p, s)
        | DataType::Decimal128(p, s)
        | DataType::Decimal256(p, s) => format!("decimal({p},{s})"),
        DataType::Timestamp(..) => "timestamp".to_string(),
        DataType::Date32 | DataType::Date64 => "date".to_string(),
        DataType::Time32(_) | DataType::Time64(_) => "time".to_string(),
        DataType::Interval(_) | DataType::Duration(_) => "interval".to_string(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            "bytea".to_string()
        }
        DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..) | DataType::ListView(_) => {
            "list".to_string()
        }
        DataType::Struct(_) => "struct".to_string(),
        DataType::Map(..) => "map".to_string(),
        DataType::Dictionary(_, value) => type_name(value),
        other => other.to_string(),
    }
}

/// Reads the cells of a batch.
pub(crate) struct Cells<'a> {
    columns: Vec<(&'a ArrayRef, ArrayFormatter<'a>)>,
}

impl<'a> Cells<'a> {
    pub(crate) fn of(batch: &'a RecordBatch, options: &'a FormatOptions<'a>) -> Result<Cells<'a>> {
        let columns = batch.columns().iter().map(|array| {
            let formatter = ArrayFormatter::try_new(array.as_ref(), options)?;
            Ok((array, formatter))
        });
        Ok(Cells { columns: columns.collect::<Result<_>>()? })
    }

    /// A row as JSON.
    pub(crate) fn json(&self, row: usize) -> Vec<Value> {
        self.columns.iter().map(|(array, formatter)| json(array, formatter, row)).collect()
    }

    /// A row as text; `None` is null.
    pub(crate) fn text(&self, row: usize) -> impl Iterator<Item = Option<String>> {
        self.columns.iter().map(move |(array, formatter)| {
            (!array.is_null(row)).then(|| trimmed(array.data_type(), formatter.value(row).to_string()))
        })
    }
}

fn trimmed(kind: &DataType, text: String) -> String {
    match kind {
        DataType::Decimal32(_, 1..)
        | DataType::Decimal64(_, 1..)
        | DataType::Decimal128(_, 1..)
        | DataType::Decimal256(_, 1..) => {
            let text = text.trim_end_matches('0').trim_end_matches('.');
            // Zero can be written `-0` after trimming.
            if text.is_empty() || text == "-0" || text == "-" { "0".to_string() } else { text.to_string() }
        }
        _ => text,
    }
}

fn json(array: &ArrayRef, formatter: &ArrayFormatter<'_>, row: usize) -> Value {
    if array.is_null(row) {
        return Value::Null;
    }
    let kind = array.data_type();
    let float = |value: f64| Number::from_f64(value).map_or_else(|| Value::String(value.to_string()), Value::Number);
    match kind {
        DataType::Null => Value::Null,
        DataType::Boolean => Value::Bool(array.as_boolean().value(row)),
        DataType::Float16 => float(array.as_primitive::<Float16Type>().value(row).to_f64()),
        DataType::Float32 => float(f64::from(array.as_primitive::<Float32Type>().value(row))),
        DataType::Float64 => float(array.as_primitive::<Float64Type>().value(row)),
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::UInt8 | DataType::UInt16 | DataType::UInt32 => {
            downcast_integer_array!(
                array => Value::Number(array.value(row).into()),
                _ => Value::Null
            )
        }
        _ => Value::String(trimmed(kind, formatter.value(row).to_string())),
    }
}
