//! `pieces/1` on one connection: a lane for control, a lane for data.
//!
//! Each side opens the lanes it writes. Nothing is queued here beyond what the
//! exchange has handed over, and nothing is read while the exchange has not
//! taken what was read before.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::task::{Context, Poll};

use futures::future::{Ready, ready};
use libp2p::core::upgrade::{InboundUpgrade, OutboundUpgrade, UpgradeInfo};
use libp2p::swarm::handler::{
    ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound,
};
use libp2p::swarm::{ConnectionHandler, ConnectionHandlerEvent, SubstreamProtocol};
use libp2p::{Stream, StreamProtocol};
use manifest::admission::workgroup::WorkgroupId;

use crate::driver::lane::{LaneError, Reader, Writer};
use crate::wire::{Frame, Lane};

/// The names of the two lanes in one workgroup.
#[derive(Debug, Clone)]
pub(crate) struct Lanes {
    control: StreamProtocol,
    data: StreamProtocol,
}

impl Lanes {
    pub(crate) fn of(workgroup: &WorkgroupId) -> Self {
        let name = |lane| {
            StreamProtocol::try_from_owned(format!("/updraft/{workgroup}/pieces-{lane}/1"))
                .expect("it begins with a slash")
        };
        Self { control: name("control"), data: name("data") }
    }

    fn name(&self, lane: Lane) -> StreamProtocol {
        match lane {
            Lane::Control => self.control.clone(),
            Lane::Data => self.data.clone(),
        }
    }
}

/// Accepts either lane, and tells which it is.
#[derive(Debug, Clone)]
pub(crate) struct Accept(Lanes);

impl UpgradeInfo for Accept {
    type Info = StreamProtocol;
    type InfoIter = std::array::IntoIter<StreamProtocol, 2>;

    fn protocol_info(&self) -> Self::InfoIter {
        [self.0.control.clone(), self.0.data.clone()].into_iter()
    }
}

impl InboundUpgrade<Stream> for Accept {
    type Output = (Lane, Stream);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_inbound(self, stream: Stream, name: StreamProtocol) -> Self::Future {
        let lane = if name == self.0.data { Lane::Data } else { Lane::Control };
        ready(Ok((lane, stream)))
    }
}

/// Opens a stream of some protocol.
#[derive(Debug, Clone)]
pub(crate) struct Open(pub(crate) StreamProtocol);

impl UpgradeInfo for Open {
    type Info = StreamProtocol;
    type InfoIter = std::iter::Once<StreamProtocol>;

    fn protocol_info(&self) -> Self::InfoIter {
        std::iter::once(self.0.clone())
    }
}

impl OutboundUpgrade<Stream> for Open {
    type Output = Stream;
    type Error = Infallible;
    type Future = Ready<Result<Stream, Infallible>>;

    fn upgrade_outbound(self, stream: Stream, _: StreamProtocol) -> Self::Future {
        ready(Ok(stream))
    }
}

/// What a connection is to do.
#[derive(Debug)]
pub(crate) enum Order {
    /// Write this.
    Write(Frame),
    /// Look whether there is something to do.
    Wake,
}

/// What the handler reports.
#[derive(Debug)]
pub(crate) enum Report {
    /// A frame came.
    Frame(Frame),
    /// Frames were written.
    Written(Lane, usize),
    /// The connection can carry no more frames.
    Ended(LaneError),
}

/// The handler of one connection.
#[derive(Debug)]
pub(crate) struct Handler {
    lanes: Lanes,
    writers: [Writer; 2],
    readers: [Option<Reader>; 2],
    reports: VecDeque<Report>,
    ended: bool,
}

const fn slot(lane: Lane) -> usize {
    match lane {
        Lane::Control => 0,
        Lane::Data => 1,
    }
}

impl Handler {
    pub(crate) fn new(lanes: Lanes) -> Self {
        Self {
            lanes,
            writers: [Writer::new(Lane::Control), Writer::new(Lane::Data)],
            readers: [None, None],
            reports: VecDeque::new(),
            ended: false,
        }
    }

    fn end(&mut self, error: LaneError) {
        if !self.ended {
            self.ended = true;
            self.readers = [None, None];
            self.reports.push_back(Report::Ended(error));
        }
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Order;
    type ToBehaviour = Report;
    type InboundProtocol = Accept;
    type OutboundProtocol = Open;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = Lane;

    fn listen_protocol(&self) -> SubstreamProtocol<Accept> {
        SubstreamProtocol::new(Accept(self.lanes.clone()), ())
    }

    fn connection_keep_alive(&self) -> bool {
        // Warm connections are the point; the driver closes those beyond its
        // limits.
        !self.ended
    }

    fn on_behaviour_event(&mut self, order: Order) {
        match order {
            Order::Write(frame) => self.writers[slot(frame.lane())].push(&frame),
            // Whatever else is on the connection is looked at too.
            Order::Wake => {}
        }
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<Accept, Open, (), Lane>) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol: (lane, stream),
                ..
            }) => {
                if self.readers[slot(lane)].is_some() {
                    self.end(LaneError::Twice(lane));
                } else if !self.ended {
                    self.readers[slot(lane)] = Some(Reader::new(lane, stream));
                }
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
                protocol: stream,
                info: lane,
            }) => self.writers[slot(lane)].opened(stream),
            ConnectionEvent::DialUpgradeError(DialUpgradeError { info: lane, .. }) => {
                self.end(LaneError::Unsupported(lane));
            }
            _ => {}
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ConnectionHandlerEvent<Open, Lane, Report>> {
        if let Some(report) = self.reports.pop_front() {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(report));
        }
        if self.ended {
            return Poll::Pending;
        }
        for lane in [Lane::Control, Lane::Data] {
            let writer = &mut self.writers[slot(lane)];
            if writer.wants_stream() {
                let open = Open(self.lanes.name(lane));
                return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest {
                    protocol: SubstreamProtocol::new(open, lane),
                });
            }
            match writer.poll(cx) {
                Ok(0) => {}
                Ok(frames) => self.reports.push_back(Report::Written(lane, frames)),
                Err(error) => self.end(error),
            }
        }
        for lane in [Lane::Control, Lane::Data] {
            if !self.reports.is_empty() {
                break;
            }
            let Some(reader) = &mut self.readers[slot(lane)] else { continue };
            match reader.poll(cx) {
                Poll::Ready(Ok(frame)) => self.reports.push_back(Report::Frame(frame)),
                Poll::Ready(Err(error)) => self.end(error),
                Poll::Pending => {}
            }
        }
        match self.reports.pop_front() {
            Some(report) => Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(report)),
            None => Poll::Pending,
        }
    }
}
