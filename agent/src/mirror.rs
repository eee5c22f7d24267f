//! One mirror of a repository, behind HTTP or in a directory: plain files, or
//! the rest of them, bounded.
//!
//! Promises that no answer takes more memory than was asked for, or comes a
//! byte at a time for ever. Believes nothing: whoever asks compares hashes and signatures.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use manifest::content::ContentId;
use store::disk::{DiskError, read_bounded};
use store::heads::Form;
use web::body::Body;
use web::error::WebError;
use web::source::{Options, Source};

use crate::limits::MIRROR_PATIENCE;
use crate::throttle::Throttle;

/// How much longer than its content a compressed object may be.
const FRAME_OVERHEAD: u64 = 1024;

/// A mirror, by its base URL.
#[derive(Debug, Clone)]
pub struct Mirror {
    base: String,
    way: Way,
    throttle: Arc<Throttle>,
}

/// How a mirror is reached.
#[derive(Debug, Clone)]
enum Way {
    Web(Source),
    /// A stick or a mounted disk: `file:///DIR`.
    Directory(PathBuf),
}

/// A mirror that did not give what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum MirrorError {
    /// The address is none.
    #[error("a mirror's address begins with http://, https:// or file:///, found {found:?}")]
    Address {
        /// What was configured.
        found: String,
    },
    /// It could not be reached, broke off, or answered something else.
    #[error(transparent)]
    Web(#[from] WebError),
    /// The directory could not be read.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// It has no such file.
    #[error("{url} is not there")]
    NotFound {
        /// What was asked for.
        url: String,
    },
    /// It has more than was asked for.
    #[error("{url} is longer than the {allowed} bytes that are expected")]
    TooLong {
        /// What was asked for.
        url: String,
        /// The bound.
        allowed: u64,
    },
    /// What came is not the object.
    #[error("{url} is not the object that its name says: {why}")]
    Wrong {
        /// What was asked for.
        url: String,
        /// What was expected and found.
        why: String,
    },
    /// What came piece by piece, perhaps from several mirrors, is not the
    /// object; it is thrown away.
    #[error("{url}, put together from several answers, is not the object: {why}")]
    Patchwork {
        /// What was asked for last.
        url: String,
        /// What was expected and found.
        why: String,
    },
    /// Nobody needs it any more.
    #[error("{url} is needed no more")]
    Stopped {
        /// What was asked for.
        url: String,
    },
}

/// A mirror's file on its way.
#[derive(Debug)]
pub struct Stream {
    kind: Kind,
    throttle: Arc<Throttle>,
}

#[derive(Debug)]
enum Kind {
    Web(Box<Body>),
    Disk { from: u64, total: u64, bytes: Option<Bytes> },
}

impl Stream {
    /// Where in the file it begins.
    #[must_use]
    pub fn begins(&self) -> u64 {
        match &self.kind {
            Kind::Web(body) => body.begins(),
            Kind::Disk { from, .. } => *from,
        }
    }

    /// The length of the whole file, if it is known.
    #[must_use]
    pub fn total(&self) -> Option<u64> {
        match &self.kind {
            Kind::Web(body) => body.total(),
            Kind::Disk { total, .. } => Some(*total),
        }
    }

    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// If the mirror breaks off, sends too much or too slowly.
    pub async fn next(&mut self) -> Result<Option<Bytes>, MirrorError> {
        let chunk = match &mut self.kind {
            Kind::Web(body) => body.next().await?,
            Kind::Disk { bytes, .. } => bytes.take().filter(|bytes| !bytes.is_empty()),
        };
        if let Some(chunk) = &chunk {
            self.throttle.take(chunk.len()).await;
        }
        Ok(chunk)
    }
}

/// The longest that a mirror's file of an object of `len` bytes may be.
#[must_use]
pub const fn longest(form: Form, len: u64) -> u64 {
    match form {
        Form::Packed => len.saturating_add(FRAME_OVERHEAD),
        Form::Plain => len,
    }
}

/// Where a mirror has an object.
#[must_use]
pub fn path_of(id: ContentId, form: Form) -> String {
    let id = id.to_string();
    format!("objects/{}/{id}{}", &id[..2], form.suffix())
}

impl Mirror {
    /// The mirror at `base`, such as `https://mirror.example/hello/`.
    ///
    /// # Errors
    /// As [`Mirror::with`].
    pub fn new(base: &str) -> Result<Self, MirrorError> {
        Self::with(base, &[])
    }

    /// The mirror at `base`, which may show a certificate of `authorities`
    /// (PEM) beside those that this machine trusts.
    ///
    /// # Errors
    /// `Address` for anything but an HTTP URL or an absolute directory; `Web`
    /// if the authorities cannot be read.
    pub fn with(base: &str, authorities: &[u8]) -> Result<Self, MirrorError> {
        if let Some(dir) = base.strip_prefix("file://").filter(|dir| dir.starts_with('/')) {
            let way = Way::Directory(PathBuf::from(dir));
            let base = base.trim_end_matches('/').to_owned();
            return Ok(Self { base, way, throttle: Arc::default() });
        }
        let options = Options {
            user_agent: concat!("updraft-agent/", env!("CARGO_PKG_VERSION")),
            patience: MIRROR_PATIENCE,
            authorities: authorities.to_vec(),
        };
        let base = base.trim_end_matches('/');
        match Source::new(base, &options) {
            Ok(source) => {
                let base = base.to_owned();
                Ok(Self { base, way: Way::Web(source), throttle: Arc::default() })
            }
            Err(WebError::Address { found }) => Err(MirrorError::Address { found }),
            Err(error) => Err(error.into()),
        }
    }

    /// The same mirror, read at the pace of `throttle`.
    #[must_use]
    pub fn at_pace(self, throttle: &Arc<Throttle>) -> Self {
        Self { throttle: Arc::clone(throttle), ..self }
    }

    fn stream(&self, kind: Kind) -> Stream {
        Stream { kind, throttle: Arc::clone(&self.throttle) }
    }

    /// The base URL.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The address of the file at `path`.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.base)
    }

    /// A metadata file such as `timestamp.json` or `3.snapshot.json`, of at
    /// most `max_len` bytes; `None` if the mirror has none.
    ///
    /// # Errors
    /// If the mirror cannot be reached or sends more.
    pub async fn metadata(&self, name: &str, max_len: u64) -> Result<Option<Vec<u8>>, MirrorError> {
        let Some(mut stream) = self.open(&format!("metadata/{name}"), 0, max_len).await? else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        while let Some(chunk) = stream.next().await? {
            bytes.extend_from_slice(&chunk);
        }
        Ok(Some(bytes))
    }

    /// The file at `path`, of which `from` bytes are there and which has at
    /// most `allowed`; `None` if the mirror has none. It begins at 0 where the
    /// mirror does not know better.
    ///
    /// # Errors
    /// If the mirror cannot be reached or has more.
    pub async fn open(
        &self,
        path: &str,
        from: u64,
        allowed: u64,
    ) -> Result<Option<Stream>, MirrorError> {
        let dir = match &self.way {
            Way::Web(source) => {
                let body = source.open(path, from, allowed).await?;
                return Ok(body.map(|body| self.stream(Kind::Web(Box::new(body)))));
            }
            Way::Directory(dir) => dir,
        };
        let file = dir.join(path);
        let read = tokio::task::spawn_blocking(move || read_bounded(&file, allowed));
        match read.await.expect("reading a file does not panic") {
            Ok(Some(bytes)) => {
                let (total, bytes) = (bytes.len() as u64, Bytes::from(bytes));
                let start = usize::try_from(from).ok().filter(|start| *start <= bytes.len());
                let start = start.unwrap_or(0);
                let (from, bytes) = (start as u64, Some(bytes.slice(start..)));
                Ok(Some(self.stream(Kind::Disk { from, total, bytes })))
            }
            Ok(None) => Ok(None),
            Err(error) if error.source.kind() == ErrorKind::FileTooLarge => {
                Err(MirrorError::TooLong { url: self.url(path), allowed })
            }
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(stream: Option<Stream>) -> (u64, Vec<u8>) {
        let mut stream = stream.unwrap();
        let mut bytes = Vec::new();
        while let Some(chunk) = stream.next().await.unwrap() {
            bytes.extend_from_slice(&chunk);
        }
        (stream.begins(), bytes)
    }

    #[tokio::test]
    async fn a_directory_is_a_mirror() {
        let dir = tempfile::tempdir().unwrap();
        let steps = store::steps::Steps::free();
        let repository = store::repository::Repository::create(dir.path(), steps).unwrap();
        let soft = vec![7; 100_000];
        let id = ContentId::of(&soft);
        repository.put_piece(id, &soft, 3).unwrap();
        repository.publish(&[], &[], b"{}").unwrap();
        let mirror = Mirror::new(&format!("file://{}", dir.path().display())).unwrap();
        let path = path_of(id, Form::Packed);
        let allowed = longest(Form::Packed, 100_000);
        let (_, frame) = read(mirror.open(&path, 0, allowed).await.unwrap()).await;
        assert_eq!(store::frame::unpack(&frame, 100_000).unwrap(), soft);
        // The rest of it, and what begins anew since it is not so long.
        let rest = read(mirror.open(&path, 5, allowed).await.unwrap()).await;
        assert_eq!(rest, (5, frame[5..].to_vec()));
        let anew = read(mirror.open(&path, 1 << 40, allowed).await.unwrap()).await;
        assert_eq!(anew, (0, frame));
        assert!(mirror.open(&path_of(id, Form::Plain), 0, 9).await.unwrap().is_none());
        assert_eq!(mirror.metadata("timestamp.json", 9).await.unwrap().unwrap(), b"{}");
        let refused = mirror.metadata("timestamp.json", 1).await.unwrap_err();
        assert!(matches!(refused, MirrorError::TooLong { .. }), "{refused}");
    }

    #[test]
    fn only_http_and_directories_are_addresses() {
        for bad in ["ftp://mirror.example/", "", "file://relative", "/srv/mirror"] {
            assert!(matches!(Mirror::new(bad), Err(MirrorError::Address { .. })), "{bad}");
        }
        assert!(
            Mirror::with("https://mirror.example", b"no PEM").is_ok_and(|m| !m.base.is_empty())
        );
    }
}
