//! What the program tells the swarm to do.

use libp2p::gossipsub::{MessageAcceptance, PublishError};
use tokio::sync::oneshot;

use crate::address::relay;
use crate::allowance::{Allowance, Rates};
use crate::ask::{Question, Topic};
use crate::courtesy::Passed;
use crate::driver::behaviour::announcements;
use crate::driver::{Answer, Driver, meet, now};
use crate::event::AnnouncementId;
use crate::exchange::Input;
use crate::fetches::FetchId;
use crate::gate::{peer_id, public_key};
use crate::handle::{AskError, Command, ObjectProgress, Pacing, PeerInfo, Verdict};
use crate::standing::Misbehaviour;
use manifest::admission::credential::Role;
use manifest::key::PublicKey;

impl Driver {
    pub(crate) fn on_command(&mut self, command: Command) {
        match command {
            Command::Publish(bytes) => self.publish(bytes),
            Command::Verdict(id, verdict) => self.judge(id, verdict),
            Command::Ask { peer, topic, request, answer } => {
                self.ask(peer, topic, request, answer);
            }
            Command::Doubt(peer) => {
                if let Ok(id) = peer_id(&peer) {
                    self.offend(&id, Misbehaviour::FalseAnswer);
                }
            }
            Command::Hold(objects) => self.exchange.handle(now(), Input::Hold(objects)),
            Command::Withdraw(ids) => self.exchange.handle(now(), Input::Withdraw(ids)),
            Command::Fetch { wanted, deliveries, number } => {
                // Who asked and has gone finds nobody to deliver to later.
                let _ = number.send(self.begin_fetch(wanted, deliveries));
            }
            Command::Cancel(number) => self.cancel_fetch(FetchId(number)),
            Command::Provide(bytes) => self.exchange.handle(now(), Input::Provide(bytes)),
            Command::KeepParts(ids) => self.exchange.handle(now(), Input::KeepParts(ids)),
            Command::SetTrust(trust, guide) => {
                self.gate.set_trust(trust);
                self.gate.set_guide(guide);
                self.let_the_fallen_go();
                self.book.hurry(now());
            }
            Command::SetChain(chain) => {
                self.gate.set_chain(chain);
                self.book.hurry(now());
            }
            Command::Peers(answer) => _ = answer.send(self.peer_infos()),
            Command::Progress(answer) => {
                let progress = self.exchange.progress().map(|(id, size, blocks)| ObjectProgress {
                    id,
                    len: size.bytes().into(),
                    blocks,
                });
                let _ = answer.send(progress.collect());
            }
            Command::Limit(limits) => {
                self.limits = limits;
                self.allow();
            }
            Command::Line(reading, pacing) => {
                if let Some(reading) = reading {
                    let before = self.courtesy.yields();
                    self.courtesy.observe(reading);
                    if self.courtesy.yields() != before {
                        let others = self.courtesy.others();
                        tracing::debug!(yields = !before, ?others, "others use the line");
                    }
                    self.allow();
                }
                let _ = pacing.send(self.pacing());
            }
            Command::Dial(address) => match meet::parse(&address) {
                Ok(address) => self.learn_given(&address),
                Err(error) => tracing::warn!("{error}"),
            },
            Command::ListenAddresses(answer) => {
                let own = *self.swarm.local_peer_id();
                let all = self.listening.iter().map(|a| format!("{a}/p2p/{own}"));
                let _ = answer.send(all.collect());
            }
        }
    }

    /// Announces something; if nobody hears it, then to the first who comes.
    pub(crate) fn publish(&mut self, bytes: Vec<u8>) {
        let topic = announcements(&self.gate.trust().id());
        match self.swarm.behaviour_mut().gossip.publish(topic, bytes.clone()) {
            // What everybody has heard already needs no announcing.
            Ok(_) | Err(PublishError::Duplicate) => {
                self.unheard = None;
                self.swarm.behaviour_mut().pieces.wake();
            }
            Err(error) => {
                tracing::debug!("an announcement waits: {error}");
                self.unheard = Some(bytes);
            }
        }
    }

    fn judge(&mut self, AnnouncementId(id): AnnouncementId, verdict: Verdict) {
        let Some((message, from)) = self.unjudged.remove(&id) else { return };
        let acceptance = match verdict {
            Verdict::Accept => MessageAcceptance::Accept,
            Verdict::Reject => MessageAcceptance::Reject,
            Verdict::Ignore => MessageAcceptance::Ignore,
        };
        let gossip = &mut self.swarm.behaviour_mut().gossip;
        gossip.report_message_validation_result(&message, &from, acceptance);
        match verdict {
            Verdict::Reject => self.offend(&from, Misbehaviour::FalseAnnouncement),
            Verdict::Ignore => self.in_vain(from),
            Verdict::Accept => self.swarm.behaviour_mut().pieces.wake(),
        }
    }

    fn ask(
        &mut self,
        key: PublicKey,
        topic: Topic,
        request: Vec<u8>,
        answer: oneshot::Sender<Answer>,
    ) {
        let connected = peer_id(&key).ok().filter(|id| self.peers.contains_key(id));
        let Some(id) = connected else {
            let _ = answer.send(Err(AskError::NotConnected(key)));
            return;
        };
        let number =
            self.swarm.behaviour_mut().topic(topic).send_request(&id, Question::Whole(request));
        self.asks.insert((topic, number), (key, answer));
    }

    /// Keeps to the limits, and to what courtesy leaves of them.
    pub(crate) fn allow(&mut self) {
        self.exchange.handle(now(), Input::Allow(self.allowance()));
    }

    fn allowance(&self) -> Allowance {
        let Allowance { all, far } = self.limits;
        Allowance { all: all.and(self.courtesy.rates()), far }
    }

    fn pacing(&self) -> Pacing {
        let (received, sent) = self.exchange.accounts().pace_of_all(now());
        Pacing {
            allowance: self.allowance(),
            pace: Passed { received, sent },
            yields: self.courtesy.yields(),
            held_back: self.courtesy.rates() != Rates::default(),
            others: self.courtesy.others(),
        }
    }

    fn peer_infos(&self) -> Vec<PeerInfo> {
        let connected = self.peers.iter().map(|(id, peer)| {
            let account = self.exchange.accounts().of(&peer.key);
            let (received, sent) = self.exchange.accounts().pace(now(), &peer.key);
            let dialled = peer.links.values().filter(|link| link.dialled);
            let mut addresses: Vec<_> = dialled.map(|link| link.address.clone()).collect();
            addresses.extend_from_slice(self.book.addresses(id));
            PeerInfo {
                key: peer.key,
                member: Some(peer.member.clone()),
                addresses: meet::with_peer(&addresses, id),
                is_origin: peer.member.has(Role::Seeder),
                is_relayed: peer.links.values().all(|link| relay(&link.address).is_some()),
                bytes_in: account.bytes_in,
                bytes_out: account.bytes_out,
                pace: Passed { received, sent },
                is_near: peer.links.values().any(|link| link.near),
            }
        });
        let absent = self.book.absent().filter_map(|(id, addresses)| {
            let key = public_key(&id)?;
            let account = self.exchange.accounts().of(&key);
            Some(PeerInfo {
                key,
                member: None,
                addresses: meet::with_peer(addresses, &id),
                is_origin: false,
                is_relayed: false,
                bytes_in: account.bytes_in,
                bytes_out: account.bytes_out,
                pace: Passed::default(),
                is_near: false,
            })
        });
        connected.chain(absent).collect()
    }
}
