//! A record as the DNS shows it: at every server of its zone, or at those that a person has named.
//!
//! No server that keeps answers is asked for the record itself: one that was asked before the record was there would say for minutes or hours that there is none.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use futures::future::join_all;
use hickory_proto::op::Message;
use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::ask::ask;

/// Port of a server of the DNS.
pub const PORT: u16 = 53;
/// Resolvers of a machine that are asked. Source: `MAXNS` of the C library.
const SYSTEM_MAX: usize = 3;
/// Names that lead to another one, one after another.
const HOPS_MAX: usize = 8;
/// Servers of a zone, and addresses of them, that are asked: the root itself has 13.
const SERVERS_MAX: usize = 13;
const ADDRESSES_MAX: usize = 16;

/// Servers that are asked whether a record is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sight {
    /// Resolvers of the machine, which find the servers of a zone.
    pub system: Vec<SocketAddr>,
    /// Servers that a person has named; those of the zone where there are none.
    pub chosen: Vec<SocketAddr>,
    /// Port of the servers of a zone.
    pub port: u16,
}

/// A server with its answer, or the words for one that has none.
type Answer = (SocketAddr, Result<Message, String>);

/// State of a record.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    /// Every server that answers shows it.
    Shown,
    /// One does not, in words.
    Hidden(String),
    /// Its name leads to another one.
    Elsewhere(Name),
}

/// Resolvers in the text of a `resolv.conf`. Without any it is the machine itself. Source: resolv.conf(5).
pub fn resolvers(text: &str) -> Vec<SocketAddr> {
    let address = |line: &str| {
        let rest = line.trim().strip_prefix("nameserver")?.strip_prefix([' ', '\t'])?;
        rest.trim().parse::<IpAddr>().ok()
    };
    let mut found: Vec<SocketAddr> =
        text.lines().filter_map(address).take(SYSTEM_MAX).map(|address| (address, PORT).into()).collect();
    if found.is_empty() {
        found.push((Ipv4Addr::LOCALHOST, PORT).into());
    }
    found
}

impl Sight {
    /// Looks once for a record of type TXT. Words as long as somebody who answers does not show it.
    pub async fn shows(&self, record: &str, value: &str) -> Result<(), String> {
        let mut name =
            Name::from_ascii(format!("{record}.")).map_err(|cause| format!("{record} is no name: {cause}"))?;
        for _ in 0..HOPS_MAX {
            let is_chosen = !self.chosen.is_empty();
            let servers = if is_chosen { self.chosen.clone() } else { self.servers(&name).await? };
            let asked = servers.iter().map(|server| ask(*server, &name, RecordType::TXT, is_chosen));
            let answers: Vec<Answer> = servers.iter().copied().zip(join_all(asked).await).collect();
            match judge(&name, value, &answers) {
                Found::Shown => return Ok(()),
                Found::Hidden(words) => return Err(words),
                Found::Elsewhere(target) => name = target,
            }
        }
        Err(format!("{record} leads from name to name without an end"))
    }

    /// Addresses of the servers of the zone of a name.
    async fn servers(&self, name: &Name) -> Result<Vec<SocketAddr>, String> {
        let (mut zone, mut words) = (name.clone(), "none is named".to_string());
        while !zone.is_root() {
            match self.resolve(&zone, RecordType::NS).await {
                Ok(answer) => {
                    let servers = servers_of(&answer, &zone);
                    if !servers.is_empty() {
                        return self.addresses(&zone, &servers).await;
                    }
                }
                // Some resolvers fail for a name that is no zone.
                Err(cause) => words = cause,
            }
            zone = zone.base_name();
        }
        Err(format!("the servers of the zone of {name} are not found: {words}"))
    }

    async fn addresses(&self, zone: &Name, servers: &[Name]) -> Result<Vec<SocketAddr>, String> {
        let kinds = [RecordType::A, RecordType::AAAA];
        let pairs = servers.iter().flat_map(|server| kinds.map(|kind| (server, kind)));
        let asked = pairs.map(|(server, kind)| self.resolve(server, kind));
        let mut found: BTreeSet<SocketAddr> = BTreeSet::new();
        for answer in join_all(asked).await.into_iter().flatten() {
            found.extend(answer.answers().iter().filter_map(|record| match record.data() {
                RData::A(address) => Some(SocketAddr::from((address.0, self.port))),
                RData::AAAA(address) => Some(SocketAddr::from((address.0, self.port))),
                _ => None,
            }));
        }
        match found.is_empty() {
            true => Err(format!("no server of {zone} has an address")),
            false => Ok(found.into_iter().take(ADDRESSES_MAX).collect()),
        }
    }

    /// The answer of the first resolver of the machine that has one.
    async fn resolve(&self, name: &Name, kind: RecordType) -> Result<Message, String> {
        let mut words = "this machine has no resolver".to_string();
        for server in &self.system {
            match ask(*server, name, kind, true).await {
                Ok(answer) => return Ok(answer),
                Err(cause) => words = cause,
            }
        }
        Err(words)
    }
}

/// Names of the servers of a zone in an answer.
fn servers_of(answer: &Message, zone: &Name) -> Vec<Name> {
    let server = |record: &Record| match record.data() {
        RData::NS(server) if record.name() == zone => Some(server.0.clone()),
        _ => None,
    };
    answer.answers().iter().filter_map(server).take(SERVERS_MAX).collect()
}

/// State of a record by the answers of its servers. One that is silent says nothing, as long as another one answers.
fn judge(name: &Name, value: &str, answers: &[Answer]) -> Found {
    let (mut shown, mut elsewhere, mut silent) = (false, None, None);
    for (server, answer) in answers {
        let answer = match answer {
            Ok(answer) => answer,
            Err(words) => {
                silent = Some(words);
                continue;
            }
        };
        match (has(answer, value), target(answer, name)) {
            (true, _) => shown = true,
            (false, Some(target)) => elsewhere = Some(target),
            (false, None) => return Found::Hidden(format!("{server} does not show it")),
        }
    }
    match (elsewhere, shown) {
        (Some(target), _) => Found::Elsewhere(target),
        (None, true) => Found::Shown,
        (None, false) => Found::Hidden(silent.map_or_else(|| "nobody can be asked".to_string(), String::clone)),
    }
}

/// Returns true where an answer has a record of type TXT with a value.
fn has(answer: &Message, value: &str) -> bool {
    let fits = |record: &Record| match record.data() {
        RData::TXT(text) => text.txt_data().concat() == value.as_bytes(),
        _ => false,
    };
    answer.answers().iter().any(fits)
}

/// Name to which another one leads by an answer, at the end of its chain.
fn target(answer: &Message, name: &Name) -> Option<Name> {
    let mut at = name.clone();
    for _ in 0..HOPS_MAX {
        let next = answer.answers().iter().find_map(|record| match record.data() {
            RData::CNAME(target) if *record.name() == at => Some(target.0.clone()),
            _ => None,
        });
        match next {
            Some(next) => at = next,
            None => break,
        }
    }
    (at != *name).then_some(at)
}

#[cfg(test)]
#[path = "sight_tests.rs"]
mod tests;
