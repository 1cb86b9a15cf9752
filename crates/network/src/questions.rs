//! The request-response protocol for everything that is no block of a CID: a short question, and a tagged answer as for blocks.
//!
//! The host reads neither: who asks and who answers agree on the form. A question goes to one peer that the asker names, because
//! it judges the answer and holds that peer to it.

use std::io;

use async_trait::async_trait;
use futures::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use libp2p::StreamProtocol;
use libp2p::request_response::Codec;

use crate::blocks::{Answer, BlockCodec, read_answer};
use crate::limits::{BLOCK_BYTES_MAX, QUESTION_BYTES_MAX};

/// Errors of asking one peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// It does not have what was asked for.
    #[error("the peer does not have it")]
    Missing,
    /// It answers too many others at the moment.
    #[error("the peer is busy")]
    Busy,
    /// It went away, took too long, or sent what is no answer.
    #[error("the peer did not answer")]
    Silent,
    /// The question is longer than [`QUESTION_BYTES_MAX`], or the want than [`crate::limits::WANT_BYTES_MAX`].
    #[error("the question has {0} bytes, which is more than is sent")]
    TooLong(usize),
    /// The host has stopped.
    #[error("the host has stopped")]
    Stopped,
}

#[derive(Debug, Clone)]
pub(crate) struct QuestionCodec {
    answer_bytes_max: usize,
}

impl QuestionCodec {
    /// Reads answers of at most so many bytes.
    pub(crate) const fn up_to(answer_bytes_max: usize) -> QuestionCodec {
        QuestionCodec { answer_bytes_max }
    }
}

impl Default for QuestionCodec {
    fn default() -> QuestionCodec {
        QuestionCodec::up_to(BLOCK_BYTES_MAX)
    }
}

#[async_trait]
impl Codec for QuestionCodec {
    type Protocol = StreamProtocol;
    type Request = Vec<u8>;
    type Response = Answer;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Vec<u8>>
    where
        T: AsyncRead + Unpin + Send,
    {
        let mut length = [0; 1];
        io.read_exact(&mut length).await?;
        let length = usize::from(length[0]);
        if length > QUESTION_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the question is too long"));
        }
        let mut question = vec![0; length];
        io.read_exact(&mut question).await?;
        Ok(question)
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Answer>
    where
        T: AsyncRead + Unpin + Send,
    {
        read_answer(io, self.answer_bytes_max).await
    }

    async fn write_request<T>(&mut self, _: &StreamProtocol, io: &mut T, question: Vec<u8>) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        let length = u8::try_from(question.len()).map_err(io::Error::other)?;
        io.write_all(&[length]).await?;
        io.write_all(&question).await
    }

    async fn write_response<T>(&mut self, protocol: &StreamProtocol, io: &mut T, answer: Answer) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        BlockCodec.write_response(protocol, io, answer).await
    }
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;
    use futures::io::Cursor;

    use super::*;

    const PROTOCOL: StreamProtocol = StreamProtocol::new("/test");

    #[test]
    fn questions_survive_the_wire_and_long_ones_do_not() {
        let mut codec = QuestionCodec::default();
        let mut read = |bytes: &[u8]| block_on(codec.read_request(&PROTOCOL, &mut Cursor::new(bytes.to_vec())));
        assert_eq!(read(&[2, 7, 8]).unwrap(), [7, 8]);
        assert_eq!(read(&[0]).unwrap(), [0u8; 0]);
        assert!(read(&[]).is_err());
        assert!(read(&[3, 7, 8]).is_err());
        assert!(read(&[u8::MAX; 256]).is_err());
        let mut io = Cursor::new(Vec::new());
        block_on(QuestionCodec::default().write_request(&PROTOCOL, &mut io, vec![7, 8])).unwrap();
        assert_eq!(io.into_inner(), [2, 7, 8]);
    }

    #[test]
    fn an_answer_is_as_long_as_whoever_asks_will_have_it() {
        let answer = [1, 0, 0, 0, 4, 1, 2, 3, 4];
        let read =
            |mut codec: QuestionCodec| block_on(codec.read_response(&PROTOCOL, &mut Cursor::new(answer.to_vec())));
        assert_eq!(read(QuestionCodec::up_to(4)).unwrap(), Answer::Block(vec![1, 2, 3, 4]));
        assert_eq!(read(QuestionCodec::default()).unwrap(), Answer::Block(vec![1, 2, 3, 4]));
        assert!(read(QuestionCodec::up_to(3)).unwrap_err().to_string().contains("at most 3"));
    }
}
