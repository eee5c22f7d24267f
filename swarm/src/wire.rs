//! The frames of `pieces/1` and their bytes (docs/wire.md).
//!
//! Each side numbers the objects it wants; every frame speaks of an object by
//! such a number. A frame that decoded keeps to every bound of `limits`; what
//! it claims is not yet checked against anything.

use bytes::{BufMut, Bytes, BytesMut};
use manifest::content::ContentId;

use crate::block::{ObjectSize, TooLarge};
use crate::limits::{
    BLOCK_BYTES, MAX_ENTRIES_A_FRAME, MAX_FRAME_BODY, MAX_OBJECT_BLOCKS, MAX_REQUESTED_BLOCKS,
    MAX_WANTS_A_FRAME,
};
use crate::squeeze::Payload;

/// Bytes before the body of each frame: kind, and the body's length.
pub const HEADER_BYTES: usize = 4;

/// The number that one side has given to an object it wants. Numbers are
/// never given twice on one connection.
pub type WantIndex = u32;

/// An object that the sender wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Want {
    /// The sender's number for it.
    pub index: WantIndex,
    /// What it is.
    pub id: ContentId,
    /// How long it is.
    pub size: ObjectSize,
}

/// An object that the sender no longer wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unwant {
    /// The sender's number for it.
    pub index: WantIndex,
    /// Whether the sender holds it now.
    pub held: bool,
}

/// Whose number an entry uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Whose {
    /// The receiver's: "of what you want, I hold".
    Yours,
    /// The sender's: "of what I want, I have now".
    Mine,
}

/// Blocks that the sender holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Have {
    /// Whose number `index` is.
    pub whose: Whose,
    /// The object.
    pub index: WantIndex,
    /// The first block of a run.
    pub first: u32,
    /// How many blocks the run has, at least one.
    pub count: u32,
}

/// A run of blocks of one object in the receiver's or sender's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// The object.
    pub index: WantIndex,
    /// The first block.
    pub first: u32,
    /// How many blocks, at least one.
    pub count: u32,
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// The sender wants these objects.
    Want(Vec<Want>),
    /// The sender no longer wants these.
    Unwant(Vec<Unwant>),
    /// The sender holds these blocks.
    Have(Vec<Have>),
    /// The sender holds nothing of these objects of the receiver's list.
    Lack(Vec<WantIndex>),
    /// The sender asks for these blocks of its own list; `list` asks for the
    /// object's block hashes first.
    Request {
        /// The blocks.
        run: Run,
        /// Whether the block list should come first.
        list: bool,
    },
    /// The sender withdraws its request for these blocks.
    Cancel(Run),
    /// The sender cannot serve this request now.
    Busy(Run),
    /// The sender has taken so many frames off the data stream since it said
    /// so last, at least one.
    Taken(u16),
    /// The block hashes of an object of the receiver's list.
    List {
        /// The object.
        index: WantIndex,
        /// One hash a block.
        hashes: Vec<[u8; 32]>,
    },
    /// One block of an object of the receiver's list.
    Block {
        /// The object.
        index: WantIndex,
        /// Which block.
        block: u32,
        /// Its bytes, perhaps squeezed.
        payload: Payload,
    },
}

/// The stream a frame travels on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Small frames that must not wait behind blocks.
    Control,
    /// Blocks and block lists.
    Data,
}

/// Bytes that are no frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// No frame has this kind.
    #[error("no frame of pieces/1 is of kind {0}")]
    Kind(u8),
    /// The frame belongs on the other stream.
    #[error("a frame of kind {kind} does not belong on the {lane:?} stream")]
    Lane {
        /// The kind that came.
        kind: u8,
        /// The stream it came on.
        lane: Lane,
    },
    /// The body is longer or shorter than this kind allows.
    #[error("a frame of kind {kind} cannot have a body of {found} bytes")]
    Length {
        /// The kind that came.
        kind: u8,
        /// The length of the body.
        found: usize,
    },
    /// A list has no entries or too many.
    #[error("a list of {found} entries where 1 to {allowed} are allowed")]
    Entries {
        /// How many are allowed.
        allowed: usize,
        /// How many there were.
        found: usize,
    },
    /// A run of blocks that no object has.
    #[error("a run of {count} blocks from {first} fits in no object")]
    Run {
        /// The first block.
        first: u32,
        /// The length.
        count: u32,
    },
    /// A flag that has no meaning.
    #[error("flag {0:#04x} has no meaning here")]
    Flag(u8),
    /// A wanted object is too large.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
}

/// The first four bytes of a frame, within all bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    kind: u8,
    body: usize,
}

const WANT: u8 = 1;
const UNWANT: u8 = 2;
const HAVE: u8 = 3;
const LACK: u8 = 4;
const REQUEST: u8 = 5;
const CANCEL: u8 = 6;
const BUSY: u8 = 7;
const LIST: u8 = 8;
const BLOCK: u8 = 9;
const TAKEN: u8 = 10;

const WANT_ENTRY: usize = 40;
const UNWANT_ENTRY: usize = 5;
const HAVE_ENTRY: usize = 9;
const LACK_ENTRY: usize = 4;
const RUN: usize = 8;
const TAKEN_BODY: usize = 2;
const BLOCK_HEAD: usize = 7;

impl Header {
    /// Reads a header and checks it against the bounds of its kind and lane,
    /// before memory is taken for the body.
    ///
    /// # Errors
    /// [`FrameError`] if no frame on this lane begins like this.
    pub fn decode(bytes: [u8; HEADER_BYTES], lane: Lane) -> Result<Self, FrameError> {
        let [kind, a, b, c] = bytes;
        let body = u32::from_be_bytes([0, a, b, c]) as usize;
        let (belongs, longest) = match kind {
            WANT => (Lane::Control, WANT_ENTRY * MAX_WANTS_A_FRAME),
            UNWANT => (Lane::Control, UNWANT_ENTRY * MAX_ENTRIES_A_FRAME),
            HAVE => (Lane::Control, HAVE_ENTRY * MAX_ENTRIES_A_FRAME),
            LACK => (Lane::Control, LACK_ENTRY * MAX_ENTRIES_A_FRAME),
            REQUEST => (Lane::Control, RUN + 1),
            CANCEL | BUSY => (Lane::Control, RUN),
            TAKEN => (Lane::Control, TAKEN_BODY),
            LIST => (Lane::Data, MAX_FRAME_BODY),
            BLOCK => (Lane::Data, BLOCK_HEAD + BLOCK_BYTES as usize),
            _ => return Err(FrameError::Kind(kind)),
        };
        if belongs != lane {
            return Err(FrameError::Lane { kind, lane });
        }
        if body > longest {
            return Err(FrameError::Length { kind, found: body });
        }
        Ok(Self { kind, body })
    }

    /// Bytes of the body that follows.
    #[must_use]
    pub const fn body_bytes(self) -> usize {
        self.body
    }
}

impl Frame {
    /// The stream this frame travels on.
    #[must_use]
    pub const fn lane(&self) -> Lane {
        match self {
            Self::List { .. } | Self::Block { .. } => Lane::Data,
            _ => Lane::Control,
        }
    }

    /// Bytes on the wire.
    #[must_use]
    pub fn wire_bytes(&self) -> usize {
        HEADER_BYTES
            + match self {
                Self::Want(list) => WANT_ENTRY * list.len(),
                Self::Unwant(list) => UNWANT_ENTRY * list.len(),
                Self::Have(list) => HAVE_ENTRY * list.len(),
                Self::Lack(list) => LACK_ENTRY * list.len(),
                Self::Request { .. } => RUN + 1,
                Self::Cancel(_) | Self::Busy(_) => RUN,
                Self::Taken(_) => TAKEN_BODY,
                Self::List { hashes, .. } => 4 + 32 * hashes.len(),
                Self::Block { payload, .. } => BLOCK_HEAD + payload.wire_bytes(),
            }
    }

    /// The frame as bytes: what comes before a block's payload, and the
    /// payload, which is not copied.
    #[must_use]
    pub fn encode(&self) -> (Bytes, Option<Bytes>) {
        let body = self.wire_bytes() - HEADER_BYTES;
        let len = u32::try_from(body).expect("every frame is bounded").to_be_bytes();
        let mut out = BytesMut::with_capacity(HEADER_BYTES + body.min(MAX_FRAME_BODY));
        out.put_slice(&[self.kind(), len[1], len[2], len[3]]);
        match self {
            Self::Want(list) => {
                for want in list {
                    out.put_u32(want.index);
                    out.put_u32(want.size.bytes());
                    out.put_slice(want.id.as_bytes());
                }
            }
            Self::Unwant(list) => {
                for unwant in list {
                    out.put_u32(unwant.index);
                    out.put_u8(unwant.held.into());
                }
            }
            Self::Have(list) => {
                for have in list {
                    out.put_u8((have.whose == Whose::Mine).into());
                    put_run(&mut out, have.index, have.first, have.count);
                }
            }
            Self::Lack(list) => list.iter().for_each(|index| out.put_u32(*index)),
            Self::Request { run, list } => {
                put_run(&mut out, run.index, run.first, run.count);
                out.put_u8((*list).into());
            }
            Self::Cancel(run) | Self::Busy(run) => {
                put_run(&mut out, run.index, run.first, run.count);
            }
            Self::Taken(frames) => out.put_u16(*frames),
            Self::List { index, hashes } => {
                out.put_u32(*index);
                hashes.iter().for_each(|hash| out.put_slice(hash));
            }
            Self::Block { index, block, payload } => {
                out.put_u32(*index);
                out.put_u16(narrow(*block));
                let (flag, bytes) = match payload {
                    Payload::Plain(bytes) => (0, bytes),
                    Payload::Squeezed(bytes) => (1, bytes),
                };
                out.put_u8(flag);
                return (out.freeze(), Some(bytes.clone()));
            }
        }
        (out.freeze(), None)
    }

    /// Reads the body that follows `header`.
    ///
    /// # Errors
    /// [`FrameError`] if it is not one frame of that kind, to the last byte.
    pub fn decode(header: Header, body: Bytes) -> Result<Self, FrameError> {
        let kind = header.kind;
        let wrong = FrameError::Length { kind, found: body.len() };
        if body.len() != header.body {
            return Err(wrong);
        }
        Ok(match kind {
            WANT => Self::Want(entries::<WANT_ENTRY, _>(&body, wrong, MAX_WANTS_A_FRAME, |e| {
                let (index, size, id) = (u32_at(e, 0), u32_at(e, 4), array_at::<32>(e, 8));
                let size = ObjectSize::new(size.into())?;
                Ok(Want { index, id: ContentId::from(id), size })
            })?),
            UNWANT => {
                Self::Unwant(entries::<UNWANT_ENTRY, _>(&body, wrong, MAX_ENTRIES_A_FRAME, |e| {
                    Ok(Unwant { index: u32_at(e, 0), held: flag(e[4])? })
                })?)
            }
            HAVE => Self::Have(entries::<HAVE_ENTRY, _>(&body, wrong, MAX_ENTRIES_A_FRAME, |e| {
                let whose = if flag(e[0])? { Whose::Mine } else { Whose::Yours };
                let Run { index, first, count } = run_at(e, 1, MAX_OBJECT_BLOCKS)?;
                Ok(Have { whose, index, first, count })
            })?),
            LACK => Self::Lack(entries::<LACK_ENTRY, _>(&body, wrong, MAX_ENTRIES_A_FRAME, |e| {
                Ok(u32_at(e, 0))
            })?),
            REQUEST if body.len() == RUN + 1 => Self::Request {
                run: run_at(&body, 0, MAX_REQUESTED_BLOCKS as u32)?,
                list: flag(body[RUN])?,
            },
            CANCEL if body.len() == RUN => Self::Cancel(run_at(&body, 0, MAX_OBJECT_BLOCKS)?),
            BUSY if body.len() == RUN => Self::Busy(run_at(&body, 0, MAX_OBJECT_BLOCKS)?),
            LIST if body.len() > 4 => {
                let index = u32_at(&body, 0);
                let most = MAX_OBJECT_BLOCKS as usize;
                let hashes = entries::<32, _>(&body[4..], wrong, most, |e| Ok(array_at(e, 0)))?;
                Self::List { index, hashes }
            }
            BLOCK if body.len() > BLOCK_HEAD => {
                let index = u32_at(&body, 0);
                let block = u16::from_be_bytes(array_at(&body, 4)).into();
                let squeezed = flag(body[6])?;
                check_run(block, 1, MAX_OBJECT_BLOCKS)?;
                let bytes = body.slice(BLOCK_HEAD..);
                let payload =
                    if squeezed { Payload::Squeezed(bytes) } else { Payload::Plain(bytes) };
                Self::Block { index, block, payload }
            }
            TAKEN if body.len() == TAKEN_BODY => match u16::from_be_bytes(array_at(&body, 0)) {
                0 => return Err(FrameError::Entries { allowed: u16::MAX.into(), found: 0 }),
                frames => Self::Taken(frames),
            },
            REQUEST..=TAKEN => return Err(wrong),
            _ => return Err(FrameError::Kind(kind)),
        })
    }

    const fn kind(&self) -> u8 {
        match self {
            Self::Want(_) => WANT,
            Self::Unwant(_) => UNWANT,
            Self::Have(_) => HAVE,
            Self::Lack(_) => LACK,
            Self::Request { .. } => REQUEST,
            Self::Cancel(_) => CANCEL,
            Self::Busy(_) => BUSY,
            Self::List { .. } => LIST,
            Self::Block { .. } => BLOCK,
            Self::Taken(_) => TAKEN,
        }
    }
}

fn put_run(out: &mut BytesMut, index: WantIndex, first: u32, count: u32) {
    out.put_u32(index);
    out.put_u16(narrow(first));
    out.put_u16(narrow(count));
}

fn narrow(block: u32) -> u16 {
    u16::try_from(block).expect("an object has at most 2,048 blocks")
}

/// Reads entries of `N` bytes each, at least one and at most `allowed`.
fn entries<const N: usize, T>(
    body: &[u8],
    wrong: FrameError,
    allowed: usize,
    read: impl Fn(&[u8]) -> Result<T, FrameError>,
) -> Result<Vec<T>, FrameError> {
    let found = body.len() / N;
    if !body.len().is_multiple_of(N) {
        return Err(wrong);
    }
    if found == 0 || found > allowed {
        return Err(FrameError::Entries { allowed, found });
    }
    body.chunks_exact(N).map(read).collect()
}

/// The `N` bytes at `at`; the caller has checked the length.
fn array_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("the slice has N bytes")
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(array_at(bytes, at))
}

fn run_at(bytes: &[u8], at: usize, longest: u32) -> Result<Run, FrameError> {
    let index = u32_at(bytes, at);
    let first = u16::from_be_bytes(array_at(bytes, at + 4)).into();
    let count = u16::from_be_bytes(array_at(bytes, at + 6)).into();
    check_run(first, count, longest)?;
    Ok(Run { index, first, count })
}

const fn check_run(first: u32, count: u32, longest: u32) -> Result<(), FrameError> {
    // Both come from 16 bits: the sum cannot overflow.
    if count == 0 || count > longest || first + count > MAX_OBJECT_BLOCKS {
        return Err(FrameError::Run { first, count });
    }
    Ok(())
}

const fn flag(byte: u8) -> Result<bool, FrameError> {
    match byte {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(FrameError::Flag(other)),
    }
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
