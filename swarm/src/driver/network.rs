//! What happens on the network.

use std::error::Error;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use libp2p::gossipsub::{self, MessageAcceptance, MessageId};
use libp2p::request_response::{self, Message, OutboundFailure, ResponseChannel};
use libp2p::swarm::{DialError, SwarmEvent};
use libp2p::{Multiaddr, PeerId};
use manifest::admission::credential::Role;
use tokio::sync::oneshot;

use crate::address::{self, are_near};
use crate::ask::{Question, Topic};
use crate::crowd::Why;
use crate::driver::behaviour::BehaviourEvent;
use crate::driver::door::Displaced;
use crate::driver::lane::LaneError;
use crate::driver::{ALL_KNOWN, Driver, LinkInfo, Peer, now, pieces};
use crate::event::{AnnouncementId, Event, Reply};
use crate::exchange::Input;
use crate::gate::AdmissionError;
use crate::handle::AskError;
use crate::limits::{
    MAX_UNJUDGED, MAX_UNJUDGED_FROM_ONE, QUESTIONS_FROM_ONE, UNFINISHED_FROM_ONE,
    VAIN_ANNOUNCEMENTS_FROM_ONE,
};
use crate::link::LinkId;
use crate::standing::Misbehaviour;
use crate::tally::Deed;

/// Two that dial each other at the same time do so within this.
const CROSSING: Duration = Duration::from_secs(10);

/// What one question or answer brought.
type Asked = request_response::Event<Question, Option<Vec<u8>>>;

/// The reason at the bottom of an error: admission's own word if there is one.
pub(crate) fn reason(error: &(dyn Error + 'static)) -> String {
    let own = layers(error).find(|layer| layer.is::<AdmissionError>());
    own.or_else(|| layers(error).last()).map_or_else(String::new, ToString::to_string)
}

/// An error and those within it, the outermost first.
fn layers<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> + 'a {
    std::iter::successors(Some(error), |outer: &&'a (dyn Error + 'static)| {
        let outer: &'a (dyn Error + 'static) = *outer;
        // An `io::Error` hides the error within from `source`.
        let within = outer.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        within.map(|e| e as &(dyn Error + 'static)).or_else(|| outer.source())
    })
}

/// Whether somebody came only to see whether we are here.
fn is_knock(error: &(dyn Error + 'static)) -> bool {
    let admission = layers(error).find_map(|layer| layer.downcast_ref::<AdmissionError>());
    matches!(admission, Some(AdmissionError::Knock))
}

/// Whether somebody who came did what no member does. A connection that broke,
/// or to which the other side does not admit us, is no such thing.
fn is_fault(error: &(dyn Error + 'static)) -> bool {
    let broke = |kind| {
        use io::ErrorKind::{
            BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof,
        };
        matches!(
            kind,
            BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected | UnexpectedEof
        )
    };
    !layers(error).any(|layer| {
        let admission = layer.downcast_ref::<AdmissionError>();
        matches!(admission, Some(AdmissionError::RefusedByThem { .. } | AdmissionError::Knock))
            || layer.downcast_ref::<io::Error>().is_some_and(|error| broke(error.kind()))
    })
}

/// Where a dial failed, and why.
fn dial_reason(error: &DialError) -> (String, String) {
    match error {
        DialError::Transport(attempts) => {
            // A refusal says more than a closed port.
            let mut attempts: Vec<_> =
                attempts.iter().map(|(at, error)| (at.to_string(), reason(error))).collect();
            attempts.sort_by_key(|(_, why)| !why.contains("refuse"));
            attempts.into_iter().next().unwrap_or_default()
        }
        DialError::LocalPeerId { address } => (address.to_string(), "that is ourselves".into()),
        DialError::WrongPeerId { obtained, address } => {
            (address.to_string(), format!("{obtained} is there instead"))
        }
        other => (String::new(), reason(other)),
    }
}

impl Driver {
    pub(crate) fn on_swarm(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(event) => self.on_behaviour(event),
            SwarmEvent::IncomingConnection { send_back_addr, .. } => {
                self.odometer.handshake(&send_back_addr);
            }
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
                if endpoint.is_dialer() {
                    self.odometer.handshake(endpoint.get_remote_address());
                }
                self.reaching.punching.remove(&connection_id);
                if let Some(dial) = self.dials.remove(&connection_id) {
                    self.book.reached(dial, peer_id);
                }
            }
            SwarmEvent::OutgoingConnectionError { connection_id, .. }
                if self.reaching.punching.remove(&connection_id) => {}
            SwarmEvent::OutgoingConnectionError { connection_id, error, .. } => {
                if let DialError::Transport(tried) = &error {
                    tried.iter().for_each(|(at, _)| self.odometer.handshake(at));
                }
                let ourselves = matches!(error, DialError::LocalPeerId { .. });
                if let Some(dial) = self.dials.remove(&connection_id) {
                    self.book.failed(now(), dial, ourselves);
                }
                if !ourselves {
                    let (address, why) = dial_reason(&error);
                    self.refused(Event::Refused {
                        address,
                        dialled: true,
                        peer: None,
                        why,
                        fault: false,
                    });
                }
            }
            SwarmEvent::IncomingConnectionError { send_back_addr, error, peer_id, .. } => {
                // Who only knocks has done what it wanted.
                if is_knock(&error) {
                    return;
                }
                let (why, fault) = (reason(&error), is_fault(&error));
                let peer = peer_id.as_ref().and_then(crate::gate::public_key);
                let address = send_back_addr.to_string();
                self.refused(Event::Refused { address, dialled: false, peer, why, fault });
            }
            SwarmEvent::NewListenAddr { address, .. } => {
                tracing::info!(%address, "listening");
                self.listening.push(address);
                self.reach_listens();
                self.announce_at.get_or_insert(now() + ALL_KNOWN);
            }
            SwarmEvent::ExpiredListenAddr { address, .. } => {
                self.listening.retain(|other| *other != address);
                self.reach_listens();
            }
            _ => {}
        }
    }

    fn refused(&mut self, refused: Event) {
        // Nobody needs a thousand of these.
        if !self.is_behind() {
            self.tell(refused);
        }
    }

    fn on_behaviour(&mut self, event: BehaviourEvent) {
        match event {
            BehaviourEvent::Door(Displaced { peer, why: Why::Ticket(taken) }) => {
                self.let_go(peer, taken.to_string());
            }
            BehaviourEvent::Door(Displaced { peer, why: Why::Guest }) => {
                tracing::debug!(%peer, "a guest makes room for another");
                // Not connected any more is as good.
                let _ = self.swarm.disconnect_peer_id(peer);
            }
            BehaviourEvent::Pieces(event) => self.on_pieces(event),
            BehaviourEvent::Streams(event) => self.on_streams(event),
            BehaviourEvent::Gossip(event) => self.on_gossip(event),
            BehaviourEvent::Metadata(event) => self.on_asked(Topic::Metadata, event),
            BehaviourEvent::Log(event) => self.on_asked(Topic::Log, event),
            BehaviourEvent::Peers(event) => self.on_asked(Topic::Peers, event),
            BehaviourEvent::Reach(event) => self.on_asked(Topic::Reach, event),
        }
    }

    fn on_pieces(&mut self, event: pieces::Event) {
        match event {
            pieces::Event::Joined { link, peer, dialled, address } => {
                self.joined(link, peer, dialled, address);
            }
            pieces::Event::Left(link) => self.left(link),
            pieces::Event::Frame(link, frame) => {
                self.exchange.handle(now(), Input::Frame { link, frame });
            }
            pieces::Event::Written(link, lane, frames) => {
                self.exchange.handle(now(), Input::Written { link, lane, frames });
            }
            pieces::Event::Ended(link, error) => {
                tracing::debug!(?link, "{}", reason(&error));
                let peer = self.links.get(&link).copied();
                let fault =
                    matches!(error, LaneError::Frame(_) | LaneError::Twice(_) | LaneError::Slow(_));
                if let (true, Some(peer)) = (fault, peer) {
                    self.offend(&peer, Misbehaviour::Protocol(error.to_string()));
                }
                self.swarm.behaviour_mut().pieces.close(link);
            }
        }
    }

    fn joined(&mut self, link: LinkId, id: PeerId, dialled: bool, address: Multiaddr) {
        let key = crate::gate::public_key(&id);
        let (Some(member), Some(key)) = (self.gate.member(&id), key) else {
            // The door lets nobody through whom the gate does not know.
            self.swarm.behaviour_mut().pieces.close(link);
            return;
        };
        let now = now();
        self.links.insert(link, id);
        let origin = member.has(Role::Seeder);
        let new = !self.peers.contains_key(&id);
        if new {
            let links = std::collections::BTreeMap::new();
            let peer = Peer { key, member: member.clone(), links };
            self.peers.insert(id, peer);
            self.book.joined(now, id);
            self.acquaintance.joined(now, id, member.has(Role::Auditor));
        }
        let relayed = address::relay(&address).is_some();
        let near = self.listening.iter().any(|own| are_near(own, &address));
        self.book.met(id, &address::without_peer(&address).0);
        let peer = self.peers.get_mut(&id).expect("it was just put there");
        peer.member = member.clone();
        peer.links.insert(link, LinkInfo { dialled, address, since: now, near });
        self.exchange.handle(now, Input::Joined { link, peer: key, origin, near, relayed });
        self.reach_joined(now, id, link, near);
        self.keep_to_credentials(now);
        if new {
            self.tell(Event::Admitted { peer: key, member });
        } else {
            self.close_superfluous(&id, link);
        }
    }

    /// Of several connections to one peer both sides keep the same one: the
    /// oldest of those that the peer with the smaller id dialled, if any. Who
    /// dials anew, though, has lost what it had before.
    fn close_superfluous(&mut self, id: &PeerId, new: LinkId) {
        let we_dial = self.swarm.local_peer_id() < id;
        let Some(peer) = self.peers.get(id) else { return };
        let Some(newest) = peer.links.get(&new) else { return };
        // A circuit beside a direct connection is `reach::punch`'s to close.
        let relayed = |link: &LinkInfo| address::relay(&link.address).is_some();
        let links = || peer.links.iter().filter(|(_, link)| relayed(link) == relayed(newest));
        let dead = links().filter(|(_, link)| {
            !newest.dialled && newest.since.saturating_duration_since(link.since) > CROSSING
        });
        let dead: Vec<LinkId> = dead.map(|(link, _)| *link).collect();
        if !dead.is_empty() {
            dead.into_iter().for_each(|link| self.swarm.behaviour_mut().pieces.close(link));
            return;
        }
        let proper = |link: &&LinkInfo| link.dialled == we_dial;
        let extra: Vec<LinkId> = if links().any(|(_, link)| proper(&link)) {
            let wrong = links().filter(|(_, link)| !proper(link));
            let again = links().filter(|(_, link)| proper(link) && we_dial).skip(1);
            wrong.chain(again).map(|(link, _)| *link).collect()
        } else {
            let ours = links().filter(|(_, link)| link.dialled).skip(1);
            ours.map(|(link, _)| *link).collect()
        };
        extra.into_iter().for_each(|link| self.swarm.behaviour_mut().pieces.close(link));
    }

    fn left(&mut self, link: LinkId) {
        self.exchange.handle(now(), Input::Left(link));
        let Some(id) = self.links.remove(&link) else { return };
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.links.remove(&link);
        let gone = peer.links.is_empty().then_some(peer.key);
        self.reach_left(now(), &id, link);
        if let Some(key) = gone {
            self.peers.remove(&id);
            self.book.left(now(), &id);
            self.acquaintance.left(now(), &id);
            self.tell(Event::Gone { peer: key });
        }
    }

    fn on_gossip(&mut self, event: gossipsub::Event) {
        match event {
            gossipsub::Event::Message { propagation_source, message_id, message } => {
                let from = self.peers.get(&propagation_source).map(|peer| peer.key);
                let (Some(from), false) = (from, self.is_behind()) else {
                    self.ignore(&message_id, &propagation_source);
                    self.in_vain(propagation_source);
                    return;
                };
                let waiting = self.unjudged.values().filter(|(_, of)| *of == propagation_source);
                if waiting.count() >= MAX_UNJUDGED_FROM_ONE {
                    self.ignore(&message_id, &propagation_source);
                    self.in_vain(propagation_source);
                    return;
                }
                // A verdict that does not come makes room for newer ones.
                if self.unjudged.len() >= MAX_UNJUDGED
                    && let Some((_, (message, from))) = self.unjudged.pop_first()
                {
                    self.ignore(&message, &from);
                }
                let number = self.number();
                self.unjudged.insert(number, (message_id, propagation_source));
                let (id, bytes) = (AnnouncementId(number), Bytes::from(message.data));
                self.tell(Event::Announcement { id, from, bytes });
            }
            gossipsub::Event::Subscribed { .. } => {
                if let Some(bytes) = self.unheard.take() {
                    self.publish(bytes);
                }
            }
            _ => {}
        }
    }

    /// A peer passed on an announcement that was no news. Many do when they all
    /// hear of something; nobody hears so much.
    pub(crate) fn in_vain(&mut self, from: PeerId) {
        let count = self.tally.note(now(), from, Deed::Announcement);
        if count > VAIN_ANNOUNCEMENTS_FROM_ONE {
            self.offend(&from, Misbehaviour::Flood("too many announcements"));
        }
    }

    fn ignore(&mut self, message: &MessageId, from: &PeerId) {
        let gossip = &mut self.swarm.behaviour_mut().gossip;
        gossip.report_message_validation_result(message, from, MessageAcceptance::Ignore);
    }

    fn on_asked(&mut self, topic: Topic, event: Asked) {
        match event {
            Asked::Message { peer, message, .. } => match message {
                Message::Request { request, channel, .. } => {
                    self.on_question(topic, peer, request, channel);
                }
                Message::Response { request_id, response } if topic == Topic::Reach => {
                    self.on_reach_answer(request_id, response);
                }
                Message::Response { request_id, response } => {
                    if let (Topic::Peers, Some(list)) = (topic, &response) {
                        let _ = self.on_peers_told(&peer, list);
                    }
                    if let Some((key, answer)) = self.asks.remove(&(topic, request_id)) {
                        // Who asked may not care any more.
                        let _ = answer.send(response.ok_or(AskError::Refused(key)));
                    }
                }
            },
            Asked::OutboundFailure { request_id, .. } if topic == Topic::Reach => {
                self.on_reach_answer(request_id, None);
            }
            Asked::OutboundFailure { peer, request_id, error, .. } => {
                if let Some((peer, answer)) = self.asks.remove(&(topic, request_id)) {
                    let why = reason(&error);
                    let _ = answer.send(Err(AskError::Failed { peer, why }));
                }
                if matches!((topic, error), (Topic::Peers, OutboundFailure::Timeout)) {
                    // Every peer answers this at once; this one is not there.
                    let _ = self.swarm.disconnect_peer_id(peer);
                }
            }
            Asked::InboundFailure { .. } | Asked::ResponseSent { .. } => {}
        }
    }

    fn on_question(
        &mut self,
        topic: Topic,
        id: PeerId,
        question: Question,
        channel: ResponseChannel<Option<Vec<u8>>>,
    ) {
        if self.tally.note(now(), id, Deed::Question) > QUESTIONS_FROM_ONE {
            self.offend(&id, Misbehaviour::Flood("too many questions"));
            return;
        }
        let request = match question {
            Question::Whole(request) => request,
            Question::TooLong => {
                let longest = topic.longest_question();
                let what = format!("a question of more than the {longest} bytes that are allowed");
                self.offend(&id, Misbehaviour::Protocol(what));
                return;
            }
            Question::Unfinished => {
                if self.tally.note(now(), id, Deed::Unfinished) > UNFINISHED_FROM_ONE {
                    self.offend(&id, Misbehaviour::Flood("questions that do not end"));
                }
                return;
            }
        };
        if topic == Topic::Reach {
            self.on_reach_question(id, &request, channel);
            return;
        }
        if topic == Topic::Peers {
            let answer = self.on_peers_asked(&id, &request);
            let behaviour = self.swarm.behaviour_mut().topic(topic);
            let _ = behaviour.send_response(channel, Some(answer));
            return;
        }
        let asker = self.peers.get(&id).map(|peer| (peer.key, peer.member.clone()));
        let may = |member: &manifest::admission::chain::Member| {
            topic != Topic::Log || member.has(Role::Auditor)
        };
        match asker {
            Some((peer, member)) if may(&member) && !self.is_behind() => {
                let (sender, answer) = oneshot::channel();
                self.replies.push(Box::pin(async move { (topic, channel, answer.await.ok()) }));
                let reply = Reply(sender);
                self.tell(Event::Asked { peer, member, topic, request, reply });
            }
            _ => {
                let behaviour = self.swarm.behaviour_mut().topic(topic);
                let _ = behaviour.send_response(channel, None);
            }
        }
    }
}
