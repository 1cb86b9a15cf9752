//! Automatic return after a failure, by the rule of.

use std::fmt;

/// Moment of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Before traffic from outside.
    Gate,
    /// With traffic from outside.
    Probation,
}

/// Traffic that the door has let in since a version was admitted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Admitted {
    /// Connections of raw TCP or UDP.
    pub connections: u64,
    /// HTTP requests other than GET, HEAD and OPTIONS.
    pub writing_requests: u64,
    /// HTTP requests by GET, HEAD and OPTIONS.
    pub reading_requests: u64,
}

/// Consequence of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Return {
    /// The old version goes on with the old line of data: nothing that a client was told can be in the new one.
    CodeAndData,
    /// The old version goes on with the present data, which it can read.
    CodeOnPresentData,
    /// Neither is safe: the maintenance page stands, both lines are kept, and a person chooses.
    Held,
}

impl fmt::Display for Return {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Return::CodeAndData => "the version before goes on with the data before; no client had written",
            Return::CodeOnPresentData => "the version before goes on with the present data, which it can read",
            Return::Held => "held behind the maintenance page: clients have written, and both lines of data are kept until a person chooses",
        })
    }
}

/// The consequence of a failure. `compatible` says that the version before reads what the new one writes; `stateless` that no volume is written.
pub fn decide(stage: Stage, admitted: Admitted, compatible: bool, stateless: bool) -> Return {
    let nothing_written = admitted.connections == 0 && admitted.writing_requests == 0;
    match stage {
        Stage::Gate => Return::CodeAndData,
        Stage::Probation if nothing_written || stateless => Return::CodeAndData,
        Stage::Probation if compatible => Return::CodeOnPresentData,
        Stage::Probation => Return::Held,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_returns_by_itself_only_when_nobody_wrote() {
        let none = Admitted::default();
        let reads = Admitted { reading_requests: 1_000, ..none };
        let writes = Admitted { writing_requests: 1, ..none };
        let raw = Admitted { connections: 1, ..none };
        assert_eq!(decide(Stage::Gate, writes, false, false), Return::CodeAndData);
        for admitted in [none, reads] {
            assert_eq!(decide(Stage::Probation, admitted, false, false), Return::CodeAndData);
        }
        for admitted in [writes, raw] {
            assert_eq!(decide(Stage::Probation, admitted, true, false), Return::CodeOnPresentData);
            assert_eq!(decide(Stage::Probation, admitted, false, false), Return::Held);
            assert_eq!(decide(Stage::Probation, admitted, false, true), Return::CodeAndData);
        }
    }
}
