//! Questions to servers of the DNS (RFC 1035): by UDP, and by TCP where an answer does not fit.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

/// Time for an answer. Source: the C library's resolver waits for 5 s (`RES_TIMEOUT`); who asks again and again needs less.
const ANSWER: Duration = Duration::from_secs(3);
/// Questions before a server counts as silent.
const ATTEMPTS: u32 = 2;
/// Largest answer by UDP, bytes: without an extension no server sends more than 512 (RFC 1035, section 4.2.1).
const UDP_BYTES_MAX: usize = 4_096;
/// Bits of the third byte of a message: it is an answer, and it was cut. Source: RFC 1035, section 4.1.1.
const CUT_ANSWER: u8 = 0x82;

/// Asks a server for the records of a name. Words where it has no answer; that there are none is one.
pub async fn ask(server: SocketAddr, name: &Name, kind: RecordType, recursion: bool) -> Result<Message, String> {
    let mut id = [0; 2];
    getrandom::fill(&mut id).map_err(|cause| cause.to_string())?;
    let mut question = Message::new();
    question
        .set_id(u16::from_be_bytes(id))
        .set_message_type(MessageType::Query)
        .set_op_code(OpCode::Query)
        .set_recursion_desired(recursion)
        .add_query(Query::query(name.clone(), kind));
    let bytes = question.to_vec().map_err(|cause| cause.to_string())?;
    let mut words = String::new();
    for _ in 0..ATTEMPTS {
        let exchange = async {
            match by_udp(server, &bytes, &question).await? {
                Some(answer) => Ok(answer),
                None => by_tcp(server, &bytes, &question).await,
            }
        };
        match timeout(ANSWER, exchange).await {
            Ok(Ok(answer)) => return known(server, answer),
            Ok(Err(cause)) => words = cause.to_string(),
            Err(_) => words = format!("no answer within {} s", ANSWER.as_secs()),
        }
    }
    Err(format!("{server}: {words}"))
}

/// An answer that says what there is; words for one that says that its server cannot tell.
fn known(server: SocketAddr, answer: Message) -> Result<Message, String> {
    match answer.response_code() {
        ResponseCode::NoError | ResponseCode::NXDomain => Ok(answer),
        code => Err(format!("{server}: it answers {code}")),
    }
}

/// The answer by UDP; none where it was cut.
async fn by_udp(server: SocketAddr, bytes: &[u8], question: &Message) -> io::Result<Option<Message>> {
    let own: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(own).await?;
    socket.connect(server).await?;
    socket.send(bytes).await?;
    let mut buffer = vec![0; UDP_BYTES_MAX];
    loop {
        let length = socket.recv(&mut buffer).await?;
        let found = buffer.get(..length).unwrap_or_default();
        if is_cut(found, question.id()) {
            return Ok(None);
        }
        // Whatever is no answer to this question is passed over: anybody may have sent it.
        if let Some(answer) = answer(found, question) {
            return Ok(Some(answer));
        }
    }
}

async fn by_tcp(server: SocketAddr, bytes: &[u8], question: &Message) -> io::Result<Message> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(bytes.len()).map_err(|_| io::Error::from(ErrorKind::InvalidInput))?;
    stream.write_all(&[&length.to_be_bytes()[..], bytes].concat()).await?;
    let mut buffer = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut buffer).await?;
    answer(&buffer, question).ok_or_else(|| io::Error::from(ErrorKind::InvalidData))
}

/// Returns true for an answer with an id that was cut.
fn is_cut(bytes: &[u8], id: u16) -> bool {
    let flags = bytes.get(2).is_some_and(|flags| flags & CUT_ANSWER == CUT_ANSWER);
    flags && bytes.get(..2) == Some(&id.to_be_bytes()[..])
}

/// The message in some bytes; none where it is no answer to a question.
fn answer(bytes: &[u8], question: &Message) -> Option<Message> {
    let found = Message::from_vec(bytes).ok()?;
    let is_same = |(one, other): (&Query, &Query)| one.name() == other.name() && one.query_type() == other.query_type();
    let is_answer = found.message_type() == MessageType::Response && found.id() == question.id();
    (is_answer && found.query().zip(question.query()).is_some_and(is_same)).then_some(found)
}

#[cfg(test)]
mod tests {
    use hickory_proto::rr::rdata::TXT;
    use hickory_proto::rr::{RData, Record};
    use tokio::net::TcpListener;

    use super::*;

    fn name() -> Name {
        Name::from_ascii("_acme-challenge.example.org.").unwrap()
    }

    #[tokio::test]
    async fn an_answer_that_was_cut_is_fetched_by_tcp_and_strangers_are_passed_over() {
        let (tcp, udp) = loop {
            let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
            if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()).await {
                break (tcp, udp);
            }
        };
        let server = tcp.local_addr().unwrap();
        let served = tokio::spawn(async move {
            let mut buffer = vec![0; UDP_BYTES_MAX];
            let (length, from) = udp.recv_from(&mut buffer).await.unwrap();
            let mut answer = Message::from_vec(&buffer[..length]).unwrap();
            let id = answer.id();
            answer.set_message_type(MessageType::Response).set_id(id ^ 1).set_truncated(true);
            udp.send_to(&answer.to_vec().unwrap(), from).await.unwrap();
            udp.send_to(b"no message", from).await.unwrap();
            answer.set_id(id);
            udp.send_to(&answer.to_vec().unwrap(), from).await.unwrap();
            let (mut stream, _) = tcp.accept().await.unwrap();
            let mut asked = vec![0; usize::from(stream.read_u16().await.unwrap())];
            stream.read_exact(&mut asked).await.unwrap();
            let mut answer = Message::from_vec(&asked).unwrap();
            let record = Record::from_rdata(name(), 60, RData::TXT(TXT::new(vec!["a proof".into()])));
            answer.set_message_type(MessageType::Response).add_answer(record);
            let bytes = answer.to_vec().unwrap();
            let length = u16::try_from(bytes.len()).unwrap();
            stream.write_all(&[&length.to_be_bytes()[..], &bytes].concat()).await.unwrap();
        });
        let found = ask(server, &name(), RecordType::TXT, false).await.unwrap();
        assert_eq!(found.answers().len(), 1);
        served.await.unwrap();
    }

    #[tokio::test]
    async fn a_server_that_cannot_tell_has_no_answer() {
        let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let server = udp.local_addr().unwrap();
        let served = tokio::spawn(async move {
            let mut buffer = vec![0; UDP_BYTES_MAX];
            for code in [ResponseCode::NXDomain, ResponseCode::Refused] {
                let (length, from) = udp.recv_from(&mut buffer).await.unwrap();
                let mut answer = Message::from_vec(&buffer[..length]).unwrap();
                answer.set_message_type(MessageType::Response).set_response_code(code);
                udp.send_to(&answer.to_vec().unwrap(), from).await.unwrap();
            }
        });
        assert!(ask(server, &name(), RecordType::TXT, false).await.is_ok(), "that there is no such name is an answer");
        let words = ask(server, &name(), RecordType::TXT, false).await.unwrap_err();
        assert!(words.starts_with(&server.to_string()), "{words}");
        served.await.unwrap();
    }
}
