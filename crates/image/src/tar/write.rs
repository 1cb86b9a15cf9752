//! The writer: ustar headers, and pax ones where a value does not fit.

use std::io::{self, Read, Write};

use super::header::BLOCK_BYTES;
use super::read::padding;
use super::{Entry, Kind};

/// Octal digits of a size in a header.
const SIZE_MAX: u64 = 0o777_7777_7777;
/// Octal digits of an owner in a header.
const OWNER_MAX: u64 = 0o777_7777;

/// An archive that is written; the bytes depend on nothing but the entries and their order.
pub struct Writer<W> {
    output: W,
}

impl<W: Write> Writer<W> {
    /// Into a stream.
    pub fn new(output: W) -> Writer<W> {
        Writer { output }
    }

    /// Writes an entry and, of files, as many bytes of content as it says.
    ///
    /// # Errors
    /// Those of the streams; `UnexpectedEof` when the content is shorter than the entry says.
    pub fn append(&mut self, entry: &Entry, content: &mut dyn Read) -> io::Result<()> {
        let records = records(entry);
        if !records.is_empty() {
            let header = Entry {
                kind: Kind::File,
                name: b"pax".to_vec(),
                link: Vec::new(),
                mode: 0o644,
                uid: 0,
                gid: 0,
                mtime: 0,
                size: records.len() as u64,
                xattrs: Vec::new(),
            };
            self.output.write_all(&block(&header, b'x'))?;
            self.output.write_all(&records)?;
            self.pad(records.len() as u64)?;
        }
        self.output.write_all(&block(entry, flag(entry.kind)))?;
        let size = if entry.kind == Kind::File { entry.size } else { 0 };
        if io::copy(&mut content.take(size), &mut self.output)? < size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.pad(size)
    }

    /// Writes the end mark.
    ///
    /// # Errors
    /// Those of the stream.
    pub fn finish(mut self) -> io::Result<W> {
        self.output.write_all(&[0; 2 * BLOCK_BYTES])?;
        self.output.flush()?;
        Ok(self.output)
    }

    fn pad(&mut self, bytes: u64) -> io::Result<()> {
        self.output.write_all(&[0; BLOCK_BYTES][..padding(bytes) as usize])
    }
}

fn flag(kind: Kind) -> u8 {
    match kind {
        Kind::File => b'0',
        Kind::HardLink => b'1',
        Kind::Symlink => b'2',
        Kind::Character => b'3',
        Kind::Block => b'4',
        Kind::Directory => b'5',
        Kind::Fifo => b'6',
    }
}

fn records(entry: &Entry) -> Vec<u8> {
    let mut records = Vec::new();
    let mut say = |key: &[u8], value: &[u8]| {
        // The length counts its own digits.
        let rest = key.len() + value.len() + 3;
        let mut length = rest + 1;
        while length != rest + length.to_string().len() {
            length = rest + length.to_string().len();
        }
        records.extend_from_slice(format!("{length} ").as_bytes());
        records.extend_from_slice(&[key, b"=", value, b"\n"].concat());
    };
    if entry.name.len() > 100 || !entry.name.is_ascii() {
        say(b"path", &entry.name);
    }
    if entry.link.len() > 100 || !entry.link.is_ascii() {
        say(b"linkpath", &entry.link);
    }
    for (key, value, max) in [
        ("size", entry.size, SIZE_MAX),
        ("uid", entry.uid, OWNER_MAX),
        ("gid", entry.gid, OWNER_MAX),
        ("mtime", entry.mtime, SIZE_MAX),
    ] {
        if value > max {
            say(key.as_bytes(), value.to_string().as_bytes());
        }
    }
    for (name, value) in &entry.xattrs {
        say(&[b"SCHILY.xattr.", name.as_slice()].concat(), value);
    }
    records
}

fn block(entry: &Entry, flag: u8) -> [u8; BLOCK_BYTES] {
    let mut block = [0; BLOCK_BYTES];
    let mut text = |at: usize, bytes: &[u8], room: usize| {
        let bytes = &bytes[..bytes.len().min(room)];
        block[at..at + bytes.len()].copy_from_slice(bytes);
    };
    text(0, &entry.name, 100);
    text(100, format!("{:07o}", entry.mode & 0o7777).as_bytes(), 7);
    let fits = |value: u64, max: u64| if value > max { 0 } else { value };
    text(108, format!("{:07o}", fits(entry.uid, OWNER_MAX)).as_bytes(), 7);
    text(116, format!("{:07o}", fits(entry.gid, OWNER_MAX)).as_bytes(), 7);
    text(124, format!("{:011o}", fits(entry.size, SIZE_MAX)).as_bytes(), 11);
    text(136, format!("{:011o}", fits(entry.mtime, SIZE_MAX)).as_bytes(), 11);
    text(148, b"        ", 8);
    text(156, &[flag], 1);
    text(157, &entry.link, 100);
    text(257, b"ustar\x0000", 8);
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}
