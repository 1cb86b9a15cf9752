//! Bytes of a pipe become lines.

use super::record::LINE_BYTES_MAX;

/// Longest wait for the rest of a line, milliseconds: a prompt without a newline is seen within it.
pub const PARTIAL_MS_MAX: u64 = 500;

/// Splitter of one stream. It holds at most [`LINE_BYTES_MAX`] bytes.
#[derive(Debug, Default)]
pub struct Splitter {
    held: Vec<u8>,
}

impl Splitter {
    /// Takes bytes and hands out each line that they end, and parts of lines that are too long: text, and whether the line goes on.
    pub fn feed(&mut self, mut bytes: &[u8], mut line: impl FnMut(&[u8], bool)) {
        while !bytes.is_empty() {
            let room = LINE_BYTES_MAX - self.held.len();
            let window = &bytes[..bytes.len().min(room + 1)];
            match window.iter().position(|byte| *byte == b'\n') {
                Some(end) if self.held.is_empty() => {
                    line(&bytes[..end], false);
                    bytes = &bytes[end + 1..];
                }
                Some(end) => {
                    self.held.extend_from_slice(&bytes[..end]);
                    line(&self.held, false);
                    self.held.clear();
                    bytes = &bytes[end + 1..];
                }
                // One byte more than a record holds, and none of them ends the line.
                None if window.len() > room => {
                    self.held.extend_from_slice(&bytes[..room]);
                    line(&self.held, true);
                    self.held.clear();
                    bytes = &bytes[room..];
                }
                None => {
                    self.held.extend_from_slice(bytes);
                    bytes = &[];
                }
            }
        }
    }

    /// Returns true where the beginning of a line is held.
    pub fn holds(&self) -> bool {
        !self.held.is_empty()
    }

    /// Hands out what is held as a part of a line, if there is any.
    pub fn part(&mut self, line: impl FnOnce(&[u8], bool)) {
        self.hand_out(true, line);
    }

    /// Hands out what is held as a line: its stream has ended.
    pub fn finish(&mut self, line: impl FnOnce(&[u8], bool)) {
        self.hand_out(false, line);
        self.held = Vec::new();
    }

    fn hand_out(&mut self, goes_on: bool, line: impl FnOnce(&[u8], bool)) {
        if self.holds() {
            line(&self.held, goes_on);
            self.held.clear();
        }
    }
}
