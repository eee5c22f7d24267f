//! Brings one object from one mirror, going on where an earlier answer ended,
//! and keeps what came where it breaks off.
//!
//! A driver: what an answer means is said by `web` and `draft`, whom to ask by
//! `roster`.

use std::sync::Arc;

use manifest::release::plan::Wanted;
use store::heads::Form;
use tokio::sync::{mpsc, oneshot};
use web::error::WebError;

use crate::limits::HEAD_BYTES;
use crate::mirror::{Mirror, MirrorError, Stream, longest, path_of};
use crate::network::draft::{Draft, Flaw};
use crate::network::roster::{Fault, Job};
use crate::network::shelf::Shelf;

/// Bytes that came from a mirror.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moved {
    pub(super) job: Job,
    /// Bytes over the wire.
    pub(super) bytes: u64,
    /// How many bytes of the mirror's file are there now.
    pub(super) reached: u64,
}

/// An object, and the mirror to bring it from.
pub(super) struct Errand {
    pub(super) job: Job,
    pub(super) mirror: Mirror,
    pub(super) wanted: Wanted,
    pub(super) shelf: Arc<Shelf>,
    pub(super) news: mpsc::Sender<Moved>,
    /// Dropped or sent when nobody needs it any more.
    pub(super) stop: oneshot::Receiver<()>,
}

impl Errand {
    /// The object's bytes, compared with its id.
    pub(super) async fn run(mut self) -> Result<Vec<u8>, MirrorError> {
        let (shelf, wanted) = (Arc::clone(&self.shelf), self.wanted);
        let head = tokio::task::spawn_blocking(move || shelf.head(wanted)).await;
        let mut draft = Draft::new(wanted, head.expect("reading a file does not panic"));
        let url = |form| self.mirror.url(&path_of(wanted.id, form));
        for form in draft.forms() {
            let url = url(form);
            let Some(mut stream) = self.open(&mut draft, form).await? else { continue };
            let read = self.read(&mut draft, &mut stream, &url).await;
            if let Err(error) = read {
                self.keep(&mut draft, 0).await;
                return Err(error);
            }
            return match draft.finish() {
                Ok(bytes) => Ok(bytes),
                Err(Flaw { why, whole }) => {
                    self.forget().await;
                    Err(match whole {
                        true => MirrorError::Wrong { url, why },
                        false => MirrorError::Patchwork { url, why },
                    })
                }
            };
        }
        Err(MirrorError::NotFound { url: url(Form::Plain) })
    }

    /// The mirror's file, from where the draft ends or, if that cannot be had,
    /// from its start.
    async fn open(&self, draft: &mut Draft, form: Form) -> Result<Option<Stream>, MirrorError> {
        let (path, allowed) = (path_of(self.wanted.id, form), longest(form, self.wanted.len));
        let opened = self.mirror.open(&path, draft.len_in(form), allowed).await;
        match opened {
            Ok(Some(stream)) => {
                if draft.begin(form, stream.begins(), stream.total()) {
                    return Ok(Some(stream));
                }
            }
            Ok(None) => return Ok(None),
            // It has another file, or none that goes on there.
            Err(MirrorError::Web(WebError::OtherRange { .. })) => {}
            Err(error) => return Err(error),
        }
        draft.clear();
        self.forget().await;
        let Some(stream) = self.mirror.open(&path, 0, allowed).await? else { return Ok(None) };
        let begins = draft.begin(form, stream.begins(), stream.total());
        debug_assert!(begins, "every answer may begin an empty draft");
        Ok(Some(stream))
    }

    async fn read(
        &mut self,
        draft: &mut Draft,
        stream: &mut Stream,
        url: &str,
    ) -> Result<(), MirrorError> {
        loop {
            let chunk = tokio::select! {
                chunk = stream.next() => chunk?,
                _ = &mut self.stop => return Err(MirrorError::Stopped { url: url.to_owned() }),
            };
            let Some(chunk) = chunk else { return Ok(()) };
            let reached = draft.take(&chunk);
            let moved = Moved { job: self.job, bytes: chunk.len() as u64, reached };
            // Whoever no longer listens stops this as well.
            let _ = self.news.send(moved).await;
            self.keep(draft, HEAD_BYTES).await;
        }
    }

    /// Keeps what is new of the draft, if it is at least so much.
    async fn keep(&self, draft: &mut Draft, least: usize) {
        let Some((offset, bytes)) = draft.unkept(least) else { return };
        let (shelf, id, form) = (Arc::clone(&self.shelf), self.wanted.id, draft.form());
        let kept = move || shelf.keep_head(id, form, offset, &bytes);
        tokio::task::spawn_blocking(kept).await.expect("keeping bytes does not panic");
    }

    async fn forget(&self) {
        let (shelf, id) = (Arc::clone(&self.shelf), self.wanted.id);
        let gone = tokio::task::spawn_blocking(move || shelf.drop_head(id));
        gone.await.expect("removing a file does not panic");
    }
}

/// What a mirror did wrong, as the roster needs to know it; nothing if it was
/// stopped.
pub(super) const fn fault(error: &MirrorError) -> Option<Fault> {
    match error {
        MirrorError::Stopped { .. } => None,
        MirrorError::NotFound { .. } => Some(Fault::Lacks),
        MirrorError::Patchwork { .. } => Some(Fault::Patchwork),
        MirrorError::Wrong { .. }
        | MirrorError::TooLong { .. }
        | MirrorError::Web(WebError::TooLong { .. } | WebError::Encoded { .. }) => {
            Some(Fault::Lies)
        }
        MirrorError::Web(_) | MirrorError::Disk(_) | MirrorError::Address { .. } => {
            Some(Fault::Unwell)
        }
    }
}
