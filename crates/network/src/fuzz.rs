//! Entry points of the fuzzer (`fuzz/targets`) for what peers send; no part of this crate's interface.

use futures::executor::block_on;
use futures::io::Cursor;
use libp2p::StreamProtocol;
use libp2p::request_response::Codec;

use crate::blocks::BlockCodec;

const PROTOCOL: StreamProtocol = StreamProtocol::new("/fuzz");

/// Reads an answer about a block and writes it again; `None` where it is refused. What follows an answer on its stream is
/// not looked at.
pub fn answer(bytes: &[u8]) -> Option<Vec<u8>> {
    let answer = block_on(BlockCodec.read_response(&PROTOCOL, &mut Cursor::new(bytes))).ok()?;
    let mut written = Cursor::new(Vec::new());
    block_on(BlockCodec.write_response(&PROTOCOL, &mut written, answer)).ok()?;
    Some(written.into_inner())
}

/// The same for a request.
pub fn request(bytes: &[u8]) -> Option<Vec<u8>> {
    let request = block_on(BlockCodec.read_request(&PROTOCOL, &mut Cursor::new(bytes))).ok()?;
    let mut written = Cursor::new(Vec::new());
    block_on(BlockCodec.write_request(&PROTOCOL, &mut written, request)).ok()?;
    Some(written.into_inner())
}
