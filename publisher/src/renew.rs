//! Signs anew what would expire before long.
//!
//! What a key is missing for is left alone: whoever keeps root's key in a
//! safe is told by `status` in time, and nothing else waits for it.

use manifest::name::ChannelName;
use manifest::time::UnixTime;
use manifest::trust::author::lifetimes::Lifetimes;
use manifest::trust::role::RoleName;

use crate::home::Home;
use crate::keys::KeyName;
use crate::publish::{PublishError, Session};

/// A file is due once less than one part in so many of its life is left.
pub const DUE_FRACTION: u32 = 3;

/// Whether a role's file that ends at `expires` should be signed anew.
#[must_use]
pub fn is_due(role: &RoleName, expires: UnixTime, now: UnixTime) -> bool {
    expires <= now.after(Lifetimes::default().of(role) / DUE_FRACTION)
}

/// The key that signs a role.
#[must_use]
pub fn key_of(role: &RoleName, home: &Home) -> Option<KeyName> {
    let channel =
        |channel: &&ChannelName| RoleName::of_channel(&home.vendor().product, channel) == *role;
    match role.as_str() {
        "root" => Some(KeyName::Root),
        "targets" => Some(KeyName::Targets),
        "snapshot" => Some(KeyName::Snapshot),
        "timestamp" => Some(KeyName::Timestamp),
        "workgroup" => Some(KeyName::Revocation),
        _ => {
            let channel = home.vendor().channels.iter().find(channel)?.clone();
            Some(KeyName::Channel(home.vendor().product.clone(), channel))
        }
    }
}

/// Marks the roles that are due and whose keys are here, for the next
/// publication; gives these keys. Root is never among them: people sign it.
pub fn mark_due(session: &mut Session, now: UnixTime) -> Vec<KeyName> {
    let due: Vec<(RoleName, KeyName)> = session
        .metadata()
        .expiries()
        .into_iter()
        .filter(|(role, expires)| *role != RoleName::ROOT && is_due(role, *expires, now))
        .filter_map(|(role, _)| Some((role.clone(), key_of(&role, session.home())?)))
        .filter(|(_, key)| session.has_key(key))
        .collect();
    due.into_iter()
        .map(|(role, key)| {
            // Every publication has a new timestamp as it is.
            if role != RoleName::TIMESTAMP {
                session.metadata_mut().renew(role);
            }
            key
        })
        .collect()
}

/// Signs anew what is due, and of root and timestamp those in `always` in any
/// case; gives the roles that were.
///
/// # Errors
/// [`PublishError`].
pub fn renew(
    session: &mut Session,
    always: &[KeyName],
    now: UnixTime,
) -> Result<Vec<KeyName>, PublishError> {
    let mut due = mark_due(session, now);
    if always.contains(&KeyName::Timestamp) && !due.contains(&KeyName::Timestamp) {
        due.push(KeyName::Timestamp);
    }
    if always.contains(&KeyName::Root) {
        session.metadata_mut().renew(RoleName::ROOT);
        due.push(KeyName::Root);
    }
    if due.is_empty() {
        return Ok(due);
    }
    let mut names = due.clone();
    names.extend([KeyName::Snapshot, KeyName::Timestamp]);
    names.dedup();
    session.publish(&names, Vec::new(), None, now)?;
    Ok(due)
}
