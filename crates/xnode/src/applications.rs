//! Instances that are there, as their files say.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use openmesh_blueprint::document::{Name, Subnet};
use openmesh_blueprint::inventory::InstanceId;
use serde::{Deserialize, Serialize};

use crate::error::XnodeError;
use crate::{Paths, marks};

/// File of what an instance was made of, in its folder.
pub(crate) const NOTE: &str = "instance.json";

/// The things that an instance was made of: enough to find, run and remove it without its generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Made {
    /// Its address.
    pub address: Ipv4Addr,
    /// Limit of its rate in each direction, bits a second.
    pub rate_bits: Option<u64>,
    /// Applications that it reaches.
    pub links: Vec<String>,
    /// Subnet of its network; none in a note of an earlier version.
    #[serde(default)]
    pub subnet: Option<String>,
    /// Number of the generation for which it was made; 0 in a note of an earlier version.
    #[serde(default)]
    pub generation: u64,
    /// Its GPUs, by their addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gpus: Vec<String>,
}

impl Made {
    /// Subnet of its network, where its note says it.
    pub fn subnet(&self) -> Option<Subnet> {
        self.subnet.as_ref()?.parse().ok()
    }
}

/// Instances by application, each with what it was made of. One without is half made, and is made anew or removed.
pub(crate) type Instances = BTreeMap<Name, BTreeMap<InstanceId, Option<Made>>>;

/// Instances, and those whose note cannot be read.
#[derive(Debug, Default)]
pub(crate) struct Read {
    /// Instances that were read.
    pub instances: Instances,
    /// The others, each with the error: nothing is known of them, so nothing is done to them.
    pub unread: BTreeMap<Name, BTreeMap<InstanceId, String>>,
}

/// Reads the folders of all instances. A note that cannot be read is that instance's trouble alone.
pub(crate) fn read(paths: &Paths) -> Result<Read, XnodeError> {
    let mut found = Read::default();
    for application in names(&paths.applications())? {
        let Ok(name) = application.parse::<Name>() else { continue };
        let mut instances = BTreeMap::new();
        for folder in names(&paths.instances(&name))? {
            let Ok(id) = folder.parse::<InstanceId>() else { continue };
            match marks::find(&paths.instance(&name, &id).join(NOTE)) {
                Ok(made) => drop(instances.insert(id, made)),
                Err(error) => drop(found.unread.entry(name.clone()).or_default().insert(id, error.to_string())),
            }
        }
        found.instances.insert(name, instances);
    }
    Ok(found)
}

/// Names in a folder; none where it is not there.
pub(crate) fn names(folder: &std::path::Path) -> Result<Vec<String>, XnodeError> {
    let entries = match std::fs::read_dir(folder) {
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(XnodeError::file("reading", folder))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(XnodeError::file("reading", folder))?;
        names.extend(entry.file_name().into_string().ok());
    }
    Ok(names)
}
