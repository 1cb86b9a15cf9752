//! Reasons for which a document has no generation.

use openmesh_primitives::Digest;

use crate::document::{ImageReference, Name, Subnet};
use crate::generation::IDS_OF_APPLICATION;
use crate::text::Problem;

/// A reason for which a document has no generation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unresolved {
    /// No registry gave this image.
    #[error(
        "{application}: no image {reference} is known; look whether its name and tag are right and its registry can be reached"
    )]
    NoSuchImage {
        /// The application.
        application: Name,
        /// The image.
        reference: ImageReference,
    },
    /// The image of a recipe was not built yet.
    #[error("{application}: the image of recipe {recipe} is not built yet")]
    NotBuilt {
        /// The application.
        application: Name,
        /// Hash of the recipe.
        recipe: Digest,
    },
    /// Neither image nor recipe.
    #[error("{application}: has neither image nor recipe")]
    NoOrigin {
        /// The application.
        application: Name,
    },
    /// No template of this name and version.
    #[error("{application}: no template `{template}` is known; known are {known}")]
    NoSuchTemplate {
        /// The application.
        application: Name,
        /// Name and version.
        template: String,
        /// Names that are known.
        known: String,
    },
    /// Answers or form of a template.
    #[error("{application}: {problem}")]
    Template {
        /// The application.
        application: Name,
        /// The problem.
        problem: Problem,
    },
    /// A secret that does not exist.
    #[error("{user}: no secret `{secret}` is there; make it with `openmesh xnode secret set {secret}`")]
    NoSuchSecret {
        /// Application, or part of the machine.
        user: String,
        /// The secret.
        secret: Name,
    },
    /// No port of the range is free.
    #[error("{application}: no port from {first} to {last} is free for {port}; widen machine.ports")]
    NoFreePort {
        /// The application.
        application: Name,
        /// Name of its port.
        port: Name,
        /// First port of the range.
        first: u16,
        /// Last port of the range.
        last: u16,
    },
    /// No address of the subnet is free.
    #[error(
        "{application}: no address of {subnet} is free; widen machine.subnet or wait for an hour, after which freed ones are given again"
    )]
    NoFreeAddress {
        /// The application.
        application: Name,
        /// The subnet.
        subnet: Subnet,
    },
    /// No range of user ids is free.
    #[error(
        "{application}: no range of {IDS_OF_APPLICATION} user ids is free among {ranges}; give the agent more in /etc/subuid"
    )]
    NoFreeIds {
        /// The application.
        application: Name,
        /// Ranges in all.
        ranges: u32,
    },
}
