//! What is spread: objects that everybody's disk holds alike.

use std::collections::BTreeMap;

use bytes::Bytes;
use manifest::content::ContentId;
use swarm::block::ObjectSize;
use swarm::dice::Dice;
use swarm::shelf::Read;

/// The objects of one update.
#[derive(Debug)]
pub(crate) struct Goods {
    objects: BTreeMap<ContentId, Bytes>,
}

impl Goods {
    /// `count` objects of `bytes` together, which do not compress.
    #[must_use]
    pub(crate) fn new(bytes: usize, count: usize, dice: &mut Dice) -> Self {
        let mut objects = BTreeMap::new();
        for _ in 0..count {
            let words = (bytes / count).div_ceil(8);
            let object: Vec<u8> = (0..words).flat_map(|_| dice.roll().to_le_bytes()).collect();
            objects.insert(ContentId::of(&object), Bytes::from(object));
        }
        Self { objects }
    }

    /// Each object and its size.
    pub(crate) fn list(&self) -> impl Iterator<Item = (ContentId, ObjectSize)> + '_ {
        self.objects.iter().map(|(id, bytes)| (*id, size(bytes)))
    }

    /// Bytes of one object.
    #[must_use]
    pub(crate) fn read(&self, read: &Read) -> Option<Bytes> {
        let start = usize::try_from(read.offset).ok()?;
        let object = self.objects.get(&read.object)?;
        let end = start.checked_add(read.len as usize)?;
        (end <= object.len()).then(|| object.slice(start..end))
    }

    /// How many objects there are.
    #[must_use]
    pub(crate) fn count(&self) -> usize {
        self.objects.len()
    }

    /// Bytes of all objects.
    #[must_use]
    pub(crate) fn bytes(&self) -> usize {
        self.objects.values().map(Bytes::len).sum()
    }
}

fn size(bytes: &Bytes) -> ObjectSize {
    ObjectSize::new(bytes.len() as u64).expect("the objects of a plan are small")
}
