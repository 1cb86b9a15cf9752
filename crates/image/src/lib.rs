//! Images and their root file systems (clauses of `docs/spec/xnode.md`).
//!
//! # What it owns
//! The way of an image from a registry or a recipe to folders for overlayfs. It starts no container, mounts nothing, and chooses no version: which images are
//! wanted is in a generation, and [`Store::observe`](store::Store::observe) says for an inventory which are there.
//!
//! - [`pull`] fetches from registries, by digest, resumed, bounded.
//! - [`store`] keeps blobs, references, leases and unpacked layers, and shows what nobody needs before it goes.
//! - [`unpack`] turns an archive into a folder, in a process that holds that folder and nothing else.
//! - [`files`] is the other task of that process: a person's look at the files of an application, and changes of them.
//! - [`recipe`] makes an image where none can be pulled, with the same digest each time.
//! - [`oci`] and [`tar`] read the formats, purely; [`limits`] has every bound with its reason.
//!
//! # Three walls around a stranger's bytes
//! A digest is compared before anything reads a blob; the archive's reader refuses by name what it does not understand; and what unpacks runs under landlock and
//! seccomp, so that a fault in the reader reaches one folder. The agent itself reads only JSON documents of 4 MiB whose digest was right.
//!
//! # Effects
//! Every change of the disk passes [`effect::Effect`] before and after it.

mod delete;
pub mod effect;
pub mod files;
pub mod limits;
pub mod oci;
pub mod pull;
pub mod recipe;
pub mod stamp;
pub mod store;
pub mod tar;
pub mod unpack;
