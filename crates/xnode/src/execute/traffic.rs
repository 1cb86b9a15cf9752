//! Traffic: doors and published ports.

use openmesh_blueprint::document::{Name, Protocol};
use openmesh_blueprint::generation::{HostPort, Revision};
use openmesh_blueprint::step::VolumeRef;

use super::Work;
use crate::error::XnodeError;
use crate::marks::{self, DoorMark};
use crate::network::{self, Published};

impl Work<'_> {
    /// Lets traffic come to a revision: first the lines of data are marked, since what is written from then on must never be dropped by a machine.
    pub(super) fn admit(
        &self,
        name: &Name,
        revision: &Revision,
        instances: u32,
        lines: &[(VolumeRef, u32)],
    ) -> Result<(), XnodeError> {
        for (volume, line) in lines {
            self.promote(volume, *line)?;
        }
        self.set_door(name, &DoorMark::Open { revision: revision.to_string(), instances })
    }

    /// Sets the door of an application, and lets the network follow.
    pub(super) fn set_door(&self, name: &Name, door: &DoorMark) -> Result<(), XnodeError> {
        let folder = self.machine.paths.application(name);
        crate::machine::make_folder(&folder).map_err(XnodeError::file("making", &folder))?;
        marks::write(&folder.join("door.json"), door, "door.mark", self.door)?;
        self.settle_network(name)
    }

    pub(super) fn publish(&self, name: &Name, port: &Name, at: HostPort) -> Result<(), XnodeError> {
        let resolved = self.generation.portable.applications.get(name);
        let to = resolved.and_then(|resolved| resolved.application.ports.get(port)).map(|port| port.port);
        let to = to.ok_or_else(|| XnodeError::Instance {
            application: name.clone(),
            words: format!("it has no port {port}"),
        })?;
        let mut all = network::published(self.machine)?;
        let meets = |other: HostPort| {
            other.port == at.port && other.protocol == at.protocol && other.address.overlaps(at.address)
        };
        if let Some(holder) =
            all.iter().find(|published| meets(published.at()) && published.application != name.as_str())
        {
            let by = holder.application.clone();
            return Err(XnodeError::PortHeld { application: name.clone(), port: at, by });
        }
        all.retain(|published| published.at() != at);
        all.push(Published {
            address: at.address.0,
            port: at.port,
            udp: at.protocol == Protocol::Udp,
            application: name.to_string(),
            name: port.to_string(),
            to,
        });
        self.write_published(name, &all)
    }

    pub(super) fn retract(&self, name: &Name, at: HostPort) -> Result<(), XnodeError> {
        let mut all = network::published(self.machine)?;
        all.retain(|published| published.at() != at || published.application != name.as_str());
        self.write_published(name, &all)
    }

    fn write_published(&self, name: &Name, all: &[Published]) -> Result<(), XnodeError> {
        marks::write(&self.machine.paths.published(), &all, "published.mark", self.door)?;
        self.settle_network(name)
    }
}
