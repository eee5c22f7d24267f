//! The messages of `log/1`: from which entry on, and what there is.
//!
//! A request is a version and a number; an answer is a version, a checkpoint
//! and as many whole lines as fit. Neither is believed before `verify`.

use crate::audit::limits::{ANSWER_BYTES, CHECKPOINT_BYTES, LINE_BYTES};

/// The version that begins both messages.
const VERSION: u8 = 1;

/// Bytes of an answer before its checkpoint.
const HEADER_BYTES: usize = 1 + 8 + 2;

/// Asks for the entries from `from` on, and the newest checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogRequest {
    /// The first entry wanted; 0 is the whole log.
    pub from: u64,
}

/// The newest checkpoint, and entries from `from` on, none beyond it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogAnswer {
    /// The first entry in `lines`, as it was asked for.
    pub from: u64,
    /// The checkpoint, as signed.
    pub checkpoint: Vec<u8>,
    /// Lines with their newlines; fewer than wanted if not all fit.
    pub lines: Vec<u8>,
}

/// Bytes that are no such message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExchangeError {
    /// It is of another version.
    #[error("a log message of version {VERSION} was expected, found {found:?}")]
    Version {
        /// The version byte, if there is one.
        found: Option<u8>,
    },
    /// It has another length than it should.
    #[error("the log message has {found} bytes, expected {expected}")]
    Length {
        /// What it should have.
        expected: &'static str,
        /// What it has.
        found: usize,
    },
    /// Its lines are cut, or one is longer than an entry may be.
    #[error("the log message holds no whole lines")]
    Lines,
    /// Checkpoint and one line would not fit the message.
    #[error("the checkpoint has {found} bytes, expected at most {CHECKPOINT_BYTES}")]
    Checkpoint {
        /// Its length.
        found: usize,
    },
}

impl LogRequest {
    /// The request as sent.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&self.from.to_le_bytes());
        bytes
    }

    /// Reads a request.
    ///
    /// # Errors
    /// [`ExchangeError`] for anything but version and number.
    pub fn decode(bytes: &[u8]) -> Result<Self, ExchangeError> {
        version(bytes)?;
        let from = bytes[1..]
            .try_into()
            .map_err(|_| ExchangeError::Length { expected: "9", found: bytes.len() })?;
        Ok(Self { from: u64::from_le_bytes(from) })
    }
}

impl LogAnswer {
    /// The answer to `request` from a whole log: all wanted lines that the
    /// checkpoint seals and that fit. `log` is lines with their newlines,
    /// `sealed` how many of them the checkpoint seals.
    #[must_use]
    pub fn to(request: &LogRequest, checkpoint: Vec<u8>, sealed: u64, log: &[u8]) -> Self {
        let room = ANSWER_BYTES - HEADER_BYTES - CHECKPOINT_BYTES;
        let mut lines = Vec::new();
        for (index, line) in (0..sealed).zip(log.split_inclusive(|byte| *byte == b'\n')) {
            if index < request.from {
                continue;
            }
            if line.last() != Some(&b'\n') || lines.len() + line.len() > room {
                break;
            }
            lines.extend_from_slice(line);
        }
        Self { from: request.from, checkpoint, lines }
    }

    /// The answer as sent, at most [`ANSWER_BYTES`].
    ///
    /// # Errors
    /// [`ExchangeError`] if the checkpoint or the lines are too long.
    pub fn encode(&self) -> Result<Vec<u8>, ExchangeError> {
        let found = self.checkpoint.len();
        let length = u16::try_from(found).ok().filter(|_| found <= CHECKPOINT_BYTES);
        let length = length.ok_or(ExchangeError::Checkpoint { found })?;
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&self.from.to_le_bytes());
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&self.checkpoint);
        bytes.extend_from_slice(&self.lines);
        if bytes.len() > ANSWER_BYTES {
            return Err(too_long(bytes.len()));
        }
        Ok(bytes)
    }

    /// Reads an answer.
    ///
    /// # Errors
    /// [`ExchangeError`] for anything longer than [`ANSWER_BYTES`], and for
    /// lines that are cut or too long to be entries.
    pub fn decode(bytes: &[u8]) -> Result<Self, ExchangeError> {
        if bytes.len() > ANSWER_BYTES {
            return Err(too_long(bytes.len()));
        }
        version(bytes)?;
        let cut = || ExchangeError::Length { expected: "a whole header", found: bytes.len() };
        let (from, rest) = bytes[1..].split_first_chunk::<8>().ok_or_else(cut)?;
        let (length, rest) = rest.split_first_chunk::<2>().ok_or_else(cut)?;
        let length = usize::from(u16::from_le_bytes(*length));
        if length > CHECKPOINT_BYTES {
            return Err(ExchangeError::Checkpoint { found: length });
        }
        let (checkpoint, lines) = rest.split_at_checked(length).ok_or_else(cut)?;
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            if line.last() != Some(&b'\n') || line.len() > LINE_BYTES + 1 {
                return Err(ExchangeError::Lines);
            }
        }
        Ok(Self {
            from: u64::from_le_bytes(*from),
            checkpoint: checkpoint.to_vec(),
            lines: lines.to_vec(),
        })
    }

    /// How many entries it brings.
    #[must_use]
    pub fn entry_count(&self) -> u64 {
        self.lines.iter().filter(|byte| **byte == b'\n').count() as u64
    }
}

const fn too_long(found: usize) -> ExchangeError {
    ExchangeError::Length { expected: "at most 1 MiB", found }
}

fn version(bytes: &[u8]) -> Result<(), ExchangeError> {
    match bytes.first() {
        Some(&VERSION) => Ok(()),
        found => Err(ExchangeError::Version { found: found.copied() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(from: u64, sealed: u64, log: &[u8]) -> LogAnswer {
        LogAnswer::to(&LogRequest { from }, b"checkpoint".to_vec(), sealed, log)
    }

    #[test]
    fn messages_come_back() {
        let request = LogRequest { from: 0x0102_0304_0506_0708 };
        assert_eq!(request.encode(), [1, 8, 7, 6, 5, 4, 3, 2, 1]);
        assert_eq!(LogRequest::decode(&request.encode()), Ok(request));
        let answer = answer(1, 3, b"a\nbb\nc\nd\n");
        assert_eq!(answer.lines, b"bb\nc\n");
        assert_eq!(answer.entry_count(), 2);
        let bytes = answer.encode().unwrap();
        assert_eq!(bytes, b"\x01\x01\0\0\0\0\0\0\0\x0a\0checkpointbb\nc\n");
        assert_eq!(LogAnswer::decode(&bytes), Ok(answer));
    }

    #[test]
    fn unsealed_and_unfinished_lines_are_not_handed_out() {
        assert_eq!(answer(0, 1, b"a\nb\n").lines, b"a\n");
        assert_eq!(answer(0, 9, b"a\nb").lines, b"a\n");
        assert_eq!(answer(u64::MAX, 2, b"a\nb\n").lines, b"");
    }

    #[test]
    fn a_long_log_takes_several_answers() {
        let line = [vec![b'x'; LINE_BYTES], vec![b'\n']].concat();
        let log = line.repeat(300);
        let mut from = 0;
        let mut rounds = 0;
        while from < 300 {
            let bytes = answer(from, 300, &log).encode().unwrap();
            assert!(bytes.len() <= ANSWER_BYTES);
            from += LogAnswer::decode(&bytes).unwrap().entry_count();
            rounds += 1;
        }
        assert_eq!((from, rounds), (300, 3));
    }

    #[test]
    fn cut_and_overlong_messages_are_refused() {
        let good = answer(0, 2, b"a\nb\n").encode().unwrap();
        for end in 0..HEADER_BYTES + b"checkpoint".len() {
            assert!(LogAnswer::decode(&good[..end]).is_err(), "{end}");
        }
        assert_eq!(LogAnswer::decode(&good[..good.len() - 1]), Err(ExchangeError::Lines));
        let long = [&good[..], &vec![b'x'; LINE_BYTES + 1], b"\n"].concat();
        assert_eq!(LogAnswer::decode(&long), Err(ExchangeError::Lines));
        assert!(LogAnswer::decode(&vec![VERSION; ANSWER_BYTES + 1]).is_err());
        assert!(LogRequest::decode(&[1; 8]).is_err());
        assert!(LogRequest::decode(&[1; 10]).is_err());
        assert!(LogRequest::decode(&[2; 9]).is_err());
        assert!(LogRequest::decode(&[]).is_err());
    }
}
