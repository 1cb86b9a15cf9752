//! Answers as files.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use arrow::util::display::FormatOptions;
use openmesh_lake::{LakeError, ParquetExport};
use serde_json::Value;

use crate::cell::Cells;
use crate::error::{QueryError, Stage, translate};
use crate::stream::QueryStream;

/// Form of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// RFC 4180, header first, null as nothing.
    Csv,
    /// One JSON object a line.
    JsonLines,
    /// Parquet with the types as calculated.
    Parquet,
}

impl Format {
    /// Media type for HTTP.
    pub const fn media_type(self) -> &'static str {
        match self {
            Format::Csv => "text/csv; charset=utf-8",
            Format::JsonLines => "application/x-ndjson",
            Format::Parquet => "application/vnd.apache.parquet",
        }
    }

    /// Ending of a file's name.
    pub const fn extension(self) -> &'static str {
        match self {
            Format::Csv => "csv",
            Format::JsonLines => "jsonl",
            Format::Parquet => "parquet",
        }
    }
}

/// A file that comes piece by piece, within the query's limits: as rows are found, and of Parquet as row groups are full.
/// Columns of the same name are told apart: the second `price` becomes `price_2`.
pub struct Export {
    stream: QueryStream,
    /// One for each column, no two alike.
    names: Vec<String>,
    writer: Writer,
    bytes: usize,
    bytes_max: usize,
    ended: bool,
    truncated: bool,
}

enum Writer {
    /// The header is still to come.
    CsvHeader,
    Csv,
    JsonLines,
    /// `None` once the file has ended.
    Parquet(Option<Box<ParquetExport>>, SchemaRef),
}

impl Export {
    pub(crate) fn new(stream: QueryStream, format: Format, bytes_max: usize) -> Result<Export, QueryError> {
        let names = unique(stream.columns().into_iter().map(|column| column.name));
        let writer = match format {
            Format::Csv => Writer::CsvHeader,
            Format::JsonLines => Writer::JsonLines,
            Format::Parquet => {
                let schema = stream.schema();
                let named =
                    schema.fields().iter().zip(&names).map(|(field, name)| field.as_ref().clone().with_name(name));
                let schema: SchemaRef = Arc::new(Schema::new(named.collect::<Vec<_>>()));
                Writer::Parquet(Some(Box::new(ParquetExport::new(Arc::clone(&schema)).map_err(not_written)?)), schema)
            }
        };
        Ok(Export { stream, names, writer, bytes: 0, bytes_max, ended: false, truncated: false })
    }

    /// Returns true if rows were left out; known at the end.
    pub fn truncated(&self) -> bool {
        self.truncated || self.stream.summary().is_some_and(|s| s.truncated)
    }

    /// Returns true if the limit of bytes cut the file off, whatever number of rows was asked for; known at the end.
    pub const fn is_too_large(&self) -> bool {
        self.truncated
    }

    /// Returns the next piece; `None` at the end. After an error nothing more comes, and what came is no whole file.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, QueryError> {
        while !self.ended {
            let piece = self.step().await?;
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
        }
        Ok(None)
    }

    async fn step(&mut self) -> Result<Vec<u8>, QueryError> {
        if matches!(self.writer, Writer::CsvHeader) {
            self.writer = Writer::Csv;
            let mut line = Vec::new();
            csv_line(self.names.iter().map(|name| Some(name.clone())), &mut line);
            return Ok(line);
        }
        let Some(batch) = self.stream.next().await? else { return self.finish() };
        match &mut self.writer {
            Writer::CsvHeader | Writer::Csv => self.lines(&batch, |cells, _, row, out| csv_line(cells.text(row), out)),
            Writer::JsonLines => self.lines(&batch, json_line),
            Writer::Parquet(file, schema) => {
                self.bytes = self.bytes.saturating_add(batch.get_array_memory_size());
                if self.bytes > self.bytes_max {
                    self.truncated = true;
                    return self.finish();
                }
                let batch = RecordBatch::try_new(Arc::clone(schema), batch.columns().to_vec());
                let batch = batch.map_err(|e| translate(e.into(), Stage::Running, 0))?;
                file.as_mut().map_or(Ok(Vec::new()), |file| file.write(&batch)).map_err(not_written)
            }
        }
    }

    fn finish(&mut self) -> Result<Vec<u8>, QueryError> {
        self.ended = true;
        match &mut self.writer {
            Writer::Parquet(file, _) => file.take().map_or(Ok(Vec::new()), |file| file.finish()).map_err(not_written),
            _ => Ok(Vec::new()),
        }
    }

    fn lines(
        &mut self,
        batch: &RecordBatch,
        line: impl Fn(&Cells<'_>, &[String], usize, &mut Vec<u8>),
    ) -> Result<Vec<u8>, QueryError> {
        let options = FormatOptions::default();
        let cells = Cells::of(batch, &options).map_err(|e| translate(e, Stage::Running, 0))?;
        let mut out = Vec::new();
        for row in 0..batch.num_rows() {
            let before = out.len();
            line(&cells, &self.names, row, &mut out);
            if self.bytes + out.len() > self.bytes_max {
                out.truncate(before);
                (self.truncated, self.ended) = (true, true);
                break;
            }
        }
        self.bytes += out.len();
        Ok(out)
    }
}

fn not_written(error: LakeError) -> QueryError {
    tracing::error!(error = &error as &dyn std::error::Error, "an answer could not be written as Parquet");
    QueryError::Internal
}

/// Names of which no two are alike: those that come again get a number that no other has.
fn unique(names: impl Iterator<Item = String>) -> Vec<String> {
    let names: Vec<String> = names.collect();
    let mut taken: HashSet<String> = names.iter().cloned().collect();
    let mut seen = HashSet::new();
    let told_apart = |name: String| {
        if seen.insert(name.clone()) {
            return name;
        }
        let mut numbered = (2u32..).map(|n| format!("{name}_{n}"));
        let free = numbered.find(|candidate| taken.insert(candidate.clone()));
        free.unwrap_or(name)
    };
    names.into_iter().map(told_apart).collect()
}

/// Keys stay in the order of the columns.
fn json_line(cells: &Cells<'_>, names: &[String], row: usize, out: &mut Vec<u8>) {
    out.push(b'{');
    for (at, (name, value)) in names.iter().zip(cells.json(row)).enumerate() {
        if at > 0 {
            out.push(b',');
        }
        // Texts and values always serialise, and a vector takes all bytes.
        let _ = serde_json::to_writer(&mut *out, name);
        out.push(b':');
        let _ = serde_json::to_writer(&mut *out, &value);
    }
    out.extend_from_slice(b"}\n");
}

fn csv_line(cells: impl Iterator<Item = Option<String>>, out: &mut Vec<u8>) {
    for (at, cell) in cells.enumerate() {
        if at > 0 {
            out.push(b',');
        }
        let Some(text) = cell else { continue };
        // An empty text is quoted, so that it is not null.
        if text.is_empty() || text.contains([',', '"', '\n', '\r']) {
            out.push(b'"');
            out.extend_from_slice(text.replace('"', "\"\"").as_bytes());
            out.push(b'"');
        } else {
            out.extend_from_slice(text.as_bytes());
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// Rows of a stream as JSON cells, up to a number of bytes. Returns whether there were more.
pub(crate) async fn collect_json(
    stream: &mut QueryStream,
    bytes_max: usize,
) -> Result<(Vec<Vec<Value>>, bool), QueryError> {
    let options = FormatOptions::default();
    let mut rows = Vec::new();
    let mut bytes = 0usize;
    while let Some(batch) = stream.next().await? {
        let cells = Cells::of(&batch, &options).map_err(|e| translate(e, Stage::Running, 0))?;
        for row in 0..batch.num_rows() {
            let values = cells.json(row);
            bytes += values.iter().map(cell_bytes).sum::<usize>();
            if bytes > bytes_max {
                return Ok((rows, true));
            }
            rows.push(values);
        }
    }
    Ok((rows, false))
}

/// About as many bytes as the cell takes in JSON, with its comma and quotation marks.
fn cell_bytes(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len() + 3,
        _ => 8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_come_again_get_a_free_number() {
        let names = ["a", "b", "a", "a_2", "a", "b"].map(str::to_string);
        assert_eq!(unique(names.into_iter()), ["a", "b", "a_3", "a_2", "a_4", "b_2"]);
    }
}
