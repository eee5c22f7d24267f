//! The swarm as the agent uses it: members to fetch from and to serve, and
//! news from them.
//!
//! [`members`] is what the network side fetches with, [`answers`] what members
//! ask of us.

pub mod answers;
pub mod manners;
pub mod members;

use std::sync::Arc;

use manifest::admission::chain::{CredentialError, Member};
use manifest::admission::guide::Guide;
use manifest::admission::workgroup::WorkgroupTrust;
use manifest::audit::event::Event;
use manifest::trust::bundle::Bundle;
use store::atomic;
use store::disk::read_bounded;
use store::steps::Steps;
use swarm::allowance::Allowance;
use swarm::event::Events;
use swarm::handle::{Handle, Pacing};
use swarm::options::{Options, StartError};
use swarm::remembered;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::clock;
use crate::config::Config;
use crate::control::api::PaceView;
use crate::control::peers::{PeerView, PeersView, Way};
use crate::home::Home;
use crate::identity::Identity;
use crate::limits::{NEWS, PEERS_FILE_BYTES, REMEMBERED_ADDRESSES};
use crate::network::Network;
use crate::network::fetch::cause;
use crate::network::peers::{Partial, Peers};
use crate::network::permit::Permit;
use crate::swarming::answers::Answers;
use crate::swarming::manners::Manners;
use crate::swarming::members::Members;
use crate::throttle::Throttle;

/// The swarm cannot be joined.
#[derive(Debug, thiserror::Error)]
pub enum SwarmError {
    /// An address cannot be used.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The credential cannot be shown.
    #[error(transparent)]
    Credential(#[from] CredentialError),
}

/// What members brought about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// Newer metadata was announced, verified, and is believed.
    Metadata,
    /// Something newer was announced that cannot be judged yet.
    Behind,
    /// A member was met.
    Met,
    /// Somebody who cannot be admitted, or cannot admit us, handed over what
    /// may lead us back.
    Guided(Bundle),
    /// Installed files that should be served differ from the manifest.
    Damaged,
}

/// The agent's place in the swarm.
pub struct Swarming {
    handle: Handle,
    members: Arc<Members>,
    /// Taken when answers begin.
    events: Option<Events>,
    sender: mpsc::Sender<News>,
    news: mpsc::Receiver<News>,
    permit: Permit,
    /// What ends with us: it would keep the swarm alive.
    _tasks: JoinSet<()>,
}

impl Swarming {
    /// Joins the swarm, beginning with the ticket's addresses, those of the
    /// configuration, and members that were met before. What mirrors send is
    /// held to the same manners by `throttle`.
    ///
    /// # Errors
    /// [`SwarmError`] if an address cannot be listened on.
    pub fn start(
        home: &Home,
        config: &Config,
        identity: &Identity,
        (trust, guide): (&WorkgroupTrust, Guide),
        throttle: &Arc<Throttle>,
    ) -> Result<Self, SwarmError> {
        let known = config.peers.iter().chain(&identity.ticket.addresses).cloned();
        let options = Options {
            listen: config.listen.clone(),
            bootstrap: known.chain(met_before(home)).collect(),
            dns_sd: config.dns_sd,
            relay: config.relay,
            guide,
            upload_bytes_per_second: config.limits.all.up,
            download_bytes_per_second: config.limits.all.down,
            far: config.limits.far,
            ..Options::new(identity.peer_key.clone(), identity.chain.encode()?, trust.clone())
        };
        let (handle, events) = swarm::start(options)?;
        let (sender, news) = mpsc::channel(NEWS);
        let (manners, permit) = Manners::new(
            handle.clone(),
            (config.rules.clone(), config.limits, config.make_way),
            Arc::clone(throttle),
        );
        let mut tasks = JoinSet::new();
        tasks.spawn(manners.run());
        let members = Arc::new(Members::new(handle.clone()));
        Ok(Self { handle, members, events: Some(events), sender, news, permit, _tasks: tasks })
    }

    /// The members that are met.
    #[must_use]
    pub fn peers(&self) -> Arc<dyn Peers> {
        Arc::clone(&self.members) as Arc<dyn Peers>
    }

    /// Whether anything may be fetched now.
    #[must_use]
    pub fn permit(&self) -> Permit {
        self.permit.clone()
    }

    /// What moves, and what may.
    pub async fn pace(&self) -> PaceView {
        let pacing = self.handle.pacing().await.unwrap_or_default();
        let Pacing { allowance: Allowance { all, far }, pace, yields, others, .. } = pacing;
        let leave = self.permit.leave();
        PaceView {
            received: pace.received,
            sent: pace.sent,
            download_limit: all.down,
            upload_limit: all.up,
            far_download_limit: far.down,
            far_upload_limit: far.up,
            makes_way: yields,
            others_receive: others.received,
            others_send: others.sent,
            moves: leave.moves,
            why: leave.why,
        }
    }

    /// From now on answers members, out of `network` and the log in `home`.
    pub fn answer(
        &mut self,
        network: Arc<Network>,
        home: &Home,
        identity: &Identity,
        trust: &WorkgroupTrust,
    ) {
        let Some(events) = self.events.take() else { return };
        let organisation = identity.member(trust, clock::wall()).ok();
        let answers = Answers::new(
            self.handle.clone(),
            Arc::clone(&self.members),
            network,
            self.sender.clone(),
            (home.log(), identity.log_key.public()),
            organisation.map(|member| member.organisation),
        );
        tokio::spawn(answers.run(events));
    }

    /// What members brought about next.
    pub async fn news(&mut self) -> Option<News> {
        self.news.recv().await
    }

    /// Follows newer workgroup keys, and leads others to them.
    pub async fn set_trust(&self, trust: WorkgroupTrust, guide: Guide) {
        let _ = self.handle.set_trust(trust, guide).await;
    }

    /// Shows a renewed credential from now on.
    pub async fn set_chain(&self, identity: &Identity) {
        match identity.chain.encode() {
            Ok(chain) => drop(self.handle.set_chain(chain).await),
            Err(error) => tracing::error!(%error, "the renewed credential cannot be shown"),
        }
    }

    /// Where this installation can be met.
    pub async fn addresses(&self) -> Vec<String> {
        self.handle.listen_addresses().await.unwrap_or_default()
    }

    /// Who gives and takes what.
    pub async fn view(&self) -> PeersView {
        let peers = self.handle.peers().await.unwrap_or_default();
        let view = peers.into_iter().map(|peer| PeerView {
            key: peer.key,
            installation: peer.member.as_ref().map(|member| member.installation),
            way: match &peer.member {
                None => Way::Absent,
                Some(_) if peer.is_relayed => Way::Relayed,
                Some(_) => Way::Direct,
            },
            organisation: peer.member.map(|member| member.organisation),
            origin: peer.is_origin,
            addresses: peer.addresses,
            received: peer.bytes_in,
            sent: peer.bytes_out,
            near: peer.is_near,
            receiving: peer.pace.received,
            sending: peer.pace.sent,
        });
        PeersView::new(view.collect())
    }

    /// How far each object that is being fetched is.
    pub async fn partial(&self) -> Vec<Partial> {
        let progress = self.handle.progress().await.unwrap_or_default();
        let partial = progress.into_iter().map(|object| {
            let count = usize::try_from(object.len.div_ceil(BLOCK_BYTES)).unwrap_or(0);
            let mut blocks = vec![b'0'; count];
            for block in object.blocks {
                if let Some(place) = blocks.get_mut(block as usize) {
                    *place = b'1';
                }
            }
            let blocks = String::from_utf8(blocks).expect("it is all digits");
            Partial { id: object.id, len: object.len, blocks }
        });
        partial.collect()
    }

    /// Remembers where members were met, to find them when every server is
    /// down. Nothing depends on it, so failing to is only told.
    pub async fn remember(&self, home: &Home) {
        let peers = self.handle.peers().await.unwrap_or_default();
        let met = peers.into_iter().filter(|peer| peer.member.is_some());
        // One address each first: many members beat many addresses of one.
        let mut of_each: Vec<Vec<String>> = met.map(|peer| peer.addresses).collect();
        let most = of_each.iter().map(Vec::len).max().unwrap_or(0);
        let mut addresses = Vec::new();
        for turn in 0..most {
            addresses
                .extend(of_each.iter_mut().filter_map(|of| of.get_mut(turn)).map(std::mem::take));
        }
        if addresses.is_empty() {
            return;
        }
        addresses.truncate(REMEMBERED_ADDRESSES);
        let bytes = remembered::encode(&addresses);
        let path = home.peers();
        let kept = tokio::task::spawn_blocking(move || {
            if read_bounded(&path, PEERS_FILE_BYTES).ok().flatten().as_ref() == Some(&bytes) {
                return Ok(());
            }
            atomic::write(&path, &bytes, 0o600, &Steps::free())
        });
        if let Ok(Err(error)) = kept.await {
            tracing::warn!(error = %cause(&error), "the members that were met cannot be kept");
        }
    }
}

/// Bytes of a block, the unit in which objects are requested.
const BLOCK_BYTES: u64 = 32 << 10;

/// Addresses at which members were met; none if the file makes no sense.
fn met_before(home: &Home) -> Vec<String> {
    let bytes = read_bounded(&home.peers(), PEERS_FILE_BYTES).ok().flatten();
    remembered::decode(&bytes.unwrap_or_default(), REMEMBERED_ADDRESSES)
}

/// The entry that tells of a renewed credential.
#[must_use]
pub fn renewal(member: &Member) -> Event {
    let Member { issuer, peer_key, expires, .. } = *member;
    Event::Renewed { issuer, peer_key, expires }
}
