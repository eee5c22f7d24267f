//! Asks the daemon, from the command line.

use std::path::Path;
use std::time::Duration;

use reqwest::{Client, Method, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::control::SocketPath;
use crate::control::api::Refusal;

/// A way to the daemon of one home.
pub struct Daemon {
    client: Client,
    _path: SocketPath,
}

/// The daemon did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// No daemon listens.
    #[error("no agent runs for this home")]
    NotRunning,
    /// It refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It broke off.
    #[error("the agent did not answer")]
    Broken(#[source] reqwest::Error),
    /// The socket's directory cannot be opened.
    #[error("the agent's socket cannot be reached")]
    Socket(#[source] std::io::Error),
}

impl Daemon {
    /// The daemon that listens at `socket`.
    ///
    /// # Errors
    /// [`ControlError::NotRunning`] if none does.
    pub async fn at(socket: &Path) -> Result<Self, ControlError> {
        let path = SocketPath::to(socket).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => ControlError::NotRunning,
            _ => ControlError::Socket(error),
        })?;
        // A killed daemon leaves its socket: only a connection tells.
        if tokio::net::UnixStream::connect(path.path()).await.is_err() {
            return Err(ControlError::NotRunning);
        }
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .unix_socket(path.path())
            .timeout(Duration::from_secs(600))
            .build()
            .map_err(ControlError::Broken)?;
        Ok(Self { client, _path: path })
    }

    /// Asks for what is at `path`.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ControlError> {
        let request = self.client.request(Method::GET, url(path));
        answer(request.send().await.map_err(ControlError::Broken)?).await
    }

    /// Asks for something to be done.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &(impl Serialize + Sync),
    ) -> Result<T, ControlError> {
        let request = self.client.request(Method::POST, url(path)).json(body);
        answer(request.send().await.map_err(ControlError::Broken)?).await
    }
}

fn url(path: &str) -> String {
    format!("http://agent{path}")
}

async fn answer<T: DeserializeOwned>(response: Response) -> Result<T, ControlError> {
    if response.status().is_success() {
        response.json().await.map_err(ControlError::Broken)
    } else {
        Err(response.json::<Refusal>().await.map_err(ControlError::Broken)?.into())
    }
}
