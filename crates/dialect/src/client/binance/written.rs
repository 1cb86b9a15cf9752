//! The three messages that come most, read in one pass where they are written as the venue writes them; see
//! [`crate::client::scan`]. Fields may stand in any order, and new ones with a plain value are passed over.

use std::borrow::Cow;

use super::wire::{Depth, RawTicker, RawTrade};
use crate::client::json::{Num, Text};
use crate::client::scan::Scan;

/// Calls `field` with each key of an object that fills the whole text.
fn fields<'a>(text: &'a str, mut field: impl FnMut(&'a [u8], &mut Scan<'a>) -> Option<()>) -> Option<()> {
    let mut scan = Scan::new(text.as_bytes());
    scan.take(b'{')?;
    loop {
        let key = scan.bytes()?;
        scan.take(b':')?;
        field(key, &mut scan)?;
        if !scan.next_is(b',') {
            break;
        }
    }
    scan.take(b'}')?;
    scan.is_done().then_some(())
}

/// A time in milliseconds.
fn millis(scan: &mut Scan<'_>) -> Option<i64> {
    i64::try_from(scan.whole()?).ok()
}

/// `depthUpdate`.
pub(super) fn depth(text: &str) -> Option<Depth<'_>> {
    let (mut time, mut name, mut first, mut last, mut previous) = (None, None, None, None, None);
    let (mut bids, mut asks) = (None, None);
    fields(text, |key, scan| {
        match key {
            b"E" => time = Some(millis(scan)?),
            b"s" => name = Some(scan.string()?),
            b"U" => first = Some(scan.whole()?),
            b"u" => last = Some(scan.whole()?),
            b"pu" => previous = Some(scan.whole()?),
            b"b" => bids = Some(scan.levels(|_| Some(()))?),
            b"a" => asks = Some(scan.levels(|_| Some(()))?),
            _ => scan.pass()?,
        }
        Some(())
    })?;
    let s = Text(Cow::Borrowed(name?));
    Some(Depth { time: time?, s, first: first?, last: last?, previous, bids: bids?, asks: asks? })
}

/// `bookTicker`.
pub(super) fn ticker(text: &str) -> Option<RawTicker<'_>> {
    let mut ticker =
        RawTicker { s: Text(Cow::Borrowed("")), time: None, b: None, bid_size: None, a: None, ask_size: None, c: None };
    let mut name = None;
    fields(text, |key, scan| {
        match key {
            b"E" => ticker.time = Some(millis(scan)?),
            b"s" => name = Some(scan.string()?),
            b"b" => ticker.b = Some(scan.decimal()?),
            b"B" => ticker.bid_size = Some(scan.decimal()?),
            b"a" => ticker.a = Some(scan.decimal()?),
            b"A" => ticker.ask_size = Some(scan.decimal()?),
            b"c" => ticker.c = Some(scan.decimal()?),
            _ => scan.pass()?,
        }
        Some(())
    })?;
    ticker.s = Text(Cow::Borrowed(name?));
    Some(ticker)
}

/// `trade` and `aggTrade`.
pub(super) fn trade(text: &str) -> Option<RawTrade<'_>> {
    let (mut name, mut t, mut a, mut p, mut q) = (None, None, None, None, None);
    let (mut time, mut made, mut m, mut kind) = (None, None, None, None);
    fields(text, |key, scan| {
        match key {
            b"s" => name = Some(scan.string()?),
            b"t" => t = Some(Num::of_digits(scan.digits_text()?)),
            b"a" => a = Some(Num::of_digits(scan.digits_text()?)),
            b"p" => p = Some(scan.decimal()?),
            b"q" => q = Some(scan.decimal()?),
            b"T" => time = Some(millis(scan)?),
            b"E" => made = Some(millis(scan)?),
            b"m" => m = Some(scan.boolean()?),
            b"X" => kind = Some(Text(Cow::Borrowed(scan.string()?))),
            _ => scan.pass()?,
        }
        Some(())
    })?;
    Some(RawTrade { s: Text(Cow::Borrowed(name?)), t, a, p: p?, q: q?, time, made, m: m?, kind })
}
