//! What a home is, offers and must not forget.

use manifest::admission::workgroup::WorkgroupId;
use manifest::key::PublicKey;
use manifest::time::UnixTime;
use manifest::trust::role::RoleName;
use serde::Serialize;
use store::steps::Steps;

use crate::history::{History, Record};
use crate::home::{Home, HomeError, read_note};
use crate::issuers::{IssuersError, workgroup};
use crate::keys::{KeyName, Keys};
use crate::publish::{PublishError, read_metadata};
use crate::renew::{is_due, key_of};

/// A home at a glance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    /// The vendor's name.
    pub vendor: String,
    /// What it sells.
    pub product: String,
    /// Root's fingerprint, which is the workgroup's id.
    pub workgroup: WorkgroupId,
    /// The newest release of each channel and platform, newest first.
    pub newest: Vec<Record>,
    /// How many releases there were.
    pub releases: usize,
    /// The metadata files, the first to expire first.
    pub metadata: Vec<Lifetime>,
    /// Whether something signed waits to be made public.
    pub interrupted: bool,
    /// The keys, as far as they are here.
    pub keys: Vec<KeyState>,
}

/// How long a metadata file is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lifetime {
    /// Whose file.
    pub role: String,
    /// When it ends.
    pub expires: UnixTime,
    /// Whether it has ended.
    pub expired: bool,
    /// Whether it should be signed anew.
    pub due: bool,
    /// Whether its key is here to do so.
    pub key_here: bool,
}

/// A key of the home.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyState {
    /// What it is for.
    pub name: String,
    /// Its public half, if it is here and can be read.
    pub public: Option<PublicKey>,
    /// Why it cannot be used, if so.
    pub problem: Option<String>,
}

/// A home that cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// It cannot be used.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// Its workgroup cannot be told.
    #[error(transparent)]
    Issuers(#[from] IssuersError),
    /// Its repository does not hold.
    #[error(transparent)]
    Publish(#[from] PublishError),
}

/// Looks at a home; changes nothing and waits for nobody.
///
/// # Errors
/// [`StatusError`].
pub fn status(home: &Home, keys: &Keys, now: UnixTime) -> Result<Status, StatusError> {
    let metadata = read_metadata(&home.repository(Steps::free())?)?;
    let history: History = read_note(&home.history_path())?.unwrap_or_default();
    let mut newest: Vec<Record> = Vec::new();
    for record in history.records().iter().rev() {
        if !newest.iter().any(|n| n.channel == record.channel && n.platform == record.platform) {
            newest.push(record.clone());
        }
    }
    let lifetime = |(role, expires): (RoleName, UnixTime)| Lifetime {
        expires,
        expired: expires <= now,
        due: is_due(&role, expires, now),
        key_here: key_of(&role, home).is_some_and(|key| keys.has(&key)),
        role: role.to_string(),
    };
    Ok(Status {
        vendor: home.vendor().name.clone(),
        product: home.vendor().product.to_string(),
        workgroup: workgroup(home)?.id(),
        newest,
        releases: history.records().len(),
        metadata: metadata.expiries().into_iter().map(lifetime).collect(),
        interrupted: home.pending_path().exists(),
        keys: key_states(home, keys),
    })
}

fn key_states(home: &Home, keys: &Keys) -> Vec<KeyState> {
    let mut names = home.signing_keys();
    names.push(KeyName::Workgroup);
    names.extend(["member", "seeder", "auditor"].map(|name| KeyName::Issuer(name.to_owned())));
    names.extend([KeyName::OriginPeer, KeyName::OriginLog]);
    let state = |name: KeyName| {
        let read = keys.has(&name).then(|| keys.read(&name));
        let (public, problem) = match read {
            None => (None, Some("not here".to_owned())),
            Some(Ok(key)) => (Some(key.public()), None),
            Some(Err(error)) => (None, Some(error.to_string())),
        };
        KeyState { name: name.to_string(), public, problem }
    };
    names.into_iter().map(state).collect()
}
