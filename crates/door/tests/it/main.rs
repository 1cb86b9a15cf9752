//! The door over real sockets, in this process and in one of its own, and the rules of its parts.

mod apply;
mod audiences;
mod challenges;
mod crowd;
mod document;
mod framing;
mod hostile;
mod http2;
mod process;
mod proxy;
mod rights;
mod slow;
mod spec;
mod stage;
mod switch;
mod switches;
mod takeover;
mod tls;
mod tunnels;
mod whole;
