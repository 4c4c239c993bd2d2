//! The header of a GGUF file, from front to back through a window.

use crate::Error;
use crate::format::Source;

/// How much is read at once.
const WINDOW: u64 = 1 << 16;

/// A place in a header that is read forwards.
pub(super) struct Scan<'a> {
    source: &'a Source,
    window: Vec<u8>,
    /// Where the window begins in the file.
    base: u64,
    /// How much of the window was taken.
    taken: usize,
}

impl<'a> Scan<'a> {
    pub fn new(source: &'a Source) -> Self {
        Self { source, window: Vec::new(), base: 0, taken: 0 }
    }

    pub fn source(&self) -> &'a Source {
        self.source
    }

    /// Where the next byte lies in the file.
    pub fn at(&self) -> u64 {
        self.base + self.taken as u64
    }

    /// Fails when `count` things of at least `each` bytes cannot follow.
    pub fn affords(&self, count: u64, each: u64, what: &str) -> Result<(), Error> {
        let left = self.source.len() - self.at();
        match count.checked_mul(each) {
            Some(n) if n <= left => Ok(()),
            _ => Err(self.source.bad(format!(
                "{what} would have {count} entries, {left} bytes follow; \
                 hint: the file is cut short or damaged, fetch it again"
            ))),
        }
    }

    /// The next `count` bytes.
    pub fn bytes(&mut self, count: u64, what: &str) -> Result<&[u8], Error> {
        if count > (self.window.len() - self.taken) as u64 {
            let at = self.at();
            let size = count.max(WINDOW.min(self.source.len() - at));
            self.window = self.source.at(at, size, what)?;
            (self.base, self.taken) = (at, 0);
        }
        let from = self.taken;
        self.taken += count as usize;
        Ok(&self.window[from..self.taken])
    }

    fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], Error> {
        let mut out = [0; N];
        out.copy_from_slice(self.bytes(N as u64, what)?);
        Ok(out)
    }

    pub fn u8(&mut self, what: &str) -> Result<u8, Error> {
        Ok(self.array::<1>(what)?[0])
    }

    pub fn u16(&mut self, what: &str) -> Result<u16, Error> {
        Ok(u16::from_le_bytes(self.array(what)?))
    }

    pub fn u32(&mut self, what: &str) -> Result<u32, Error> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    pub fn u64(&mut self, what: &str) -> Result<u64, Error> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }

    /// A length and that much text.
    pub fn text(&mut self, what: &str) -> Result<String, Error> {
        let n = self.u64(what)?;
        let at = self.at();
        let source = self.source;
        let bytes = self.bytes(n, what)?.to_vec();
        String::from_utf8(bytes)
            .map_err(|_| source.bad(format!("{what}, {n} bytes at {at}, is not UTF-8")))
    }
}
