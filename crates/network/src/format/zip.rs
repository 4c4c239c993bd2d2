//! Zip archives, as `.pt` and `.npz` files are: a directory at the end, members anywhere before it.
//!
//! Read from the directory alone (PKWARE, APPNOTE 6.3.10, with its 64-bit extension), each member
//! when it is asked for, stored or deflated. Members may not overlap, and one that unpacks to more
//! than [`RATIO`] times the file is refused, so that a small file costs little memory. Written are
//! stored members without dates: the same content is the same file.
//!
//! The archives here need eighty lines of the format. A crate for all of it brings a dozen others
//! and reads through a position of its own, not through [`Source`]'s checked pieces; only deflate
//! comes from one.

use super::Source;
use crate::Error;
use std::collections::BTreeMap;

/// A member may be so many times as long as the whole file, ...
pub(super) const RATIO: u64 = 32;
/// ... or so long.
pub(super) const ALWAYS: u64 = 1 << 20;

const LOCAL: u32 = 0x0403_4b50;
const CENTRAL: u32 = 0x0201_4b50;
const END: u32 = 0x0605_4b50;
const END64: u32 = 0x0606_4b50;
const LOCATOR64: u32 = 0x0706_4b50;

/// A member of the directory.
#[derive(Debug, Clone, Copy)]
struct Member {
    deflated: bool,
    crc: u32,
    packed: u64,
    len: u64,
    /// Of its local header.
    offset: u64,
}

/// An open archive.
#[derive(Debug)]
pub(super) struct Archive {
    source: Source,
    members: BTreeMap<String, Member>,
}

/// Little-endian numbers of a record that is known to be long enough.
struct Record(Vec<u8>);

impl Record {
    fn number(&self, at: usize, width: usize) -> u64 {
        let bytes = self.0.get(at..at + width).unwrap_or_default();
        bytes.iter().rev().fold(0, |n, &b| n << 8 | u64::from(b))
    }

    fn u16(&self, at: usize) -> u64 {
        self.number(at, 2)
    }

    fn u32(&self, at: usize) -> u64 {
        self.number(at, 4)
    }

    fn u64(&self, at: usize) -> u64 {
        self.number(at, 8)
    }

    fn is(&self, signature: u32) -> bool {
        self.u32(0) == u64::from(signature)
    }
}

impl Archive {
    /// Reads and checks the directory; `format` says in errors what the file was to be.
    pub fn open(source: Source, format: &str) -> Result<Self, Error> {
        let (count, at, size) = directory(&source, format)?;
        if count > size / 46 {
            return Err(
                source.bad(format!("its directory of {size} bytes cannot list {count} members"))
            );
        }
        let directory = Record(source.at(at, size, "the directory")?);
        let mut members = BTreeMap::new();
        let mut spans = Vec::new();
        let mut here = 0;
        for _ in 0..count {
            let (name, member, next) = member(&directory, here)
                .ok_or_else(|| source.bad("its directory is damaged; hint: fetch it again"))?;
            // A local header takes at least 30 bytes.
            let end = member.offset.saturating_add(30).saturating_add(member.packed);
            if end > at {
                return Err(source.bad(format!("member '{name}' does not fit the file")));
            }
            spans.push((member.offset, end));
            if members.insert(name.clone(), member).is_some() {
                return Err(source.bad(format!("member '{name}' stands twice in the directory")));
            }
            here = next;
        }
        spans.sort_unstable();
        if spans.windows(2).any(|w| matches!(w, [a, b] if a.1 > b.0)) {
            return Err(source.bad("members of the archive overlap"));
        }
        Ok(Self { source, members })
    }

    /// The file.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Names of the members, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.members.keys().map(String::as_str)
    }

    /// The length of a member, if it is there.
    pub fn len_of(&self, name: &str) -> Option<u64> {
        self.members.get(name).map(|m| m.len)
    }

    /// A whole member, with its checksum compared.
    pub fn read(&self, name: &str) -> Result<Vec<u8>, Error> {
        let member = self.member(name)?;
        let bytes = self.slice(name, 0, member.len)?;
        if crc32(&bytes) != member.crc {
            return Err(self.source.bad(format!(
                "member '{name}' does not have its checksum; hint: it is damaged, fetch it again"
            )));
        }
        Ok(bytes)
    }

    /// `count` bytes of a member from `from`, unchecked (PyTorch may write no checksum).
    pub fn slice(&self, name: &str, from: u64, count: u64) -> Result<Vec<u8>, Error> {
        let member = self.member(name)?;
        let what = format!("member '{name}'");
        let head = Record(self.source.at(member.offset, 30, &what)?);
        let start = member.offset + 30 + head.u16(26) + head.u16(28);
        if !head.is(LOCAL) || from.checked_add(count).is_none_or(|end| end > member.len) {
            return Err(self.source.bad(format!("{what} is not where the directory says")));
        }
        if !member.deflated {
            return self.source.at(start + from, count, &what);
        }
        if member.len > (self.source.len() * RATIO).max(ALWAYS) {
            return Err(self.source.bad(format!(
                "{what} unpacks to {} bytes, more than {RATIO} times the file; \
                 hint: store it without compression",
                member.len
            )));
        }
        let packed = self.source.at(start, member.packed, &what)?;
        let whole =
            miniz_oxide::inflate::decompress_to_vec_with_limit(&packed, member.len as usize)
                .map_err(|e| self.source.bad(format!("{what} is not whole deflate data ({e})")))?;
        let (from, count) = (from as usize, count as usize);
        let part = whole.get(from..from + count);
        part.map(<[u8]>::to_vec)
            .ok_or_else(|| self.source.bad(format!("{what} is shorter than the directory says")))
    }

    fn member(&self, name: &str) -> Result<Member, Error> {
        let member = self.members.get(name).copied();
        member.ok_or_else(|| self.source.bad(format!("no member '{name}' in the archive")))
    }
}

/// How many members the directory has, where it begins and how long it is.
fn directory(source: &Source, format: &str) -> Result<(u64, u64, u64), Error> {
    let none = || source.bad(format!("not {format} (a zip archive): no directory at its end"));
    // The end record takes 22 bytes, before a comment of up to 65,535.
    let tail_len = source.len().min(22 + 0xffff);
    let base = source.len() - tail_len;
    let tail = source.at(base, tail_len, "the end of the archive")?;
    let found =
        tail.windows(22).rposition(|w| w.starts_with(&END.to_le_bytes())).ok_or_else(none)?;
    let end = Record(tail.get(found..).unwrap_or_default().to_vec());
    let narrow = (end.u16(10), end.u32(16), end.u32(12));
    let wide = narrow.0 == 0xffff || narrow.1 == 0xffff_ffff || narrow.2 == 0xffff_ffff;
    let (count, at, size) = match (wide, (base + found as u64).checked_sub(20)) {
        (true, Some(locator)) => {
            let locator = Record(source.at(locator, 20, "the 64-bit locator")?);
            let record = Record(source.at(locator.u64(8), 56, "the 64-bit end record")?);
            if !locator.is(LOCATOR64) || !record.is(END64) {
                return Err(none());
            }
            (record.u64(32), record.u64(48), record.u64(40))
        }
        _ => narrow,
    };
    match at.checked_add(size) {
        Some(end) if end <= source.len() => Ok((count, at, size)),
        _ => Err(none()),
    }
}

/// The entry of the directory at `at`, and where the next one begins.
fn member(directory: &Record, at: usize) -> Option<(String, Member, usize)> {
    let record = Record(directory.0.get(at..at + 46)?.to_vec());
    let lengths = [record.u16(28), record.u16(30), record.u16(32)].map(|n| n as usize);
    let name_end = at + 46 + lengths[0];
    let extra_end = name_end + lengths[1];
    let name = String::from_utf8(directory.0.get(at + 46..name_end)?.to_vec()).ok()?;
    let extra = Record(directory.0.get(name_end..extra_end)?.to_vec());
    let mut wide = wide_fields(&extra).into_iter();
    let mut field = |narrow: u64| match narrow {
        0xffff_ffff => wide.next(),
        n => Some(n),
    };
    // In this order, where they do not fit 32 bits.
    let (len, packed, offset) =
        (field(record.u32(24))?, field(record.u32(20))?, field(record.u32(42))?);
    let deflated = match record.u16(10) {
        0 if packed == len => false,
        8 => true,
        _ => return None,
    };
    // Bit 0: encrypted.
    if !record.is(CENTRAL) || record.u16(8) & 1 == 1 {
        return None;
    }
    let crc = record.u32(16) as u32;
    Some((name, Member { deflated, crc, packed, len, offset }, extra_end + lengths[2]))
}

/// The 64-bit numbers of an extra field.
fn wide_fields(extra: &Record) -> Vec<u64> {
    let mut at = 0;
    while at + 4 <= extra.0.len() {
        let (id, len) = (extra.u16(at), extra.u16(at + 2) as usize);
        if id == 1 {
            let numbers = extra.0.get(at + 4..at + 4 + len).unwrap_or_default();
            return numbers.as_chunks().0.iter().map(|b| u64::from_le_bytes(*b)).collect();
        }
        at += 4 + len;
    }
    Vec::new()
}

/// An archive of stored members; `None` where it would need the 64-bit extension.
pub(super) fn stored(members: &[(String, Vec<u8>)]) -> Option<Vec<u8>> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (name, bytes) in members {
        let offset = u32::try_from(out.len()).ok()?;
        let len = u32::try_from(bytes.len()).ok()?;
        let name_len = u16::try_from(name.len()).ok()?;
        // Version 2.0, names in UTF-8, stored, midnight of 1 January 1980.
        let mut common = Vec::new();
        for half in [20u16, 1 << 11, 0, 0, 1 << 5 | 1] {
            common.extend(half.to_le_bytes());
        }
        for word in [crc32(bytes), len, len] {
            common.extend(word.to_le_bytes());
        }
        common.extend(name_len.to_le_bytes());
        common.extend([0; 2]);
        out.extend(LOCAL.to_le_bytes());
        out.extend(&common);
        out.extend(name.as_bytes());
        out.extend(bytes);
        directory.extend(CENTRAL.to_le_bytes());
        directory.extend(20u16.to_le_bytes());
        directory.extend(&common);
        directory.extend([0; 10]);
        directory.extend(offset.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let (at, size) = (u32::try_from(out.len()).ok()?, u32::try_from(directory.len()).ok()?);
    let count = u16::try_from(members.len()).ok().filter(|&n| n < u16::MAX)?;
    out.extend(directory);
    out.extend(END.to_le_bytes());
    out.extend([0; 4]);
    out.extend(count.to_le_bytes());
    out.extend(count.to_le_bytes());
    out.extend(size.to_le_bytes());
    out.extend(at.to_le_bytes());
    out.extend([0; 2]);
    Some(out)
}

/// CRC-32 of ISO 3309, as zip uses it.
fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut i = 0;
        while i < 256 {
            let mut c = i as u32;
            let mut bit = 0;
            while bit < 8 {
                c = (c >> 1) ^ ((c & 1) * 0xedb8_8320);
                bit += 1;
            }
            table[i] = c;
            i += 1;
        }
        table
    };
    !bytes.iter().fold(!0, |c, &b| (c >> 8) ^ TABLE[usize::from(c as u8 ^ b)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn the_checksum_is_the_published_one() {
        // The check value of CRC-32/ISO-HDLC in Greg Cook's catalogue.
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn what_is_stored_comes_back_and_a_changed_byte_is_noticed() {
        let members = vec![("a".to_string(), vec![1, 2, 3]), ("b/c".to_string(), vec![])];
        let bytes = stored(&members).unwrap();
        let open = |b: Vec<u8>| {
            Archive::open(Source::from_bytes(Path::new("x"), b), "an archive")
                .map_err(|e| e.to_string())
        };
        let archive = open(bytes.clone()).unwrap();
        assert_eq!(archive.names().collect::<Vec<_>>(), ["a", "b/c"]);
        for (name, wanted) in &members {
            assert_eq!(archive.read(name).unwrap(), *wanted);
        }
        // The content of `a` begins after 30 bytes of header and one of name.
        let mut changed = bytes.clone();
        changed[31] ^= 1;
        let error = open(changed).unwrap().read("a").unwrap_err().to_string();
        assert!(error.contains("'a' does not have its checksum"), "{error}");
        for cut in 0..bytes.len() {
            assert!(open(bytes[..cut].to_vec()).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn a_member_that_would_unpack_to_far_more_than_the_file_is_refused() {
        let zeros = vec![0; 4 << 20];
        let packed = miniz_oxide::deflate::compress_to_vec(&zeros, 9);
        let mut bytes = stored(&[("a".into(), packed)]).unwrap();
        let directory = bytes.len() - 22 - 47;
        bytes[directory + 10] = 8;
        bytes[directory + 24..directory + 28].copy_from_slice(&(4u32 << 20).to_le_bytes());
        let source = Source::from_bytes(Path::new("x"), bytes);
        let error = Archive::open(source, "an archive").unwrap().read("a").unwrap_err().to_string();
        assert!(error.contains("unpacks to 4194304 bytes"), "{error}");
    }
}
