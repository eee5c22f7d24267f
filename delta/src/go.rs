//! What Go (1.20 and later) tells of its functions at run time: one table of
//! tables, which every format of executables carries as it is.

use crate::image::{Image, Part, quad, word};
use crate::zones::{Kind, Place};

/// How the table of tables begins, for processors with pointers of 8 bytes.
const MAGIC: [u8; 6] = [0xf1, 0xff, 0xff, 0xff, 0, 0];

/// `image` with the parts of that table, if it is there, instead of the part
/// that holds it.
pub(crate) fn opened(mut image: Image, bytes: &[u8]) -> Image {
    let text = image.parts.iter().find(|part| matches!(part.name.as_str(), ".text" | "__text"));
    let Some(text) = text.map(|part| part.place.va) else { return image };
    let found = image.parts.iter().enumerate().find_map(|(index, part)| {
        let holds = matches!(part.kind, Kind::Data | Kind::Pointers);
        let at = if holds { table(bytes, &part.place)? } else { return None };
        Some((index, tables(bytes, &part.place, at, text)?))
    });
    if let Some((index, tables)) = found {
        image.parts.splice(index..=index, cut(&image.parts[index].clone(), tables));
    }
    image
}

/// Where in `place` the table of tables begins.
fn table(bytes: &[u8], place: &Place) -> Option<u64> {
    let start = usize::try_from(place.at).ok()?;
    let part = bytes.get(start..start.checked_add(usize::try_from(place.len).ok()?)?)?;
    let begins = |row: &&[u8]| row.starts_with(&MAGIC) && row[7] == 8;
    // It is aligned to 16 bytes at least.
    part.chunks_exact(16).position(|row| begins(&row)).map(|row| row as u64 * 16)
}

/// The parts of the table at `from` in `place`.
fn tables(bytes: &[u8], place: &Place, from: u64, text: u64) -> Option<Vec<Part>> {
    let at = usize::try_from(place.at + from).ok()?;
    let functions = quad(bytes, at + 8)?;
    let start = quad(bytes, at + 24)?;
    let text = if start == 0 { text } else { start };
    let mut ends = [0; 5];
    for (index, end) in ends.iter_mut().enumerate() {
        *end = quad(bytes, at + 32 + 8 * index)?;
    }
    let [names, units, files, counters, index] = ends;
    let entries = index.checked_add(functions.checked_mul(8)?.checked_add(4)?)?;
    // What is told of the last function ends the table.
    let last = at.checked_add(usize::try_from(entries.checked_sub(8)?).ok()?)?;
    let last = index.checked_add(u64::from(word(bytes, last)?))?;
    let told = at.checked_add(usize::try_from(last).ok()?)?;
    let more = u64::from(word(bytes, told.checked_add(28)?)?) + u64::from(*bytes.get(told + 43)?);
    let end = last.checked_add(44 + 4 * more)?;
    let bounds = [names, units, files, counters, index, entries, end, place.len - from];
    if !bounds.is_sorted() {
        return None;
    }
    let va = |offset: u64| place.va + from + offset;
    let part = |name: &str, kind: Kind, start: u64, end: u64, bases: Vec<u64>| Part {
        name: format!("go {name}"),
        kind,
        place: Place { va: va(start), at: place.at + from + start, len: end - start },
        bases,
    };
    // Where function data is counted from is not told here; any place will do.
    let bases = vec![text, va(names), va(counters), 0];
    Some(vec![
        part("head", Kind::Data, 0, names, Vec::new()),
        part("names", Kind::Data, names, units, Vec::new()),
        part("files", Kind::Data, units, counters, Vec::new()),
        part("counters", Kind::Data, counters, index, Vec::new()),
        part("index", Kind::GoIndex, index, entries, vec![text, va(index)]),
        part("functions", Kind::GoFunctions, entries, end, bases),
    ])
}

/// `whole` with `tables` in it.
fn cut(whole: &Part, tables: Vec<Part>) -> Vec<Part> {
    let start = tables.first().map_or(0, |first| first.place.at) - whole.place.at;
    let end = tables.last().map_or(0, |last| last.place.at + last.place.len) - whole.place.at;
    let rest = |name: &str, from: u64, to: u64| Part {
        name: format!("{}{name}", whole.name),
        place: Place { va: whole.place.va + from, at: whole.place.at + from, len: to - from },
        ..whole.clone()
    };
    let before = rest("", 0, start);
    let after = rest(" behind", end, whole.place.len);
    let all = std::iter::once(before).chain(tables).chain([after]);
    all.filter(|part| part.place.len > 0).collect()
}
