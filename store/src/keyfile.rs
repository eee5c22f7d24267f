//! Private keys in files: PKCS#8 PEM, as OpenSSL reads and writes it.
//!
//! Promises that a key is never written where others may read it, never
//! overwritten, and never read from a file that others could read.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey, KeypairBytes};
use manifest::key::SigningKey;

use crate::disk::{DiskError, at, read_bounded, sync_dir};
use crate::limits::KEY_FILE_BYTES;

/// A key file that is not used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// There is no such file.
    #[error("there is no key at {}", path.display())]
    Missing {
        /// Where the key should be.
        path: PathBuf,
    },
    /// Others may read or write the file.
    #[error("{} has mode {mode:03o}, so others may read this private key; run: chmod 600 {}",
        path.display(), path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is no private ed25519 key.
    #[error("{} is no ed25519 private key in PKCS#8 PEM: {why}", path.display())]
    NotAKey {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        why: String,
    },
    /// The file is encrypted, which is not supported yet.
    #[error("{} is encrypted; decrypt it with: openssl pkey -in {} -out PLAIN.pem",
        path.display(), path.display())]
    Encrypted {
        /// The file.
        path: PathBuf,
    },
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// A private key as PKCS#8 PEM.
#[must_use]
pub fn to_pem(key: &SigningKey) -> String {
    // Without the public half: OpenSSL up to 3.x refuses PKCS#8 version 2.
    KeypairBytes { secret_key: *key.seed(), public_key: None }
        .to_pkcs8_pem(LineEnding::LF)
        .expect("32 bytes always encode")
        .to_string()
}

/// Writes `key` durably to a new file at `path` with mode 0600.
///
/// # Errors
/// [`KeyFileError::Disk`], also if the file already exists.
pub fn create(path: &Path, key: &SigningKey) -> Result<(), KeyFileError> {
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(at("create", path))?;
    file.write_all(to_pem(key).as_bytes()).map_err(at("write", path))?;
    file.sync_all().map_err(at("sync", path))?;
    sync_dir(path.parent().unwrap_or(Path::new("")))?;
    Ok(())
}

/// Reads the key at `path`.
///
/// # Errors
/// [`KeyFileError`]; a file readable by its group or others is refused.
pub fn read(path: &Path) -> Result<SigningKey, KeyFileError> {
    let owned = || path.to_owned();
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(KeyFileError::Missing { path: owned() });
        }
        Err(error) => return Err(DiskError::new("look at", path, error).into()),
    };
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::Exposed { path: owned(), mode });
    }
    let bytes = read_bounded(path, KEY_FILE_BYTES)?
        .ok_or_else(|| KeyFileError::Missing { path: owned() })?;
    let bytes = zeroize::Zeroizing::new(bytes);
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| KeyFileError::NotAKey { path: owned(), why: "it is no text".to_owned() })?;
    if text.contains("BEGIN ENCRYPTED PRIVATE KEY") {
        return Err(KeyFileError::Encrypted { path: owned() });
    }
    let pair = KeypairBytes::from_pkcs8_pem(text)
        .map_err(|error| KeyFileError::NotAKey { path: owned(), why: error.to_string() })?;
    let key = SigningKey::from_seed(&pair.secret_key);
    // A public half that belongs to another key would make signatures that
    // nobody can verify, and tells of a damaged file.
    if pair.public_key.is_some_and(|public| public.to_bytes() != *key.public().as_bytes()) {
        let why = "its public half belongs to another key".to_owned();
        return Err(KeyFileError::NotAKey { path: owned(), why });
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> SigningKey {
        SigningKey::from_seed(&[7; 32])
    }

    #[test]
    fn written_and_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("k.pem");
        create(&path, &key()).unwrap();
        assert_eq!(read(&path).unwrap().public(), key().public());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_key_made_by_openssl_is_read() {
        // openssl genpkey -algorithm ed25519
        let pem = "-----BEGIN PRIVATE KEY-----\n\
            MC4CAQAwBQYDK2VwBCIEIAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH\n\
            -----END PRIVATE KEY-----\n";
        assert_eq!(to_pem(&key()), pem);
    }

    #[test]
    fn a_key_is_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("k.pem");
        create(&path, &key()).unwrap();
        assert!(create(&path, &SigningKey::from_seed(&[8; 32])).is_err());
        assert_eq!(read(&path).unwrap().public(), key().public());
    }

    #[test]
    fn a_key_that_others_may_read_is_refused_with_the_remedy() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("k.pem");
        create(&path, &key()).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let error = read(&path).unwrap_err().to_string();
        assert!(error.contains("640") && error.contains("chmod 600"), "{error}");
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("k.pem");
        assert!(matches!(read(&path), Err(KeyFileError::Missing { .. })));
        for bad in [&b"\xff\xfe"[..], b"", b"hello", b"-----BEGIN PRIVATE KEY-----\nAAAA\n"] {
            fs::write(&path, bad).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            assert!(matches!(read(&path), Err(KeyFileError::NotAKey { .. })), "{bad:?}");
        }
    }
}
