//! Tests of the pure half of the Xnode.

mod document;
mod golden;
