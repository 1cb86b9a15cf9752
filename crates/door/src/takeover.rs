//! The listeners of a door that is replaced, from process to process.
//!
//! Two sockets that share a port by `SO_REUSEPORT` have a queue each, and whoever waits in the queue of the one that is closed is reset. So the
//! sockets themselves are handed over (`SCM_RIGHTS`), with their queues: no connection is lost, and nothing is bound anew.
//!
//! The old door sends four bytes with the length of a JSON text, the text (document and keys of the listeners), then one byte with one
//! descriptor for each key. The new one sends one byte when it serves. Until then the old one serves as before, and takes no document; then it
//! says by one byte that it leaves. A new door that does not hear it ends, and has touched nothing.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};

use crate::document::Document;
use crate::limits::{DOCUMENT_BYTES_MAX, TAKE_OVER_MS_MAX};
use crate::protocol::Ask;
use crate::table::{ListenerKey, Sockets};

/// Byte beside a descriptor.
const SOCKET: u8 = b'S';
/// Byte of a new door that serves.
const SERVES: u8 = b'!';
/// Byte of the old door that leaves.
const LEAVES: u8 = b'.';

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Will {
    document: Document,
    listeners: Vec<ListenerKey>,
}

/// Gives document and listeners to a successor, and waits until it serves.
///
/// # Errors
/// Those of the system, and a successor that does not serve in time.
pub async fn give(stream: UnixStream, document: Document, sockets: Sockets) -> io::Result<()> {
    tokio::task::spawn_blocking(move || give_now(stream, document, sockets)).await.map_err(io::Error::other)?
}

fn patient(stream: &UnixStream) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(Duration::from_millis(TAKE_OVER_MS_MAX)))?;
    stream.set_write_timeout(Some(Duration::from_millis(TAKE_OVER_MS_MAX)))
}

fn give_now(mut stream: UnixStream, document: Document, sockets: Sockets) -> io::Result<()> {
    patient(&stream)?;
    let will = Will { document, listeners: sockets.iter().map(|(key, _)| *key).collect() };
    let text = serde_json::to_vec(&will)?;
    let length = u32::try_from(text.len()).map_err(io::Error::other)?;
    stream.write_all(&length.to_be_bytes())?;
    stream.write_all(&text)?;
    for (_, socket) in &sockets {
        let descriptors = [socket.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
            return Err(io::Error::other("no space for a descriptor"));
        }
        sendmsg(&stream, &[IoSlice::new(&[SOCKET])], &mut control, SendFlags::NOSIGNAL)?;
    }
    let mut byte = [0];
    stream.read_exact(&mut byte)?;
    if byte != [SERVES] {
        return Err(io::Error::other("the successor does not serve"));
    }
    stream.write_all(&[LEAVES])
}

/// A door that waits for its successor to serve.
#[derive(Debug)]
pub struct Predecessor(UnixStream);

impl Predecessor {
    /// Lets it leave, and waits for its word.
    ///
    /// # Errors
    /// Those of the system, and a door that waits no longer: it serves on.
    pub fn release(mut self) -> io::Result<()> {
        self.0.write_all(&[SERVES])?;
        let mut byte = [0];
        self.0.read_exact(&mut byte)?;
        if byte == [LEAVES] { Ok(()) } else { Err(io::Error::other("the door before serves on")) }
    }
}

/// Takes document and listeners from the door at a socket; `None` where there is none, or one that leaves already.
///
/// # Errors
/// Those of the system, and a door that speaks another protocol. It serves on then.
pub fn take(socket: &Path) -> io::Result<Option<(Predecessor, Document, Sockets)>> {
    use io::ErrorKind::{ConnectionRefused, NotFound};
    let mut stream = match UnixStream::connect(socket) {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), NotFound | ConnectionRefused) => return Ok(None),
        Err(error) => return Err(error),
    };
    patient(&stream)?;
    let mut line = serde_json::to_vec(&Ask::HandOver)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut length = [0; 4];
    match stream.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let length = u32::from_be_bytes(length) as usize;
    if length > 2 * DOCUMENT_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a document of {length} bytes")));
    }
    let mut text = vec![0; length];
    stream.read_exact(&mut text)?;
    let will: Will = serde_json::from_slice(&text)?;
    let mut sockets = Sockets::new();
    for key in will.listeners {
        let listener = TcpListener::from(receive(&stream)?);
        listener.set_nonblocking(true)?;
        sockets.push((key, listener));
    }
    Ok(Some((Predecessor(stream), will.document, sockets)))
}

fn receive(stream: &UnixStream) -> io::Result<OwnedFd> {
    let mut byte = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let count = recvmsg(stream, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::CMSG_CLOEXEC)?.bytes;
    let descriptor = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    match descriptor {
        Some(descriptor) if count == 1 && byte == [SOCKET] => Ok(descriptor),
        _ => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the door before handed over no listener")),
    }
}
