//! Asks a running agent over its Unix socket, as `curl` would.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

/// The JSON that the agent under `home` answers to `GET path`.
///
/// # Errors
/// If nobody answers within two seconds, or not with JSON.
pub fn get(home: &Path, path: &str) -> io::Result<Value> {
    let mut socket = UnixStream::connect(home.join("agent.sock"))?;
    socket.set_read_timeout(Some(Duration::from_secs(2)))?;
    // HTTP/1.0: the answer ends where the connection does, and is not chunked.
    write!(socket, "GET {path} HTTP/1.0\r\nHost: agent\r\n\r\n")?;
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer)?;
    let body = answer.windows(4).position(|window| window == b"\r\n\r\n").map_or(0, |at| at + 4);
    serde_json::from_slice(&answer[body..]).map_err(io::Error::other)
}
