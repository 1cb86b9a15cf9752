//! Operations on access: signing in, sessions, members, API keys, the audit log.

use super::list::{List, moment, number, text, value, values};
use crate::views::access::{
    Code, Ended, Key, MadeKey, Me, Member, MemberWish, Nonce, OwnRole, OwnRoleWish, Session, SignIn, SignedIn,
};
use crate::views::{AuditRecord, AuditReport, KeyWish, Leave, Untaken, VisitWish, Visited};

const TAG: &str = "access";
/// Words for an answer that a change is made and the door does not know of it.
const UNTAKEN: &str = "It is so at the agent, and the door has not taken it yet: it lets people in as before, and is told again each second";

pub(super) fn list(list: &mut List) {
    list.add(TAG, ("get", "/access/nonce"), "What a message of sign-in needs")
        .answers(value::<Nonce>(), "A nonce for one sign-in");
    list.add(TAG, ("post", "/access/sign-in"), "Sign in by a message of EIP-4361")
        .about("Under a name with TLS the answer also sets the session's cookie.")
        .body(value::<SignIn>(), true)
        .answers(value::<SignedIn>(), "The session, with its token");
    list.add(TAG, ("get", "/access/me"), "Whoever asks, with their role").answers(value::<Me>(), "Whoever asks");
    list.add(TAG, ("delete", "/access/session"), "Sign out").empty("204", "The session is over");
    list.add(TAG, ("get", "/access/sessions"), "Sessions: one's own, and of those whom one governs")
        .answers(values::<Session>(), "Sessions");
    list.add(TAG, ("delete", "/access/sessions/{id}"), "End a session, with what it has open")
        .empty("204", "It is over");
    list.add(TAG, ("get", "/access/members"), "Members").answers(values::<Member>(), "Members");
    list.add(TAG, ("put", "/access/members/{wallet}"), "Let somebody in, or change their role")
        .body(value::<MemberWish>(), true)
        .answers_with("202", value::<Untaken>(), UNTAKEN)
        .empty("204", "It is so");
    list.add(TAG, ("delete", "/access/members/{wallet}"), "Remove a member, with their sessions")
        .answers_with("202", value::<Untaken>(), UNTAKEN)
        .empty("204", "They are no member");
    list.add(TAG, ("delete", "/access/members/{wallet}/sessions"), "End all sessions of a member")
        .answers(value::<Ended>(), "Their number");
    list.add(TAG, ("get", "/access/roles"), "Roles of one's own: each narrows one of the four to some endpoints")
        .answers(values::<OwnRole>(), "Roles of one's own, by name");
    list.add(TAG, ("put", "/access/roles/{name}"), "Make a role of one's own, or change its rights")
        .about("What whoever has it has open ends. As long as somebody has it, it narrows the same role.")
        .body(value::<OwnRoleWish>(), true)
        .empty("204", "It is so");
    list.add(TAG, ("delete", "/access/roles/{name}"), "Remove a role of one's own that nobody has")
        .empty("204", "It is gone");
    list.add(TAG, ("get", "/access/keys"), "API keys, without their secrets").answers(values::<Key>(), "Keys");
    list.add(TAG, ("post", "/access/keys"), "Make an API key")
        .body(value::<KeyWish>(), true)
        .answers(value::<MadeKey>(), "The key, told this once");
    list.add(TAG, ("delete", "/access/keys/{id}"), "End an API key").empty("204", "It is over");
    list.add(TAG, ("get", "/access/audit"), "The audit log")
        .query(&[
            text("who", "Text in the name of whoever asked"),
            text("method", "Method"),
            text("path", "Beginning of the path"),
            text("kind", "`file`, `torn`, `begun`, `ended` or `refused`"),
            moment("since", "Earliest moment"),
            moment("until", "Moment before which they are"),
            number("before", "Number before which they are: that of the last one of the page before"),
            number("limit", "Most of them"),
        ])
        .answers(values::<AuditRecord>(), "Records, the newest first");
    list.add(TAG, ("get", "/access/audit/verify"), "Check the chain of hashes of the audit log")
        .query(&[number("sequence", "Number of a record that was noted elsewhere"), text("hash", "Its hash")])
        .answers(value::<AuditReport>(), "What was found");
    list.add(TAG, ("post", "/access/code"), "A code by which the first owner is named")
        .answers(value::<Code>(), "The code, good for one sign-in");
    list.add(TAG, ("get", "/access/visit"), "The application that a visitor wants to open")
        .query(&[
            text("host", "Host of the application, with the port where it is not the scheme's own"),
            number("tls", "1 where it was asked with TLS, else 0"),
            text("visit", "Number of the visit, as the door gave it"),
            text("to", "Target of the request, in hexadecimal digits"),
        ])
        .answers(value::<Visited>(), "The application");
    list.add(TAG, ("post", "/access/visit"), "Sign in as a visitor of an application, by a message of EIP-4361")
        .about("The visitor need not be a member, and gets no session: the answer leads back to the application.")
        .body(value::<VisitWish>(), true)
        .answers(value::<Leave>(), "Leave to come in");
}
