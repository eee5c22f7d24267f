//! What the exchange asks for, and what goes to the program's fetches.

use std::collections::VecDeque;

use manifest::content::ContentId;
use tokio::sync::{mpsc, oneshot};

use crate::driver::{Driver, now};
use crate::event::{Event, KeepReply, RecallReply, ServeReply};
use crate::exchange::{Input, Output};
use crate::fetches::{FetchId, Report};
use crate::gate::peer_id;
use crate::handle::Delivery;
use crate::shelf::Read;
use crate::standing::{Misbehaviour, Sentence};

/// The way to one fetch of the program.
pub(crate) struct Outlet {
    pub(crate) sender: mpsc::Sender<Delivery>,
    queue: VecDeque<Delivery>,
    /// Whether nothing more comes once the queue is empty.
    finished: bool,
}

impl Outlet {
    pub(crate) const fn new(sender: mpsc::Sender<Delivery>) -> Self {
        Self { sender, queue: VecDeque::new(), finished: false }
    }

    /// Waits until something of the queue fits; nothing if nothing waits.
    pub(crate) fn room(&self) -> Option<impl Future<Output = ()> + '_> {
        let waits = !self.queue.is_empty();
        waits.then_some(async {
            // Room or nobody there any more: either is seen on delivery.
            drop(self.sender.reserve().await);
        })
    }

    fn push(&mut self, delivery: Delivery) {
        // Of progress only the newest counts.
        if let (Delivery::Progress { .. }, Some(last @ Delivery::Progress { .. })) =
            (&delivery, self.queue.back_mut())
        {
            *last = delivery;
        } else {
            self.queue.push_back(delivery);
        }
    }
}

const fn bytes_of(delivery: &Delivery) -> usize {
    match delivery {
        Delivery::Delivered { bytes, .. } => bytes.len(),
        Delivery::Progress { .. } | Delivery::Stalled { .. } => 0,
    }
}

impl Driver {
    pub(crate) fn on_exchange(&mut self, output: Output) {
        match output {
            Output::Send { link, frame } => self.swarm.behaviour_mut().pieces.send(link, frame),
            Output::Read(read) => self.read(read),
            Output::Keep(parts) => {
                let (done, kept) = oneshot::channel();
                self.chores.push(Box::pin(async move {
                    // Dropped or sent: either says that the program is done.
                    let _ = kept.await;
                    Input::Kept
                }));
                self.tell(Event::Keep { parts, done: KeepReply(done) });
            }
            Output::Recall { id, size } => {
                let (reply, parts) = oneshot::channel();
                self.chores.push(Box::pin(async move {
                    Input::Recalled { id, parts: parts.await.ok().flatten() }
                }));
                let (len, reply) = (size.bytes().into(), RecallReply(reply));
                self.tell(Event::Recall { object: id, len, reply });
            }
            Output::Delivered { fetches, id, bytes, from } => {
                for fetch in fetches {
                    let (bytes, from) = (bytes.clone(), from.clone());
                    self.push(fetch, Delivery::Delivered { id, bytes, from });
                }
            }
            Output::Report { fetch, report } => match report {
                Report::Progress { done, total } => {
                    self.push(fetch, Delivery::Progress { done, total });
                }
                Report::Stalled { missing } => self.push(fetch, Delivery::Stalled { missing }),
                Report::Finished => {
                    if let Some(outlet) = self.fetches.get_mut(&fetch) {
                        outlet.finished = true;
                    }
                }
            },
            Output::Withdrawn(object) => self.tell(Event::Withdrawn { object }),
            Output::Misbehaved { peer, what, sentence } => {
                let banned = sentence == Sentence::Ban;
                let id = peer_id(&peer).ok();
                let here = id.and_then(|id| self.peers.get(&id));
                let member = here.map(|peer| peer.member.clone());
                let link = here.and_then(|peer| peer.links.values().next());
                let address = link.map(|link| link.address.to_string());
                if let (true, Some(id)) = (banned, id) {
                    self.swarm.behaviour_mut().door.ban(id);
                    self.book.shun(&id);
                    // Not connected any more is as good.
                    let _ = self.swarm.disconnect_peer_id(id);
                }
                self.tell(Event::Misbehaved { peer, member, address, why: what, banned });
            }
            Output::Close(link) => self.swarm.behaviour_mut().pieces.close(link),
        }
    }

    /// A connected peer did something wrong outside of the exchange.
    pub(crate) fn offend(&mut self, id: &libp2p::PeerId, what: Misbehaviour) {
        if let Some(peer) = self.peers.get(id).map(|peer| peer.key) {
            self.exchange.handle(now(), Input::Offence { peer, what });
        }
    }

    fn read(&mut self, Read { read, object, offset, len }: Read) {
        let (sender, answer) = oneshot::channel();
        let reply = ServeReply(sender);
        self.reads.push(Box::pin(async move { (read, answer.await.ok().flatten()) }));
        self.tell(Event::Serve { object, offset, len, reply });
    }

    pub(crate) fn begin_fetch(
        &mut self,
        wanted: Vec<(ContentId, crate::block::ObjectSize)>,
        sender: mpsc::Sender<Delivery>,
    ) -> u64 {
        let number = self.number();
        let fetch = FetchId(number);
        self.fetches.insert(fetch, Outlet::new(sender));
        self.exchange.handle(now(), Input::Fetch { fetch, wanted });
        number
    }

    pub(crate) fn cancel_fetch(&mut self, fetch: FetchId) {
        if let Some(outlet) = self.fetches.remove(&fetch) {
            self.undelivered -= outlet.queue.iter().map(bytes_of).sum::<usize>();
            self.exchange.handle(now(), Input::Cancel(fetch));
        }
    }

    fn push(&mut self, fetch: FetchId, delivery: Delivery) {
        if let Some(outlet) = self.fetches.get_mut(&fetch) {
            self.undelivered += bytes_of(&delivery);
            outlet.push(delivery);
        }
    }

    /// Hands over what the program has room for.
    pub(crate) fn deliver(&mut self) {
        let mut ended = Vec::new();
        for (fetch, outlet) in &mut self.fetches {
            while let Some(delivery) = outlet.queue.pop_front() {
                let bytes = bytes_of(&delivery);
                match outlet.sender.try_send(delivery) {
                    Ok(()) => self.undelivered -= bytes,
                    Err(mpsc::error::TrySendError::Full(delivery)) => {
                        outlet.queue.push_front(delivery);
                        break;
                    }
                    Err(mpsc::error::TrySendError::Closed(delivery)) => {
                        outlet.queue.push_front(delivery);
                        ended.push(*fetch);
                        break;
                    }
                }
            }
            if outlet.finished && outlet.queue.is_empty() {
                ended.push(*fetch);
            }
        }
        ended.into_iter().for_each(|fetch| self.cancel_fetch(fetch));
    }
}
