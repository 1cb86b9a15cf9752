//! File trees of applications: walked, cloned and removed without following a link.
//!
//! The bytes, names and depth of such a tree are a stranger's. Each folder is opened below the root of the tree with `openat2`, where the kernel
//! refuses links, other mounts and whatever leads out; each entry by its name in an open folder. Number of descriptors, stack and memory do not
//! grow with the tree; only folders side by side that wait for their turn are remembered, up to a bound.

mod attributes;
mod copy;
mod remove;
mod walk;

pub(crate) use copy::{Copied, How, copy};
pub(crate) use remove::remove;
pub(crate) use walk::measure;
