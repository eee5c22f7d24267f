//! The bytes that both manifests are made of: varints, texts, front-coded
//! paths, ids. Reading is strict: one value has one encoding.

use crate::content::ContentId;

/// Bytes that are no manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The bytes end within a value.
    #[error("it ends within {what}, at byte {at}")]
    Truncated {
        /// What was being read.
        what: &'static str,
        /// Where the value began.
        at: usize,
    },
    /// A value beyond what is allowed there.
    #[error("{what} is {found}, at most {allowed} is allowed")]
    TooLarge {
        /// Which value.
        what: &'static str,
        /// What was declared.
        found: u64,
        /// The bound.
        allowed: u64,
    },
    /// A value that breaks another rule.
    #[error("{what} is wrong: {why}")]
    Invalid {
        /// Which value.
        what: &'static str,
        /// The rule, and what was found.
        why: String,
    },
}

/// Appends values.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Little-endian groups of seven bits; the last has its high bit clear.
    pub(crate) fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push((value & 0x7F) as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    pub(crate) fn count(&mut self, count: usize) {
        self.varint(count as u64);
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.count(text.len());
        self.raw(text.as_bytes());
    }

    pub(crate) fn id(&mut self, id: &ContentId) {
        self.raw(id.as_bytes());
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

/// Takes values from the front; never beyond the end.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(crate) const fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    pub(crate) fn raw(&mut self, len: usize, what: &'static str) -> Result<&'a [u8], CodecError> {
        if len > self.remaining() {
            return Err(CodecError::Truncated { what, at: self.at });
        }
        let bytes = &self.bytes[self.at..self.at + len];
        self.at += len;
        Ok(bytes)
    }

    pub(crate) fn varint(&mut self, what: &'static str) -> Result<u64, CodecError> {
        let start = self.at;
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = *self.bytes.get(self.at).ok_or(CodecError::Truncated { what, at: start })?;
            self.at += 1;
            let bits = u64::from(byte & 0x7F);
            if shift == 63 && byte > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                if byte == 0 && shift > 0 {
                    let why = "it is longer than it needs to be".to_owned();
                    return Err(CodecError::Invalid { what, why });
                }
                return Ok(value);
            }
        }
        Err(CodecError::Invalid { what, why: "it does not fit 64 bits".to_owned() })
    }

    /// A number of at most `allowed`.
    pub(crate) fn bounded(&mut self, allowed: u64, what: &'static str) -> Result<u64, CodecError> {
        let found = self.varint(what)?;
        if found > allowed {
            return Err(CodecError::TooLarge { what, found, allowed });
        }
        Ok(found)
    }

    pub(crate) fn bounded_u32(
        &mut self,
        allowed: u32,
        what: &'static str,
    ) -> Result<u32, CodecError> {
        let value = self.bounded(u64::from(allowed), what)?;
        Ok(u32::try_from(value).expect("it is within a 32-bit bound"))
    }

    /// How many values follow, of which each takes at least `least_bytes`:
    /// more than could be there are refused before memory is taken.
    pub(crate) fn count(
        &mut self,
        allowed: usize,
        least_bytes: usize,
        what: &'static str,
    ) -> Result<usize, CodecError> {
        let found = self.bounded(allowed as u64, what)?;
        let room = (self.remaining() / least_bytes.max(1)) as u64;
        if found > room {
            return Err(CodecError::TooLarge { what, found, allowed: room });
        }
        Ok(usize::try_from(found).expect("it is within the bytes that are there"))
    }

    pub(crate) fn text(
        &mut self,
        allowed: usize,
        what: &'static str,
    ) -> Result<&'a str, CodecError> {
        let len = self.count(allowed, 1, what)?;
        let bytes = self.raw(len, what)?;
        std::str::from_utf8(bytes)
            .map_err(|error| CodecError::Invalid { what, why: error.to_string() })
    }

    pub(crate) fn id(&mut self, what: &'static str) -> Result<ContentId, CodecError> {
        let bytes = self.raw(32, what)?;
        Ok(ContentId::from(<[u8; 32]>::try_from(bytes).expect("32 bytes were asked for")))
    }

    pub(crate) fn finish(self) -> Result<(), CodecError> {
        if self.remaining() == 0 {
            return Ok(());
        }
        let why = format!("{} bytes follow where it should end", self.remaining());
        Err(CodecError::Invalid { what: "the end", why })
    }
}

/// Parses `text` as one of the bounded names.
pub(crate) fn parse<T: std::str::FromStr>(text: &str, what: &'static str) -> Result<T, CodecError>
where
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error: T::Err| CodecError::Invalid { what, why: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_have_one_encoding() {
        for value in [0, 1, 127, 128, 16_383, 16_384, u64::from(u32::MAX), u64::MAX] {
            let mut writer = Writer::default();
            writer.varint(value);
            let bytes = writer.finish();
            let mut reader = Reader::new(&bytes);
            assert_eq!(reader.varint("it"), Ok(value));
            assert_eq!(reader.finish(), Ok(()));
            let mut longer = bytes.clone();
            *longer.last_mut().unwrap() |= 0x80;
            longer.push(0);
            assert!(Reader::new(&longer).varint("it").is_err(), "{value}");
        }
        assert!(Reader::new(&[0xFF; 11]).varint("it").is_err());
        let too_large = [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x02];
        assert!(Reader::new(&too_large).varint("it").is_err());
    }

    #[test]
    fn a_count_beyond_the_bytes_is_refused_before_memory_is_taken() {
        let mut writer = Writer::default();
        writer.varint(1 << 40);
        let bytes = writer.finish();
        assert!(Reader::new(&bytes).count(usize::MAX, 32, "ids").is_err());
    }
}
