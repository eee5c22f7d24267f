//! Checkpoints: the size and root of a log, signed with its log key.
//!
//! c2sp.org/tlog-checkpoint, with the origin `updraft/` and the installation
//! id. As the id is the hash of the log key, a checkpoint can be checked by
//! whoever knows the key, and belongs to one log for ever.

use crate::admission::installation::InstallationId;
use crate::audit::event::TreeHead;
use crate::audit::hash::LogHash;
use crate::audit::note::{self, Note, NoteError};
use crate::key::{PublicKey, SigningKey};

/// A checkpoint whose signature holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    installation: InstallationId,
    head: TreeHead,
}

/// A checkpoint that cannot be believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// It is another installation's.
    #[error("the checkpoint is of {found:?}, expected {expected:?}")]
    WrongOrigin {
        /// The origin that belongs to the log key.
        expected: String,
        /// The origin that stands there, at most its first 80 characters.
        found: String,
    },
    /// It is no note, or the log key did not sign it.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// It is signed and still says something else than size and root.
    #[error("the checkpoint has no {0}")]
    Malformed(&'static str),
}

/// The origin line of an installation's log.
#[must_use]
pub fn origin(installation: &InstallationId) -> String {
    format!("updraft/{installation}")
}

/// Signs the head of the log that `log_key` belongs to.
#[must_use]
pub fn sign(head: &TreeHead, log_key: &SigningKey) -> Vec<u8> {
    let origin = origin(&InstallationId::of(&log_key.public()));
    let text = format!("{origin}\n{}\n{}\n", head.size, head.root.to_base64());
    note::sign(&text, &origin, log_key).into_bytes()
}

impl Checkpoint {
    /// Reads a checkpoint and checks that `log_key` signed it for its own log.
    ///
    /// # Errors
    /// [`CheckpointError`].
    pub fn verify(bytes: &[u8], log_key: &PublicKey) -> Result<Self, CheckpointError> {
        let installation = InstallationId::of(log_key);
        let origin = origin(&installation);
        let note = Note::parse(bytes)?;
        let text = match note.verify(&origin, log_key) {
            Ok(text) => text,
            // Unsigned, the first line is good only for a better message.
            Err(error) => {
                let found: String = first_line(bytes).chars().take(80).collect();
                if found == origin {
                    return Err(error.into());
                }
                return Err(CheckpointError::WrongOrigin { expected: origin, found });
            }
        };
        let lines: Vec<&str> = text.split('\n').collect();
        let [found, size, root, ""] = lines[..] else {
            return Err(CheckpointError::Malformed("three lines"));
        };
        if found != origin {
            let found = found.chars().take(80).collect();
            return Err(CheckpointError::WrongOrigin { expected: origin, found });
        }
        let canonical = |size: &u64| size.to_string() == lines[1];
        let size = size.parse().ok().filter(canonical);
        let size = size.ok_or(CheckpointError::Malformed("size in plain decimal"))?;
        let root = LogHash::from_base64(root);
        let root = root.ok_or(CheckpointError::Malformed("root of 32 bytes in base64"))?;
        Ok(Self { installation, head: TreeHead { size, root } })
    }

    /// Whose log it seals.
    #[must_use]
    pub const fn installation(&self) -> InstallationId {
        self.installation
    }

    /// The size and root that it signs.
    #[must_use]
    pub const fn head(&self) -> TreeHead {
        self.head
    }

    /// Number of entries that it seals.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.head.size
    }
}

fn first_line(bytes: &[u8]) -> String {
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    String::from_utf8_lossy(line).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::merkle::empty_root;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed(&[seed; 32])
    }

    fn head(size: u64) -> TreeHead {
        TreeHead { size, root: empty_root() }
    }

    #[test]
    fn what_was_signed_comes_back() {
        let bytes = sign(&head(7), &key(1));
        let checkpoint = Checkpoint::verify(&bytes, &key(1).public()).unwrap();
        assert_eq!(checkpoint.head(), head(7));
        assert_eq!(checkpoint.installation(), InstallationId::of(&key(1).public()));
    }

    #[test]
    fn another_key_is_told_that_it_is_another_log() {
        let refused = Checkpoint::verify(&sign(&head(7), &key(1)), &key(2).public());
        assert!(matches!(refused, Err(CheckpointError::WrongOrigin { .. })), "{refused:?}");
    }

    #[test]
    fn a_forger_with_another_key_cannot_sign_under_our_origin() {
        let origin = origin(&InstallationId::of(&key(1).public()));
        let text = format!("{origin}\n7\n{}\n", empty_root().to_base64());
        let forged = note::sign(&text, &origin, &key(2));
        let refused = Checkpoint::verify(forged.as_bytes(), &key(1).public());
        let expected = matches!(refused, Err(CheckpointError::Note(NoteError::NotSigned { .. })));
        assert!(expected, "{refused:?}");
    }

    #[test]
    fn signed_nonsense_is_still_refused() {
        let origin = origin(&InstallationId::of(&key(1).public()));
        let root = empty_root().to_base64();
        for text in [
            format!("{origin}\n07\n{root}\n"),
            format!("{origin}\n+7\n{root}\n"),
            format!("{origin}\n-1\n{root}\n"),
            format!("{origin}\n18446744073709551616\n{root}\n"),
            format!("{origin}\n7\n{}\n", &root[1..]),
            format!("{origin}\n7\n{root}\nextension\n"),
            format!("{origin}\n7\n"),
            format!("updraft/other\n7\n{root}\n"),
            "\n".to_owned(),
        ] {
            let note = note::sign(&text, &origin, &key(1));
            assert!(Checkpoint::verify(note.as_bytes(), &key(1).public()).is_err(), "{text}");
        }
    }

    #[test]
    fn any_single_changed_bit_is_noticed() {
        let bytes = sign(&head(7), &key(1));
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(Checkpoint::verify(&changed, &key(1).public()).is_err(), "bit {bit}");
        }
    }
}
