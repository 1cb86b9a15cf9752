//! The node's door for people and programs: HTTP and WebSocket over the other rooms' handles.

pub mod sessions;
