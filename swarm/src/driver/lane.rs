//! One stream of frames: written from a short queue, read frame by frame.
//!
//! A lane is written by the side that opened it and read by the other. The
//! queue is as long as what the exchange has in hand, and no longer.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};
use futures::{AsyncRead, AsyncWrite};
use libp2p::Stream;
use tokio::time::Sleep;

use crate::limits::{CHUNK_BYTES, FRAME_PATIENCE};
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
    /// What the stream is handed now, and how many frames end with it.
    chunk: Bytes,
    ending: usize,
    queue: Queue,
    flush: bool,
}

/// Frames that wait for a stream.
#[derive(Debug)]
struct Queue {
    frames: VecDeque<(Bytes, Option<Bytes>)>,
    /// What follows the head that was taken last.
    rest: Option<Bytes>,
}

impl Queue {
    const fn new() -> Self {
        Self { frames: VecDeque::new(), rest: None }
    }

    fn is_empty(&self) -> bool {
        self.frames.is_empty() && self.rest.is_none()
    }

    fn push(&mut self, frame: &Frame) {
        self.frames.push_back(frame.encode());
    }

    /// The next bytes, and how many frames end with them. Whole frames are
    /// gathered, for each piece that a stream is handed costs a message and a
    /// call of the kernel; what is larger goes as it is.
    fn chunk(&mut self) -> Option<(Bytes, usize)> {
        if let Some(rest) = self.rest.take() {
            return Some((rest, 1));
        }
        let len = |(head, payload): &(Bytes, Option<Bytes>)| {
            head.len() + payload.as_ref().map_or(0, Bytes::len)
        };
        if len(self.frames.front()?) > CHUNK_BYTES {
            let (head, payload) = self.frames.pop_front()?;
            self.rest = payload;
            return Some((head, usize::from(self.rest.is_none())));
        }
        if let [(_, None)] = self.frames.make_contiguous() {
            return self.frames.pop_front().map(|(head, _)| (head, 1));
        }
        let all: usize = self.frames.iter().map(len).sum();
        let mut chunk = BytesMut::with_capacity(all.min(CHUNK_BYTES));
        let mut ending = 0;
        while let Some(frame) = self.frames.front()
            && chunk.len() + len(frame) <= CHUNK_BYTES
        {
            chunk.extend_from_slice(&frame.0);
            chunk.extend_from_slice(frame.1.as_deref().unwrap_or_default());
            self.frames.pop_front();
            ending += 1;
        }
        Some((chunk.freeze(), ending))
    }
}

impl Writer {
    pub(crate) const fn new(lane: Lane) -> Self {
        Self {
            lane,
            stream: None,
            opening: false,
            chunk: Bytes::new(),
            ending: 0,
            queue: Queue::new(),
            flush: false,
        }
    }

    pub(crate) fn push(&mut self, frame: &Frame) {
        self.queue.push(frame);
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
        loop {
            if self.chunk.is_empty() {
                written += std::mem::take(&mut self.ending);
                let Some((chunk, ending)) = self.queue.chunk() else { break };
                (self.chunk, self.ending) = (chunk, ending);
            }
            match stream.as_mut().poll_write(cx, &self.chunk).map_err(broken)? {
                Poll::Ready(0) => return Err(broken(io::ErrorKind::WriteZero.into())),
                Poll::Ready(count) => {
                    self.flush = true;
                    self.chunk.advance(count);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::BLOCK_BYTES;
    use crate::squeeze::Payload;

    fn block(number: u32, len: usize) -> Frame {
        let payload = Payload::Plain(vec![number as u8; len].into());
        Frame::Block { index: 1, block: number, payload }
    }

    #[test]
    fn a_block_leaves_in_one_piece_with_its_head() {
        let mut queue = Queue::new();
        queue.push(&block(1, BLOCK_BYTES as usize));
        queue.push(&block(2, BLOCK_BYTES as usize));
        for _ in 0..2 {
            let (chunk, ending) = queue.chunk().unwrap();
            assert!(chunk.len() > BLOCK_BYTES as usize && chunk.len() <= CHUNK_BYTES);
            assert_eq!(ending, 1);
        }
        assert!(queue.chunk().is_none());
    }

    #[test]
    fn what_is_gathered_is_what_was_pushed() {
        let mut dice = crate::dice::Dice::new(7);
        for _ in 0..200 {
            let (mut queue, mut expected, mut frames) = (Queue::new(), Vec::new(), 0);
            for number in 0..dice.roll() % 20 {
                let frame = match dice.roll() % 3 {
                    0 => Frame::Taken(3),
                    1 => {
                        Frame::List { index: 1, hashes: vec![[9; 32]; dice.roll() as usize % 2048] }
                    }
                    _ => block(number as u32, dice.roll() as usize % (BLOCK_BYTES as usize + 1)),
                };
                let (head, payload) = frame.encode();
                expected.extend_from_slice(&head);
                expected.extend(payload.into_iter().flatten());
                frames += 1;
                queue.push(&frame);
            }
            let (mut bytes, mut ended) = (Vec::new(), 0);
            while let Some((chunk, ending)) = queue.chunk() {
                assert!(!chunk.is_empty());
                bytes.extend_from_slice(&chunk);
                ended += ending;
            }
            assert_eq!((bytes == expected, ended), (true, frames));
        }
    }
}
