//! Facts that rules look at.

use crate::backups::views::{Application as Backups, Target};
use crate::lending::views::Lending;
use crate::views::ApplicationState;

/// Everything that rules look at.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Moment, seconds since 1970.
    pub now_s: u64,
    /// Applications.
    pub applications: Vec<ApplicationFacts>,
    /// Causes of steps of the machine itself that fail, with their attempts.
    pub machine: Vec<(String, u32)>,
    /// Backups by application.
    pub backups: Vec<Backups>,
    /// Places for backups.
    pub targets: Vec<Target>,
    /// Room that this machine lends; none where it cannot be looked at.
    pub lending: Option<Lending>,
    /// Moves of applications that do not get further.
    pub moves: Vec<MoveFacts>,
    /// Machines that have joined this one and are silent: number and name.
    pub silent: Vec<(String, String)>,
    /// Bytes of the machine's disk, and those that are free for everybody.
    pub disk: Option<(u64, u64)>,
    /// Certificates of names that the door serves.
    pub certificates: Vec<CertificateFacts>,
    /// Files of catalogues of other publishers that could not be read.
    pub damages: Vec<DamageFacts>,
    /// Reason for which the door does not know of the present members yet.
    pub members_due: Option<String>,
    /// A deployment that came back by itself: its number, that of the generation that serves in its place, the cause.
    pub returned: Option<(u64, u64, String)>,
    /// Parts that could not be looked at, with their causes.
    pub unread: Vec<String>,
    /// The program of this agent was replaced by another one on disk.
    pub is_replaced: bool,
    /// A document of a file that is not taken: file, cause, remedy.
    pub refused: Option<(String, String, String)>,
}

/// Facts of a move that does not get further.
#[derive(Clone, Debug)]
pub struct MoveFacts {
    /// The application.
    pub application: String,
    /// Name of the other machine.
    pub other: String,
    /// It leaves this machine; else it comes here.
    pub leaves: bool,
    /// Clients are let in nowhere.
    pub is_down: bool,
    /// A person can cancel or undo it here.
    pub can_undo: bool,
    /// Cause.
    pub cause: String,
}

/// Facts of a file that could not be read.
#[derive(Clone, Debug)]
pub struct DamageFacts {
    /// The thing that it holds.
    pub what: String,
    /// Place in which it lies now.
    pub file: String,
    /// Reason, where it is known.
    pub words: Option<String>,
}

/// Facts of a certificate that rules look at.
#[derive(Clone, Debug, Default)]
pub struct CertificateFacts {
    /// Name or pattern.
    pub name: String,
    /// Begin and end of its life, seconds since 1970; none where there is no certificate.
    pub life: Option<(u64, u64)>,
    /// The one who renews it does so by itself.
    pub renews: bool,
    /// Attempts to get another one that failed in a row, with cause and remedy.
    pub failure: Option<(u32, String, String)>,
}

/// Facts of an application that rules look at.
#[derive(Clone, Debug)]
pub struct ApplicationFacts {
    /// Name.
    pub name: String,
    /// State.
    pub state: ApplicationState,
    /// Cause of a state that nobody wished.
    pub cause: Option<String>,
    /// Conditions: kind, number of the instance, words with figures.
    pub conditions: Vec<(String, u32, String)>,
}
