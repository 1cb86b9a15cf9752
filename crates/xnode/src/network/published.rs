//! Ports that are given out.

use openmesh_blueprint::document::{HostAddress, Protocol};
use openmesh_blueprint::generation::HostPort;
use serde::{Deserialize, Serialize};

use crate::error::XnodeError;
use crate::{Machine, marks};

/// A port of the host that is given out, with the port of the instance that it leads to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Published {
    /// Address of the host.
    pub address: std::net::IpAddr,
    /// Port of the host.
    pub port: u16,
    /// It is one of UDP.
    pub udp: bool,
    /// The application.
    pub application: String,
    /// Name of its port.
    pub name: String,
    /// Number of its port, where the version that has traffic is not known.
    pub to: u16,
}

impl Published {
    /// The port of the host.
    pub fn at(&self) -> HostPort {
        let protocol = if self.udp { Protocol::Udp } else { Protocol::Tcp };
        HostPort { address: HostAddress(self.address), port: self.port, protocol }
    }
}

/// Ports that are given out.
pub(crate) fn published(machine: &Machine) -> Result<Vec<Published>, XnodeError> {
    marks::read(&machine.paths.published())
}
