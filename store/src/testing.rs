//! Small releases and the directories that hold them, for tests of this and
//! higher floors.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;

use manifest::content::ContentId;
use manifest::name::ReleaseNumber;
use manifest::release::layout::Layout;
use manifest::release::manifest::{About, Probe, ReleaseManifest};
use manifest::release::tree::{Entry, Kind, Tree};

/// A release of product `hello` whose every byte is in memory.
#[derive(Debug, Clone)]
pub struct TestRelease {
    /// Its manifest.
    pub manifest: Arc<ReleaseManifest>,
    /// Its pieces, in the order of the manifest.
    pub pieces: Vec<Vec<u8>>,
}

/// What stands at a path of a test release.
#[derive(Debug, Clone)]
pub enum Content {
    /// A file with these bytes and permission bits.
    File(Vec<u8>, u32),
    /// A symlink with this target.
    Link(&'static str),
    /// A directory with these permission bits.
    Directory(u32),
}

/// Bytes that look random and grow from `seed`.
#[must_use]
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    hasher.finalize_xof().fill(&mut bytes);
    bytes
}

impl TestRelease {
    /// Release `number` with these rows, in any order; the directories that
    /// hold them must be among them.
    ///
    /// # Panics
    /// If the rows make no tree.
    #[must_use]
    pub fn new(number: u64, mut rows: Vec<(&str, Content)>, probe: Option<&str>) -> Self {
        rows.sort_unstable_by_key(|row| row.0);
        let kind = |content: &Content| match content {
            Content::File(bytes, mode) => {
                let (size, content) = (bytes.len() as u64, ContentId::of(bytes));
                (*mode, Kind::File { size, content })
            }
            Content::Link(target) => (0o777, Kind::Symlink { target: (*target).to_owned() }),
            Content::Directory(mode) => (*mode, Kind::Directory),
        };
        let entry = |(path, content): &(&str, Content)| {
            let (mode, kind) = kind(content);
            Entry { path: path.parse().expect("a plain path"), mode, kind }
        };
        let tree = Tree::new(rows.iter().map(entry).collect()).expect("the rows make a tree");
        let bytes_of = |row: u32| match &rows[row as usize].1 {
            Content::File(bytes, _) => bytes.as_slice(),
            _ => &[],
        };
        let pieces: Vec<Vec<u8>> = Layout::of(&tree)
            .shapes
            .iter()
            .map(|shape| {
                let run = |part: &manifest::release::layout::Part| {
                    let start = usize::try_from(part.offset).expect("it is in memory");
                    bytes_of(part.row)[start..start + part.len as usize].to_vec()
                };
                shape.parts.iter().flat_map(run).collect()
            })
            .collect();
        let about = About {
            product: "hello".parse().expect("a plain name"),
            platform: "linux-x86_64".parse().expect("a plain name"),
            version: format!("{number}.0").parse().expect("a plain version"),
            number: ReleaseNumber(number),
            probe: probe.map(|command| Probe { command: command.to_owned(), deadline_seconds: 2 }),
        };
        let ids = pieces.iter().map(|piece| ContentId::of(piece)).collect();
        let manifest = ReleaseManifest::new(about, tree, ids).expect("the ids are the pieces'");
        Self { manifest: Arc::new(manifest), pieces }
    }

    /// A release with two large files, small ones, a link and modes that
    /// matter; neighbouring numbers share most bytes.
    #[must_use]
    pub fn sample(number: u64) -> Self {
        let mut tool = noise(1, 2_500_000);
        tool[1_200_000..1_200_008].copy_from_slice(&number.to_le_bytes());
        let readme = format!("hello, release {number}\n").into_bytes();
        let rows = vec![
            ("README", Content::File(readme, 0o644)),
            ("bin", Content::Directory(0o755)),
            ("bin/tool", Content::File(tool, 0o755)),
            ("data", Content::Directory(0o555)),
            ("data/same", Content::File(noise(2, 300_000), 0o444)),
            ("data/small", Content::File(noise(3, 5000), 0o600)),
            ("empty", Content::File(Vec::new(), 0o644)),
            ("latest", Content::Link("bin/tool")),
        ];
        Self::new(number, rows, None)
    }

    /// The bytes of the file at `path`.
    ///
    /// # Panics
    /// If there is no such file.
    #[must_use]
    pub fn file(&self, path: &str) -> Vec<u8> {
        let entries = self.manifest.tree().entries();
        let row = entries.iter().position(|entry| entry.path.as_str() == path).expect("the file");
        let row = u32::try_from(row).expect("a tree is small");
        let mut bytes = Vec::new();
        for (piece, content) in self.manifest.pieces().iter().zip(&self.pieces) {
            let mut at = 0;
            for part in &piece.shape.parts {
                if part.row == row {
                    bytes.extend_from_slice(&content[at..at + part.len as usize]);
                }
                at += part.len as usize;
            }
        }
        bytes
    }

    /// Writes the release into `dir`, as a vendor's build would.
    ///
    /// # Errors
    /// Whatever the disk says.
    pub fn write_to(&self, dir: &Path) -> std::io::Result<()> {
        fs::create_dir_all(dir)?;
        let entries = self.manifest.tree().entries();
        for entry in entries {
            let path = dir.join(entry.path.as_str());
            match &entry.kind {
                Kind::Directory => fs::create_dir(&path)?,
                Kind::Symlink { target } => symlink(target, &path)?,
                Kind::File { .. } => fs::write(&path, self.file(entry.path.as_str()))?,
            }
        }
        for entry in entries.iter().rev().filter(|e| !matches!(e.kind, Kind::Symlink { .. })) {
            let mode = fs::Permissions::from_mode(entry.mode);
            fs::set_permissions(dir.join(entry.path.as_str()), mode)?;
        }
        Ok(())
    }
}
