//! A small mutator for the ordinary tests: blind, but the same in every run, and aware of lines, numbers and of what the
//! other seeds hold. libFuzzer has its own and does not use this.

use openmesh_primitives::SplitMix64;

/// Numbers at the edges of what types hold.
const EDGES: [&str; 18] = [
    "0",
    "1",
    "-1",
    "255",
    "256",
    "65536",
    "2147483648",
    "4294967295",
    "4294967296",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "340282366920938463463374607431768211456",
    "1e64",
    "1e-64",
    "0.000000000000000000000000000000000001",
];

/// Bytes that mean something in JSON, in SQL or in paths.
const MARKS: [&str; 24] = [
    "\"",
    "\\",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "null",
    "true",
    "\\u0000",
    "\u{e9}",
    "\u{1f600}",
    "../",
    "\0",
    "\n",
    "'",
    ";",
    "--",
    "(",
    ")",
    "%",
    "\"\"",
    "-",
];

/// Alters a seed in one to six places; `others` lend pieces.
pub fn mutated(seed: &[u8], others: &[Vec<u8>], random: &mut SplitMix64) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=random.index(6) {
        alter(&mut bytes, others, random);
    }
    bytes.truncate(crate::INPUT_BYTES_MAX);
    bytes
}

fn alter(bytes: &mut Vec<u8>, others: &[Vec<u8>], random: &mut SplitMix64) {
    let at = random.index(bytes.len());
    let end = (at + 1 + random.index(16)).min(bytes.len());
    match random.index(12) {
        0 if !bytes.is_empty() => bytes[at] ^= 1 << random.index(8),
        1 if !bytes.is_empty() => bytes[at] = random.next() as u8,
        2 if !bytes.is_empty() => drop(bytes.drain(at..end)),
        3 => drop(bytes.splice(at..at, random.next().to_le_bytes().into_iter().take(1 + at % 8))),
        4 if !bytes.is_empty() => {
            let piece = bytes[at..end].to_vec();
            bytes.splice(at..at, piece);
        }
        5 => drop(bytes.splice(at..at, MARKS[random.index(MARKS.len())].bytes())),
        6 | 7 => number(bytes, at, random),
        8 => lines(bytes, random),
        9 => {
            let other = &others[random.index(others.len())];
            let from = random.index(other.len());
            let to = (from + random.index(64)).min(other.len());
            bytes.splice(at..at, other[from..to].iter().copied());
        }
        10 if !bytes.is_empty() => bytes[at..end].fill(if random.index(2) == 0 { 0 } else { 0xff }),
        _ => bytes.truncate(at + random.index(bytes.len() + 1 - at.min(bytes.len()))),
    }
}

/// Replaces the number at or after a place by one at an edge.
fn number(bytes: &mut Vec<u8>, at: usize, random: &mut SplitMix64) {
    let Some(start) = (at..bytes.len()).find(|i| bytes[*i].is_ascii_digit()) else { return };
    let end = (start..bytes.len()).find(|i| !bytes[*i].is_ascii_digit()).unwrap_or(bytes.len());
    bytes.splice(start..end, EDGES[random.index(EDGES.len())].bytes());
}

/// Repeats, drops or swaps whole lines.
fn lines(bytes: &mut Vec<u8>, random: &mut SplitMix64) {
    let mut all: Vec<Vec<u8>> = bytes.split(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
    let (a, b) = (random.index(all.len()), random.index(all.len()));
    match random.index(3) {
        0 => all.insert(b, all[a].clone()),
        1 => drop(all.remove(a)),
        _ => all.swap(a, b),
    }
    *bytes = all.join(&b'\n');
}
