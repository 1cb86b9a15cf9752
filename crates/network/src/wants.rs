//! The request-response protocol by which a node asks a peer for what it has announced: a list that neither side's host reads, and an
//! envelope or the word that nothing of it is here.

use std::io;

use async_trait::async_trait;
use futures::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use libp2p::StreamProtocol;
use libp2p::request_response::Codec;

use crate::blocks::{Answer, BlockCodec};
use crate::limits::{ENVELOPE_BYTES_MAX, WANT_BYTES_MAX};

/// The list is its length as two bytes, big-endian, and the bytes; the answer is that of a block, and no longer than an envelope.
#[derive(Debug, Clone, Default)]
pub(crate) struct WantCodec(BlockCodec);

#[async_trait]
impl Codec for WantCodec {
    type Protocol = StreamProtocol;
    type Request = Vec<u8>;
    type Response = Answer;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Vec<u8>>
    where
        T: AsyncRead + Unpin + Send,
    {
        let mut length = [0; 2];
        io.read_exact(&mut length).await?;
        let length = usize::from(u16::from_be_bytes(length));
        if length > WANT_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the want is too long"));
        }
        let mut want = vec![0; length];
        io.read_exact(&mut want).await?;
        Ok(want)
    }

    async fn read_response<T>(&mut self, protocol: &StreamProtocol, io: &mut T) -> io::Result<Answer>
    where
        T: AsyncRead + Unpin + Send,
    {
        // A tag and a length stand before the bytes; of a longer answer the end is missing.
        let mut envelope = io.take(5 + ENVELOPE_BYTES_MAX as u64);
        self.0.read_response(protocol, &mut envelope).await
    }

    async fn write_request<T>(&mut self, _: &StreamProtocol, io: &mut T, want: Vec<u8>) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        let length = u16::try_from(want.len()).map_err(io::Error::other)?;
        io.write_all(&length.to_be_bytes()).await?;
        io.write_all(&want).await
    }

    async fn write_response<T>(&mut self, protocol: &StreamProtocol, io: &mut T, answer: Answer) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        self.0.write_response(protocol, io, answer).await
    }
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;
    use futures::io::Cursor;

    use super::*;

    const PROTOCOL: StreamProtocol = StreamProtocol::new("/test");

    #[test]
    fn wants_survive_the_wire_and_long_ones_do_not() {
        let read = |bytes: &[u8]| {
            block_on(WantCodec::default().read_request(&PROTOCOL, &mut Cursor::new(bytes.to_vec())))
        };
        assert_eq!(read(&[0, 2, 7, 8]).unwrap(), [7, 8]);
        assert!(read(&[0]).is_err() && read(&[0, 3, 7, 8]).is_err());
        assert!(read(&[u8::MAX; 70_000]).unwrap_err().to_string().contains("too long"));
        let mut io = Cursor::new(Vec::new());
        block_on(WantCodec::default().write_request(&PROTOCOL, &mut io, vec![7; 300])).unwrap();
        assert_eq!(io.into_inner()[..3], [1, 44, 7]);
    }

    #[test]
    fn an_answer_is_an_envelope_and_no_longer() {
        let answered = |length: usize| {
            let mut io = Cursor::new(Vec::new());
            let answer = Answer::Block(vec![7; length]);
            block_on(WantCodec::default().write_response(&PROTOCOL, &mut io, answer)).unwrap();
            io.set_position(0);
            block_on(WantCodec::default().read_response(&PROTOCOL, &mut io))
        };
        assert_eq!(answered(ENVELOPE_BYTES_MAX).unwrap(), Answer::Block(vec![7; ENVELOPE_BYTES_MAX]));
        assert!(answered(ENVELOPE_BYTES_MAX + 1).is_err());
    }
}
