//! Brings a trusted set up to date, one file at a time (TUF 5.3 to 5.6).
//!
//! ```text
//!  root N+1 ──not found──▶ timestamp ──▶ snapshot ──▶ targets ──▶ delegated… ──▶ done
//!   ▲    │                            (a file that is trusted already is not asked for)
//!   └─ok─┘
//! ```
//!
//! The machine says which file it wants; the driver answers from wherever it
//! likes. An answer that does not verify is an error that changes nothing: the
//! machine then wants the same file again, so that the driver can ask another
//! source, and no single source can end a refresh. What is verified must be
//! persisted, in order, before the next file is wanted.

use std::collections::VecDeque;

use crate::time::UnixTime;
use crate::trust::limits::{
    DELEGATIONS, ROOT_BYTES, ROOT_STEPS, SNAPSHOT_BYTES, TARGETS_BYTES, TIMESTAMP_BYTES,
};
use crate::trust::role::RoleName;
use crate::trust::rules::{TrustError, max_len};
use crate::trust::trusted::{Change, TrustedSet};

/// What the driver is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Get this file of the repository and hand it in.
    Want {
        /// Its name beneath `metadata/`, such as `2.root.json`.
        name: String,
        /// How long it may be, in bytes; stop reading there.
        max_len: u64,
    },
    /// Write this file durably into the trusted directory, before going on.
    Persist {
        /// Its name there, without a version.
        name: String,
        /// Exactly the bytes that were received.
        bytes: Vec<u8>,
    },
    /// Remove this file from the trusted directory, before going on.
    Forget {
        /// Its name there.
        name: String,
    },
    /// Everything that was asked for is up to date.
    Done,
}

/// What came of the last [`Output::Want`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// The file.
    File(Vec<u8>),
    /// The source has no such file. For the next root, the driver says so only
    /// when every source it could ask has none.
    NotFound,
    /// The source gave no answer.
    Failed(String),
}

/// Why an answer did not bring the refresh forward.
#[derive(Debug, thiserror::Error)]
pub enum RefreshError {
    /// The answer, or what is trusted, does not verify.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// A file that must exist does not.
    #[error("the source has no {name}")]
    NotFound {
        /// Its name.
        name: String,
    },
    /// The source gave no answer.
    #[error("{name} could not be had: {why}")]
    Failed {
        /// The file's name.
        name: String,
        /// What the driver says.
        why: String,
    },
    /// More delegated roles than one refresh visits.
    #[error("{found} delegated roles exceed the {DELEGATIONS} that one refresh visits")]
    TooManyDelegations {
        /// How many were asked for.
        found: usize,
    },
    /// An answer to no question; the driver is wrong.
    #[error("an answer came while no file was wanted")]
    Unasked,
}

/// A refresh under way.
///
/// Call [`Refresh::poll`] until it gives `None` or a `Want`, answer the `Want`
/// with [`Refresh::handle`], and so on until [`Output::Done`]. If `poll` gives
/// `None` right after an error, no source can help: the refresh is over.
#[derive(Debug)]
pub struct Refresh {
    trusted: TrustedSet,
    now: UnixTime,
    state: State,
    asked: bool,
    delegated: Vec<RoleName>,
    optional: Vec<RoleName>,
    outputs: VecDeque<Output>,
}

#[derive(Debug)]
enum State {
    Root {
        steps: u32,
    },
    /// From here on the reference time is fixed (TUF 5.1).
    Timestamp {
        reference: UnixTime,
    },
    Snapshot {
        reference: UnixTime,
    },
    Targets {
        reference: UnixTime,
        role: RoleName,
        /// How many of the delegated roles have been begun.
        begun: usize,
    },
    Over,
}

impl Refresh {
    /// Begins a refresh of `trusted` at `now`, the later of system clock and
    /// build date, down to the files of the `delegated` roles, which the
    /// top-level targets must delegate to.
    #[must_use]
    pub fn new(trusted: TrustedSet, now: UnixTime, delegated: Vec<RoleName>) -> Self {
        Self {
            trusted,
            now,
            state: State::Root { steps: 0 },
            asked: false,
            delegated,
            optional: Vec::new(),
            outputs: VecDeque::new(),
        }
    }

    /// Goes on to the files of the `optional` roles too, as far as the
    /// top-level targets delegate to them.
    #[must_use]
    pub fn and_if_delegated(self, optional: Vec<RoleName>) -> Self {
        Self { optional, ..self }
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
    pub fn handle(&mut self, input: Input) -> Result<(), RefreshError> {
        let Some((name, _)) = self.wanted().filter(|_| self.asked) else {
            return Err(RefreshError::Unasked);
        };
        self.asked = false;
        match (&self.state, input) {
            (State::Root { .. }, Input::NotFound) => self.end_of_roots(),
            (_, Input::NotFound) => Err(RefreshError::NotFound { name }),
            (_, Input::Failed(why)) => Err(RefreshError::Failed { name, why }),
            (_, Input::File(bytes)) => self.take(bytes),
        }
    }

    /// What is trusted now, however far the refresh has come. Outputs that
    /// were not polled are lost, so a driver polls to the end first.
    #[must_use]
    pub fn finish(self) -> TrustedSet {
        self.trusted
    }

    /// What is trusted so far.
    #[must_use]
    pub const fn trusted(&self) -> &TrustedSet {
        &self.trusted
    }

    /// The file that the state waits for, and its greatest length.
    fn wanted(&self) -> Option<(String, usize)> {
        let consistent = self.trusted.root().consistent_snapshot();
        match &self.state {
            // TUF 5.3.3: not more than so many.
            State::Root { steps: ROOT_STEPS.. } => None,
            State::Root { .. } => {
                let next = self.trusted.root().version.next();
                Some((RoleName::ROOT.versioned_file_name(next), ROOT_BYTES))
            }
            State::Timestamp { .. } => Some((RoleName::TIMESTAMP.file_name(), TIMESTAMP_BYTES)),
            State::Snapshot { .. } => {
                let named = &self.trusted.timestamp()?.meta.snapshot;
                let name = match consistent {
                    true => RoleName::SNAPSHOT.versioned_file_name(named.version),
                    false => RoleName::SNAPSHOT.file_name(),
                };
                Some((name, max_len(named, SNAPSHOT_BYTES)))
            }
            State::Targets { role, reference, .. } => {
                let named = self.trusted.named(role, *reference).ok()?;
                let name = match consistent {
                    true => role.versioned_file_name(named.version),
                    false => role.file_name(),
                };
                Some((name, max_len(named, TARGETS_BYTES)))
            }
            State::Over => None,
        }
    }

    fn take(&mut self, bytes: Vec<u8>) -> Result<(), RefreshError> {
        match &mut self.state {
            State::Root { steps } => {
                let forgotten = self.trusted.update_root(&bytes)?;
                *steps += 1;
                let last = *steps == ROOT_STEPS;
                // TUF 5.3.8: durable before anything rests on it. Only then may
                // the old timestamp go: after a power cut between the two,
                // `TrustedSet::load` sees that its keys are gone.
                self.persist(&RoleName::ROOT, bytes);
                self.outputs
                    .extend(forgotten.iter().map(|role| Output::Forget { name: role.file_name() }));
                if last { self.end_of_roots() } else { Ok(()) }
            }
            State::Timestamp { reference } => {
                let reference = *reference;
                if self.trusted.update_timestamp(&bytes, reference)? == Change::Taken {
                    self.persist(&RoleName::TIMESTAMP, bytes);
                }
                self.after_timestamp(reference)
            }
            State::Snapshot { reference } => {
                let reference = *reference;
                self.trusted.update_snapshot(&bytes, reference)?;
                self.persist(&RoleName::SNAPSHOT, bytes);
                self.go_on_to_targets(RoleName::TARGETS, 0, reference)
            }
            State::Targets { reference, role, begun } => {
                let (reference, role, begun) = (*reference, role.clone(), *begun);
                self.trusted.update_targets(&role, superior(&role), &bytes, reference)?;
                self.persist(&role, bytes);
                self.go_on_to_targets(role, begun, reference)
            }
            State::Over => Err(RefreshError::Unasked),
        }
    }

    fn persist(&mut self, role: &RoleName, bytes: Vec<u8>) {
        self.outputs.push_back(Output::Persist { name: role.file_name(), bytes });
    }

    fn end_of_roots(&mut self) -> Result<(), RefreshError> {
        let reference = self.trusted.reference_time(self.now);
        // TUF 5.3.10. On failure the next root is still wanted: another source
        // may have it.
        self.trusted.check_root(reference)?;
        self.state = State::Timestamp { reference };
        Ok(())
    }

    fn after_timestamp(&mut self, reference: UnixTime) -> Result<(), RefreshError> {
        let snapshot_in_force = self.trusted.snapshot().is_some_and(|s| s.expires > reference);
        if self.trusted.has_named_snapshot() && snapshot_in_force {
            return self.go_on_to_targets(RoleName::TARGETS, 0, reference);
        }
        self.state = State::Snapshot { reference };
        Ok(())
    }

    /// Goes on to `role` and those after it, past all files that are trusted
    /// already. An error here is the repository's own, and ends the refresh.
    fn go_on_to_targets(
        &mut self,
        mut role: RoleName,
        mut begun: usize,
        reference: UnixTime,
    ) -> Result<(), RefreshError> {
        self.state = State::Over;
        let found = self.delegated.len() + self.optional.len();
        if found > DELEGATIONS {
            return Err(RefreshError::TooManyDelegations { found });
        }
        while self.trusted.has_named_targets(&role, superior(&role), reference) {
            let Some(next) = self.next_delegated(&mut begun) else {
                self.outputs.push_back(Output::Done);
                return Ok(());
            };
            role = next;
        }
        self.trusted.named(&role, reference)?;
        self.trusted.authority(&role, superior(&role))?;
        self.state = State::Targets { reference, role, begun };
        Ok(())
    }
}

impl Refresh {
    /// The delegated role that comes after the `begun` first ones.
    fn next_delegated(&self, begun: &mut usize) -> Option<RoleName> {
        loop {
            let at = *begun;
            *begun += 1;
            if let Some(role) = self.delegated.get(at) {
                return Some(role.clone());
            }
            let role = self.optional.get(at - self.delegated.len())?;
            if self.trusted.authority(role, superior(role)).is_ok() {
                return Some(role.clone());
            }
        }
    }
}

/// Who delegates to `role` in a refresh.
fn superior(role: &RoleName) -> &'static RoleName {
    static ROOT: RoleName = RoleName::ROOT;
    static TARGETS: RoleName = RoleName::TARGETS;
    if role.is_targets() { &ROOT } else { &TARGETS }
}
