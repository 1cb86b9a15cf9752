//! Messages of netlink families that this crate asks a question or two: a kind, and bytes.

use std::convert::Infallible;
use std::io;

use netlink_packet_core::{NetlinkDeserializable, NetlinkHeader, NetlinkMessage, NetlinkPayload, NetlinkSerializable};
use netlink_sys::{Socket, SocketAddr};

/// A message: its kind, and what follows the header of netlink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub kind: u16,
    pub body: Vec<u8>,
}

impl Message {
    /// Sends it to the kernel as the first and only question of a socket.
    ///
    /// # Errors
    /// The system's word.
    pub fn send(self, socket: &mut Socket, mut header: NetlinkHeader) -> io::Result<()> {
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        header.sequence_number = 1;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(self));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        let sent = socket.send(&bytes, 0)?;
        if sent == bytes.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }
}

impl NetlinkSerializable for Message {
    fn message_type(&self) -> u16 {
        self.kind
    }

    fn buffer_len(&self) -> usize {
        self.body.len()
    }

    fn serialize(&self, buffer: &mut [u8]) {
        buffer.copy_from_slice(&self.body);
    }
}

impl NetlinkDeserializable for Message {
    type Error = Infallible;

    fn deserialize(header: &NetlinkHeader, payload: &[u8]) -> Result<Message, Infallible> {
        Ok(Message { kind: header.message_type, body: payload.to_vec() })
    }
}
