//! The helper's own main function.

use std::io::{BufReader, Read, Write as _};
use std::process::ExitCode;

use openmesh_primitives::Digest;
use rustix::fs::{Mode, OFlags};
use sha2::{Digest as _, Sha256};

use super::apply::Applier;
use super::fault::Fault;
use super::job::{Job, Paths, Refused, Report};
use super::{cage, tree};
use crate::limits::{UNPACKED_BYTES_MAX, ZSTD_WINDOW_LOG_MAX, unpacked_bytes_max};
use crate::oci::Compression;
use crate::tar::{Archive, TarError};

/// Bytes that are read from the blob at once.
const BUFFER_BYTES: usize = 128 << 10;

/// Does one job, given as the last argument, in the working folder, and writes the answer to standard output.
pub fn main(job: &str) -> ExitCode {
    let answer = match serde_json::from_str::<Job>(job) {
        Ok(Job::Probe) => encode(&probe()),
        Ok(Job::Files(task)) => return crate::files::main(&task),
        Ok(Job::Unpack { compression, diff_id, packed, paths }) => encode(&unpack(compression, diff_id, packed, paths)),
        Err(cause) => {
            eprintln!("the job cannot be read: {cause}");
            return ExitCode::from(2);
        }
    };
    let written = answer.and_then(|answer| std::io::stdout().write_all(&answer));
    if written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn encode<T: serde::Serialize>(answer: &Result<T, Refused>) -> std::io::Result<Vec<u8>> {
    serde_json::to_vec(answer).map_err(Into::into)
}

fn folder() -> Result<rustix::fd::OwnedFd, Refused> {
    rustix::fs::open(".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| Refused::system(b".", "opening the folder", errno))
}

fn probe() -> Result<Vec<cage::Attempt>, Refused> {
    let folder = folder()?;
    cage::close(rustix::fd::AsFd::as_fd(&folder))?;
    Ok(cage::probe(rustix::fd::AsFd::as_fd(&folder)))
}

fn unpack(compression: Compression, diff_id: Digest, packed: u64, paths: Paths) -> Result<Report, Refused> {
    if paths == Paths::Unchecked && !cfg!(debug_assertions) {
        return Err(Refused::Cage("the path check is never off outside tests".into()));
    }
    let folder = folder()?;
    rustix::process::umask(Mode::empty());
    cage::close(rustix::fd::AsFd::as_fd(&folder))?;
    let input = BufReader::with_capacity(BUFFER_BYTES, std::io::stdin());
    let most = unpacked_bytes_max(packed);
    let mut applier = Applier::new(folder, paths);
    let (bytes, found) = read(decompressed(input, compression)?, most, packed, &mut applier)?;
    if found != diff_id {
        return Err(Refused::DiffId { wanted: diff_id, found });
    }
    let (folder, entries, implied, dropped) = applier.finish()?;
    let prints = tree::fingerprint_of(&folder, true)?;
    let implied = implied.iter().map(|path| path.iter().map(|byte| format!("{byte:02x}")).collect()).collect();
    Ok(Report {
        entries,
        bytes,
        implied,
        dropped,
        metadata: prints.metadata,
        content: prints.content.unwrap_or(Digest::ZERO),
    })
}

fn decompressed(input: impl Read + 'static, compression: Compression) -> Result<Box<dyn Read>, Refused> {
    Ok(match compression {
        Compression::Plain => Box::new(input),
        // Several members one after the other are one stream (RFC 1952); parallel compressors make them.
        Compression::Gzip => Box::new(flate2::read::MultiGzDecoder::new(input)),
        Compression::Zstd => {
            let wrong = |cause: std::io::Error| Refused::Compressed(cause.to_string());
            let mut decoder = zstd::stream::read::Decoder::new(input).map_err(wrong)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(wrong)?;
            Box::new(decoder)
        }
    })
}

/// Applies every entry; returns bytes and digest of the whole archive, what follows its end mark included.
fn read(input: Box<dyn Read>, most: u64, packed: u64, applier: &mut Applier) -> Result<(u64, Digest), Refused> {
    let mut archive = Archive::new(Metered { input, hasher: Sha256::new(), bytes: 0, most });
    let refused = |cause: TarError| match cause {
        TarError::Io(cause) => over(&cause, most, packed),
        other => Refused::Archive(other.to_string()),
    };
    while let Some(entry) = archive.next().map_err(refused)? {
        applier.apply(&entry, &mut archive.content()).map_err(|fault| match fault {
            Fault::Rule(refused) => refused,
            Fault::Input(cause) if cause.kind() == std::io::ErrorKind::UnexpectedEof => {
                Refused::Archive(TarError::Short.to_string())
            }
            Fault::Input(cause) => over(&cause, most, packed),
        })?;
    }
    let mut meter = archive.into_inner();
    std::io::copy(&mut meter, &mut std::io::sink()).map_err(|cause| over(&cause, most, packed))?;
    Ok((meter.bytes, Digest(meter.hasher.finalize().into())))
}

/// Error of a stream that grew over its bound.
#[derive(Debug, thiserror::Error)]
#[error("larger than it may be")]
struct Over;

fn over(cause: &std::io::Error, most: u64, packed: u64) -> Refused {
    match cause.get_ref() {
        Some(inner) if inner.is::<Over>() && most == UNPACKED_BYTES_MAX => Refused::Large,
        Some(inner) if inner.is::<Over>() => Refused::Bomb { packed },
        _ => Refused::Compressed(cause.to_string()),
    }
}

/// A stream that is counted, bounded and hashed.
struct Metered {
    input: Box<dyn Read>,
    hasher: Sha256,
    bytes: u64,
    most: u64,
}

impl Read for Metered {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.bytes += count as u64;
        if self.bytes > self.most {
            return Err(std::io::Error::other(Over));
        }
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}
