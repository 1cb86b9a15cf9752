//! Tests of an instance's health, from the host, which reaches every instance.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use openmesh_blueprint::document::{Application, Health, Protocol};

/// Most that is read of an answer, bytes: its first line.
const ANSWER_BYTES_MAX: usize = 4 << 10;

/// One test. An application without one is healthy as long as it runs.
///
/// # Errors
/// The fault, for people.
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

/// Asks by HTTP; one deadline is for all of it, so that nobody is waited for longer because he answers byte by byte.
fn http(to: SocketAddr, path: &str, health: &Health) -> Result<(), String> {
    let deadline = Instant::now() + timeout(health);
    let mut stream = connect(to, health)?;
    let failed = |cause: std::io::Error| format!("http://{to}{path} does not answer: {cause}");
    stream.set_write_timeout(Some(left(deadline).map_err(failed)?)).map_err(failed)?;
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: {to}\r\nUser-Agent: openmesh-health\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(failed)?;
    let status = status(&mut stream, deadline).map_err(failed)?;
    match status {
        Some(200..=399) => Ok(()),
        Some(status) => Err(format!("http://{to}{path} answers {status}")),
        None => Err(format!("http://{to}{path} answers something that is not HTTP")),
    }
}

/// Time until a deadline; an error where it has passed.
fn left(deadline: Instant) -> std::io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(std::io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

/// Status of the first line of an answer.
fn status(stream: &mut TcpStream, deadline: Instant) -> std::io::Result<Option<u16>> {
    let (mut line, mut part) = (Vec::new(), [0; ANSWER_BYTES_MAX]);
    while line.len() < ANSWER_BYTES_MAX && !line.contains(&b'\n') {
        stream.set_read_timeout(Some(left(deadline)?))?;
        match stream.read(&mut part)? {
            0 => break,
            count => line.extend(part.iter().take(count)),
        }
    }
    let text = String::from_utf8_lossy(&line);
    let mut words = text.lines().next().unwrap_or_default().split_whitespace();
    let version = words.next().is_some_and(|word| word.starts_with("HTTP/"));
    Ok(words.next().and_then(|word| word.parse().ok()).filter(|_| version))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::sync::mpsc::channel;

    use super::*;

    /// Someone who sends a byte whenever it is asked for ends with the deadline, not with the last byte.
    #[test]
    fn an_answer_has_one_deadline() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (to, (stop, stopped)) = (listener.local_addr().unwrap(), channel::<()>());
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            while stopped.recv_timeout(Duration::from_millis(5)).is_err() && stream.write_all(b"x").is_ok() {}
        });
        let mut stream = TcpStream::connect(to).unwrap();
        let error = status(&mut stream, Instant::now() + Duration::from_millis(200)).unwrap_err();
        assert!(matches!(error.kind(), std::io::ErrorKind::TimedOut | std::io::ErrorKind::WouldBlock), "{error}");
        let _ = stop.send(());
        drop(stream);
        server.join().unwrap();
    }
}
