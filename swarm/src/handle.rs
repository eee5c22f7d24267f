//! What the program can have the swarm do.
//!
//! A handle may be cloned; the swarm stops when the last one is dropped.

use std::sync::Arc;

use bytes::Bytes;
use manifest::admission::chain::Member;
use manifest::admission::guide::Guide;
use manifest::admission::workgroup::WorkgroupTrust;
use manifest::content::ContentId;
use manifest::key::PublicKey;
use tokio::sync::{mpsc, oneshot};

use crate::allowance::Allowance;
use crate::ask::Topic;
use crate::block::{ObjectSize, TooLarge};
use crate::courtesy::{Passed, Reading};
use crate::event::AnnouncementId;
use crate::limits::MAX_ANNOUNCEMENT;
use crate::odometer::Odometer;

/// The swarm has stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the swarm has stopped")]
pub struct Stopped;

/// A question without an answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// There is no connection to that peer.
    #[error("{0} is not connected")]
    NotConnected(PublicKey),
    /// The peer will not answer this, or not us.
    #[error("{0} refuses to answer")]
    Refused(PublicKey),
    /// The question is longer than any may be.
    #[error("a question has at most {longest} bytes, found {found}")]
    TooLong {
        /// How many bytes it may have.
        longest: usize,
        /// How many it has.
        found: usize,
    },
    /// The connection failed, or the answer took too long.
    #[error("no answer from {peer}: {why}")]
    Failed {
        /// The peer that was asked.
        peer: PublicKey,
        /// What happened.
        why: String,
    },
    /// The swarm has stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// Something that cannot be announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// It is too long.
    #[error("an announcement has at most {MAX_ANNOUNCEMENT} bytes, found {found}")]
    TooLong {
        /// How many bytes it has.
        found: usize,
    },
    /// The swarm has stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// Objects that cannot be held, fetched or provided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ObjectError {
    /// An object is larger than any that is moved.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    /// The bytes are not those of the object.
    #[error("the bytes are object {found}, expected {expected}")]
    OtherBytes {
        /// The object that they should be.
        expected: ContentId,
        /// The object that they are.
        found: ContentId,
    },
    /// The swarm has stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// What the program thinks of an announcement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is true: pass it on.
    Accept,
    /// It is false, and whoever passed it on should have known.
    Reject,
    /// It is nothing to pass on, and nobody's fault.
    Ignore,
}

/// An object to fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Wanted {
    /// Its id.
    pub id: ContentId,
    /// Its length in bytes.
    pub len: u64,
}

/// What a fetch brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// An object is whole and verified.
    Delivered {
        /// The object.
        id: ContentId,
        /// Its bytes.
        bytes: Bytes,
        /// How many of them each peer gave; nobody, if they were provided.
        from: Vec<(PublicKey, u64)>,
    },
    /// Verified bytes so far, of how many.
    Progress {
        /// Bytes that came.
        done: u64,
        /// Bytes of all objects.
        total: u64,
    },
    /// Nothing came for a while: these objects might be had elsewhere, and be
    /// given to [`Handle::provide`]. The fetch goes on.
    Stalled {
        /// The objects that are not whole.
        missing: Vec<ContentId>,
    },
}

/// Objects on their way. Dropping it cancels what has not come.
#[derive(Debug)]
pub struct Fetch {
    pub(crate) number: u64,
    pub(crate) deliveries: mpsc::Receiver<Delivery>,
    pub(crate) commands: mpsc::WeakSender<Command>,
}

impl Fetch {
    /// What comes next; nothing once every object was delivered, or the swarm
    /// has stopped.
    pub async fn next(&mut self) -> Option<Delivery> {
        self.deliveries.recv().await
    }
}

impl Drop for Fetch {
    fn drop(&mut self) {
        // If there is no room for it, the driver finds that nobody listens
        // when it next has something to deliver.
        if let Some(commands) = self.commands.upgrade() {
            let _ = commands.try_send(Command::Cancel(self.number));
        }
    }
}

/// A member as the program sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerInfo {
    /// Its peer key.
    pub key: PublicKey,
    /// What its credential says; nothing while it is not connected.
    pub member: Option<Member>,
    /// Where it can be dialled, with `/p2p/…`: worth remembering.
    pub addresses: Vec<String>,
    /// Whether it is one of the vendor's own.
    pub is_origin: bool,
    /// Whether it is reached through a relay only.
    pub is_relayed: bool,
    /// Bytes of objects and their protocol that it sent us.
    pub bytes_in: u64,
    /// Bytes of objects and their protocol that we sent it.
    pub bytes_out: u64,
    /// The same, a second, of late.
    pub pace: Passed,
    /// Whether it is on our own local network.
    pub is_near: bool,
}

/// What moves, and what may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pacing {
    /// What may move now.
    pub allowance: Allowance,
    /// Bytes a second that members send us and we send them, of late.
    pub pace: Passed,
    /// Whether somebody else uses the line, and we make way.
    pub yields: bool,
    /// Whether less may move than is allowed, because somebody uses the line or
    /// has used it a moment ago.
    pub held_back: bool,
    /// Bytes a second that somebody else moves, as far as is known.
    pub others: Passed,
}

/// How far a wanted object has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectProgress {
    /// The object.
    pub id: ContentId,
    /// Its length in bytes.
    pub len: u64,
    /// The numbers of its 32 KiB blocks that came, ascending.
    pub blocks: Vec<u32>,
}

/// What the driver is told to do.
#[derive(Debug)]
pub(crate) enum Command {
    Publish(Vec<u8>),
    Verdict(AnnouncementId, Verdict),
    Ask {
        peer: PublicKey,
        topic: Topic,
        request: Vec<u8>,
        answer: oneshot::Sender<Result<Vec<u8>, AskError>>,
    },
    Doubt(PublicKey),
    Hold(Vec<(ContentId, ObjectSize)>),
    Withdraw(Vec<ContentId>),
    Fetch {
        wanted: Vec<(ContentId, ObjectSize)>,
        deliveries: mpsc::Sender<Delivery>,
        number: oneshot::Sender<u64>,
    },
    Cancel(u64),
    Provide(Bytes),
    KeepParts(Vec<ContentId>),
    SetTrust(WorkgroupTrust, Guide),
    SetChain(Vec<u8>),
    Peers(oneshot::Sender<Vec<PeerInfo>>),
    Progress(oneshot::Sender<Vec<ObjectProgress>>),
    Limit(Allowance),
    Line(Option<Reading>, oneshot::Sender<Pacing>),
    Dial(String),
    ListenAddresses(oneshot::Sender<Vec<String>>),
}

/// Deliveries that wait for the program, of one fetch.
const DELIVERIES: usize = 16;

/// What the program holds to command the swarm.
#[derive(Debug, Clone)]
pub struct Handle {
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) odometer: Arc<Odometer>,
}

impl Handle {
    async fn command(&self, command: Command) -> Result<(), Stopped> {
        self.commands.send(command).await.map_err(|_| Stopped)
    }

    async fn answered<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, Stopped> {
        let (sender, answer) = oneshot::channel();
        self.command(command(sender)).await?;
        answer.await.map_err(|_| Stopped)
    }

    /// Announces something to every member, now and to those that come later
    /// as long as nothing else is announced.
    ///
    /// # Errors
    /// [`PublishError`].
    pub async fn publish(&self, announcement: Vec<u8>) -> Result<(), PublishError> {
        if announcement.len() > MAX_ANNOUNCEMENT {
            return Err(PublishError::TooLong { found: announcement.len() });
        }
        Ok(self.command(Command::Publish(announcement)).await?)
    }

    /// Says what becomes of an announcement.
    ///
    /// # Errors
    /// [`Stopped`].
    pub async fn verdict(&self, id: AnnouncementId, verdict: Verdict) -> Result<(), Stopped> {
        self.command(Command::Verdict(id, verdict)).await
    }

    /// Asks a connected member something.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn ask(
        &self,
        peer: PublicKey,
        topic: Topic,
        request: Vec<u8>,
    ) -> Result<Vec<u8>, AskError> {
        let (longest, found) = (topic.longest_question(), request.len());
        if found > longest {
            return Err(AskError::TooLong { longest, found });
        }
        self.answered(|answer| Command::Ask { peer, topic, request, answer }).await?
    }

    /// Says that a peer's answer to a question about metadata is nobody's word:
    /// nobody we know has signed it, or it is no metadata at all.
    ///
    /// # Errors
    /// [`Stopped`].
    pub async fn doubt(&self, peer: PublicKey) -> Result<(), Stopped> {
        self.command(Command::Doubt(peer)).await
    }

    /// Offers objects that can be read when `Event::Serve` asks for them.
    ///
    /// # Errors
    /// [`ObjectError`]; then none of them is offered.
    pub async fn hold(
        &self,
        objects: impl IntoIterator<Item = (ContentId, u64)>,
    ) -> Result<(), ObjectError> {
        Ok(self.command(Command::Hold(sized(objects)?)).await?)
    }

    /// Offers objects no more.
    ///
    /// # Errors
    /// [`Stopped`].
    pub async fn drop_objects(&self, ids: Vec<ContentId>) -> Result<(), Stopped> {
        self.command(Command::Withdraw(ids)).await
    }

    /// Begins to fetch objects from whoever holds them.
    ///
    /// # Errors
    /// [`ObjectError`].
    pub async fn fetch(
        &self,
        wanted: impl IntoIterator<Item = Wanted>,
    ) -> Result<Fetch, ObjectError> {
        let wanted = sized(wanted.into_iter().map(|wanted| (wanted.id, wanted.len)))?;
        let (sender, deliveries) = mpsc::channel(DELIVERIES);
        let number = self.answered(|number| Command::Fetch { wanted, deliveries: sender, number });
        let number = number.await?;
        Ok(Fetch { number, deliveries, commands: self.commands.downgrade() })
    }

    /// Gives an object that came by other means: fetches that want it are
    /// delivered, and peers may have it from us for a while even if it is
    /// never held.
    ///
    /// # Errors
    /// [`ObjectError`].
    pub async fn provide(&self, id: ContentId, bytes: Bytes) -> Result<(), ObjectError> {
        ObjectSize::new(bytes.len() as u64)?;
        let found = ContentId::of(&bytes);
        if found != id {
            return Err(ObjectError::OtherBytes { expected: id, found });
        }
        Ok(self.command(Command::Provide(bytes)).await?)
    }

    /// From now on has blocks of objects under way kept by the program, with
    /// [`Event::Keep`], and asks for them back where they are wanted again; of
    /// `ids` it has some already.
    ///
    /// # Errors
    /// [`Stopped`].
    ///
    /// [`Event::Keep`]: crate::event::Event::Keep
    pub async fn keep_parts(&self, ids: Vec<ContentId>) -> Result<(), Stopped> {
        self.command(Command::KeepParts(ids)).await
    }

    /// Believes other workgroup keys from now on, and leads those back who do
    /// not know them yet; who does not hold under them is let go.
    ///
    /// # Errors
    /// [`Stopped`].
    pub async fn set_trust(&self, trust: WorkgroupTrust, guide: Guide) -> Result<(), Stopped> {
        self.command(Command::SetTrust(trust, guide)).await
    }

    /// Shows a renewed credential chain from now on.
    ///
    /// # Errors
    /// [`Stopped`].
    pub async fn set_chain(&self, chain: Vec<u8>) -> Result<(), Stopped> {
        self.command(Command::SetChain(chain)).await
    }

    /// The members that are connected, and those that are known.
    ///
    /// # Errors
    /// [`Stopped`].
    pub async fn peers(&self) -> Result<Vec<PeerInfo>, Stopped> {
        self.answered(Command::Peers).await
    }

    /// How far each wanted object has come.
    ///
    /// # Errors
    /// [`Stopped`].
    pub async fn progress(&self) -> Result<Vec<ObjectProgress>, Stopped> {
        self.answered(Command::Progress).await
    }

    /// Moves no more than this from now on.
    ///
    /// # Errors
    /// [`Stopped`].
    pub async fn limit(&self, limits: Allowance) -> Result<(), Stopped> {
        self.command(Command::Limit(limits)).await
    }

    /// What has passed over QUIC connections to other machines so far, and what
    /// all connections took to begin, as it was on the line; headers are a guess.
    #[must_use]
    pub fn passed_over_quic(&self) -> Passed {
        self.odometer.passed()
    }

    /// Tells what has passed over the machine's line, and what of it was ours,
    /// so that the rest is left room.
    ///
    /// # Errors
    /// [`Stopped`].
    pub async fn observe_line(&self, reading: Reading) -> Result<Pacing, Stopped> {
        self.answered(|answer| Command::Line(Some(reading), answer)).await
    }

    /// What moves, and what may.
    ///
    /// # Errors
    /// [`Stopped`].
    pub async fn pacing(&self) -> Result<Pacing, Stopped> {
        self.answered(|answer| Command::Line(None, answer)).await
    }

    /// Tries an address, now and again for as long as peers are few.
    ///
    /// # Errors
    /// [`Stopped`].
    pub async fn dial(&self, address: impl Into<String>) -> Result<(), Stopped> {
        self.command(Command::Dial(address.into())).await
    }

    /// Where we listen, with `/p2p/…`.
    ///
    /// # Errors
    /// [`Stopped`].
    pub async fn listen_addresses(&self) -> Result<Vec<String>, Stopped> {
        self.answered(Command::ListenAddresses).await
    }
}

/// Checks the length of every object.
fn sized(
    objects: impl IntoIterator<Item = (ContentId, u64)>,
) -> Result<Vec<(ContentId, ObjectSize)>, TooLarge> {
    objects.into_iter().map(|(id, len)| Ok((id, ObjectSize::new(len)?))).collect()
}
