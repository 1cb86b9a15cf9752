//! One blob: resumed, hashed while it comes, and given its name when it is whole.

use std::path::Path;
use std::time::Duration;

use openmesh_blueprint::document::ImageReference;
use openmesh_primitives::Digest;
use reqwest::header::CONTENT_RANGE;
use reqwest::{Response, StatusCode};
use sha2::{Digest as _, Sha256};
use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _};

use super::Meter;
use super::client::{Client, Retry, request};
use super::error::{PullError, Request};
use crate::effect::Effect;
use crate::limits::RESUMES_MAX;
use crate::oci::{Descriptor, print_digest};
use crate::store::{Held, Store};

/// Milliseconds between two looks at whether another pull is done with a blob.
const LOOK_MS: u64 = 100;
/// Bytes that are read of a part on disk at once.
const BUFFER_BYTES: usize = 128 << 10;

/// The bytes of a blob that came so far.
struct Part<'a> {
    path: &'a Path,
    file: File,
    hasher: Sha256,
    length: u64,
    /// True where bytes of an earlier process are among it.
    resumed: bool,
}

impl Client {
    /// Fetches a blob into the store, unless it is there.
    pub(super) async fn blob(
        &self,
        store: &Store,
        reference: &ImageReference,
        blob: &Descriptor,
        effect: Effect<'_>,
        meter: &Meter<'_>,
    ) -> Result<(), PullError> {
        if store.is_whole(&blob.digest, blob.size) {
            return Ok(());
        }
        let _held = alone(store, &blob.digest).await?;
        if store.is_whole(&blob.digest, blob.size) {
            // Another pull brought it while this one waited.
            meter.moved(i64::try_from(blob.size).unwrap_or(i64::MAX));
            return Ok(());
        }
        let path = store.partial_path(&blob.digest);
        let disk = |cause| PullError::Disk { path: path.clone(), cause };
        effect("image.blob.fetch").map_err(disk)?;
        let mut part = Part::open(&path, blob.size).await.map_err(disk)?;
        meter.moved(i64::try_from(part.length).unwrap_or(i64::MAX));
        let found = loop {
            self.fill(reference, blob, &mut part, meter).await?;
            let found = Digest(part.hasher.clone().finalize().into());
            if found == blob.digest {
                break found;
            }
            let length = part.length;
            part.restart().await.map_err(disk)?;
            if !std::mem::take(&mut part.resumed) {
                let _ = tokio::fs::remove_file(&path).await;
                return Err(PullError::Digest { wanted: blob.digest, found });
            }
            meter.moved(-i64::try_from(length).unwrap_or(i64::MAX));
        };
        part.file.flush().await.map_err(disk)?;
        effect("image.blob.fetch").map_err(disk)?;
        store.adopt(&path, &found, effect)?;
        Ok(())
    }

    /// Fetches until the part has as many bytes as the manifest says.
    async fn fill(
        &self,
        reference: &ImageReference,
        blob: &Descriptor,
        part: &mut Part<'_>,
        meter: &Meter<'_>,
    ) -> Result<(), PullError> {
        let began = tokio::time::Instant::now();
        let (mut attempt, mut breaks) = (0, 0);
        while part.length < blob.size {
            let before = part.length;
            let until = began + self.longest(blob.size);
            let Err(cause) = self.fetch(reference, blob, part, meter, until).await else { continue };
            if part.length > before {
                (attempt, breaks) = (0, breaks + 1);
            }
            if breaks > RESUMES_MAX {
                return Err(*cause.error);
            }
            self.wait(cause, &mut attempt, meter.follow).await?;
        }
        Ok(())
    }

    /// One request.
    async fn fetch(
        &self,
        reference: &ImageReference,
        blob: &Descriptor,
        part: &mut Part<'_>,
        meter: &Meter<'_>,
        until: tokio::time::Instant,
    ) -> Result<(), Retry> {
        let url = self.url(reference, "blobs", &print_digest(&blob.digest))?;
        let request = request(&url);
        let answer = self.get(reference, &url, part.length).await;
        let mut response = match answer {
            // The part on disk is longer than the server's blob, or ranges are not for it: from the beginning.
            Err(Retry { error, .. }) if part.length > 0 && matches!(*error, PullError::Status { status: 416, .. }) => {
                meter.moved(-i64::try_from(part.length).unwrap_or(i64::MAX));
                part.restart().await.map_err(part.disk())?;
                self.get(reference, &url, 0).await?
            }
            answer => answer?,
        };
        self.begin(&response, &request, blob, part, meter).await?;
        while let Some(chunk) = self.chunk(&mut response, &request).await? {
            if part.length + chunk.len() as u64 > blob.size {
                return Err(PullError::Long { request, most: blob.size }.into());
            }
            part.add(&chunk).await.map_err(part.disk())?;
            meter.moved(chunk.len() as i64);
            if tokio::time::Instant::now() > until {
                return Err(PullError::Slow { request, rate: self.settings.patience.rate }.into());
            }
        }
        if part.length < blob.size {
            return Err(PullError::Short { request, said: blob.size, found: part.length }.into());
        }
        Ok(())
    }

    /// Compares the head of an answer with what is wanted, and goes back to the beginning where the server does.
    async fn begin(
        &self,
        response: &Response,
        request: &Request,
        blob: &Descriptor,
        part: &mut Part<'_>,
        meter: &Meter<'_>,
    ) -> Result<(), Retry> {
        if response.status() == StatusCode::PARTIAL_CONTENT {
            let range = response.headers().get(CONTENT_RANGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
            let (from, size) = content_range(range).unwrap_or((u64::MAX, None));
            if from != part.length {
                let found = range.chars().take(100).collect();
                return Err(PullError::Range { request: request.clone(), wanted: part.length, found }.into());
            }
            return match size.filter(|size| *size != blob.size) {
                Some(found) => Err(PullError::Size { digest: blob.digest, said: blob.size, found }.into()),
                None => Ok(()),
            };
        }
        if part.length > 0 {
            meter.moved(-i64::try_from(part.length).unwrap_or(i64::MAX));
            part.restart().await.map_err(part.disk())?;
        }
        match response.content_length().filter(|length| *length != blob.size) {
            Some(found) => Err(PullError::Size { digest: blob.digest, said: blob.size, found }.into()),
            None => Ok(()),
        }
    }
}

/// Waits until nobody else fetches a blob: two would write one file. It looks again and again, since a thread that the kernel lets wait could not be ended with
/// the pull.
async fn alone(store: &Store, digest: &Digest) -> Result<Held, PullError> {
    let name = format!("blob-{digest}");
    loop {
        if let Some(held) = store.try_hold(&name)? {
            return Ok(held);
        }
        tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
    }
}

impl Part<'_> {
    /// Opens what is there and hashes it; more than there should be is worth nothing.
    async fn open(path: &Path, size: u64) -> std::io::Result<Part<'_>> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).await?;
        let mut part = Part { path, file, hasher: Sha256::new(), length: 0, resumed: false };
        if part.file.metadata().await?.len() > size {
            part.restart().await?;
        }
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            match part.file.read(&mut buffer).await? {
                0 => break,
                count => {
                    part.hasher.update(&buffer[..count]);
                    part.length += count as u64;
                }
            }
        }
        part.resumed = part.length > 0;
        Ok(part)
    }

    async fn restart(&mut self) -> std::io::Result<()> {
        self.file.set_len(0).await?;
        self.file.seek(std::io::SeekFrom::Start(0)).await?;
        self.hasher = Sha256::new();
        self.length = 0;
        Ok(())
    }

    async fn add(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.file.write_all(bytes).await?;
        self.hasher.update(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }

    fn disk(&self) -> impl FnOnce(std::io::Error) -> PullError + use<> {
        let path = self.path.to_path_buf();
        move |cause| PullError::Disk { path, cause }
    }
}

/// First byte and whole size of `bytes FROM-TO/SIZE`.
fn content_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, size) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (from, _) = range.split_once('-')?;
    let size = if size == "*" { None } else { Some(size.parse().ok()?) };
    Some((from.parse().ok()?, size))
}
