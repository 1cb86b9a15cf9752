//! Sockets on which somebody of the host waits, by the kernel's own list of them (`sock_diag(7)`).
//!
//! The files of `/proc/net` have every connection of the machine beside them, as lines of text: a busy server would pay for an idle agent.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_sys::{Socket, protocols::NETLINK_SOCK_DIAG};
use openmesh_blueprint::document::Protocol;

use crate::message::Message;

// Source: linux/sock_diag.h, linux/inet_diag.h, net/tcp_states.h.
const BY_FAMILY: u16 = 20;
const FAMILY_IPV4: u8 = 2;
const FAMILY_IPV6: u8 = 10;
const TCP: u8 = 6;
const UDP: u8 = 17;
/// Bit of a TCP socket that listens.
const LISTENS: u32 = 1 << 10;
/// Bit of a UDP socket without a peer.
const OPEN: u32 = 1 << 7;
/// Bytes of the addresses, ports and names by which a question may choose: none are given.
const CHOICE_BYTES: usize = 48;
/// Place of the own port in an answer, and of the own address behind both ports.
const PORT_AT: usize = 4;
const ADDRESS_AT: usize = 8;

/// Sockets of a family and protocol on which somebody waits in the namespace of the calling thread: those of TCP that listen, those of UDP without a peer.
///
/// # Errors
/// The kernel has no such list, as without the module `tcp_diag` or `udp_diag`.
pub fn waiting(protocol: Protocol, is_ipv6: bool) -> io::Result<Vec<SocketAddr>> {
    let family = if is_ipv6 { FAMILY_IPV6 } else { FAMILY_IPV4 };
    let (number, states) = match protocol {
        Protocol::Udp => (UDP, OPEN),
        Protocol::Tcp | Protocol::Http => (TCP, LISTENS),
    };
    let mut question = vec![family, number, 0, 0];
    question.extend(states.to_ne_bytes());
    question.resize(question.len() + CHOICE_BYTES, 0);
    Ok(dump(question)?.iter().filter_map(|answer| own(answer)).collect())
}

fn dump(question: Vec<u8>) -> io::Result<Vec<Vec<u8>>> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let mut socket = Socket::new(NETLINK_SOCK_DIAG)?;
    Message { kind: BY_FAMILY, body: question }.send(&mut socket, header)?;
    let mut found = Vec::new();
    loop {
        let (bytes, _) = socket.recv_from_full()?;
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let message = NetlinkMessage::<Message>::deserialize(rest)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
            let length = usize::try_from(message.header.length).unwrap_or(usize::MAX).next_multiple_of(4);
            rest = rest.get(length.max(4)..).unwrap_or_default();
            match message.payload {
                NetlinkPayload::InnerMessage(answer) if answer.kind == BY_FAMILY => found.push(answer.body),
                NetlinkPayload::Done(done) if done.code == 0 => return Ok(found),
                NetlinkPayload::Done(done) => return Err(io::Error::from_raw_os_error(done.code.wrapping_neg())),
                NetlinkPayload::Error(error) => return Err(error.to_io()),
                _ => {}
            }
        }
    }
}

/// The own address and port of a socket in an answer; none of one that is of another form.
fn own(answer: &[u8]) -> Option<SocketAddr> {
    let port = u16::from_be_bytes(answer.get(PORT_AT..PORT_AT + 2)?.try_into().ok()?);
    let address = answer.get(ADDRESS_AT..ADDRESS_AT + 16)?;
    let address = match *answer.first()? {
        FAMILY_IPV4 => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(address.get(..4)?).ok()?)),
        FAMILY_IPV6 => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(address).ok()?)),
        _ => return None,
    };
    Some(SocketAddr::new(address, port))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream, UdpSocket};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sockets_that_wait_are_listed_and_connections_are_not() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let stream = TcpStream::connect(at).unwrap();
        let open = UdpSocket::bind("127.0.0.1:0").unwrap();
        let connected = UdpSocket::bind("127.0.0.1:0").unwrap();
        connected.connect(open.local_addr().unwrap()).unwrap();
        match (waiting(Protocol::Tcp, false), waiting(Protocol::Udp, false)) {
            (Ok(tcp), Ok(udp)) => {
                assert!(tcp.contains(&at) && !tcp.contains(&stream.local_addr().unwrap()), "{tcp:?}");
                let [open, connected] = [open, connected].map(|socket| socket.local_addr().unwrap());
                assert!(udp.contains(&open) && !udp.contains(&connected), "{udp:?}");
            }
            missing => println!("skipped: the kernel has no such list: {missing:?}"),
        }
        if let (Ok(listener), Ok(tcp)) = (TcpListener::bind("[::]:0"), waiting(Protocol::Tcp, true)) {
            assert!(tcp.contains(&listener.local_addr().unwrap()), "{tcp:?}");
        }
    }

    #[test]
    fn an_answer_is_read_by_its_family() {
        let mut answer = vec![FAMILY_IPV4, 10, 0, 0, 0x1f, 0x90, 0, 0, 127, 0, 0, 1];
        answer.resize(72, 0);
        assert_eq!(own(&answer), Some("127.0.0.1:8080".parse().unwrap()));
        answer[0] = FAMILY_IPV6;
        answer[ADDRESS_AT..ADDRESS_AT + 16].copy_from_slice(&Ipv6Addr::LOCALHOST.octets());
        assert_eq!(own(&answer), Some("[::1]:8080".parse().unwrap()));
        answer[0] = 1;
        assert_eq!((own(&answer), own(&answer[..20]), own(&[])), (None, None, None));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(answer in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = own(&answer);
        }
    }
}
