//! Libraries and programs of NVIDIA's driver on the host: as the cache of its loader (`/etc/ld.so.cache`) has them, else in folders that distributions use.
//!
//! AMD's and Intel's are parts of images: they speak with the kernel's own drivers, whose interface is the same for every version.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;

/// Beginning of a cache of the loader. Source: `dl-cache.h` of glibc from 2.32 on.
const CACHE_MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
/// Bytes before the first entry, and of an entry. Source: as above.
const CACHE_HEAD_BYTES: usize = 48;
const CACHE_ENTRY_BYTES: usize = 24;
/// Largest cache that is read, bytes: one of a large installation has some hundred KiB.
const CACHE_BYTES_MAX: u64 = 16 << 20;
/// Kinds of libraries in a cache: of glibc, for 64 bits of x86 and of ARM. Source: `ldconfig.h` of glibc.
const CACHE_KINDS: [(&str, u32); 2] = [("x86_64", 0x0303), ("aarch64", 0x0a03)];
/// Folders of libraries where there is no cache.
const FOLDERS: [&str; 6] = [
    "usr/lib/x86_64-linux-gnu",
    "usr/lib/aarch64-linux-gnu",
    "usr/lib/x86_64-linux-gnu/nvidia/current",
    "usr/lib64",
    "usr/lib64/nvidia",
    "usr/lib",
];
/// Libraries for computing and for films, by the names under which programs ask for them.
const LIBRARIES: [&str; 11] = [
    "libcuda.so.1",
    "libcudadebugger.so.1",
    "libnvcuvid.so.1",
    "libnvidia-allocator.so.1",
    "libnvidia-cfg.so.1",
    "libnvidia-encode.so.1",
    "libnvidia-ml.so.1",
    "libnvidia-nvvm.so.4",
    "libnvidia-opencl.so.1",
    "libnvidia-opticalflow.so.1",
    "libnvidia-ptxjitcompiler.so.1",
];
/// Libraries whose name ends with the version of the driver.
const VERSIONED: [&str; 2] = ["libnvidia-gpucomp.so", "libnvidia-nvvm70.so"];
/// Programs.
const PROGRAMS: [&str; 2] = ["usr/bin/nvidia-smi", "usr/bin/nvidia-debugdump"];

/// A file of the driver.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DriverFile {
    /// Name under which programs ask for it.
    pub name: String,
    /// Path on the host.
    pub host: String,
}

/// The driver's files on a host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Driver {
    /// Libraries, sorted by name.
    pub libraries: Vec<DriverFile>,
    /// Programs, sorted by name.
    pub programs: Vec<DriverFile>,
}

/// The driver's files below a root, for a processor in the words of `std::env::consts::ARCH`. Those that are not there are left out.
pub fn find(root: &Path, architecture: &str) -> Driver {
    let version = fs::read_to_string(root.join("proc/driver/nvidia/version")).ok().and_then(|text| version(&text));
    let versioned = version.iter().flat_map(|version| VERSIONED.map(|name| format!("{name}.{version}")));
    let names: Vec<String> = LIBRARIES.iter().map(ToString::to_string).chain(versioned).collect();
    let cache = cache(root).map(|bytes| entries(&bytes, architecture)).unwrap_or_default();
    let there = |path: &str| root.join(path.trim_start_matches('/')).is_file();
    let library = |name: &String| {
        let cached = cache.iter().find(|(known, path)| known == name && there(path)).map(|(_, path)| path.clone());
        let folder = || FOLDERS.iter().map(|folder| format!("/{folder}/{name}")).find(|path| there(path));
        Some(DriverFile { name: name.clone(), host: cached.or_else(folder)? })
    };
    let program = |path: &&str| {
        let name = path.rsplit('/').next()?.to_string();
        there(path).then(|| DriverFile { name, host: format!("/{path}") })
    };
    let mut driver = Driver {
        libraries: names.iter().filter_map(library).collect(),
        programs: PROGRAMS.iter().filter_map(program).collect(),
    };
    driver.libraries.sort();
    driver.programs.sort();
    driver
}

/// Version of the driver in the text of `/proc/driver/nvidia/version`.
fn version(text: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with("NVRM version:"))?;
    let is_version = |word: &&str| {
        let mut parts = word.split('.');
        word.contains('.') && parts.all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
    };
    line.split_whitespace().find(is_version).map(ToString::to_string)
}

fn cache(root: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(root.join("etc/ld.so.cache")).ok()?.take(CACHE_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// Names and paths of libraries in a cache of the loader, in its order; none where it is of another form.
fn entries(bytes: &[u8], architecture: &str) -> Vec<(String, String)> {
    let Some(kind) = CACHE_KINDS.iter().find(|(name, _)| *name == architecture).map(|(_, kind)| *kind) else {
        return Vec::new();
    };
    let number = |at: usize| {
        let bytes = bytes.get(at..at.checked_add(4)?)?;
        Some(u32::from_ne_bytes(bytes.try_into().ok()?))
    };
    // Texts end with a NUL, and are told by their place in the file.
    let text = |at: u32| {
        let rest = bytes.get(usize::try_from(at).ok()?..)?;
        let end = rest.iter().position(|byte| *byte == 0)?;
        String::from_utf8(rest.get(..end)?.to_vec()).ok()
    };
    if !bytes.starts_with(CACHE_MAGIC) {
        return Vec::new();
    }
    let count = number(CACHE_MAGIC.len()).and_then(|count| usize::try_from(count).ok()).unwrap_or(0);
    // A count that is wrong makes no more entries than there are bytes.
    let count = count.min(bytes.len() / CACHE_ENTRY_BYTES);
    let entry = |index: usize| {
        let at = CACHE_HEAD_BYTES + index * CACHE_ENTRY_BYTES;
        let (flags, name, path) = (number(at)?, number(at + 4)?, number(at + 8)?);
        (flags == kind).then(|| Some((text(name)?, text(path)?)))?
    };
    (0..count).filter_map(entry).filter(|(_, path)| path.starts_with('/')).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Bytes of a cache of the loader with these libraries, each with its kind: as `ldconfig` writes it.
    fn cache_of(libraries: &[(&str, &str, u32)]) -> Vec<u8> {
        let (mut entries, mut texts) = (Vec::new(), Vec::new());
        let begin = CACHE_HEAD_BYTES + libraries.len() * CACHE_ENTRY_BYTES;
        for (name, path, flags) in libraries {
            let mut place = |text: &str| {
                let at = u32::try_from(begin + texts.len()).unwrap();
                texts.extend(text.bytes().chain([0]));
                at
            };
            let numbers = [*flags, place(name), place(path), 0, 0, 0];
            entries.extend(numbers.into_iter().flat_map(u32::to_ne_bytes));
        }
        let mut bytes = CACHE_MAGIC.to_vec();
        bytes.extend(u32::try_from(libraries.len()).unwrap().to_ne_bytes());
        bytes.extend(u32::try_from(texts.len()).unwrap().to_ne_bytes());
        bytes.resize(CACHE_HEAD_BYTES, 0);
        [bytes, entries, texts].concat()
    }

    #[test]
    fn a_cache_of_the_loader_is_read() {
        let bytes = cache_of(&[
            ("libcuda.so.1", "/usr/lib32/libcuda.so.1", 0x0003),
            ("libcuda.so.1", "/opt/nvidia/libcuda.so.1", 0x0303),
            ("libc.so.6", "/lib/libc.so.6", 0x0303),
            ("libarm.so", "/lib/libarm.so", 0x0a03),
        ]);
        let pair = |name: &str, path: &str| (name.to_string(), path.to_string());
        let x86 = [pair("libcuda.so.1", "/opt/nvidia/libcuda.so.1"), pair("libc.so.6", "/lib/libc.so.6")];
        assert_eq!(entries(&bytes, "x86_64"), x86);
        assert_eq!(entries(&bytes, "aarch64"), [pair("libarm.so", "/lib/libarm.so")]);
        assert_eq!(entries(&bytes, "riscv64"), []);
        assert_eq!(entries(b"ld.so-1.7.0", "x86_64"), []);
    }

    #[test]
    fn the_cache_of_this_machine_is_read_where_it_has_one() {
        let Some(bytes) = cache(Path::new("/")) else { return println!("skipped: there is no /etc/ld.so.cache") };
        let found = entries(&bytes, std::env::consts::ARCH);
        let libc = found.iter().find(|(name, _)| name == "libc.so.6").unwrap();
        assert!(Path::new(&libc.1).exists(), "{libc:?}");
    }

    #[test]
    fn versions_are_told_from_other_words() {
        let text = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.14  Thu Feb 22 01:44:30 UTC 2024\nGCC version:  gcc version 12.2.0\n";
        assert_eq!(version(text).as_deref(), Some("550.54.14"));
        assert_eq!(version("GCC version: 12.2.0\n"), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_reading_panic(rest in prop::collection::vec(any::<u8>(), 0..200), whole in any::<bool>()) {
            let mut bytes = if whole { CACHE_MAGIC.to_vec() } else { Vec::new() };
            bytes.extend(rest);
            let _ = entries(&bytes, "x86_64");
        }
    }
}
