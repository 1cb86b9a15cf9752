//! GPUs of a machine, and their description for containers.
//!
//! [`find`] looks for them in files of the kernel below a root folder, [`libraries`] for those of a driver; [`cdi`] makes a description of both, by pure functions, in
//! the form of the Container Device Interface (CDI 0.6.0). Instances get what that describes. It has no hooks, and none are run: what the driver's own tools would do by
//! hooks (links of libraries, the loader's cache) is done by names of mounts and one variable.

pub mod cdi;
mod find;
pub mod libraries;

pub use find::{Gpu, Node, Vendor, common, find};
