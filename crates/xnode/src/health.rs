//! Tests of an instance's health, from the host, which reaches every instance.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use openmesh_blueprint::document::{Application, Health, Protocol};

/// Most that is read of an answer, bytes: its first line.
const ANSWER_BYTES_MAX: u64 = 4 << 10;

/// One test. An application without one is healthy as long as it runs.
///
/// # Errors
/// What is wrong, for people.
pub(crate) fn test(application: &Application, address: Ipv4Addr) -> Result<(), String> {
    let Some(health) = &application.health else { return Ok(()) };
    let port = |name| {
        let port =
            application.ports.get(name).ok_or_else(|| format!("the test names the port {name}, which is not there"))?;
        match port.protocol {
            Protocol::Tcp => Ok(SocketAddr::from((address, port.port))),
            Protocol::Udp => Err(format!("the test names the port {name}, which is one of UDP")),
        }
    };
    if let Some(check) = &health.http {
        return http(port(&check.port)?, &check.path, health);
    }
    if let Some(check) = &health.tcp {
        return connect(port(&check.port)?, health).map(drop);
    }
    Err("tests by a command are not done by this agent yet".into())
}

fn timeout(health: &Health) -> Duration {
    Duration::from_millis(health.timeout.0.max(1))
}

fn connect(to: SocketAddr, health: &Health) -> Result<TcpStream, String> {
    TcpStream::connect_timeout(&to, timeout(health)).map_err(|cause| format!("{to} takes no connection: {cause}"))
}

fn http(to: SocketAddr, path: &str, health: &Health) -> Result<(), String> {
    let mut stream = connect(to, health)?;
    let failed = |cause: std::io::Error| format!("http://{to}{path} does not answer: {cause}");
    stream.set_read_timeout(Some(timeout(health))).map_err(failed)?;
    stream.set_write_timeout(Some(timeout(health))).map_err(failed)?;
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: {to}\r\nUser-Agent: openmesh-health\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(failed)?;
    let status = status(&mut stream).map_err(failed)?;
    match status {
        Some(200..=399) => Ok(()),
        Some(status) => Err(format!("http://{to}{path} answers {status}")),
        None => Err(format!("http://{to}{path} answers something that is not HTTP")),
    }
}

/// Status of the first line of an answer.
fn status(stream: &mut TcpStream) -> std::io::Result<Option<u16>> {
    let mut line = Vec::new();
    for byte in stream.take(ANSWER_BYTES_MAX).bytes() {
        match byte? {
            b'\n' => break,
            byte => line.push(byte),
        }
    }
    let text = String::from_utf8_lossy(&line);
    let mut words = text.split_whitespace();
    let version = words.next().is_some_and(|word| word.starts_with("HTTP/"));
    Ok(words.next().and_then(|word| word.parse().ok()).filter(|_| version))
}
