//! What members ask of us, and what they tell.
//!
//! Nothing that a member says is believed here: announcements go through the
//! applier's own refresh, and only then travel on.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use manifest::admission::chain::Member;
use manifest::admission::credential::Role;
use manifest::audit::checkpoint::Checkpoint;
use manifest::audit::entry::Actor;
use manifest::audit::event::Event as Told;
use manifest::audit::exchange::{LogAnswer, LogRequest};
use manifest::content::ContentId;
use manifest::key::PublicKey;
use manifest::trust::exchange::Announcement;
use swarm::ask::Topic;
use swarm::blotter::Blotter;
use swarm::event::{AnnouncementId, Event, Events, KeepReply, RecallReply, Reply, ServeReply};
use swarm::handle::{Handle, Verdict};
use swarm::parts::Parts;
use tokio::sync::{Semaphore, mpsc};

use crate::applier::metadata::Taken;
use crate::clock;
use crate::limits::{ANSWERS_AT_ONCE, HEARD_AT_ONCE, SERVED_AT_ONCE, TOLD_MISBEHAVIOURS};
use crate::network::Network;
use crate::network::fetch::cause;
use crate::network::peers::Peer;
use crate::network::shelf::Found;
use crate::swarming::News;
use crate::swarming::members::Members;

/// Answers members.
pub struct Answers {
    handle: Handle,
    members: Arc<Members>,
    network: Arc<Network>,
    news: mpsc::Sender<News>,
    log: PathBuf,
    log_key: PublicKey,
    /// Whose auditors may have the log.
    organisation: Option<String>,
    serving: Arc<Semaphore>,
    answering: Arc<Semaphore>,
    hearing: Arc<Semaphore>,
    told: usize,
    blotter: Blotter,
}

impl Answers {
    /// Answers out of `network`, and out of the log in a directory, which a
    /// key seals, to auditors of `organisation`.
    #[must_use]
    pub fn new(
        handle: Handle,
        members: Arc<Members>,
        network: Arc<Network>,
        news: mpsc::Sender<News>,
        (log, log_key): (PathBuf, PublicKey),
        organisation: Option<String>,
    ) -> Self {
        let serving = Arc::new(Semaphore::new(SERVED_AT_ONCE));
        let answering = Arc::new(Semaphore::new(ANSWERS_AT_ONCE));
        let hearing = Arc::new(Semaphore::new(HEARD_AT_ONCE));
        let (told, blotter) = (0, Blotter::default());
        Self {
            handle,
            members,
            network,
            news,
            log,
            log_key,
            organisation,
            serving,
            answering,
            hearing,
            told,
            blotter,
        }
    }

    /// Answers until the swarm stops.
    pub async fn run(mut self, mut events: Events) {
        // That the swarm has stopped is seen below.
        let _ = self.handle.keep_parts(self.network.shelf.in_parts()).await;
        while let Some(event) = events.next().await {
            if let Some(line) = self.blotter.line(Instant::now(), &event) {
                tracing::warn!("{line}");
            }
            match event {
                Event::Admitted { peer, member } => {
                    let is_origin = member.has(Role::Seeder);
                    let peer = Peer { key: peer, is_origin };
                    self.members.met(peer);
                    tell(&self.news, News::Met);
                    self.hear_from(peer);
                }
                Event::Gone { peer } => self.members.gone(&peer),
                Event::Refused { address, dialled, why, .. } => {
                    tracing::debug!(%address, %why, "a connection was refused");
                    if dialled {
                        self.members.refused(address, why);
                    }
                }
                Event::Announcement { id, from, bytes } => self.announced(id, from, bytes).await,
                Event::Asked { member, topic, request, reply, .. } => {
                    self.asked(member, topic, request, reply).await;
                }
                Event::Serve { object, offset, len, reply } => {
                    self.serve(object, offset, len, reply).await;
                }
                Event::Keep { parts, done } => self.keep(parts, done),
                Event::Recall { object, len, reply } => self.recall(object, len, reply),
                Event::Withdrawn { object } => self.members.withdrawn(&object),
                Event::Guided { files } => tell(&self.news, News::Guided(files)),
                Event::Misbehaved { peer, why, banned: true, .. } => {
                    self.tell_misbehaviour(peer, why.to_string()).await;
                }
                Event::Misbehaved { .. } | Event::LetGo { .. } => {}
            }
        }
    }

    /// Whoever was away, or apart from us, missed what was announced meanwhile:
    /// we ask each other. A few at a time, so that the others have nothing to
    /// tell any more.
    fn hear_from(&self, peer: Peer) {
        let (network, news) = (Arc::clone(&self.network), self.news.clone());
        let hearing = Arc::clone(&self.hearing);
        tokio::spawn(async move {
            let Ok(_turn) = hearing.acquire_owned().await else { return };
            if network.hear_from(peer).await {
                tell(&news, News::Metadata);
            }
        });
    }

    /// Verifies what was announced, and says whether it travels on. One at a
    /// time: the next is then most often known already.
    async fn announced(&self, id: AnnouncementId, from: PublicKey, bytes: Bytes) {
        let verdict = self.judge(from, &bytes).await;
        let _ = self.handle.verdict(id, verdict).await;
    }

    async fn judge(&self, from: PublicKey, bytes: &Bytes) -> Verdict {
        let Ok(announcement) = Announcement::decode(bytes) else { return Verdict::Reject };
        let Announcement { root, files } = announcement;
        let now = clock::wall();
        let judged = self.network.authority.ask(move |applier| {
            let behind = applier.trusted().root().version < root;
            (applier.take_metadata(&files, now), behind)
        });
        match judged.await {
            (Ok(Taken::Newer), _) => {
                let peer = self.members.peer(from);
                self.network.meter.add_peer(peer.key, peer.is_origin, bytes.len() as u64);
                tell(&self.news, News::Metadata);
                Verdict::Accept
            }
            (Ok(Taken::Nothing), _) => Verdict::Ignore,
            (Err(error), behind) => {
                tracing::info!(error = %cause(&error), behind, "an announcement was not believed");
                if behind || !error.is_forged() {
                    // Whoever sent it may know more; we ask around.
                    tell(&self.news, News::Behind);
                    Verdict::Ignore
                } else {
                    Verdict::Reject
                }
            }
        }
    }

    async fn asked(&self, member: Member, topic: Topic, request: Vec<u8>, reply: Reply) {
        let Ok(permit) = Arc::clone(&self.answering).acquire_owned().await else { return };
        match topic {
            Topic::Metadata => {
                let network = Arc::clone(&self.network);
                tokio::spawn(async move {
                    if let Some(answer) = network.answer_metadata(&request).await {
                        reply.send(answer);
                    }
                    drop(permit);
                });
            }
            Topic::Log if self.may_read_log(&member) => {
                let (dir, key) = (self.log.clone(), self.log_key);
                tokio::task::spawn_blocking(move || {
                    if let Some(answer) = log_answer(&dir, &key, &request) {
                        reply.send(answer);
                    }
                    drop(permit);
                });
            }
            // Addresses the swarm itself gives. Dropping the reply refuses.
            Topic::Log | Topic::Peers | Topic::Reach => {}
        }
    }

    /// The log is for auditors of the organisation that owns the machine.
    fn may_read_log(&self, member: &Member) -> bool {
        member.has(Role::Auditor) && self.organisation.as_ref() == Some(&member.organisation)
    }

    /// Hands out bytes of an object that hashes to its name at this moment.
    async fn serve(&self, id: ContentId, offset: u64, len: u32, reply: ServeReply) {
        // Waiting here holds the swarm back, which is what it is for.
        let Ok(permit) = Arc::clone(&self.serving).acquire_owned().await else { return };
        let (shelf, news) = (Arc::clone(&self.network.shelf), self.news.clone());
        tokio::task::spawn_blocking(move || {
            let bytes = match shelf.find(id) {
                Found::Here(bytes) => run_of(&bytes, offset, len),
                Found::Unknown => None,
                Found::Damaged => {
                    tell(&news, News::Damaged);
                    None
                }
            };
            reply.send(bytes);
            drop(permit);
        });
    }

    /// Keeps blocks of an object that is not whole yet. There are never more
    /// than a few of these at a time.
    fn keep(&self, parts: Parts, done: KeepReply) {
        let shelf = Arc::clone(&self.network.shelf);
        tokio::task::spawn_blocking(move || {
            let Parts { id, len, hashes, blocks } = parts;
            shelf.keep(&store::partials::Parts { id, len, hashes, blocks });
            drop(done);
        });
    }

    /// Brings back what was kept of an object.
    fn recall(&self, id: ContentId, len: u64, reply: RecallReply) {
        let shelf = Arc::clone(&self.network.shelf);
        tokio::task::spawn_blocking(move || {
            let kept = shelf.recall(id, len);
            reply.send(kept.map(|store::partials::Parts { id, len, hashes, blocks }| Parts {
                id,
                len,
                hashes,
                blocks,
            }));
        });
    }

    async fn tell_misbehaviour(&mut self, peer: PublicKey, reason: String) {
        // A crowd of liars must not fill the log.
        if self.told == TOLD_MISBEHAVIOURS {
            return;
        }
        self.told += 1;
        let (what, reason) = ("what a peer sent".into(), reason.into());
        let event = Told::Refused { what, reason, peer: Some(peer) };
        let recorded =
            self.network.authority.ask(|applier| applier.record(Actor::Agent, event)).await;
        if let Err(error) = recorded {
            tracing::error!(error = %cause(&error), "a peer's misbehaviour could not be told");
        }
    }
}

/// News that find no room are no loss: the daemon looks by itself, later.
fn tell(news: &mpsc::Sender<News>, what: News) {
    let _ = news.try_send(what);
}

/// `len` bytes from `offset` on, if there are so many.
fn run_of(bytes: &Bytes, offset: u64, len: u32) -> Option<Bytes> {
    let start = usize::try_from(offset).ok()?;
    let end = start.checked_add(usize::try_from(len).ok()?)?;
    (end <= bytes.len()).then(|| bytes.slice(start..end))
}

/// The entries that an auditor asks for, as they lie on the disk.
fn log_answer(dir: &std::path::Path, key: &PublicKey, request: &[u8]) -> Option<Vec<u8>> {
    let request = LogRequest::decode(request).ok()?;
    let log = store::log::read(dir).ok()?;
    let checkpoint = log.checkpoint?;
    // A checkpoint that is not ours seals nothing; the auditor shall see it.
    let sealed = Checkpoint::verify(&checkpoint, key).map_or(u64::MAX, |sealed| sealed.size());
    LogAnswer::to(&request, checkpoint, sealed, &log.text).encode().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_there_is_handed_out() {
        let bytes = Bytes::from_static(b"0123456789");
        assert_eq!(run_of(&bytes, 3, 4).unwrap(), b"3456"[..]);
        assert_eq!(run_of(&bytes, 0, 10).unwrap().len(), 10);
        for (offset, len) in [(1, 10), (11, 0), (u64::MAX, 1), (10, 1)] {
            assert_eq!(run_of(&bytes, offset, len), None, "{offset} {len}");
        }
    }

    #[test]
    fn an_auditor_gets_the_sealed_entries() {
        let dir = tempfile::tempdir().unwrap();
        let key = manifest::key::SigningKey::from_seed(&[3; 32]);
        let steps = store::steps::Steps::free();
        let mut log = crate::audit::AuditLog::open(dir.path(), key.clone(), steps).unwrap();
        for _ in 0..3 {
            let event = Told::Stopped { reason: "test".into() };
            log.append(Actor::Agent, clock::moment(), event).unwrap();
        }
        let request = LogRequest { from: 1 }.encode();
        let answer = log_answer(dir.path(), &key.public(), &request).unwrap();
        assert_eq!(LogAnswer::decode(&answer).unwrap().entry_count(), 2);
        assert!(log_answer(dir.path(), &key.public(), b"?").is_none());
    }
}
