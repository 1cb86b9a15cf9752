//! Containers from a resolved instance: the effects of the blueprint's steps that make, watch and remove one.
//!
//! - [`bundle`]: an instance becomes the OCI `config.json`, by a pure function;
//! - [`cgroup`]: limits, usage, freezing and killing by control groups, v1 and v2, without a library;
//! - [`driver`]: two programs that make containers of bundles, runc and `openmesh-cage-helper` (libcontainer), behind one trait, for the shim too;
//! - [`exec`]: a process beside the first one of a running instance, by either driver;
//! - [`gpu`]: GPUs of the machine, and their description for containers;
//! - [`processes`]: the processes of a group at one moment, for people;
//! - [`readback`]: what a running instance really has, and how it differs from its bundle;
//! - [`system`]: programs of the machine, wherever its distribution has them.
//!
//! The crate chooses nothing and remembers nothing: what it makes carries the name of its owner, and what it says was read from the kernel. libcontainer
//! is not linked here: it forks without executing, so it needs a process with one thread, and its dependencies would change features of half the
//! workspace. It is a program of its own in `helper/`.

use std::io;

pub mod bundle;
pub mod cgroup;
pub mod config;
pub mod driver;
pub mod exec;
pub mod gpu;
pub mod instance;
pub mod processes;
mod program;
pub mod readback;
pub mod seccomp;
pub mod space;
pub mod system;

/// Door of the caller that every effect passes, before it and after it. An error at the door is the effect's error.
pub type Door<'a> = &'a dyn Fn(&str) -> io::Result<()>;

/// The door that lets everything pass.
///
/// # Errors
/// None.
pub fn open_door(_: &str) -> io::Result<()> {
    Ok(())
}

/// Does an effect between two passages of its door.
fn through<T>(door: Door<'_>, name: &str, effect: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    door(name)?;
    let value = effect()?;
    door(name)?;
    Ok(value)
}
