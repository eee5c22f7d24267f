//! One mirror of a repository, behind HTTP or in a directory: plain files,
//! fetched whole, bounded.
//!
//! Promises that no answer takes more memory than was asked for, or comes a
//! byte at a time for ever. Believes nothing: whoever asks compares hashes and signatures.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use manifest::release::plan::Wanted;
use reqwest::{Client, StatusCode};
use store::disk::{DiskError, read_bounded};

use crate::limits::{MIRROR_PACE, MIRROR_RUN_UP};

/// How long a mirror may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(10);

/// How long a mirror may send nothing.
const SILENCE: Duration = Duration::from_secs(20);

/// How much longer than its content a compressed object may be.
const FRAME_OVERHEAD: u64 = 1024;

/// A mirror, by its base URL.
#[derive(Debug, Clone)]
pub struct Mirror {
    base: String,
    way: Way,
}

/// How a mirror is reached.
#[derive(Debug, Clone)]
enum Way {
    Http(Client),
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
    /// No HTTP client could be made.
    #[error("HTTP cannot be spoken here")]
    Client(#[source] reqwest::Error),
    /// The mirror could not be reached, or broke off.
    #[error("{url} could not be fetched")]
    Fetch {
        /// What was asked for.
        url: String,
        /// Why.
        source: reqwest::Error,
    },
    /// The directory could not be read.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// It has no such file.
    #[error("{url} is not there")]
    NotFound {
        /// What was asked for.
        url: String,
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
    /// It answers, and so slowly that it might as well not.
    #[error("{url} came at {pace} bytes a second, at least {MIRROR_PACE} are expected")]
    TooSlow {
        /// What was asked for.
        url: String,
        /// How fast it was.
        pace: u64,
    },
    /// What came is not the object.
    #[error("{url} is not the object that its name says: {why}")]
    Wrong {
        /// What was asked for.
        url: String,
        /// What was expected and found.
        why: String,
    },
}

impl Mirror {
    /// The mirror at `base`, such as `https://mirror.example/hello/`.
    ///
    /// # Errors
    /// `Address` for anything but an HTTP URL or an absolute directory.
    pub fn new(base: &str) -> Result<Self, MirrorError> {
        if let Some(dir) = base.strip_prefix("file://").filter(|dir| dir.starts_with('/')) {
            let way = Way::Directory(PathBuf::from(dir));
            return Ok(Self { base: base.trim_end_matches('/').to_owned(), way });
        }
        if !base.starts_with("http://") && !base.starts_with("https://") {
            let found = base.chars().take(200).collect();
            return Err(MirrorError::Address { found });
        }
        // Only the first call installs it; that another was there already is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = || {
            Client::builder()
                .user_agent(concat!("updraft-agent/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(CONNECT)
                .read_timeout(SILENCE)
        };
        let client = match builder().build() {
            // A bare machine has no certificates, and plain HTTP needs none.
            Err(_) if base.starts_with("http://") => builder().tls_certs_only([]).build(),
            client => client,
        };
        let client = client.map_err(MirrorError::Client)?;
        Ok(Self { base: base.trim_end_matches('/').to_owned(), way: Way::Http(client) })
    }

    /// The base URL.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// A metadata file such as `timestamp.json` or `3.snapshot.json`, of at
    /// most `max_len` bytes; `None` if the mirror has none.
    ///
    /// # Errors
    /// If the mirror cannot be reached or sends more.
    pub async fn metadata(&self, name: &str, max_len: u64) -> Result<Option<Vec<u8>>, MirrorError> {
        match self.get(&format!("metadata/{name}"), max_len).await {
            Err(MirrorError::NotFound { .. }) => Ok(None),
            bytes => bytes.map(Some),
        }
    }

    /// An object, unpacked where the mirror keeps it as a zstd frame, and
    /// compared with its id; and how many bytes came over the wire.
    ///
    /// # Errors
    /// If the mirror does not have it, cannot be reached, or sends other bytes.
    pub async fn object(&self, wanted: Wanted) -> Result<(Vec<u8>, u64), MirrorError> {
        let id = wanted.id.to_string();
        let plain = format!("objects/{}/{id}", &id[..2]);
        let packed = format!("{plain}.zst");
        let wrong = |path: &str, why: String| MirrorError::Wrong { url: self.url(path), why };
        let (bytes, wire, path) =
            match self.get(&packed, wanted.len.saturating_add(FRAME_OVERHEAD)).await {
                Ok(frame) => {
                    let wire = frame.len() as u64;
                    let bytes = store::frame::unpack(&frame, wanted.len)
                        .map_err(|error| wrong(&packed, error.to_string()))?;
                    (bytes, wire, packed)
                }
                Err(MirrorError::NotFound { .. }) => {
                    let bytes = self.get(&plain, wanted.len).await?;
                    let wire = bytes.len() as u64;
                    (bytes, wire, plain)
                }
                Err(error) => return Err(error),
            };
        let found = manifest::content::ContentId::of(&bytes);
        if found != wanted.id {
            let why = format!("its blake3 is {found}, {} bytes long", bytes.len());
            return Err(wrong(&path, why));
        }
        Ok((bytes, wire))
    }

    fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.base)
    }

    /// The file at `path`, of at most `allowed` bytes.
    async fn get(&self, path: &str, allowed: u64) -> Result<Vec<u8>, MirrorError> {
        let url = self.url(path);
        let client = match &self.way {
            Way::Http(client) => client,
            Way::Directory(dir) => {
                let path = dir.join(path);
                let read = tokio::task::spawn_blocking(move || read_bounded(&path, allowed));
                let read = read.await.expect("reading a file does not panic");
                return match read {
                    Ok(Some(bytes)) => Ok(bytes),
                    Ok(None) => Err(MirrorError::NotFound { url }),
                    Err(error) if error.source.kind() == ErrorKind::FileTooLarge => {
                        Err(MirrorError::TooLong { url, allowed })
                    }
                    Err(error) => Err(error.into()),
                };
            }
        };
        let sent = client.get(&url).send().await;
        let mut response = match sent {
            Ok(response) => response,
            Err(source) => return Err(MirrorError::Fetch { url, source }),
        };
        match response.status() {
            StatusCode::OK => {}
            // Stores that do not list their files say 403 for one they lack.
            StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::FORBIDDEN => {
                return Err(MirrorError::NotFound { url });
            }
            status => return Err(MirrorError::Status { url, status }),
        }
        if response.content_length().is_some_and(|length| length > allowed) {
            return Err(MirrorError::TooLong { url, allowed });
        }
        let mut bytes = Vec::new();
        let begun = Instant::now();
        loop {
            let seconds = begun.elapsed().as_secs();
            let pace = bytes.len() as u64 / seconds.max(1);
            if seconds >= MIRROR_RUN_UP.as_secs() && pace < MIRROR_PACE {
                return Err(MirrorError::TooSlow { url, pace });
            }
            match response.chunk().await {
                Ok(None) => return Ok(bytes),
                Ok(Some(chunk)) if (bytes.len() + chunk.len()) as u64 > allowed => {
                    return Err(MirrorError::TooLong { url, allowed });
                }
                Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
                Err(source) => return Err(MirrorError::Fetch { url, source }),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::extract::Path;
    use axum::http::StatusCode as Answer;
    use axum::routing::get;
    use manifest::content::ContentId;

    /// A mirror on loopback that has one packed and one plain object.
    async fn mirror(packed: Vec<u8>, plain: Vec<u8>) -> Mirror {
        let frame = store::frame::pack(&packed, 3);
        let files = [
            (format!("{}.zst", ContentId::of(&packed)), frame),
            (ContentId::of(&plain).to_string(), plain),
            (format!("{}.zst", ContentId::of(b"lie")), store::frame::pack(b"lye", 3)),
        ];
        let objects = get(move |Path((_, name)): Path<(String, String)>| {
            let found = files.iter().find(|(known, _)| *known == name);
            let found = found.map(|(_, bytes)| bytes.clone()).ok_or(Answer::NOT_FOUND);
            async move { found }
        });
        let app = Router::new()
            .route("/objects/{fan}/{name}", objects)
            .route("/metadata/timestamp.json", get(|| async { "{}".repeat(1000) }))
            .route("/metadata/2.root.json", get(|| async { Answer::INTERNAL_SERVER_ERROR }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}/", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Mirror::new(&base).unwrap()
    }

    fn wanted(bytes: &[u8]) -> Wanted {
        Wanted { id: ContentId::of(bytes), len: bytes.len() as u64 }
    }

    #[tokio::test]
    async fn objects_come_packed_or_plain() {
        let (packed, plain) = (vec![7; 100_000], b"a delta".to_vec());
        let mirror = mirror(packed.clone(), plain.clone()).await;
        let (bytes, wire) = mirror.object(wanted(&packed)).await.unwrap();
        assert!(bytes == packed && wire < 1000, "{wire}");
        assert_eq!(mirror.object(wanted(&plain)).await.unwrap(), (plain.clone(), 7));
    }

    #[tokio::test]
    async fn what_is_missing_or_wrong_is_told() {
        let mirror = mirror(vec![], vec![]).await;
        let missing = mirror.object(wanted(b"missing")).await.unwrap_err();
        assert!(matches!(missing, MirrorError::NotFound { .. }), "{missing}");
        let lie = mirror.object(wanted(b"lie")).await.unwrap_err();
        assert!(matches!(lie, MirrorError::Wrong { .. }), "{lie}");
        assert!(mirror.metadata("9.root.json", 100).await.unwrap().is_none());
        let broken = mirror.metadata("2.root.json", 100).await.unwrap_err();
        assert!(matches!(broken, MirrorError::Status { .. }), "{broken}");
    }

    #[tokio::test]
    async fn endless_data_is_cut_off() {
        let mirror = mirror(vec![], vec![]).await;
        let refused = mirror.metadata("timestamp.json", 1999).await.unwrap_err();
        assert!(matches!(refused, MirrorError::TooLong { allowed: 1999, .. }), "{refused}");
        assert_eq!(mirror.metadata("timestamp.json", 2000).await.unwrap().unwrap().len(), 2000);
    }

    #[tokio::test]
    async fn a_directory_is_a_mirror() {
        let dir = tempfile::tempdir().unwrap();
        let steps = store::steps::Steps::free();
        let repository = store::repository::Repository::create(dir.path(), steps).unwrap();
        let soft = vec![7; 100_000];
        repository.put_piece(wanted(&soft).id, &soft, 3).unwrap();
        repository.publish(&[], &[], b"{}").unwrap();
        let mirror = Mirror::new(&format!("file://{}", dir.path().display())).unwrap();
        assert_eq!(mirror.object(wanted(&soft)).await.unwrap().0, soft);
        let missing = mirror.object(wanted(b"missing")).await.unwrap_err();
        assert!(matches!(missing, MirrorError::NotFound { .. }), "{missing}");
        assert_eq!(mirror.metadata("timestamp.json", 9).await.unwrap().unwrap(), b"{}");
        let refused = mirror.metadata("timestamp.json", 1).await.unwrap_err();
        assert!(matches!(refused, MirrorError::TooLong { .. }), "{refused}");
    }

    #[test]
    fn only_http_and_directories_are_addresses() {
        for bad in ["ftp://mirror.example/", "", "file://relative", "/srv/mirror"] {
            assert!(Mirror::new(bad).is_err(), "{bad}");
        }
    }
}
