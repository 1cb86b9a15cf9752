//! The door: the reverse proxy of an Xnode, in a process of its own that is neither root nor the agent.
//!
//! Inwards from the network: `listen` accepts, `tls` greets, `guard` lets nothing but well-formed HTTP/1.1 reach hyper, `proxy` finds the
//! route of a request, `entry` asks for a `pass` where not everybody may come in, `route` asks `switch` for an instance, `pool` has a connection to it.
//! The agent hands over one whole `document` through `control`; `check` finds its problems, and each route changes in one moment. A door that leaves hears of
//! its successor's through `leaving`. `document`, `check`,
//! `challenge`, `switch`, `head`, `framing`, `fields`, `cookies` and
//! `websocket` are pure: neither sockets nor clocks.

pub mod audience;
pub mod authority;
pub mod body;
pub mod challenge;
pub mod check;
pub mod control;
pub mod cookies;
pub mod crowd;
pub mod document;
pub mod door;
pub mod download;
pub mod effects;
pub mod entry;
pub mod fields;
pub mod framing;
pub mod guard;
pub mod head;
pub mod host;
pub mod keep;
pub mod leaving;
pub mod limits;
pub mod listen;
pub mod page;
pub mod pass;
pub mod patience;
pub mod pool;
pub mod privileges;
pub mod proof;
pub mod protocol;
pub mod proxy;
pub mod report;
pub mod route;
pub mod shared;
pub mod start;
pub mod switch;
pub mod table;
pub mod takeover;
pub mod tls;
pub mod tunnel;
pub mod visits;
pub mod websocket;
