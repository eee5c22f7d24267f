//! One stream of frames: written from a short queue, read frame by frame.
//!
//! A lane is written by the side that opened it and read by the other. The
//! queue is as long as what the exchange has in hand, and no longer.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use futures::{AsyncRead, AsyncWrite};
use libp2p::Stream;
use tokio::time::Sleep;

use crate::limits::FRAME_PATIENCE;
use crate::wire::{Frame, FrameError, HEADER_BYTES, Header, Lane};

/// Why a lane ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LaneError {
    /// The stream broke.
    #[error("the stream of {lane:?} frames broke")]
    Broken {
        /// Which lane.
        lane: Lane,
        /// How.
        source: io::Error,
    },
    /// What came is no frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The other side opened a lane twice.
    #[error("a second stream of {0:?} frames was opened")]
    Twice(Lane),
    /// A frame had begun and did not end.
    #[error("a frame of {0:?} took longer than {patience} seconds", patience = 2 * FRAME_PATIENCE.as_secs())]
    Slow(Lane),
    /// The other side does not speak the protocol.
    #[error("the other side takes no {0:?} frames")]
    Unsupported(Lane),
}

/// The lane that we write.
#[derive(Debug)]
pub(crate) struct Writer {
    lane: Lane,
    stream: Option<Stream>,
    opening: bool,
    queue: VecDeque<Bytes>,
    /// How many of the next buffers belong to each frame.
    frames: VecDeque<usize>,
    flush: bool,
}

impl Writer {
    pub(crate) const fn new(lane: Lane) -> Self {
        Self {
            lane,
            stream: None,
            opening: false,
            queue: VecDeque::new(),
            frames: VecDeque::new(),
            flush: false,
        }
    }

    pub(crate) fn push(&mut self, frame: &Frame) {
        let (head, payload) = frame.encode();
        self.queue.push_back(head);
        self.frames.push_back(1 + usize::from(payload.is_some()));
        self.queue.extend(payload);
    }

    /// Whether a stream should be opened now; asked once, answered once.
    pub(crate) fn wants_stream(&mut self) -> bool {
        let wants = self.stream.is_none() && !self.opening && !self.queue.is_empty();
        self.opening |= wants;
        wants
    }

    pub(crate) fn opened(&mut self, stream: Stream) {
        self.stream = Some(stream);
    }

    /// Writes as much as the stream takes; how many frames that completed.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Result<usize, LaneError> {
        let lane = self.lane;
        let broken = |source| LaneError::Broken { lane, source };
        let Some(stream) = &mut self.stream else { return Ok(0) };
        let mut stream = Pin::new(stream);
        let mut written = 0;
        while let Some(buffer) = self.queue.front_mut() {
            match stream.as_mut().poll_write(cx, buffer).map_err(broken)? {
                Poll::Ready(0) => return Err(broken(io::ErrorKind::WriteZero.into())),
                Poll::Ready(count) => {
                    self.flush = true;
                    buffer.advance(count);
                    if !buffer.is_empty() {
                        continue;
                    }
                    self.queue.pop_front();
                    let left = self.frames.front_mut().expect("each buffer belongs to a frame");
                    *left -= 1;
                    if *left == 0 {
                        self.frames.pop_front();
                        written += 1;
                    }
                }
                Poll::Pending => break,
            }
        }
        if self.flush && stream.as_mut().poll_flush(cx).map_err(broken)?.is_ready() {
            self.flush = false;
        }
        Ok(written)
    }
}

/// The lane that we read.
#[derive(Debug)]
pub(crate) struct Reader {
    lane: Lane,
    stream: Stream,
    head: [u8; HEADER_BYTES],
    header: Option<Header>,
    body: Vec<u8>,
    filled: usize,
    /// How long the frame that has begun may still take.
    patience: Option<Pin<Box<Sleep>>>,
    /// Whether it has taken that long once already.
    late: bool,
}

impl Reader {
    pub(crate) const fn new(lane: Lane, stream: Stream) -> Self {
        Self {
            lane,
            stream,
            head: [0; HEADER_BYTES],
            header: None,
            body: Vec::new(),
            filled: 0,
            patience: None,
            late: false,
        }
    }

    /// Reads the next whole frame.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Frame, LaneError>> {
        let lane = self.lane;
        let broken = |source| LaneError::Broken { lane, source };
        loop {
            let target = if self.header.is_some() { &mut self.body[..] } else { &mut self.head };
            if self.filled < target.len() {
                let stream = Pin::new(&mut self.stream);
                let count = match stream.poll_read(cx, &mut target[self.filled..]) {
                    Poll::Ready(count) => count.map_err(broken)?,
                    Poll::Pending => return self.wait(cx),
                };
                if count == 0 {
                    let end = io::ErrorKind::UnexpectedEof.into();
                    return Poll::Ready(Err(broken(end)));
                }
                self.filled += count;
                continue;
            }
            self.filled = 0;
            match self.header.take() {
                None => {
                    let header = Header::decode(self.head, lane)?;
                    self.body = vec![0; header.body_bytes()];
                    self.header = Some(header);
                }
                Some(header) => {
                    let body = std::mem::take(&mut self.body).into();
                    (self.patience, self.late) = (None, false);
                    return Poll::Ready(Frame::decode(header, body).map_err(LaneError::from));
                }
            }
        }
    }

    /// More of a frame has to come. Time counts only while it is waited for,
    /// and twice: at first what came meanwhile may not have been read.
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<Result<Frame, LaneError>> {
        if self.header.is_none() && self.filled == 0 {
            return Poll::Pending;
        }
        loop {
            let new = || Box::pin(tokio::time::sleep(FRAME_PATIENCE));
            let patience = self.patience.get_or_insert_with(new);
            if patience.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.patience = None;
            if std::mem::replace(&mut self.late, true) {
                return Poll::Ready(Err(LaneError::Slow(self.lane)));
            }
        }
    }
}
