//! The libp2p behaviours that make up a node.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use libp2p::gossipsub::{
    self, IdentTopic, MessageAuthenticity, MessageId, ValidationMode, WhitelistSubscriptionFilter,
};
use libp2p::request_response;
use libp2p::swarm::NetworkBehaviour;
use manifest::admission::workgroup::WorkgroupId;

use crate::ask::{Codec, Topic};
use crate::driver::door::Door;
use crate::driver::pieces::Pieces;
use crate::driver::streams::Streams;
use crate::gate::Gate;
use crate::limits::MAX_ANNOUNCEMENT;

/// Announcements over gossip, of one topic.
pub(crate) type Gossip =
    gossipsub::Behaviour<gossipsub::IdentityTransform, WhitelistSubscriptionFilter>;

/// Everything that a connection carries. The door stands first: whom it turns
/// away, the others never see.
#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    pub(crate) door: Door,
    pub(crate) pieces: Pieces,
    pub(crate) streams: Streams,
    pub(crate) gossip: Gossip,
    pub(crate) metadata: request_response::Behaviour<Codec>,
    pub(crate) log: request_response::Behaviour<Codec>,
    pub(crate) peers: request_response::Behaviour<Codec>,
    pub(crate) reach: request_response::Behaviour<Codec>,
}

impl Behaviour {
    pub(crate) fn new(gate: Arc<Gate>, workgroup: &WorkgroupId, most_peers: usize) -> Self {
        Self {
            door: Door::new(gate, most_peers),
            pieces: Pieces::new(workgroup),
            streams: Streams::new(workgroup),
            gossip: gossip(workgroup),
            metadata: Topic::Metadata.behaviour(workgroup),
            log: Topic::Log.behaviour(workgroup),
            peers: Topic::Peers.behaviour(workgroup),
            reach: Topic::Reach.behaviour(workgroup),
        }
    }

    /// The behaviour of a topic.
    pub(crate) const fn topic(&mut self, topic: Topic) -> &mut request_response::Behaviour<Codec> {
        match topic {
            Topic::Metadata => &mut self.metadata,
            Topic::Log => &mut self.log,
            Topic::Peers => &mut self.peers,
            Topic::Reach => &mut self.reach,
        }
    }
}

/// The topic of a workgroup's announcements.
pub(crate) fn announcements(workgroup: &WorkgroupId) -> IdentTopic {
    IdentTopic::new(format!("/updraft/{workgroup}/announcements/1"))
}

fn gossip(workgroup: &WorkgroupId) -> Gossip {
    let topic = announcements(workgroup);
    let config = gossipsub::ConfigBuilder::default()
        .protocol_id_prefix(format!("/updraft/{workgroup}/gossip"))
        // What is announced is signed by the vendor; who passes it on does not
        // matter, and equal announcements are one.
        .validation_mode(ValidationMode::Anonymous)
        .message_id_fn(|message| MessageId::from(&blake3::hash(&message.data).as_bytes()[..20]))
        .validate_messages()
        .max_transmit_size(MAX_ANNOUNCEMENT + 1_024)
        .duplicate_cache_time(Duration::from_secs(120))
        .heartbeat_interval(Duration::from_secs(2))
        .heartbeat_initial_delay(Duration::from_millis(200))
        // An origin with hundreds of peers would send its announcement to all.
        .flood_publish(false)
        .build()
        .expect("the values agree with each other");
    let filter = WhitelistSubscriptionFilter(HashSet::from([topic.hash()]));
    let mut gossip =
        Gossip::new_with_subscription_filter(MessageAuthenticity::Anonymous, config, filter)
            .expect("anonymous messages are not signed");
    gossip.subscribe(&topic).expect("the filter allows our own topic");
    gossip
}
