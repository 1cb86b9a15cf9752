//! Traffic: the door and published ports.

use std::net::SocketAddr;

use openmesh_blueprint::document::{Name, Protocol};
use openmesh_blueprint::generation::{HostPort, Revision};
use openmesh_blueprint::inventory::InstanceId;
use openmesh_blueprint::step::VolumeRef;

use super::Work;
use crate::door;
use crate::error::XnodeError;
use crate::marks::{self, DoorMark};
use crate::network::{self, Published};
use crate::progress::Progress;

impl Work<'_> {
    /// Lets traffic come to a revision: first the lines of data are marked, since what is written from then on must never be dropped by a machine, and
    /// the door's counts are noted, so that it is known what was let in.
    pub(super) fn admit(
        &self,
        name: &Name,
        revision: &Revision,
        instances: u32,
        lines: &[(VolumeRef, u32)],
    ) -> Result<Progress, XnodeError> {
        for (volume, line) in lines {
            self.promote(volume, *line)?;
        }
        self.make_marks_folder(name)?;
        door::note_admission(self.machine, name, &revision.to_string(), self.door)?;
        self.set_door(name, &DoorMark::Open { revision: revision.to_string(), instances, without: None })
    }

    /// Lets traffic come to the instances of a version but for one.
    pub(super) fn withdraw(&self, name: &Name, id: &InstanceId, instances: u32) -> Result<Progress, XnodeError> {
        let (revision, without) = (id.revision.to_string(), Some(id.index));
        self.set_door(name, &DoorMark::Open { revision, instances, without })
    }

    /// Sets the traffic of an application, and lets door and network follow. It is done when the door says so.
    pub(super) fn set_door(&self, name: &Name, mark: &DoorMark) -> Result<Progress, XnodeError> {
        self.make_marks_folder(name)?;
        let path = self.machine.paths.application(name).join("door.json");
        // Asked again while the door is waited for, it is there already.
        if marks::find::<DoorMark>(&path).ok().flatten().as_ref() != Some(mark) {
            marks::write(&path, mark, "door.mark", self.door)?;
        }
        self.settle_network(name)?;
        door::confirmed(self.machine, name)
    }

    fn make_marks_folder(&self, name: &Name) -> Result<(), XnodeError> {
        let folder = self.machine.paths.application(name);
        crate::machine::make_folder(&folder).map_err(XnodeError::file("making", &folder))
    }

    /// Waits for the connections of an instance, which the door ends in their own words and cuts at the deadline.
    pub(super) fn drain(&self, name: &Name, id: &InstanceId) -> Result<Progress, XnodeError> {
        match door::confirmed(self.machine, name)? {
            Progress::Done => Ok(door::drained(self.machine, name, id)),
            progress => Ok(progress),
        }
    }

    /// Gives a port of the host out. One of HTTP is the door's: it is published when the door listens there.
    pub(super) fn publish(&self, name: &Name, port: &Name, at: HostPort) -> Result<Progress, XnodeError> {
        let wrong = |words: String| XnodeError::Instance { application: name.clone(), words };
        let resolved = self.generation.portable.applications.get(name);
        let about = resolved.and_then(|resolved| resolved.application.ports.get(port));
        let (Some(resolved), Some(about)) = (resolved, about) else {
            return Err(wrong(format!("it has no port {port}")));
        };
        if let Some(lack) = door::lacks(self.machine, &resolved.application, port) {
            return Err(wrong(lack));
        }
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
            to: about.port,
        });
        let address = SocketAddr::new(at.address.0, at.port);
        if let Some(carrier) = self.machine.doors.get() {
            carrier.try_again(address);
        }
        self.write_published(name, &all)?;
        let lost = self.machine.doors.get().and_then(|carrier| carrier.lost(address));
        match lost.filter(|_| about.protocol == Protocol::Http) {
            Some(words) => {
                // It is not given out as long as nobody listens there.
                self.take_back(name, at)?;
                Err(wrong(format!("the door: {words}")))
            }
            None => door::confirmed(self.machine, name),
        }
    }

    /// Takes a port of the host back.
    pub(super) fn retract(&self, name: &Name, at: HostPort) -> Result<Progress, XnodeError> {
        self.take_back(name, at)?;
        door::confirmed(self.machine, name)
    }

    fn take_back(&self, name: &Name, at: HostPort) -> Result<(), XnodeError> {
        let mut all = network::published(self.machine)?;
        all.retain(|published| published.at() != at || published.application != name.as_str());
        self.write_published(name, &all)
    }

    fn write_published(&self, name: &Name, all: &[Published]) -> Result<(), XnodeError> {
        marks::write(&self.machine.paths.published(), &all, "published.mark", self.door)?;
        self.settle_network(name)
    }
}
