//! Closes what a patch made as views: containers, and then lists of hashes.
//!
//! A file is closed one stream at a time, and goes on in pieces of at most a
//! mebibyte: of a whole view or file no more is held than a list has. Each is
//! compared with its hash when its last piece has gone.

use std::collections::HashMap;

use blake3::Hasher;
use container::list::Facts;
use container::{CloseError, Codec, list};
use delta::read_at::ReadAt;
use manifest::content::ContentId;
use manifest::release::limits::PIECE_BYTES;
use manifest::release::link::ViewSteps;
use manifest::release::manifest::ReleaseManifest;

use crate::links::{LinkError, Sink};
use crate::scratch::{Region, Scratch};

/// Closes views that are in a scratch.
pub(crate) struct Closer<'a> {
    /// The release whose files they are.
    pub(crate) to: &'a ReleaseManifest,
    /// Where they are.
    pub(crate) scratch: &'a Scratch,
    /// What makes the streams.
    pub(crate) codec: &'a dyn Codec,
}

impl Closer<'_> {
    /// Closes the views `made`, by row, one at a time, each by its recipe.
    ///
    /// # Errors
    /// [`LinkError::Recipes`], [`LinkError::Recipe`], [`LinkError::Close`],
    /// [`LinkError::Scratch`], and what the sink says.
    pub(crate) fn close<E: From<LinkError>>(
        &self,
        steps: &ViewSteps,
        recipes: Region,
        made: &HashMap<u32, Region>,
        sink: &dyn Sink<E>,
    ) -> Result<(), E> {
        let recipes = self.scratch.read(recipes).map_err(LinkError::Scratch)?;
        let (expected, found) = (steps.recipes, ContentId::of(&recipes));
        if found != expected {
            return Err(LinkError::Recipes { expected, found }.into());
        }
        let decoded = container::recipe::decode(&recipes, &steps.view_lens);
        let recipes = decoded.map_err(LinkError::Recipe)?;
        let is_list = |file: &&(usize, u32)| recipes[file.0].above.is_some();
        let files = steps.files.iter().filter(|file| !is_list(file));
        for (index, row) in files.chain(steps.files.iter().filter(is_list)) {
            let content = self.content(*row);
            let (region, recipe) = (made[row], &recipes[*index]);
            let mut file =
                Closing { row: *row, sink, given: 0, held: Vec::new(), hash: Hasher::new() };
            let closed = match recipe.above {
                None => self.unfold(region, recipe, &mut file),
                Some(above) => {
                    let view = self.scratch.read(region).map_err(LinkError::Scratch)?;
                    if sink.keeps_open(*row, &view)? {
                        continue;
                    }
                    let list = self.fill(*row, above, &view, sink)?.map_err(Stop::Close);
                    list.and_then(|list| file.take(&list).map_err(Stop::Other))
                }
            };
            match closed {
                Ok(()) => (),
                Err(Stop::Other(error)) => return Err(error),
                Err(Stop::Close(source)) => {
                    return Err(LinkError::Close { content, source: Some(source) }.into());
                }
            }
            if file.finish()? != content {
                return Err(LinkError::Close { content, source: None }.into());
            }
        }
        Ok(())
    }

    /// Closes the container whose view is in `region`, one stream at a time.
    fn unfold<E: From<LinkError>>(
        &self,
        region: Region,
        recipe: &container::Recipe,
        file: &mut Closing<'_, E>,
    ) -> Result<(), Stop<E>> {
        let reader = self.scratch.reader(region);
        let mut at = 0;
        let mut next = |bytes: &mut [u8]| {
            let read = reader.read_at(at, bytes).map_err(LinkError::Scratch);
            at += bytes.len() as u64;
            read.map_err(|error| Stop::Other(error.into()))
        };
        let file_len = self.size(file.row);
        let mut give = |bytes: &[u8]| file.take(bytes).map_err(Stop::Other);
        container::close_to(region.len(), &mut next, recipe, file_len, self.codec, &mut give)
    }

    /// The list at `row`, with the hashes of the files that it lists.
    fn fill<E: From<LinkError>>(
        &self,
        row: u32,
        above: u64,
        view: &[u8],
        sink: &dyn Sink<E>,
    ) -> Result<Result<Vec<u8>, CloseError>, E> {
        let entries = self.to.tree().entries();
        // Each file is read once, however often it is listed.
        let mut known: HashMap<usize, Facts> = HashMap::new();
        let mut failed = None;
        let file = list::filled(view, self.size(row), &mut |path| {
            let path = list::resolved(entries[row as usize].path.as_str(), above, path)?;
            let at = entries.binary_search_by(|entry| entry.path.as_str().cmp(&path)).ok()?;
            entries[at].file().filter(|_| failed.is_none())?;
            if let Some(facts) = known.get(&at) {
                return Some(*facts);
            }
            match sink.facts(u32::try_from(at).expect("a tree has fewer rows")) {
                Ok(facts) => Some(*known.entry(at).or_insert(facts)),
                Err(error) => {
                    failed = Some(error);
                    None
                }
            }
        });
        match failed {
            Some(error) => Err(error),
            None => Ok(file),
        }
    }

    fn size(&self, row: u32) -> u64 {
        self.file(row).map_or(0, |(size, _)| size)
    }

    fn content(&self, row: u32) -> ContentId {
        self.file(row).map_or(ContentId::from([0; 32]), |(_, content)| content)
    }

    fn file(&self, row: u32) -> Option<(u64, ContentId)> {
        self.to.tree().entries()[row as usize].file()
    }
}

/// Why a file was not closed.
enum Stop<E> {
    Close(CloseError),
    Other(E),
}

impl<E> From<CloseError> for Stop<E> {
    fn from(error: CloseError) -> Self {
        Self::Close(error)
    }
}

/// A file that is being closed: its bytes go on in pieces.
struct Closing<'a, E> {
    row: u32,
    sink: &'a dyn Sink<E>,
    given: u64,
    held: Vec<u8>,
    hash: Hasher,
}

impl<E> Closing<'_, E> {
    fn take(&mut self, mut bytes: &[u8]) -> Result<(), E> {
        while !bytes.is_empty() {
            let room = PIECE_BYTES as usize - self.held.len();
            let (now, rest) = bytes.split_at(room.min(bytes.len()));
            self.held.extend_from_slice(now);
            bytes = rest;
            if self.held.len() == PIECE_BYTES as usize {
                self.give()?;
            }
        }
        Ok(())
    }

    fn give(&mut self) -> Result<(), E> {
        self.hash.update(&self.held);
        self.sink.write(self.row, self.given, &self.held)?;
        self.given += self.held.len() as u64;
        self.held.clear();
        Ok(())
    }

    /// Gives the last piece; says what all of them are.
    fn finish(mut self) -> Result<ContentId, E> {
        self.give()?;
        Ok(self.hash.finalize().into())
    }
}
