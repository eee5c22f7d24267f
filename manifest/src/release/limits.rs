//! Bounds on what a manifest may declare, each checked before memory is taken.

/// A release or patch manifest in its plain encoding.
pub const MANIFEST_BYTES: usize = 64 * 1024 * 1024;

/// Files, directories and links of one release.
pub const ENTRIES: usize = 1_000_000;

/// Bytes of one release, unpacked: a tebibyte.
pub const TREE_BYTES: u64 = 1 << 40;

/// Bytes of a path, as of `PATH_MAX`, and of a link's target.
pub const PATH_BYTES: usize = 4096;

/// Bytes of all paths of one release together.
pub const PATHS_BYTES: usize = 128 * 1024 * 1024;

/// Bytes of one component of a path, as of `NAME_MAX`.
pub const COMPONENT_BYTES: usize = 255;

/// Bytes of one piece: a run of a file, or a pack of small files.
pub const PIECE_BYTES: u32 = 1024 * 1024;

/// Files below this are packed together.
pub const SMALL_FILE_BYTES: u64 = 256 * 1024;

/// A pack may close where the path's hash says so once it holds this much.
pub const PACK_FLOOR_BYTES: u32 = 256 * 1024;

/// Bytes of a probe's command line.
pub const COMMAND_BYTES: usize = 4096;

/// The longest that a probe may take, in seconds.
pub const PROBE_SECONDS: u32 = 3600;

/// Sources that a patch may define.
pub const PATCH_SOURCES: usize = 65_536;

/// Sources that one delta may read.
pub const DELTA_SOURCES: usize = 16;

/// Deltas that may stand behind one, each made from what the next one makes.
pub const DELTA_LEVELS: usize = 2;

/// Bytes of one delta object: a piece as it is, and room for its header.
pub const DELTA_BYTES: u32 = PIECE_BYTES + 64 * 1024;

/// Files that one patch may make as views.
pub const OPENED_FILES: usize = 65_536;

/// Bytes of one view: a file with the plain text in place of its streams.
pub const VIEW_BYTES: u64 = 64 * 1024 * 1024;

/// Bytes of all recipes of one patch.
pub const RECIPES_BYTES: u64 = 64 * 1024 * 1024;

/// Patches that a plan may apply one after the other.
pub const LINKS: usize = 8;
