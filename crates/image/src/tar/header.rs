//! One block of 512 bytes.

use super::TarError;

/// Bytes of a block.
pub const BLOCK_BYTES: usize = 512;

/// Kind of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A file with content.
    File,
    /// Another name of a file that came before.
    HardLink,
    /// A symbolic link.
    Symlink,
    /// A character device.
    Character,
    /// A block device.
    Block,
    /// A folder.
    Directory,
    /// A named pipe.
    Fifo,
}

/// Type of a header, before it is known to be of an entry.
pub(super) enum Flag {
    Entry(Kind),
    Pax,
    Global,
    LongName,
    LongLink,
}

/// A header as it lies in its block.
pub(super) struct Header<'a> {
    block: &'a [u8; BLOCK_BYTES],
    number: u64,
}

impl<'a> Header<'a> {
    /// Of a block whose checksum is right: as a sum of bytes with or without sign, since both were written.
    pub fn new(block: &'a [u8; BLOCK_BYTES], number: u64) -> Result<Header<'a>, TarError> {
        let header = Header { block, number };
        let (mut plain, mut signed) = (0_i64, 0_i64);
        for (at, byte) in block.iter().enumerate() {
            let byte = if (148..156).contains(&at) { b' ' } else { *byte };
            plain += i64::from(byte);
            signed += i64::from(byte.cast_signed());
        }
        let said = header.octal(148..156, "the checksum").map_err(|_| TarError::Checksum(number))?;
        let said = i64::try_from(said).unwrap_or(i64::MAX);
        if said == plain || said == signed { Ok(header) } else { Err(TarError::Checksum(number)) }
    }

    pub fn flag(&self) -> Result<Flag, TarError> {
        Ok(Flag::Entry(match self.block[156] {
            0 | b'0' | b'7' => Kind::File,
            b'1' => Kind::HardLink,
            b'2' => Kind::Symlink,
            b'3' => Kind::Character,
            b'4' => Kind::Block,
            b'5' => Kind::Directory,
            b'6' => Kind::Fifo,
            b'x' => return Ok(Flag::Pax),
            b'g' => return Ok(Flag::Global),
            b'L' => return Ok(Flag::LongName),
            b'K' => return Ok(Flag::LongLink),
            b'S' => return Err(TarError::Sparse(self.number)),
            other => return Err(TarError::Kind { header: self.number, kind: char::from(other) }),
        }))
    }

    /// Name, with the prefix that only POSIX headers have.
    pub fn name(&self) -> Vec<u8> {
        let name = until_nul(&self.block[..100]);
        let prefix = until_nul(&self.block[345..500]);
        if &self.block[257..263] == b"ustar\0" && !prefix.is_empty() {
            [prefix, b"/", name].concat()
        } else {
            name.to_vec()
        }
    }

    pub fn link(&self) -> Vec<u8> {
        until_nul(&self.block[157..257]).to_vec()
    }

    pub fn mode(&self) -> Result<u32, TarError> {
        Ok((self.octal(100..108, "the mode")? & 0o7777) as u32)
    }

    pub fn uid(&self) -> Result<u64, TarError> {
        self.number(108..116, "the user")
    }

    pub fn gid(&self) -> Result<u64, TarError> {
        self.number(116..124, "the group")
    }

    pub fn size(&self) -> Result<u64, TarError> {
        self.number(124..136, "the size")
    }

    /// Seconds; a time before 1970 counts as 1970.
    pub fn mtime(&self) -> Result<u64, TarError> {
        if self.block[136] == 0xff {
            return Ok(0);
        }
        self.number(136..148, "the time")
    }

    /// A number in octal digits, or in base 256 where its first bit is set.
    fn number(&self, range: std::ops::Range<usize>, field: &'static str) -> Result<u64, TarError> {
        let bytes = &self.block[range.clone()];
        if bytes[0] & 0x80 == 0 {
            return self.octal(range, field);
        }
        let wrong = || TarError::Number { header: self.number, field };
        let mut value = u64::from(bytes[0] & 0x7f);
        for byte in &bytes[1..] {
            value = value.checked_mul(256).and_then(|value| value.checked_add(u64::from(*byte))).ok_or_else(wrong)?;
        }
        // Offsets into files are signed.
        if value > i64::MAX as u64 { Err(wrong()) } else { Ok(value) }
    }

    fn octal(&self, range: std::ops::Range<usize>, field: &'static str) -> Result<u64, TarError> {
        let wrong = || TarError::Number { header: self.number, field };
        let text = self.block[range].trim_ascii_start();
        let digits = text.iter().take_while(|b| (b'0'..=b'7').contains(b)).count();
        let rest = &text[digits..];
        if !rest.first().is_none_or(|b| *b == 0 || *b == b' ') {
            return Err(wrong());
        }
        text[..digits].iter().try_fold(0_u64, |value, digit| {
            value.checked_mul(8).and_then(|value| value.checked_add(u64::from(digit - b'0'))).ok_or_else(wrong)
        })
    }
}

pub(super) fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|b| *b == 0).next().unwrap_or_default()
}
