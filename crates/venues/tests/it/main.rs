//! The venues' server from outside: through sockets, with the dialects that the collectors use.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod protocol;
mod replay;
mod simulation;
mod site;
