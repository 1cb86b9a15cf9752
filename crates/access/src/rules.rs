//! The table of rights: every endpoint of the agent's API with the least role that may use it (X-80, clauses of `docs/spec/access.md`).

use crate::role::Role;

/// The least that a request needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Least {
    /// Nothing: the way to sign in, and what is public.
    Nobody,
    /// This role.
    Role(Role),
    /// Root on the machine, through the agent's socket.
    Root,
}

/// A rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Method of HTTP; `HEAD` goes by the rule of `GET`.
    pub method: &'static str,
    /// Path; `{}` stands for one part of it.
    pub path: &'static str,
    /// The least that it needs.
    pub least: Least,
    /// It changes something, or opens something through which that happens: it is in the audit log.
    pub changes: bool,
}

impl Rule {
    /// Method by which rights of a role of one's own fit it. None where a `GET` opens something through which things change, as a terminal does: `*` alone fits
    /// that, so that a role which only looks opens none.
    pub fn right_method(&self) -> Option<&'static str> {
        (self.method != "GET" || !self.changes).then_some(self.method)
    }
}

/// Decision about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is allowed by this rule.
    Allowed(&'static Rule),
    /// Nobody is signed in.
    SignIn(&'static Rule),
    /// The role is too small.
    Forbidden(&'static Rule),
    /// The endpoint has no rule, and so nobody may use it.
    NoRule,
}

const NOBODY: Least = Least::Nobody;
const VIEWER: Least = Least::Role(Role::Viewer);
const OPERATOR: Least = Least::Role(Role::Operator);
const ADMIN: Least = Least::Role(Role::Admin);
const OWNER: Least = Least::Role(Role::Owner);

/// A rule for looking.
const fn look(path: &'static str, least: Least) -> Rule {
    Rule { method: "GET", path, least, changes: false }
}

/// A rule for changing.
const fn change(method: &'static str, path: &'static str, least: Least) -> Rule {
    Rule { method, path, least, changes: true }
}

/// A rule for asking what would be: by a body, and without a change.
const fn ask(path: &'static str, least: Least) -> Rule {
    Rule { method: "POST", path, least, changes: false }
}

/// All rules. Where two fit a path, the one with the earlier literal part is meant, as the router has it.
pub const RULES: &[Rule] = &[
    // The machine, its applications and generations.
    look("/v1/xnode", VIEWER),
    look("/v1/xnode/schema", NOBODY),
    look("/openapi.json", NOBODY),
    look("/v1/xnode/openapi.json", NOBODY),
    look("/v1/xnode/events", VIEWER),
    look("/v1/xnode/holdings", ADMIN),
    look("/v1/xnode/drain", VIEWER),
    change("PUT", "/v1/xnode/drain", ADMIN),
    change("DELETE", "/v1/xnode/drain", ADMIN),
    look("/v1/xnode/applications", VIEWER),
    change("POST", "/v1/xnode/applications", OPERATOR),
    look("/v1/xnode/applications/{}", VIEWER),
    change("DELETE", "/v1/xnode/applications/{}", ADMIN),
    look("/v1/xnode/applications/{}/logs", VIEWER),
    change("POST", "/v1/xnode/applications/{}/restart", OPERATOR),
    look("/v1/xnode/applications/{}/upgrade", VIEWER),
    change("POST", "/v1/xnode/applications/{}/upgrade", OPERATOR),
    look("/v1/xnode/costs", VIEWER),
    look("/v1/xnode/generations", VIEWER),
    look("/v1/xnode/generations/{}", VIEWER),
    look("/v1/xnode/generations/{}/diff/{}", VIEWER),
    change("POST", "/v1/xnode/generations/{}/restore", OPERATOR),
    look("/v1/xnode/export/nixos", VIEWER),
    // Inside of applications: whoever is there can do what the application can, so it is in the log when it begins.
    change("POST", "/v1/xnode/applications/{}/exec", OPERATOR),
    change("GET", "/v1/xnode/applications/{}/terminal", OPERATOR),
    // Arguments may hold what the machine knows as nobody's secret.
    look("/v1/xnode/applications/{}/processes", OPERATOR),
    look("/v1/xnode/applications/{}/usage", VIEWER),
    look("/v1/xnode/applications/{}/jobs", VIEWER),
    change("POST", "/v1/xnode/applications/{}/jobs/{}", OPERATOR),
    change("DELETE", "/v1/xnode/applications/{}/jobs/{}", OPERATOR),
    look("/v1/xnode/applications/{}/jobs/{}/logs", VIEWER),
    // Files: what applications keep may be secret, so that whoever only looks at states does not read it.
    look("/v1/xnode/applications/{}/files", OPERATOR),
    look("/v1/xnode/applications/{}/files/root", OPERATOR),
    look("/v1/xnode/applications/{}/files/root/content", OPERATOR),
    look("/v1/xnode/applications/{}/files/volumes/{}", OPERATOR),
    change("PUT", "/v1/xnode/applications/{}/files/volumes/{}", OPERATOR),
    change("POST", "/v1/xnode/applications/{}/files/volumes/{}", OPERATOR),
    change("DELETE", "/v1/xnode/applications/{}/files/volumes/{}", OPERATOR),
    look("/v1/xnode/applications/{}/files/volumes/{}/content", OPERATOR),
    change("PUT", "/v1/xnode/applications/{}/files/volumes/{}/content", OPERATOR),
    // Alerts. A test of a webhook sends something to the outside.
    look("/v1/xnode/alerts", VIEWER),
    change("POST", "/v1/xnode/alerts/{}/acknowledge", OPERATOR),
    change("POST", "/v1/xnode/alerts/webhooks/{}/test", ADMIN),
    // Templates.
    look("/v1/xnode/templates", VIEWER),
    look("/v1/xnode/templates/{}", VIEWER),
    ask("/v1/xnode/templates/{}/preflight", OPERATOR),
    change("POST", "/v1/xnode/templates/{}/deploy", OPERATOR),
    // Catalogues of others are named by the document of the machine, which an admin changes; a look at the place of one asks that place.
    look("/v1/xnode/catalogues", VIEWER),
    change("POST", "/v1/xnode/catalogues/{}/refresh", OPERATOR),
    ask("/v1/xnode/import", OPERATOR),
    // The door. The root of the own authority is for every device that should trust it.
    look("/v1/xnode/doors", VIEWER),
    look("/v1/xnode/doors/authority", NOBODY),
    change("PUT", "/v1/xnode/doors/certificates/{}", ADMIN),
    change("DELETE", "/v1/xnode/doors/certificates/{}", ADMIN),
    // Backups. Whoever can read them can read everything, and whoever restores the machine replaces it.
    look("/v1/xnode/backups", VIEWER),
    look("/v1/xnode/backups/key", ADMIN),
    change("PUT", "/v1/xnode/backups/key", OWNER),
    change("POST", "/v1/xnode/backups/targets/{}/join", OWNER),
    look("/v1/xnode/backups/jobs/{}", VIEWER),
    change("DELETE", "/v1/xnode/backups/jobs/{}", OPERATOR),
    change("POST", "/v1/xnode/backups/machine", OWNER),
    ask("/v1/xnode/backups/machine/plan", OWNER),
    look("/v1/xnode/applications/{}/backups", VIEWER),
    change("POST", "/v1/xnode/applications/{}/backups", OPERATOR),
    change("POST", "/v1/xnode/applications/{}/backups/drill", OPERATOR),
    change("POST", "/v1/xnode/applications/{}/backups/restore", OPERATOR),
    look("/v1/xnode/applications/{}/lines", VIEWER),
    change("DELETE", "/v1/xnode/applications/{}/lines/{}/{}", ADMIN),
    // Room for the backups of others: whoever takes it away may take away the last copy of what somebody has.
    look("/v1/xnode/loans", VIEWER),
    change("PUT", "/v1/xnode/loans/{}", ADMIN),
    change("DELETE", "/v1/xnode/loans/{}", OWNER),
    change("POST", "/v1/xnode/loans/{}/end", ADMIN),
    change("POST", "/v1/xnode/loans/{}/bring-back", ADMIN),
    // Moves of applications between machines. Whoever brings one does here what a deployment does; its data come with it.
    look("/v1/xnode/moves", VIEWER),
    change("POST", "/v1/xnode/applications/{}/move", OPERATOR),
    change("POST", "/v1/xnode/applications/{}/move/undo", OPERATOR),
    change("DELETE", "/v1/xnode/applications/{}/move", ADMIN),
    look("/v1/xnode/arrivals/{}", OPERATOR),
    change("PUT", "/v1/xnode/arrivals/{}", OPERATOR),
    change("POST", "/v1/xnode/arrivals/{}/orders", OPERATOR),
    // Other machines. An invitation makes a machine its owner's, so only an owner makes one; a machine that joins, reports or leaves proves itself by its own secret.
    look("/v1/xnode/invitations", OWNER),
    change("POST", "/v1/xnode/invitations", OWNER),
    change("DELETE", "/v1/xnode/invitations/{}", OWNER),
    look("/v1/xnode/machines", VIEWER),
    change("POST", "/v1/xnode/machines", NOBODY),
    change("DELETE", "/v1/xnode/machines/{}", OWNER),
    ask("/v1/xnode/machines/{}/report", NOBODY),
    change("POST", "/v1/xnode/machines/{}/leave", NOBODY),
    look("/v1/xnode/join", VIEWER),
    change("POST", "/v1/xnode/join", Least::Root),
    change("DELETE", "/v1/xnode/join", OWNER),
    // Secrets: names and versions. Values leave the agent by no endpoint.
    look("/v1/xnode/secrets", OPERATOR),
    change("PUT", "/v1/xnode/secrets/{}", ADMIN),
    change("DELETE", "/v1/xnode/secrets/{}", ADMIN),
    // Access. Everybody manages their own sessions; further rules about whom one may touch are those of `Role::governs`.
    look("/v1/xnode/access/nonce", NOBODY),
    change("POST", "/v1/xnode/access/sign-in", NOBODY),
    // Visitors of applications that are not for everybody: they get no session, and no right here.
    look("/v1/xnode/access/visit", NOBODY),
    change("POST", "/v1/xnode/access/visit", NOBODY),
    look("/v1/xnode/access/me", VIEWER),
    change("DELETE", "/v1/xnode/access/session", VIEWER),
    look("/v1/xnode/access/sessions", VIEWER),
    change("DELETE", "/v1/xnode/access/sessions/{}", VIEWER),
    look("/v1/xnode/access/members", VIEWER),
    change("PUT", "/v1/xnode/access/members/{}", ADMIN),
    change("DELETE", "/v1/xnode/access/members/{}", ADMIN),
    change("DELETE", "/v1/xnode/access/members/{}/sessions", VIEWER),
    // Roles of one's own say who may do what, so that only an owner makes them.
    look("/v1/xnode/access/roles", ADMIN),
    change("PUT", "/v1/xnode/access/roles/{}", OWNER),
    change("DELETE", "/v1/xnode/access/roles/{}", OWNER),
    look("/v1/xnode/access/keys", ADMIN),
    change("POST", "/v1/xnode/access/keys", ADMIN),
    change("DELETE", "/v1/xnode/access/keys/{}", ADMIN),
    look("/v1/xnode/access/audit", ADMIN),
    look("/v1/xnode/access/audit/verify", ADMIN),
    change("POST", "/v1/xnode/access/code", Least::Root),
];

/// The decision about a request; `role` is none where nobody is signed in. The path is the request's, or the pattern that the router has found for it.
pub fn decide(role: Option<Role>, method: &str, path: &str) -> Verdict {
    let Some(rule) = rule(method, path) else { return Verdict::NoRule };
    match (rule.least, role) {
        (Least::Nobody, _) => Verdict::Allowed(rule),
        (Least::Role(_) | Least::Root, None) => Verdict::SignIn(rule),
        (Least::Role(least), Some(role)) if role >= least => Verdict::Allowed(rule),
        _ => Verdict::Forbidden(rule),
    }
}

/// The rule of an endpoint, the one with the earlier literal part where several fit.
pub fn rule(method: &str, path: &str) -> Option<&'static Rule> {
    let method = if method == "HEAD" { "GET" } else { method };
    let fitting = RULES.iter().filter(|rule| rule.method == method && fits(rule.path, path));
    fitting.max_by_key(|rule| literals(rule.path))
}

fn fits(pattern: &str, path: &str) -> bool {
    let (mut wanted, mut found) = (pattern.split('/'), path.split('/'));
    loop {
        match (wanted.next(), found.next()) {
            (None, None) => return true,
            (Some("{}"), Some(part)) if !part.is_empty() => {}
            (Some(wanted), Some(part)) if wanted == part => {}
            _ => return false,
        }
    }
}

/// Parts of a pattern, true for literal ones: the greater of two is the one with the earlier literal part.
fn literals(pattern: &str) -> Vec<bool> {
    pattern.split('/').map(|part| part != "{}").collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"];

    fn roles() -> impl Iterator<Item = Option<Role>> {
        std::iter::once(None).chain(Role::ALL.into_iter().map(Some))
    }

    /// Every route with every method and every role: what has no rule is refused, and what has one is as the rule says.
    #[test]
    fn routes_by_methods_by_roles() {
        let paths: BTreeSet<&str> = RULES.iter().map(|rule| rule.path).collect();
        for path in paths {
            let path = path.replace("{}", "web");
            for method in METHODS {
                let named = if method == "HEAD" { "GET" } else { method };
                let expected = rule(named, &path);
                for role in roles() {
                    let verdict = decide(role, method, &path);
                    match (expected, role) {
                        (None, _) => assert_eq!(verdict, Verdict::NoRule, "{method} {path}"),
                        (Some(rule), role) => {
                            let enough = match rule.least {
                                Least::Nobody => true,
                                Least::Role(least) => role.is_some_and(|role| role >= least),
                                Least::Root => false,
                            };
                            assert_eq!(matches!(verdict, Verdict::Allowed(_)), enough, "{role:?} {method} {path}");
                            let signs_in = matches!(verdict, Verdict::SignIn(_));
                            assert_eq!(signs_in, role.is_none() && rule.least != Least::Nobody);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn the_table_names_each_endpoint_once_and_every_change_as_one() {
        let all: BTreeSet<(&str, &str)> = RULES.iter().map(|rule| (rule.method, rule.path)).collect();
        assert_eq!(all.len(), RULES.len());
        for rule in RULES {
            // Beside the interface there is its description, where people look for one.
            let is_ours = rule.path.starts_with("/v1/xnode") || rule.path == "/openapi.json";
            assert!(is_ours && !rule.path.ends_with('/'), "{rule:?}");
            let asks = ["/plan", "/preflight", "/import", "/report"].iter().any(|end| rule.path.ends_with(end));
            assert!(rule.changes || rule.method == "GET" || asks, "{rule:?} is not in the audit log");
            assert!(METHODS.contains(&rule.method) && rule.method != "HEAD");
        }
    }

    /// The rights of each role as the specification has them.
    #[test]
    fn rights_of_roles() {
        let may = |role: Role, method, path| matches!(decide(Some(role), method, path), Verdict::Allowed(_));
        for (method, path, least) in [
            ("GET", "/v1/xnode/applications/web/logs", Role::Viewer),
            ("POST", "/v1/xnode/applications", Role::Operator),
            ("DELETE", "/v1/xnode/applications/web", Role::Admin),
            ("GET", "/v1/xnode/applications/web/terminal", Role::Operator),
            ("GET", "/v1/xnode/applications/web/processes", Role::Operator),
            ("PUT", "/v1/xnode/secrets/token", Role::Admin),
            ("PUT", "/v1/xnode/backups/key", Role::Owner),
            ("GET", "/v1/xnode/loans", Role::Viewer),
            ("PUT", "/v1/xnode/loans/ann", Role::Admin),
            ("POST", "/v1/xnode/loans/ann/bring-back", Role::Admin),
            ("DELETE", "/v1/xnode/loans/ann", Role::Owner),
            ("PUT", "/v1/xnode/access/members/0x00", Role::Admin),
            ("GET", "/v1/xnode/moves", Role::Viewer),
            ("POST", "/v1/xnode/applications/web/move", Role::Operator),
            ("POST", "/v1/xnode/applications/web/move/undo", Role::Operator),
            ("DELETE", "/v1/xnode/applications/web/move", Role::Admin),
            ("GET", "/v1/xnode/arrivals/00", Role::Operator),
            ("PUT", "/v1/xnode/arrivals/00", Role::Operator),
            ("POST", "/v1/xnode/arrivals/00/orders", Role::Operator),
            ("GET", "/v1/xnode/access/audit", Role::Admin),
            ("GET", "/v1/xnode/machines", Role::Viewer),
            ("POST", "/v1/xnode/invitations", Role::Owner),
            ("DELETE", "/v1/xnode/machines/00", Role::Owner),
            ("DELETE", "/v1/xnode/join", Role::Owner),
        ] {
            for role in Role::ALL {
                assert_eq!(may(role, method, path), role >= least, "{role} {method} {path}");
            }
        }
        assert!(Role::ALL.into_iter().all(|role| !may(role, "POST", "/v1/xnode/access/code")), "root alone");
        assert!(Role::ALL.into_iter().all(|role| !may(role, "POST", "/v1/xnode/join")), "root alone");
    }

    #[test]
    fn tricks_with_paths_find_no_rule() {
        for path in [
            "",
            "/",
            "/v1",
            "/v1/xnode/",
            "//v1/xnode",
            "/v1//xnode",
            "/v1/xnode/applications/",
            "/v1/xnode/applications//logs",
            "/v1/xnode/applications/../secrets",
            "/v1/xnode/%73ecrets",
            "/v1/xnode/Secrets",
            "/v1/xnode;a=b",
            "/v1/xnode/access/audit/",
            "/v1/xnode/generations/1/diff",
            "v1/xnode",
        ] {
            assert_eq!(rule("GET", path), None, "{path}");
        }
        assert_eq!(rule("get", "/v1/xnode"), None, "methods are written in capitals");
        // A pattern of the router is a path too.
        assert!(rule("GET", "/v1/xnode/applications/{name}/logs").is_some());
    }

    proptest! {
        /// More role never means less right, and nobody signed in never means more.
        #[test]
        fn rights_grow_with_roles(at in 0..RULES.len(), method in 0..METHODS.len(), part in "[a-z{}0-9.]{1,8}") {
            let path = RULES[at].path.replace("{}", &part);
            let allowed: Vec<bool> =
                roles().map(|role| matches!(decide(role, METHODS[method], &path), Verdict::Allowed(_))).collect();
            prop_assert!(allowed.is_sorted(), "{path} {allowed:?}");
        }

        #[test]
        fn any_text_is_decided(method in ".{0,12}", path in ".{0,80}") {
            let verdict = decide(Some(Role::Owner), &method, &path);
            prop_assert!(verdict == Verdict::NoRule || path.starts_with("/v1/xnode"));
        }
    }
}
