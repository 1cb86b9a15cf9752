//! Command line of room for the backups of other machines.

use clap::{Args, Subcommand};
use openmesh_agent::{Name, Size};
use openmesh_primitives::Timestamp;

use super::common::{AgentName, Output};

/// Room for the backups of other machines.
#[derive(Debug, Subcommand)]
pub enum LendCommand {
    /// List loans with what is used of them, and print what a guest writes into its document.
    List {
        /// Agent.
        #[command(flatten)]
        agent: AgentName,
        /// Output.
        #[command(flatten)]
        output: Output,
    },
    /// Lend room to another machine's key, or change a loan.
    Give(GiveArgs),
    /// End a loan: its guest can read what it has, and stores and removes nothing.
    End {
        /// Loan.
        name: Name,
        /// Agent.
        #[command(flatten)]
        agent: AgentName,
        /// Output.
        #[command(flatten)]
        output: Output,
    },
    /// Bring back what a guest has removed in the last days, as after its machine was stolen.
    BringBack {
        /// Loan.
        name: Name,
        /// Days in which this machine lent, the present one among them.
        #[arg(long, value_name = "DAYS")]
        days: u32,
        /// Agent.
        #[command(flatten)]
        agent: AgentName,
        /// Output.
        #[command(flatten)]
        output: Output,
    },
    /// Remove an ended loan with all backups of its guest.
    Forget {
        /// Loan.
        name: Name,
        /// Do it; without it is shown what would go.
        #[arg(long)]
        yes: bool,
        /// Agent.
        #[command(flatten)]
        agent: AgentName,
        /// Output.
        #[command(flatten)]
        output: Output,
    },
}

/// Arguments of `xnode lend give`.
#[derive(Debug, Args)]
pub struct GiveArgs {
    /// Loan, by a name of your choice.
    pub name: Name,
    /// Guest's key, as `openmesh xnode backup-key show` prints it there; several for the machines of one guest.
    #[arg(long = "to", value_name = "KEY", required = true)]
    pub keys: Vec<String>,
    /// Reading key of the guest's owner, as the same command prints it: with the owner's key all of it can be restored onto any machine.
    #[arg(long = "reader", value_name = "KEY")]
    pub readers: Vec<String>,
    /// Room, such as 200GiB.
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub room: Size,
    /// Day or moment (UTC) after which nothing new is taken: 2027-06-30, or 2027-06-30T12:00:00Z.
    #[arg(long, value_name = "DATE", value_parser = moment)]
    pub until: Option<Timestamp>,
    /// Days for which what the guest removes is withheld, so that a thief of its machine cannot erase its backups; 14 where not given.
    #[arg(long, value_name = "DAYS")]
    pub hold: Option<u32>,
    /// Agent.
    #[command(flatten)]
    pub agent: AgentName,
    /// Output.
    #[command(flatten)]
    pub output: Output,
}

fn size(text: &str) -> Result<Size, String> {
    text.parse::<Size>().map_err(|error| error.to_string())
}

/// A day or a moment as a person writes it.
fn moment(text: &str) -> Result<Timestamp, String> {
    let whole = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
    Timestamp::parse_rfc3339(whole.as_bytes())
        .map_err(|_| "a day such as 2027-06-30, or a moment such as 2027-06-30T12:00:00Z, is expected".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_moments_are_read() {
        assert_eq!(moment("2027-06-30"), moment("2027-06-30T00:00:00Z"));
        assert!(moment("2027-06-30T12:00:00Z") > moment("2027-06-30"));
        for wrong in ["", "soon", "2027-02-30", "30.06.2027"] {
            assert!(moment(wrong).is_err(), "{wrong}");
        }
        assert_eq!(size("2GiB"), Ok(Size(2 << 30)));
        assert!(size("2").is_err());
    }
}
