//! Roles of one's own (clauses of `docs/spec/access.md`): each narrows one of the four roles to some endpoints, by method and path. Pure.
//!
//! Such a role only takes away. So every rule about the four roles holds for whoever has one, and a mistake in it opens nothing.

use std::fmt;
use std::str::FromStr;

use openmesh_primitives::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::Refusal;
use crate::role::Role;
use crate::rules::{Least, RULES, Rule};

/// Roles of one's own: some for each team and pipeline.
pub const OWN_ROLES_MAX: usize = 50;
/// Rights of one of them: as many as there are endpoints of some areas.
pub const RIGHTS_MAX: usize = 64;
/// Longest path of a right, bytes.
const PATH_BYTES_MAX: usize = 256;
/// Longest name, characters.
pub const NAME_CHARS_MAX: usize = 32;
/// Name of nobody's role: that of whoever is root on the machine.
const ROOT: &str = "root";
/// Words for the method of a right.
const METHODS: [&str; 5] = ["*", "GET", "POST", "PUT", "DELETE"];
/// Beginning of every path.
const API: &str = "/v1/xnode";
/// Endpoints that no role of one's own takes away: who one is, and signing out.
const ALWAYS: [(&str, &str); 2] = [("GET", "/v1/xnode/access/me"), ("DELETE", "/v1/xnode/access/session")];

/// A right: a method, or `*` for each; and a path in which `*` stands for one part, and `**` at its end for everything below and what it is below.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Right {
    method: String,
    path: String,
}

/// Error of reading a right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no right: {why}; `GET /v1/xnode/applications/web/**` is one")]
pub struct RightError {
    text: String,
    why: &'static str,
}

impl FromStr for Right {
    type Err = RightError;

    fn from_str(text: &str) -> Result<Right, RightError> {
        let wrong = |why| RightError { text: text.chars().take(PATH_BYTES_MAX).collect(), why };
        let (method, path) = text.trim().split_once(' ').ok_or_else(|| wrong("a method and a path are expected"))?;
        let path = path.trim_start();
        if !METHODS.contains(&method) {
            return Err(wrong("its method is none of GET, POST, PUT, DELETE and *"));
        }
        if path.len() > PATH_BYTES_MAX || !path.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(wrong("its path has at most 256 visible characters"));
        }
        let is_ours = path.strip_prefix(API).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        if !is_ours {
            return Err(wrong("its path begins with something else than /v1/xnode"));
        }
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        let is_part = |part: &&str| match *part {
            "*" | "**" => true,
            part => !part.is_empty() && part != "." && part != ".." && !part.contains(['*', '?', '#', '{', '}']),
        };
        if !parts.iter().all(is_part) {
            return Err(wrong("a part of its path is empty, or has signs that no path has"));
        }
        if parts.iter().rev().skip(1).any(|part| *part == "**") {
            return Err(wrong("`**` stands at the end alone"));
        }
        Ok(Right { method: method.into(), path: path.into() })
    }
}

impl TryFrom<String> for Right {
    type Error = RightError;

    fn try_from(text: String) -> Result<Right, RightError> {
        text.parse()
    }
}

impl From<Right> for String {
    fn from(right: Right) -> String {
        right.to_string()
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

impl Right {
    /// True where it fits a request by the method of its rule, whose path is the one that was asked.
    pub fn allows(&self, method: Option<&str>, path: &str) -> bool {
        self.is_of(method) && fits(&self.path, path, |wanted, found| wanted == found)
    }

    /// True where a request can fit both it and a rule of the table.
    fn meets(&self, rule: &Rule) -> bool {
        self.is_of(rule.right_method()) && fits(&self.path, rule.path, |wanted, found| found == "{}" || wanted == found)
    }

    fn is_of(&self, method: Option<&str>) -> bool {
        self.method == "*" || method == Some(self.method.as_str())
    }

    /// True where it fits whatever another right fits.
    fn covers(&self, other: &Right) -> bool {
        let (mut own, mut others) = (self.path.split('/'), other.path.split('/'));
        (self.method == "*" || self.method == other.method)
            && loop {
                match (own.next(), others.next()) {
                    (Some("**"), _) | (None, None) => break true,
                    (Some("*"), Some(part)) if part != "**" => {}
                    (Some(own), Some(part)) if own == part => {}
                    _ => break false,
                }
            }
    }
}

fn fits(pattern: &str, path: &str, same: impl Fn(&str, &str) -> bool) -> bool {
    let (mut wanted, mut found) = (pattern.split('/'), path.split('/'));
    loop {
        match (wanted.next(), found.next()) {
            (Some("**"), _) | (None, None) => return true,
            (Some("*"), Some(part)) if !part.is_empty() => {}
            (Some(wanted), Some(part)) if same(wanted, part) => {}
            _ => return false,
        }
    }
}

/// A role of one's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnRole {
    /// Role that it narrows.
    pub of: Role,
    /// Rights: of what that role may, whatever one of them fits.
    pub rights: Vec<Right>,
    /// Moment of its last change.
    pub since: Timestamp,
    /// Whoever made that.
    pub by: String,
}

/// Everything that narrows a session or key: of each role of one's own one right has to fit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Only(pub(crate) Vec<(String, Vec<Right>)>);

impl Only {
    /// True where a request may go on, as far as this is asked.
    pub fn allows(&self, method: Option<&str>, path: &str) -> bool {
        let is_always = ALWAYS.iter().any(|(own, at)| method == Some(*own) && *at == path);
        is_always || self.0.iter().all(|(_, rights)| rights.iter().any(|right| right.allows(method, path)))
    }

    /// True where nobody who has these rights could do more by them; none stands for all of a role.
    pub fn covers(&self, rights: Option<&[Right]>) -> bool {
        let within = |own: &[Right], right: &Right| own.iter().any(|own| own.covers(right));
        self.0.iter().all(|(_, own)| rights.is_some_and(|rights| rights.iter().all(|right| within(own, right))))
    }

    /// Names of the roles.
    pub fn names(&self) -> Vec<String> {
        self.0.iter().map(|(name, _)| name.clone()).collect()
    }
}

/// Rights of a session or key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Role.
    pub role: Role,
    /// Roles of one's own that narrow it.
    pub only: Only,
}

/// Checks a role of one's own.
///
/// # Errors
/// Its name cannot be or is that of another role, nobody is narrowed so, or a right opens nothing.
pub fn check(name: &str, of: Role, rights: &[Right]) -> Result<(), Refusal> {
    let value = |words: String| Err(Refusal::Value(words));
    let is_plain = |sign: u8| sign.is_ascii_lowercase() || sign.is_ascii_digit() || sign == b'-';
    let is_name = name.starts_with(|first: char| first.is_ascii_lowercase()) && name.bytes().all(is_plain);
    if !is_name || name.len() > NAME_CHARS_MAX {
        return value(format!(
            "the name of a role has 1 to {NAME_CHARS_MAX} small letters, digits and hyphens, a letter first"
        ));
    }
    if name.parse::<Role>().is_ok() || name == ROOT {
        return value(format!("`{name}` is the name of another role already"));
    }
    if of == Role::Owner {
        return value("an owner does everything: viewer, operator and admin can be narrowed".into());
    }
    if rights.is_empty() || rights.len() > RIGHTS_MAX {
        return value(format!("a role has 1 to {RIGHTS_MAX} rights"));
    }
    let is_given = |rule: &&Rule| matches!(rule.least, Least::Role(least) if of >= least);
    let idle = rights.iter().find(|right| !RULES.iter().filter(is_given).any(|rule| right.meets(rule)));
    match idle {
        Some(right) => value(format!("`{right}` opens nothing: {of} has no endpoint that it fits")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rules::rule;

    fn right(text: &str) -> Right {
        text.parse().unwrap()
    }

    fn only(rights: &[&str]) -> Only {
        Only(vec![("own".into(), rights.iter().map(|text| right(text)).collect())])
    }

    #[test]
    fn rights_are_read_printed_and_refused_with_a_reason() {
        for text in
            ["GET /v1/xnode", "* /v1/xnode/**", "POST /v1/xnode/applications/*/jobs/*", "DELETE /v1/xnode/a_b~c"]
        {
            assert_eq!(right(text).to_string(), text);
            assert_eq!(serde_json::from_str::<Right>(&format!("\"{text}\"")).unwrap(), right(text));
        }
        for (text, why) in [
            ("/v1/xnode", "a method and a path"),
            ("PATCH /v1/xnode", "method is none"),
            ("get /v1/xnode", "method is none"),
            ("GET /v1/xnodes", "something else"),
            ("GET /v2", "something else"),
            ("GET /v1/xnode/", "is empty"),
            ("GET /v1/xnode/../secrets", "signs that no path has"),
            ("GET /v1/xnode/a*", "signs that no path has"),
            ("GET /v1/xnode/{}", "signs that no path has"),
            ("GET /v1/xnode/a?b", "signs that no path has"),
            ("GET /v1/xnode/**/a", "at the end alone"),
            ("GET /v1/xnode/a b", "visible"),
        ] {
            let error = text.parse::<Right>().unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn a_right_fits_what_it_names_and_nothing_else() {
        let web = only(&["* /v1/xnode/applications/web/**", "GET /v1/xnode/applications"]);
        for (method, path, allowed) in [
            ("GET", "/v1/xnode/applications/web", true),
            ("GET", "/v1/xnode/applications/web/logs", true),
            ("POST", "/v1/xnode/applications/web/jobs/a", true),
            ("POST", "/v1/xnode/applications", false),
            ("GET", "/v1/xnode/applications/web2", false),
            ("GET", "/v1/xnode/applications/", false),
            ("GET", "/v1/xnode/Applications", false),
            ("OPTIONS", "/v1/xnode/applications", false),
            ("GET", "/v1/xnode/applications/we%62", false),
            ("GET", "/v1/xnode/applications/db/logs", false),
            ("GET", "/v1/xnode", false),
            ("GET", "/v1/xnode/access/me", true),
            ("DELETE", "/v1/xnode/access/session", true),
            ("DELETE", "/v1/xnode/access/sessions/a", false),
        ] {
            assert_eq!(web.allows(Some(method), path), allowed, "{method} {path}");
        }
        let one = only(&["GET /v1/xnode/applications/*/logs"]);
        for (path, allowed) in [("web/logs", true), ("/logs", false), ("a/b/logs", false), ("web/logs/", false)] {
            assert_eq!(one.allows(Some("GET"), &format!("/v1/xnode/applications/{path}")), allowed, "{path}");
        }
        assert!(Only::default().allows(Some("DELETE"), "/v1/xnode/anything"), "nothing narrows");
        let gone = Only(vec![("gone".into(), Vec::new())]);
        assert!(!gone.allows(Some("GET"), "/v1/xnode"), "a role that is not there leaves nothing");
    }

    #[test]
    fn whoever_may_only_look_opens_no_terminal() {
        let path = "/v1/xnode/applications/web/terminal";
        let method = |path| rule("GET", path).unwrap().right_method();
        assert_eq!((method(path), method("/v1/xnode/applications/web/logs")), (None, Some("GET")));
        assert!(!only(&["GET /v1/xnode/**"]).allows(method(path), path));
        assert!(only(&["* /v1/xnode/applications/*/terminal"]).allows(method(path), path));
        let idle = check("shell", Role::Operator, &[right("GET /v1/xnode/applications/*/terminal")]).unwrap_err();
        assert!(idle.to_string().contains("opens nothing"), "{idle}");
    }

    #[test]
    fn rights_cover_others() {
        let covers = |own: &str, other: &str| right(own).covers(&right(other));
        for (own, other, does) in [
            ("* /v1/xnode/**", "GET /v1/xnode", true),
            ("GET /v1/xnode/**", "* /v1/xnode", false),
            ("GET /v1/xnode/a/*", "GET /v1/xnode/a/b", true),
            ("GET /v1/xnode/a/*", "GET /v1/xnode/a/*", true),
            ("GET /v1/xnode/a/*", "GET /v1/xnode/a/**", false),
            ("GET /v1/xnode/a/**", "GET /v1/xnode/a", true),
            ("GET /v1/xnode/a/b", "GET /v1/xnode/a/*", false),
            ("GET /v1/xnode/a", "GET /v1/xnode/a/b", false),
        ] {
            assert_eq!(covers(own, other), does, "{own} covers {other}");
        }
        assert!(Only::default().covers(None) && !only(&["* /v1/xnode/**"]).covers(None));
        let two = only(&["GET /v1/xnode", "* /v1/xnode/a/**"]);
        assert!(two.covers(Some(&[right("POST /v1/xnode/a/b"), right("GET /v1/xnode")])));
        assert!(!two.covers(Some(&[right("POST /v1/xnode/a/b"), right("POST /v1/xnode")])));
    }

    proptest! {
        /// A right that fits a request meets the rule of its endpoint: none that could open something is refused as idle.
        #[test]
        fn whatever_a_right_fits_it_meets(
            at in 0..RULES.len(),
            text in "(\\*|GET|POST|PUT|DELETE) /v1/xnode(/(\\*|[a-z]{1,8})){0,4}(/\\*\\*)?",
        ) {
            let rule = &RULES[at];
            let path = rule.path.replace("{}", "web");
            let method = rule.right_method();
            prop_assert!(!right(&text).allows(method, &path) || right(&text).meets(rule), "{} {}", text, path);
            let all = right(&format!("{} /v1/xnode/**", method.unwrap_or("*")));
            prop_assert_eq!(all.allows(method, &path), path.starts_with(API));
            prop_assert_eq!(all.meets(rule), path.starts_with(API));
        }

        /// Whatever a right fits that is covered by another one, the other one fits too.
        #[test]
        fn what_is_covered_opens_nothing_more(
            own in "(\\*|GET|POST) /v1/xnode(/(\\*|a|b)){0,3}(/\\*\\*)?",
            other in "(\\*|GET|POST) /v1/xnode(/(\\*|a|b)){0,3}(/\\*\\*)?",
            path in "/v1/xnode(/(a|b|c)){0,4}",
            method in "GET|POST|DELETE",
        ) {
            let (own, other) = (right(&own), right(&other));
            let fits = |right: &Right| right.allows(Some(method.as_str()), &path);
            prop_assert!(!own.covers(&other) || !fits(&other) || fits(&own), "{} covers {}: {} {}", own, other, method, path);
        }

        #[test]
        fn any_text_is_a_right_or_refused(text in "\\PC{0,60}") {
            if let Ok(right) = text.parse::<Right>() {
                prop_assert_eq!(right.to_string().parse::<Right>(), Ok(right));
            }
        }
    }
}
