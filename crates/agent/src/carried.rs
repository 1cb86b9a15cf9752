//! Programs that a binary carries behind its own end, so that one file is all that a machine needs (X-4).
//!
//! ```text
//! the binary as it was linked | each program, compressed | index | 8 bytes: length of the index | 32 bytes: SHA-256 of programs and index | magic
//! ```
//!
//! A loader of ELF reads what its headers name, and nothing behind it. The index is JSON: name, place, compressed and plain length of each program.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use openmesh_primitives::sha256;
use serde::{Deserialize, Serialize};

/// Last bytes of a binary that carries programs.
const MAGIC: [u8; 16] = *b"openmesh carries";
/// Bytes of the length of the index, of the hash and of the magic.
const END_BYTES: usize = 8 + 32 + MAGIC.len();
/// Longest index, bytes: some names.
const INDEX_BYTES_MAX: u64 = 64 << 10;
/// Largest program, bytes: unoptimised ones have tens of MiB.
const PROGRAM_BYTES_MAX: u64 = 512 << 20;
/// Level of compression: the best of those that take no more memory to read.
const LEVEL: i32 = 15;

/// A carried program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    /// Its first byte, from the end of the binary as it was linked.
    at: u64,
    /// Bytes there.
    packed: u64,
    /// Bytes of the program.
    plain: u64,
}

type Index = BTreeMap<String, Entry>;

/// A binary with the programs that it carries.
pub struct Carried {
    file: File,
    /// Length of the binary as it was linked.
    linked: u64,
    index: Index,
}

fn damaged(words: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the programs that this binary carries are damaged: {words}"))
}

impl Carried {
    /// The programs behind a binary; none where it carries none.
    ///
    /// # Errors
    /// It cannot be read, or what it carries is damaged.
    pub fn of(binary: &Path) -> io::Result<Option<Carried>> {
        let mut file = File::open(binary)?;
        let length = file.metadata()?.len();
        let Some(end_at) = length.checked_sub(END_BYTES as u64) else { return Ok(None) };
        let end = read_at(&mut file, end_at, END_BYTES)?;
        let Some((head, magic)) = end.split_at_checked(END_BYTES - MAGIC.len()) else { return Ok(None) };
        if magic != MAGIC {
            return Ok(None);
        }
        let (size, hash) = head.split_at_checked(8).ok_or_else(|| damaged("its end is short"))?;
        let size = u64::from_le_bytes(size.try_into().map_err(damaged)?);
        let index_at = end_at.checked_sub(size).filter(|_| size <= INDEX_BYTES_MAX);
        let index_at = index_at.ok_or_else(|| damaged("its index is too long"))?;
        let index: Index =
            serde_json::from_slice(&read_at(&mut file, index_at, usize::try_from(size).map_err(damaged)?)?)
                .map_err(damaged)?;
        let payload: u64 = index.values().map(|entry| entry.packed).sum();
        let linked = index_at.checked_sub(payload).ok_or_else(|| damaged("its index names more than there is"))?;
        let body = read_at(&mut file, linked, usize::try_from(end_at - linked).map_err(damaged)?)?;
        if sha256(&[&body]).as_bytes().as_slice() != hash {
            return Err(damaged("its hash is another one; copy the binary again"));
        }
        Ok(Some(Carried { file, linked, index }))
    }

    /// Names of the programs.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.index.keys().map(String::as_str)
    }

    /// Bytes of a program; none where it is not carried.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn program(&mut self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let Some(entry) = self.index.get(name).cloned() else { return Ok(None) };
        if entry.plain > PROGRAM_BYTES_MAX {
            return Err(damaged(format!("{name} has {} bytes", entry.plain)));
        }
        let packed = read_at(&mut self.file, self.linked + entry.at, usize::try_from(entry.packed).map_err(damaged)?)?;
        let plain = zstd::bulk::decompress(&packed, usize::try_from(entry.plain).map_err(damaged)?)?;
        match plain.len() as u64 == entry.plain {
            true => Ok(Some(plain)),
            false => Err(damaged(format!("{name} is not whole"))),
        }
    }
}

/// Writes a binary as it was linked, under a name, and each program that it carries into a folder, which is made where it is not there. Returns their names.
///
/// # Errors
/// It carries none, or a file cannot be read or written.
pub fn apart(binary: &Path, name: &str, folder: &Path) -> io::Result<Vec<String>> {
    let carried = Carried::of(binary)?;
    let mut carried = carried.ok_or_else(|| {
        let words = format!("{} carries no programs; `make install` makes the file that does", binary.display());
        io::Error::new(io::ErrorKind::InvalidInput, words)
    })?;
    let names: Vec<String> = carried.names().map(String::from).collect();
    if let Some(odd) = names.iter().find(|odd| odd.as_str() == name || !is_plain(odd)) {
        return Err(damaged(format!("`{odd}` is no name of a program")));
    }
    fs::create_dir_all(folder)?;
    let create = |name: &str| {
        let path = folder.join(name);
        OpenOptions::new().create(true).write(true).truncate(true).mode(0o755).open(path)
    };
    let mut own = create(name)?;
    io::copy(&mut File::open(binary)?.take(carried.linked), &mut own)?;
    own.sync_all()?;
    for name in &names {
        let bytes = carried.program(name)?.ok_or_else(|| damaged(format!("{name} is not there")))?;
        let mut file = create(name)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
    }
    Ok(std::iter::once(name.to_string()).chain(names).collect())
}

/// Returns true for a name that leads nowhere else.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

fn read_at(file: &mut File, at: u64, bytes: usize) -> io::Result<Vec<u8>> {
    let mut found = vec![0; bytes];
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(&mut found)?;
    Ok(found)
}

/// Writes a binary that carries programs, whole or not at all. What the binary carries already is replaced.
///
/// # Errors
/// A file cannot be read or written.
pub fn carry(binary: &Path, programs: &[(&str, &Path)], to: &Path) -> io::Result<()> {
    let linked = match Carried::of(binary)? {
        Some(carried) => carried.linked,
        None => fs::metadata(binary)?.len(),
    };
    let (mut index, mut body) = (Index::new(), Vec::new());
    for (name, path) in programs {
        let plain =
            fs::read(path).map_err(|cause| io::Error::new(cause.kind(), format!("{}: {cause}", path.display())))?;
        let packed = zstd::bulk::compress(&plain, LEVEL)?;
        let entry = Entry { at: body.len() as u64, packed: packed.len() as u64, plain: plain.len() as u64 };
        index.insert((*name).to_string(), entry);
        body.extend_from_slice(&packed);
    }
    let index = serde_json::to_vec(&index)?;
    body.extend_from_slice(&index);
    let mut beside = to.as_os_str().to_os_string();
    beside.push(format!(".{}.new", std::process::id()));
    let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o755).open(&beside)?;
    io::copy(&mut File::open(binary)?.take(linked), &mut file)?;
    file.write_all(&body)?;
    file.write_all(&(index.len() as u64).to_le_bytes())?;
    file.write_all(sha256(&[&body]).as_bytes().as_slice())?;
    file.write_all(&MAGIC)?;
    file.sync_all()?;
    fs::rename(&beside, to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binary_carries_programs_and_runs_as_before() {
        let folder = tempfile::tempdir().unwrap();
        let (shim, door) = (folder.path().join("shim"), folder.path().join("door"));
        fs::write(&shim, "s".repeat(100_000)).unwrap();
        fs::write(&door, [0, 1, 2, 3]).unwrap();
        let (binary, to) = (Path::new("/bin/true"), folder.path().join("carries"));
        assert!(Carried::of(binary).unwrap().is_none());
        carry(binary, &[("shim", &shim), ("door", &door)], &to).unwrap();
        let mut carried = Carried::of(&to).unwrap().unwrap();
        assert_eq!(carried.names().collect::<Vec<_>>(), ["door", "shim"]);
        assert_eq!(carried.program("shim").unwrap().unwrap(), fs::read(&shim).unwrap());
        assert_eq!(carried.program("door").unwrap().unwrap(), [0, 1, 2, 3]);
        assert_eq!(carried.program("other").unwrap(), None);
        assert!(std::process::Command::new(&to).status().unwrap().success());
        // Once more: nothing is carried twice.
        let again = folder.path().join("again");
        carry(&to, &[("door", &door)], &again).unwrap();
        assert_eq!(Carried::of(&again).unwrap().unwrap().names().collect::<Vec<_>>(), ["door"]);
        assert!(fs::metadata(&again).unwrap().len() < fs::metadata(&to).unwrap().len() + 1_000);
    }

    #[test]
    fn a_binary_is_taken_apart_and_put_together_again() {
        let folder = tempfile::tempdir().unwrap();
        let (shim, to, parts) = (folder.path().join("shim"), folder.path().join("one"), folder.path().join("a/parts"));
        fs::write(&shim, "shim".repeat(1_000)).unwrap();
        let binary = Path::new("/bin/true");
        assert!(apart(binary, "own", &parts).unwrap_err().to_string().contains("make install"));
        assert!(!parts.exists());
        carry(binary, &[("shim", &shim)], &to).unwrap();
        assert_eq!(apart(&to, "own", &parts).unwrap(), ["own", "shim"]);
        assert_eq!(fs::read(parts.join("own")).unwrap(), fs::read(binary).unwrap());
        assert_eq!(fs::read(parts.join("shim")).unwrap(), fs::read(&shim).unwrap());
        assert!(std::process::Command::new(parts.join("own")).status().unwrap().success());
        // A name that leads elsewhere, or is that of the binary itself, writes nothing.
        for name in ["../shim", "own", "", "a/b"] {
            carry(binary, &[(name, &shim)], &to).unwrap();
            let other = folder.path().join("other");
            assert!(apart(&to, "own", &other).unwrap_err().to_string().contains("no name"), "{name}");
            assert!(!other.exists());
        }
    }

    #[test]
    fn a_changed_bit_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let (program, to) = (folder.path().join("program"), folder.path().join("carries"));
        fs::write(&program, "program".repeat(10)).unwrap();
        fs::write(folder.path().join("binary"), "ELF").unwrap();
        carry(&folder.path().join("binary"), &[("program", &program)], &to).unwrap();
        let bytes = fs::read(&to).unwrap();
        for at in 3..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            fs::write(&to, &changed).unwrap();
            let is_seen = match Carried::of(&to) {
                Ok(None) => at >= bytes.len() - MAGIC.len(),
                Ok(Some(_)) => false,
                Err(_) => true,
            };
            assert!(is_seen, "bit of byte {at} of {}", bytes.len());
        }
        for short in 0..bytes.len() {
            fs::write(&to, &bytes[..short]).unwrap();
            assert!(!matches!(Carried::of(&to), Ok(Some(_))), "{short} bytes");
        }
    }
}
