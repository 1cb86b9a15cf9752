//! Shims of instances, asked and started.

use std::path::{Path, PathBuf};
use std::time::Duration;

use openmesh_shim::client::Client;
use openmesh_shim::protocol::{Action, State, Status};
use openmesh_shim::state::{Found, look};
use openmesh_shim::{Config, start};

use crate::error::XnodeError;
use crate::{Door, Machine, marks};

/// Patience with the answer of a shim that lives: it answers within a turn of its loop, but for a disk that hangs.
const ANSWER: Duration = Duration::from_secs(5);

/// An instance's shim as it is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shim {
    /// There never was one since the machine has started.
    None,
    /// It lives, with this status.
    Living(Box<Status>),
    /// It has ended, and this is the last it said.
    Ended(Box<Status>),
}

/// File of a shim's configuration.
pub(crate) fn config_file(folder: &Path) -> PathBuf {
    folder.join("shim.json")
}

/// Configuration of an instance's shim; none where it was not written yet.
pub(crate) fn config(folder: &Path) -> Result<Option<Config>, XnodeError> {
    marks::find(&config_file(folder))
}

/// Looks for an instance's shim.
pub(crate) fn find(folder: &Path) -> Result<Shim, XnodeError> {
    let Some(config) = config(folder)? else { return Ok(Shim::None) };
    Ok(match look(&config)? {
        Found::Nothing => Shim::None,
        Found::Living => Shim::Living(Box::new(ask(&config, Action::Status)?)),
        Found::Ended(status) => Shim::Ended(status),
    })
}

/// Asks a living shim.
pub(crate) fn ask(config: &Config, action: Action) -> Result<Status, XnodeError> {
    Ok(Client::connect(&config.socket, ANSWER)?.ask(action)?)
}

/// Starts a shim, which begins the instance at once.
pub(crate) fn begin(machine: &Machine, folder: &Path, door: Door<'_>) -> Result<(), XnodeError> {
    let file = config_file(folder);
    let mut started = Ok(());
    let passed = marks::through(door, "shim.start", || {
        started = start::start(&machine.programs.shim, &file).map(drop);
        Ok(())
    });
    started?;
    passed.map_err(XnodeError::file("starting the shim of", file))
}

/// Waits for a state, watching; the last status where the time is over.
pub(crate) fn wait(config: &Config, limit: Duration, wanted: impl Fn(&Status) -> bool) -> Result<Status, XnodeError> {
    Ok(Client::connect(&config.socket, ANSWER)?.wait(limit, wanted)?)
}

/// Returns true where the instance of a status runs, or is brought to run by its shim.
pub(crate) fn is_up(status: &Status) -> bool {
    status.wanted && !matches!(status.state, State::Stopped)
}
