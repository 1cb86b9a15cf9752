//! Tests of an instance's health: by HTTP and TCP from the host, which reaches every instance, and by a command within it.
//!
//! Each test has one deadline over all that it does, so that nobody is waited for longer because he answers byte by byte or does not end.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use openmesh_blueprint::document::{Application, Health, Protocol};
use openmesh_cage::exec;
use openmesh_shim::protocol::Status;

use crate::inside;
use crate::instance::Wanted;

/// Most that is read of an answer, bytes: its first line.
const ANSWER_BYTES_MAX: usize = 4 << 10;
/// Longest test, milliseconds, whatever the document says: other applications are looked at in between.
const TEST_MS_MAX: u64 = 60_000;
/// Pause before a connection or a request is tried again: a service that is ready waits for nobody.
const PAUSE: Duration = Duration::from_millis(100);
/// Pause before a command is tried again.
const COMMAND_PAUSE: Duration = Duration::from_millis(500);
/// Most that is told of what a command said, characters: its last line.
const SAID_MAX: usize = 200;

/// One test of an instance that runs, as its shim's status says. An application without one is healthy as long as it runs.
///
/// # Errors
/// The fault, for people.
pub(crate) fn test(wanted: &Wanted<'_>, status: &Status) -> Result<(), String> {
    let application = &wanted.resolved.application;
    let Some(health) = application.health.as_ref().filter(|health| !health.command.is_empty()) else {
        let address = wanted.address().map_err(|error| error.to_string())?;
        return from_outside(application, address);
    };
    let command = inside::command(wanted.machine, wanted.name, wanted.id, status).map_err(|error| error.to_string())?;
    let request = exec::Request { command: health.command.clone(), ..exec::Request::default() };
    let named = || health.command.join(" ");
    let finished = exec::run(&command, &request, timeout(health)).map_err(|error| format!("`{}`: {error}", named()))?;
    match finished.code {
        0 => Ok(()),
        code => Err(format!("`{}` ended with code {code}{}", named(), last_line(&finished.said))),
    }
}

/// Pause before a test that has failed is repeated in a gate: a command is a process each time.
pub(crate) fn pause(application: &Application) -> Duration {
    let by_command = application.health.as_ref().is_some_and(|health| !health.command.is_empty());
    if by_command { COMMAND_PAUSE } else { PAUSE }
}

/// The last line of what a command said, shortened, with what leads to it.
fn last_line(said: &str) -> String {
    let line = said.lines().rev().map(str::trim).find(|line| !line.is_empty());
    line.map(|line| format!(": {}", line.chars().take(SAID_MAX).collect::<String>())).unwrap_or_default()
}

/// A test from the host.
fn from_outside(application: &Application, address: Ipv4Addr) -> Result<(), String> {
    let Some(health) = &application.health else { return Ok(()) };
    let port = |name| {
        let port =
            application.ports.get(name).ok_or_else(|| format!("the test names the port {name}, which is not there"))?;
        match port.protocol {
            Protocol::Tcp | Protocol::Http => Ok(SocketAddr::from((address, port.port))),
            Protocol::Udp => Err(format!("the test names the port {name}, which is one of UDP")),
        }
    };
    if let Some(check) = &health.http {
        return http(port(&check.port)?, &check.path, health);
    }
    if let Some(check) = &health.tcp {
        return connect(port(&check.port)?, health).map(drop);
    }
    Ok(())
}

fn timeout(health: &Health) -> Duration {
    Duration::from_millis(health.timeout.0.clamp(1, TEST_MS_MAX))
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

    #[test]
    fn the_last_line_of_a_command_is_told() {
        assert_eq!(last_line("a\n b \n\n"), ": b");
        assert_eq!(last_line("\n"), "");
        assert_eq!(last_line(&"x".repeat(300)).len(), 2 + SAID_MAX);
    }

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
