//! Answers as files.

use arrow::record_batch::RecordBatch;
use arrow::util::display::FormatOptions;
use openmesh_lake::parquet_of;
use serde_json::Value;

use crate::cell::{self, Cells};
use crate::error::{QueryError, Stage, translate};
use crate::handle::QueryStream;

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

/// A file that comes piece by piece, within the query's limits. CSV and JSON go out as rows are found; Parquet has its
/// index at the end and comes in one piece.
pub struct Export {
    stream: QueryStream,
    format: Format,
    started: bool,
    /// Rows of a Parquet file until it is written.
    held: Vec<RecordBatch>,
    bytes: usize,
    bytes_max: usize,
    ended: bool,
    truncated: bool,
}

impl Export {
    pub(crate) const fn new(stream: QueryStream, format: Format, bytes_max: usize) -> Export {
        let held = Vec::new();
        Export { stream, format, started: false, held, bytes: 0, bytes_max, ended: false, truncated: false }
    }

    /// Whether rows were left out; known at the end.
    pub fn truncated(&self) -> bool {
        self.truncated || self.stream.summary().is_some_and(|s| s.truncated)
    }

    /// The next piece; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, QueryError> {
        while !self.ended {
            if let Some(piece) = self.step().await? {
                return Ok(Some(piece));
            }
        }
        Ok(None)
    }

    async fn step(&mut self) -> Result<Option<Vec<u8>>, QueryError> {
        if !std::mem::replace(&mut self.started, true) && self.format == Format::Csv {
            let names = self.stream.columns().into_iter().map(|c| Some(c.name));
            let mut line = Vec::new();
            csv_line(names, &mut line);
            return Ok(Some(line));
        }
        let Some(batch) = self.stream.next().await? else {
            self.ended = true;
            return self.finish();
        };
        let piece = match self.format {
            Format::Csv => self.lines(&batch, |cells, _, row, out| csv_line(cells.text(row), out))?,
            Format::JsonLines => self.lines(&batch, json_line)?,
            Format::Parquet => {
                self.bytes = self.bytes.saturating_add(batch.get_array_memory_size());
                if self.bytes > self.bytes_max {
                    (self.truncated, self.ended) = (true, true);
                    return self.finish();
                }
                self.held.push(batch);
                return Ok(None);
            }
        };
        Ok((!piece.is_empty()).then_some(piece))
    }

    fn finish(&mut self) -> Result<Option<Vec<u8>>, QueryError> {
        if self.format != Format::Parquet {
            return Ok(None);
        }
        let held = std::mem::take(&mut self.held);
        let file = parquet_of(self.stream.schema(), &held).map_err(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "an answer could not be written as Parquet");
            QueryError::Internal
        })?;
        Ok(Some(file))
    }

    fn lines(
        &mut self,
        batch: &RecordBatch,
        line: impl Fn(&Cells<'_>, &[String], usize, &mut Vec<u8>),
    ) -> Result<Vec<u8>, QueryError> {
        let names: Vec<String> = self.stream.columns().into_iter().map(|c| c.name).collect();
        let options = FormatOptions::default();
        let cells = Cells::of(batch, &options).map_err(|e| translate(e, Stage::Running, 0))?;
        let mut out = Vec::new();
        for row in 0..batch.num_rows() {
            let before = out.len();
            line(&cells, &names, row, &mut out);
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

fn json_line(cells: &Cells<'_>, names: &[String], row: usize, out: &mut Vec<u8>) {
    let object: serde_json::Map<String, Value> = names.iter().cloned().zip(cells.json(row)).collect();
    // Values of text and numbers always serialise, and a vector takes all bytes.
    let _ = serde_json::to_writer(&mut *out, &object);
    out.push(b'\n');
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

pub(crate) fn columns(stream: &QueryStream) -> Vec<crate::ColumnInfo> {
    cell::columns(&stream.schema())
}
