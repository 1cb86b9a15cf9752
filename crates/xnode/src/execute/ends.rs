//! Ends of runs: with their application, and with the instance beside which they run.

use std::fs;

use openmesh_blueprint::document::Name;
use openmesh_blueprint::inventory::InstanceId;
use openmesh_primitives::Timestamp;

use super::runs::Place;
use crate::error::XnodeError;
use crate::jobs::{Run, RunEnd};
use crate::{Door, Machine};

/// Ends every run of an application, with the words for why. Ends and logs stay.
///
/// # Errors
/// The first failure; asking again goes on.
pub(crate) fn end_runs(machine: &Machine, name: &Name, words: &str, door: Door<'_>) -> Result<(), XnodeError> {
    end_some(machine, name, words, |_| true, door)
}

/// Ends the runs beside an instance that is stopped or goes: they write to the same line of data.
///
/// # Errors
/// The first failure; asking again goes on.
pub(crate) fn end_beside(machine: &Machine, name: &Name, id: &InstanceId, door: Door<'_>) -> Result<(), XnodeError> {
    let instance = id.to_string();
    let words = format!("it was ended with instance {instance}, beside which it ran");
    end_some(machine, name, &words, |run| run.instance == instance, door)
}

fn end_some(
    machine: &Machine,
    name: &Name,
    words: &str,
    ends: impl Fn(&Run) -> bool,
    door: Door<'_>,
) -> Result<(), XnodeError> {
    for job in job_names(machine, name)? {
        let place = Place { machine, name, job: &job };
        let _lock = place.lock()?;
        for mut run in place.runs()?.into_iter().filter(|run| ends(run)) {
            if run.end.is_none() {
                place.stop(&run, door)?;
                run.end = Some(RunEnd::without_code(words, Timestamp::now()));
                place.write(&run, door)?;
            }
            place.clear(&run, door)?;
        }
    }
    Ok(())
}

/// Jobs of an application of which there are runs or marks.
pub(super) fn job_names(machine: &Machine, name: &Name) -> Result<Vec<Name>, XnodeError> {
    let folder = machine.paths.application(name).join("runs");
    let entries = match fs::read_dir(&folder) {
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(XnodeError::file("reading", &folder))?,
    };
    Ok(entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
}
