//! What was collected, on disk: one directory for each installation.
//!
//! ```text
//! logs/INSTALLATION/record.json     who it is, what is thought of its log
//!                   entries.jsonl   its log, every line judged
//!                   checkpoint      the checkpoint that seals it
//!                   evidence/ID/    kept.jsonl  kept.checkpoint
//!                                   offered.jsonl  offered.checkpoint
//! ```
//!
//! Lines become durable before the checkpoint that seals them, and evidence
//! before the record that names it: killed at any instant, what was kept is
//! whole, and a reading that was lost is done again.

use std::io;
use std::path::{Path, PathBuf};

use manifest::admission::installation::InstallationId;
use manifest::audit::checkpoint::Checkpoint;
use manifest::audit::hash::LogHash;
use manifest::audit::limits::LOG_BYTES;
use manifest::key::PublicKey;
use store::atomic;
use store::disk::{self, DiskError, read_bounded};
use store::log::{self, LogError, LogFile};
use store::steps::Steps;

use crate::judge::Log;
use crate::limits::{INSTALLATIONS, NOTE_BYTES};
use crate::record::Record;

/// The directory of everything collected.
#[derive(Debug, Clone)]
pub struct Vault {
    dir: PathBuf,
    steps: Steps,
}

/// Something collected that cannot be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// A record is not what the auditor writes.
    #[error("{} cannot be read: {why}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        why: String,
    },
    /// The checkpoint kept of a log is not one of its installation.
    #[error("{} is no checkpoint of this installation: {why}", path.display())]
    NotACheckpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// There are more installations than one auditor keeps.
    #[error("the logs of {INSTALLATIONS} installations are kept already")]
    Full,
    /// A log could not be kept.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl Vault {
    /// The vault in `dir`, made if it is missing; `steps` are for tests that
    /// cut what it writes.
    ///
    /// # Errors
    /// [`VaultError::Disk`].
    pub fn open(dir: &Path, steps: Steps) -> Result<Self, VaultError> {
        disk::create_dirs(dir, 0o700)?;
        Ok(Self { dir: dir.to_owned(), steps })
    }

    /// Where everything is.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where everything of one installation is.
    #[must_use]
    pub fn path_of(&self, installation: &InstallationId) -> PathBuf {
        self.dir.join(installation.to_string())
    }

    /// Every installation that was ever admitted.
    ///
    /// # Errors
    /// [`VaultError`] naming the record that cannot be read.
    pub fn records(&self) -> Result<Vec<Record>, VaultError> {
        let list = |source| DiskError::new("list", &self.dir, source);
        let mut records = Vec::new();
        for entry in std::fs::read_dir(&self.dir).map_err(list)? {
            let name = entry.map_err(list)?.file_name();
            let Some(Ok(installation)) = name.to_str().map(str::parse) else { continue };
            records.extend(self.record(&installation)?);
        }
        records.sort_by_key(|record| record.installation);
        Ok(records)
    }

    /// The record of one installation, if it was ever admitted.
    ///
    /// # Errors
    /// [`VaultError::Malformed`], [`VaultError::Disk`].
    pub fn record(&self, installation: &InstallationId) -> Result<Option<Record>, VaultError> {
        let path = self.path_of(installation).join("record.json");
        let Some(bytes) = read_bounded(&path, NOTE_BYTES)? else { return Ok(None) };
        let malformed = |why: String| VaultError::Malformed { path: path.clone(), why };
        let record: Record =
            serde_json::from_slice(&bytes).map_err(|error| malformed(error.to_string()))?;
        let expected = InstallationId::of(&record.log_key);
        if record.installation != *installation || expected != *installation {
            return Err(malformed(format!("it is of installation {}", record.installation)));
        }
        Ok(Some(record))
    }

    /// Keeps a record in place of the last one, durably.
    ///
    /// # Errors
    /// [`VaultError::Full`] if it is a new one too many; [`VaultError::Disk`].
    pub fn save(&self, record: &Record) -> Result<(), VaultError> {
        let dir = self.path_of(&record.installation);
        if !dir.is_dir() {
            let list = |source| DiskError::new("list", &self.dir, source);
            if std::fs::read_dir(&self.dir).map_err(list)?.count() >= INSTALLATIONS {
                return Err(VaultError::Full);
            }
            disk::create_dirs(&dir, 0o700)?;
        }
        let mut bytes = serde_json::to_vec_pretty(record).expect("plain fields always serialise");
        bytes.push(b'\n');
        Ok(atomic::write(&dir.join("record.json"), &bytes, 0o600, &self.steps)?)
    }

    /// The log that was kept, as far as its checkpoint reaches; `None` if
    /// none was.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn log(
        &self,
        installation: &InstallationId,
        log_key: &PublicKey,
    ) -> Result<Option<Log>, VaultError> {
        let dir = self.path_of(installation);
        let kept = log::read(&dir)?;
        let Some(checkpoint) = kept.checkpoint else { return Ok(None) };
        let size = Checkpoint::verify(&checkpoint, log_key).map_err(|error| {
            let (path, why) = (dir.join("checkpoint"), error.to_string());
            VaultError::NotACheckpoint { path, why }
        })?;
        // Lines beyond it were written just before a kill; the checkpoint that
        // seals them was not.
        let sealed = usize::try_from(size.size()).unwrap_or(usize::MAX);
        let len = kept.text.split_inclusive(|byte| *byte == b'\n').take(sealed).map(<[u8]>::len);
        let len = len.sum();
        let mut lines = kept.text;
        lines.truncate(len);
        Ok(Some(Log { lines, checkpoint }))
    }

    /// Keeps a log that was judged good.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn keep(&self, installation: &InstallationId, log: &Log) -> Result<(), VaultError> {
        let dir = self.path_of(installation);
        let there = log::read(&dir)?.text;
        match log.lines.strip_prefix(&there[..]) {
            Some(new) if !there.is_empty() => {
                let mut file = LogFile::open(&dir, self.steps.clone())?;
                for line in new.split_inclusive(|byte| *byte == b'\n') {
                    file.append(line.strip_suffix(b"\n").unwrap_or(line))?;
                }
            }
            _ => {
                disk::create_dirs(&dir, 0o700)?;
                atomic::write(&dir.join("entries.jsonl"), &log.lines, 0o600, &self.steps)?;
            }
        }
        // The lines are durable: now the checkpoint may promise them.
        Ok(atomic::write(&dir.join("checkpoint"), &log.checkpoint, 0o600, &self.steps)?)
    }

    /// Keeps both logs as evidence and gives the name of its directory: the
    /// same evidence has the same name.
    ///
    /// # Errors
    /// [`VaultError::Disk`].
    pub fn keep_evidence(
        &self,
        installation: &InstallationId,
        kept: Option<&Log>,
        offered: &Log,
    ) -> Result<String, VaultError> {
        let hashed = [LogHash::of(&offered.checkpoint), LogHash::of(&offered.lines)];
        let id = LogHash::of(&[*hashed[0].as_bytes(), *hashed[1].as_bytes()].concat());
        let name = format!("evidence/{}", &id.to_string()[..16]);
        let dir = self.path_of(installation).join(&name);
        disk::create_dirs(&dir, 0o700)?;
        let kept = kept.map(|log| ("kept", log));
        for (what, log) in kept.into_iter().chain([("offered", offered)]) {
            for (ending, bytes) in [("jsonl", &log.lines), ("checkpoint", &log.checkpoint)] {
                let path = dir.join(format!("{what}.{ending}"));
                if !path.exists() {
                    atomic::write(&path, bytes, 0o600, &self.steps)?;
                }
            }
        }
        Ok(name)
    }
}

/// Reads one log for `verify`: a directory with `entries.jsonl` and
/// `checkpoint`, or a file of lines with its checkpoint beside it, named
/// `checkpoint`, or like the file with the ending `.checkpoint`.
///
/// # Errors
/// [`DiskError`] naming the file that is missing or cannot be read.
pub fn read_log(path: &Path) -> Result<Log, DiskError> {
    let (entries, checkpoints) = if path.is_dir() {
        (path.join("entries.jsonl"), vec![path.join("checkpoint")])
    } else {
        let beside = path.with_file_name("checkpoint");
        (path.to_owned(), vec![path.with_extension("checkpoint"), beside])
    };
    let missing = |path: &Path| DiskError::new("open", path, io::ErrorKind::NotFound);
    let lines = read_bounded(&entries, LOG_BYTES as u64)?.ok_or_else(|| missing(&entries))?;
    for path in &checkpoints {
        if let Some(checkpoint) = read_bounded(path, NOTE_BYTES)? {
            return Ok(Log { lines, checkpoint });
        }
    }
    Err(missing(&checkpoints[0]))
}

#[cfg(test)]
mod tests {
    use manifest::admission::credential::Role;
    use manifest::audit::event::Event;
    use manifest::audit::testing::{SAMPLE_START, SampleLog};
    use manifest::testing::TestWorkgroup;

    use super::*;

    fn vault(dir: &Path) -> Vault {
        Vault::open(dir, Steps::free()).unwrap()
    }

    fn sample(who: u64) -> (InstallationId, PublicKey, SampleLog) {
        let log = SampleLog::with_story(TestWorkgroup::log_key(who));
        let key = log.log_key.public();
        (InstallationId::of(&key), key, log)
    }

    fn log_of(sample: &SampleLog) -> Log {
        Log { lines: sample.lines.clone(), checkpoint: sample.checkpoint() }
    }

    #[test]
    fn what_was_kept_is_read_back_and_grows() {
        let dir = tempfile::tempdir().unwrap();
        let (id, key, mut sample) = sample(1);
        assert_eq!(vault(dir.path()).log(&id, &key).unwrap(), None);
        for _ in 0..3 {
            vault(dir.path()).keep(&id, &log_of(&sample)).unwrap();
            assert_eq!(vault(dir.path()).log(&id, &key).unwrap(), Some(log_of(&sample)));
            sample.append(Event::Stopped { reason: "done".into() });
        }
    }

    #[test]
    fn killed_at_any_step_the_old_or_the_new_log_is_there() {
        let steps = log::STEPS.into_iter().chain(atomic::STEPS);
        for step in steps {
            let dir = tempfile::tempdir().unwrap();
            let (id, key, mut sample) = sample(1);
            let old = log_of(&sample);
            vault(dir.path()).keep(&id, &old).unwrap();
            sample.append(Event::Stopped { reason: "one".into() });
            sample.append(Event::Stopped { reason: "two".into() });
            let new = log_of(&sample);
            let cut = Vault::open(dir.path(), Steps::until(step)).unwrap();
            assert!(cut.keep(&id, &new).is_err(), "{step}");
            let found = vault(dir.path()).log(&id, &key).unwrap().unwrap();
            assert!(found == old || found == new, "{step}");
            vault(dir.path()).keep(&id, &new).unwrap();
            assert_eq!(vault(dir.path()).log(&id, &key).unwrap(), Some(new), "{step}");
        }
    }

    #[test]
    fn evidence_is_kept_once() {
        let dir = tempfile::tempdir().unwrap();
        let (id, _, sample) = sample(1);
        let kept = log_of(&sample);
        let offered = Log { lines: Vec::new(), ..kept.clone() };
        let vault = vault(dir.path());
        let name = vault.keep_evidence(&id, Some(&kept), &offered).unwrap();
        assert_eq!(vault.keep_evidence(&id, Some(&kept), &offered).unwrap(), name);
        let dir = vault.path_of(&id).join(name);
        assert_eq!(read_log(&dir.join("kept.jsonl")).unwrap(), kept);
        assert_eq!(read_log(&dir.join("offered.jsonl")).unwrap(), offered);
    }

    #[test]
    fn records_come_back_and_damaged_ones_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let group = TestWorkgroup::new(1);
        let vault = vault(dir.path());
        let mut records = Vec::new();
        for who in 0..3 {
            let chain = group.credential(who, Role::Member, SAMPLE_START);
            let key = TestWorkgroup::peer_key(who).public();
            let member = chain.verify(&group.trust, &key, SAMPLE_START).unwrap();
            let record = Record::new(&member, SAMPLE_START);
            vault.save(&record).unwrap();
            records.push(record);
        }
        records.sort_by_key(|record| record.installation);
        std::fs::create_dir(dir.path().join("something-else")).unwrap();
        assert_eq!(vault.records().unwrap(), records);

        let path = vault.path_of(&records[0].installation).join("record.json");
        std::fs::copy(vault.path_of(&records[1].installation).join("record.json"), &path).unwrap();
        assert!(matches!(vault.records(), Err(VaultError::Malformed { .. })));
        std::fs::write(&path, "{").unwrap();
        assert!(vault.records().unwrap_err().to_string().contains("record.json"));
    }

    #[test]
    fn a_missing_log_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let error = read_log(dir.path()).unwrap_err().to_string();
        assert!(error.contains("entries.jsonl"), "{error}");
        std::fs::write(dir.path().join("entries.jsonl"), "").unwrap();
        let error = read_log(dir.path()).unwrap_err().to_string();
        assert!(error.ends_with("checkpoint"), "{error}");
    }
}
