//! The seeder's own credential, made from the home's keys.

use manifest::admission::chain::{CredentialChain, CredentialError};
use manifest::admission::credential::{Credential, Role, SignedCredential};
use manifest::admission::installation::InstallationId;
use manifest::admission::issuer::IssuerError;
use manifest::key::SigningKey;
use manifest::time::UnixTime;

use crate::home::Home;
use crate::issuers::{Issuer, IssuersError, workgroup};
use crate::keys::{KeyName, Keys, KeysError};

/// What a seeder shows to be admitted.
#[derive(Debug)]
pub struct SeederCredential {
    /// Its network identity.
    pub peer_key: SigningKey,
    /// The chain, encoded.
    pub chain: Vec<u8>,
    /// When it ends.
    pub expires: UnixTime,
}

/// A credential that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SeederCredentialError {
    /// A key cannot be had.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The issuer cannot be had.
    #[error(transparent)]
    Issuers(#[from] IssuersError),
    /// The issuer does not hold.
    #[error(transparent)]
    Issuer(#[from] IssuerError),
    /// The chain does not hold, or is too long.
    #[error(transparent)]
    Chain(#[from] CredentialError),
}

/// Makes the credential of the home's seeder, in force from `now` as long as
/// its issuer allows.
///
/// # Errors
/// [`SeederCredentialError`].
pub fn seeder_credential(
    home: &Home,
    keys: &Keys,
    now: UnixTime,
) -> Result<SeederCredential, SeederCredentialError> {
    let trust = workgroup(home)?.with_example_keys(keys.allows_example_keys());
    let (issuer_key, signed) = Issuer::seeders(home).open_or_create(home, keys, None, now)?;
    let issuer = signed.verify(&trust, now)?;
    let peer_key = keys.read(&KeyName::OriginPeer)?;
    let log_key = keys.read(&KeyName::OriginLog)?;
    let expires = now.after(issuer.credential_life());
    let credential = Credential {
        workgroup: trust.id(),
        issuer: issuer.issuer,
        installation: InstallationId::of(&log_key.public()),
        log_key: log_key.public(),
        peer_key: peer_key.public(),
        product: home.vendor().product.clone(),
        roles: vec![Role::Seeder],
        issued: now,
        expires,
    };
    let credential = SignedCredential::sign(&credential, &issuer_key, &log_key, &peer_key);
    let chain = CredentialChain { issuer: signed, credential };
    // What every peer will check is better found wrong here.
    chain.verify(&trust, &peer_key.public(), now)?;
    Ok(SeederCredential { chain: chain.encode()?, peer_key, expires })
}
