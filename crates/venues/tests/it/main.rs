//! The venues' server from outside: through sockets, with the dialects that the collectors use.

mod protocol;
mod replay;
mod simulation;
mod site;
