//! Reasons for which a document has no generation.

use openmesh_primitives::Digest;

use crate::document::{GpuVendor, ImageReference, Name, Subnet};
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
    /// Too few GPUs.
    #[error("{application}: {}", gpu_words(*count, *instances, *vendor, *there, held))]
    NoFreeGpu {
        /// The application.
        application: Name,
        /// Number that each instance is to have.
        count: u32,
        /// Its instances.
        instances: u32,
        /// Vendor that is asked for.
        vendor: Option<GpuVendor>,
        /// Number of those that the machine has.
        there: usize,
        /// Those that somebody has, with name and holder.
        held: Vec<String>,
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

fn gpu_words(count: u32, instances: u32, vendor: Option<GpuVendor>, there: usize, held: &[String]) -> String {
    let of = vendor.map_or_else(String::new, |vendor| format!(" of {vendor}"));
    let who = match instances {
        1 => "it asks for".to_string(),
        several => format!("each of its {several} instances asks for"),
    };
    let wanted = match count {
        1 => format!("{who} a GPU{of}"),
        several => format!("{who} {several} GPUs{of}"),
    };
    match (there, held) {
        (0, _) => {
            format!("{wanted}, and the machine has none; `openmesh xnode status` lists those whose driver is loaded")
        }
        (1, []) => format!("{wanted}, and the machine has one"),
        (there, []) => format!("{wanted}, and the machine has {there}; they count where one vendor has enough"),
        (there, held) => format!(
            "{wanted}, and of {there} these are held: {}; stop or remove an application that has one, or ask for fewer",
            held.join(", ")
        ),
    }
}
