//! How a target is told: copies of old bytes, corrections of them, and what
//! is new between them.
//!
//! One coded stream holds all of it, so that the smallest delta is a few bytes
//! longer than its header.

use crate::coder::{Coder, Reader, Writer};
use crate::control::{self, ControlError, Copy};
use crate::corrections::{self, CorrectionError};
use crate::costs::Costs;
use crate::extra::{self, ExtraError, Hole};
use crate::gathered::Gathered;
use crate::old::{Old, OldError};
use crate::references;
use crate::varint::{self, BadVarint};
use crate::zones::{ZoneError, Zones};

/// With fewer new bytes than this, no old ones are gathered for them.
const MIN_NEW_BYTES: usize = 16;

/// A body that does not tell a target.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// How many bytes it leaves bare cannot be read.
    #[error(transparent)]
    Number(#[from] BadVarint),
    /// It ends before its bare bytes do.
    #[error("the delta is cut short")]
    CutShort,
    /// Its zones are not sound.
    #[error(transparent)]
    Zone(#[from] ZoneError),
    /// Its copies are not sound.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// Its corrections are not sound.
    #[error(transparent)]
    Correction(#[from] CorrectionError),
    /// Its new bytes are not sound.
    #[error(transparent)]
    Extra(#[from] ExtraError),
    /// Old bytes are not to be had.
    #[error(transparent)]
    Old(#[from] OldError),
}

/// A target whose copies are in place.
struct Draft {
    /// Gathered old bytes, and the target behind them.
    buffer: Vec<u8>,
    /// Where the target begins.
    start: usize,
    holes: Vec<Hole>,
}

/// What an encoder decided.
pub(crate) struct Choice<'a> {
    pub(crate) zones: &'a Zones,
    pub(crate) copies: &'a [Copy],
    /// How many places are looked at for one that repeats itself.
    pub(crate) depth: usize,
    /// By what literals are told apart: one of `literals::WAYS_APART`.
    pub(crate) apart: u32,
}

/// How a target is told.
pub(crate) struct Written {
    pub(crate) has_bare: bool,
    pub(crate) body: Vec<u8>,
    /// What its bytes cost.
    pub(crate) costs: Costs,
}

/// Writes how `new` is made of `old`.
///
/// # Errors
/// If the copies lead outside, or old bytes cannot be read.
pub(crate) fn write(new: &[u8], choice: &Choice<'_>, old: &Old<'_>) -> Result<Written, BodyError> {
    let mut writer = Writer::new();
    let mut draft = draft(&mut writer, new, choice, old, new.len())?;
    draft.buffer[draft.start..].copy_from_slice(new);
    let (buffer, way) = ((&draft.buffer[..], draft.start), (choice.depth, choice.apart));
    let bare = extra::write(&mut writer, buffer, &draft.holes, way);
    let mut body = Vec::new();
    if !bare.is_empty() {
        varint::write(&mut body, bare.len() as u64);
        body.extend_from_slice(&bare);
    }
    body.extend_from_slice(&writer.finish());
    let costs = Costs::of(writer.costs());
    Ok(Written { has_bare: !bare.is_empty(), body, costs })
}

/// Makes the target of `target_len` bytes that `body` tells.
pub(crate) fn read(
    body: &[u8],
    has_bare: bool,
    old: &Old<'_>,
    target_len: usize,
    out: &mut Vec<u8>,
) -> Result<(), BodyError> {
    let (bare, coded) = parts(body, has_bare)?;
    match Reader::of_long(coded) {
        Some(reader) => read_coded(reader, bare, old, target_len, out),
        None => read_coded(Reader::new(coded), bare, old, target_len, out),
    }
}

/// Makes the target that the decisions of a `reader` tell, with these bare bytes.
pub(crate) fn read_coded<C: Coder>(
    mut reader: C,
    bare: &[u8],
    old: &Old<'_>,
    target_len: usize,
    out: &mut Vec<u8>,
) -> Result<(), BodyError> {
    let nothing = Choice { zones: &Zones::default(), copies: &[], depth: 0, apart: 0 };
    let mut draft = draft(&mut reader, &[], &nothing, old, target_len)?;
    extra::read(reader, &mut draft.buffer, &draft.holes, bare)?;
    out.extend_from_slice(&draft.buffer[draft.start..]);
    Ok(())
}

/// Parts `body` into its bare bytes and its coded stream.
pub(crate) fn parts(mut body: &[u8], has_bare: bool) -> Result<(&[u8], &[u8]), BodyError> {
    let bare_len = if has_bare { varint::read(&mut body)? } else { 0 };
    let bare_len = usize::try_from(bare_len).map_err(|_| BodyError::CutShort)?;
    body.split_at_checked(bare_len).ok_or(BodyError::CutShort)
}

/// Codes copies and their corrections, and puts them in place.
fn draft<C: Coder>(
    coder: &mut C,
    new: &[u8],
    choice: &Choice<'_>,
    old: &Old<'_>,
    target_len: usize,
) -> Result<Draft, BodyError> {
    let zones = choice.zones.code(coder)?;
    let copies = control::code(coder, choice.copies, target_len as u64, old.len)?;
    let copied: usize = copies.iter().map(|copy| copy.len).sum();
    let missing = target_len - copied;
    let gathers = !copies.is_empty() && coder.even(1, u32::from(missing >= MIN_NEW_BYTES)) == 1;
    let gathered =
        if gathers { Gathered::around(&copies, old.len, missing) } else { Gathered::none() };
    let start = gathered.len;
    let mut buffer = vec![0; start + target_len];
    let mut rest = &mut buffer[..];
    for range in gathered.ranges() {
        let (here, after) = rest.split_at_mut((range.end - range.start) as usize);
        old.read(range.start, here)?;
        rest = after;
    }
    let resembling = resembling(coder, new, (&zones, &copies), old, (&gathered, &buffer))?;
    place(&copies, &resembling, &mut buffer[start..]);
    let holes = holes(&copies, &gathered, target_len);
    Ok(Draft { buffer, start, holes })
}

/// The bytes of all `copies`, one behind the other, corrected.
fn resembling<C: Coder>(
    coder: &mut C,
    new: &[u8],
    (zones, copies): (&Zones, &[Copy]),
    old: &Old<'_>,
    (gathered, buffer): (&Gathered, &[u8]),
) -> Result<Vec<u8>, BodyError> {
    let mut bytes = vec![0; copies.iter().map(|copy| copy.len).sum()];
    let mut rest = &mut bytes[..];
    let mut wanted = Vec::new();
    let mut at = 0;
    for copy in copies {
        let (here, after) = rest.split_at_mut(copy.len);
        match gathered.run(copy.address, copy.len) {
            Some(run) => here.copy_from_slice(&buffer[run]),
            None => old.read(copy.address, here)?,
        }
        rest = after;
        at += copy.extra;
        if C::WRITES {
            wanted.extend_from_slice(&new[at..at + copy.len]);
        }
        at += copy.len;
    }
    if !zones.list.is_empty() {
        references::code(coder, zones, copies, &mut bytes, &wanted);
    }
    corrections::code(coder, copies, &mut bytes, &wanted)?;
    Ok(bytes)
}

/// Puts the bytes of copies to their places in the target.
fn place(copies: &[Copy], mut bytes: &[u8], mut target: &mut [u8]) {
    for copy in copies {
        let (here, left) = bytes.split_at(copy.len);
        let (_, from_copy) = target.split_at_mut(copy.extra);
        let (there, after) = from_copy.split_at_mut(copy.len);
        there.copy_from_slice(here);
        (bytes, target) = (left, after);
    }
}

/// The runs of the target that no copy makes.
fn holes(copies: &[Copy], gathered: &Gathered, target_len: usize) -> Vec<Hole> {
    let mut holes = Vec::new();
    let mut at = gathered.len;
    let mut old_end: Option<u64> = None;
    let mut add = |start: usize, len: usize, before: Option<u64>, after: Option<u64>| {
        if len == 0 {
            return;
        }
        let first = before.and_then(|end| gathered.place(end));
        let last = after.and_then(|start| gathered.place(start.checked_sub(len as u64)?));
        let alike = first.or(last).map(|any| [first.unwrap_or(any), last.unwrap_or(any)]);
        holes.push(Hole { place: start..start + len, alike });
    };
    for copy in copies {
        add(at, copy.extra, old_end, Some(copy.address));
        at += copy.extra + copy.len;
        old_end = Some(copy.address + copy.len as u64);
    }
    add(at, gathered.len + target_len - at, old_end, None);
    holes
}
