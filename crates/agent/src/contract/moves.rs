//! Operations on moves of applications between machines.

use super::list::{CHANGE, List, text, value};
use crate::views::moves::{ArrivalOrder, ArrivalWish, Move, MoveArrival, MoveWish, Moves};

const TAG: &str = "moves";

pub(super) fn list(list: &mut List) {
    list.add(
        TAG,
        ("get", "/moves"),
        "Applications that leave this machine or come to it, and the last moves that ended",
    )
    .answers(value::<Moves>(), "Moves");
    list.add(
        TAG,
        ("post", "/applications/{name}/move"),
        "Move an application to another machine; for one that is on its way there, give another key",
    )
    .query(CHANGE)
    .body(value::<MoveWish>(), true)
    .answers(value::<Move>(), "The move");
    list.add(TAG, ("post", "/applications/{name}/move/undo"), "Cancel a move, or undo one within its hour")
        .query(&[text("by", "Whoever asks, where root asks for somebody")])
        .answers(value::<Move>(), "The move");
    list.add(
        TAG,
        ("delete", "/applications/{name}/move"),
        "Let this machine forget a move: an application that leaves stays as it is, one that comes stays where it serves",
    )
    .query(&[text("by", "Whoever asks, where root asks for somebody")])
    .empty("204", "It is forgotten, or is about to be");
    list.add(TAG, ("put", "/arrivals/{id}"), "Let an application of another machine come, as that machine asks")
        .query(&[text("by", "Whoever asks, where root asks for somebody")])
        .body(value::<ArrivalWish>(), true)
        .answers(value::<MoveArrival>(), "What is there of it");
    list.add(TAG, ("get", "/arrivals/{id}"), "What is there of an application that comes")
        .answers(value::<MoveArrival>(), "What is there of it");
    list.add(TAG, ("post", "/arrivals/{id}/orders"), "An order of the machine that is left")
        .body(value::<ArrivalOrder>(), true)
        .answers(value::<MoveArrival>(), "What follows from it at once");
}
