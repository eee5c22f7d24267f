//! A file on its way: bounded in length, and in how slowly it may come.

use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::Response;

use crate::error::WebError;
use crate::range::Place;

/// How long a server may keep a client waiting.
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

impl Patience {
    /// How long `arrived` bytes may have taken.
    #[must_use]
    pub fn with(&self, arrived: u64) -> Duration {
        self.grace + Duration::from_secs(arrived / self.slowest.max(1))
    }
}

/// A file, or the rest of one, on its way.
#[derive(Debug)]
pub struct Body {
    url: String,
    /// Nothing where no more bytes are missing.
    response: Option<Response>,
    place: Place,
    allowed: u64,
    arrived: u64,
    begun: Instant,
    patience: Patience,
}

impl Body {
    pub(crate) const fn new(
        url: String,
        response: Option<Response>,
        place: Place,
        allowed: u64,
        (begun, patience): (Instant, Patience),
    ) -> Self {
        Self { url, response, place, allowed, arrived: 0, begun, patience }
    }

    /// Where in the file it begins: where it was asked for, or at 0 if the
    /// server knows no ranges.
    #[must_use]
    pub const fn begins(&self) -> u64 {
        self.place.from
    }

    /// The length of the whole file, if the server said it.
    #[must_use]
    pub const fn total(&self) -> Option<u64> {
        self.place.total
    }

    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// [`WebError`] if the server breaks off, sends too much or too slowly.
    pub async fn next(&mut self) -> Result<Option<Bytes>, WebError> {
        let Some(response) = &mut self.response else { return Ok(None) };
        let chunk = match response.chunk().await {
            Ok(Some(chunk)) => chunk,
            Ok(None) => {
                let found = self.place.from + self.arrived;
                return match self.place.total {
                    Some(announced) if found < announced => {
                        Err(WebError::Cut { url: self.url.clone(), announced, found })
                    }
                    _ => Ok(None),
                };
            }
            Err(source) => {
                let (url, source) = (self.url.clone(), source.without_url());
                return Err(WebError::Fetch { url, source });
            }
        };
        self.arrived = self.arrived.saturating_add(chunk.len() as u64);
        if self.place.from.saturating_add(self.arrived) > self.allowed {
            return Err(WebError::TooLong { url: self.url.clone(), allowed: self.allowed });
        }
        let elapsed = self.begun.elapsed();
        if elapsed > self.patience.with(self.arrived) {
            let (url, arrived) = (self.url.clone(), self.arrived);
            return Err(WebError::TooSlow { url, arrived, elapsed });
        }
        Ok(Some(chunk))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_server_is_given_up() {
        let second = Duration::from_secs(1);
        let patience =
            Patience { connect: second, silence: second, grace: 60 * second, slowest: 4096 };
        assert_eq!(patience.with(0), 60 * second);
        assert_eq!(patience.with(100 * 4096), 160 * second);
        assert_eq!(Patience { slowest: 0, ..patience }.with(7), 67 * second);
    }
}
