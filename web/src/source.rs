//! A directory of files on the web, by its base URL.
//!
//! Believes nothing, retries nothing, follows few redirections, and keeps no
//! answer in memory that is longer than was asked for.

use std::time::Instant;

use reqwest::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_RANGE, RANGE};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, ClientBuilder, Url};

use crate::body::{Body, Patience};
use crate::error::WebError;
use crate::range::{Meaning, Place, meaning};

/// Redirections that are followed for one file.
const REDIRECTIONS: usize = 5;

/// How a program reads the web.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// What it calls itself.
    pub user_agent: &'static str,
    /// How long it waits.
    pub patience: Patience,
    /// Authorities to trust beside the machine's own, as PEM.
    pub authorities: Vec<u8>,
}

/// The files beneath a base URL.
#[derive(Debug, Clone)]
pub struct Source {
    client: Client,
    base: String,
    patience: Patience,
}

fn client(url: &Url, options: &Options) -> ClientBuilder {
    let client = Client::builder()
        .user_agent(options.user_agent)
        .connect_timeout(options.patience.connect)
        .read_timeout(options.patience.silence)
        .redirect(Policy::limited(REDIRECTIONS));
    // No proxy can reach what listens on this machine alone.
    if is_loopback(url) { client.no_proxy() } else { client }
}

impl Source {
    /// The files beneath `base`.
    ///
    /// # Errors
    /// [`WebError::Address`] for anything but an HTTP URL,
    /// [`WebError::Authorities`], and [`WebError::Client`] where HTTPS is asked
    /// for and this machine trusts no certificates.
    pub fn new(base: &str, options: &Options) -> Result<Self, WebError> {
        let refused = || WebError::Address { found: base.chars().take(200).collect() };
        let base = if base.ends_with('/') { base.to_owned() } else { format!("{base}/") };
        let url = Url::parse(&base).map_err(|_| refused())?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(refused());
        }
        // Only the first call installs it; that another was there already is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let authorities = match options.authorities.is_empty() {
            true => Vec::new(),
            false => {
                Certificate::from_pem_bundle(&options.authorities).map_err(WebError::Authorities)?
            }
        };
        let builder = || match authorities.is_empty() {
            true => client(&url, options),
            false => client(&url, options).tls_certs_merge(authorities.iter().cloned()),
        };
        let client = match builder().build() {
            // A bare machine has no certificates, and plain HTTP needs none.
            Err(_) if url.scheme() == "http" => client(&url, options).tls_certs_only([]).build(),
            client => client,
        };
        let patience = options.patience;
        Ok(Self { client: client.map_err(WebError::Client)?, base, patience })
    }

    /// The base URL, ended by a slash.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Asks for the file at `path` beneath the base, of which `from` bytes are
    /// there and which has at most `allowed`; `None` if there is none.
    ///
    /// # Errors
    /// [`WebError`] if the server does not answer, announces more, or answers
    /// with something else.
    pub async fn open(
        &self,
        path: &str,
        from: u64,
        allowed: u64,
    ) -> Result<Option<Body>, WebError> {
        let url = format!("{}{path}", self.base);
        let begun = (Instant::now(), self.patience);
        // Ranges of what a server packs by itself mean nothing.
        let mut request = self.client.get(&url).header(ACCEPT_ENCODING, "identity");
        if from > 0 {
            request = request.header(RANGE, format!("bytes={from}-"));
        }
        let response = match request.send().await {
            Ok(response) => response,
            Err(source) => {
                let source = source.without_url();
                return Err(WebError::Fetch { url, source });
            }
        };
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let (status, range) = (response.status(), header(CONTENT_RANGE));
        let place = match meaning(from, status, range, response.content_length()) {
            Meaning::Body(place) => place,
            Meaning::Complete => {
                let place = Place { from, total: Some(from) };
                return Ok(Some(Body::new(url, None, place, allowed, begun)));
            }
            Meaning::Missing => return Ok(None),
            Meaning::Other(found) => return Err(WebError::OtherRange { url, from, found }),
            Meaning::Strange => return Err(WebError::Status { url, status }),
        };
        let encoding = header(CONTENT_ENCODING).filter(|encoding| *encoding != "identity");
        if let Some(encoding) = encoding {
            let encoding = encoding.chars().take(40).collect();
            return Err(WebError::Encoded { url, encoding });
        }
        if place.total.is_some_and(|total| total > allowed) {
            return Err(WebError::TooLong { url, allowed });
        }
        Ok(Some(Body::new(url, Some(response), place, allowed, begun)))
    }

    /// The whole file at `path`, of at most `allowed` bytes; `None` if there
    /// is none.
    ///
    /// # Errors
    /// [`WebError`].
    pub async fn get(&self, path: &str, allowed: u64) -> Result<Option<Vec<u8>>, WebError> {
        let Some(mut body) = self.open(path, 0, allowed).await? else { return Ok(None) };
        let mut bytes = Vec::new();
        while let Some(chunk) = body.next().await? {
            bytes.extend_from_slice(&chunk);
        }
        Ok(Some(bytes))
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn options() -> Options {
        let second = Duration::from_secs(1);
        let patience = Patience { connect: second, silence: second, grace: second, slowest: 4096 };
        Options { user_agent: "test", patience, authorities: Vec::new() }
    }

    #[test]
    fn only_http_is_spoken() {
        for bad in ["", "metadata", "file:///srv", "ftp://host/", "http://"] {
            let refused = Source::new(bad, &options());
            assert!(matches!(refused, Err(WebError::Address { .. })), "{bad}");
        }
        for good in ["http://host", "https://host:8443/a/b/", "http://[::1]:80/x"] {
            assert!(Source::new(good, &options()).is_ok(), "{good}");
        }
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
