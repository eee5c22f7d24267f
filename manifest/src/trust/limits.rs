//! How much metadata may cost, whoever sends it.

/// Bytes of a root file, which nothing announces.
pub const ROOT_BYTES: usize = 512_000;

/// Bytes of a timestamp file, which nothing announces.
pub const TIMESTAMP_BYTES: usize = 16_384;

/// Bytes of a snapshot file whose length the timestamp leaves out.
pub const SNAPSHOT_BYTES: usize = 2_000_000;

/// Bytes of a targets file whose length the snapshot leaves out.
pub const TARGETS_BYTES: usize = 5_000_000;

/// Bytes of any metadata file, even where signed metadata names a length.
pub const NAMED_BYTES: usize = 32 << 20;

/// Roots walked in one refresh (TUF 5.3.3).
pub const ROOT_STEPS: u32 = 1024;

/// Delegated roles visited in one refresh or search (TUF 5.6.7.1).
pub const DELEGATIONS: usize = 32;

/// Bytes of a role's name.
pub const ROLE_NAME_BYTES: usize = 1024;

/// Signatures on one file.
pub const SIGNATURES: usize = 1024;

/// Keys of one role.
pub const KEYS: usize = 4096;

/// Bytes of a public key's text; an RSA key of 8192 bits has 1.5 KB.
pub const KEY_TEXT_BYTES: usize = 16 << 10;

/// Bytes of an announcement's bundle.
pub const ANNOUNCEMENT_BYTES: usize = 64 << 10;

/// Bytes of a metadata answer's bundle.
pub const BUNDLE_BYTES: usize = 4 << 20;

/// Files in one bundle.
pub const BUNDLE_FILES: usize = 1100;

/// Bytes of a file's name in a bundle.
pub const FILE_NAME_BYTES: usize = 255;

/// Files that a metadata request names as held.
pub const REQUEST_FILES: usize = 64;
