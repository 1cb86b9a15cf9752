//! Questions to applications, each in the application's own protocol.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::templates::Running;

/// Longest wait for a part of an answer.
const WAIT: Duration = Duration::from_secs(30);
/// An account and a balance, as parameters of JSON-RPC.
pub const RICH: &str = r#"["0x00000000000000000000000000000000000000aa","0xdead"]"#;
/// A question for that balance.
pub const RICH_NOW: &str = r#"["0x00000000000000000000000000000000000000aa","latest"]"#;

fn words(error: std::io::Error) -> String {
    error.to_string()
}

fn connect(port: u16) -> Result<TcpStream, String> {
    let stream = TcpStream::connect(("127.0.0.1", port)).map_err(words)?;
    stream.set_read_timeout(Some(WAIT)).map_err(words)?;
    stream.set_write_timeout(Some(WAIT)).map_err(words)?;
    Ok(stream)
}

/// Sends bytes, and reads at least so many.
fn exchange(stream: &mut TcpStream, bytes: &[u8], least: usize) -> Result<Vec<u8>, String> {
    stream.write_all(bytes).map_err(words)?;
    let mut found = Vec::new();
    let mut part = [0_u8; 4_096];
    while found.len() < least {
        match stream.read(&mut part).map_err(words)? {
            0 => return Err(format!("the connection ended after {} bytes", found.len())),
            count => found.extend_from_slice(&part[..count]),
        }
    }
    Ok(found)
}

/// Head and body of an answer by HTTP with a status below 400.
pub fn http(port: u16, method: &str, path: &str, body: &str) -> Result<String, String> {
    http_as(port, method, path, "", body)
}

fn http_as(port: u16, method: &str, path: &str, headers: &str, body: &str) -> Result<String, String> {
    let mut stream = connect(port)?;
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n{headers}\r\n"
    );
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).map_err(words)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).map_err(words)?;
    let text = String::from_utf8_lossy(&answer).into_owned();
    let status: u16 = text.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or("no answer of HTTP")?;
    if status < 400 {
        Ok(text)
    } else {
        Err(format!("{method} {path}: {status}: {}", text.chars().take(300).collect::<String>()))
    }
}

/// Asks by HTTP for a page with a text.
pub fn http_with(port: u16, path: &str, wanted: &str) -> Result<(), String> {
    let text = http(port, "GET", path, "")?;
    if text.contains(wanted) {
        Ok(())
    } else {
        Err(format!("{path} has no `{wanted}`: {}", text.chars().take(500).collect::<String>()))
    }
}

/// Asks by JSON-RPC for a result.
pub fn rpc(port: u16, method: &str, parameters: &str, wanted: &str) -> Result<(), String> {
    let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{parameters}}}"#);
    let text = http(port, "POST", "/", &body)?;
    if text.replace(' ', "").contains(&format!("\"result\":{wanted}")) { Ok(()) } else { Err(text) }
}

/// Puts another page in the place of the welcome page, as a person does by the volume's files.
pub fn write_page(volumes: &Path) -> Result<(), String> {
    let found =
        Command::new("find").arg(volumes).args(["-name", "index.html", "-type", "f"]).output().map_err(words)?;
    let text = String::from_utf8_lossy(&found.stdout).into_owned();
    let page = text.lines().next().ok_or("no page is in the volume")?;
    std::fs::write(page, "<p>a changed page</p>").map_err(words)
}

fn redis(it: &Running, command: &str) -> Result<String, String> {
    let mut stream = connect(it.port)?;
    if let Some(password) = it.password {
        let found = exchange(&mut stream, format!("AUTH default {password}\r\n").as_bytes(), 5)?;
        if !found.starts_with(b"+OK") {
            return Err(String::from_utf8_lossy(&found).into_owned());
        }
    }
    let found = exchange(&mut stream, format!("{command}\r\n").as_bytes(), 5)?;
    Ok(String::from_utf8_lossy(&found).into_owned())
}

/// Pings Redis; without its password it says that one is needed.
pub fn redis_ping(it: &Running) -> Result<(), String> {
    let wanted = if it.password.is_some() { "+PONG" } else { "-NOAUTH" };
    let found = redis(it, "PING")?;
    if found.starts_with(wanted) { Ok(()) } else { Err(found) }
}

/// Sets a value in Redis.
pub fn redis_set(it: &Running) -> Result<(), String> {
    let found = redis(it, "SET word kept")?;
    if found.starts_with("+OK") { Ok(()) } else { Err(found) }
}

/// Gets that value.
pub fn redis_get(it: &Running) -> Result<(), String> {
    let found = redis(it, "GET word")?;
    if found.contains("kept") { Ok(()) } else { Err(found) }
}

/// A text with its length before it, as MQTT writes it.
fn mqtt_text(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes();
    [&length[..], text.as_bytes()].concat()
}

/// A packet of MQTT; all of ours are shorter than 128 bytes.
fn mqtt_packet(kind: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let length = u8::try_from(body.len()).unwrap_or(u8::MAX);
    assert!(length < 128, "a packet of {length} bytes");
    [&[kind, length][..], &body].concat()
}

/// A connection to a broker, and the code of its answer.
fn mqtt(it: &Running) -> Result<(TcpStream, u8), String> {
    let mut stream = connect(it.port)?;
    let (level, keep_alive) = ([4_u8], [0_u8, 60]);
    // A clean session with user and password.
    let flags = [0b1100_0010_u8];
    let password = it.password.unwrap_or("wrong");
    let parts = [
        mqtt_text("MQTT"),
        level.into(),
        flags.into(),
        keep_alive.into(),
        mqtt_text("test"),
        mqtt_text("device"),
        mqtt_text(password),
    ];
    let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    let found = exchange(&mut stream, &mqtt_packet(0x10, &parts), 4)?;
    match found.as_slice() {
        [0x20, 2, _, code, ..] => Ok((stream, *code)),
        other => Err(format!("{other:?} is no CONNACK")),
    }
}

/// Connects to a broker; without the right password it refuses.
pub fn mqtt_connect(it: &Running) -> Result<(), String> {
    let (_, code) = mqtt(it)?;
    let is_right = if it.password.is_some() { code == 0 } else { code == 4 || code == 5 };
    if is_right { Ok(()) } else { Err(format!("CONNACK {code}")) }
}

/// Publishes a message that is kept.
pub fn mqtt_publish(it: &Running) -> Result<(), String> {
    let (mut stream, _) = mqtt(it)?;
    // Of the second quality: it is acknowledged.
    let packet = mqtt_packet(0x33, &[&mqtt_text("words"), &[0, 1], b"kept"]);
    let found = exchange(&mut stream, &packet, 4)?;
    if found.starts_with(&[0x40, 2, 0, 1]) { Ok(()) } else { Err(format!("{found:?} is no PUBACK")) }
}

/// Subscribes, and gets the message that was kept.
pub fn mqtt_retained(it: &Running) -> Result<(), String> {
    let (mut stream, _) = mqtt(it)?;
    let packet = mqtt_packet(0x82, &[&[0, 2], &mqtt_text("words"), &[0]]);
    // Its acknowledgement has five bytes, the message thirteen.
    let found = exchange(&mut stream, &packet, 18)?;
    if found.ends_with(b"kept") { Ok(()) } else { Err(format!("{found:?} has no message")) }
}

/// Begins a session of PostgreSQL: it asks for a password by SCRAM and by nothing weaker.
pub fn postgresql_startup(it: &Running) -> Result<(), String> {
    let mut stream = connect(it.port)?;
    let body = [&196_608_u32.to_be_bytes()[..], b"user\0postgres\0database\0app\0\0"].concat();
    let length = u32::try_from(body.len() + 4).map_err(|error| error.to_string())?;
    let found = exchange(&mut stream, &[&length.to_be_bytes()[..], &body].concat(), 24)?;
    let text = String::from_utf8_lossy(&found).into_owned();
    if found[0] == b'R' && text.contains("SCRAM-SHA-256") { Ok(()) } else { Err(text) }
}

/// A statement by the client of PostgreSQL; nothing where it is not installed.
fn psql(it: &Running, statement: &str) -> Result<String, String> {
    let port = it.port.to_string();
    let arguments = ["-h", "127.0.0.1", "-p", &port, "-U", "postgres", "-d", "app", "-At", "-c", statement];
    let done = Command::new("psql").args(arguments).env("PGPASSWORD", it.password.unwrap_or_default()).output();
    let done = match done {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            println!("psql is not installed (apt-get install postgresql-client): its data are not looked at");
            return Ok("kept".into());
        }
        done => done.map_err(words)?,
    };
    if done.status.success() {
        return Ok(String::from_utf8_lossy(&done.stdout).into_owned());
    }
    Err(String::from_utf8_lossy(&done.stderr).into_owned())
}

/// Puts a row into PostgreSQL.
pub fn postgresql_insert(it: &Running) -> Result<(), String> {
    psql(it, "create table if not exists words (word text primary key); insert into words values ('kept') on conflict do nothing").map(drop)
}

/// Looks for that row.
pub fn postgresql_select(it: &Running) -> Result<(), String> {
    let found = psql(it, "select word from words")?;
    if found.contains("kept") { Ok(()) } else { Err(found) }
}

/// The greeting of MySQL's protocol: version 10, and the server's own version.
pub fn mysql_greeting(it: &Running) -> Result<(), String> {
    let mut stream = connect(it.port)?;
    let found = exchange(&mut stream, &[], 20)?;
    let text = String::from_utf8_lossy(&found).into_owned();
    if found[4] == 10 && text.contains("MariaDB") { Ok(()) } else { Err(text) }
}

/// Signs in to Node-RED, and is refused with another password.
pub fn node_red_sign_in(it: &Running) -> Result<(), String> {
    let sign_in = |password: &str| {
        let body = format!(
            r#"{{"client_id":"node-red-editor","grant_type":"password","scope":"*","username":"admin","password":"{password}"}}"#
        );
        http(it.port, "POST", "/auth/token", &body)
    };
    if sign_in("wrong").is_ok() {
        return Err("a wrong password is taken".into());
    }
    match it.password {
        Some(password) => sign_in(password).map(drop),
        None => Ok(()),
    }
}

fn jupyter(it: &Running, method: &str, body: &str) -> Result<String, String> {
    let token = format!("Authorization: token {}\r\n", it.password.unwrap_or_default());
    http_as(it.port, method, "/api/contents/kept.txt", &token, body)
}

/// Writes a file by JupyterLab.
pub fn jupyter_write(it: &Running) -> Result<(), String> {
    jupyter(it, "PUT", r#"{"type":"file","format":"text","content":"kept"}"#).map(drop)
}

/// Reads that file; without the token nobody does.
pub fn jupyter_read(it: &Running) -> Result<(), String> {
    if http(it.port, "GET", "/api/contents/kept.txt", "").is_ok() {
        return Err("the file is read without the token".into());
    }
    let text = jupyter(it, "GET", "")?;
    if text.contains("kept") { Ok(()) } else { Err(text) }
}
