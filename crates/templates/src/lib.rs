//! The built-in templates of applications, catalogues of other publishers, and the way from a person's answers to a document.
//!
//! # What it owns
//! The texts in `catalogue/`, one file a template, which are part of the program and trusted as it is. Their form is [`openmesh_blueprint::template`]'s. Beside them the
//! signed [`index`] of a catalogue of somebody else: how it is made ([`publish`]), every reason for which one is not taken, and the templates of one ([`Others`]).
//!
//! # Shape
//! A [`Library`] has the templates; [`sheet`](views::sheet) describes one as data for a form; [`compose()`] makes applications of a document out of answers,
//! with the companions they need and the secrets that have to be made; [`preflight()`] holds them against a machine. All of it is pure: no file is read, nothing is
//! drawn at random, and each problem names its option.
//!
//! # Versions
//! A document names the version of its template, and a new program keeps the old ones (`NAME@VERSION.yaml`), so that no update of the program changes an
//! application that nobody touched. [`upgrade()`] brings one to a newer version that names the present one.
//!
//! # Grades
//! What a run on a real machine found about each template ([`grade`]); a template without a run has none.

mod built_in;
mod compose;
pub mod grade;
mod icons;
pub mod index;
mod library;
mod others;
mod preflight;
pub mod publish;
mod upgrade;
pub mod views;

pub use compose::{Composition, Fault, Order, compose, makeable};
pub use icons::icon_fault;
pub use library::{Library, built_in};
pub use others::Others;
pub use preflight::{Facts, HeldPort, preflight};
pub use upgrade::{Upgrade, upgrade, upgrades};
