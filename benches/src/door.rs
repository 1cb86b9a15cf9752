//! A node's public door as plainly as can be: requests that were written before the clock runs, over connections that stay open,
//! and the blocks' subscription. A full HTTP client would take as much of the processor as the validators' side of it.

use std::io::{Error, ErrorKind, Result};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// Longest answer that is read, bytes: a full block with its transactions takes some megabytes.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Longest message of the stream, bytes.
const MESSAGE_BYTES_MAX: u64 = 1024 * 1024;

/// A kept connection to a node's API.
pub struct Door {
    stream: BufReader<TcpStream>,
}

fn wrong(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidData, what.into())
}

/// A request with a body of this kind.
pub fn post(host: &str, path: &str, kind: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head =
        format!("POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

/// The length of an answer's body, by its head.
enum Length {
    Bytes(usize),
    Chunks,
    Unknown,
}

impl Door {
    /// Connects.
    pub async fn open(host: &str) -> Result<Door> {
        let stream = TcpStream::connect(host).await?;
        stream.set_nodelay(true)?;
        Ok(Door { stream: BufReader::new(stream) })
    }

    /// Sends a request and reads the answer: status and body.
    pub async fn ask(&mut self, request: &[u8]) -> Result<(u16, Vec<u8>)> {
        self.stream.get_mut().write_all(request).await?;
        match self.head().await? {
            (status, Length::Bytes(length)) if length <= ANSWER_BYTES_MAX => {
                let mut body = vec![0; length];
                self.stream.read_exact(&mut body).await?;
                Ok((status, body))
            }
            (status, Length::Chunks) => Ok((status, self.chunks().await?)),
            _ => Err(wrong("an answer without or beyond length")),
        }
    }

    /// A body in chunks. Source: RFC 9112, 7.1.
    async fn chunks(&mut self) -> Result<Vec<u8>> {
        let (mut body, mut line) = (Vec::new(), String::new());
        loop {
            self.line(&mut line).await?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let size =
                usize::from_str_radix(size, 16).map_err(|_| wrong(format!("{line:?} is no length of a chunk")))?;
            let from = body.len();
            if size > ANSWER_BYTES_MAX - from {
                return Err(wrong("an answer beyond length"));
            }
            body.resize(from + size, 0);
            self.stream.read_exact(&mut body[from..]).await?;
            // A line ends behind each chunk; behind the last one, which is empty, stand trailers and an empty line.
            self.line(&mut line).await?;
            while size == 0 && !line.is_empty() {
                self.line(&mut line).await?;
            }
            if size == 0 {
                return Ok(body);
            }
        }
    }

    /// `GET` of a JSON document.
    pub async fn get(&mut self, host: &str, path: &str) -> Result<serde_json::Value> {
        let (status, body) = self.ask(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).await?;
        match status {
            200 => serde_json::from_slice(&body).map_err(|error| wrong(format!("{path}: {error}"))),
            status => Err(wrong(format!("{path} answers {status}"))),
        }
    }

    /// Status and length of the body.
    async fn head(&mut self) -> Result<(u16, Length)> {
        let mut line = String::new();
        self.line(&mut line).await?;
        let status = line.split(' ').nth(1).and_then(|s| s.parse().ok()).ok_or_else(|| wrong(format!("{line:?}")))?;
        let mut length = Length::Unknown;
        loop {
            self.line(&mut line).await?;
            match line.split_once(':') {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    length = value.trim().parse().map_or(Length::Unknown, Length::Bytes);
                }
                Some((name, value)) if name.eq_ignore_ascii_case("transfer-encoding") => {
                    length = if value.trim() == "chunked" { Length::Chunks } else { Length::Unknown };
                }
                Some(_) => {}
                None => return Ok((status, length)),
            }
        }
    }

    async fn line(&mut self, line: &mut String) -> Result<()> {
        line.clear();
        match self.stream.read_line(line).await? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            _ => {
                line.truncate(line.trim_end().len());
                Ok(())
            }
        }
    }

    /// Turns the connection into the stream of new blocks.
    pub async fn blocks(self, host: &str) -> Result<Blocks> {
        self.subscribe(host, "/v1/stream", r#"{"op":"subscribe","feed":"blocks"}"#).await
    }

    /// Turns the connection into the stream at a path, and asks there for blocks. Source: RFC 6455.
    pub async fn subscribe(mut self, host: &str, path: &str, words: &str) -> Result<Blocks> {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: b3Blbm1lc2ggYmVuY2ghIQ==\r\n\r\n"
        );
        self.stream.get_mut().write_all(request.as_bytes()).await?;
        match self.head().await? {
            (101, _) => {}
            (status, _) => return Err(wrong(format!("the stream answers {status}"))),
        }
        let mut blocks = Blocks { stream: self.stream };
        blocks.send(TEXT, words.as_bytes()).await?;
        Ok(blocks)
    }
}

/// The stream of new blocks.
pub struct Blocks {
    stream: BufReader<TcpStream>,
}

const TEXT: u8 = 1;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

impl Blocks {
    /// A client's frames are masked; a mask of zeros is one.
    async fn send(&mut self, kind: u8, text: &[u8]) -> Result<()> {
        let length = u8::try_from(text.len()).ok().filter(|l| *l < 126).ok_or_else(|| wrong("too long a request"))?;
        let frame = [&[0x80 | kind, 0x80 | length, 0, 0, 0, 0], text].concat();
        self.stream.get_mut().write_all(&frame).await
    }

    /// The next message in text.
    pub async fn next(&mut self) -> Result<Vec<u8>> {
        loop {
            let kind = self.stream.read_u8().await? & 0x0f;
            let length = match self.stream.read_u8().await? & 0x7f {
                126 => u64::from(self.stream.read_u16().await?),
                127 => self.stream.read_u64().await?,
                short => u64::from(short),
            };
            if length > MESSAGE_BYTES_MAX {
                return Err(wrong("a message beyond all bounds"));
            }
            let mut body = vec![0; length as usize];
            self.stream.read_exact(&mut body).await?;
            match kind {
                TEXT => return Ok(body),
                PING => self.send(PONG, &body).await?,
                CLOSE => return Err(ErrorKind::ConnectionAborted.into()),
                _ => {}
            }
        }
    }
}
