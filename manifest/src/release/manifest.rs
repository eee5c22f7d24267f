//! The release manifest: what a release consists of, to the last byte.

use crate::content::ContentId;
use crate::name::{Platform, ProductName, ReleaseNumber, ReleaseVersion};
use crate::release::codec::{CodecError, Reader, Writer, parse};
use crate::release::layout::{Layout, Shape};
use crate::release::limits::{
    COMMAND_BYTES, ENTRIES, MANIFEST_BYTES, PATH_BYTES, PATHS_BYTES, PROBE_SECONDS, TREE_BYTES,
};
use crate::release::tree::{BadPath, Entry, Kind, Tree, TreeError, TreePath};

/// The first bytes of a release manifest, version 1.
const MAGIC: &[u8; 8] = b"UDrelea\x01";

/// How the release shows that it is well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// A command line for `sh -c`, run in the release's directory.
    pub command: String,
    /// How long it may take before it counts as failed; 1 to 3600 seconds.
    pub deadline_seconds: u32,
}

/// What a release is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// Of which product.
    pub product: ProductName,
    /// For which platform.
    pub platform: Platform,
    /// Its name to people.
    pub version: ReleaseVersion,
    /// Its place among the product's releases.
    pub number: ReleaseNumber,
    /// How it shows that it is well, if it says so.
    pub probe: Option<Probe>,
}

/// A release manifest whose every rule holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseManifest {
    about: About,
    tree: Tree,
    pieces: Vec<Piece>,
}

/// A plain piece: bytes of the release with a name of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// The blake3 of its bytes.
    pub id: ContentId,
    /// Which runs of which files it holds.
    pub shape: Shape,
}

/// A manifest that is not to be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Longer than any manifest.
    #[error("a manifest has at most {MANIFEST_BYTES} bytes, found {found}")]
    TooLong {
        /// Its length in bytes.
        found: usize,
    },
    /// The bytes are no release manifest.
    #[error("the release manifest cannot be read: {0}")]
    Codec(#[from] CodecError),
    /// A path in it could lead out of the release.
    #[error("the release manifest names a bad path: {0}")]
    Path(#[from] BadPath),
    /// Its rows make no tree.
    #[error("the release manifest's tree is refused: {0}")]
    Tree(#[from] TreeError),
    /// Ids that do not fit the pieces of the tree.
    #[error("the tree has {expected} pieces, {found} ids were given")]
    PieceCount {
        /// Pieces of the layout.
        expected: usize,
        /// Ids that were given.
        found: usize,
    },
    /// A piece that is a whole file, under another id than that file's.
    #[error("piece {piece} is the whole of {path}, but its id is another")]
    PieceId {
        /// Its index.
        piece: usize,
        /// The file.
        path: TreePath,
    },
}

impl ReleaseManifest {
    /// The manifest of `tree`, whose pieces, in the order of
    /// [`Layout::of`], have these ids.
    ///
    /// # Errors
    /// If the ids do not fit the tree.
    pub fn new(about: About, tree: Tree, ids: Vec<ContentId>) -> Result<Self, ManifestError> {
        let shapes = Layout::of(&tree).shapes;
        if shapes.len() != ids.len() {
            return Err(ManifestError::PieceCount { expected: shapes.len(), found: ids.len() });
        }
        let pieces: Vec<Piece> =
            shapes.into_iter().zip(ids).map(|(shape, id)| Piece { id, shape }).collect();
        for (index, piece) in pieces.iter().enumerate() {
            if let Some((entry, content)) = whole_file(&tree, &piece.shape)
                && content != piece.id
            {
                return Err(ManifestError::PieceId { piece: index, path: entry.path.clone() });
            }
        }
        Ok(Self { about, tree, pieces })
    }

    /// What the release is called.
    #[must_use]
    pub const fn about(&self) -> &About {
        &self.about
    }

    /// Its files, directories and links.
    #[must_use]
    pub const fn tree(&self) -> &Tree {
        &self.tree
    }

    /// Its plain pieces.
    #[must_use]
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// The plain encoding, whose blake3 and sha256 name the manifest.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.raw(MAGIC);
        out.text(self.about.product.as_str());
        out.text(self.about.platform.as_str());
        out.text(self.about.version.as_str());
        out.varint(self.about.number.0);
        match &self.about.probe {
            None => out.varint(0),
            Some(probe) => {
                out.varint(u64::from(probe.deadline_seconds));
                out.text(&probe.command);
            }
        }
        let entries = self.tree.entries();
        out.count(entries.len());
        // Columns, not rows: what changes together stands together, so that
        // the delta of a manifest stays small.
        let mut before = "";
        for entry in entries {
            let path = entry.path.as_str();
            let shared = shared_prefix(before, path);
            out.count(shared);
            out.text(&path[shared..]);
            before = path;
        }
        for entry in entries {
            let kind = match entry.kind {
                Kind::Directory => 0,
                Kind::Symlink { .. } => 1,
                Kind::File { .. } => 2,
            };
            out.varint(u64::from(entry.mode << 2 | kind));
        }
        for entry in entries {
            if let Kind::Symlink { target } = &entry.kind {
                out.text(target);
            }
        }
        for (size, _) in entries.iter().filter_map(Entry::file) {
            out.varint(size);
        }
        for (_, content) in entries.iter().filter_map(Entry::file) {
            out.id(&content);
        }
        for piece in &self.pieces {
            if whole_file(&self.tree, &piece.shape).is_none() {
                out.id(&piece.id);
            }
        }
        out.finish()
    }

    /// The id of the plain encoding.
    #[must_use]
    pub fn id(&self) -> ContentId {
        ContentId::of(&self.encode())
    }

    /// Reads a plain encoding.
    ///
    /// # Errors
    /// What is wrong with it, before more memory is taken than a few times
    /// its own length.
    pub fn decode(bytes: &[u8]) -> Result<Self, ManifestError> {
        if bytes.len() > MANIFEST_BYTES {
            return Err(ManifestError::TooLong { found: bytes.len() });
        }
        let mut input = Reader::new(bytes);
        read_magic(&mut input, MAGIC)?;
        let about = read_about(&mut input)?;
        let tree = read_tree(&mut input)?;
        // Large files have an id for each of their pieces, except those of one piece.
        let cut = Layout::cut_count(&tree);
        let room = (input.remaining() / 32 + tree.entries().len()) as u64;
        if cut > room {
            let what = "the number of pieces";
            return Err(CodecError::TooLarge { what, found: cut, allowed: room }.into());
        }
        let mut ids = Vec::new();
        for shape in Layout::of(&tree).shapes {
            ids.push(match whole_file(&tree, &shape) {
                Some((_, content)) => content,
                None => input.id("a piece's id")?,
            });
        }
        input.finish()?;
        Self::new(about, tree, ids)
    }
}

/// The file that a piece is the whole of: then its id is the file's.
fn whole_file<'a>(tree: &'a Tree, shape: &Shape) -> Option<(&'a Entry, ContentId)> {
    let [part] = shape.parts[..] else { return None };
    let entry = &tree.entries()[part.row as usize];
    let (size, content) = entry.file()?;
    (size == u64::from(part.len)).then_some((entry, content))
}

/// How many leading bytes two texts share, up to a character's boundary.
fn shared_prefix(a: &str, b: &str) -> usize {
    let mut shared = a.bytes().zip(b.bytes()).take_while(|(x, y)| x == y).count();
    while !b.is_char_boundary(shared) {
        shared -= 1;
    }
    shared
}

pub(crate) fn read_magic(input: &mut Reader<'_>, magic: &[u8; 8]) -> Result<(), CodecError> {
    let found = input.raw(8, "its first eight bytes")?;
    if found == magic {
        return Ok(());
    }
    let why = format!("expected {:?}, found {:?}", magic.escape_ascii(), found.escape_ascii());
    Err(CodecError::Invalid { what: "the magic", why })
}

fn read_about(input: &mut Reader<'_>) -> Result<About, CodecError> {
    let product = parse(input.text(32, "the product")?, "the product")?;
    let platform = parse(input.text(32, "the platform")?, "the platform")?;
    let version = parse(input.text(64, "the version")?, "the version")?;
    let number = ReleaseNumber(input.varint("the release number")?);
    let probe = match input.bounded_u32(PROBE_SECONDS, "the probe's deadline")? {
        0 => None,
        deadline_seconds => {
            let command = input.text(COMMAND_BYTES, "the probe's command")?.to_owned();
            Some(Probe { command, deadline_seconds })
        }
    };
    Ok(About { product, platform, version, number, probe })
}

fn read_tree(input: &mut Reader<'_>) -> Result<Tree, ManifestError> {
    // A path, a mode: at least four bytes an entry.
    let count = input.count(ENTRIES, 4, "the number of entries")?;
    let mut paths: Vec<TreePath> = Vec::with_capacity(count);
    let mut path_bytes = 0usize;
    for _ in 0..count {
        let before = paths.last().map_or("", TreePath::as_str);
        let shared = input.bounded(before.len() as u64, "a path's shared prefix")?;
        let shared = usize::try_from(shared).expect("it is within a path's length");
        let rest = input.text(PATH_BYTES, "a path")?;
        let Some(prefix) = before.get(..shared) else {
            let why = "it cuts a character in two".to_owned();
            return Err(CodecError::Invalid { what: "a path's shared prefix", why }.into());
        };
        // Front-coding could unfold a small manifest into gigabytes of paths.
        path_bytes += prefix.len() + rest.len();
        if path_bytes > PATHS_BYTES {
            let (found, allowed) = (path_bytes as u64, PATHS_BYTES as u64);
            let what = "the length of all paths";
            return Err(CodecError::TooLarge { what, found, allowed }.into());
        }
        let path: TreePath = format!("{prefix}{rest}").parse()?;
        if shared != shared_prefix(before, path.as_str()) {
            let why = format!("the path {path} shares more with the one before");
            return Err(CodecError::Invalid { what: "a path's shared prefix", why }.into());
        }
        paths.push(path);
    }
    let mut modes = Vec::with_capacity(count);
    for _ in 0..count {
        modes.push(input.bounded_u32(0o777 << 2 | 2, "a mode")?);
    }
    let mut targets = Vec::new();
    for _ in modes.iter().filter(|mode| **mode & 3 == 1) {
        targets.push(input.text(PATH_BYTES, "a link's target")?.to_owned());
    }
    let files = modes.iter().filter(|mode| **mode & 3 == 2).count();
    let mut sizes = Vec::with_capacity(files);
    for _ in 0..files {
        sizes.push(input.bounded(TREE_BYTES, "a file's size")?);
    }
    let (mut targets, mut sizes) = (targets.into_iter(), sizes.into_iter());
    let mut entries = Vec::with_capacity(count);
    for (path, mode) in paths.into_iter().zip(modes) {
        let kind = match mode & 3 {
            0 => Kind::Directory,
            1 => Kind::Symlink { target: targets.next().expect("one was read for each link") },
            2 => {
                let size = sizes.next().expect("one was read for each file");
                Kind::File { size, content: input.id("a file's content id")? }
            }
            kind => {
                let why = format!("found {kind}, expected 0, 1 or 2");
                return Err(CodecError::Invalid { what: "a kind", why }.into());
            }
        };
        entries.push(Entry { path, mode: mode >> 2, kind });
    }
    Ok(Tree::new(entries)?)
}
