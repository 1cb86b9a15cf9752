//! The reader.

use std::io::Read;

use super::header::{BLOCK_BYTES, Flag, Header, Kind, until_nul};
use super::{TarError, pax};
use crate::limits::{EXTENDED_BYTES_MAX, EXTENDED_IN_A_ROW_MAX, PATH_BYTES_MAX};

/// An entry without its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Path as the archive writes it: not empty, without NUL, at most [`PATH_BYTES_MAX`] bytes, otherwise anything.
    pub name: Vec<u8>,
    /// Its kind.
    pub kind: Kind,
    /// Permissions with the set-id and sticky bits.
    pub mode: u32,
    /// Owner.
    pub uid: u64,
    /// Group.
    pub gid: u64,
    /// Seconds since 1970.
    pub mtime: u64,
    /// Bytes of content; 0 for all but files.
    pub size: u64,
    /// Target of a link; empty for what is none.
    pub link: Vec<u8>,
    /// Extended attributes.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// An archive that is read from the front.
pub struct Archive<R> {
    input: R,
    /// Bytes of the present entry's content that were not read yet.
    left: u64,
    /// Bytes between the content and the next header.
    padding: u64,
    headers: u64,
}

impl<R: Read> Archive<R> {
    /// Of a stream that begins with a header.
    pub fn new(input: R) -> Archive<R> {
        Archive { input, left: 0, padding: 0, headers: 0 }
    }

    /// The next entry; what was not read of the one before is passed over. `None` at the end mark or the end of the stream.
    ///
    /// # Errors
    /// See [`TarError`].
    #[expect(clippy::should_implement_trait, reason = "an iterator cannot lend the content")]
    pub fn next(&mut self) -> Result<Option<Entry>, TarError> {
        let mut extended = pax::Extended::default();
        for _ in 0..=EXTENDED_IN_A_ROW_MAX {
            self.pass()?;
            let Some(block) = self.block()? else { return Ok(None) };
            let number = self.headers;
            self.headers += 1;
            let header = Header::new(&block, number)?;
            match header.flag()? {
                Flag::Entry(kind) => return self.entry(&header, number, kind, extended).map(Some),
                Flag::Pax => pax::read(&self.extension(&header, number)?, number, &mut extended)?,
                Flag::Global => drop(self.extension(&header, number)?),
                Flag::LongName => extended.name = Some(until_nul(&self.extension(&header, number)?).to_vec()),
                Flag::LongLink => extended.link = Some(until_nul(&self.extension(&header, number)?).to_vec()),
            }
        }
        Err(TarError::ExtendedRow(self.headers))
    }

    /// The present entry's content.
    pub fn content(&mut self) -> impl Read {
        Content(self)
    }

    /// The stream, wherever it is read to.
    pub fn into_inner(self) -> R {
        self.input
    }

    fn entry(
        &mut self,
        header: &Header<'_>,
        number: u64,
        kind: Kind,
        extended: pax::Extended,
    ) -> Result<Entry, TarError> {
        let name = extended.name.unwrap_or_else(|| header.name());
        let link = if matches!(kind, Kind::HardLink | Kind::Symlink) {
            extended.link.unwrap_or_else(|| header.link())
        } else {
            Vec::new()
        };
        for text in [&name, &link] {
            if text.len() > PATH_BYTES_MAX {
                return Err(TarError::Name { header: number, bytes: text.len() as u64 });
            }
            if text.contains(&0) {
                return Err(TarError::Nul(number));
            }
        }
        if name.is_empty() {
            return Err(TarError::Unnamed(number));
        }
        // How folders were written before they had a type.
        let kind = if kind == Kind::File && name.ends_with(b"/") { Kind::Directory } else { kind };
        let said = extended.size.map_or_else(|| header.size(), Ok)?;
        let size = if kind == Kind::File { said } else { 0 };
        self.left = size;
        self.padding = padding(size);
        Ok(Entry {
            name,
            kind,
            mode: header.mode()?,
            uid: extended.uid.map_or_else(|| header.uid(), Ok)?,
            gid: extended.gid.map_or_else(|| header.gid(), Ok)?,
            mtime: extended.mtime.map_or_else(|| header.mtime(), Ok)?,
            size,
            link,
            xattrs: extended.xattrs,
        })
    }

    /// Content of a header that belongs to the next one.
    fn extension(&mut self, header: &Header<'_>, number: u64) -> Result<Vec<u8>, TarError> {
        let bytes = header.size()?;
        if bytes > EXTENDED_BYTES_MAX {
            return Err(TarError::Extended { header: number, bytes });
        }
        let mut content = Vec::new();
        self.input.by_ref().take(bytes).read_to_end(&mut content)?;
        if (content.len() as u64) < bytes {
            return Err(TarError::Short);
        }
        self.padding = padding(bytes);
        Ok(content)
    }

    fn pass(&mut self) -> Result<(), TarError> {
        let bytes = self.left + self.padding;
        (self.left, self.padding) = (0, 0);
        match std::io::copy(&mut self.input.by_ref().take(bytes), &mut std::io::sink())? {
            passed if passed < bytes => Err(TarError::Short),
            _ => Ok(()),
        }
    }

    /// The next block that is a header; `None` for a block of zeros and for the end of the stream.
    fn block(&mut self) -> Result<Option<[u8; BLOCK_BYTES]>, TarError> {
        let mut block = [0; BLOCK_BYTES];
        let mut filled = 0;
        while filled < BLOCK_BYTES {
            match self.input.read(&mut block[filled..]) {
                Ok(0) if filled == 0 => return Ok(None),
                Ok(0) => return Err(TarError::Short),
                Ok(count) => filled += count,
                Err(cause) if cause.kind() == std::io::ErrorKind::Interrupted => {}
                Err(cause) => return Err(cause.into()),
            }
        }
        Ok(block.iter().any(|byte| *byte != 0).then_some(block))
    }
}

/// Bytes up to the next block.
pub(super) fn padding(bytes: u64) -> u64 {
    bytes.wrapping_neg() % BLOCK_BYTES as u64
}

struct Content<'a, R>(&'a mut Archive<R>);

impl<R: Read> Read for Content<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let want = buffer.len().min(usize::try_from(self.0.left).unwrap_or(usize::MAX));
        if want == 0 {
            return Ok(0);
        }
        match self.0.input.read(&mut buffer[..want])? {
            0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
            count => {
                self.0.left -= count as u64;
                Ok(count)
            }
        }
    }
}
