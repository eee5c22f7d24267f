//! The driver: sockets, clocks and tasks around the machines.
//!
//! One loop: something happens, the machines are told, and each thing they ask
//! for becomes one call. Nothing is decided here that a machine could decide.

mod behaviour;
mod commands;
mod door;
mod handler;
mod lane;
mod meet;
mod network;
mod objects;
mod pieces;
mod reaching;
mod splice;
mod streams;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use futures::StreamExt;
use futures::future::{BoxFuture, select_all};
use futures::stream::FuturesUnordered;
use libp2p::core::upgrade::Version;
use libp2p::gossipsub::MessageId;
use libp2p::identity::Keypair;
use libp2p::request_response::{OutboundRequestId, ResponseChannel};
use libp2p::swarm::{ConnectionId, SwarmEvent};
use libp2p::{Multiaddr, PeerId, Swarm};
use manifest::admission::chain::Member;
use manifest::key::PublicKey;
use manifest::time::UnixTime;
use manifest::trust::bundle::Bundle;
use tokio::sync::{mpsc, oneshot};

use crate::acquaintance::Acquaintance;
use crate::address_book::{AddressBook, Dial, DialId};
use crate::allowance::Allowance;
use crate::ask::Topic;
use crate::circuit::{self, Wish};
use crate::courtesy::Courtesy;
use crate::dns_sd::DnsSd;
use crate::driver::behaviour::{Behaviour, BehaviourEvent};
use crate::driver::objects::Outlet;
use crate::driver::reaching::{Heard, Reaching};
use crate::driver::splice::End;
use crate::event::{Event, Events};
use crate::exchange::{self, Exchange};
use crate::fetches::FetchId;
use crate::gate::Gate;
use crate::handle::{AskError, Command, Handle};
use crate::limits::{
    ENOUGH_PEERS, ENOUGH_PEERS_OF_AUDITOR, MAX_EVENTS, MAX_PEERS, MAX_PEERS_OF_ORIGIN,
    MAX_UNDELIVERED_BYTES, TALLY_WINDOW,
};
use crate::link::LinkId;
use crate::odometer::Odometer;
use crate::options::{Options, Role, StartError};
use crate::serving::Manner;
use crate::shelf::ReadId;
use crate::tally::Tally;
use crate::transport;

/// Commands that wait for the driver.
const COMMANDS: usize = 64;
/// How often credentials, bans and the day are looked at.
const HOUSEKEEPING: Duration = Duration::from_secs(20);
/// Addresses to listen on become known one after another; each announcement is
/// heard by everybody on the local network, and answered by some.
const ALL_KNOWN: Duration = Duration::from_millis(250);
/// A connection that carries nothing at all any more is closed after so long;
/// `pieces/1` keeps those of admitted peers.
const IDLE: Duration = Duration::from_secs(60);
/// What the machines may ask for in a row before the network has its turn.
const OUTPUTS_AT_ONCE: usize = 512;

/// The monotonic clock, read here and nowhere else in the crate.
#[expect(clippy::disallowed_methods, reason = "the driver is where time comes from")]
fn now() -> Instant {
    Instant::now()
}

/// The wall clock, read here and nowhere else in the crate.
#[expect(clippy::disallowed_methods, reason = "the driver is where time comes from")]
fn unix_now() -> UnixTime {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    UnixTime::from_seconds(since.unwrap_or_default().as_secs())
}

/// Starts a node; it runs on the current tokio runtime until every handle is
/// dropped.
///
/// # Errors
/// [`StartError`]; nothing runs then.
pub fn start(options: Options) -> Result<(Handle, Events), StartError> {
    let runtime = tokio::runtime::Handle::try_current().map_err(|_| StartError::NoRuntime)?;
    let (commands, command_queue) = mpsc::channel(COMMANDS);
    let (events, event_queue) = mpsc::channel(MAX_EVENTS);
    let odometer = Arc::<Odometer>::default();
    let driver = Driver::new(options, command_queue, events, Arc::clone(&odometer))?;
    runtime.spawn(driver.run());
    Ok((Handle { commands, odometer }, Events(event_queue)))
}

/// One connection to a peer.
struct LinkInfo {
    dialled: bool,
    address: Multiaddr,
    since: Instant,
    /// Whether it leads to our own local network.
    near: bool,
}

/// A member that is connected.
struct Peer {
    key: PublicKey,
    member: Member,
    links: BTreeMap<LinkId, LinkInfo>,
}

/// An answer on its way to a member that asked.
type Replying = BoxFuture<'static, (Topic, ResponseChannel<Option<Vec<u8>>>, Option<Vec<u8>>)>;

struct Driver {
    swarm: Swarm<Behaviour>,
    exchange: Exchange,
    /// What may move at most, whoever else uses the line.
    limits: Allowance,
    courtesy: Courtesy,
    odometer: Arc<Odometer>,
    book: AddressBook,
    acquaintance: Acquaintance,
    gate: Arc<Gate>,
    keypair: Keypair,
    commands: mpsc::Receiver<Command>,
    events: mpsc::Sender<Event>,
    /// Events for which there was no room.
    backlog: VecDeque<Event>,
    reads: FuturesUnordered<BoxFuture<'static, (ReadId, Option<Bytes>)>>,
    /// Parts that the program keeps or brings.
    chores: FuturesUnordered<BoxFuture<'static, exchange::Input>>,
    replies: FuturesUnordered<Replying>,
    resolving: FuturesUnordered<BoxFuture<'static, Dial>>,
    fetches: HashMap<FetchId, Outlet>,
    undelivered: usize,
    asks: HashMap<(Topic, OutboundRequestId), (PublicKey, oneshot::Sender<Answer>)>,
    peers: BTreeMap<PeerId, Peer>,
    links: HashMap<LinkId, PeerId>,
    dials: HashMap<ConnectionId, DialId>,
    /// Announcements that wait for the program's verdict.
    unjudged: BTreeMap<u64, (MessageId, PeerId)>,
    /// An announcement that nobody was there to hear.
    unheard: Option<Vec<u8>>,
    reaching: Reaching,
    /// What each peer does that costs us.
    tally: Tally,
    lan: Option<DnsSd>,
    /// When to tell the local network where we listen.
    announce_at: Option<Instant>,
    found: mpsc::Receiver<Vec<String>>,
    /// What others hand us so that we find back.
    guided: mpsc::Receiver<Bundle>,
    listening: Vec<Multiaddr>,
    next: u64,
    housekeeping: Instant,
}

/// What a question brings.
type Answer = Result<Vec<u8>, AskError>;

/// What the loop waits for.
enum Happening {
    Swarm(Box<SwarmEvent<BehaviourEvent>>),
    Command(Command),
    /// Every handle is gone.
    Deserted,
    Read(ReadId, Option<Bytes>),
    /// The program has done what the exchange asked for.
    Done(exchange::Input),
    Replied(Topic, ResponseChannel<Option<Vec<u8>>>, Option<Vec<u8>>),
    Resolved(Dial),
    Found(Vec<String>),
    Guided(Bundle),
    Wished(Wish),
    Heard(Heard),
    CircuitEnd(End),
    /// There is room for an event or a delivery, or it is time.
    GoOn,
}

impl Driver {
    fn new(
        options: Options,
        commands: mpsc::Receiver<Command>,
        events: mpsc::Sender<Event>,
        odometer: Arc<Odometer>,
    ) -> Result<Self, StartError> {
        let now = now();
        let workgroup = options.trust.id();
        let gate = Gate::new(options.trust.clone(), options.chain.clone(), unix_now);
        gate.set_guide(options.guide.clone());
        let guided = gate.guided();
        let keypair = transport::keypair(&options.identity);
        let own = keypair.public().to_peer_id();
        let (manner, enough_peers, most_peers) = match options.role {
            Role::Origin => (Manner::Origin, ENOUGH_PEERS, MAX_PEERS_OF_ORIGIN),
            Role::Peer => (Manner::Peer, ENOUGH_PEERS, MAX_PEERS),
            Role::Auditor => (Manner::Peer, ENOUGH_PEERS_OF_AUDITOR, MAX_PEERS_OF_ORIGIN),
        };
        let behaviour = Behaviour::new(Arc::clone(&gate), &workgroup, most_peers);
        let config = libp2p::swarm::Config::with_tokio_executor()
            .with_idle_connection_timeout(IDLE)
            // One round trip less for each stream: both sides speak one version.
            .with_substream_upgrade_protocol_override(Version::V1Lazy)
            .with_per_connection_event_buffer_size(16);
        let (transport, board) = transport::build(&options.identity, &gate, Arc::clone(&odometer));
        let swarm = Swarm::new(transport, behaviour, own, config);
        let seed = chance();
        let exchange = Exchange::new(
            now,
            &exchange::Options {
                own: options.identity.public(),
                manner,
                upload: options.upload_bytes_per_second,
                download: options.download_bytes_per_second,
                assembly_bytes: options.assembly_bytes,
                seed,
            },
        );
        let (finder, found) = mpsc::channel(16);
        let mut driver = Self {
            swarm,
            exchange,
            limits: options.allowance(),
            courtesy: Courtesy::default(),
            odometer,
            book: AddressBook::new(own, enough_peers, !seed),
            acquaintance: Acquaintance::new(chance()),
            gate,
            keypair,
            commands,
            events,
            backlog: VecDeque::new(),
            reads: FuturesUnordered::new(),
            chores: FuturesUnordered::new(),
            replies: FuturesUnordered::new(),
            resolving: FuturesUnordered::new(),
            fetches: HashMap::new(),
            undelivered: 0,
            asks: HashMap::new(),
            peers: BTreeMap::new(),
            links: HashMap::new(),
            dials: HashMap::new(),
            unjudged: BTreeMap::new(),
            unheard: None,
            reaching: Reaching::new(now, &options, board),
            tally: Tally::new(now, TALLY_WINDOW),
            lan: None,
            announce_at: None,
            found,
            guided,
            listening: Vec::new(),
            next: 0,
            housekeeping: now,
        };
        driver.allow();
        driver.begin(&options, finder)?;
        Ok(driver)
    }

    /// Listens, learns the addresses to begin with, looks at the network.
    fn begin(
        &mut self,
        options: &Options,
        finder: mpsc::Sender<Vec<String>>,
    ) -> Result<(), StartError> {
        for address in &options.listen {
            let refused = |why: String| StartError::Listen { address: address.clone(), why };
            let parsed = meet::parse(address)?;
            self.swarm.listen_on(parsed).map_err(|error| refused(network::reason(&error)))?;
        }
        // Circuits come on whatever is reserved later.
        let refused = |why: String| StartError::Listen { address: "circuits".to_owned(), why };
        let circuits = self.swarm.listen_on(circuit::anywhere());
        circuits.map_err(|error| refused(network::reason(&error)))?;
        for address in &options.bootstrap {
            self.learn_given(&meet::parse(address)?);
        }
        if options.dns_sd {
            match DnsSd::start(options.trust.id(), unix_now(), finder) {
                Ok(lan) => self.lan = Some(lan),
                Err(error) => tracing::warn!(reason = network::reason(&error), "{error}"),
            }
        }
        Ok(())
    }

    async fn run(mut self) {
        loop {
            let deadline = self.drive();
            match self.wait(deadline).await {
                Happening::Swarm(event) => self.on_swarm(*event),
                Happening::Command(command) => self.on_command(command),
                Happening::Deserted => break,
                Happening::Read(read, bytes) => {
                    self.exchange.handle(now(), exchange::Input::Read { read, bytes });
                }
                Happening::Done(input) => self.exchange.handle(now(), input),
                Happening::Replied(topic, channel, answer) => {
                    // The asker may have gone.
                    let _ = self.swarm.behaviour_mut().topic(topic).send_response(channel, answer);
                }
                Happening::Resolved(dial) => self.dial(dial),
                Happening::Found(addresses) => self.on_found(&addresses),
                Happening::Guided(files) => self.tell(Event::Guided { files }),
                Happening::Wished(wish) => self.on_wish(wish),
                Happening::Heard(heard) => self.on_heard(heard),
                Happening::CircuitEnd(end) => self.on_circuit_end(end),
                Happening::GoOn => {}
            }
        }
    }

    /// Does everything that the machines ask for; when to look again.
    fn drive(&mut self) -> Option<Instant> {
        let now = now();
        if now >= self.housekeeping {
            self.keep_house(now);
            self.housekeeping = now + HOUSEKEEPING;
            self.keep_to_credentials(now);
        }
        if self.announce_at.take_if(|at| now >= *at).is_some() {
            self.announce_on_lan();
        }
        let mut done = false;
        for _ in 0..OUTPUTS_AT_ONCE {
            let Some(output) = self.exchange.poll(now) else {
                done = true;
                break;
            };
            self.on_exchange(output);
        }
        while let Some(dial) = self.book.poll(now) {
            self.resolve(dial);
        }
        let reach = self.reach(now);
        let asks = self.ask_around(now);
        self.deliver();
        if !done {
            return Some(now);
        }
        let book = self.book.next_deadline();
        let deadlines = [self.exchange.next_deadline(now), book, asks, reach, self.announce_at];
        deadlines.into_iter().flatten().chain([self.housekeeping]).min()
    }

    async fn wait(&mut self, deadline: Option<Instant>) -> Happening {
        // A program that does not take what it asked for is waited for.
        let congested = self.undelivered > MAX_UNDELIVERED_BYTES;
        let time = async {
            match deadline {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => pending().await,
            }
        };
        let event_room = async {
            if self.backlog.is_empty() { pending().await } else { self.events.reserve().await.ok() }
        };
        let full = self.fetches.values().filter_map(Outlet::room);
        let full: Vec<_> = full.map(Box::pin).collect();
        let delivery_room =
            async { if full.is_empty() { pending().await } else { select_all(full).await.0 } };
        tokio::select! {
            event = self.swarm.select_next_some(), if !congested => {
                Happening::Swarm(Box::new(event))
            }
            command = self.commands.recv() => {
                command.map_or(Happening::Deserted, Happening::Command)
            }
            Some((read, bytes)) = self.reads.next() => Happening::Read(read, bytes),
            Some(input) = self.chores.next() => Happening::Done(input),
            Some((topic, channel, answer)) = self.replies.next() => {
                Happening::Replied(topic, channel, answer)
            }
            Some(dial) = self.resolving.next() => Happening::Resolved(dial),
            Some(found) = self.found.recv() => Happening::Found(found),
            Some(files) = self.guided.recv() => Happening::Guided(files),
            Some(wish) = self.reaching.board.wishes.recv() => Happening::Wished(wish),
            Some(heard) = self.reaching.hearing.join_next() => {
                Happening::Heard(heard.unwrap_or(Heard::Nothing))
            }
            Some(_) = self.reaching.carrying.join_next() => Happening::GoOn,
            Some(end) = self.reaching.ends.recv() => Happening::CircuitEnd(end),
            _ = event_room => Happening::GoOn,
            () = delivery_room => Happening::GoOn,
            () = time => Happening::GoOn,
        }
    }

    /// Tells the program, now or when it has room.
    fn tell(&mut self, event: Event) {
        self.backlog.push_back(event);
        while let Ok(room) = self.events.try_reserve() {
            let Some(event) = self.backlog.pop_front() else { return };
            room.send(event);
        }
    }

    /// Whether the program takes its events too slowly for more work.
    fn is_behind(&self) -> bool {
        self.backlog.len() >= MAX_EVENTS
    }

    const fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

/// A random number: the key that the standard library seeds its maps with.
fn chance() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0)
}
