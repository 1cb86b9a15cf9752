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

/// Most that is read of an answer, bytes: its head, and of one that refuses the begin of its body, which says why.
const ANSWER_BYTES_MAX: usize = 4 << 10;
/// Longest test, milliseconds, whatever the document says: other applications are looked at in between.
const TEST_MS_MAX: u64 = 60_000;
/// Pause before a connection or a request is tried again: a service that is ready waits for nobody.
const PAUSE: Duration = Duration::from_millis(100);
/// Pause before a command is tried again.
const COMMAND_PAUSE: Duration = Duration::from_millis(500);
/// Most that is told of what a command or an answer said, characters: a line.
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
    let mut read = Vec::new();
    let status = status(&mut stream, deadline, &mut read).map_err(failed)?;
    match status {
        Some(200..=399) => Ok(()),
        Some(status) => {
            // What does not come in time is not needed: the status is an answer.
            let _ = rest(&mut stream, deadline, &mut read);
            Err(format!("http://{to}{path} answers {status}{}", first_line(&read)))
        }
        None => Err(format!("http://{to}{path} answers something that is not HTTP{}", shown(&read))),
    }
}

/// The first line of an answer's body that says something, with what leads to it.
fn first_line(answer: &[u8]) -> String {
    let head = answer.windows(4).position(|four| four == b"\r\n\r\n");
    head.and_then(|head| answer.get(head + 4..)).map(shown).unwrap_or_default()
}

/// The first line of some bytes as a person reads it, shortened, with what leads to it.
fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let line = text.lines().map(str::trim).find(|line| !line.is_empty());
    let plain = |line: &str| line.chars().filter(|c| !c.is_control()).take(SAID_MAX).collect::<String>();
    line.map(|line| format!(": {}", plain(line))).unwrap_or_default()
}

/// Reads on to the end of an answer, or to as much of it as is read.
fn rest(stream: &mut TcpStream, deadline: Instant, read: &mut Vec<u8>) -> std::io::Result<()> {
    let mut part = [0; ANSWER_BYTES_MAX];
    while read.len() < ANSWER_BYTES_MAX && first_line(read).is_empty() {
        stream.set_read_timeout(Some(left(deadline)?))?;
        match stream.read(&mut part)? {
            0 => break,
            count => read.extend(part.iter().take(count)),
        }
    }
    Ok(())
}

/// Time until a deadline; an error where it has passed.
fn left(deadline: Instant) -> std::io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(std::io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

/// Status of the first line of an answer; what was read of it is added to `line`.
fn status(stream: &mut TcpStream, deadline: Instant, line: &mut Vec<u8>) -> std::io::Result<Option<u16>> {
    let mut part = [0; ANSWER_BYTES_MAX];
    while line.len() < ANSWER_BYTES_MAX && !line.contains(&b'\n') {
        stream.set_read_timeout(Some(left(deadline)?))?;
        match stream.read(&mut part)? {
            0 => break,
            count => line.extend(part.iter().take(count)),
        }
    }
    let text = String::from_utf8_lossy(line);
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

    #[test]
    fn the_first_line_of_an_answer_that_refuses_is_told() {
        let answer = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\n\r\n\n \x1b[31mthe database\x1b[0m starts\nmore";
        assert_eq!(first_line(answer), ": [31mthe database[0m starts");
        assert_eq!(first_line(b"HTTP/1.1 503\r\n\r\n"), "");
        assert_eq!(first_line(b"HTTP/1.1 503\r\n"), "", "its head is not whole");
        assert_eq!(shown(b"SSH-2.0-x\r\n"), ": SSH-2.0-x");
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
        let error = status(&mut stream, Instant::now() + Duration::from_millis(200), &mut Vec::new()).unwrap_err();
        assert!(matches!(error.kind(), std::io::ErrorKind::TimedOut | std::io::ErrorKind::WouldBlock), "{error}");
        let _ = stop.send(());
        drop(stream);
        server.join().unwrap();
    }
}
