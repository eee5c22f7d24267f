//! The owner's way in: HTTP over a Unix socket in the home.
//!
//! [`api`] and [`peers`] are the values, [`server`] answers in the daemon, [`client`] asks
//! from the command line. docs/agent.md lists the paths; curl can use them.

pub mod api;
pub mod client;
pub mod peers;
pub mod server;

use std::fs::File;
use std::path::{Path, PathBuf};

/// Bytes that a Unix socket's path may have.
const SOCKET_PATH_BYTES: usize = 100;

/// A path to a socket that is short enough for the system.
///
/// A deep home would make it too long; then it leads through the directory,
/// which stays open for as long as the value lives.
#[derive(Debug)]
pub struct SocketPath {
    path: PathBuf,
    _dir: Option<File>,
}

impl SocketPath {
    /// The way to `socket`.
    ///
    /// # Errors
    /// If its directory cannot be opened.
    pub fn to(socket: &Path) -> std::io::Result<Self> {
        use std::os::fd::AsRawFd;
        if socket.as_os_str().len() <= SOCKET_PATH_BYTES {
            return Ok(Self { path: socket.to_owned(), _dir: None });
        }
        let (parent, name) = (socket.parent(), socket.file_name());
        let (Some(parent), Some(name)) = (parent, name) else {
            return Err(std::io::ErrorKind::InvalidInput.into());
        };
        let dir = File::open(parent)?;
        let path = Path::new("/proc/self/fd").join(dir.as_raw_fd().to_string()).join(name);
        Ok(Self { path, _dir: Some(dir) })
    }

    /// The path to use.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}
