//! The vendor's issuers: who may sign credentials, and for what.
//!
//! One for each kind of ticket and organisation. Only members' issuers are
//! shipped with products; the seeders' never leaves the home.

use manifest::admission::credential::Role;
use manifest::admission::issuer::{IssuerError, IssuerStatement, SignedIssuer};
use manifest::admission::issuers::{Issuers, IssuersError as ListError};
use manifest::admission::limits::{CREDENTIAL_LIFE, ISSUER_LIFE};
use manifest::admission::revocation::{Revocations, RevocationsError, Subject};
use manifest::admission::workgroup::{NoWorkgroup, WorkgroupId, WorkgroupTrust};
use manifest::content::ContentId;
use manifest::key::{PublicKey, SigningKey};
use manifest::time::UnixTime;
use manifest::trust::role::RoleName;
use std::path::Path;
use store::repository::RepositoryError;
use store::steps::Steps;

use crate::home::{Home, HomeError, read_note, write_note};
use crate::keys::{KeyName, Keys, KeysError};
use crate::publish::{PublishError, read_metadata};

/// An issuer that exists or could.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer {
    /// What its files are called.
    pub name: String,
    /// Whose machines it admits.
    pub organisation: String,
    /// To what.
    pub role: Role,
}

/// An issuer that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum IssuersError {
    /// The home cannot be used.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// A key cannot be had.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The statement breaks its own bounds, or does not hold.
    #[error(transparent)]
    Statement(#[from] IssuerError),
    /// The repository cannot be read.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The repository has no first root.
    #[error("the repository has no 1.root.json")]
    NoRoot,
    /// Root does not say who speaks for the workgroup.
    #[error(transparent)]
    NoWorkgroup(#[from] NoWorkgroup),
    /// What was signed about issuers is none.
    #[error(transparent)]
    List(#[from] ListError),
    /// What was signed about revocations is none.
    #[error(transparent)]
    Revocations(#[from] RevocationsError),
}

impl From<RepositoryError> for IssuersError {
    fn from(error: RepositoryError) -> Self {
        Self::Publish(error.into())
    }
}

impl Issuer {
    /// Admits members: of the vendor's own, open workgroup, or of `site`.
    #[must_use]
    pub fn members(home: &Home, site: Option<&str>) -> Self {
        Self::new(home, "member", Role::Member, site)
    }

    /// Admits the vendor's own seeders.
    #[must_use]
    pub fn seeders(home: &Home) -> Self {
        Self::new(home, "seeder", Role::Seeder, None)
    }

    /// Admits those who collect logs: of the vendor's own, or of `site`.
    #[must_use]
    pub fn auditors(home: &Home, site: Option<&str>) -> Self {
        Self::new(home, "auditor", Role::Auditor, site)
    }

    fn new(home: &Home, name: &str, role: Role, site: Option<&str>) -> Self {
        let site = site.filter(|site| *site != home.vendor().name);
        // Two organisations of one spelling in file names stay apart.
        let name = site.map_or_else(
            || name.to_owned(),
            |site| {
                let plain: String = site
                    .chars()
                    .filter_map(|c| match c {
                        'a'..='z' | '0'..='9' => Some(c),
                        'A'..='Z' => Some(c.to_ascii_lowercase()),
                        ' ' | '-' | '_' | '.' => Some('-'),
                        _ => None,
                    })
                    .take(32)
                    .collect();
                format!("{name}-{plain}-{}", &ContentId::of(site.as_bytes()).to_string()[..8])
            },
        );
        let organisation = site.unwrap_or(&home.vendor().name).to_owned();
        Self { name, organisation, role }
    }

    /// The issuer's key and its statement, made if they do not exist; the key
    /// is taken from the directory `from` if it is there.
    ///
    /// # Errors
    /// [`IssuersError`].
    pub fn open_or_create(
        &self,
        home: &Home,
        keys: &Keys,
        from: Option<&Path>,
        now: UnixTime,
    ) -> Result<(SigningKey, SignedIssuer), IssuersError> {
        let key_name = KeyName::Issuer(self.name.clone());
        let path = home.issuer_path(&self.name);
        let trust = workgroup(home)?;
        let known: Option<SignedIssuer> = read_note(&path)?;
        // A revoked key admits nobody any more: another takes its place.
        let file = keys.file(&key_name);
        let mut known = known;
        if file.exists() && is_revoked(&trust, &keys.read(&key_name)?.public(), now) {
            keys.retire(&file)?;
            known = None;
        }
        if let Some(signed) = known {
            // One that has ended is made anew, for the same key.
            match signed.verify(&trust, now) {
                Ok(_) => return Ok((keys.read(&key_name)?, signed)),
                Err(IssuerError::Expired { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let key = if keys.has(&key_name) {
            keys.read(&key_name)?
        } else {
            keys.import_or_generate(&key_name, from)?
        };
        let statement = IssuerStatement {
            workgroup: trust.id(),
            issuer: key.public(),
            organisation: self.organisation.clone(),
            products: vec![home.vendor().product.clone()],
            roles: vec![self.role],
            credential_seconds: CREDENTIAL_LIFE.as_secs(),
            expires: now.after(ISSUER_LIFE),
        };
        let newest = trust.keys().last().expect("a workgroup has a key");
        let signed =
            SignedIssuer::sign(&statement, &keys.read_public(&KeyName::Workgroup, newest)?)?;
        write_note(&path, &signed, &Steps::free())?;
        Ok((key, signed))
    }
}

/// The bytes of the home's first root, from which all trust begins.
///
/// # Errors
/// [`IssuersError`].
pub fn first_root(home: &Home) -> Result<Vec<u8>, IssuersError> {
    home.repository(Steps::free())?.metadata("1.root.json")?.ok_or(IssuersError::NoRoot)
}

/// The home's workgroup: who speaks for it, what is said of its issuers, and
/// who is shut out.
///
/// # Errors
/// [`IssuersError`].
pub fn workgroup(home: &Home) -> Result<WorkgroupTrust, IssuersError> {
    let id = WorkgroupId::of_first_root(&first_root(home)?);
    let metadata = read_metadata(&home.repository(Steps::free())?)?;
    let trust =
        WorkgroupTrust::new(id, metadata.root().workgroup_keys().map_err(NoWorkgroup::from)?);
    let trust = trust.map_err(NoWorkgroup::from)?;
    let Some(file) = metadata.targets(&RoleName::WORKGROUP) else { return Ok(trust) };
    let (revoked, issuers) = (Revocations::read(&file.extra)?, Issuers::read(&file.extra)?);
    Ok(trust.without(revoked).with_issuers(&issuers))
}

fn is_revoked(trust: &WorkgroupTrust, issuer: &PublicKey, now: UnixTime) -> bool {
    let mut entries = trust.revoked().entries().iter();
    entries.any(|entry| entry.subject == Subject::Issuer(*issuer) && entry.until > now)
}
