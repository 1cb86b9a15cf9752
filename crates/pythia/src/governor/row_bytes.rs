//! Sizes of rows in bytes, however their columns share memory.
//!
//! A text that stands in ten thousand rows may lie in memory once (a view, a dictionary) or ten thousand times; what
//! counts here is what it becomes when an operator copies it out, which any may.

use arrow::array::{Array, AsArray, GenericByteArray, GenericByteViewArray, OffsetSizeTrait};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{
    ArrowNativeType, BinaryViewType, ByteArrayType, ByteViewType, DataType, GenericBinaryType, GenericStringType,
    StringViewType,
};
use arrow::record_batch::RecordBatch;
use datafusion::common::{DataFusionError, Result, ScalarValue};

/// Bytes of a view, and of an offset or pointer in general.
const VIEW_BYTES: u64 = 16;

/// Rule whether texts that are shared count for each row in which they stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shared {
    Counted,
    Free,
}

/// Bytes of all rows of a batch.
pub(crate) fn total(batch: &RecordBatch) -> u64 {
    batch.columns().iter().map(|column| of_array(column)).sum()
}

/// Bytes of each row of a batch.
pub(crate) fn rows(batch: &RecordBatch, shared: Shared) -> Vec<u64> {
    let mut widths = vec![0; batch.num_rows()];
    for column in batch.columns() {
        add(column, shared, &mut widths);
    }
    widths
}

/// Bytes of each value of an array.
pub(crate) fn values(array: &dyn Array) -> Vec<u64> {
    let mut widths = vec![0; array.len()];
    add(array, Shared::Counted, &mut widths);
    widths
}

/// Bytes of a constant: what one row of it is. Not what it takes in memory, which depends on how much room its text was
/// given when it was read, and so on the way that a plan happened to take.
pub(crate) fn constant(value: &ScalarValue) -> Result<u64> {
    if let Some(text) = value.try_as_str() {
        return Ok(VIEW_BYTES + text.map_or(0, str::len) as u64);
    }
    Ok(of_array(&value.to_array_of_size(1)?))
}

/// Refuses what is larger than its limit.
pub(crate) fn within(bytes: u64, limit: u64, what: &str) -> Result<()> {
    if bytes <= limit {
        return Ok(());
    }
    Err(DataFusionError::Execution(format!("{what} of the query has {bytes} bytes, the limit is {limit}")))
}

fn of_array(array: &dyn Array) -> u64 {
    let fixed = array.len() as u64 * VIEW_BYTES;
    match array.data_type() {
        DataType::Utf8View => fixed + viewed(array.as_string_view()),
        DataType::BinaryView => fixed + viewed(array.as_binary_view()),
        DataType::Utf8 => fixed + spanned(array.as_string::<i32>().offsets()),
        DataType::LargeUtf8 => fixed + spanned(array.as_string::<i64>().offsets()),
        DataType::Binary => fixed + spanned(array.as_binary::<i32>().offsets()),
        DataType::LargeBinary => fixed + spanned(array.as_binary::<i64>().offsets()),
        kind if kind.is_nested() || matches!(kind, DataType::Dictionary(..)) => values(array).iter().sum(),
        kind => array.len() as u64 * plain(kind),
    }
}

fn viewed<T: ByteViewType>(array: &GenericByteViewArray<T>) -> u64 {
    array.views().iter().map(|view| length(*view)).sum()
}

/// The low half of a view is its length.
const fn length(view: u128) -> u64 {
    (view & 0xffff_ffff) as u64
}

fn spanned<O: OffsetSizeTrait>(offsets: &OffsetBuffer<O>) -> u64 {
    match (offsets.first(), offsets.last()) {
        (Some(first), Some(last)) => (last.as_usize() - first.as_usize()) as u64,
        _ => 0,
    }
}

fn plain(kind: &DataType) -> u64 {
    match kind {
        DataType::Null => 0,
        DataType::FixedSizeBinary(bytes) => u64::try_from(*bytes).unwrap_or(0),
        kind => kind.primitive_width().map_or(1, |bytes| bytes as u64),
    }
}

fn add(array: &dyn Array, shared: Shared, widths: &mut [u64]) {
    match array.data_type() {
        DataType::Utf8View => add_views::<StringViewType>(array.as_string_view(), shared, widths),
        DataType::BinaryView => add_views::<BinaryViewType>(array.as_binary_view(), shared, widths),
        DataType::Utf8 => add_bytes::<GenericStringType<i32>>(array.as_string(), widths),
        DataType::LargeUtf8 => add_bytes::<GenericStringType<i64>>(array.as_string(), widths),
        DataType::Binary => add_bytes::<GenericBinaryType<i32>>(array.as_binary(), widths),
        DataType::LargeBinary => add_bytes::<GenericBinaryType<i64>>(array.as_binary(), widths),
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            add_lists(list.offsets().lengths(), list.offsets()[0].as_usize(), list.values(), widths);
        }
        DataType::LargeList(_) => {
            let list = array.as_list::<i64>();
            add_lists(list.offsets().lengths(), list.offsets()[0].as_usize(), list.values(), widths);
        }
        DataType::Map(..) => {
            let map = array.as_map();
            add_lists(map.offsets().lengths(), map.offsets()[0].as_usize(), map.entries(), widths);
        }
        DataType::FixedSizeList(_, length) => {
            let length = usize::try_from(*length).unwrap_or(0);
            let list = array.as_fixed_size_list();
            add_lists(std::iter::repeat_n(length, array.len()), 0, list.values(), widths);
        }
        DataType::Struct(_) => {
            for column in array.as_struct().columns() {
                add(column, shared, widths);
            }
        }
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            let values = values(dictionary.values());
            if values.is_empty() {
                return;
            }
            for (width, key) in widths.iter_mut().zip(dictionary.normalized_keys()) {
                *width += values.get(key).copied().unwrap_or(0);
            }
        }
        kind if kind.is_nested() => {
            let each = array.get_array_memory_size() as u64 / (array.len() as u64).max(1);
            widths.iter_mut().for_each(|width| *width += each);
        }
        kind => {
            let each = plain(kind);
            widths.iter_mut().for_each(|width| *width += each);
        }
    }
}

fn add_views<T: ByteViewType>(array: &GenericByteViewArray<T>, shared: Shared, widths: &mut [u64]) {
    for (width, view) in widths.iter_mut().zip(array.views().iter()) {
        *width += VIEW_BYTES + if shared == Shared::Counted { length(*view) } else { 0 };
    }
}

fn add_bytes<T: ByteArrayType>(array: &GenericByteArray<T>, widths: &mut [u64]) {
    for (width, length) in widths.iter_mut().zip(array.offsets().lengths()) {
        *width += VIEW_BYTES + length as u64;
    }
}

fn add_lists(lengths: impl Iterator<Item = usize>, start: usize, inner: &dyn Array, widths: &mut [u64]) {
    let mut inner = values(inner).into_iter().skip(start);
    for (width, length) in widths.iter_mut().zip(lengths) {
        *width += VIEW_BYTES + inner.by_ref().take(length).sum::<u64>();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, ListArray, StringArray, StringViewBuilder};
    use arrow::datatypes::Int64Type;

    use super::*;

    fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
        RecordBatch::try_from_iter(columns).unwrap()
    }

    #[test]
    fn rows_are_as_wide_as_what_they_hold() {
        let list = ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1); 10]), None, Some(vec![])]);
        let all = batch(vec![
            ("n", Arc::new(Int64Array::from(vec![1, 2, 3]))),
            ("s", Arc::new(StringArray::from(vec!["x".repeat(100), "y".into(), String::new()]))),
            ("l", Arc::new(list)),
        ]);
        assert_eq!(rows(&all, Shared::Counted), [8 + 116 + 96, 8 + 17 + 16, 8 + 16 + 16]);
        assert_eq!(total(&all), rows(&all, Shared::Counted).iter().sum::<u64>());
        assert_eq!(rows(&all.slice(1, 2), Shared::Counted), rows(&all, Shared::Counted)[1..]);
    }

    /// A text that was read letter by letter has room for more than it holds.
    #[test]
    fn constants_are_as_wide_as_what_they_hold() {
        let roomy = |letters: usize| {
            let mut text = String::with_capacity(1000);
            text.extend(std::iter::repeat_n('x', letters));
            ScalarValue::Utf8(Some(text))
        };
        assert_eq!(constant(&roomy(1)).unwrap(), 17);
        assert_eq!(constant(&roomy(100)).unwrap(), 116);
        assert_eq!(constant(&ScalarValue::Utf8View(None)).unwrap(), 16);
        assert_eq!(constant(&ScalarValue::Int64(Some(1))).unwrap(), 8);
        let list = ScalarValue::new_list_nullable(&[roomy(1), roomy(2)], &DataType::Utf8);
        assert_eq!(constant(&ScalarValue::List(list)).unwrap(), 16 + 17 + 18);
    }

    #[test]
    fn what_is_shared_counts_for_each_row_or_not_at_all() {
        let mut views = StringViewBuilder::new();
        views.try_append_value_n("x".repeat(1000), 3).unwrap();
        let views = batch(vec![("s", Arc::new(views.finish()))]);
        assert_eq!(rows(&views, Shared::Counted), [1016; 3]);
        assert_eq!(rows(&views, Shared::Free), [16; 3]);
    }
}
