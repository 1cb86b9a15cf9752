//! WebSockets whose sides die.

use std::net::SocketAddr;
use std::time::Duration;

use openmesh_door::document::{Admission, Protocol, Traffic};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::stage::{Raw, document, door, instance, route, until, within};

/// An application that grants a WebSocket and hands it out.
async fn granting() -> (SocketAddr, mpsc::Receiver<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (sender, receiver) = mpsc::channel(4);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (mut text, mut part) = (Vec::new(), [0; 1_024]);
            while !text.ends_with(b"\r\n\r\n") {
                match stream.read(&mut part).await {
                    Ok(count) if count > 0 => text.extend_from_slice(&part[..count]),
                    _ => return,
                }
            }
            let answer = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
            if stream.write_all(answer).await.is_err() || sender.send(stream).await.is_err() {
                return;
            }
        }
    });
    (address, receiver)
}

#[tokio::test]
async fn a_side_that_dies_ends_the_other() {
    let (address, mut granted) = granting().await;
    let admitted = route(Protocol::Http1, Admission::Open, &[instance("a", address, Traffic::Admit, 0)]);
    let (door, at) = door(document(1, &[("app", admitted)])).await;
    let open = || door.report().routes["app"].instances["a"].counts.open;
    for case in ["reset", "end", "client"] {
        let mut client = Raw::to(at[0]).await;
        client.send("GET / HTTP/1.1\r\nhost: app.test\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n").await;
        assert_eq!(client.head().await.0, 101);
        let mut instance = within("a WebSocket", granted.recv()).await.expect("one");
        instance.write_all(b"\x82\x02hi").await.expect("sent");
        assert_eq!(client.bytes(4).await, b"\x82\x02hi");
        assert_eq!(open(), 1);
        match case {
            // A process that is killed with bytes unread.
            "reset" => {
                socket2::SockRef::from(&instance).set_linger(Some(Duration::ZERO)).expect("an option");
                drop(instance);
                assert_eq!(client.rest().await, b"", "{case}");
            }
            // The client is told, and says nothing.
            "end" => {
                drop(instance);
                assert_eq!(client.rest().await, b"", "{case}");
            }
            // A client that says nothing more, in front of an application that does not care.
            _ => {
                client.0.shutdown().await.expect("a half");
                let mut byte = [0];
                assert_eq!(within("the end", instance.read(&mut byte)).await.expect("an end"), 0, "{case}");
                assert_eq!(client.rest().await, b"", "{case}");
            }
        }
        until("the end of the WebSocket", || open() == 0).await;
    }
}
