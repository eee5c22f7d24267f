//! Changes of who signs a role: keys that come and go, and how many it takes.
//!
//! Promises that no role is left that nobody could sign: changes are made
//! together, and what they lead to is checked before it is taken.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::key::PublicKey;
use crate::trust::author::repository::Repository;
use crate::trust::authority::Authority;
use crate::trust::delegation::{DelegatedRole, Delegates};
use crate::trust::key::{Key, KeyId, id_of};
use crate::trust::limits::KEYS;
use crate::trust::role::RoleName;
use crate::trust::root::{NoWorkgroupKeys, Root};

/// One change of a role's keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyEdit {
    /// This key may sign the role too.
    Add(PublicKey),
    /// The key whose id or public half begins with this hex may not any more.
    Remove(String),
    /// So many of its keys must sign.
    Threshold(u64),
}

/// A change that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyEditError {
    /// The key signs the role already.
    #[error("{key} signs {role} already")]
    AlreadyThere {
        /// The role.
        role: RoleName,
        /// The key.
        key: PublicKey,
    },
    /// No key of the role is called so.
    #[error("{role} has no key whose id begins with {found:.80}")]
    NoSuchKey {
        /// The role.
        role: RoleName,
        /// What was asked for.
        found: String,
    },
    /// More than one key of the role is called so.
    #[error("{role} has several keys whose ids begin with {found:.80}")]
    Ambiguous {
        /// The role.
        role: RoleName,
        /// What was asked for.
        found: String,
    },
    /// The role would have more keys than any reader accepts.
    #[error("{role} would have more than {KEYS} keys")]
    TooMany {
        /// The role.
        role: RoleName,
    },
    /// Nobody could ever sign the role.
    #[error("{role} would take {threshold} signatures and have {keys} keys")]
    Unsignable {
        /// The role.
        role: RoleName,
        /// How many would have to sign.
        threshold: u64,
        /// How many distinct keys there would be.
        keys: usize,
    },
    /// There is no such role.
    #[error("{role} is no role of this repository")]
    NoSuchRole {
        /// Which role.
        role: RoleName,
    },
    /// The workgroup would have none, or more keys than two.
    #[error(
        "the workgroup has one key, or two while one replaces the other; it would have {found}"
    )]
    Workgroup {
        /// How many it would have.
        found: usize,
    },
    /// Root's present workgroup keys cannot be read.
    #[error(transparent)]
    NoWorkgroupKeys(#[from] NoWorkgroupKeys),
}

impl fmt::Display for KeyEdit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Add(key) => write!(f, "add {key}"),
            Self::Remove(id) => write!(f, "remove {id}"),
            Self::Threshold(threshold) => write!(f, "take {threshold} signatures"),
        }
    }
}

/// The keys of one role under the pen.
struct Pen<'a> {
    role: &'a RoleName,
    keyids: &'a mut Vec<KeyId>,
    threshold: &'a mut u64,
    keys: &'a mut BTreeMap<KeyId, Key>,
}

impl Pen<'_> {
    /// Makes all of `edits`, or fails and may have made some.
    fn make(mut self, edits: &[KeyEdit]) -> Result<(), KeyEditError> {
        edits.iter().try_for_each(|edit| self.make_one(edit))?;
        let keys = Authority::new(self.keyids, *self.threshold, self.keys).materials().len();
        if *self.threshold == 0 || *self.threshold > keys as u64 {
            let (role, threshold) = (self.role.clone(), *self.threshold);
            return Err(KeyEditError::Unsignable { role, threshold, keys });
        }
        Ok(())
    }

    fn make_one(&mut self, edit: &KeyEdit) -> Result<(), KeyEditError> {
        let role = || self.role.clone();
        match edit {
            KeyEdit::Add(key) => {
                if self.is_there(key) {
                    return Err(KeyEditError::AlreadyThere { role: role(), key: *key });
                }
                if self.keyids.len() >= KEYS {
                    return Err(KeyEditError::TooMany { role: role() });
                }
                let id = id_of(key);
                self.keys.insert(id.clone(), Key::ed25519(key));
                self.keyids.push(id);
            }
            KeyEdit::Remove(prefix) => {
                let found = || prefix.chars().take(80).collect();
                let called = |id: &KeyId| {
                    let public = self.keys.get(id).and_then(Key::material);
                    let public = public.and_then(|material| material.ed25519());
                    id.as_str().starts_with(prefix)
                        || public.is_some_and(|key| key.to_string().starts_with(prefix))
                };
                let mut places = (0..self.keyids.len()).filter(|at| called(&self.keyids[*at]));
                let at = places.next().filter(|_| !prefix.is_empty());
                let at =
                    at.ok_or_else(|| KeyEditError::NoSuchKey { role: role(), found: found() })?;
                if places.next().is_some() {
                    return Err(KeyEditError::Ambiguous { role: role(), found: found() });
                }
                self.keyids.remove(at);
            }
            KeyEdit::Threshold(threshold) => *self.threshold = *threshold,
        }
        Ok(())
    }

    fn is_there(&self, key: &PublicKey) -> bool {
        let authority = Authority::new(self.keyids, 1, self.keys);
        authority.materials().into_iter().any(|material| material.ed25519() == Some(*key))
    }
}

impl Repository {
    /// Changes who signs a role, one of root's four or a channel's.
    ///
    /// # Errors
    /// [`KeyEditError`]; nothing has changed then.
    pub fn edit_keys(&mut self, role: &RoleName, edits: &[KeyEdit]) -> Result<(), KeyEditError> {
        if role.is_top_level() {
            let mut root = self.root.content.clone();
            root.edit_keys(role, edits)?;
            self.root.content = root;
            return Ok(());
        }
        let no_such_role = || KeyEditError::NoSuchRole { role: role.clone() };
        let mut delegations = self.targets.content.delegations.clone().ok_or_else(no_such_role)?;
        let Delegates::Roles(roles) = &mut delegations.to else { return Err(no_such_role()) };
        let listed = roles.iter_mut().find(|listed| listed.name == *role);
        let DelegatedRole { keyids, threshold, .. } = listed.ok_or_else(no_such_role)?;
        Pen { role, keyids, threshold, keys: &mut delegations.keys }.make(edits)?;
        let used: BTreeSet<_> = roles.iter().flat_map(|role| role.keyids.iter().cloned()).collect();
        delegations.keys.retain(|id, _| used.contains(id));
        self.targets.content.delegations = Some(delegations);
        Ok(())
    }
}

impl Root {
    /// Changes who signs one of the four top-level roles.
    ///
    /// # Errors
    /// [`KeyEditError`]; root is then to be thrown away.
    pub fn edit_keys(&mut self, role: &RoleName, edits: &[KeyEdit]) -> Result<(), KeyEditError> {
        let roles = &mut self.roles;
        let written = match role.as_str() {
            "root" => &mut roles.root,
            "timestamp" => &mut roles.timestamp,
            "snapshot" => &mut roles.snapshot,
            "targets" => &mut roles.targets,
            _ => return Err(KeyEditError::NoSuchRole { role: role.clone() }),
        };
        let (keyids, threshold) = (&mut written.keyids, &mut written.threshold);
        Pen { role, keyids, threshold, keys: &mut self.keys }.make(edits)?;
        // Keys that no role names any more would only lengthen the file.
        let Self { roles, keys, .. } = self;
        let named = [&roles.root, &roles.timestamp, &roles.snapshot, &roles.targets];
        let named = named.into_iter().chain(&roles.mirrors);
        let named: Vec<&KeyId> = named.flat_map(|role| &role.keyids).collect();
        keys.retain(|id, _| named.contains(&id));
        Ok(())
    }

    /// Changes which keys sign the workgroup's issuers; a threshold they have
    /// none.
    ///
    /// # Errors
    /// [`KeyEditError`] if it had none afterwards, or more than two.
    pub fn edit_workgroup(
        &mut self,
        add: &[PublicKey],
        remove: &[PublicKey],
    ) -> Result<(), KeyEditError> {
        let mut keys = self.workgroup_keys()?;
        keys.retain(|key| !remove.contains(key));
        keys.extend(add.iter().filter(|key| !keys.contains(key)).copied().collect::<Vec<_>>());
        if !(1..=2).contains(&keys.len()) {
            return Err(KeyEditError::Workgroup { found: keys.len() });
        }
        self.set_workgroup_keys(&keys);
        Ok(())
    }
}
