//! One reading, from its judgement to the disk.

use manifest::admission::chain::Member;
use manifest::admission::installation::InstallationId;
use manifest::audit::checkpoint::Checkpoint;
use manifest::time::UnixTime;

use crate::collect::{Outcome, Reading};
use crate::judge::{Accusation, Log, Verdict, judge};
use crate::record::{Finding, Record, Standing, plain, shown};
use crate::vault::{Vault, VaultError};

/// Notes that `member` was admitted, and gives how many of its entries are
/// kept.
///
/// # Errors
/// [`VaultError`].
pub fn meet(vault: &Vault, member: &Member, now: UnixTime) -> Result<u64, VaultError> {
    let record = match vault.record(&member.installation)? {
        None => Record::new(member, now),
        Some(mut record) => {
            record.see(member, now);
            record
        }
    };
    vault.save(&record)?;
    let Some(log) = vault.log(&record.installation, &record.log_key)? else { return Ok(0) };
    Ok(Checkpoint::verify(&log.checkpoint, &record.log_key).map_or(0, |kept| kept.size()))
}

/// Judges a reading and keeps what it brought: entries if it is good,
/// evidence if it is not.
///
/// # Errors
/// [`VaultError`], and then nothing is thought of the log that was not
/// thought before.
pub fn take_in(
    vault: &Vault,
    installation: &InstallationId,
    reading: Reading,
    now: UnixTime,
) -> Result<Outcome, VaultError> {
    let Some(mut record) = vault.record(installation)? else { return Ok(Outcome::Unjudged) };
    record.last_seen = now;
    let kept = vault.log(installation, &record.log_key)?;
    let whole = reading.from == 0;
    let Some(offered) = joined(kept.as_ref(), reading) else { return Ok(Outcome::Suspect) };
    let verdict = match judge(kept.as_ref(), &offered, &record.log_key) {
        Ok(verdict) => verdict,
        Err(damaged) => {
            let why = std::error::Error::source(&damaged).map(ToString::to_string);
            record.standing =
                Standing::Unreadable { reason: format!("{damaged}: {}", why.unwrap_or_default()) };
            vault.save(&record)?;
            return Ok(Outcome::Unjudged);
        }
    };
    let outcome = match verdict {
        Verdict::Tampered(_) if !whole => return Ok(Outcome::Suspect),
        Verdict::Tampered(accusation) => {
            let evidence = vault.keep_evidence(installation, kept.as_ref(), &offered)?;
            record.accuse(finding(accusation, evidence, now));
            Outcome::Accused
        }
        Verdict::Restored { verified, entry } => {
            // What it was restored over stays readable.
            vault.keep_evidence(installation, kept.as_ref(), &offered)?;
            vault.keep(installation, &offered)?;
            record.standing = Standing::Restored { entry };
            Outcome::Kept { size: verified.checkpoint().size() }
        }
        Verdict::Intact(verified) => {
            if kept.as_ref() != Some(&offered) {
                vault.keep(installation, &offered)?;
            }
            if !matches!(record.standing, Standing::Restored { .. }) {
                record.standing = Standing::Intact;
            }
            Outcome::Kept { size: verified.checkpoint().size() }
        }
    };
    record.last_read = Some(now);
    vault.save(&record)?;
    Ok(outcome)
}

/// Notes why a log could not be read, unless something worse is known of it.
///
/// # Errors
/// [`VaultError`].
pub fn could_not_read(
    vault: &Vault,
    installation: &InstallationId,
    reason: &str,
) -> Result<(), VaultError> {
    let Some(mut record) = vault.record(installation)? else { return Ok(()) };
    if matches!(record.standing, Standing::Unread | Standing::Unreadable { .. }) {
        let standing = Standing::Unreadable { reason: shown(reason.as_bytes()) };
        if record.standing != standing {
            record.standing = standing;
            vault.save(&record)?;
        }
    }
    Ok(())
}

/// The whole log that a reading makes with what is kept; `None` if it does
/// not begin where that ends.
fn joined(kept: Option<&Log>, reading: Reading) -> Option<Log> {
    if reading.from == 0 {
        return Some(Log { lines: reading.lines, checkpoint: reading.checkpoint });
    }
    let kept = kept?;
    let count = kept.lines.iter().filter(|byte| **byte == b'\n').count() as u64;
    if count != reading.from {
        return None;
    }
    let lines = [&kept.lines[..], &reading.lines[..]].concat();
    Some(Log { lines, checkpoint: reading.checkpoint })
}

fn finding(accusation: Accusation, evidence: String, now: UnixTime) -> Finding {
    Finding {
        found: now,
        sentence: shown(accusation.sentence.as_bytes()),
        entry: accusation.entry,
        was: accusation.was.as_deref().map(plain),
        is: accusation.is.as_deref().map(plain),
        evidence,
    }
}

#[cfg(test)]
mod tests {
    use manifest::admission::credential::Role;
    use manifest::audit::event::Event;
    use manifest::audit::testing::{SAMPLE_START, SampleLog, story};
    use manifest::testing::TestWorkgroup;
    use store::steps::Steps;
    use tempfile::TempDir;

    use super::*;

    struct Bench {
        _dir: TempDir,
        vault: Vault,
        log: SampleLog,
        id: InstallationId,
    }

    impl Bench {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let vault = Vault::open(dir.path(), Steps::free()).unwrap();
            let log = SampleLog::with_story(TestWorkgroup::log_key(1));
            let id = InstallationId::of(&log.log_key.public());
            let bench = Self { _dir: dir, vault, log, id };
            assert_eq!(bench.meet(), 0);
            bench
        }

        fn meet(&self) -> u64 {
            let group = TestWorkgroup::new(1);
            let chain = group.credential(1, Role::Member, SAMPLE_START);
            let key = TestWorkgroup::peer_key(1).public();
            let member = chain.verify(&group.trust, &key, SAMPLE_START).unwrap();
            meet(&self.vault, &member, SAMPLE_START).unwrap()
        }

        fn read(&self, from: u64, log: &SampleLog) -> Outcome {
            let skip = usize::try_from(from).unwrap();
            let lines = log.lines.split_inclusive(|byte| *byte == b'\n').skip(skip);
            let lines = lines.collect::<Vec<_>>().concat();
            self.take_in(Reading { from, lines, checkpoint: log.checkpoint() })
        }

        fn take_in(&self, reading: Reading) -> Outcome {
            take_in(&self.vault, &self.id, reading, SAMPLE_START).unwrap()
        }

        fn record(&self) -> Record {
            self.vault.record(&self.id).unwrap().unwrap()
        }
    }

    #[test]
    fn a_good_log_is_kept_and_continued() {
        let mut bench = Bench::new();
        assert_eq!(bench.read(0, &bench.log), Outcome::Kept { size: 12 });
        bench.log.append(Event::Stopped { reason: "done".into() });
        assert_eq!(bench.read(12, &bench.log), Outcome::Kept { size: 13 });
        assert_eq!(bench.read(13, &bench.log), Outcome::Kept { size: 13 });
        assert_eq!(bench.record().standing, Standing::Intact);
        assert_eq!(bench.meet(), 13);
    }

    #[test]
    fn an_increment_never_accuses_but_leads_to_a_whole_reading() {
        let bench = Bench::new();
        bench.read(0, &bench.log);
        let mut other = SampleLog::new(bench.log.log_key.clone());
        for _ in 0..14 {
            other.append(Event::Stopped { reason: "nothing to see here".into() });
        }
        assert_eq!(bench.read(12, &other), Outcome::Suspect);
        assert_eq!(bench.read(5, &bench.log), Outcome::Suspect);
        assert!(bench.record().findings.is_empty());
        assert_eq!(bench.read(0, &other), Outcome::Accused);
        assert!(matches!(bench.record().standing, Standing::Tampered { .. }));
    }

    #[test]
    fn a_tampered_log_leaves_evidence_and_what_was_kept() {
        let bench = Bench::new();
        bench.read(0, &bench.log);
        let text = String::from_utf8(bench.log.lines.clone()).unwrap();
        let doctored = Reading {
            from: 0,
            lines: text.replacen("rolled-back", "committed", 1).into_bytes(),
            checkpoint: bench.log.checkpoint(),
        };
        for _ in 0..2 {
            assert_eq!(bench.take_in(doctored.clone()), Outcome::Accused);
        }
        let record = bench.record();
        let sentence = "entry 10 was changed".to_owned();
        assert_eq!(record.standing, Standing::Tampered { sentence });
        assert_eq!(record.findings.len(), 1, "the same evidence counts once");
        let finding = &record.findings[0];
        assert_eq!(finding.entry, Some(10));
        assert!(finding.was.as_ref().unwrap().contains("rolled-back"));
        assert!(finding.is.as_ref().unwrap().contains("committed"));
        let evidence = bench.vault.path_of(&bench.id).join(&finding.evidence);
        assert_eq!(std::fs::read(evidence.join("kept.jsonl")).unwrap(), bench.log.lines);
        assert_eq!(std::fs::read(evidence.join("offered.jsonl")).unwrap(), doctored.lines);
        let kept = bench.vault.log(&bench.id, &record.log_key).unwrap().unwrap();
        assert_eq!(kept.lines, bench.log.lines);

        // Put back, it is intact again, and the finding stays.
        assert_eq!(bench.read(0, &bench.log), Outcome::Kept { size: 12 });
        let record = bench.record();
        assert_eq!((record.standing, record.findings.len()), (Standing::Intact, 1));
    }

    #[test]
    fn a_restored_machine_begins_anew_and_what_was_before_stays() {
        let bench = Bench::new();
        bench.read(0, &bench.log);
        let mut restored = SampleLog::new(bench.log.log_key.clone());
        for event in story().into_iter().take(9) {
            restored.append(event);
        }
        let here = restored.chain.head();
        restored.append(Event::Restored { here, later: bench.log.chain.head() });
        assert_eq!(bench.read(0, &restored), Outcome::Kept { size: 10 });
        restored.append(Event::Stopped { reason: "done".into() });
        assert_eq!(bench.read(10, &restored), Outcome::Kept { size: 11 });
        let record = bench.record();
        assert_eq!(record.standing, Standing::Restored { entry: 9 });
        assert!(record.findings.is_empty());
        let evidence = bench.vault.path_of(&bench.id).join("evidence");
        assert_eq!(std::fs::read_dir(evidence).unwrap().count(), 1);
    }

    #[test]
    fn damage_to_the_kept_copy_is_told_and_accuses_nobody() {
        let bench = Bench::new();
        bench.read(0, &bench.log);
        let path = bench.vault.path_of(&bench.id).join("entries.jsonl");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replacen("desk-1", "desk-2", 1)).unwrap();
        assert_eq!(bench.read(0, &bench.log), Outcome::Unjudged);
        let expected = "the log kept from before is damaged: entry 0 was changed".to_owned();
        assert_eq!(bench.record().standing, Standing::Unreadable { reason: expected });
    }

    #[test]
    fn why_a_log_could_not_be_read_never_hides_what_is_known() {
        let bench = Bench::new();
        could_not_read(&bench.vault, &bench.id, "refused").unwrap();
        let reason = "refused".to_owned();
        assert_eq!(bench.record().standing, Standing::Unreadable { reason });
        bench.read(0, &bench.log);
        could_not_read(&bench.vault, &bench.id, "refused").unwrap();
        assert_eq!(bench.record().standing, Standing::Intact);
    }
}
