//! Roles (clause A-1 of `docs/spec/access.md`).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A role; a greater one has every right of a smaller one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Looks at everything that is no secret.
    Viewer,
    /// Runs applications: deploys, starts, stops, looks inside, backs up.
    Operator,
    /// Removes, holds secrets, and lets operators and viewers in.
    Admin,
    /// Does everything, and names other owners.
    Owner,
}

impl Role {
    /// All roles, the smallest first.
    pub const ALL: [Role; 4] = [Role::Viewer, Role::Operator, Role::Admin, Role::Owner];

    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Operator => "operator",
            Role::Admin => "admin",
            Role::Owner => "owner",
        }
    }

    /// True where this role may give, change and take the other one: an owner every role, an admin those below its own.
    pub const fn governs(self, other: Role) -> bool {
        match self {
            Role::Owner => true,
            Role::Admin => matches!(other, Role::Viewer | Role::Operator),
            Role::Operator | Role::Viewer => false,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Error of reading a role.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no role; owner, admin, operator and viewer are")]
pub struct RoleError(String);

impl FromStr for Role {
    type Err = RoleError;
    fn from_str(text: &str) -> Result<Role, RoleError> {
        let found = Role::ALL.into_iter().find(|role| role.as_str() == text);
        found.ok_or_else(|| RoleError(text.chars().take(32).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_ordered_and_read_back() {
        assert!(Role::Owner > Role::Admin && Role::Admin > Role::Operator && Role::Operator > Role::Viewer);
        for role in Role::ALL {
            assert_eq!(role.to_string().parse(), Ok(role));
            assert_eq!(serde_json::to_string(&role).unwrap(), format!("\"{role}\""));
        }
        assert!("Owner".parse::<Role>().is_err() && "root".parse::<Role>().is_err());
    }

    #[test]
    fn nobody_but_an_owner_governs_their_own_role() {
        for actor in Role::ALL {
            for other in Role::ALL {
                let expected = actor == Role::Owner || (actor == Role::Admin && other < Role::Admin);
                assert_eq!(actor.governs(other), expected, "{actor} {other}");
            }
        }
    }
}
