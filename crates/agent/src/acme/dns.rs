//! Proofs in the DNS (dns-01; RFC 8555, section 8.4): records that a hook of the machine's owner sets, and the look for them.
//!
//! The hook is asked by a signed message, as receivers of alerts are told: nothing of it runs on this machine, and whoever has no key of the zone here cannot
//! lose one. A message may come twice: setting what is there, and taking out what is not, succeed.

mod ask;
mod sight;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use openmesh_alerts::Receiver;
use openmesh_blueprint::document::DnsHook;
use openmesh_primitives::Timestamp;
use serde_json::json;

use self::sight::{PORT, Sight, resolvers};

/// Pauses between two looks: the first, and the longest.
const LOOK_AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(15));

/// The hook, and the DNS as it is looked at.
#[derive(Clone, Debug)]
pub struct Dns {
    receiver: Receiver,
    sight: Sight,
    /// Longest time until a record is seen.
    wait: Duration,
}

/// Name of the record that proves a host name or a pattern.
pub fn record_of(name: &str) -> String {
    format!("_acme-challenge.{}", name.strip_prefix("*.").unwrap_or(name))
}

/// A server of the DNS as a document names it: an address, with a port where it is another one than 53.
fn server(text: &str) -> Option<SocketAddr> {
    let plain = text.parse::<IpAddr>().ok().map(|address| SocketAddr::new(address, PORT));
    plain.or_else(|| text.parse().ok())
}

impl Dns {
    /// The hook of a document, with its receiver and the text of the machine's `resolv.conf`.
    pub fn new(hook: &DnsHook, receiver: Receiver, resolv_conf: &str) -> Dns {
        let chosen = hook.resolvers.iter().filter_map(|text| server(text)).collect();
        let sight = Sight { system: resolvers(resolv_conf), chosen, port: PORT };
        Dns { receiver, sight, wait: Duration::from_millis(hook.wait.0) }
    }

    /// Lets a value be set beside those that a name's record has. Words where the hook does not take it.
    pub async fn set(&self, name: &str, value: &str) -> Result<(), String> {
        self.post("present", name, value).await
    }

    /// Lets a value be taken out of a name's record. Words where the hook does not take it.
    pub async fn take_out(&self, name: &str, value: &str) -> Result<(), String> {
        self.post("cleanup", name, value).await
    }

    /// Waits until a value is seen. Words where it is not in time.
    pub async fn wait(&self, name: &str, value: &str) -> Result<(), String> {
        let record = record_of(name);
        let mut words = String::new();
        let looks = async {
            let (mut pause, longest) = LOOK_AGAIN;
            while let Err(cause) = self.sight.shows(&record, value).await {
                words = cause;
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(longest);
            }
        };
        let seen = tokio::time::timeout(self.wait, looks).await;
        seen.map_err(|_| format!("not seen within {} s: {words}", self.wait.as_secs()))
    }

    async fn post(&self, action: &str, name: &str, value: &str) -> Result<(), String> {
        let body = json!({ "action": action, "name": record_of(name), "type": "TXT", "value": value });
        // Each message is one of its own: a record may be set and taken out many times.
        let id = format!("{action}-{}", Timestamp::now().nanos());
        self.receiver.post(&id, body.to_string().into_bytes()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_named_with_or_without_a_port() {
        for (text, found) in [
            ("192.0.2.53", Some("192.0.2.53:53")),
            ("192.0.2.53:5353", Some("192.0.2.53:5353")),
            ("2001:db8::1", Some("[2001:db8::1]:53")),
            ("[2001:db8::1]:5353", Some("[2001:db8::1]:5353")),
            ("ns1.example.org", None),
        ] {
            assert_eq!(server(text).map(|address| address.to_string()).as_deref(), found, "{text}");
        }
    }

    #[test]
    fn a_pattern_is_proved_where_its_domain_is() {
        assert_eq!(record_of("*.example.org"), "_acme-challenge.example.org");
        assert_eq!(record_of("shop.example.org"), "_acme-challenge.shop.example.org");
    }
}
