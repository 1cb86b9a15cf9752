//! The place of a catalogue: a folder, or an address of https; files of it within bounds of size and time.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use openmesh_primitives::root_cause;
use reqwest::{Client, Response, Url};
use rustix::fs::{Mode, OFlags};

use super::error::CatalogueError;

/// Time for a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// Time for one file: one of 512 KiB at the rate of an old telephone line.
const FILE: Duration = Duration::from_secs(30);
/// Longest time without a byte.
const SILENCE: Duration = Duration::from_secs(10);
/// Longest place of a redirect that is shown, in characters.
const SHOWN_CHARS_MAX: usize = 200;

/// The place of a catalogue.
pub(super) enum Source {
    /// A folder of this machine.
    Folder(PathBuf),
    /// An address, with the client that asks it.
    Address(Url, Client),
}

impl Source {
    /// The place of an address of a document.
    ///
    /// # Errors
    /// It is none, or there can be no client.
    pub(super) fn of(address: &str) -> Result<Source, CatalogueError> {
        if address.starts_with('/') {
            return Ok(Source::Folder(PathBuf::from(address)));
        }
        let wrong = |words: String| CatalogueError::Away { file: address.to_string(), words };
        let url = Url::parse(address).map_err(|error| wrong(error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") || url.cannot_be_a_base() {
            return Err(wrong("it is no address of https".to_string()));
        }
        // A client has a provider of TLS even where nothing of it is encrypted. The first one counts.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT)
            .user_agent(concat!("openmesh/", env!("CARGO_PKG_VERSION")));
        // What is on this machine is asked by no proxy.
        let client = if url.scheme() == "http" { client.no_proxy() } else { client };
        let client = client.build().map_err(|error| wrong(root_cause(&error)))?;
        Ok(Source::Address(url, client))
    }

    /// The bytes of a file, at most so many.
    ///
    /// # Errors
    /// It is not there, has more, comes too slowly, or its place leads elsewhere.
    pub(super) async fn read(&self, file: &str, most: u64) -> Result<Vec<u8>, CatalogueError> {
        match self {
            Source::Folder(folder) => {
                let (path, own) = (folder.join(file), file.to_string());
                let read = tokio::task::spawn_blocking(move || read_file(&path, &own, most));
                read.await.map_err(|error| CatalogueError::disk(&error))?
            }
            Source::Address(base, client) => {
                let asked = tokio::time::timeout(FILE, ask(client, base, file, most));
                let slow = |_| CatalogueError::Slow { file: file.to_string(), seconds: FILE.as_secs() };
                asked.await.map_err(slow)?
            }
        }
    }
}

/// The bytes of a plain file; a link, a pipe or a device is none.
fn read_file(path: &Path, file: &str, most: u64) -> Result<Vec<u8>, CatalogueError> {
    let away = |words: String| CatalogueError::Away { file: file.to_string(), words };
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened = rustix::fs::open(path, flags, Mode::empty());
    let opened = File::from(opened.map_err(|errno| away(std::io::Error::from(errno).to_string()))?);
    let about = opened.metadata().map_err(|error| away(error.to_string()))?;
    if !about.is_file() {
        return Err(away("it is no plain file".to_string()));
    }
    let mut bytes = Vec::new();
    opened.take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(|error| away(error.to_string()))?;
    match bytes.len() as u64 > most {
        true => Err(CatalogueError::TooLarge { file: file.to_string(), most }),
        false => Ok(bytes),
    }
}

/// The bytes of a file below an address.
async fn ask(client: &Client, base: &Url, file: &str, most: u64) -> Result<Vec<u8>, CatalogueError> {
    let away = |words: String| CatalogueError::Away { file: file.to_string(), words };
    let mut url = base.clone();
    match url.path_segments_mut() {
        Ok(mut segments) => {
            segments.pop_if_empty().push(file);
        }
        Err(()) => return Err(away("its address takes no file".to_string())),
    }
    let answer = client.get(url).send().await.map_err(|error| away(root_cause(&error)))?;
    let status = answer.status();
    if status.is_redirection() {
        return Err(CatalogueError::Redirect { file: file.to_string(), to: place(&answer) });
    }
    if status.as_u16() != 200 {
        return Err(away(format!("it answered with status {}", status.as_u16())));
    }
    body(answer, file, most).await
}

/// The place to which an answer leads, for people.
fn place(answer: &Response) -> String {
    let place = answer.headers().get(reqwest::header::LOCATION).and_then(|place| place.to_str().ok());
    let shown = place.unwrap_or("another place").chars().filter(|c| !c.is_control());
    shown.take(SHOWN_CHARS_MAX).collect()
}

/// The body of an answer: no more is read than it may have, whatever its head says.
async fn body(mut answer: Response, file: &str, most: u64) -> Result<Vec<u8>, CatalogueError> {
    let too_large = || CatalogueError::TooLarge { file: file.to_string(), most };
    if answer.content_length().is_some_and(|length| length > most) {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    loop {
        let chunk = match tokio::time::timeout(SILENCE, answer.chunk()).await {
            Err(_) => return Err(CatalogueError::Slow { file: file.to_string(), seconds: SILENCE.as_secs() }),
            Ok(Err(error)) => {
                let words = root_cause(&error);
                return Err(CatalogueError::Away { file: file.to_string(), words });
            }
            Ok(Ok(None)) => return Ok(bytes),
            Ok(Ok(Some(chunk))) => chunk,
        };
        if bytes.len() as u64 + chunk.len() as u64 > most {
            return Err(too_large());
        }
        bytes.extend_from_slice(&chunk);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_folder_gives_plain_files_alone_and_no_more_than_they_may_have() {
        let folder = tempfile::tempdir().unwrap();
        let at = |file: &str| folder.path().join(file);
        std::fs::write(at("plain"), b"12345").unwrap();
        symlink("/etc/hostname", at("link")).unwrap();
        std::fs::create_dir(at("folder")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, at("pipe"), rustix::fs::FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)
            .unwrap();
        let read = |file: &str, most: u64| read_file(&at(file), file, most);
        assert_eq!(read("plain", 5).unwrap(), b"12345");
        assert_eq!(read("plain", 4).unwrap_err().code().0, "catalogue_too_large");
        for file in ["link", "folder", "pipe", "nothing"] {
            assert_eq!(read(file, 5).unwrap_err().code().0, "catalogue_away", "{file}");
        }
    }
}
