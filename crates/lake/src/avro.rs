//! Rows as Avro object container files, for the readers of chain data that expect them.

use apache_avro::types::Value;
use apache_avro::{Codec, Decimal, Schema, Writer};
use arrow::array::{Array, AsArray};
use arrow::datatypes::{Decimal128Type, Int64Type, TimestampNanosecondType};
use arrow::record_batch::RecordBatch;

use crate::error::LakeError;
use crate::table::{Column, ColumnType, DECIMAL_PRECISION, DECIMAL_SCALE, Table};

/// The Avro schema of a table, as JSON.
pub(crate) fn schema_json(table: Table) -> serde_json::Value {
    let fields: Vec<_> = table
        .columns()
        .iter()
        .map(|column| {
            let kind = kind_json(column.kind);
            let kind = if column.nullable { serde_json::json!(["null", kind]) } else { kind };
            serde_json::json!({ "name": column.name, "type": kind, "doc": column.about })
        })
        .collect();
    serde_json::json!({
        "type": "record", "name": table.name(), "namespace": "openmesh", "doc": table.spec().about, "fields": fields,
    })
}

fn kind_json(kind: ColumnType) -> serde_json::Value {
    match kind {
        ColumnType::Text => serde_json::json!("string"),
        ColumnType::Integer => serde_json::json!("long"),
        ColumnType::Boolean => serde_json::json!("boolean"),
        ColumnType::Time => serde_json::json!({ "type": "long", "logicalType": "timestamp-nanos" }),
        ColumnType::Decimal => serde_json::json!({
            "type": "bytes", "logicalType": "decimal", "precision": DECIMAL_PRECISION, "scale": DECIMAL_SCALE,
        }),
    }
}

/// An Avro file of these rows.
pub(crate) fn write(table: Table, rows: &RecordBatch) -> Result<Vec<u8>, LakeError> {
    let fail = |e: apache_avro::Error| LakeError::encoding(format!("{table} as Avro"), e);
    let schema = Schema::parse(&schema_json(table)).map_err(fail)?;
    let mut writer = Writer::with_codec(&schema, Vec::new(), Codec::Snappy).map_err(fail)?;
    for row in 0..rows.num_rows() {
        let mut fields = Vec::with_capacity(table.columns().len());
        for (column, array) in table.columns().iter().zip(rows.columns()) {
            let value = cell(column, array.as_ref(), row)
                .ok_or_else(|| LakeError::Rows { table, reason: format!("{} is of another type", column.name) })?;
            fields.push((column.name.to_string(), value));
        }
        writer.append_value(Value::Record(fields)).map_err(fail)?;
    }
    writer.into_inner().map_err(fail)
}

fn cell(column: &Column, array: &dyn Array, row: usize) -> Option<Value> {
    // In the union of a nullable column, null is branch 0 and the value branch 1.
    let wrap = |value| if column.nullable { Value::Union(1, Box::new(value)) } else { value };
    if array.is_null(row) {
        return column.nullable.then(|| Value::Union(0, Box::new(Value::Null)));
    }
    Some(wrap(match column.kind {
        ColumnType::Text => Value::String(array.as_string_view_opt()?.value(row).to_string()),
        ColumnType::Integer => Value::Long(array.as_primitive_opt::<Int64Type>()?.value(row)),
        ColumnType::Boolean => Value::Boolean(array.as_boolean_opt()?.value(row)),
        ColumnType::Time => Value::TimestampNanos(array.as_primitive_opt::<TimestampNanosecondType>()?.value(row)),
        ColumnType::Decimal => {
            let mantissa = array.as_primitive_opt::<Decimal128Type>()?.value(row);
            Value::Decimal(Decimal::from(mantissa.to_be_bytes().to_vec()))
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::Rows;
    use openmesh_primitives::Timestamp;

    #[test]
    fn every_schema_parses() {
        for table in Table::ALL {
            Schema::parse(&schema_json(table)).unwrap_or_else(|e| panic!("{table}: {e}"));
        }
    }

    #[test]
    fn values_come_back() {
        let mut rows = Rows::new(Table::Funding);
        for predicted in [Some("-0.000000000000000001"), None] {
            rows.text("okx").text("BTC.USDT-PERP").time(Timestamp(1_786_309_548_228_568_804));
            rows.decimal("-0.0001".parse::<openmesh_primitives::Decimal>().unwrap()).time(None).decimal(None);
            rows.decimal(predicted.map(|p| p.parse().unwrap()));
            rows.text("okx").text("live").text("bafk").time(Timestamp(0)).integer(7).end();
        }
        let file = write(Table::Funding, &rows.finish().unwrap()).unwrap();
        let read: Vec<Value> = apache_avro::Reader::new(&file[..]).unwrap().map(Result::unwrap).collect();
        assert_eq!(read.len(), 2);
        let Value::Record(fields) = &read[0] else { panic!("no record") };
        let field = |name: &str| fields.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone()).unwrap();
        assert_eq!(field("ts_exchange"), Value::TimestampNanos(1_786_309_548_228_568_804));
        let Value::Decimal(rate) = field("rate") else { panic!("no decimal") };
        let rate = <Vec<u8>>::try_from(&rate).unwrap();
        let wide = rate.iter().fold(if rate[0] & 0x80 != 0 { -1i128 } else { 0 }, |v, b| v << 8 | i128::from(*b));
        assert_eq!(wide, -100_000_000_000_000);
        assert!(matches!(field("predicted_rate"), Value::Union(1, _)));
    }
}
