//! Finds one target among all delegated roles (TUF 5.6.7).
//!
//! Pre-order and depth-first, in the order in which roles are delegated to,
//! each role once, at most 32 of them beside the top-level targets; a
//! terminating delegation ends the search of its superiors. Answers as
//! [`crate::trust::refresh::Refresh`] does: it says which file it wants.

use std::collections::{BTreeSet, VecDeque};

use crate::time::UnixTime;
use crate::trust::limits::{DELEGATIONS, TARGETS_BYTES};
use crate::trust::refresh::{Input, Output, RefreshError};
use crate::trust::role::RoleName;
use crate::trust::rules::max_len;
use crate::trust::targets::Target;
use crate::trust::trusted::TrustedSet;

/// A search under way, in a trusted set that has been refreshed.
#[derive(Debug)]
pub struct Search {
    trusted: TrustedSet,
    reference: UnixTime,
    path: String,
    /// Roles still to visit, each with its delegator; the next one is last.
    stack: Vec<(RoleName, RoleName)>,
    visited: BTreeSet<RoleName>,
    /// The role whose file is wanted, and its delegator.
    waiting: Option<(RoleName, RoleName)>,
    asked: bool,
    outputs: VecDeque<Output>,
    found: Option<Found>,
}

/// A target, and who speaks of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The role in whose file it stands.
    pub role: RoleName,
    /// What is said of it.
    pub target: Target,
}

impl Search {
    /// Looks for `path`, judging expiry at `now` as for a refresh.
    ///
    /// # Errors
    /// [`RefreshError`] if the snapshot does not name a role on the way.
    pub fn new(trusted: TrustedSet, now: UnixTime, path: String) -> Result<Self, RefreshError> {
        let mut search = Self {
            reference: trusted.reference_time(now),
            trusted,
            path,
            stack: vec![(RoleName::TARGETS, RoleName::ROOT)],
            visited: BTreeSet::new(),
            waiting: None,
            asked: false,
            outputs: VecDeque::new(),
            found: None,
        };
        search.walk()?;
        Ok(search)
    }

    /// The next thing to do; `None` while an answer is due, or after the end.
    pub fn poll(&mut self) -> Option<Output> {
        if let Some(output) = self.outputs.pop_front() {
            return Some(output);
        }
        if self.asked {
            return None;
        }
        let (name, max_len) = self.wanted()?;
        self.asked = true;
        Some(Output::Want { name, max_len: max_len as u64 })
    }

    /// Takes the answer to the last `Want`.
    ///
    /// # Errors
    /// [`RefreshError`] if it brings nothing; the same file is wanted again.
    /// If `poll` gives `None` after an error, the search is over.
    pub fn handle(&mut self, input: Input) -> Result<(), RefreshError> {
        let Some((name, _)) = self.wanted().filter(|_| self.asked) else {
            return Err(RefreshError::Unasked);
        };
        self.asked = false;
        let bytes = match input {
            Input::File(bytes) => bytes,
            Input::NotFound => return Err(RefreshError::NotFound { name }),
            Input::Failed(why) => return Err(RefreshError::Failed { name, why }),
        };
        if let Some((role, by)) = self.waiting.clone() {
            self.trusted.update_targets(&role, &by, &bytes, self.reference)?;
            self.outputs.push_back(Output::Persist { name: role.file_name(), bytes });
            self.waiting = None;
            if !self.visit(role) {
                self.walk()?;
            }
        }
        Ok(())
    }

    /// The delegated role whose file is wanted: a driver that kept one from an
    /// earlier search may offer that first.
    #[must_use]
    pub fn awaited(&self) -> Option<&RoleName> {
        self.waiting.as_ref().map(|(role, _)| role)
    }

    /// What is trusted now, and the target, if any role speaks of it.
    #[must_use]
    pub fn finish(self) -> (TrustedSet, Option<Found>) {
        (self.trusted, self.found)
    }

    fn wanted(&self) -> Option<(String, usize)> {
        let (role, _) = self.waiting.as_ref()?;
        let named = self.trusted.named(role, self.reference).ok()?;
        let name = match self.trusted.root().consistent_snapshot() {
            true => role.versioned_file_name(named.version),
            false => role.file_name(),
        };
        Some((name, max_len(named, TARGETS_BYTES)))
    }

    /// Visits roles until one must be fetched or the search ends.
    fn walk(&mut self) -> Result<(), RefreshError> {
        // TUF 5.6.7.1: the top-level targets do not count as a delegation.
        while self.visited.len() <= DELEGATIONS
            && let Some((role, by)) = self.stack.pop()
        {
            if self.visited.contains(&role) {
                continue;
            }
            self.trusted.named(&role, self.reference)?;
            let trusted = self.trusted.has_named_targets(&role, &by, self.reference)
                // Another delegator's word is not this one's: it is verified
                // with this one's keys before it counts.
                || self.trusted.adopt(&role, &by, self.reference);
            if !trusted {
                self.waiting = Some((role, by));
                return Ok(());
            }
            if self.visit(role) {
                return Ok(());
            }
        }
        self.outputs.push_back(Output::Done);
        Ok(())
    }

    /// Looks into a role's trusted file; true if the search ends there.
    fn visit(&mut self, role: RoleName) -> bool {
        let Some(file) = self.trusted.targets(&role) else { return false };
        if let Some(target) = file.targets.get(&self.path) {
            self.found = Some(Found { role, target: target.clone() });
            self.outputs.push_back(Output::Done);
            return true;
        }
        // TUF 4.5: only roles that may speak of the path, at every step down.
        let mut below = Vec::new();
        if let Some(delegations) = &file.delegations {
            for (name, terminating) in delegations.roles_for(&self.path) {
                below.push((name, role.clone()));
                // TUF 5.6.7.2.1
                if terminating {
                    self.stack.clear();
                    break;
                }
            }
        }
        self.visited.insert(role);
        self.stack.extend(below.into_iter().rev());
        false
    }
}
