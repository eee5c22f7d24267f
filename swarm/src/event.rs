//! What the swarm tells the program, and how the program answers.

use bytes::Bytes;
use manifest::admission::chain::Member;
use manifest::content::ContentId;
use manifest::key::PublicKey;
use manifest::trust::bundle::Bundle;
use tokio::sync::{mpsc, oneshot};

use crate::ask::Topic;
use crate::parts::Parts;
use crate::standing::Misbehaviour;

/// The number of an announcement, for the verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AnnouncementId(pub(crate) u64);

/// Something that happened.
#[derive(Debug)]
pub enum Event {
    /// A member was admitted and is connected.
    Admitted {
        /// Its peer key.
        peer: PublicKey,
        /// What its credential says.
        member: Member,
    },
    /// A connection was refused by us, by the other side, or by the network.
    Refused {
        /// Where the other side is or was thought to be.
        address: String,
        /// Whether we began it.
        dialled: bool,
        /// Its peer key, if it came and its handshake held.
        peer: Option<PublicKey>,
        /// Why.
        why: String,
        /// Whether the other side came and did what no member does; networks
        /// that break are nobody's fault.
        fault: bool,
    },
    /// A member was let go that did nothing wrong while it was here.
    LetGo {
        /// Its peer key.
        peer: PublicKey,
        /// What its credential says.
        member: Member,
        /// Why: what has become of its credential, or whom it makes room for.
        why: String,
    },
    /// Somebody who could not be admitted, or could not admit us, handed over
    /// what may lead us back: roots, and the vendor's word on our issuer. Not
    /// to be believed before it is verified.
    Guided {
        /// The files.
        files: Bundle,
    },
    /// The last connection to a member is gone.
    Gone {
        /// Its peer key.
        peer: PublicKey,
    },
    /// A peer passed on an announcement; it travels no further before
    /// `Handle::verdict` accepts it.
    Announcement {
        /// For the verdict.
        id: AnnouncementId,
        /// The neighbour that it came from, not its author.
        from: PublicKey,
        /// What was announced.
        bytes: Bytes,
    },
    /// A member asks something.
    Asked {
        /// Its peer key.
        peer: PublicKey,
        /// What its credential says.
        member: Member,
        /// On which topic; `Log` comes from auditors only.
        topic: Topic,
        /// The question.
        request: Vec<u8>,
        /// Where the answer goes.
        reply: Reply,
    },
    /// Bytes of an object that we hold are wanted: `len` from `offset` on.
    Serve {
        /// The object.
        object: ContentId,
        /// The first byte.
        offset: u64,
        /// How many.
        len: u32,
        /// Where the bytes go.
        reply: ServeReply,
    },
    /// Blocks came of an object that is not whole, and should outlive this
    /// process; only for programs that [`Handle::keep_parts`].
    ///
    /// [`Handle::keep_parts`]: crate::handle::Handle::keep_parts
    Keep {
        /// The blocks.
        parts: Parts,
        /// To be dropped once they are kept, or cannot be.
        done: KeepReply,
    },
    /// What was kept of an object is wanted back.
    Recall {
        /// The object.
        object: ContentId,
        /// Its length in bytes.
        len: u64,
        /// Where the parts go.
        reply: RecallReply,
    },
    /// An object that we held could not be read as it should be, and is not
    /// served any more until it is held again.
    Withdrawn {
        /// The object.
        object: ContentId,
    },
    /// A peer did wrong.
    Misbehaved {
        /// Its peer key.
        peer: PublicKey,
        /// What its credential says, if it is still here.
        member: Option<Member>,
        /// Where it is, if it is still here.
        address: Option<String>,
        /// What it did.
        why: Misbehaviour,
        /// Whether it is let go and kept away for a while.
        banned: bool,
    },
}

/// Where the answer to a member's question goes.
#[derive(Debug)]
pub struct Reply(pub(crate) oneshot::Sender<Vec<u8>>);

impl Reply {
    /// Answers. Dropping the reply instead refuses to answer.
    pub fn send(self, answer: Vec<u8>) {
        // The asker may have gone; then nobody misses the answer.
        let _ = self.0.send(answer);
    }
}

/// Where the bytes of an object go.
#[derive(Debug)]
pub struct ServeReply(pub(crate) oneshot::Sender<Option<Bytes>>);

impl ServeReply {
    /// Gives the bytes, or nothing if they cannot be had any more: the object
    /// is then no longer offered. So it is if the reply is dropped.
    pub fn send(self, bytes: Option<Bytes>) {
        let _ = self.0.send(bytes);
    }
}

/// Tells, when it is dropped, that blocks have been kept. Little is handed over
/// before that.
#[derive(Debug)]
pub struct KeepReply(
    #[expect(dead_code, reason = "its drop is the answer")] pub(crate) oneshot::Sender<()>,
);

/// Where the parts of an object go that were kept.
#[derive(Debug)]
pub struct RecallReply(pub(crate) oneshot::Sender<Option<Parts>>);

impl RecallReply {
    /// Gives the parts, or nothing if there are none. So it is if the reply is
    /// dropped.
    pub fn send(self, parts: Option<Parts>) {
        let _ = self.0.send(parts);
    }
}

/// What happens in the swarm, in order.
///
/// The swarm waits for a program that does not take its events: it serves no
/// more objects and passes on no more announcements.
#[derive(Debug)]
pub struct Events(pub(crate) mpsc::Receiver<Event>);

impl Events {
    /// The next event; nothing once the swarm has stopped.
    pub async fn next(&mut self) -> Option<Event> {
        self.0.recv().await
    }

    /// The next event, if there is one already.
    pub fn try_next(&mut self) -> Option<Event> {
        self.0.try_recv().ok()
    }
}
