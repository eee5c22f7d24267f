//! What to think of a log that a machine offers, given what it offered before.
//!
//! Promises that nothing is called tampered with unless the bytes prove it,
//! and that the sentence names the entry wherever it can be known. Knows
//! neither disk nor network.

use manifest::audit::checkpoint::Checkpoint;
use manifest::audit::verify::{Continuity, Fault, Verified, continuity, first_difference, verify};
use manifest::key::PublicKey;

/// A log and the checkpoint that came with it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Log {
    /// Lines with their newlines.
    pub lines: Vec<u8>,
    /// The checkpoint, as signed.
    pub checkpoint: Vec<u8>,
}

/// What a log turned out to be.
#[derive(Debug)]
pub enum Verdict {
    /// It is whole, and goes on from the one kept before.
    Intact(Verified),
    /// It begins anew before the kept one ended, and says so itself.
    Restored {
        /// The log as it is now.
        verified: Verified,
        /// The entry that says so.
        entry: u64,
    },
    /// It is not what was signed, or not what was signed before.
    Tampered(Accusation),
}

/// A fault, with what helps a person to see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accusation {
    /// What is wrong, as in `entry 7 was changed`.
    pub sentence: String,
    /// The first entry in which the kept and the offered log differ.
    pub entry: Option<u64>,
    /// That entry's line as it was kept.
    pub was: Option<Vec<u8>>,
    /// The line that stands there now.
    pub is: Option<Vec<u8>>,
}

/// A kept log that is no longer what was kept: the fault is on our own disk.
#[derive(Debug, thiserror::Error)]
#[error("the log kept from before is damaged")]
pub struct KeptDamaged {
    /// What is wrong with it.
    #[source]
    pub source: Fault,
}

/// Judges `offered`, a whole log, by `kept`, which was intact when it was kept.
///
/// # Errors
/// [`KeptDamaged`], and then nothing can be said of `offered`.
pub fn judge(
    kept: Option<&Log>,
    offered: &Log,
    log_key: &PublicKey,
) -> Result<Verdict, KeptDamaged> {
    let kept = match kept {
        None => None,
        Some(log) => {
            let damaged = |source| KeptDamaged { source };
            let verified = verify(&log.lines, &log.checkpoint, log_key).map_err(damaged)?;
            Some((log, *verified.checkpoint()))
        }
    };
    let fault = match verify(&offered.lines, &offered.checkpoint, log_key) {
        Err(fault) => fault,
        Ok(verified) => {
            let Some((_, checkpoint)) = &kept else { return Ok(Verdict::Intact(verified)) };
            match continuity(checkpoint, &verified) {
                Ok(Continuity::Unbroken) => return Ok(Verdict::Intact(verified)),
                Ok(Continuity::Restored { entry }) => {
                    return Ok(Verdict::Restored { verified, entry });
                }
                Err(fault) => fault,
            }
        }
    };
    Ok(Verdict::Tampered(accuse(&fault, kept, offered)))
}

/// Says what is wrong, as exactly as the kept log allows.
fn accuse(fault: &Fault, kept: Option<(&Log, Checkpoint)>, offered: &Log) -> Accusation {
    let mut sentence = told(fault);
    let difference = kept.and_then(|(log, _)| first_difference(&log.lines, &offered.lines));
    let Some((entry, was, is)) = difference else {
        return Accusation { sentence, entry: None, was: None, is: None };
    };
    match fault {
        // Whatever the links alone suggest, the kept line shows which it is.
        Fault::Changed { .. } | Fault::WrongRoot { .. } => {
            sentence = format!("entry {entry} was changed");
        }
        Fault::Rewritten { .. } | Fault::Forked { .. } => {
            sentence = format!("{sentence}; entry {entry} is the first that differs");
        }
        _ => {}
    }
    Accusation { sentence, entry: Some(entry), was: Some(was.to_vec()), is: Some(is.to_vec()) }
}

/// A fault and its causes in one line.
fn told(fault: &Fault) -> String {
    // `Fault` already names an unreadable line's own fault; what that one has
    // beneath it is a parser's position.
    match fault {
        Fault::Unreadable { source, .. } => match std::error::Error::source(source) {
            Some(cause) => format!("{fault}: {cause}"),
            None => fault.to_string(),
        },
        _ => fault.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use manifest::audit::event::Event;
    use manifest::audit::testing::{SampleLog, story};
    use manifest::testing::key;

    use super::*;

    fn log_of(sample: &SampleLog) -> Log {
        Log { lines: sample.lines.clone(), checkpoint: sample.checkpoint() }
    }

    fn kept() -> Log {
        log_of(&SampleLog::with_story(key(1)))
    }

    fn accusation(kept: Option<&Log>, offered: &Log) -> Accusation {
        match judge(kept, offered, &key(1).public()).unwrap() {
            Verdict::Tampered(accusation) => accusation,
            other => panic!("{other:?}"),
        }
    }

    fn changed(log: &Log, from: &str, to: &str) -> Log {
        let text = String::from_utf8(log.lines.clone()).unwrap();
        assert!(text.contains(from), "{text} holds no {from}");
        Log { lines: text.replacen(from, to, 1).into_bytes(), ..log.clone() }
    }

    #[test]
    fn a_first_log_and_a_longer_one_are_intact() {
        let mut sample = SampleLog::with_story(key(1));
        let first = log_of(&sample);
        let key = key(1).public();
        assert!(matches!(judge(None, &first, &key), Ok(Verdict::Intact(_))));
        sample.append(Event::Stopped { reason: "done".into() });
        let longer = log_of(&sample);
        assert!(matches!(judge(Some(&first), &longer, &key), Ok(Verdict::Intact(_))));
    }

    #[test]
    fn a_changed_entry_is_shown_as_it_was_and_as_it_is() {
        let doctored = changed(&kept(), "rolled-back", "committed");
        let blind = accusation(None, &doctored);
        assert_eq!(blind.sentence, "entry 10 was changed");
        assert_eq!(blind.was, None);
        let accusation = accusation(Some(&kept()), &doctored);
        assert_eq!(
            (accusation.sentence.as_str(), accusation.entry),
            ("entry 10 was changed", Some(10))
        );
        assert!(String::from_utf8(accusation.was.unwrap()).unwrap().contains("rolled-back"));
        assert!(String::from_utf8(accusation.is.unwrap()).unwrap().contains("committed"));
    }

    #[test]
    fn the_last_entry_is_named_exactly_when_a_copy_was_kept() {
        let doctored = changed(&kept(), "it failed here before", "it rained");
        assert!(accusation(None, &doctored).sentence.contains("or a run of entries"));
        assert_eq!(accusation(Some(&kept()), &doctored).sentence, "entry 11 was changed");
    }

    #[test]
    fn an_unreadable_entry_says_where_it_breaks() {
        let doctored = changed(&kept(), "\"seq\":3", "\"seq\":}");
        let sentence = accusation(Some(&kept()), &doctored).sentence;
        assert!(sentence.starts_with("entry 3 was changed: the line is not JSON: "), "{sentence}");
    }

    #[test]
    fn a_log_signed_anew_names_the_first_entry_that_differs() {
        let mut other = SampleLog::new(key(1));
        for event in story().into_iter().take(9) {
            other.append(event);
        }
        for _ in 0..9 {
            other.append(Event::Stopped { reason: "nothing to see here".into() });
        }
        let accusation = accusation(Some(&kept()), &log_of(&other));
        assert_eq!(
            accusation.sentence,
            "rewritten: the first 12 entries are not those that were signed before; \
             entry 9 is the first that differs"
        );
    }

    #[test]
    fn a_truncated_log_signed_anew_is_caught() {
        let mut other = SampleLog::new(key(1));
        for event in story().into_iter().take(9) {
            other.append(event);
        }
        let sentence = accusation(Some(&kept()), &log_of(&other)).sentence;
        assert_eq!(sentence, "truncated: 12 entries were signed before, now only 9");
    }

    #[test]
    fn a_restored_machine_is_no_forger() {
        let mut restored = SampleLog::new(key(1));
        for event in story().into_iter().take(9) {
            restored.append(event);
        }
        let here = restored.chain.head();
        let later = SampleLog::with_story(key(1)).chain.head();
        restored.append(Event::Restored { here, later });
        let verdict = judge(Some(&kept()), &log_of(&restored), &key(1).public());
        assert!(matches!(verdict, Ok(Verdict::Restored { entry: 9, .. })), "{verdict:?}");
    }

    #[test]
    fn damage_on_our_own_disk_is_not_blamed_on_the_machine() {
        let damaged = changed(&kept(), "desk-1", "desk-2");
        assert!(judge(Some(&damaged), &kept(), &key(1).public()).is_err());
    }
}
