//! The reach of a document (clause A-14 of `docs/spec/access.md`): what is more than running applications needs more than an operator, by whatever way it comes.

use openmesh_access::Role;
use openmesh_blueprint::Document;

/// The least role for a way from one document to another; there is none before the first.
pub fn least(before: Option<&Document>, after: &Document) -> Role {
    let removes = |before: &Document| before.applications.keys().any(|name| !after.applications.contains_key(name));
    let changes_machine = match before {
        Some(before) => before.machine != after.machine,
        None => !Document::parse("version: 1\n").is_ok_and(|plain| plain.machine == after.machine),
    };
    if changes_machine || before.is_some_and(removes) { Role::Admin } else { Role::Operator }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(text: &str) -> Document {
        Document::parse(&format!("version: 1\n{text}")).unwrap()
    }

    #[test]
    fn taking_away_and_changing_the_machine_needs_an_admin() {
        let digest = "0".repeat(64);
        let image = format!("image: \"localhost/web@sha256:{digest}\"");
        let (none, one) = (document(""), document(&format!("applications: {{web: {{{image}}}}}\n")));
        let two = document(&format!("applications: {{web: {{{image}}}, more: {{{image}}}}}\n"));
        let other = document("machine: {subnet: 10.1.2.0/24}\n");
        assert_eq!(least(None, &none), Role::Operator);
        assert_eq!(least(None, &two), Role::Operator);
        assert_eq!(least(Some(&one), &two), Role::Operator);
        assert_eq!(least(Some(&one), &one), Role::Operator);
        assert_eq!(least(Some(&two), &one), Role::Admin);
        assert_eq!(least(Some(&one), &none), Role::Admin);
        assert_eq!(least(None, &other), Role::Admin);
        assert_eq!(least(Some(&none), &other), Role::Admin);
        assert_eq!(least(Some(&other), &other), Role::Operator);
    }
}
