//! Ends of veth pairs: as they are found, as they are wanted, the difference, and its repair. The same four for both ends.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{AfSpecUnspec, InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::tc::TcMessage;
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::error::{Effect, LinksError, kernel, through};
use crate::names::{self, INNER_LINK};
use crate::netlink::Netlink;
use crate::network::{Endpoint, Network};
use crate::rate;
use crate::settings::{IPV4, IPV6, said};

/// A route over one link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Way {
    /// First address.
    pub to: Ipv4Addr,
    /// Length of the prefix.
    pub prefix: u8,
    /// Address of the gateway; `None` where the receiver is on the link.
    pub via: Option<Ipv4Addr>,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.to, self.prefix)?;
        self.via.map_or(Ok(()), |via| write!(f, " via {via}"))
    }
}

/// Kinds of links that are told apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// One end of a veth pair.
    Veth,
    /// A bridge, a tunnel, a virtual network: something that a host may forward for.
    Forwarded,
    /// A dummy: nothing ever comes in by it.
    Dummy,
    /// A card of the machine, or its loopback.
    #[default]
    Card,
}

/// An end as it was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct End {
    /// Index in its namespace.
    pub index: u32,
    /// Index of the other end in its namespace.
    pub peer: Option<u32>,
    /// Kind.
    pub kind: Kind,
    /// Alias.
    pub alias: String,
    /// MAC address.
    pub mac: Vec<u8>,
    /// It is up.
    pub up: bool,
    /// Both ends are up.
    pub carrier: bool,
    /// Addresses of IPv4 with their prefixes.
    pub addresses: BTreeSet<(Ipv4Addr, u8)>,
    /// Routes of the main table over it.
    pub ways: BTreeSet<Way>,
    /// Rate of its token bucket, in bytes a second.
    pub rate_bytes: Option<u64>,
    /// Settings of the kernel by path; `None` where the kernel does not have the setting.
    pub settings: BTreeMap<PathBuf, Option<String>>,
}

/// An end as it is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndSpec {
    /// Name of the link.
    pub link: String,
    /// Alias; `None` where it does not matter.
    pub alias: Option<String>,
    /// MAC address.
    pub mac: [u8; 6],
    /// Its one address, with a prefix of 32: every other address is reached through the other end.
    pub address: Ipv4Addr,
    /// Its routes.
    pub ways: Vec<Way>,
    /// Limit of what it sends, in bits a second.
    pub rate_bits: Option<u64>,
    /// Settings of the kernel by path.
    pub settings: Vec<(PathBuf, &'static str)>,
}

impl EndSpec {
    /// The end on the host.
    pub fn host(network: &Network, address: Ipv4Addr, endpoint: &Endpoint) -> EndSpec {
        let link = network.link_name(address);
        let v4 = |key: &str| Path::new(IPV4).join(&link).join(key);
        let settings = vec![
            // Nothing of IPv6 is heard or said on it, not even a link-local address.
            (Path::new(IPV6).join(&link).join("disable_ipv6"), "1"),
            // Answers to connections from the host's loopback come back on it.
            (v4("route_localnet"), "1"),
            (v4("forwarding"), "1"),
            // An instance cannot change the host's routes.
            (v4("accept_redirects"), "0"),
            (v4("accept_source_route"), "0"),
            // Packets between instances go in and out by different links, and none has a shorter way.
            (v4("send_redirects"), "0"),
        ];
        EndSpec {
            alias: Some(names::link_alias(network.agent(), &endpoint.application, address)),
            mac: names::gateway_mac(network.allocations().subnet),
            address: network.gateway(),
            ways: vec![Way { to: address, prefix: 32, via: None }],
            rate_bits: endpoint.rate_bits,
            settings,
            link,
        }
    }

    /// The end in the instance.
    pub fn inner(network: &Network, address: Ipv4Addr, endpoint: &Endpoint) -> EndSpec {
        let gateway = network.gateway();
        let settings = vec![
            (Path::new(IPV6).join("default/disable_ipv6"), "1"),
            (Path::new(IPV6).join(INNER_LINK).join("disable_ipv6"), "1"),
            // Low ports are nobody's in a namespace of one application.
            (PathBuf::from("/proc/sys/net/ipv4/ip_unprivileged_port_start"), "0"),
        ];
        EndSpec {
            link: INNER_LINK.to_string(),
            alias: None,
            mac: openmesh_blueprint::generation::mac(address),
            address,
            ways: vec![
                Way { to: gateway, prefix: 32, via: None },
                Way { to: Ipv4Addr::UNSPECIFIED, prefix: 0, via: Some(gateway) },
            ],
            rate_bits: endpoint.rate_bits,
            settings,
        }
    }

    /// Faults of an end, in the order in which they are repaired.
    pub fn faults(&self, end: &End) -> Vec<EndFault> {
        let mut faults = Vec::new();
        for (path, wanted) in &self.settings {
            if let Some(Some(found)) = end.settings.get(path).filter(|found| found.as_deref() != Some(*wanted)) {
                faults.push(EndFault::Setting { path: path.clone(), found: found.clone(), wanted });
            }
        }
        if self.alias.as_ref().is_some_and(|alias| *alias != end.alias) {
            faults.push(EndFault::Alias);
        }
        if self.mac[..] != end.mac[..] {
            faults.push(EndFault::Mac);
        }
        let stray = end.addresses.iter().filter(|found| **found != (self.address, 32));
        faults.extend(stray.map(|(address, prefix)| EndFault::StrayAddress(*address, *prefix)));
        if !end.addresses.contains(&(self.address, 32)) {
            faults.push(EndFault::NoAddress(self.address));
        }
        if !end.up {
            faults.push(EndFault::Down);
        }
        let missing = self.ways.iter().filter(|way| !end.ways.contains(way));
        faults.extend(missing.map(|way| EndFault::NoRoute(*way)));
        let wanted = self.rate_bits.map(rate::shown);
        if wanted != end.rate_bytes {
            faults.push(EndFault::Rate { found: end.rate_bytes, wanted });
        }
        faults
    }
}

/// A difference of an end from what is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndFault {
    /// A setting of the kernel differs.
    Setting {
        /// Its path.
        path: PathBuf,
        /// Its value.
        found: String,
        /// The value wanted.
        wanted: &'static str,
    },
    /// The alias differs.
    Alias,
    /// The MAC address differs.
    Mac,
    /// An address is there that nobody wants.
    StrayAddress(Ipv4Addr, u8),
    /// The address is gone.
    NoAddress(Ipv4Addr),
    /// The link is down.
    Down,
    /// A route is gone.
    NoRoute(Way),
    /// The rate differs, in bytes a second.
    Rate {
        /// The rate found.
        found: Option<u64>,
        /// The rate wanted.
        wanted: Option<u64>,
    },
}

impl fmt::Display for EndFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = |rate: &Option<u64>| rate.map_or("no limit".to_string(), |rate| format!("{} bit/s", rate * 8));
        match self {
            EndFault::Setting { path, found, wanted } => write!(f, "{} is {found} instead of {wanted}", path.display()),
            EndFault::Alias => write!(f, "its alias differs"),
            EndFault::Mac => write!(f, "its MAC address differs"),
            EndFault::StrayAddress(address, prefix) => write!(f, "it has the stray address {address}/{prefix}"),
            EndFault::NoAddress(address) => write!(f, "its address {address} is gone"),
            EndFault::Down => write!(f, "it is down"),
            EndFault::NoRoute(way) => write!(f, "its route to {way} is gone"),
            EndFault::Rate { found, wanted } => write!(f, "its rate is {} instead of {}", rate(found), rate(wanted)),
        }
    }
}

impl EndFault {
    /// Name of the effect that repairs it.
    fn effect(&self) -> &'static str {
        match self {
            EndFault::Setting { .. } => "link.setting",
            EndFault::Alias => "link.alias",
            EndFault::Mac => "link.mac",
            EndFault::StrayAddress(..) => "link.stray",
            EndFault::NoAddress(_) => "link.address",
            EndFault::Down => "link.up",
            EndFault::NoRoute(_) => "link.route",
            EndFault::Rate { .. } => "link.rate",
        }
    }
}

/// Repairs one fault of an end, in the namespace of the socket and the calling thread.
pub(crate) fn repair(
    netlink: &mut Netlink,
    spec: &EndSpec,
    end: &End,
    fault: &EndFault,
    effect: Effect<'_>,
) -> Result<(), LinksError> {
    through(effect, fault.effect(), || {
        let task = || format!("repair the link {}: {fault}", spec.link);
        match fault {
            EndFault::Setting { path, wanted, .. } => write(path, wanted),
            EndFault::Alias => set(netlink, end.index, |message| {
                message.attributes.push(LinkAttribute::IfAlias(spec.alias.clone().unwrap_or_default()));
            })
            .map_err(kernel(task())),
            EndFault::Mac => set(netlink, end.index, |message| {
                message.attributes.push(LinkAttribute::Address(spec.mac.to_vec()));
            })
            .map_err(kernel(task())),
            EndFault::Down => set(netlink, end.index, |message| {
                (message.header.flags, message.header.change_mask) = (LinkFlags::Up, LinkFlags::Up);
            })
            .map_err(kernel(task())),
            EndFault::StrayAddress(address, prefix) => {
                let message = RouteNetlinkMessage::DelAddress(address_message(end.index, *address, *prefix));
                netlink.change(message, 0).map_err(kernel(task()))
            }
            EndFault::NoAddress(address) => {
                let message = RouteNetlinkMessage::NewAddress(address_message(end.index, *address, 32));
                netlink.change(message, NLM_F_CREATE | NLM_F_EXCL).map_err(kernel(task()))
            }
            EndFault::NoRoute(way) => {
                let message = RouteNetlinkMessage::NewRoute(route_message(end.index, *way));
                netlink.change(message, NLM_F_CREATE | NLM_F_EXCL).map_err(kernel(task()))
            }
            EndFault::Rate { .. } => set_rate(netlink, end.index, spec.rate_bits).map_err(kernel(task())),
        }
    })
}

fn set_rate(netlink: &mut Netlink, index: u32, rate_bits: Option<u64>) -> io::Result<()> {
    match rate_bits {
        Some(rate_bits) => {
            let message = RouteNetlinkMessage::NewQueueDiscipline(rate::queue(index, rate_bits));
            netlink.change(message, NLM_F_CREATE | NLM_F_REPLACE)
        }
        None => netlink.change(RouteNetlinkMessage::DelQueueDiscipline(rate::root(index)), 0),
    }
}

/// Sets something of a link.
pub(crate) fn set(netlink: &mut Netlink, index: u32, fill: impl FnOnce(&mut LinkMessage)) -> io::Result<()> {
    let mut message = LinkMessage::default();
    message.header.index = index;
    fill(&mut message);
    netlink.change(RouteNetlinkMessage::SetLink(message), 0)
}

fn address_message(index: u32, address: Ipv4Addr, prefix: u8) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = AddressFamily::Inet;
    message.header.prefix_len = prefix;
    message.header.index = index;
    message.attributes = vec![AddressAttribute::Local(address.into()), AddressAttribute::Address(address.into())];
    message
}

fn route_message(index: u32, way: Way) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = AddressFamily::Inet;
    message.header.destination_prefix_length = way.prefix;
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.protocol = RouteProtocol::Static;
    message.header.scope = if way.via.is_some() { RouteScope::Universe } else { RouteScope::Link };
    message.header.kind = RouteType::Unicast;
    message.attributes = vec![RouteAttribute::Oif(index)];
    if way.prefix > 0 {
        message.attributes.push(RouteAttribute::Destination(RouteAddress::Inet(way.to)));
    }
    if let Some(via) = way.via {
        message.attributes.push(RouteAttribute::Gateway(RouteAddress::Inet(via)));
    }
    message
}

/// Writes a setting of the kernel.
pub(crate) fn write(path: &Path, value: &str) -> Result<(), LinksError> {
    let error = |source| LinksError::File { path: path.to_path_buf(), task: "written", source };
    std::fs::write(path, value).map_err(error)
}

/// Reads a setting of the kernel; `None` where the kernel does not have it.
pub(crate) fn read(path: &Path) -> Result<Option<String>, LinksError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text.trim().to_string())),
        Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(LinksError::File { path: path.to_path_buf(), task: "read", source }),
    }
}

/// Links of a namespace at one moment, with what of them matters here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ends {
    /// Links by name.
    pub links: BTreeMap<String, End>,
    /// Routes of the main table: index of the link, and the way.
    pub ways: Vec<(u32, Way)>,
    /// Settings that came with the links, by the paths of their files.
    pub said: BTreeMap<PathBuf, String>,
}

impl Ends {
    /// Reads the links of the namespace of a socket. Settings are read as far as the kernel's list of links has them.
    pub fn read(netlink: &mut Netlink) -> io::Result<Ends> {
        let mut ends = Ends::default();
        for message in netlink.list(&RouteNetlinkMessage::GetLink(LinkMessage::default()))? {
            if let RouteNetlinkMessage::NewLink(message) = message {
                let (name, end, settings) = link(message);
                ends.said.extend(settings.iter().flat_map(|settings| said(&name, settings)));
                ends.links.insert(name, end);
            }
        }
        let mut addresses = AddressMessage::default();
        addresses.header.family = AddressFamily::Inet;
        for message in netlink.list(&RouteNetlinkMessage::GetAddress(addresses))? {
            if let RouteNetlinkMessage::NewAddress(message) = message {
                ends.take_address(&message);
            }
        }
        let mut routes = RouteMessage::default();
        routes.header.address_family = AddressFamily::Inet;
        for message in netlink.list(&RouteNetlinkMessage::GetRoute(routes))? {
            if let RouteNetlinkMessage::NewRoute(message) = message {
                ends.take_route(&message);
            }
        }
        for message in netlink.list(&RouteNetlinkMessage::GetQueueDiscipline(TcMessage::default()))? {
            if let RouteNetlinkMessage::NewQueueDiscipline(message) = message
                && let Some((index, rate)) = rate::read(&message)
                && let Some(end) = ends.of(index)
            {
                end.rate_bytes = Some(rate);
            }
        }
        Ok(ends)
    }

    fn of(&mut self, index: u32) -> Option<&mut End> {
        self.links.values_mut().find(|end| end.index == index)
    }

    fn take_address(&mut self, message: &AddressMessage) {
        let local = message.attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Local(IpAddr::V4(address)) => Some(*address),
            _ => None,
        });
        if let Some((local, end)) = local.zip(self.of(message.header.index)) {
            end.addresses.insert((local, message.header.prefix_len));
        }
    }

    fn take_route(&mut self, message: &RouteMessage) {
        let header = &message.header;
        if (header.table, header.kind) != (RouteHeader::RT_TABLE_MAIN, RouteType::Unicast) {
            return;
        }
        let mut way = Way { to: Ipv4Addr::UNSPECIFIED, prefix: header.destination_prefix_length, via: None };
        let mut index = None;
        for attribute in &message.attributes {
            match attribute {
                RouteAttribute::Destination(RouteAddress::Inet(to)) => way.to = *to,
                RouteAttribute::Gateway(RouteAddress::Inet(via)) => way.via = Some(*via),
                RouteAttribute::Oif(oif) => index = Some(*oif),
                _ => {}
            }
        }
        if let Some(index) = index {
            self.ways.push((index, way));
            if let Some(end) = self.of(index) {
                end.ways.insert(way);
            }
        }
    }

    /// A link with its settings; `None` where it is not there.
    pub fn end(&self, spec: &EndSpec) -> Result<Option<End>, LinksError> {
        let Some(mut end) = self.links.get(&spec.link).cloned() else { return Ok(None) };
        for (path, _) in &spec.settings {
            // A file for each setting of each link costs more than the list that says most of them.
            let value = match self.said.get(path) {
                Some(said) => Some(said.clone()),
                None => read(path)?,
            };
            end.settings.insert(path.clone(), value);
        }
        Ok(Some(end))
    }
}

fn link(message: LinkMessage) -> (String, End, Vec<AfSpecUnspec>) {
    let flags = message.header.flags;
    let (mut name, mut settings) = (String::new(), Vec::new());
    let mut end = End {
        index: message.header.index,
        up: flags.contains(LinkFlags::Up),
        carrier: flags.contains(LinkFlags::LowerUp),
        ..End::default()
    };
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(text) => name = text,
            LinkAttribute::IfAlias(text) => end.alias = text,
            LinkAttribute::Address(mac) => end.mac = mac,
            LinkAttribute::Link(index) => end.peer = Some(index),
            LinkAttribute::LinkInfo(infos) => {
                end.kind = infos.iter().find_map(kind).unwrap_or_default();
            }
            LinkAttribute::AfSpecUnspec(found) => settings = found,
            _ => {}
        }
    }
    (name, end, settings)
}

fn kind(info: &LinkInfo) -> Option<Kind> {
    match info {
        LinkInfo::Kind(InfoKind::Veth) => Some(Kind::Veth),
        LinkInfo::Kind(InfoKind::Dummy) => Some(Kind::Dummy),
        LinkInfo::Kind(_) => Some(Kind::Forwarded),
        _ => None,
    }
}
