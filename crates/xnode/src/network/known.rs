//! The network as an agent knows it, by which its own doing is told from that of others.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use openmesh_links::{Fault, Network};

/// The network as it was last brought to what was wanted by this process.
#[derive(Debug)]
pub(crate) struct Known {
    /// The network.
    pub network: Network,
    /// Instances whose insides were looked at.
    pub inside: BTreeSet<Ipv4Addr>,
}

impl Known {
    /// Returns true for a repaired fault that is nobody's doing whom the agent knows: what it has brought to its state itself, and not asked to change
    /// since, was changed by somebody else.
    pub fn is_news(&self, fault: &Fault, now: &Network) -> bool {
        let is_as_before = |address: &Ipv4Addr| {
            self.inside.contains(address) && self.network.instances().get(address) == now.instances().get(address)
        };
        match fault {
            Fault::NoForwarding | Fault::NoTable => !self.network.instances().is_empty(),
            Fault::Altered(_) | Fault::Elements(_) | Fault::Stray(_) => self.network == *now,
            Fault::NoLink(address)
            | Fault::Elsewhere(address)
            | Fault::Outer(address, _)
            | Fault::NoLoopback(address)
            | Fault::Inner(address, _) => is_as_before(address),
            // They are not repaired, and hold their application.
            Fault::Foreign { .. } | Fault::AddressTaken { .. } | Fault::Closed { .. } => false,
        }
    }
}
