//! Bounds on everything in a log that another machine wrote.

/// One entry's line, without its newline.
pub const LINE_BYTES: usize = 8 * 1024;

/// One text within an entry.
pub const TEXT_BYTES: usize = 512;

/// Characters of a boot id; Linux has 36.
pub const BOOT_ID_BYTES: usize = 64;

/// Key ids that an entry names.
pub const KEY_IDS: usize = 16;

/// Peers whose bytes an entry tells apart; the rest are in the sum.
pub const PEERS: usize = 16;

/// A checkpoint with its signatures: room for sixteen, as C2SP asks.
pub const CHECKPOINT_BYTES: usize = 4 * 1024;

/// Signature lines read from one note.
pub const SIGNATURES: usize = 16;

/// The answer to one `log/1` request; a longer log takes several.
pub const ANSWER_BYTES: usize = 1024 * 1024;

/// A whole log handed to `verify`, about a hundred thousand entries.
pub const LOG_BYTES: usize = 64 * 1024 * 1024;
