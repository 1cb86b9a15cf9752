//! The request-response protocol for blocks of bytes: 32 bytes of SHA-256 ask, a tagged answer returns.
//!
//! The answer is `0` (not held), `2` (busy, ask another) or `1`, the length as four bytes big-endian and the bytes.
//! The length is refused before anything is allocated, and the buffer grows only as bytes arrive.

use std::io;

use async_trait::async_trait;
use futures::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use libp2p::StreamProtocol;
use libp2p::request_response::Codec;
use openmesh_primitives::{ContentId, Digest};

use crate::limits::BLOCK_BYTES_MAX;

const TAG_MISSING: u8 = 0;
const TAG_BLOCK: u8 = 1;
const TAG_BUSY: u8 = 2;

/// A peer's answer for one block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It does not hold the block.
    Missing,
    /// The bytes, not yet checked against the hash.
    Block(Vec<u8>),
    /// It serves too many others at the moment.
    Busy,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct BlockCodec;

#[async_trait]
impl Codec for BlockCodec {
    type Protocol = StreamProtocol;
    type Request = ContentId;
    type Response = Answer;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<ContentId>
    where
        T: AsyncRead + Unpin + Send,
    {
        let mut digest = [0; 32];
        io.read_exact(&mut digest).await?;
        Ok(ContentId::from_digest(Digest(digest)))
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Answer>
    where
        T: AsyncRead + Unpin + Send,
    {
        read_answer(io, BLOCK_BYTES_MAX).await
    }

    async fn write_request<T>(&mut self, _: &StreamProtocol, io: &mut T, cid: ContentId) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        io.write_all(cid.digest().as_bytes()).await
    }

    async fn write_response<T>(&mut self, _: &StreamProtocol, io: &mut T, answer: Answer) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        match answer {
            Answer::Missing => io.write_all(&[TAG_MISSING]).await,
            Answer::Busy => io.write_all(&[TAG_BUSY]).await,
            Answer::Block(bytes) => {
                let length = u32::try_from(bytes.len()).map_err(|_| invalid("the block is too long".to_owned()))?;
                io.write_all(&[TAG_BLOCK]).await?;
                io.write_all(&length.to_be_bytes()).await?;
                io.write_all(&bytes).await
            }
        }
    }
}

/// Reads an answer whose block has at most so many bytes.
pub(crate) async fn read_answer<T>(io: &mut T, bytes_max: usize) -> io::Result<Answer>
where
    T: AsyncRead + Unpin + Send,
{
    let mut tag = [0; 1];
    io.read_exact(&mut tag).await?;
    match tag[0] {
        TAG_MISSING => Ok(Answer::Missing),
        TAG_BUSY => Ok(Answer::Busy),
        TAG_BLOCK => {
            let mut length = [0; 4];
            io.read_exact(&mut length).await?;
            let length = u32::from_be_bytes(length) as usize;
            if length > bytes_max {
                return Err(invalid(format!("a block of {length} bytes, at most {bytes_max} are accepted")));
            }
            let mut bytes = Vec::new();
            io.take(length as u64).read_to_end(&mut bytes).await?;
            if bytes.len() != length {
                return Err(invalid(format!("the block ended after {} of {length} bytes", bytes.len())));
            }
            Ok(Answer::Block(bytes))
        }
        other => Err(invalid(format!("an answer with the unknown tag {other}"))),
    }
}

fn invalid(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;
    use futures::io::Cursor;

    use super::*;

    const PROTOCOL: StreamProtocol = StreamProtocol::new("/test");

    fn round_trip(answer: Answer) -> io::Result<Answer> {
        let mut io = Cursor::new(Vec::new());
        block_on(BlockCodec.write_response(&PROTOCOL, &mut io, answer))?;
        io.set_position(0);
        block_on(BlockCodec.read_response(&PROTOCOL, &mut io))
    }

    #[test]
    fn answers_survive_the_wire() {
        for answer in [Answer::Missing, Answer::Busy, Answer::Block(vec![]), Answer::Block(vec![7; 100_000])] {
            assert_eq!(round_trip(answer.clone()).unwrap(), answer);
        }
    }

    #[test]
    fn hostile_answers_are_refused() {
        let read = |bytes: &[u8]| block_on(BlockCodec.read_response(&PROTOCOL, &mut Cursor::new(bytes.to_vec())));
        assert!(read(&[]).is_err());
        assert!(read(&[9]).unwrap_err().to_string().contains("unknown tag 9"));
        assert!(read(&[1, 0xff, 0xff, 0xff, 0xff]).unwrap_err().to_string().contains("at most"));
        assert!(read(&[1, 0, 0, 0, 9, 1, 2]).unwrap_err().to_string().contains("ended after 2 of 9"));
    }

    #[test]
    fn requests_survive_the_wire() {
        let cid = ContentId::of(b"x");
        let mut io = Cursor::new(Vec::new());
        block_on(BlockCodec.write_request(&PROTOCOL, &mut io, cid)).unwrap();
        io.set_position(0);
        assert_eq!(block_on(BlockCodec.read_request(&PROTOCOL, &mut io)).unwrap(), cid);
        assert!(block_on(BlockCodec.read_request(&PROTOCOL, &mut Cursor::new(vec![1; 31]))).is_err());
    }
}
