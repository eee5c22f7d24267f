//! The audit log on disk: lines that are only ever added, and the last
//! checkpoint over them.
//!
//! Promises that a line is durable when `append` returns, and that a line
//! torn by a power cut is cut off when the log is next opened: it was never
//! acknowledged. Knows nothing of what the lines say.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::atomic;
use crate::disk::{self, DiskError, at, read_bounded, sync_dir};
use crate::limits::{CHECKPOINT_BYTES, LOG_BYTES, LOG_LINE_BYTES};
use crate::steps::Steps;

/// The steps of [`LogFile::append`], in order.
pub const STEPS: [&str; 2] = ["log: write line", "log: sync"];

/// The log of one installation, written by one process.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    checkpoint: PathBuf,
    file: File,
    len: u64,
    steps: Steps,
}

/// A log that cannot be read or continued.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// A line holds a newline, or is longer than any line.
    #[error("an entry is one line of at most {LOG_LINE_BYTES} bytes, found {found} bytes")]
    NotALine {
        /// How many bytes it has.
        found: usize,
    },
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl LogFile {
    /// Opens the log in `dir`, made if it is missing, and cuts off a torn
    /// last line.
    ///
    /// # Errors
    /// [`LogError::Disk`].
    pub fn open(dir: &Path, steps: Steps) -> Result<Self, LogError> {
        disk::create_dirs(dir, 0o700)?;
        atomic::sweep(dir)?;
        let path = dir.join("entries.jsonl");
        let is_new = !path.exists();
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&path)
            .map_err(at("open", &path))?;
        if is_new {
            sync_dir(dir)?;
        }
        let found = file.metadata().map_err(at("look at", &path))?.len();
        let len = whole_lines(&mut file, found).map_err(at("read", &path))?;
        if len < found {
            file.set_len(len).map_err(at("cut the torn line off", &path))?;
            file.sync_all().map_err(at("sync", &path))?;
        }
        Ok(Self { path, checkpoint: dir.join("checkpoint"), file, len, steps })
    }

    /// Every whole line, each with its newline, in the order of writing.
    ///
    /// # Errors
    /// [`LogError::Disk`].
    pub fn text(&self) -> Result<Vec<u8>, LogError> {
        Ok(read_text(&self.path)?)
    }

    /// Adds `line` (given without its newline), durably.
    ///
    /// # Errors
    /// [`LogError::NotALine`]; [`LogError::Disk`], and then the line may or
    /// may not be there when the log is next opened.
    pub fn append(&mut self, line: &[u8]) -> Result<(), LogError> {
        if line.is_empty() || line.len() > LOG_LINE_BYTES || line.contains(&b'\n') {
            return Err(LogError::NotALine { found: line.len() });
        }
        let mut bytes = Vec::with_capacity(line.len() + 1);
        bytes.extend_from_slice(line);
        bytes.push(b'\n');
        self.steps.reach(STEPS[0])?;
        if let Err(error) = self.file.write_all(&bytes) {
            // A full disk may take half a line; the next one must not be
            // glued to it.
            let _ = self.file.set_len(self.len);
            return Err(DiskError::new("write", &self.path, error).into());
        }
        self.len += bytes.len() as u64;
        self.steps.reach(STEPS[1])?;
        Ok(self.file.sync_data().map_err(at("sync", &self.path))?)
    }

    /// The last checkpoint that was kept, if there is one.
    ///
    /// # Errors
    /// [`LogError::Disk`].
    pub fn checkpoint(&self) -> Result<Option<Vec<u8>>, LogError> {
        Ok(read_bounded(&self.checkpoint, CHECKPOINT_BYTES)?)
    }

    /// Keeps `checkpoint` in place of the last one, durably.
    ///
    /// # Errors
    /// [`LogError::Disk`].
    pub fn set_checkpoint(&self, checkpoint: &[u8]) -> Result<(), LogError> {
        Ok(atomic::write(&self.checkpoint, checkpoint, 0o600, &self.steps)?)
    }
}

/// A log as it lies on the disk.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogText {
    /// Every whole line, each with its newline.
    pub text: Vec<u8>,
    /// The last checkpoint that was kept.
    pub checkpoint: Option<Vec<u8>>,
}

/// The log in `dir`, without opening it for writing; no lines if there is
/// no log.
///
/// # Errors
/// [`DiskError`].
pub fn read(dir: &Path) -> Result<LogText, DiskError> {
    let text = read_text(&dir.join("entries.jsonl"))?;
    let checkpoint = read_bounded(&dir.join("checkpoint"), CHECKPOINT_BYTES)?;
    Ok(LogText { text, checkpoint })
}

fn read_text(path: &Path) -> Result<Vec<u8>, DiskError> {
    let mut text = read_bounded(path, LOG_BYTES)?.unwrap_or_default();
    text.truncate(text.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1));
    Ok(text)
}

/// The length of `file` up to and with its last newline.
fn whole_lines(file: &mut File, len: u64) -> io::Result<u64> {
    const STRIDE: u64 = 4096;
    let mut end = len;
    let mut buffer = Vec::new();
    while end > 0 {
        let start = end.saturating_sub(STRIDE);
        file.seek(SeekFrom::Start(start))?;
        buffer.clear();
        (&*file).take(end - start).read_to_end(&mut buffer)?;
        if let Some(last) = buffer.iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + last as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_survive_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = LogFile::open(dir.path(), Steps::free()).unwrap();
        log.append(b"one").unwrap();
        log.append(b"two").unwrap();
        log.set_checkpoint(b"note").unwrap();
        drop(log);
        let mut log = LogFile::open(dir.path(), Steps::free()).unwrap();
        log.append(b"three").unwrap();
        assert_eq!(log.text().unwrap(), b"one\ntwo\nthree\n");
        assert_eq!(read(dir.path()).unwrap().checkpoint.unwrap(), b"note");
    }

    #[test]
    fn a_torn_line_is_cut_off_and_never_glued_to_the_next() {
        for torn in [&b"{\"half"[..], &[b'x'; 10_000]] {
            let dir = tempfile::tempdir().unwrap();
            let mut log = LogFile::open(dir.path(), Steps::free()).unwrap();
            log.append(b"one").unwrap();
            log.file.write_all(torn).unwrap();
            drop(log);
            assert_eq!(read(dir.path()).unwrap().text, b"one\n");
            let mut log = LogFile::open(dir.path(), Steps::free()).unwrap();
            log.append(b"two").unwrap();
            assert_eq!(log.text().unwrap(), b"one\ntwo\n");
        }
    }

    #[test]
    fn an_entry_is_one_line() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = LogFile::open(dir.path(), Steps::free()).unwrap();
        for bad in [&b""[..], b"a\nb", &vec![b'x'; LOG_LINE_BYTES + 1]] {
            assert!(log.append(bad).is_err());
        }
        assert!(log.text().unwrap().is_empty());
    }

    #[test]
    fn cut_at_any_step_the_line_is_there_or_not_and_the_log_goes_on() {
        for step in STEPS {
            let dir = tempfile::tempdir().unwrap();
            LogFile::open(dir.path(), Steps::free()).unwrap().append(b"one").unwrap();
            let mut log = LogFile::open(dir.path(), Steps::until(step)).unwrap();
            assert!(log.append(b"two").is_err());
            let mut log = LogFile::open(dir.path(), Steps::free()).unwrap();
            log.append(b"three").unwrap();
            let text = log.text().unwrap();
            assert!(text == b"one\nthree\n" || text == b"one\ntwo\nthree\n", "{step}");
        }
    }
}
