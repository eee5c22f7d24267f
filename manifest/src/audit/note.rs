//! C2SP signed notes, as far as a log needs them: text and Ed25519 signatures.
//!
//! c2sp.org/signed-note. Nothing in the text may be believed before
//! [`Note::verify`] said so.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use crate::audit::limits::{CHECKPOINT_BYTES, SIGNATURES};
use crate::key::{PublicKey, Signature, SigningKey};

/// The signature type of Ed25519 in c2sp.org/signed-note.
const ED25519: u8 = 1;

/// What begins each signature line: an em dash and a space.
const SIGNATURE_MARK: &str = "\u{2014} ";

/// A note as received: a text, and signatures nobody has checked yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note<'a> {
    text: &'a str,
    signatures: Vec<NoteSignature<'a>>,
}

/// One signature line.
#[derive(Debug, Clone, PartialEq, Eq)]
struct NoteSignature<'a> {
    name: &'a str,
    key_id: [u8; 4],
    signature: Vec<u8>,
}

/// Bytes that are no note, or a note that the key did not sign.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// More bytes than a note may have.
    #[error("a note is at most {CHECKPOINT_BYTES} bytes, found {found}")]
    TooLong {
        /// Its length.
        found: usize,
    },
    /// No text, blank line and signature lines in that order.
    #[error("the note is malformed: {0}")]
    Malformed(&'static str),
    /// Nobody signed under this name and key.
    #[error("the note is not signed by {name} with key {key}")]
    NotSigned {
        /// The key's name.
        name: String,
        /// The key.
        key: PublicKey,
    },
    /// The signature under this name and key does not hold.
    #[error("the signature of {name} does not hold under key {key}")]
    BadSignature {
        /// The key's name.
        name: String,
        /// The key.
        key: PublicKey,
    },
}

/// The key id: the first four bytes of a hash over name and key.
#[must_use]
pub fn key_id(name: &str, key: &PublicKey) -> [u8; 4] {
    let mut hasher = Sha256::new();
    hasher.update(name.as_bytes());
    hasher.update([b'\n', ED25519]);
    hasher.update(key.as_bytes());
    let hash: [u8; 32] = hasher.finalize().into();
    [hash[0], hash[1], hash[2], hash[3]]
}

/// The note of `text`, which ends in a newline, signed by `key` under `name`.
#[must_use]
pub fn sign(text: &str, name: &str, key: &SigningKey) -> String {
    let mut signature = key_id(name, &key.public()).to_vec();
    signature.extend_from_slice(key.sign_raw(text.as_bytes()).as_bytes());
    format!("{text}\n{SIGNATURE_MARK}{name} {}\n", STANDARD.encode(signature))
}

impl<'a> Note<'a> {
    /// Reads a note of at most [`CHECKPOINT_BYTES`].
    ///
    /// # Errors
    /// [`NoteError::TooLong`] or [`NoteError::Malformed`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, NoteError> {
        if bytes.len() > CHECKPOINT_BYTES {
            return Err(NoteError::TooLong { found: bytes.len() });
        }
        let note = std::str::from_utf8(bytes).map_err(|_| NoteError::Malformed("not UTF-8"))?;
        if note.bytes().any(|byte| byte < 0x20 && byte != b'\n') {
            return Err(NoteError::Malformed("a control character"));
        }
        // The text may hold empty lines; the last one ends it.
        let end = note.rfind("\n\n").ok_or(NoteError::Malformed("no blank line"))? + 1;
        let (text, signatures) = (&note[..end], &note[end + 1..]);
        let lines = signatures.strip_suffix('\n').ok_or(NoteError::Malformed("no last newline"))?;
        let mut note = Self { text, signatures: Vec::new() };
        for line in lines.split('\n') {
            if note.signatures.len() == SIGNATURES {
                return Err(NoteError::Malformed("more than 16 signatures"));
            }
            let signature = signature_line(line).ok_or(NoteError::Malformed("a signature line"))?;
            note.signatures.push(signature);
        }
        Ok(note)
    }

    /// The text, once `key` is seen to have signed it under `name`.
    ///
    /// # Errors
    /// [`NoteError::NotSigned`] or [`NoteError::BadSignature`].
    pub fn verify(&self, name: &str, key: &PublicKey) -> Result<&'a str, NoteError> {
        let id = key_id(name, key);
        let mut signed = false;
        // Signatures of unknown keys are ignored; all of a known one must hold.
        for found in self.signatures.iter().filter(|s| s.name == name && s.key_id == id) {
            let bad = || NoteError::BadSignature { name: name.to_owned(), key: *key };
            let bytes: [u8; 64] = found.signature.as_slice().try_into().map_err(|_| bad())?;
            let signature = Signature::from_bytes(bytes);
            key.verify_raw(self.text.as_bytes(), &signature).map_err(|_| bad())?;
            signed = true;
        }
        if signed {
            Ok(self.text)
        } else {
            Err(NoteError::NotSigned { name: name.to_owned(), key: *key })
        }
    }
}

fn signature_line(line: &str) -> Option<NoteSignature<'_>> {
    let (name, encoded) = line.strip_prefix(SIGNATURE_MARK)?.split_once(' ')?;
    if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c == '+') {
        return None;
    }
    let mut signature = STANDARD.decode(encoded).ok()?;
    let key_id = signature.first_chunk::<4>().copied()?;
    signature.drain(..4);
    Some(NoteSignature { name, key_id, signature })
}

#[cfg(test)]
mod tests {
    use super::*;

    // The example of golang.org/x/mod/sumdb/note, note_test.go.
    const PETER: &str = "PeterNeumann";
    const PETER_SECRET: &str = "AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
    const PETER_PUBLIC: &str = "ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const PETER_NOTE: &str = "If you think cryptography is the answer to your problem,\n\
        then you don't know what your problem is.\n\n\
        \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

    /// A key as that package writes it: the signature type, then 32 bytes.
    fn key_bytes(text: &str) -> [u8; 32] {
        let bytes = STANDARD.decode(text).unwrap();
        assert_eq!(bytes[0], ED25519);
        bytes[1..].try_into().unwrap()
    }

    fn peter() -> PublicKey {
        PublicKey::from_bytes(key_bytes(PETER_PUBLIC))
    }

    #[test]
    fn the_note_of_the_go_reference_verifies() {
        assert_eq!(hex::encode(key_id(PETER, &peter())), "c74f20a3");
        let note = Note::parse(PETER_NOTE.as_bytes()).unwrap();
        let text = note.verify(PETER, &peter()).unwrap();
        assert!(text.ends_with("what your problem is.\n"));
        assert!(matches!(note.verify("Peter", &peter()), Err(NoteError::NotSigned { .. })));
    }

    #[test]
    fn signing_gives_the_note_of_the_go_reference() {
        let key = SigningKey::from_seed(&key_bytes(PETER_SECRET));
        assert_eq!(key.public(), peter());
        let text = PETER_NOTE.split_inclusive("\n\n").next().unwrap();
        assert_eq!(sign(&text[..text.len() - 1], PETER, &key), PETER_NOTE);
    }

    #[test]
    fn signatures_of_strangers_are_ignored_but_do_not_count() {
        let (ours, other) = (SigningKey::from_seed(&[1; 32]), SigningKey::from_seed(&[2; 32]));
        let mut note = sign("text\n", "ours", &ours);
        let stranger = sign("another text\n", "other", &other);
        note.push_str(stranger.split("\n\n").nth(1).unwrap());
        let parsed = Note::parse(note.as_bytes()).unwrap();
        assert_eq!(parsed.verify("ours", &ours.public()), Ok("text\n"));
        let refused = parsed.verify("other", &other.public());
        assert!(matches!(refused, Err(NoteError::BadSignature { .. })), "{refused:?}");
    }

    #[test]
    fn malformed_notes_are_refused() {
        let good = sign("a\n\nb\n", "k", &SigningKey::from_seed(&[1; 32]));
        assert!(Note::parse(good.as_bytes()).is_ok());
        let many = format!("t\n\n{}", "\u{2014} k AAAAAAA=\n".repeat(SIGNATURES + 1));
        for bad in [
            "",
            "\n\n",
            "text\n",
            "text\n\n",
            "text\n\n\u{2014} k AAAAAAA=",
            "text\n\n\u{2014}  AAAAAAA=\n",
            "text\n\n\u{2014} k\n",
            "text\n\n\u{2014} k+k AAAAAAA=\n",
            "text\n\n\u{2014} k AAA\n",
            "text\n\n\u{2014} k AAAA\n",
            "text\n\n- k AAAAAAA=\n",
            "te\txt\n\n\u{2014} k AAAAAAA=\n",
            &many,
            &"x".repeat(CHECKPOINT_BYTES + 1),
        ] {
            assert!(Note::parse(bad.as_bytes()).is_err(), "{bad:?}");
        }
        assert!(Note::parse(b"te\xFFxt\n\n\xE2\x80\x94 k AAAAAAA=\n").is_err());
    }
}
