//! Being reached, and reaching: acts on what the machines of `reach` decide.

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use libp2p::request_response::{OutboundRequestId, ResponseChannel};
use libp2p::swarm::ConnectionId;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::{Multiaddr, PeerId, Stream};
use manifest::admission::credential::Role as Credential;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::address;
use crate::ask::{self, Topic};
use crate::circuit::{Arrival, Switchboard, Wish};
use crate::driver::splice::{self, End, Passage};
use crate::driver::streams::{self, Purpose};
use crate::driver::{Driver, now};
use crate::exchange;
use crate::limits::{
    CIRCUIT_ASKS, CIRCUIT_FLOOD, CIRCUITS_AT_MEMBER, CIRCUITS_AT_ORIGIN, MAX_ADDRESSES,
    MAX_CIRCUITS_PENDING, RELAY_WINDOW, RELAYED_BYTES_AT_MEMBER, RELAYED_BYTES_AT_ORIGIN,
    RESERVATIONS_AT_MEMBER, RESERVATIONS_AT_ORIGIN,
};
use crate::link::LinkId;
use crate::options::{Options, Role};
use crate::reach::examiner::Examiner;
use crate::reach::message::{
    Findings, Ports, Question, Refusal, Spot, Way, decode_findings, decode_reservation,
    decode_spots, encode_findings, encode_reservation, encode_spots,
};
use crate::reach::punch::{self, Punch};
use crate::reach::relay::{Quotas, Relay};
use crate::reach::shelter::{self, Shelter};
use crate::standing::Misbehaviour;
use crate::tally::{Deed, Tally};
use crate::transport::knock;

/// When others relay through us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Willing {
    Always,
    /// Once somebody far away has dialled us.
    IfReached,
    Never,
}

/// What a question was about.
#[derive(Debug, Clone, Copy)]
enum About {
    Examine,
    Reserve,
    Meet,
    Now,
}

/// What was said on a stream of a circuit.
#[derive(Debug)]
pub(crate) enum Heard {
    /// A member wants a circuit to another.
    Wanted { from: PeerId, to: PeerId, stream: Stream },
    /// A circuit came, through a relay.
    Came(Arrival),
    /// Nothing that matters.
    Nothing,
}

/// The machines, and what is under way.
pub(crate) struct Reaching {
    pub(crate) shelter: Shelter,
    pub(crate) punch: Punch,
    relay: Relay,
    examiner: Examiner,
    willing: Willing,
    /// Whether we look for relays ourselves.
    seeks: bool,
    pub(crate) board: Switchboard,
    /// Streams on which somebody is still expected to say what for.
    pub(crate) hearing: JoinSet<Heard>,
    /// Circuits being led, carried and ended; bounded by the relay's quotas.
    pub(crate) carrying: JoinSet<()>,
    ended: mpsc::UnboundedSender<End>,
    pub(crate) ends: mpsc::UnboundedReceiver<End>,
    questions: HashMap<OutboundRequestId, (PeerId, About)>,
    /// Circuits that we asked of each relay.
    wishes: Tally,
    /// Dials that open networks; that they fail is no news.
    pub(crate) punching: HashSet<ConnectionId>,
    /// What others were last told of where we are.
    told: Vec<Multiaddr>,
}

impl Reaching {
    pub(crate) fn new(now: Instant, options: &Options, board: Switchboard) -> Self {
        let origin = options.role == Role::Origin;
        let quotas = if origin {
            Quotas {
                reservations: RESERVATIONS_AT_ORIGIN,
                circuits: CIRCUITS_AT_ORIGIN,
                bytes: RELAYED_BYTES_AT_ORIGIN,
            }
        } else {
            Quotas {
                reservations: RESERVATIONS_AT_MEMBER,
                circuits: CIRCUITS_AT_MEMBER,
                bytes: RELAYED_BYTES_AT_MEMBER,
            }
        };
        // Whoever shares nothing relays nothing either.
        let all = options.upload_bytes_per_second;
        let shares_nothing = [all, options.far.up].contains(&Some(0));
        let willing = match options.role {
            _ if !options.relay || shares_nothing => Willing::Never,
            Role::Origin => Willing::Always,
            Role::Peer => Willing::IfReached,
            Role::Auditor => Willing::Never,
        };
        let mut relay = Relay::new(now, quotas);
        relay.set_willing(willing == Willing::Always);
        let (ended, ends) = mpsc::unbounded_channel();
        let mut shelter = Shelter::default();
        if options.listen.is_empty() {
            shelter.listens(now, Ports::default());
        }
        Self {
            shelter,
            punch: Punch::default(),
            relay,
            examiner: Examiner::default(),
            willing,
            // An auditor seeks everybody, and is sought by nobody.
            seeks: options.role != Role::Auditor,
            board,
            hearing: JoinSet::new(),
            carrying: JoinSet::new(),
            ended,
            ends,
            questions: HashMap::new(),
            wishes: Tally::new(now, RELAY_WINDOW),
            punching: HashSet::new(),
            told: Vec::new(),
        }
    }
}

impl Driver {
    /// Does what the machines of reaching ask for; when to look again.
    pub(crate) fn reach(&mut self, now: Instant) -> Option<Instant> {
        if self.reaching.seeks {
            while let Some(step) = self.reaching.shelter.poll(now) {
                match step {
                    shelter::Step::Examine(peer, ports) => {
                        self.question(peer, &Question::Examine(ports), About::Examine);
                    }
                    shelter::Step::Reserve(peer) => {
                        self.question(peer, &Question::Reserve, About::Reserve);
                    }
                }
            }
        }
        while let Some(step) = self.reaching.punch.poll(now) {
            match step {
                punch::Step::Meet(peer) => {
                    let spots = self.own_spots();
                    if spots.is_empty() {
                        self.reaching.punch.answered(now, &peer, None);
                        continue;
                    }
                    self.question(peer, &Question::Meet(spots), About::Meet);
                }
                punch::Step::Now(peer, way) => {
                    self.question(peer, &Question::Now(way), About::Now);
                }
                punch::Step::Dial { peer, spots, answering } => self.punch(peer, &spots, answering),
                punch::Step::Close(link) => self.swarm.behaviour_mut().pieces.close(link),
            }
        }
        let seeking = self.reaching.shelter.next_deadline().filter(|_| self.reaching.seeks);
        seeking.into_iter().chain(self.reaching.punch.next_deadline()).min()
    }

    fn question(&mut self, peer: PeerId, question: &Question, about: About) {
        let behaviour = self.swarm.behaviour_mut().topic(Topic::Reach);
        let number = behaviour.send_request(&peer, ask::Question::Whole(question.encode()));
        self.reaching.questions.insert(number, (peer, about));
    }

    /// Dials through both networks.
    fn punch(&mut self, peer: PeerId, spots: &[Spot], answering: bool) {
        let addresses = spots.iter().map(Spot::address).collect();
        let how = DialOpts::peer_id(peer).condition(PeerCondition::Always).addresses(addresses);
        let how = if answering { how.override_role() } else { how }.build();
        let connection = how.connection_id();
        self.reaching.punching.insert(connection);
        if let Err(error) = self.swarm.dial(how) {
            tracing::debug!(%peer, "not dialled: {error}");
            self.reaching.punching.remove(&connection);
        }
    }

    /// Where we might be met by one who dials at the same moment as we do.
    fn own_spots(&self) -> Vec<Spot> {
        let shelter = &self.reaching.shelter;
        let mut spots = shelter.behind();
        spots.extend(self.listening.iter().filter(|a| !address::is_local(a)).filter_map(Spot::of));
        spots.dedup();
        spots.truncate(MAX_ADDRESSES);
        spots
    }

    /// An answer to a question of ours, or that there is none.
    pub(crate) fn on_reach_answer(&mut self, number: OutboundRequestId, answer: Option<Vec<u8>>) {
        let Some((peer, about)) = self.reaching.questions.remove(&number) else { return };
        let (now, reaching) = (now(), &mut self.reaching);
        match about {
            About::Examine => {
                let findings = answer.as_deref().and_then(decode_findings);
                tracing::debug!(%peer, ?findings, "asked whether we can be dialled");
                reaching.shelter.examined(now, &peer, findings);
            }
            About::Reserve => {
                let reservation = answer.as_deref().and_then(decode_reservation);
                tracing::debug!(%peer, ?reservation, "asked for circuits");
                reaching.shelter.reserved(now, &peer, reservation);
            }
            About::Meet => {
                let spots = answer.as_deref().and_then(decode_spots);
                reaching.punch.answered(now, &peer, spots);
            }
            About::Now => {}
        }
        self.tell_where_we_are(now);
    }

    /// A question of a member's; nothing if the answer comes later.
    pub(crate) fn on_reach_question(
        &mut self,
        peer: PeerId,
        question: &[u8],
        channel: ResponseChannel<Option<Vec<u8>>>,
    ) {
        let now = now();
        let answer = match Question::decode(question) {
            Some(Question::Reserve) => Some(encode_reservation(self.reserve(now, peer))),
            Some(Question::Examine(ports)) => {
                if let Some(seen) = self.seen(&peer).filter(|_| self.allows(now, peer)) {
                    let key = self.keypair.clone();
                    let examined = async move {
                        let at = |way| {
                            let spot = ports
                                .of(way)
                                .map(|port| Spot { way, at: (seen.at.ip(), port).into() });
                            let key = &key;
                            async move {
                                match spot {
                                    Some(spot) => knock(key, spot, peer).await,
                                    None => false,
                                }
                            }
                        };
                        let (tcp, quic) = futures::join!(at(Way::Tcp), at(Way::Quic));
                        let answer = encode_findings(&Findings { seen, tcp, quic });
                        (Topic::Reach, channel, Some(answer))
                    };
                    self.replies.push(Box::pin(examined));
                    return;
                }
                None
            }
            Some(Question::Meet(spots)) => {
                let may = self.reaching.punch.asked(now, &peer, spots);
                may.then(|| encode_spots(&self.own_spots()))
            }
            Some(Question::Now(way)) => {
                self.reaching.punch.told_now(now, &peer, way);
                Some(Vec::new())
            }
            None => None,
        };
        let behaviour = self.swarm.behaviour_mut().topic(Topic::Reach);
        let _ = behaviour.send_response(channel, answer);
    }

    fn allows(&mut self, now: Instant, peer: PeerId) -> bool {
        self.reaching.examiner.allows(now, peer)
    }

    fn reserve(&mut self, now: Instant, peer: PeerId) -> Result<std::time::Duration, Refusal> {
        // Only who is there itself can be led to.
        self.directly(&peer).next().ok_or(Refusal::Nobody)?;
        self.reaching.relay.reserve(now, peer)
    }

    /// The direct connections to a member.
    fn directly(&self, peer: &PeerId) -> impl Iterator<Item = &Multiaddr> + '_ {
        let links = self.peers.get(peer).into_iter().flat_map(|peer| peer.links.values());
        links.map(|link| &link.address).filter(|address| address::relay(address).is_none())
    }

    /// Where we see a member.
    fn seen(&self, peer: &PeerId) -> Option<Spot> {
        self.directly(peer).find_map(|at| Spot::of(&address::without_peer(at).0))
    }

    /// A connection to a member is there.
    pub(crate) fn reach_joined(&mut self, now: Instant, id: PeerId, link: LinkId, near: bool) {
        let Some(peer) = self.peers.get(&id) else { return };
        let Some(info) = peer.links.get(&link) else { return };
        let seeder = peer.member.has(Credential::Seeder);
        if address::relay(&info.address).is_some() {
            let leads = self.swarm.local_peer_id() > &id;
            self.reaching.punch.joined(now, link, id, leads);
            if self.directly(&id).next().is_some() {
                self.reaching.punch.connected(now, &id);
            }
        } else {
            self.reaching.shelter.met(now, id, seeder, near);
            self.reaching.punch.connected(now, &id);
        }
    }

    /// A connection to a member is gone.
    pub(crate) fn reach_left(&mut self, now: Instant, id: &PeerId, link: LinkId) {
        self.reaching.punch.left(link);
        if self.directly(id).next().is_none() {
            self.reaching.shelter.left(id);
            self.reaching.relay.left(id);
            self.tell_where_we_are(now);
        }
    }

    /// Where we listen has changed.
    pub(crate) fn reach_listens(&mut self) {
        let mut ports = Ports::default();
        for spot in self.listening.iter().filter_map(Spot::of) {
            match spot.way {
                Way::Tcp => ports.tcp = spot.at.port(),
                Way::Quic => ports.quic = spot.at.port(),
            }
        }
        self.reaching.shelter.listens(now(), ports);
    }

    /// Addresses of ours that mean something to a member: on our own local
    /// network all, elsewhere what leads to us from there.
    pub(crate) fn own_addresses(&self, local: bool) -> Vec<Multiaddr> {
        let shelter = &self.reaching.shelter;
        let hidden = shelter.is_hidden();
        let listening = self.listening.iter();
        let listening = listening.filter(|a| local || !(hidden || address::is_local(a))).cloned();
        let open = shelter.open().into_iter().map(|spot| spot.address());
        let open = open.filter(|address| local || !address::is_local(address));
        let circuits = shelter.relays().map(address::circuit);
        let mut all: Vec<Multiaddr> = Vec::new();
        // Circuits come early: of too many addresses the last are left out.
        for address in open.chain(circuits).chain(listening) {
            if !all.contains(&address) {
                all.push(address);
            }
        }
        all.truncate(MAX_ADDRESSES);
        all
    }

    /// Tells peers where we are if that has changed, and relays if we may.
    fn tell_where_we_are(&mut self, now: Instant) {
        if self.reaching.willing == Willing::IfReached {
            let reached = self.reaching.shelter.is_reached();
            self.reaching.relay.set_willing(reached);
        }
        let own = self.own_addresses(false);
        if own != self.reaching.told {
            tracing::info!(addresses = ?own, "where others far away can reach us");
            self.reaching.told = own;
            self.introduce_again(now);
        }
    }

    /// Something on the streams of circuits.
    pub(crate) fn on_streams(&mut self, event: streams::Event) {
        let reaching = &mut self.reaching;
        // Who comes when too many have not said yet what for, comes in vain.
        let crowded = reaching.hearing.len() >= MAX_CIRCUITS_PENDING;
        match event {
            streams::Event::Opened(Purpose::Ask(Wish { to, answer, .. }), stream) => {
                reaching.hearing.spawn(async move {
                    // Who dialled may have given up.
                    let _ = answer.send(splice::ask(stream, to).await);
                    Heard::Nothing
                });
            }
            streams::Event::Opened(Purpose::Offer(passage), stream) => {
                reaching.carrying.spawn(async move {
                    if let Err(error) = passage.lead(stream).await {
                        tracing::debug!("a circuit through us ends: {error}");
                    }
                });
            }
            streams::Event::Failed(Purpose::Ask(Wish { answer, .. })) => {
                let why = std::io::Error::other("the relay is not there");
                let _ = answer.send(Err(why));
            }
            streams::Event::Failed(Purpose::Offer(passage)) => {
                reaching.carrying.spawn(passage.fail());
            }
            streams::Event::Asked(from, _)
                if self.tally.note(now(), from, Deed::Circuit) > CIRCUIT_FLOOD =>
            {
                self.offend(&from, Misbehaviour::Flood("too many circuits asked for"));
            }
            streams::Event::Asked(..) | streams::Event::Offered(..) if crowded => {}
            streams::Event::Asked(from, stream) => {
                reaching.hearing.spawn(async move {
                    let asked = splice::asked(stream).await;
                    asked.map_or(Heard::Nothing, |(to, stream)| Heard::Wanted { from, to, stream })
                });
            }
            streams::Event::Offered(relay, stream) => {
                // Who holds no reservation there is offered nothing.
                if reaching.shelter.relays().any(|held| held == relay) {
                    reaching.hearing.spawn(async move {
                        let taken = splice::take(stream).await;
                        taken.map_or(Heard::Nothing, |(from, stream)| {
                            Heard::Came(Arrival { relay, from, stream })
                        })
                    });
                }
            }
        }
    }

    /// We want a circuit. What the relay would refuse anyway it is not asked.
    pub(crate) fn on_wish(&mut self, wish: Wish) {
        if self.reaching.wishes.note(now(), wish.relay, Deed::Circuit) > CIRCUIT_ASKS {
            // Who dialled may have given up.
            let _ = wish.answer.send(Err(std::io::Error::other(Refusal::Spent)));
            return;
        }
        self.swarm.behaviour_mut().streams.open(wish.relay, Purpose::Ask(wish));
    }

    pub(crate) fn on_heard(&mut self, heard: Heard) {
        match heard {
            Heard::Wanted { from, to, stream } => match self.reaching.relay.open(now(), from, to) {
                Ok(grant) => {
                    tracing::debug!(%from, %to, "a circuit leads through us");
                    let ended = self.reaching.ended.clone();
                    let passage = Passage::new(grant, from, stream, ended);
                    let offer = Purpose::Offer(Box::new(passage));
                    self.swarm.behaviour_mut().streams.open(to, offer);
                }
                Err(why) => {
                    tracing::debug!(%from, %to, "no circuit: {why}");
                    self.reaching.hearing.spawn(async move {
                        splice::refuse(stream, why).await;
                        Heard::Nothing
                    });
                }
            },
            // One too many is dropped, and ends.
            Heard::Came(arrival) => _ = self.reaching.board.arrivals.try_send(arrival),
            Heard::Nothing => {}
        }
    }

    /// A circuit through us has ended.
    pub(crate) fn on_circuit_end(&mut self, (circuit, carried): End) {
        self.reaching.relay.ended(circuit, carried);
        self.exchange.handle(now(), exchange::Input::Carried(carried));
    }
}
