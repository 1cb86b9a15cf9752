//! The kernel's number of the rules of a network namespace: each transaction of nft that is committed, by whomever, makes another one.
//!
//! Sources: `NFT_MSG_GETGEN` of `linux/netfilter/nf_tables.h`, `nf_tables_commit` of the kernel.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;

use netlink_packet_core::{NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload, NlasIterator};
use netlink_sys::{Socket, protocols::NETLINK_NETFILTER};

use crate::message::Message;
use crate::namespace::OWN;

/// Kind of the question: subsystem 10 (nf_tables), message 16 (`NFT_MSG_GETGEN`).
const GET: u16 = (10 << 8) | 16;
/// Kind of the answer: message 15 (`NFT_MSG_NEWGEN`).
const NEW: u16 = (10 << 8) | 15;
/// Header of netfilter (`nfgenmsg`): no family, version 0, no resource.
const HEAD: [u8; 4] = [0; 4];
/// Attribute with the number, of 32 bits, most significant byte first (`NFTA_GEN_ID`).
const ID: u16 = 1;

/// Rules of a network namespace, told by their number.
#[derive(Debug)]
pub(crate) struct Generation {
    /// The namespace: as long as it is open here no other one has its number.
    space: File,
    number: u32,
}

impl Generation {
    /// The present one of the calling thread's namespace.
    ///
    /// # Errors
    /// The kernel does not say it.
    pub fn now() -> io::Result<Generation> {
        let space = File::open(OWN)?;
        Ok(Generation { number: ask()?, space })
    }

    /// Returns true for the same rules: no transaction lies between the two.
    ///
    /// # Errors
    /// The system's word.
    pub fn is(&self, other: &Generation) -> io::Result<bool> {
        let (own, others) = (self.space.metadata()?, other.space.metadata()?);
        Ok(self.number == other.number && (own.dev(), own.ino()) == (others.dev(), others.ino()))
    }
}

fn ask() -> io::Result<u32> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST;
    let mut socket = Socket::new(NETLINK_NETFILTER)?;
    Message { kind: GET, body: HEAD.to_vec() }.send(&mut socket, header)?;
    let (bytes, _) = socket.recv_from_full()?;
    let wrong = |words: String| io::Error::new(io::ErrorKind::InvalidData, words);
    let answer = NetlinkMessage::<Message>::deserialize(&bytes).map_err(|error| wrong(error.to_string()))?;
    match answer.payload {
        NetlinkPayload::InnerMessage(answer) if answer.kind == NEW => {
            number(&answer.body).ok_or_else(|| wrong("an answer without the number of the rules".to_string()))
        }
        NetlinkPayload::Error(error) => Err(error.to_io()),
        _ => Err(wrong("another answer than the number of the rules".to_string())),
    }
}

/// The number in the body of an answer; none where it has none.
fn number(body: &[u8]) -> Option<u32> {
    let mut attributes = NlasIterator::new(body.get(HEAD.len()..)?).flatten();
    let id = attributes.find(|attribute| attribute.kind() == ID)?;
    id.value().try_into().ok().map(u32::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// An answer as the kernel writes it: number, process, name of the process.
    fn answer(id: u32) -> Vec<u8> {
        let mut body = HEAD.to_vec();
        let mut add = |kind: u16, value: &[u8]| {
            body.extend(u16::try_from(4 + value.len()).unwrap().to_ne_bytes());
            body.extend(kind.to_ne_bytes());
            body.extend(value);
            body.resize(body.len().next_multiple_of(4), 0);
        };
        add(3, b"nft\0\0");
        add(ID, &id.to_be_bytes());
        add(2, &7_u32.to_be_bytes());
        body
    }

    #[test]
    fn the_number_is_found_among_other_attributes() {
        assert_eq!(number(&answer(1)), Some(1));
        assert_eq!(number(&answer(u32::MAX)), Some(u32::MAX));
        assert_eq!(number(&HEAD), None);
        assert_eq!(number(&[]), None);
        let whole = answer(1);
        assert_eq!(number(&whole[..whole.len() - 9]), None, "cut in the number");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(body in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = number(&body);
        }
    }
}
