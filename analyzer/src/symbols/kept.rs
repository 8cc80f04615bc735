//! The bytes of a cache's file: what was found at addresses of one module, sorted, read where it lies.
//!
//! All numbers are little-endian. A file is right as a whole or not used: it begins with a checksum of all that follows,
//! and with the key under which it was written. Nothing in it is trusted all the same; a number that leads outside is as if
//! the address were not there.
//!
//! ```text
//! 0       magic and version of this format, 8 bytes
//! 8       CRC-32 of all that follows
//! 12      bytes of the key, numbers of entries, frames, strings and bytes of text: five of 4 bytes each
//! 32      the key
//!         entries, 16 bytes each: address (8), first frame (4), end of its frames (4)
//!         reasons, 4 bytes for each entry: a string, as JSON
//!         frames, 16 bytes each: function (4, a string), file (4, a string), line (4), bit 0: inlined, bit 1: the line is known (4)
//!         strings, 4 bytes each: where it ends in the text, where the next one begins
//!         the text, UTF-8
//! ```
//!
//! A string is named by its number from 1; 0 is none.
use super::{Frame, Symbolized};
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

const MAGIC: &[u8; 8] = b"unfsym\0\x01";
const HEADER: usize = 32;
const INLINED: u32 = 1;
const HAS_LINE: u32 = 2;

/// A file's contents.
pub struct Kept {
    bytes: Vec<u8>,
    entries: Range<usize>,
    reasons: Range<usize>,
    frames: Range<usize>,
    strings: Range<usize>,
    text: Range<usize>,
}

impl Kept {
    /// What these bytes hold, if they are whole and were written under this key.
    pub fn new(bytes: Vec<u8>, key: &str) -> Option<Kept> {
        if bytes.get(..8)? != MAGIC || word(&bytes, 8)? != crc32fast::hash(bytes.get(12..)?) {
            return None;
        }
        let number = |index: usize| word(&bytes, 12 + 4 * index).map(|number| number as usize);
        let mut end = HEADER;
        let mut part = |count: usize, size: usize| {
            let begin = end;
            end = begin.checked_add(count.checked_mul(size)?)?;
            Some(begin..end)
        };
        let of_key = part(number(0)?, 1)?;
        let entries = part(number(1)?, 16)?;
        let reasons = part(number(1)?, 4)?;
        let frames = part(number(2)?, 16)?;
        let strings = part(number(3)?, 4)?;
        let text = part(number(4)?, 1)?;
        let fits = end == bytes.len() && bytes.get(of_key)? == key.as_bytes();
        fits.then_some(Kept { bytes, entries, reasons, frames, strings, text })
    }

    /// What was found at this address.
    pub fn find(&self, address: u64) -> Option<Symbolized> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            match self.address(middle)?.cmp(&address) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return self.entry(middle),
            }
        }
        None
    }

    fn len(&self) -> usize {
        self.entries.len() / 16
    }

    fn address(&self, index: usize) -> Option<u64> {
        let bytes = self.bytes[self.entries.clone()].get(16 * index..16 * index + 8)?;
        Some(u64::from_le_bytes(bytes.try_into().ok()?))
    }

    fn entry(&self, index: usize) -> Option<Symbolized> {
        let entries = &self.bytes[self.entries.clone()];
        let frames = word(entries, 16 * index + 8)?..word(entries, 16 * index + 12)?;
        let frames = frames.map(|frame| self.frame(frame as usize)).collect::<Option<_>>()?;
        let reason = match self.string(word(&self.bytes[self.reasons.clone()], 4 * index)?)? {
            Some(json) => Some(serde_json::from_str(json).ok()?),
            None => None,
        };
        Some(Symbolized { frames, reason })
    }

    fn frame(&self, index: usize) -> Option<Frame> {
        let frame = self.bytes[self.frames.clone()].get(16 * index..16 * index + 16)?;
        let string = |at| Some(self.string(word(frame, at)?)?.map(str::to_owned));
        let (line, flags) = (word(frame, 8)?, word(frame, 12)?);
        Some(Frame {
            function: string(0)?,
            file: string(4)?,
            line: (flags & HAS_LINE != 0).then_some(line),
            inlined: flags & INLINED != 0,
        })
    }

    /// A string, if the number names one.
    fn string(&self, number: u32) -> Option<Option<&str>> {
        let Some(index) = (number as usize).checked_sub(1) else { return Some(None) };
        let ends = &self.bytes[self.strings.clone()];
        let begin = if index == 0 { 0 } else { word(ends, 4 * (index - 1))? };
        let text = &self.bytes[self.text.clone()];
        let string = text.get(begin as usize..word(ends, 4 * index)? as usize)?;
        std::str::from_utf8(string).ok().map(Some)
    }
}

/// The bytes of a file with these answers, and with those of an older one; `None` if they are too many.
pub fn bytes(key: &str, older: Option<&Kept>, found: &[(u64, &Symbolized)]) -> Option<Vec<u8>> {
    let older: Vec<(u64, Symbolized)> = older
        .iter()
        .flat_map(|older| {
            (0..older.len()).filter_map(|index| Some((older.address(index)?, older.entry(index)?)))
        })
        .collect();
    let mut all: BTreeMap<u64, &Symbolized> =
        older.iter().map(|(address, known)| (*address, known)).collect();
    all.extend(found.iter().copied());
    let reasons: Vec<Option<String>> = all
        .values()
        .map(|symbolized| symbolized.reason.as_ref().map(serde_json::to_string).transpose().ok())
        .collect::<Option<_>>()?;
    let mut strings = Strings::default();
    let (mut entries, mut frames, mut of_reasons) = (Vec::new(), Vec::new(), Vec::new());
    let mut count = 0u32;
    for ((address, symbolized), reason) in all.iter().zip(&reasons) {
        entries.extend(address.to_le_bytes());
        put(&mut entries, count);
        for frame in &symbolized.frames {
            put(&mut frames, strings.number(frame.function.as_deref())?);
            put(&mut frames, strings.number(frame.file.as_deref())?);
            put(&mut frames, frame.line.unwrap_or(0));
            let line = if frame.line.is_some() { HAS_LINE } else { 0 };
            put(&mut frames, line | if frame.inlined { INLINED } else { 0 });
            count = count.checked_add(1)?;
        }
        put(&mut entries, count);
        put(&mut of_reasons, strings.number(reason.as_deref())?);
    }
    let mut body = Vec::new();
    for count in [key.len(), all.len(), count as usize, strings.ends.len() / 4, strings.text.len()] {
        put(&mut body, u32::try_from(count).ok()?);
    }
    for part in [key.as_bytes(), &entries, &of_reasons, &frames, &strings.ends, strings.text.as_bytes()] {
        body.extend(part);
    }
    Some([MAGIC, &crc32fast::hash(&body).to_le_bytes()[..], &body].concat())
}

/// Strings, each once.
#[derive(Default)]
struct Strings<'a> {
    numbers: HashMap<&'a str, u32>,
    ends: Vec<u8>,
    text: String,
}

impl<'a> Strings<'a> {
    /// The number of a string, from now on; `None` if there is too much text.
    fn number(&mut self, string: Option<&'a str>) -> Option<u32> {
        let Some(string) = string else { return Some(0) };
        if let Some(&number) = self.numbers.get(string) {
            return Some(number);
        }
        self.text.push_str(string);
        put(&mut self.ends, u32::try_from(self.text.len()).ok()?);
        let number = u32::try_from(self.ends.len() / 4).ok()?;
        self.numbers.insert(string, number);
        Some(number)
    }
}

fn put(bytes: &mut Vec<u8>, word: u32) {
    bytes.extend(word.to_le_bytes());
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::super::Reason;
    use super::*;

    fn frame(function: &str, line: Option<u32>, inlined: bool) -> Frame {
        Frame { function: Some(function.to_owned()), file: line.map(|_| "a.c".to_owned()), line, inlined }
    }

    fn answers() -> Vec<(u64, Symbolized)> {
        let differs = Reason::BuildIdDiffers { recorded: vec![1, 2], found: Vec::new() };
        let reasons =
            [None, Some(Reason::NoSymbol), Some(Reason::DebugFileMissing("x".into())), Some(differs)];
        let frames = [
            vec![frame("f", Some(u32::MAX), true), frame("Größe", Some(0), false)],
            vec![],
            vec![frame("f", None, false)],
            vec![Frame::default()],
        ];
        let all = frames.into_iter().zip(reasons).map(|(frames, reason)| Symbolized { frames, reason });
        [u64::MAX, 0, 7, 0x1234_5678_9abc].into_iter().zip(all).collect()
    }

    fn made(key: &str, older: Option<&Kept>, answers: &[(u64, Symbolized)]) -> Vec<u8> {
        let found: Vec<_> = answers.iter().map(|(address, found)| (*address, found)).collect();
        bytes(key, older, &found).expect("few")
    }

    #[test]
    fn what_was_kept_is_found_and_nothing_else() {
        let answers = answers();
        let first = Kept::new(made("key", None, &answers[..2]), "key").expect("whole");
        let both = Kept::new(made("key", Some(&first), &answers[2..]), "key").expect("whole");
        for (address, found) in &answers {
            assert_eq!(both.find(*address).as_ref(), Some(found));
        }
        for address in [1, 6, 8, u64::MAX - 1] {
            assert_eq!(both.find(address), None);
        }
        assert!(Kept::new(made("key", None, &answers), "kez").is_none());
        assert!(Kept::new(made("key", None, &[]), "key").expect("whole").find(0).is_none());
    }

    #[test]
    fn what_was_changed_or_cut_is_not_used() {
        let whole = made("key", None, &answers());
        for length in 0..whole.len() {
            assert!(Kept::new(whole[..length].to_vec(), "key").is_none(), "{length}");
        }
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 0x41;
            assert!(Kept::new(changed, "key").is_none(), "{at}");
        }
        assert!(Kept::new([&whole[..], &[0]].concat(), "key").is_none());
    }

    /// A checksum can be right by chance or by intent.
    #[test]
    fn a_right_checksum_is_not_trusted() {
        let whole = made("key", None, &answers());
        for at in 12..whole.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut changed = whole.clone();
                changed[at] = value;
                let sum = crc32fast::hash(&changed[12..]).to_le_bytes();
                changed[8..12].copy_from_slice(&sum);
                if let Some(kept) = Kept::new(changed, "key") {
                    answers().iter().for_each(|(address, _)| drop(kept.find(*address)));
                    drop(bytes("key", Some(&kept), &[]));
                }
            }
        }
    }
}
