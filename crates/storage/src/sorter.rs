//! Sorting more rows than memory should hold: sorted runs in files, then merged.
//!
//! A database that gets its rows in order writes each page once; in the order of hashed keys it would rewrite nearly every page
//! with every chunk.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{BufReader, BufWriter, Error, ErrorKind, Read, Result, Write};
use std::path::{Path, PathBuf};

/// Bytes of keys and values that are sorted in memory at once: of a state of 2 GB, thirty runs.
const RUN_BYTES_MAX: usize = 64 << 20;

/// A row: key and value.
pub type Row = (Vec<u8>, Vec<u8>);

/// Rows that come in any order and leave in that of their keys.
pub struct Sorter {
    dir: PathBuf,
    rows: Vec<Row>,
    bytes: usize,
    runs: Vec<PathBuf>,
}

impl Sorter {
    /// A sorter that writes its runs into this folder.
    pub fn new(dir: &Path) -> Sorter {
        Sorter { dir: dir.to_path_buf(), rows: Vec::new(), bytes: 0, runs: Vec::new() }
    }

    /// Takes rows in. Fails where a run cannot be written.
    pub fn push(&mut self, rows: Vec<Row>) -> Result<()> {
        self.bytes += rows.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>();
        self.rows.extend(rows);
        if self.bytes > RUN_BYTES_MAX { self.spill() } else { Ok(()) }
    }

    fn spill(&mut self) -> Result<()> {
        self.rows.sort_unstable();
        let path = self.dir.join(format!("run-{}", self.runs.len()));
        let mut file = BufWriter::new(File::create(&path)?);
        for (key, value) in self.rows.drain(..) {
            for part in [&key, &value] {
                file.write_all(&u32::try_from(part.len()).map_err(Error::other)?.to_le_bytes())?;
                file.write_all(part)?;
            }
        }
        file.flush()?;
        self.bytes = 0;
        self.runs.push(path);
        Ok(())
    }

    /// Hands all rows out in ascending order of their keys. Fails where a run cannot be read, or as `each` does.
    pub fn drain<E: From<Error>>(
        mut self,
        mut each: impl FnMut(&[u8], &[u8]) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        if self.runs.is_empty() {
            self.rows.sort_unstable();
            return self.rows.iter().try_for_each(|(key, value)| each(key, value));
        }
        self.spill()?;
        let mut files = Vec::new();
        for run in &self.runs {
            files.push(BufReader::with_capacity(1 << 18, File::open(run)?));
        }
        let mut heads = BinaryHeap::new();
        for (number, file) in files.iter_mut().enumerate() {
            heads.extend(next(file)?.map(|(key, value)| Reverse((key, number, value))));
        }
        while let Some(Reverse((key, number, value))) = heads.pop() {
            each(&key, &value)?;
            if let Some(file) = files.get_mut(number) {
                heads.extend(next(file)?.map(|(key, value)| Reverse((key, number, value))));
            }
        }
        self.runs.iter().try_for_each(std::fs::remove_file).map_err(E::from)
    }
}

fn next(file: &mut impl Read) -> Result<Option<Row>> {
    match part(file) {
        Ok(key) => Ok(Some((key, part(file)?))),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

fn part(file: &mut impl Read) -> Result<Vec<u8>> {
    let mut length = [0; 4];
    file.read_exact(&mut length)?;
    let mut bytes = vec![0; u32::from_le_bytes(length) as usize];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_several_runs_leave_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let mut sorter = Sorter::new(dir.path());
        let row = |n: u32| (n.wrapping_mul(2_654_435_761).to_be_bytes().to_vec(), n.to_le_bytes().to_vec());
        for run in 0..3 {
            sorter.push((run * 100..run * 100 + 100).map(row).collect()).unwrap();
            sorter.spill().unwrap();
        }
        sorter.push((300..310).map(row).collect()).unwrap();
        let mut seen = Vec::new();
        sorter
            .drain(|key, value| {
                seen.push((key.to_vec(), value.to_vec()));
                Ok::<(), Error>(())
            })
            .unwrap();
        let mut expected: Vec<Row> = (0..310).map(row).collect();
        expected.sort();
        assert_eq!(seen, expected);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "no run is left");
    }
}
