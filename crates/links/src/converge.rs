//! Effects: from the network as it is found to the network as it is wanted, and its removal.
//!
//! There is one way to change anything: ask for another [`Network`] and converge. So publishing a port, repairing a deleted veth and going on after a death
//! are the same code, and each step of it may be the last one before a death.

use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage};
use openmesh_blueprint::document::Name;

use crate::elements::{Elements, transaction};
use crate::ends::{End, EndFault, EndSpec, Kind, read, repair, set, write};
use crate::error::{Effect, LinksError, kernel, through};
use crate::inventory::{FORWARDING, Fault, Namespaces, ends, is_ours, observe};
use crate::listings::Listings;
use crate::names::{INNER_LINK, gateway_mac, link_prefix, table};
use crate::namespace::Namespace;
use crate::netlink::Netlink;
use crate::network::{Endpoint, Network};
use crate::ruleset::replacement;
use crate::table::transact;

/// Most rounds of looking and repairing: one makes what is missing, one sets it up, one finds nothing; one more where somebody else changes things meanwhile.
const ROUNDS_MAX: u32 = 4;
/// File in the folder of marks that says that this agent has turned the host's forwarding on.
const FORWARDING_MARK: &str = "forwarding-was-off";
/// File in the folder of marks that says that published ports of UDP are about to change: flows have to be looked at afterwards, by whoever lives then.
const FLOWS_MARK: &str = "flows-may-be-stale";
/// Name of this run of the machine: what was set in an earlier one is not there any more.
const BOOT: &str = "/proc/sys/kernel/random/boot_id";

/// Surroundings of effects.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// Folder of the agent for marks; made where it is missing.
    pub marks: &'a Path,
    /// Lists of nft that are kept between two looks.
    pub listings: &'a Listings,
    /// Door of effects.
    pub effect: Effect<'a>,
}

/// Looks, repairs and looks again until nothing is left to do. Works in the network namespace of the calling thread. Instances whose namespaces are not
/// given get their rules and keep the links that they have.
///
/// Returns the faults that were found and repaired, in order; none where everything was as it should be.
///
/// # Errors
/// An effect on what all instances share, at once. The first effect on one instance that fails, after all others were tried, since its trouble is not that of its
/// neighbours; else a link or an address that is somebody else's, or a namespace that cannot be entered. A door that does not let an effect through ends it at once.
pub fn converge(network: &Network, namespaces: &Namespaces, context: Context<'_>) -> Result<Vec<Fault>, LinksError> {
    let mut repaired: Vec<Fault> = Vec::new();
    let mut failed = None;
    for _ in 0..ROUNDS_MAX {
        let inventory = observe(network, namespaces, context.listings)?;
        let faults = network.faults(&inventory);
        let mut conflict = None;
        let mut done = 0;
        failed = None;
        for fault in faults {
            if let Some(theirs) = conflicting(&fault) {
                conflict = Some(theirs);
                continue;
            }
            match mend(network, namespaces, &fault, context) {
                Ok(()) => {
                    repaired.push(fault);
                    done += 1;
                }
                // Without its rules no link is made.
                Err(error) if !is_of_one(&fault) || matches!(error, LinksError::Effect { .. }) => return Err(error),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        if done == 0 {
            forget_flows(network, context)?;
            return failed.or(conflict).map_or(Ok(repaired), Err);
        }
    }
    if let Some(error) = failed {
        return Err(error);
    }
    let last = repaired.pop().map(|fault| fault.to_string()).unwrap_or_default();
    let source = std::io::Error::other("it came back each time it was repaired");
    Err(LinksError::Kernel { task: format!("settle: {last}"), source })
}

/// Returns true for a fault of one instance alone.
fn is_of_one(fault: &Fault) -> bool {
    let links = matches!(fault, Fault::Stray(_) | Fault::NoLink(_) | Fault::Elsewhere(_) | Fault::NoLoopback(_));
    links || matches!(fault, Fault::Outer(..) | Fault::Inner(..))
}

/// The error of a fault that only a person can mend.
fn conflicting(fault: &Fault) -> Option<LinksError> {
    match fault.clone() {
        Fault::Foreign { link, alias } => Some(LinksError::Foreign { link, alias }),
        Fault::AddressTaken { address, link } => Some(LinksError::AddressTaken { address, link }),
        Fault::Closed { address, reason } => Some(LinksError::Closed { address, reason }),
        _ => None,
    }
}

/// Forgets the flows that a change of ports has made stale, where a mark says that there may be some.
fn forget_flows(network: &Network, context: Context<'_>) -> Result<(), LinksError> {
    let mark = context.marks.join(FLOWS_MARK);
    if !mark.exists() {
        return Ok(());
    }
    through(context.effect, "flows.forget", || {
        let forgotten = crate::flows::forget(&Elements::of(network), network.allocations().subnet, &ends()?);
        forgotten.map_err(kernel("forget flows of ports that have moved"))
    })?;
    through(context.effect, "flows.unmark", || remove_file(&mark))
}

/// Writes a mark. It is not synced: after a power cut neither the mark nor what it is about is there.
fn write_mark(context: Context<'_>, name: &str, text: &str) -> Result<(), LinksError> {
    let mark = context.marks.join(name);
    let error = |source| LinksError::File { path: mark.clone(), task: "written", source };
    std::fs::create_dir_all(context.marks).map_err(error)?;
    std::fs::write(&mark, text).map_err(error)
}

/// Marks that flows may be stale after what comes next.
fn mark_flows(context: Context<'_>) -> Result<(), LinksError> {
    through(context.effect, "flows.mark", || {
        write_mark(context, FLOWS_MARK, "published ports of UDP were about to change\n")
    })
}

/// Repairs one fault.
fn mend(network: &Network, namespaces: &Namespaces, fault: &Fault, context: Context<'_>) -> Result<(), LinksError> {
    let effect = context.effect;
    match fault {
        Fault::Foreign { .. } | Fault::AddressTaken { .. } | Fault::Closed { .. } => Ok(()),
        Fault::NoForwarding => forward(context),
        Fault::NoTable | Fault::Altered(_) => {
            // Its ports may have been others, or none.
            mark_flows(context)?;
            through(effect, "rules.replace", || {
                transact(&format!("replace the table {}", network.table()), &replacement(network))
            })?;
            forget_flows(network, context)
        }
        Fault::Elements(changes) => {
            if crate::flows::concern(changes) {
                mark_flows(context)?;
            }
            through(effect, "rules.change", || {
                let text = transaction(&network.table(), changes);
                transact(&format!("change elements of the table {}", network.table()), &text)
            })?;
            forget_flows(network, context)
        }
        Fault::Stray(link) => through(effect, "link.remove", || remove_link(network.agent(), link)),
        Fault::Elsewhere(address) => {
            through(effect, "link.remove", || remove_link(network.agent(), &network.link_name(*address)))
        }
        Fault::NoLink(address) => match (network.instances().get(address), namespaces.get(address)) {
            (Some(endpoint), Some(namespace)) => attach(network, *address, endpoint, namespace, effect),
            _ => Ok(()),
        },
        Fault::Outer(address, fault) => match network.instances().get(address) {
            Some(endpoint) => mend_end(&EndSpec::host(network, *address, endpoint), fault, effect),
            None => Ok(()),
        },
        Fault::Inner(address, fault) => match (network.instances().get(address), namespaces.get(address)) {
            (Some(endpoint), Some(namespace)) => {
                let spec = EndSpec::inner(network, *address, endpoint);
                namespace.enter(|| mend_end(&spec, fault, effect))
            }
            _ => Ok(()),
        },
        Fault::NoLoopback(address) => namespaces
            .get(address)
            .map_or(Ok(()), |namespace| namespace.enter(|| through(effect, "loopback.up", || up("lo")))),
    }
}

/// Repairs one fault of an end in the calling thread's namespace. One that has gone meanwhile is left to the next round.
fn mend_end(spec: &EndSpec, fault: &EndFault, effect: Effect<'_>) -> Result<(), LinksError> {
    let Some(end) = ends()?.end(spec)? else { return Ok(()) };
    let mut netlink = open()?;
    repair(&mut netlink, spec, &end, fault, effect)
}

fn open() -> Result<Netlink, LinksError> {
    Netlink::open().map_err(kernel("open a netlink socket"))
}

/// Turns forwarding of the host on, after a mark that it was off.
fn forward(context: Context<'_>) -> Result<(), LinksError> {
    through(context.effect, "forwarding.mark", || {
        let text = format!(
            "the forwarding of IPv4 was off before this agent turned it on, in the run {} of the machine\n",
            boot()
        );
        write_mark(context, FORWARDING_MARK, &text)
    })?;
    through(context.effect, "forwarding.on", || write(Path::new(FORWARDING), "1"))
}

/// Name of this run of the machine; empty where the kernel does not say it.
fn boot() -> String {
    read(Path::new(BOOT)).ok().flatten().unwrap_or_default()
}

/// Makes the veth pair of an instance and sets both ends up. An end inside whose other end has no name of ours any more goes first: the kernel would not let
/// another one have its name.
fn attach(
    network: &Network,
    address: Ipv4Addr,
    endpoint: &Endpoint,
    namespace: &Namespace,
    effect: Effect<'_>,
) -> Result<(), LinksError> {
    let outer = EndSpec::host(network, address, endpoint);
    let inner = EndSpec::inner(network, address, endpoint);
    let left = namespace.enter(|| Ok(ends()?.links.remove(INNER_LINK)))?;
    if let Some(end) = left.filter(|end| end.kind == Kind::Veth) {
        namespace.enter(|| through(effect, "link.remove", || delete(end.index, INNER_LINK)))?;
    }
    through(effect, "link.make", || make(network, &outer, &inner, namespace))?;
    settle(&outer, effect)?;
    namespace.enter(|| {
        settle(&inner, effect)?;
        through(effect, "loopback.up", || up("lo"))
    })
}

/// Repairs all faults of one end in the calling thread's namespace.
fn settle(spec: &EndSpec, effect: Effect<'_>) -> Result<(), LinksError> {
    let Some(end) = ends()?.end(spec)? else { return Ok(()) };
    let mut netlink = open()?;
    for fault in spec.faults(&end) {
        repair(&mut netlink, spec, &end, &fault, effect)?;
    }
    Ok(())
}

/// Makes a veth pair, the one end here and the other one in a namespace.
fn make(network: &Network, outer: &EndSpec, inner: &EndSpec, namespace: &Namespace) -> Result<(), LinksError> {
    let mut peer = LinkMessage::default();
    peer.attributes = vec![
        LinkAttribute::IfName(INNER_LINK.to_string()),
        LinkAttribute::Address(inner.mac.to_vec()),
        LinkAttribute::NetNsFd(namespace.file().as_raw_fd()),
    ];
    let mut message = LinkMessage::default();
    message.attributes = vec![
        LinkAttribute::IfName(outer.link.clone()),
        LinkAttribute::Address(gateway_mac(network.allocations().subnet).to_vec()),
        LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
        ]),
    ];
    let task = format!("make the link {} of {}", outer.link, inner.address);
    open()?.change(RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL).map_err(kernel(task))
}

/// Index of a link in the calling thread's namespace; `None` where it is not there.
fn index(link: &str) -> Result<Option<u32>, LinksError> {
    Ok(ends()?.links.get(link).map(|end| end.index))
}

fn up(link: &str) -> Result<(), LinksError> {
    let Some(index) = index(link)? else { return Ok(()) };
    let fill = |message: &mut LinkMessage| {
        (message.header.flags, message.header.change_mask) = (LinkFlags::Up, LinkFlags::Up);
    };
    set(&mut open()?, index, fill).map_err(kernel(format!("bring the link {link} up")))
}

/// Removes a link of an agent, if it is one still: a name can be somebody else's by now.
fn remove_link(agent: &Name, link: &str) -> Result<(), LinksError> {
    match ends()?.links.get(link) {
        Some(end) if is_ours(agent, end) => delete(end.index, link),
        _ => Ok(()),
    }
}

fn delete(index: u32, link: &str) -> Result<(), LinksError> {
    let mut message = LinkMessage::default();
    message.header.index = index;
    let removed = open()?.change(RouteNetlinkMessage::DelLink(message), 0);
    match removed {
        // Its instance has ended meanwhile, and took it along.
        Err(error) if error.raw_os_error() == Some(nix::errno::Errno::ENODEV as i32) => Ok(()),
        other => other.map_err(kernel(format!("remove the link {link}"))),
    }
}

/// Removes everything of an agent from the namespace of the calling thread, links before the rules that they are under, and nothing else. Forwarding is
/// turned off where this agent turned it on in this run of the machine, and nothing of somebody else is there that could need it by now.
///
/// Returns the names of all that was removed.
///
/// # Errors
/// The first effect that fails; asking again goes on.
pub fn remove(agent: &Name, context: Context<'_>) -> Result<Vec<String>, LinksError> {
    let mut removed = Vec::new();
    let prefix = link_prefix(agent);
    let found = ends()?.links;
    let (ours, others): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|(link, end)| link.starts_with(&prefix) && is_ours(agent, end));
    for (link, _) in ours {
        through(context.effect, "link.remove", || remove_link(agent, &link))?;
        removed.push(link);
    }
    let table = table(agent);
    if crate::table::exists(&table)? {
        through(context.effect, "rules.remove", || {
            transact(&format!("remove the table {table}"), &format!("delete table inet {table}\n"))
        })?;
        removed.push(table);
    }
    let mark = context.marks.join(FLOWS_MARK);
    if mark.exists() {
        through(context.effect, "flows.unmark", || remove_file(&mark))?;
    }
    let mark = context.marks.join(FORWARDING_MARK);
    if mark.exists() {
        let text = std::fs::read_to_string(&mark).unwrap_or_default();
        let ours = text.contains(&boot());
        if ours && !forwards(&others) {
            through(context.effect, "forwarding.off", || write(Path::new(FORWARDING), "0"))?;
            removed.push("forwarding".to_string());
        }
        through(context.effect, "forwarding.unmark", || remove_file(&mark))?;
    }
    Ok(removed)
}

/// Returns true where links of somebody else could need the host's forwarding: a bridge, a tunnel or the like, or two cards.
fn forwards(others: &[(String, End)]) -> bool {
    let up = others.iter().filter(|(link, end)| end.up && link != "lo");
    let kinds: Vec<Kind> = up.map(|(_, end)| end.kind).collect();
    let cards = kinds.iter().filter(|kind| **kind == Kind::Card).count();
    cards > 1 || kinds.iter().any(|kind| matches!(kind, Kind::Veth | Kind::Forwarded))
}

fn remove_file(path: &PathBuf) -> Result<(), LinksError> {
    match std::fs::remove_file(path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(LinksError::File { path: path.clone(), task: "removed", source })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forwarding_is_left_to_whatever_may_need_it() {
        let links = |kinds: &[(Kind, bool)]| -> Vec<(String, End)> {
            let end = |(kind, up): &(Kind, bool)| End { kind: *kind, up: *up, ..End::default() };
            let names = (0..).map(|number| format!("link{number}"));
            let loopback = ("lo".to_string(), end(&(Kind::Card, true)));
            std::iter::once(loopback).chain(names.zip(kinds.iter().map(end))).collect()
        };
        assert!(!forwards(&links(&[(Kind::Card, true), (Kind::Dummy, true)])));
        assert!(!forwards(&links(&[(Kind::Card, true), (Kind::Card, false), (Kind::Forwarded, false)])), "none is up");
        assert!(forwards(&links(&[(Kind::Card, true), (Kind::Card, true)])), "a router");
        assert!(forwards(&links(&[(Kind::Card, true), (Kind::Forwarded, true)])));
        assert!(forwards(&links(&[(Kind::Veth, true)])));
    }
}
