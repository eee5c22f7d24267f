//! The installation's own log: entries linked, durable and sealed.
//!
//! Promises that an entry is durable when `append` returns, and then that a
//! checkpoint over it is. A log that is not what its checkpoint seals is not
//! continued: signing on would make a forgery look true. It is kept as it is,
//! for auditors to see.

use std::path::{Path, PathBuf};

use manifest::admission::installation::InstallationId;
use manifest::audit::chain::{Chain, LinkError};
use manifest::audit::checkpoint;
use manifest::audit::entry::{Actor, EntryError};
use manifest::audit::event::{Event, TreeHead};
use manifest::audit::moment::Moment;
use manifest::audit::verify::{self, Fault};
use manifest::key::SigningKey;
use store::log::{LogError, LogFile};
use store::steps::Steps;

/// The log of this installation, with the key that seals it.
pub struct AuditLog {
    file: LogFile,
    chain: Chain,
    key: SigningKey,
    dir: PathBuf,
    /// Why nothing is added any more.
    closed: Option<String>,
}

/// A log that cannot be continued.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// It is not what was sealed.
    #[error("the log in {} was changed: {fault}", dir.display())]
    Changed {
        /// The log's directory.
        dir: PathBuf,
        /// The first fault.
        fault: Fault,
    },
    /// Entries are there that never had a checkpoint beside them.
    #[error("the log in {} has entries and no checkpoint", dir.display())]
    Unsealed {
        /// The log's directory.
        dir: PathBuf,
    },
    /// Nothing is added to it, because of what was found when it was opened.
    #[error("the log in {} is not continued: {why}", dir.display())]
    Closed {
        /// The log's directory.
        dir: PathBuf,
        /// What was found.
        why: String,
    },
    /// The entry cannot be written as a line.
    #[error("the entry cannot be written")]
    Entry(#[from] EntryError),
    /// The entry would not follow the last.
    #[error("the entry does not follow the last one")]
    Link(#[from] LinkError),
    /// The disk refused.
    #[error(transparent)]
    Log(#[from] LogError),
}

impl AuditLog {
    /// Opens the log in `dir`, whose checkpoints `key` signs, and checks it.
    ///
    /// # Errors
    /// [`AuditError::Changed`] naming the entry; [`AuditError::Log`].
    pub fn open(dir: &Path, key: SigningKey, steps: Steps) -> Result<Self, AuditError> {
        let file = LogFile::open(dir, steps)?;
        let changed = |fault| AuditError::Changed { dir: dir.to_owned(), fault };
        let mut chain = Chain::new(InstallationId::of(&key.public()));
        let text = file.text()?;
        match file.checkpoint()? {
            Some(checkpoint) => {
                verify::verify(&text, &checkpoint, &key.public()).map_err(changed)?;
            }
            // A power cut between the very first entry and its checkpoint.
            None if text.iter().filter(|byte| **byte == b'\n').count() <= 1 => {}
            None => return Err(AuditError::Unsealed { dir: dir.to_owned() }),
        }
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            chain.push(&line[..line.len() - 1])?;
        }
        let log = Self { file, chain, key, dir: dir.to_owned(), closed: None };
        log.seal()?;
        Ok(log)
    }

    /// As [`AuditLog::open`]; but a log that was changed is opened closed:
    /// nothing can be added to it.
    ///
    /// # Errors
    /// [`AuditError::Log`].
    pub fn open_or_close(dir: &Path, key: SigningKey, steps: Steps) -> Result<Self, AuditError> {
        match Self::open(dir, key.clone(), steps.clone()) {
            Err(
                error @ (AuditError::Changed { .. }
                | AuditError::Unsealed { .. }
                | AuditError::Link(_)),
            ) => {
                let file = LogFile::open(dir, steps)?;
                let chain = Chain::new(InstallationId::of(&key.public()));
                let closed = Some(error.to_string());
                Ok(Self { file, chain, key, dir: dir.to_owned(), closed })
            }
            opened => opened,
        }
    }

    /// Why nothing is added any more, if nothing is.
    #[must_use]
    pub fn closed(&self) -> Option<&str> {
        self.closed.as_deref()
    }

    /// Writes what happened; it is durable and sealed when this returns.
    ///
    /// # Errors
    /// [`AuditError`]; the entry may then be there without being sealed.
    pub fn append(&mut self, by: Actor, moment: Moment, event: Event) -> Result<(), AuditError> {
        if let Some(why) = self.closed.clone() {
            return Err(AuditError::Closed { dir: self.dir.clone(), why });
        }
        let line = self.chain.next(by, moment, event).to_line()?;
        let mut chain = self.chain.clone();
        chain.push(&line)?;
        self.file.append(&line)?;
        // Only now: an entry that was not written must not be followed.
        self.chain = chain;
        self.seal()
    }

    /// Number of entries; 0 of a closed log.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.chain.size()
    }

    /// The size and root that the last checkpoint seals.
    #[must_use]
    pub fn head(&self) -> TreeHead {
        self.chain.head()
    }

    /// Where it lies.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn seal(&self) -> Result<(), AuditError> {
        if self.chain.size() == 0 {
            return Ok(());
        }
        let checkpoint = checkpoint::sign(&self.chain.head(), &self.key);
        if self.file.checkpoint()?.as_deref() == Some(&checkpoint) {
            return Ok(());
        }
        Ok(self.file.set_checkpoint(&checkpoint)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> SigningKey {
        SigningKey::from_seed(&[3; 32])
    }

    fn stopped(n: u64) -> Event {
        Event::Stopped { reason: format!("test {n}").into() }
    }

    fn with_entries(dir: &Path, count: u64) {
        let mut log = AuditLog::open(dir, key(), Steps::free()).unwrap();
        for n in 0..count {
            log.append(Actor::Agent, crate::clock::moment(), stopped(n)).unwrap();
        }
    }

    fn verified(dir: &Path) -> Result<usize, Fault> {
        let log = store::log::read(dir).unwrap();
        verify::verify(&log.text, &log.checkpoint.unwrap(), &key().public())
            .map(|verified| verified.sealed().len())
    }

    #[test]
    fn entries_are_sealed_and_the_log_goes_on_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        with_entries(dir.path(), 2);
        with_entries(dir.path(), 1);
        assert_eq!(verified(dir.path()).unwrap(), 3);
    }

    #[test]
    fn a_changed_log_is_not_continued() {
        let dir = tempfile::tempdir().unwrap();
        with_entries(dir.path(), 3);
        let path = dir.path().join("entries.jsonl");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replace("test 1", "test 7")).unwrap();
        let refused = AuditLog::open(dir.path(), key(), Steps::free()).err().unwrap().to_string();
        assert!(refused.contains("was changed"), "{refused}");
        let mut log = AuditLog::open_or_close(dir.path(), key(), Steps::free()).unwrap();
        assert!(log.closed().is_some_and(|why| why.contains("was changed")));
        let refused = log.append(Actor::Agent, crate::clock::moment(), stopped(9));
        assert!(matches!(refused, Err(AuditError::Closed { .. })));
        assert!(std::fs::read_to_string(&path).unwrap().contains("test 7"), "it stays as it is");
    }

    #[test]
    fn a_truncated_log_and_one_without_its_checkpoint_are_not_continued() {
        let dir = tempfile::tempdir().unwrap();
        with_entries(dir.path(), 3);
        let path = dir.path().join("entries.jsonl");
        let text = std::fs::read_to_string(&path).unwrap();
        let cut = text.split_inclusive('\n').take(2).collect::<String>();
        std::fs::write(&path, cut).unwrap();
        assert!(matches!(
            AuditLog::open(dir.path(), key(), Steps::free()),
            Err(AuditError::Changed { .. })
        ));
        std::fs::remove_file(dir.path().join("checkpoint")).unwrap();
        assert!(matches!(
            AuditLog::open(dir.path(), key(), Steps::free()),
            Err(AuditError::Unsealed { .. })
        ));
    }

    #[test]
    fn cut_at_any_step_the_log_goes_on_and_hides_nothing_that_returned() {
        for cut in store::log::STEPS.into_iter().chain(store::atomic::STEPS) {
            let dir = tempfile::tempdir().unwrap();
            with_entries(dir.path(), 2);
            let mut log = AuditLog::open(dir.path(), key(), Steps::until(cut)).unwrap();
            assert!(log.append(Actor::Agent, crate::clock::moment(), stopped(9)).is_err());
            with_entries(dir.path(), 1);
            assert!(verified(dir.path()).unwrap() >= 3, "{cut}");
        }
    }
}
