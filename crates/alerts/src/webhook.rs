//! Messages to webhooks: their form, their signature, and the way to the receiver. Source: Standard Webhooks 1.0 (standardwebhooks.com).
//!
//! The address is looked up once, checked, and used as it was found, so that a name cannot lead to another host behind the check. No redirect is followed and no
//! proxy of the environment is used.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use data_encoding::BASE64;
use hmac::{Hmac, Mac as _};
use openmesh_primitives::Timestamp;
use reqwest::Url;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::unanswered::words;
use crate::words::AlertEvent;

/// Time for an answer: a receiver takes a message and works on it later. Source: Standard Webhooks names 15 to 30 s.
const ANSWER: Duration = Duration::from_secs(15);
/// Beginning of a secret that is written in Base64. Source: Standard Webhooks, signatures.
const SECRET_PREFIX: &str = "whsec_";
/// Networks that are not of the Internet. Source: IANA IPv4 Special-Purpose Address Registry, entries that are not globally reachable.
const SPECIAL_V4: [(Ipv4Addr, u32); 13] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    // Multicast, and what is reserved.
    (Ipv4Addr::new(224, 0, 0, 0), 3),
];

/// A receiver.
#[derive(Clone, Debug)]
pub struct Receiver {
    /// Address.
    pub url: Url,
    /// Key of signatures.
    pub secret: Vec<u8>,
    /// Addresses of this machine and of private networks are allowed.
    pub private: bool,
}

impl Receiver {
    /// A receiver of an address and a secret; words where they cannot be used.
    pub fn new(url: &str, secret: &[u8], private: bool) -> Result<Receiver, String> {
        let wrong = |_| "its address is none, such as https://hooks.example.org/path".to_string();
        let url = Url::parse(url.trim()).map_err(wrong)?;
        match url.scheme() {
            "https" => {}
            "http" if private => {}
            "http" => return Err("its address is not encrypted; write https, or set `private` of it to true".into()),
            other => return Err(format!("`{other}` is no scheme of a webhook; https is")),
        }
        if url.host_str().is_none() || !url.username().is_empty() || url.password().is_some() {
            return Err("its address has no host, or a user before it".into());
        }
        Ok(Receiver { url, secret: key(secret)?, private })
    }

    /// Scheme and host: the rest of an address may be a key.
    pub fn host(&self) -> String {
        let port = self.url.port().map(|port| format!(":{port}")).unwrap_or_default();
        format!("{}://{}{port}", self.url.scheme(), self.url.host_str().unwrap_or_default())
    }

    /// Addresses of its host, all of which are allowed. It asks the machine's resolver.
    fn addresses(&self) -> Result<Vec<SocketAddr>, String> {
        let host = self.url.host_str().unwrap_or_default();
        let all = self.url.socket_addrs(|| None).map_err(|cause| format!("{host} is not found: {cause}"))?;
        if all.is_empty() {
            return Err(format!("{host} has no address"));
        }
        let refused = all.iter().find(|address| !is_allowed(address.ip(), self.private));
        match refused {
            Some(address) if self.private => Err(format!("{host} is {}, which is no host of a network", address.ip())),
            Some(address) => Err(format!(
                "{host} is {}, on this machine or in a private network; `private` of the webhook, set to true, allows that",
                address.ip()
            )),
            None => Ok(all),
        }
    }

    /// Sends a message, once. Words where it was not taken.
    pub async fn post(&self, id: &str, body: Vec<u8>) -> Result<(), String> {
        let own = self.clone();
        let addresses = tokio::task::spawn_blocking(move || own.addresses());
        let addresses = addresses.await.map_err(|_| "its address cannot be looked up".to_string())??;
        // A client has a provider of TLS even where nothing of it is encrypted. The first one counts.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .timeout(ANSWER)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .resolve_to_addrs(self.url.host_str().unwrap_or_default(), &addresses)
            .build()
            .map_err(|cause| words(&cause, ANSWER))?;
        let at = Timestamp::now().nanos().div_euclid(1_000_000_000).to_string();
        let signature = sign(&self.secret, id, &at, &body);
        let request = client
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", at)
            .header("webhook-signature", signature)
            .body(body);
        let answer = request.send().await.map_err(|cause| words(&cause, ANSWER))?;
        let status = answer.status();
        match status.is_success() {
            true => Ok(()),
            false if status.is_redirection() => {
                Err(format!("it answered with status {}, and redirects are not followed", status.as_u16()))
            }
            false => Err(format!("it answered with status {}", status.as_u16())),
        }
    }
}

/// The bytes of a secret.
fn key(secret: &[u8]) -> Result<Vec<u8>, String> {
    let text = secret.trim_ascii();
    let bytes = match text.strip_prefix(SECRET_PREFIX.as_bytes()) {
        Some(coded) => BASE64.decode(coded).map_err(|_| format!("its secret has no Base64 behind {SECRET_PREFIX}"))?,
        None => text.to_vec(),
    };
    if bytes.is_empty() { Err("its secret is empty".into()) } else { Ok(bytes) }
}

/// The signature of a message.
fn sign(secret: &[u8], id: &str, at: &str, body: &[u8]) -> String {
    // HMAC takes keys of any length.
    let Ok(mut mac) = <Hmac<Sha256> as hmac::Mac>::new_from_slice(secret) else { return String::new() };
    for part in [id.as_bytes(), &b"."[..], at.as_bytes(), &b"."[..], body] {
        mac.update(part);
    }
    format!("v1,{}", BASE64.encode(&mac.finalize().into_bytes()))
}

/// The content of a message: its event, its moment, and what the caller has to say, such as who sends it and the alert.
pub fn body(event: AlertEvent, at: Timestamp, data: &Value) -> Vec<u8> {
    let word = match event {
        AlertEvent::Opened => "alert.opened",
        AlertEvent::Raised => "alert.raised",
        AlertEvent::Closed => "alert.closed",
        AlertEvent::Test => "alert.test",
    };
    json!({ "type": word, "timestamp": at.to_rfc3339(), "data": data }).to_string().into_bytes()
}

/// Returns true where a webhook may be at an address.
fn is_allowed(address: IpAddr, private: bool) -> bool {
    let address = address.to_canonical();
    if !private {
        return is_public(address);
    }
    // A link's own addresses have services for machines (such as keys of a cloud), and no receivers.
    let is_link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    !is_link_local && !address.is_multicast() && !address.is_unspecified()
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !SPECIAL_V4.iter().any(|(network, bits)| {
            let shift = 32 - bits;
            u32::from(v4) >> shift == u32::from(*network) >> shift
        }),
        // Global unicast is 2000::/3. Not of the Internet in it: documentation, benchmarks, and tunnels that hold an IPv4 address.
        IpAddr::V6(v6) => {
            let [first, second, ..] = v6.segments();
            let tunnels = first == 0x2002 || (first == 0x2001 && second < 0x0200);
            let documents = (first == 0x2001 && second == 0x0db8) || first == 0x3fff;
            first >> 13 == 1 && !tunnels && !documents && v6 != Ipv6Addr::UNSPECIFIED
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_that_of_the_standard() {
        // Vector of the reference implementations of Standard Webhooks.
        let secret = key(b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").unwrap();
        let signature = sign(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", br#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert_eq!(key(b"plain text ").unwrap(), b"plain text");
        assert!(key(b"whsec_!").is_err() && key(b"").is_err() && key(b"whsec_").is_err());
    }

    #[test]
    fn addresses_within_are_allowed_by_a_word_alone() {
        for (address, public, private) in [
            ("1.1.1.1", true, true),
            ("8.8.8.8", true, true),
            ("127.0.0.1", false, true),
            ("10.89.0.1", false, true),
            ("172.31.255.255", false, true),
            ("172.32.0.1", true, true),
            ("192.168.1.1", false, true),
            ("100.64.0.1", false, true),
            ("169.254.169.254", false, false),
            ("0.0.0.0", false, false),
            ("224.0.0.1", false, false),
            ("255.255.255.255", false, false),
            ("::1", false, true),
            ("::", false, false),
            ("fd00::1", false, true),
            ("fe80::1", false, false),
            ("ff02::1", false, false),
            ("::ffff:127.0.0.1", false, true),
            ("::ffff:169.254.169.254", false, false),
            ("64:ff9b::7f00:1", false, true),
            ("2002:7f00:1::", false, true),
            ("2001:db8::1", false, true),
            ("2606:4700:4700::1111", true, true),
        ] {
            let parsed: IpAddr = address.parse().unwrap();
            assert_eq!((is_allowed(parsed, false), is_allowed(parsed, true)), (public, private), "{address}");
        }
    }

    #[test]
    fn receivers_are_checked_and_shown_without_their_path() {
        let new = |url: &str, private| Receiver::new(url, b"key", private);
        let receiver = new("https://hooks.example.org:8443/services/T0/secret?key=1", false).unwrap();
        assert_eq!(receiver.host(), "https://hooks.example.org:8443");
        for (url, private) in [
            ("http://hooks.example.org/", false),
            ("ftp://a/", true),
            ("not an address", true),
            ("https://user:word@a/", false),
            ("file:///etc/passwd", true),
        ] {
            assert!(new(url, private).is_err(), "{url}");
        }
        assert!(new("http://127.0.0.1:1/", true).is_ok());
        let local = new("https://127.0.0.1:1/", false).unwrap();
        assert!(local.addresses().unwrap_err().contains("`private` of the webhook"));
        assert!(new("https://[::1]:1/", true).unwrap().addresses().is_ok());
    }

    #[test]
    fn a_body_tells_the_event_with_its_alert() {
        let data = json!({ "node": "box", "alert": null });
        let text = String::from_utf8(body(AlertEvent::Test, Timestamp(0), &data)).unwrap();
        assert!(text.contains("\"type\":\"alert.test\"") && text.contains("\"node\":\"box\""), "{text}");
        assert!(text.contains("\"alert\":null"), "{text}");
    }
}
