//! Requests and answers about machines that join, as JSON has them.

use std::net::IpAddr;

use openmesh_access::views::Invitation;
use openmesh_primitives::{Address, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::error::JoinError;

/// Applications of a report that are named: those that a list shows.
pub const NAMED_MAX: usize = 16;
/// Longest name or word of a report, characters.
const WORD_CHARS_MAX: usize = 64;
/// Longest address of a report, characters.
const ADDRESS_CHARS_MAX: usize = 300;

/// A wish for an invitation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InvitationWish {
    /// Length of its life, milliseconds; an hour without it.
    #[serde(default)]
    pub lasts_ms: Option<u64>,
    /// Wallet that owns the machine: one of the owners here; the one's who asks without it.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = "address")]
    pub owner: Option<Address>,
    /// Address at which the machine reaches this Xnode; the name under which it is asked, or its first one, without it.
    #[serde(default)]
    pub at: Option<String>,
    /// Addresses at which that name is looked for; this machine's own without it.
    #[serde(default)]
    #[schema(value_type = Option<Vec<String>>)]
    pub addresses: Option<Vec<IpAddr>>,
}

/// An invitation that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MadeInvitation {
    /// The line, told this once.
    pub line: String,
    /// Command by which the other machine joins, as it is pasted there. The line is given to it by standard input, so that it is in no list of processes.
    pub command: String,
    /// Address at which the machine reaches this Xnode.
    pub at: String,
    /// Reason for which it may not be reached there now.
    pub remark: Option<String>,
    /// Its entry in the list.
    pub entry: Invitation,
}

/// A machine that wants to join.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct JoinWish {
    /// Token of the invitation.
    pub invitation: String,
    /// Token of the machine, which it has made itself.
    pub token: String,
    /// Its name.
    pub name: String,
}

/// A machine that was let in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LetIn {
    /// Its number here.
    pub id: String,
    /// Wallet that owns it.
    #[schema(value_type = String, format = "address")]
    pub owner: Address,
    /// Name of this Xnode.
    pub node: String,
    /// This Xnode's clock.
    #[schema(value_type = String, format = "seconds")]
    pub at: Timestamp,
}

/// Answer to a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Heard {
    /// This Xnode's clock.
    #[schema(value_type = String, format = "seconds")]
    pub at: Timestamp,
}

/// An application that is not as it is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TroubledApplication {
    /// Name.
    pub name: String,
    /// State, in the word of the list of applications.
    pub state: String,
}

/// A machine's word on itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MachineReport {
    /// Name.
    pub name: String,
    /// Version of its agent.
    pub version: String,
    /// Address of its own Studio; none where it has no name with TLS.
    pub url: Option<String>,
    /// Its clock.
    #[schema(value_type = String, format = "seconds")]
    pub at: Timestamp,
    /// Work of its agent, in the word of its own page.
    pub work: String,
    /// Processors.
    pub processors: u32,
    /// Load of the last minute, in thousandths.
    pub load_milli: u32,
    /// Memory, bytes.
    pub memory_bytes: u64,
    /// Memory in use, bytes.
    pub memory_used_bytes: u64,
    /// Disk of the agent's folder, bytes.
    pub disk_bytes: u64,
    /// Disk in use, bytes.
    pub disk_used_bytes: u64,
    /// Number of its applications.
    pub applications: u32,
    /// Number of those that run.
    pub running: u32,
    /// Some of those that are neither running, nor stopped or starting as it is wanted.
    pub troubled: Vec<TroubledApplication>,
    /// Number of its open critical alerts.
    pub critical: u32,
    /// Number of its open warnings.
    pub warnings: u32,
}

impl MachineReport {
    /// The report as it is kept and shown: a machine may say anything.
    ///
    /// # Errors
    /// It has too many or too long words.
    pub fn checked(mut self) -> Result<MachineReport, JoinError> {
        let words = [&self.name, &self.version, &self.work].into_iter();
        let of_applications = self.troubled.iter().flat_map(|one| [&one.name, &one.state]);
        let is_plain = |text: &String| {
            text.chars().count() <= WORD_CHARS_MAX && text.chars().all(|sign| sign.is_ascii_graphic() || sign == ' ')
        };
        if self.troubled.len() > NAMED_MAX || !words.chain(of_applications).all(is_plain) {
            return Err(JoinError::Value(format!(
                "a report names at most {NAMED_MAX} applications, and its words have at most {WORD_CHARS_MAX} plain characters"
            )));
        }
        // People are led there by a link.
        let is_page = |url: &String| {
            let read = reqwest::Url::parse(url).ok().filter(|_| url.len() <= ADDRESS_CHARS_MAX && url.is_ascii());
            read.is_some_and(|read| read.scheme() == "https" && read.username().is_empty() && read.password().is_none())
        };
        self.url = self.url.filter(is_page);
        Ok(self)
    }
}

/// State of a machine that has joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MachineState {
    /// Nothing was heard of it since it joined, or since this agent began, which is less than a minute ago.
    Arrives,
    /// It reports.
    Here,
    /// It has not reported for a minute.
    Silent,
}

/// A machine that has joined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JoinedMachine {
    /// Number.
    pub id: String,
    /// Name.
    pub name: String,
    /// Wallet that owns it.
    #[schema(value_type = String, format = "address")]
    pub owner: Address,
    /// Moment at which it joined.
    #[schema(value_type = String, format = "seconds")]
    pub joined: Timestamp,
    /// State.
    pub state: MachineState,
    /// Last report, also of before this agent began; none where there was none.
    #[schema(value_type = Option<String>, format = "seconds")]
    pub heard: Option<Timestamp>,
    /// Place from which it was sent.
    pub from: Option<String>,
    /// Time by which its clock was ahead of this one's, milliseconds; below zero where it was behind.
    pub clock_ms: Option<i64>,
    /// The report.
    pub report: Option<MachineReport>,
}

/// This Xnode and the machines that joined it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MachineList {
    /// This machine's word on itself.
    pub own: MachineReport,
    /// Machines that have joined.
    pub machines: Vec<JoinedMachine>,
}

/// State of this machine with regard to another Xnode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum JoinState {
    /// It has joined none.
    Alone,
    /// It has asked one, and has not heard that it is in.
    Asks,
    /// It has joined one.
    Joined,
    /// That one has removed it.
    Removed,
}

/// This machine with regard to another Xnode.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JoinView {
    /// State.
    pub state: JoinState,
    /// Address of the other Xnode.
    pub at: Option<String>,
    /// Its name.
    pub node: Option<String>,
    /// Number of this machine there.
    pub id: Option<String>,
    /// Wallet that owns this machine.
    #[schema(value_type = Option<String>, format = "address")]
    pub owner: Option<Address>,
    /// Moment of joining.
    #[schema(value_type = Option<String>, format = "seconds")]
    pub since: Option<Timestamp>,
    /// Last report that was heard there, since this agent began.
    #[schema(value_type = Option<String>, format = "seconds")]
    pub told: Option<Timestamp>,
    /// Time by which this machine's clock was ahead of the other one's, milliseconds; below zero where it was behind.
    pub clock_ms: Option<i64>,
    /// Reason for which the last act or report was not heard.
    pub trouble: Option<String>,
}

/// The line that root gives to a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct JoinLine {
    /// The line of an invitation.
    pub line: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_says_nothing_that_harms_a_page() {
        let report = |url: &str| MachineReport { url: Some(url.into()), ..MachineReport::default() };
        assert_eq!(report("https://attic.lan").checked().unwrap().url.as_deref(), Some("https://attic.lan"));
        for url in ["javascript:alert(1)", "http://attic.lan", "https://ann:word@attic.lan", "attic.lan", ""] {
            assert_eq!(report(url).checked().unwrap().url, None, "{url}");
        }
        assert_eq!(report(&format!("https://{}", "a".repeat(ADDRESS_CHARS_MAX))).checked().unwrap().url, None);
        for name in ["\u{1b}[31m", "\u{202e}", &"a".repeat(WORD_CHARS_MAX + 1)] {
            let report = MachineReport { name: name.into(), ..MachineReport::default() };
            assert!(matches!(report.checked(), Err(JoinError::Value(_))), "{name}");
        }
        let troubled = TroubledApplication { name: "web".into(), state: "held".into() };
        let report = |number| MachineReport { troubled: vec![troubled.clone(); number], ..MachineReport::default() };
        assert!(report(NAMED_MAX).checked().is_ok() && report(NAMED_MAX + 1).checked().is_err());
    }
}
