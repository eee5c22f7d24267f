//! Where an agent keeps what it has: one directory for one installation.

use std::path::{Path, PathBuf};

/// The paths of a home; docs/agent.md draws it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    dir: PathBuf,
}

impl Home {
    /// The home in `dir`, whether or not it exists.
    #[must_use]
    pub fn at(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// The home of whoever names none: `/var/lib/updraft/default` for root,
    /// else `updraft/default` in the user's state directory.
    #[must_use]
    pub fn of_user() -> Self {
        let dir = if rustix::process::geteuid().is_root() {
            PathBuf::from("/var/lib")
        } else if let Some(state) = std::env::var_os("XDG_STATE_HOME").filter(|s| !s.is_empty()) {
            PathBuf::from(state)
        } else {
            let user = std::env::var_os("HOME").map_or_else(|| PathBuf::from("."), PathBuf::from);
            user.join(".local/state")
        };
        Self { dir: dir.join("updraft/default") }
    }

    /// The directory itself.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What the owner wrote.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.dir.join("config.toml")
    }

    /// The private keys.
    #[must_use]
    pub fn keys(&self) -> PathBuf {
        self.dir.join("keys")
    }

    /// The key that is the installation's network identity.
    #[must_use]
    pub fn peer_key(&self) -> PathBuf {
        self.keys().join("peer.pem")
    }

    /// The key that signs the log's checkpoints.
    #[must_use]
    pub fn log_key(&self) -> PathBuf {
        self.keys().join("log.pem")
    }

    /// The ticket that the installation joined with.
    #[must_use]
    pub fn ticket(&self) -> PathBuf {
        self.dir.join("ticket.json")
    }

    /// The installation's credential, with its issuer's statement.
    #[must_use]
    pub fn credential(&self) -> PathBuf {
        self.dir.join("credential.json")
    }

    /// Metadata that was verified.
    #[must_use]
    pub fn trusted(&self) -> PathBuf {
        self.dir.join("trusted")
    }

    /// Manifests of the releases that are installed.
    #[must_use]
    pub fn manifests(&self) -> PathBuf {
        self.dir.join("manifests")
    }

    /// Objects to install from and to serve.
    #[must_use]
    pub fn objects(&self) -> PathBuf {
        self.dir.join("objects")
    }

    /// Objects that are not whole yet.
    #[must_use]
    pub fn partials(&self) -> PathBuf {
        self.dir.join("partials")
    }

    /// Beginnings of mirrors' files that broke off.
    #[must_use]
    pub fn heads(&self) -> PathBuf {
        self.dir.join("heads")
    }

    /// What is remembered over a restart.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.dir.join("state.json")
    }

    /// What the last plan came to.
    #[must_use]
    pub fn plan(&self) -> PathBuf {
        self.dir.join("plan.json")
    }

    /// The audit log.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.dir.join("log")
    }

    /// Addresses at which members were met.
    #[must_use]
    pub fn peers(&self) -> PathBuf {
        self.dir.join("peers.json")
    }

    /// Where the daemon listens to its owner.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.dir.join("agent.sock")
    }

    /// Held by whoever changes anything here.
    #[must_use]
    pub fn lock(&self) -> PathBuf {
        self.dir.join("lock")
    }

    /// Whether an installation has joined here.
    #[must_use]
    pub fn is_joined(&self) -> bool {
        self.state().exists()
    }
}
