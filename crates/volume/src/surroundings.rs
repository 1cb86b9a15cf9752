//! Mounts and loop devices as they were read at one moment, for a look at many volumes.
//!
//! Both lists are of the whole machine, and reading them takes the kernel longer the more volumes there are. Read once for each volume, a look at twice as
//! many takes four times as long.

use std::path::Path;

use crate::error::VolumeError;
use crate::loops::{self, LoopDevice};
use crate::mounting::own_mount;
use crate::mounts::{self, Mount};
use crate::volumes::Place;

/// Mounts and loop devices at one moment.
#[derive(Debug)]
pub(crate) struct Surroundings {
    mounts: Vec<Mount>,
    devices: Vec<LoopDevice>,
}

impl Surroundings {
    /// Reads both.
    ///
    /// # Errors
    /// The kernel's files cannot be read.
    pub fn read() -> Result<Surroundings, VolumeError> {
        Ok(Surroundings { mounts: mounts::list()?, devices: loops::list()? })
    }

    /// The mount that is seen at a place.
    pub fn mount_at(&self, point: &Path) -> Option<&Mount> {
        self.mounts.iter().rev().find(|mount| mount.point == point)
    }

    /// The device of a volume's mount, as [`own_mount`] finds it. What is not the volume's own here is looked at again: mounts and devices are not read at
    /// one moment, and much may have happened since.
    ///
    /// # Errors
    /// Those of [`own_mount`].
    pub fn own_mount(&self, place: &Place) -> Result<Option<LoopDevice>, VolumeError> {
        let mount = self.mount_at(&place.mount).filter(|mount| mount.root == Path::new("/"));
        let its = mount.and_then(|mount| self.devices.iter().find(|device| device.number == mount.device));
        match its.filter(|device| device.file == place.image) {
            Some(device) => Ok(Some(device.clone())),
            None => own_mount(place),
        }
    }
}
