//! Private keys in files: PKCS#8 PEM, as OpenSSL reads and writes it, plain
//! or encrypted under a passphrase (PBES2 with scrypt and AES-256).
//!
//! Promises that a key is never written where others may read it, never
//! overwritten, and never read from a file that others could read.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey, KeypairBytes};
use manifest::key::SigningKey;
use pkcs8::der::pem::LineEnding;
use pkcs8::{EncryptedPrivateKeyInfoRef, PrivateKeyInfoRef, SecretDocument};
use zeroize::Zeroizing;

use crate::atomic;
use crate::disk::{DiskError, at, read_bounded, sync_dir};
use crate::limits::{KEY_FILE_BYTES, SCRYPT_BYTES};
use crate::steps::Steps;

/// What an encrypted key calls itself.
const ENCRYPTED_LABEL: &str = "ENCRYPTED PRIVATE KEY";

/// How its file begins.
const ENCRYPTED_BEGIN: &str = "BEGIN ENCRYPTED PRIVATE KEY";

/// Gives the passphrase of the key at a path, or none if there is none.
pub type Ask<'a> = dyn Fn(&Path) -> std::io::Result<Option<Zeroizing<String>>> + 'a;

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
    /// The file is encrypted, and no passphrase is at hand.
    #[error("{} is encrypted, and no passphrase was given", path.display())]
    Encrypted {
        /// The file.
        path: PathBuf,
    },
    /// The passphrase is another's, or the file is damaged.
    #[error("{} cannot be decrypted with this passphrase", path.display())]
    WrongPassphrase {
        /// The file.
        path: PathBuf,
    },
    /// The system gives no random bytes.
    #[error("{} cannot be encrypted: {why}", path.display())]
    Encrypt {
        /// The file.
        path: PathBuf,
        /// What failed.
        why: String,
    },
    /// The passphrase could not be asked for.
    #[error("the passphrase of {} could not be read: {source}", path.display())]
    Ask {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
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

/// A private key as PKCS#8 PEM that only `passphrase` opens.
///
/// # Errors
/// [`KeyFileError::Encrypt`], naming `path` for people.
fn to_encrypted_pem(
    path: &Path,
    key: &SigningKey,
    passphrase: &str,
) -> Result<Zeroizing<String>, KeyFileError> {
    let failed = |why: String| KeyFileError::Encrypt { path: path.to_owned(), why };
    let der = KeypairBytes { secret_key: *key.seed(), public_key: None }
        .to_pkcs8_der()
        .expect("32 bytes always encode");
    let encrypted = PrivateKeyInfoRef::try_from(der.as_bytes())
        .expect("it was just encoded")
        .encrypt(passphrase)
        .map_err(|error| failed(error.to_string()))?;
    encrypted.to_pem(ENCRYPTED_LABEL, LineEnding::LF).map_err(|error| failed(error.to_string()))
}

/// Writes `key` durably to a new file at `path` with mode 0600.
///
/// # Errors
/// [`KeyFileError::Disk`], also if the file already exists.
pub fn create(path: &Path, key: &SigningKey) -> Result<(), KeyFileError> {
    create_with(path, key, None)
}

/// As [`create`], encrypted under `passphrase` if there is one.
///
/// # Errors
/// [`KeyFileError`], also if the file already exists.
pub fn create_with(
    path: &Path,
    key: &SigningKey,
    passphrase: Option<&str>,
) -> Result<(), KeyFileError> {
    let pem = pem_of(path, key, passphrase)?;
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(at("create", path))?;
    file.write_all(pem.as_bytes()).map_err(at("write", path))?;
    file.sync_all().map_err(at("sync", path))?;
    sync_dir(path.parent().unwrap_or(Path::new("")))?;
    Ok(())
}

/// Puts `key` in place of the file at `path`, durably and in one step,
/// encrypted under `passphrase` if there is one.
///
/// # Errors
/// [`KeyFileError`]; the file is then as it was.
pub fn replace(
    path: &Path,
    key: &SigningKey,
    passphrase: Option<&str>,
) -> Result<(), KeyFileError> {
    let pem = pem_of(path, key, passphrase)?;
    Ok(atomic::write(path, pem.as_bytes(), 0o600, &Steps::free())?)
}

fn pem_of(
    path: &Path,
    key: &SigningKey,
    passphrase: Option<&str>,
) -> Result<Zeroizing<String>, KeyFileError> {
    match passphrase {
        Some(passphrase) => to_encrypted_pem(path, key, passphrase),
        None => Ok(Zeroizing::new(to_pem(key))),
    }
}

/// Whether the file at `path` is an encrypted key.
///
/// # Errors
/// [`KeyFileError`] if it cannot be read.
pub fn is_encrypted(path: &Path) -> Result<bool, KeyFileError> {
    Ok(read_pem(path)?.contains(ENCRYPTED_BEGIN))
}

/// Reads the key at `path`.
///
/// # Errors
/// [`KeyFileError`]; a file readable by its group or others is refused, and
/// so is an encrypted one.
pub fn read(path: &Path) -> Result<SigningKey, KeyFileError> {
    read_with(path, &|_| Ok(None))
}

/// Reads the key at `path`; if it is encrypted, `ask` is asked for its
/// passphrase.
///
/// # Errors
/// [`KeyFileError`]; a file readable by its group or others is refused.
pub fn read_with(path: &Path, ask: &Ask<'_>) -> Result<SigningKey, KeyFileError> {
    let owned = || path.to_owned();
    let not_a_key = |why: String| KeyFileError::NotAKey { path: owned(), why };
    let text = read_pem(path)?;
    if text.contains(ENCRYPTED_BEGIN) {
        let asked = ask(path).map_err(|source| KeyFileError::Ask { path: owned(), source })?;
        let passphrase = asked.ok_or_else(|| KeyFileError::Encrypted { path: owned() })?;
        let (label, der) =
            SecretDocument::from_pem(&text).map_err(|error| not_a_key(error.to_string()))?;
        if label != ENCRYPTED_LABEL {
            return Err(not_a_key(format!("it holds a {label:.80}")));
        }
        let encrypted = EncryptedPrivateKeyInfoRef::try_from(der.as_bytes())
            .map_err(|error| not_a_key(error.to_string()))?;
        refuse_expensive(&encrypted).map_err(not_a_key)?;
        let opened = encrypted
            .decrypt(passphrase.as_bytes())
            .map_err(|_| KeyFileError::WrongPassphrase { path: owned() })?;
        let pair = KeypairBytes::from_pkcs8_der(opened.as_bytes())
            .map_err(|error| KeyFileError::NotAKey { path: owned(), why: error.to_string() })?;
        return key_of(path, &pair);
    }
    let pair = KeypairBytes::from_pkcs8_pem(&text).map_err(|error| not_a_key(error.to_string()))?;
    key_of(path, &pair)
}

/// A file may ask for more memory than there is: what OpenSSL and we write
/// takes 16 or 32 MiB.
fn refuse_expensive(encrypted: &EncryptedPrivateKeyInfoRef<'_>) -> Result<(), String> {
    let Some(scheme) = encrypted.encryption_algorithm.pbes2() else {
        return Err("it is not encrypted with PBES2".to_owned());
    };
    let Some(scrypt) = scheme.kdf.scrypt() else { return Ok(()) };
    let memory = 128_u64
        .saturating_mul(scrypt.cost_parameter)
        .saturating_mul(u64::from(scrypt.block_size))
        .saturating_mul(u64::from(scrypt.parallelization).max(1));
    if memory > SCRYPT_BYTES {
        return Err(format!("opening it would take {memory} bytes, at most {SCRYPT_BYTES} are"));
    }
    Ok(())
}

/// The text of the key file at `path`, which nobody else may read.
fn read_pem(path: &Path) -> Result<Zeroizing<String>, KeyFileError> {
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
    let bytes = Zeroizing::new(bytes);
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| KeyFileError::NotAKey { path: owned(), why: "it is no text".to_owned() })?;
    Ok(Zeroizing::new(text.to_owned()))
}

fn key_of(path: &Path, pair: &KeypairBytes) -> Result<SigningKey, KeyFileError> {
    let key = SigningKey::from_seed(&pair.secret_key);
    // A public half that belongs to another key would make signatures that
    // nobody can verify, and tells of a damaged file.
    if pair.public_key.is_some_and(|public| public.to_bytes() != *key.public().as_bytes()) {
        let why = "its public half belongs to another key".to_owned();
        return Err(KeyFileError::NotAKey { path: path.to_owned(), why });
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
    fn an_encrypted_key_is_opened_by_its_passphrase_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("k.pem");
        create(&path, &key()).unwrap();
        replace(&path, &key(), Some("correct horse")).unwrap();
        assert!(is_encrypted(&path).unwrap());
        assert!(!fs::read_to_string(&path).unwrap().contains("BwcHBw"), "the seed shows");
        assert!(matches!(read(&path), Err(KeyFileError::Encrypted { .. })));
        let say = |word: &'static str| move |_: &Path| Ok(Some(Zeroizing::new(word.to_owned())));
        let wrong = read_with(&path, &say("battery staple"));
        assert!(matches!(wrong, Err(KeyFileError::WrongPassphrase { .. })));
        let opened = read_with(&path, &say("correct horse")).unwrap();
        assert_eq!(opened.public(), key().public());
        replace(&path, &opened, None).unwrap();
        assert_eq!(read(&path).unwrap().public(), key().public());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn openssl_opens_what_is_encrypted_here_and_the_other_way() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        create_with(&path("ours.pem"), &key(), Some("secret")).unwrap();
        let openssl = |args: &[&str]| {
            let run = std::process::Command::new("openssl").args(args).current_dir(&dir).output();
            let output = match run {
                Ok(output) => output,
                Err(why) => {
                    eprintln!("SKIPPED: openssl cannot be run: {why}");
                    return false;
                }
            };
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            true
        };
        if !openssl(&["pkey", "-in", "ours.pem", "-passin", "pass:secret", "-out", "plain.pem"]) {
            return;
        }
        assert_eq!(fs::read_to_string(path("plain.pem")).unwrap(), to_pem(&key()));
        let scrypt = ["pkcs8", "-topk8", "-scrypt", "-in", "plain.pem", "-out", "theirs.pem"];
        openssl(&[&scrypt[..], &["-passout", "pass:other"]].concat());
        fs::set_permissions(path("theirs.pem"), fs::Permissions::from_mode(0o600)).unwrap();
        let opened =
            read_with(&path("theirs.pem"), &|_| Ok(Some(Zeroizing::new("other".to_owned()))));
        assert_eq!(opened.unwrap().public(), key().public());
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
