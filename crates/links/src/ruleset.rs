//! The ruleset: one table of the family `inet`, as text for `nft -f`.
//!
//! Its rules never change with instances, links or ports; only elements of its sets and maps do. So a change is a transaction of elements, and what the
//! rules mean can be read once, in the golden file of the tests.
//!
//! Each rule has a comment: a reason for people, and the beginning of its own hash. So whoever observes the table knows each rule for the one that this
//! version of the agent writes, without understanding the text that a version of nft prints.

use std::fmt::Write;

use openmesh_primitives::sha256;

use crate::elements::{Elements, Set};
use crate::names::link_prefix;
use crate::network::Network;

/// Tracked connections that an instance may have begun at once: an eighth of the 65,536 that the kernel tracks on a machine of 4 GB. The rest of the machine,
/// other instances too, shares that table, and has no connection where it is full.
pub const CONNECTIONS_MAX: u32 = 8_192;
/// Name and type of the set in which the kernel counts them, by address; no element of it is ours.
pub(crate) const COUNTED: (&str, &str) = ("counted", "ipv4_addr");
/// Most addresses that are counted: as many as the instances of the widest subnet that a machine can run.
const COUNTED_MAX: u32 = 65_536;

/// Longest comment that nft takes, in bytes. Source: `NFTNL_UDATA_COMMENT_MAXLEN` of nftables.
pub const COMMENT_BYTES_MAX: usize = 128;

/// A chain of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Its name.
    pub name: &'static str,
    /// Its hook; `None` where only other chains lead to it.
    pub hook: Option<Hook>,
    /// Its rules.
    pub rules: Vec<Rule>,
}

/// Place of a base chain in the way of packets. Its policy is `accept`: packets that are not ours are none of our business.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hook {
    /// `filter` or `nat`.
    pub kind: &'static str,
    /// Name of the hook.
    pub name: &'static str,
    /// Priority as a number.
    pub priority: i32,
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Matches and verdict as nft reads them.
    pub text: String,
    /// Its reason.
    pub reason: &'static str,
}

impl Rule {
    /// Comment of the rule: the reason and the beginning of the hash of its text.
    pub fn comment(&self) -> String {
        let hash = sha256(&[b"openmesh rule 1", self.text.as_bytes()]).to_string();
        format!("{} #{}", self.reason, &hash[..8])
    }
}

/// Chains of a network's table.
pub fn chains(network: &Network) -> Vec<Chain> {
    let ours = format!("{}*", link_prefix(network.agent()));
    let mut chains = vec![source(&ours), bound(&ours)];
    chains.extend(publish());
    chains.push(hide(&ours));
    chains.push(forward(&ours));
    chains.push(enter(&ours));
    chains.push(leave());
    chains.extend(host(&ours));
    chains
}

fn rule(text: impl Into<String>, reason: &'static str) -> Rule {
    Rule { text: text.into(), reason }
}

/// Before connection tracking (priority of `raw`): whatever an instance must not even begin.
fn source(ours: &str) -> Chain {
    let from = format!("iifname \"{ours}\"");
    Chain {
        name: "source",
        hook: Some(Hook { kind: "filter", name: "prerouting", priority: -300 }),
        rules: vec![
            rule(format!("{from} meta nfproto != ipv4 drop"), "instances have no IPv6"),
            rule(format!("{from} iifname . ip saddr != @instances drop"), "each link has one address"),
            rule(format!("{from} ip daddr 127.0.0.0/8 drop"), "the loopback of the host is the host's"),
        ],
    }
}

/// After connection tracking (priority of `mangle`): the number of connections that an instance has begun. Those before the bound go on.
fn bound(ours: &str) -> Chain {
    let over = format!("add @{} {{ ip saddr ct count over {CONNECTIONS_MAX} }}", COUNTED.0);
    Chain {
        name: "bound",
        hook: Some(Hook { kind: "filter", name: "prerouting", priority: -150 }),
        rules: vec![rule(
            format!("iifname \"{ours}\" ct state new {over} drop"),
            "one instance does not use up the machine's connections",
        )],
    }
}

/// Published ports, for packets that come in and for those of the host itself (priority of `dstnat`).
fn publish() -> [Chain; 2] {
    let leads = "dnat ip to ip daddr . meta l4proto . th dport map @published";
    let leads_anywhere = "fib daddr type local dnat ip to meta l4proto . th dport map @published_anywhere";
    let rules = || {
        vec![
            rule(leads, "published at one address of the host"),
            rule(leads_anywhere, "published at every address of the host"),
        ]
    };
    let mut incoming = rules();
    incoming.insert(0, rule("ip daddr 127.0.0.0/8 return", "nobody outside reaches what is published on loopback"));
    [
        Chain {
            name: "publish",
            hook: Some(Hook { kind: "nat", name: "prerouting", priority: -100 }),
            rules: incoming,
        },
        Chain { name: "publish_own", hook: Some(Hook { kind: "nat", name: "output", priority: -100 }), rules: rules() },
    ]
}

/// Source addresses that must not be seen by the receiver (priority of `srcnat`).
fn hide(ours: &str) -> Chain {
    let to = format!("oifname \"{ours}\"");
    Chain {
        name: "hide",
        hook: Some(Hook { kind: "nat", name: "postrouting", priority: 100 }),
        rules: vec![
            rule(format!("{to} ip saddr 127.0.0.0/8 masquerade"), "from the loopback of the host"),
            rule(format!("{to} ip saddr . ip daddr @itself masquerade"), "to itself by a published port"),
            // By address, not by subnet: a machine beside it may use the same one.
            rule(format!("oifname != \"{ours}\" ip saddr . ip saddr @itself masquerade"), "to the outside"),
        ],
    }
}

fn forward(ours: &str) -> Chain {
    Chain {
        name: "forward",
        hook: Some(Hook { kind: "filter", name: "forward", priority: 0 }),
        rules: vec![
            rule(format!("oifname \"{ours}\" goto enter"), "to an instance"),
            rule(format!("iifname \"{ours}\" goto leave"), "from an instance to the outside"),
        ],
    }
}

/// To an instance. Between instances each packet needs its link, so that a link that is taken away ends its connections too.
fn enter(ours: &str) -> Chain {
    let direct = format!("iifname \"{ours}\" ct status & dnat == 0");
    Chain {
        name: "enter",
        hook: None,
        rules: vec![
            rule("meta nfproto != ipv4 drop", "instances have no IPv6"),
            rule(format!("{direct} ct direction original ip saddr . ip daddr @links accept"), "by a link"),
            rule(
                format!("{direct} ct direction reply ct state established,related ip daddr . ip saddr @links accept"),
                "back by a link",
            ),
            rule(format!("{direct} reject with icmpx admin-prohibited"), "no link"),
            rule("ct status dnat accept", "by a published port"),
            rule("ct state established accept", "answers"),
            rule("ct state related meta l4proto icmp accept", "errors about packets of the instance"),
            rule("drop", "nothing else comes in"),
        ],
    }
}

fn leave() -> Chain {
    Chain {
        name: "leave",
        hook: None,
        rules: vec![
            rule("tcp flags & (syn | rst) == syn tcp option maxseg size set rt mtu", "segments fit the way"),
            rule("ct state established accept", "answers"),
            rule("meta l4proto { tcp, udp } th dport 53 ip daddr @resolvers accept", "names"),
            rule(
                "ip daddr 169.254.0.0/16 reject with icmpx admin-prohibited",
                "the metadata of a cloud holds the machine's credentials",
            ),
        ],
    }
}

/// To the host itself.
fn host(ours: &str) -> [Chain; 2] {
    let hook = Hook { kind: "filter", name: "input", priority: 0 };
    let all = vec![rule(format!("iifname \"{ours}\" goto host"), "from an instance to the host")];
    let rules = vec![
        rule("ct state established accept", "answers"),
        rule("ct state related meta l4proto icmp accept", "errors about packets of the host"),
        rule("icmp type echo-request accept", "the gateway is there"),
        rule("meta l4proto . th dport @host_ports accept", "ports of the host for instances"),
        rule("meta l4proto { tcp, udp } th dport 53 ip daddr @resolvers accept", "names"),
        rule("reject with icmpx admin-prohibited", "services of the host are not for instances"),
    ];
    [Chain { name: "input", hook: Some(hook), rules: all }, Chain { name: "host", hook: None, rules }]
}

/// The whole table with its elements.
pub fn ruleset(network: &Network, elements: &Elements) -> String {
    let mut text = format!("table inet {} {{\n", network.table());
    for set in Set::ALL {
        let (key, value) = set.types();
        let value = value.map(|value| format!(" : {value}")).unwrap_or_default();
        let _ = writeln!(text, "\t{} {} {{\n\t\ttype {key}{value}", set.keyword(), set.name());
        if let Some(line) = elements.line(set) {
            let _ = writeln!(text, "\t\t{line}");
        }
        text += "\t}\n";
    }
    let (name, key) = COUNTED;
    let _ = writeln!(text, "\tset {name} {{\n\t\ttype {key}\n\t\tsize {COUNTED_MAX}\n\t\tflags dynamic\n\t}}");
    for chain in chains(network) {
        let _ = writeln!(text, "\tchain {} {{", chain.name);
        if let Some(Hook { kind, name, priority }) = chain.hook {
            let _ = writeln!(text, "\t\ttype {kind} hook {name} priority {priority}; policy accept;");
        }
        for rule in &chain.rules {
            let _ = writeln!(text, "\t\t{} comment \"{}\"", rule.text, rule.comment());
        }
        text += "\t}\n";
    }
    text + "}\n"
}

/// The transaction that makes the table anew whatever it is now, in one step: no packet sees it missing or half there.
pub fn replacement(network: &Network) -> String {
    let table = network.table();
    // `delete` fails where there is no table, `add` never does.
    let head = format!("add table inet {table}\ndelete table inet {table}\n");
    head + &ruleset(network, &Elements::of(network))
}
