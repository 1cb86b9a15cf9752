//! Frames of WebSocket (RFC 6455), as far as a proxy needs them: their ends, so that a close can be said between two.

/// Bytes of the largest head of a frame.
const HEAD_BYTES_MAX: usize = 14;

/// A reader of frames that knows where they end.
#[derive(Clone, Debug, Default)]
pub struct Frames {
    head: [u8; HEAD_BYTES_MAX],
    have: usize,
    left: u64,
}

impl Frames {
    /// Returns true between two frames.
    pub fn at_end(&self) -> bool {
        self.have == 0 && self.left == 0
    }

    /// Takes bytes.
    pub fn advance(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            rest = &rest[self.step(rest)..];
        }
    }

    /// Takes bytes up to the next end of a frame and returns their number; all of them and `None` where none ends in them. Between two frames it
    /// takes nothing.
    pub fn advance_to_end(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut taken = 0;
        while !self.at_end() {
            if taken == bytes.len() {
                return None;
            }
            taken += self.step(&bytes[taken..]);
        }
        Some(taken)
    }

    fn step(&mut self, bytes: &[u8]) -> usize {
        if self.left > 0 {
            let count = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
            self.left -= count as u64;
            return count;
        }
        self.head[self.have] = bytes[0];
        self.have += 1;
        if self.have >= 2 && self.have == self.head_bytes() {
            self.left = self.payload_bytes();
            self.have = 0;
        }
        1
    }

    fn head_bytes(&self) -> usize {
        let length = match self.head[1] & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        2 + length + if self.head[1] & 0x80 == 0 { 0 } else { 4 }
    }

    fn payload_bytes(&self) -> u64 {
        let number = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        match self.head[1] & 0x7f {
            126 => number(&self.head[2..4]),
            127 => number(&self.head[2..10]),
            length => u64::from(length),
        }
    }
}

/// The frame that says "going away" (1001), as a server says it.
pub fn going_away_to_client() -> Vec<u8> {
    let text = b"the application is being replaced";
    let mut frame = vec![0x88, 2 + text.len() as u8];
    frame.extend_from_slice(&1001u16.to_be_bytes());
    frame.extend_from_slice(text);
    frame
}

/// The same frame as a client says it: masked, with zeros, since it hides nothing and no intermediary is between.
pub fn going_away_to_server() -> Vec<u8> {
    let mut frame = vec![0x88, 0x82, 0, 0, 0, 0];
    frame.extend_from_slice(&1001u16.to_be_bytes());
    frame
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(length: usize, masked: bool) -> Vec<u8> {
        let mask = if masked { 0x80 } else { 0 };
        let mut bytes = vec![0x82];
        match length {
            0..126 => bytes.push(mask | length as u8),
            126..65_536 => {
                bytes.push(mask | 126);
                bytes.extend_from_slice(&(length as u16).to_be_bytes());
            }
            _ => {
                bytes.push(mask | 127);
                bytes.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        bytes.extend(std::iter::repeat_n(7, if masked { 4 } else { 0 } + length));
        bytes
    }

    proptest! {
        #[test]
        fn ends_are_found_in_any_pieces(
            lengths in prop::collection::vec((prop_oneof![0..300usize, 65_000..70_000usize], any::<bool>()), 1..5),
            piece in 1..5_000usize,
            part in 0.0..1.0f64,
        ) {
            let mut ends = vec![0];
            let mut bytes = Vec::new();
            for (length, masked) in lengths {
                bytes.extend(frame(length, masked));
                ends.push(bytes.len());
            }
            let mut frames = Frames::default();
            let mut at = 0;
            for piece in bytes.chunks(piece) {
                frames.advance(piece);
                at += piece.len();
                prop_assert_eq!(frames.at_end(), ends.contains(&at));
            }
            let cut = (bytes.len() as f64 * part) as usize;
            let mut frames = Frames::default();
            frames.advance(&bytes[..cut]);
            let next = ends.iter().copied().find(|end| *end >= cut).expect("the last end");
            prop_assert_eq!(frames.advance_to_end(&bytes[cut..]), Some(next - cut));
            prop_assert!(frames.at_end());
        }
    }

    #[test]
    fn closes_are_whole_frames() {
        for bytes in [going_away_to_client(), going_away_to_server()] {
            let mut frames = Frames::default();
            frames.advance(&bytes);
            assert!(frames.at_end() && bytes[0] == 0x88);
        }
    }
}
