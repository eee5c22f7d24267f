//! Files from a repository over HTTP and HTTPS, bounded in length and time.
//!
//! Believes nothing, retries nothing, and keeps no answer in memory that is
//! longer than was asked for.

use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::{Client, ClientBuilder, Response, StatusCode, Url};

use crate::address;
use crate::limits::{CONNECT, GRACE, SILENCE, SLOWEST};

/// A repository's metadata or targets, by their base URL.
#[derive(Debug, Clone)]
pub struct Source {
    client: Client,
    base: String,
    patience: Patience,
}

/// How long a repository may keep a client waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Until it accepts a connection.
    pub connect: Duration,
    /// While it sends nothing.
    pub silence: Duration,
    /// For a file, beside its bytes.
    pub grace: Duration,
    /// Bytes a second that it must send once the grace is over.
    pub slowest: u64,
}

impl Default for Patience {
    fn default() -> Self {
        Self { connect: CONNECT, silence: SILENCE, grace: GRACE, slowest: SLOWEST }
    }
}

impl Patience {
    /// How long `arrived` bytes may have taken.
    fn with(&self, arrived: u64) -> Duration {
        self.grace + Duration::from_secs(arrived / self.slowest.max(1))
    }
}

fn client(url: &Url, patience: Patience) -> ClientBuilder {
    let client = Client::builder()
        .user_agent(concat!("updraft-tuf/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(patience.connect)
        .read_timeout(patience.silence);
    // No proxy can reach what listens on this machine alone.
    if is_loopback(url) { client.no_proxy() } else { client }
}

/// A file that did not come.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The base URL is none.
    #[error("a repository's address begins with http:// or https://, found {found:?}")]
    Address {
        /// What was given, at most its first 200 characters.
        found: String,
    },
    /// No HTTP client could be made.
    #[error("HTTP cannot be spoken here")]
    Client(#[source] reqwest::Error),
    /// The repository could not be reached, or broke off.
    #[error("{url} could not be fetched")]
    Fetch {
        /// What was asked for.
        url: String,
        /// Why.
        source: reqwest::Error,
    },
    /// It answered something else.
    #[error("{url} was answered with {status}")]
    Status {
        /// What was asked for.
        url: String,
        /// The answer.
        status: StatusCode,
    },
    /// It sends more than was asked for.
    #[error("{url} is longer than the {allowed} bytes that are expected")]
    TooLong {
        /// What was asked for.
        url: String,
        /// The bound.
        allowed: u64,
    },
    /// It sends so slowly that it may as well send nothing.
    #[error("{url} sent {arrived} bytes in {} seconds", elapsed.as_secs())]
    TooSlow {
        /// What was asked for.
        url: String,
        /// How much has come.
        arrived: u64,
        /// In what time.
        elapsed: Duration,
    },
}

/// A file on its way.
#[derive(Debug)]
pub struct Body {
    url: String,
    response: Response,
    allowed: u64,
    arrived: u64,
    begun: Instant,
    patience: Patience,
}

impl Source {
    /// The files beneath `base`, waited for as [`crate::limits`] says.
    ///
    /// # Errors
    /// As [`Source::with`].
    pub fn new(base: &str) -> Result<Self, HttpError> {
        Self::with(base, Patience::default())
    }

    /// The files beneath `base`.
    ///
    /// # Errors
    /// [`HttpError::Address`] for anything but an HTTP URL, and
    /// [`HttpError::Client`] where HTTPS is asked for and this machine trusts
    /// no certificates.
    pub fn with(base: &str, patience: Patience) -> Result<Self, HttpError> {
        let refused = || HttpError::Address { found: base.chars().take(200).collect() };
        let base = address::base(base);
        let url = Url::parse(&base).map_err(|_| refused())?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(refused());
        }
        // Only the first call installs it; that another was there already is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = match client(&url, patience).build() {
            // A bare machine has no certificates, and plain HTTP needs none.
            Err(_) if url.scheme() == "http" => client(&url, patience).tls_certs_only([]).build(),
            client => client,
        };
        Ok(Self { client: client.map_err(HttpError::Client)?, base, patience })
    }

    /// Asks for the file at `address` beneath the base, of at most `allowed`
    /// bytes; `None` if there is none.
    ///
    /// # Errors
    /// [`HttpError`] if the repository does not answer, or announces more.
    pub async fn open(&self, address: &str, allowed: u64) -> Result<Option<Body>, HttpError> {
        let url = format!("{}{address}", self.base);
        let begun = Instant::now();
        let response = match self.client.get(&url).send().await {
            Ok(response) => response,
            Err(source) => {
                let source = source.without_url();
                return Err(HttpError::Fetch { url, source });
            }
        };
        match response.status() {
            StatusCode::OK => {}
            // Stores that do not list their files say 403 for one they lack.
            StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::FORBIDDEN => return Ok(None),
            status => return Err(HttpError::Status { url, status }),
        }
        if response.content_length().is_some_and(|length| length > allowed) {
            return Err(HttpError::TooLong { url, allowed });
        }
        let patience = self.patience;
        Ok(Some(Body { url, response, allowed, arrived: 0, begun, patience }))
    }

    /// The whole file at `address`, of at most `allowed` bytes; `None` if
    /// there is none.
    ///
    /// # Errors
    /// [`HttpError`].
    pub async fn get(&self, address: &str, allowed: u64) -> Result<Option<Vec<u8>>, HttpError> {
        let Some(mut body) = self.open(address, allowed).await? else { return Ok(None) };
        let mut bytes = Vec::new();
        while let Some(chunk) = body.next().await? {
            bytes.extend_from_slice(&chunk);
        }
        Ok(Some(bytes))
    }
}

impl Body {
    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// [`HttpError`] if the repository breaks off, sends too much or too slowly.
    pub async fn next(&mut self) -> Result<Option<Bytes>, HttpError> {
        let chunk = match self.response.chunk().await {
            Ok(Some(chunk)) => chunk,
            Ok(None) => return Ok(None),
            Err(source) => {
                let (url, source) = (self.url.clone(), source.without_url());
                return Err(HttpError::Fetch { url, source });
            }
        };
        self.arrived = self.arrived.saturating_add(chunk.len() as u64);
        if self.arrived > self.allowed {
            return Err(HttpError::TooLong { url: self.url.clone(), allowed: self.allowed });
        }
        let elapsed = self.begun.elapsed();
        if elapsed > self.patience.with(self.arrived) {
            let (url, arrived) = (self.url.clone(), self.arrived);
            return Err(HttpError::TooSlow { url, arrived, elapsed });
        }
        Ok(Some(chunk))
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_http_is_spoken() {
        for bad in ["", "metadata", "file:///srv", "ftp://host/", "http://"] {
            assert!(matches!(Source::new(bad), Err(HttpError::Address { .. })), "{bad}");
        }
        for good in ["http://host", "https://host:8443/a/b/", "http://[::1]:80/x"] {
            assert!(Source::new(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn a_slow_source_is_given_up() {
        let patience = Patience::default();
        assert_eq!(patience.with(0), GRACE);
        assert_eq!(patience.with(100 * SLOWEST), GRACE + Duration::from_secs(100));
    }

    #[test]
    fn loopback_is_known_in_each_spelling() {
        for (url, yes) in [
            ("http://127.0.0.1:1/", true),
            ("http://127.9.9.9/", true),
            ("http://[::1]/", true),
            ("http://localhost/", true),
            ("http://127.0.0.1.example/", false),
            ("http://10.0.0.1/", false),
        ] {
            assert_eq!(is_loopback(&Url::parse(url).unwrap()), yes, "{url}");
        }
    }
}
