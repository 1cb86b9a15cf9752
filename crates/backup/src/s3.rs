//! A store in a bucket of an object store that speaks the protocol of S3.
//!
//! # What it owns
//! Requests: where they go, their signatures, and when they are sent again. It asks five things of a server: put where nothing is (`If-None-Match: *`), get a
//! range, list after a key, tell whether a key is there, delete. Addresses have the bucket in the path, which every server takes.
//!
//! # Why written here
//! The crate `object_store` of the tables can do it with a feature, which would give the room of the tables an HTTP client; the SDK of AWS is a hundred crates. The
//! signature is eighty lines, the lists are flat, and the client is the one that images are pulled with.
//!
//! # What is asked of a server
//! That a list, a read and a write tell of every write before them (AWS since 2020, MinIO, Ceph, Garage, R2): sweeps rely on it (B-28). One that does not know
//! `If-None-Match` says so (501) and is asked whether the object is there instead; names are hashes, so nothing can be replaced by something else.
//!
//! # On failure
//! Faults that may pass are tried again a few times, with growing waits: a refused connection, a stall, a 5xx, a 429. All requests are safe to send twice. A server that
//! finds our clock wrong is asked for the time.

mod send;
mod settings;
mod sign;
mod xml;

use std::fmt;
use std::io;
use std::sync::Arc;

use reqwest::{Method, StatusCode};

pub use settings::S3Settings;

use crate::error::StoreError;
use crate::name::{Id, Kind, Name};
use crate::store::{Listed, Store};
use send::{Answer, Ask, Client};

/// Objects that a list asks for at a time: the most that S3 gives.
const LIST_OBJECTS: usize = 1000;
/// Largest part of a list that is read, bytes: a thousand keys of a kilobyte with all that S3 says of them, twice.
const LIST_BYTES_MAX: usize = 4 << 20;
/// Most objects of a kind in a list: 16 million packs hold 256 TB. Bounds what a hostile server can fill the memory with.
const LISTED_MAX: usize = 1 << 24;

/// A store in a bucket. Its calls wait: from asynchronous code they belong on a thread for such work.
pub struct S3 {
    client: Arc<Client>,
    /// None only while it is dropped.
    runtime: Option<tokio::runtime::Runtime>,
}

impl fmt::Debug for S3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.client.settings, f)
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        // Does not wait, so that it may be dropped anywhere.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl S3 {
    /// Opens a place in a bucket, which has to be there. Nothing is sent yet.
    ///
    /// # Errors
    /// The address or a name cannot be used; the system refuses threads or certificates.
    pub fn open(settings: S3Settings) -> Result<S3, StoreError> {
        let client = Arc::new(Client::new(settings).map_err(failed("opening", "the bucket"))?);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        Ok(S3 { client, runtime: Some(runtime.map_err(failed("starting", "a thread"))?) })
    }

    /// Sends a request from the store's own thread, and waits.
    fn ask(&self, ask: Ask) -> io::Result<Answer> {
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        let client = Arc::clone(&self.client);
        if let Some(runtime) = &self.runtime {
            runtime.spawn(async move {
                // Nobody waits any more where this fails.
                let _ = sender.send(client.ask(ask).await);
            });
        }
        receiver.recv().map_err(|_| io::Error::other("the thread of requests is gone"))?
    }

    fn key(&self, name: &impl fmt::Display) -> String {
        let prefix = &self.client.settings.prefix;
        if prefix.is_empty() { name.to_string() } else { format!("{prefix}/{name}") }
    }

    fn is_there(&self, name: Name) -> io::Result<bool> {
        let answer = self.ask(Ask::new(Method::HEAD, self.key(&name)))?;
        match answer.status {
            StatusCode::OK => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            _ => Err(answer.error()),
        }
    }

    fn put(&self, name: Name, bytes: &[u8]) -> io::Result<bool> {
        let body = Arc::<[u8]>::from(bytes);
        let put = Ask { body, ..Ask::new(Method::PUT, self.key(&name)) };
        let answer = self.ask(Ask { headers: vec![("if-none-match", "*".to_string())], ..put.clone() })?;
        match answer.status {
            StatusCode::OK => return Ok(true),
            StatusCode::PRECONDITION_FAILED => return Ok(false),
            StatusCode::NOT_IMPLEMENTED => {}
            _ => return Err(answer.error()),
        }
        if self.is_there(name)? {
            return Ok(false);
        }
        let answer = self.ask(put)?;
        if answer.status == StatusCode::OK { Ok(true) } else { Err(answer.error()) }
    }

    /// Bytes of a range; none where no object has the name.
    fn get(&self, name: Name, from: u64, bytes_max: usize) -> io::Result<Option<Vec<u8>>> {
        // A range of no bytes cannot be said.
        let length = bytes_max.max(1);
        let range = format!("bytes={from}-{}", from.saturating_add(length as u64 - 1));
        let ask = Ask::new(Method::GET, self.key(&name));
        let answer = self.ask(Ask { headers: vec![("range", range)], body_bytes_max: length, ..ask })?;
        match answer.status {
            StatusCode::PARTIAL_CONTENT if answer.cut || !answer.starts_at(from) => {
                Err(io::Error::other("the server sent another range than it was asked for"))
            }
            // It knows no ranges, and has sent the beginning.
            StatusCode::OK if from > 0 => Err(io::Error::other("the server sent all where a range was asked for")),
            StatusCode::PARTIAL_CONTENT | StatusCode::OK => {
                let mut body = answer.body;
                body.truncate(bytes_max);
                Ok(Some(body))
            }
            StatusCode::RANGE_NOT_SATISFIABLE => Ok(Some(Vec::new())),
            StatusCode::NOT_FOUND if answer.code().is_none_or(|code| code == "NoSuchKey") => Ok(None),
            _ => Err(answer.error()),
        }
    }

    fn list_after(&self, prefix: &str, after: &str) -> io::Result<xml::Part> {
        let mut query = vec![
            ("list-type", "2".to_string()),
            ("max-keys", LIST_OBJECTS.to_string()),
            ("prefix", prefix.to_string()),
        ];
        if !after.is_empty() {
            query.push(("start-after", after.to_string()));
        }
        let ask = Ask { query, body_bytes_max: LIST_BYTES_MAX, ..Ask::new(Method::GET, String::new()) };
        let answer = self.ask(ask)?;
        if answer.status != StatusCode::OK {
            return Err(answer.error());
        }
        let document = std::str::from_utf8(&answer.body).ok().filter(|_| !answer.cut);
        let part = document.and_then(xml::list);
        let part = part.ok_or_else(|| io::Error::other("the server's list cannot be read"))?;
        // Else a server could list for ever.
        let keys = std::iter::once(after).chain(part.entries.iter().map(|entry| entry.key.as_str()));
        let ascending = keys.is_sorted_by(|a, b| a < b) || (after.is_empty() && part.entries.is_empty());
        if !ascending || (part.more && part.entries.is_empty()) {
            return Err(io::Error::other("the server's list is not in order"));
        }
        Ok(part)
    }

    fn list_all(&self, kind: Kind) -> io::Result<Vec<Listed>> {
        let prefix = self.key(&format_args!("{}/", kind.folder()));
        let (mut after, mut found) = (String::new(), Vec::new());
        loop {
            let part = self.list_after(&prefix, &after)?;
            let listed = part.entries.iter().filter_map(|entry| {
                let id: Id = entry.key.rsplit('/').next()?.parse().ok()?;
                let name = self.key(&Name::Object(kind, id));
                (name == entry.key).then_some(Listed { id, bytes: entry.bytes, stored: entry.stored })
            });
            found.extend(listed);
            if found.len() > LISTED_MAX {
                return Err(io::Error::other("the server lists more objects than a repository has"));
            }
            match part.entries.into_iter().next_back() {
                Some(last) if part.more => after = last.key,
                _ => return Ok(found),
            }
        }
    }

    fn remove(&self, name: Name) -> io::Result<bool> {
        // The answer to the removal does not tell.
        let there = self.is_there(name)?;
        let answer = self.ask(Ask::new(Method::DELETE, self.key(&name)))?;
        match answer.status {
            StatusCode::OK | StatusCode::NO_CONTENT => Ok(there),
            StatusCode::NOT_FOUND if answer.code().is_none_or(|code| code == "NoSuchKey") => Ok(false),
            _ => Err(answer.error()),
        }
    }
}

impl Store for S3 {
    fn put_new(&self, name: Name, bytes: &[u8]) -> Result<bool, StoreError> {
        self.put(name, bytes).map_err(failed("writing", name))
    }

    fn read(&self, name: Name, from: u64, bytes_max: usize) -> Result<Vec<u8>, StoreError> {
        self.get(name, from, bytes_max).map_err(failed("reading", name))?.ok_or(StoreError::Missing { name })
    }

    fn list(&self, kind: Kind) -> Result<Vec<Listed>, StoreError> {
        self.list_all(kind).map_err(failed("listing", kind.folder()))
    }

    fn delete(&self, name: Name) -> Result<bool, StoreError> {
        self.remove(name).map_err(failed("removing", name))
    }
}

fn failed<N: ToString>(doing: &'static str, name: N) -> impl FnOnce(io::Error) -> StoreError {
    move |cause| StoreError::Io { doing, name: name.to_string(), cause }
}
