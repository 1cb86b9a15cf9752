//! Catalogues as data.

use openmesh_primitives::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// State of a catalogue's copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = CatalogueState)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Its place gave a right index when it was asked last.
    Current,
    /// The copy is in use, and its place did not give a right index when it was asked last.
    Old,
    /// The index of the copy has ended: nothing new is made of its templates.
    Expired,
    /// There is no copy.
    Absent,
}

/// A failure of fetching a catalogue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = CatalogueFailure)]
pub struct Failure {
    /// A stable word.
    pub code: String,
    /// Words for a person.
    pub message: String,
    /// The moment.
    #[schema(value_type = String, format = "seconds")]
    pub at: Timestamp,
}

/// A catalogue of another publisher that the machine's document names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Catalogue)]
pub struct Catalogue {
    /// The machine's name for it.
    pub name: String,
    /// Its address.
    pub address: String,
    /// The publisher's public key, as the document has it.
    pub key: String,
    /// State of its copy.
    pub state: State,
    /// Publisher, as the index says.
    pub publisher: Option<String>,
    /// Number of the index.
    pub sequence: Option<u64>,
    /// Moment at which it was signed.
    #[schema(value_type = Option<String>, format = "seconds")]
    pub signed: Option<Timestamp>,
    /// Moment from which it holds no more.
    #[schema(value_type = Option<String>, format = "seconds")]
    pub expires: Option<Timestamp>,
    /// Last moment at which its place gave a right index: the age of what is shown.
    #[schema(value_type = Option<String>, format = "seconds")]
    pub checked: Option<Timestamp>,
    /// Names of its templates.
    pub templates: Vec<String>,
    /// Templates that were left out, each with the reason.
    pub problems: Vec<String>,
    /// The last failure, where nothing succeeded since.
    pub failure: Option<Failure>,
}
