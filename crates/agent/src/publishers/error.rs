//! Reasons for which a catalogue, or a template of one, cannot be used.

use openmesh_templates::index::IndexRefusal;

/// A reason for which a catalogue, or a template of one, cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CatalogueError {
    /// Its index is not taken.
    #[error(transparent)]
    Index(#[from] IndexRefusal),
    /// Its place does not give a file.
    #[error("{file} cannot be had: {words}")]
    Away {
        /// The file.
        file: String,
        /// The reason.
        words: String,
    },
    /// Its place leads elsewhere.
    #[error(
        "{file}: its place leads to {to}, and no redirect is followed; write the address that is meant into the document"
    )]
    Redirect {
        /// The file.
        file: String,
        /// The place that it names.
        to: String,
    },
    /// A file of more bytes than it may have.
    #[error("{file} has more than the {most} bytes that it may have")]
    TooLarge {
        /// The file.
        file: String,
        /// The most.
        most: u64,
    },
    /// A place that is too slow.
    #[error("{file} did not come within {seconds} s")]
    Slow {
        /// The file, or all of them.
        file: String,
        /// The time.
        seconds: u64,
    },
    /// A text that is not the one that was signed.
    #[error("{file} is not the one that the index names by its hash: it was changed, or is being changed now")]
    Text {
        /// The file.
        file: String,
    },
    /// The machine's document does not name it.
    #[error("the document names no such catalogue in machine.catalogues; it names {known}")]
    NotNamed {
        /// Those that it names.
        known: String,
    },
    /// There is no copy of it.
    #[error("there is no copy of it here: {words}")]
    Absent {
        /// The reason.
        words: String,
    },
    /// It has no such template.
    #[error("it has no template `{template}`; it has {known}")]
    NoTemplate {
        /// Name and version.
        template: String,
        /// Those that it has.
        known: String,
    },
    /// A text that may not be used any more.
    #[error("its template {template} cannot be used: {words}")]
    Unusable {
        /// Name and version.
        template: String,
        /// The reason.
        words: String,
    },
    /// Its files on this machine.
    #[error("{words}")]
    Disk {
        /// The reason, with the file.
        words: String,
    },
}

impl CatalogueError {
    /// A stable word for programs, and the status of HTTP that goes with it.
    pub(crate) fn code(&self) -> (&'static str, u16) {
        match self {
            // The copy that is there, and not an answer of its place.
            CatalogueError::Index(refusal @ (IndexRefusal::Expired { .. } | IndexRefusal::Early { .. })) => {
                (refusal.code(), 409)
            }
            CatalogueError::Index(refusal) => (refusal.code(), 502),
            CatalogueError::Away { .. } => ("catalogue_away", 502),
            CatalogueError::Redirect { .. } => ("catalogue_redirect", 502),
            CatalogueError::TooLarge { .. } => ("catalogue_too_large", 502),
            CatalogueError::Slow { .. } => ("catalogue_slow", 502),
            CatalogueError::Text { .. } => ("catalogue_text", 502),
            CatalogueError::NotNamed { .. } => ("no_catalogue", 404),
            CatalogueError::Absent { .. } => ("catalogue_absent", 409),
            CatalogueError::NoTemplate { .. } => ("no_template", 404),
            CatalogueError::Unusable { .. } => ("catalogue_template", 409),
            CatalogueError::Disk { .. } => ("machine", 500),
        }
    }

    /// Makes the error of a file of this machine.
    pub(super) fn disk(error: impl std::fmt::Display) -> CatalogueError {
        CatalogueError::Disk { words: error.to_string() }
    }
}
