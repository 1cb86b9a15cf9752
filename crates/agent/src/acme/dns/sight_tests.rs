//! Servers of the DNS of the tests' own, by UDP at addresses of the loopback.

use std::sync::{Arc, Mutex};

use hickory_proto::op::MessageType;
use hickory_proto::rr::rdata::{A, CNAME, NS, TXT};
use tokio::net::UdpSocket;

use super::*;

const RECORD: &str = "_acme-challenge.example.org";

type Records = Arc<Mutex<Vec<Record>>>;

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn add(records: &Records, of: &str, data: RData) {
    records.lock().unwrap().push(Record::from_rdata(name(of), 60, data));
}

fn text(value: &str) -> RData {
    RData::TXT(TXT::new(vec![value.to_string()]))
}

/// Answers with those records of a name that are of the kind that is asked for, or lead elsewhere.
async fn serve(socket: UdpSocket, records: Records) {
    let mut buffer = vec![0; 512];
    loop {
        let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
        let question = Message::from_vec(&buffer[..length]).unwrap();
        let asked = question.query().unwrap().clone();
        let fits = |record: &Record| {
            let kinds = [asked.query_type(), RecordType::CNAME];
            record.name() == asked.name() && kinds.contains(&record.record_type())
        };
        let found: Vec<Record> = records.lock().unwrap().iter().filter(|record| fits(record)).cloned().collect();
        let mut answer = Message::new();
        answer.set_id(question.id()).set_message_type(MessageType::Response).add_query(asked).add_answers(found);
        socket.send_to(&answer.to_vec().unwrap(), from).await.unwrap();
    }
}

/// Two sockets at one port of two addresses.
async fn pair() -> (UdpSocket, UdpSocket, u16) {
    loop {
        let one = UdpSocket::bind("127.0.0.2:0").await.unwrap();
        let port = one.local_addr().unwrap().port();
        if let Ok(other) = UdpSocket::bind(("127.0.0.3", port)).await {
            return (one, other, port);
        }
    }
}

/// A zone of two servers with the resolver that finds them, and records of each.
async fn zone() -> (Sight, Records, Records, Records) {
    let (one, other, known) = (Records::default(), Records::default(), Records::default());
    let (first, second, port) = pair().await;
    let resolver = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let system = vec![resolver.local_addr().unwrap()];
    for (socket, records) in [(first, &one), (second, &other), (resolver, &known)] {
        tokio::spawn(serve(socket, records.clone()));
    }
    for zone in ["example.org.", "proofs.example.net."] {
        for server in ["ns1.example.org.", "ns2.example.org."] {
            add(&known, zone, RData::NS(NS(name(server))));
        }
    }
    add(&known, "ns1.example.org.", RData::A(A([127, 0, 0, 2].into())));
    add(&known, "ns2.example.org.", RData::A(A([127, 0, 0, 3].into())));
    (Sight { system, chosen: Vec::new(), port }, one, other, known)
}

#[tokio::test]
async fn a_record_is_seen_once_every_server_of_its_zone_shows_it() {
    let (sight, one, other, known) = zone().await;
    assert!(sight.shows(RECORD, "a proof").await.unwrap_err().contains("does not show it"));
    add(&one, &format!("{RECORD}."), text("a proof"));
    let words = sight.shows(RECORD, "a proof").await.unwrap_err();
    assert!(words.starts_with("127.0.0.3:"), "{words}");
    // A person who names one of them is asked for no other one.
    let chosen = vec![([127, 0, 0, 2], sight.port).into()];
    assert_eq!(Sight { chosen, ..sight.clone() }.shows(RECORD, "a proof").await, Ok(()));
    add(&other, &format!("{RECORD}."), text("the proof of another order"));
    add(&other, &format!("{RECORD}."), text("a proof"));
    assert_eq!(sight.shows(RECORD, "a proof").await, Ok(()));
    assert!(sight.shows(RECORD, "no proof").await.is_err());
    // One that is silent holds up nobody as long as another one answers.
    add(&known, "ns2.example.org.", RData::A(A([127, 0, 0, 4].into())));
    assert_eq!(sight.shows(RECORD, "a proof").await, Ok(()));
}

#[tokio::test]
async fn a_name_that_leads_elsewhere_is_followed_to_its_end() {
    let (sight, one, other, _known) = zone().await;
    for records in [&one, &other] {
        add(records, &format!("{RECORD}."), RData::CNAME(CNAME(name("shop.proofs.example.net."))));
        add(records, "_acme-challenge.loop.example.org.", RData::CNAME(CNAME(name("back.example.org."))));
        add(records, "back.example.org.", RData::CNAME(CNAME(name("_acme-challenge.loop.example.org."))));
    }
    let words = sight.shows(RECORD, "a proof").await.unwrap_err();
    assert!(words.contains("does not show it"), "{words}");
    [&one, &other].into_iter().for_each(|records| add(records, "shop.proofs.example.net.", text("a proof")));
    assert_eq!(sight.shows(RECORD, "a proof").await, Ok(()));
    let words = sight.shows("_acme-challenge.loop.example.org", "a proof").await.unwrap_err();
    assert!(words.contains("without an end"), "{words}");
}

#[tokio::test]
async fn a_zone_that_nobody_serves_is_said() {
    let (sight, _one, _other, _known) = zone().await;
    let words = sight.shows("_acme-challenge.example.com", "a proof").await.unwrap_err();
    assert!(words.contains("zone of _acme-challenge.example.com"), "{words}");
    assert!(sight.shows("_acme-challenge.a..b", "a proof").await.is_err());
}

#[test]
fn resolvers_of_the_machine_are_read() {
    let at = |address: &str| SocketAddr::new(address.parse().unwrap(), PORT);
    let text =
        "# a comment\nsearch lan\nnameserver 192.0.2.1\nnameserver\t2001:db8::1 \nnameserver none\noptions ndots:2\n";
    assert_eq!(resolvers(text), [at("192.0.2.1"), at("2001:db8::1")]);
    assert_eq!(resolvers("nameservers 192.0.2.1\n"), [at("127.0.0.1")]);
}
