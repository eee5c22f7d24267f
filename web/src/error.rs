//! What goes wrong with a file on the web.

use std::time::Duration;

use reqwest::StatusCode;

/// A file that did not come.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// The base URL is none.
    #[error("an address on the web begins with http:// or https://, found {found:?}")]
    Address {
        /// What was given, at most its first 200 characters.
        found: String,
    },
    /// The authorities that were given cannot be used.
    #[error("the certificates of authorities cannot be read; PEM is expected")]
    Authorities(#[source] reqwest::Error),
    /// No HTTP client could be made.
    #[error("HTTP cannot be spoken here")]
    Client(#[source] reqwest::Error),
    /// The server could not be reached, or broke off.
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
    /// It ended before the length that it had announced.
    #[error("{url} ended after {found} of {announced} bytes")]
    Cut {
        /// What was asked for.
        url: String,
        /// The length announced.
        announced: u64,
        /// Where it ended.
        found: u64,
    },
    /// It packed the file by itself, which nobody asked for.
    #[error("{url} came encoded as {encoding:?}; it was asked for as it is")]
    Encoded {
        /// What was asked for.
        url: String,
        /// What the server said.
        encoding: String,
    },
    /// It answered with another part of the file than was asked for.
    #[error("{url} was asked for from byte {from} on and answered with {found}")]
    OtherRange {
        /// What was asked for.
        url: String,
        /// The first byte that was asked for.
        from: u64,
        /// What came instead.
        found: String,
    },
}
