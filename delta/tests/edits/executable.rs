//! Executables that no machine ever ran: functions that call each other,
//! tables that point to them, and the ELF around.

use super::Random;

const PAGE: usize = 0x1000;

/// A section of the file to be.
struct Section {
    name: &'static str,
    kind: u32,
    flags: u64,
    bytes: Vec<u8>,
}

/// An ELF library of so many functions; some have `grown` since, at every
/// 17th, by a few bytes, which moves all that follows.
pub(crate) fn library(functions: usize, grown: bool) -> Vec<u8> {
    elf(&sections(functions, grown))
}

/// The same as PE, as far as a reader of sections sees.
pub(crate) fn windows_library(functions: usize, grown: bool) -> Vec<u8> {
    let sections = sections(functions, grown);
    let mut out = vec![0; PAGE];
    out[..2].copy_from_slice(b"MZ");
    out[0x3c] = 0x80;
    let mut head = b"PE\0\0\x64\x86".to_vec();
    head.extend((sections.len() as u16).to_le_bytes());
    head.extend([0; 12]);
    head.extend([240, 0, 0x22, 0]);
    let mut optional = vec![0; 240];
    optional[..2].copy_from_slice(&[0x0b, 2]);
    head.extend(optional);
    for (va, section) in &sections {
        let name = section.name.split('.').nth(1).unwrap();
        let mut row = name.as_bytes()[..name.len().min(8)].to_vec();
        row.insert(0, b'.');
        row.resize(8, 0);
        let len = section.bytes.len() as u32;
        let flags = if section.flags & 4 == 0 { 0x4000_0040 } else { 0x6000_0020 };
        for field in [len, *va as u32, len, out.len() as u32, 0, 0, 0, flags] {
            row.extend(u32::to_le_bytes(field));
        }
        head.extend(row);
        out.extend(&section.bytes);
    }
    out[0x80..0x80 + head.len()].copy_from_slice(&head);
    out
}

/// The same as Mach-O, as far as a reader of sections sees.
pub(crate) fn mac_library(functions: usize, grown: bool) -> Vec<u8> {
    let sections = sections(functions, grown);
    let mut out = vec![0; PAGE];
    let mut head = Vec::new();
    let command_len = 72 + 80 * sections.len() as u32;
    for word in [0xfeed_facf, 0x0100_0007, 3, 6, 1, command_len, 0, 0, 0x19, command_len] {
        head.extend(u32::to_le_bytes(word));
    }
    head.extend([0; 56]);
    head.extend((sections.len() as u32).to_le_bytes());
    head.extend([0; 4]);
    for (va, section) in &sections {
        let mut row = section.name.replace('.', "_").into_bytes();
        row.resize(16, 0);
        row.extend(if section.flags & 1 == 0 { b"__TEXT" } else { b"__DATA" });
        row.resize(32, 0);
        row.extend((*va as u64).to_le_bytes());
        row.extend((section.bytes.len() as u64).to_le_bytes());
        let flags = if section.flags & 4 == 0 { 0 } else { 0x8000_0400 };
        for field in [out.len() as u32, 4, 0, 0, flags, 0, 0, 0] {
            row.extend(u32::to_le_bytes(field));
        }
        head.extend(row);
        out.extend(&section.bytes);
    }
    out[..head.len()].copy_from_slice(&head);
    out
}

/// The same for two architectures, in one file.
pub(crate) fn universal_library(functions: usize, grown: bool) -> Vec<u8> {
    let slices = [mac_library(functions, grown), mac_library(functions / 2, grown)];
    let mut out: Vec<u8> = [0xcafe_babe, 2].map(u32::to_be_bytes).concat();
    let mut start = PAGE;
    for slice in &slices {
        let row = [0x0100_0007, 3, start as u32, slice.len() as u32, 12];
        out.extend(row.map(u32::to_be_bytes).concat());
        start += slice.len().next_multiple_of(PAGE);
    }
    for slice in &slices {
        out.resize(out.len().next_multiple_of(PAGE), 0);
        out.extend(slice);
    }
    out
}

/// What is in such a library, each section at its address.
fn sections(functions: usize, grown: bool) -> Vec<(usize, Section)> {
    let len = |index: usize| 60 + index * 37 % 150 + if grown && index % 17 == 5 { 12 } else { 0 };
    let starts: Vec<usize> = (0..=functions)
        .scan(0, |next, index| {
            let start = *next;
            *next += len(index);
            Some(start)
        })
        .collect();
    let text_va = 0x10_0000;
    let data_va = 0x80_0000 + if grown { 0x340 } else { 0 };
    let va = |index: usize| text_va + starts[index];

    let mut text = Vec::new();
    for index in 0..functions {
        let mut random = Random(index as u64);
        while text.len() + 20 < starts[index + 1] {
            let callee = random.below(functions);
            let next = text_va + text.len() + 5;
            text.push(0xe8);
            text.extend((va(callee).wrapping_sub(next) as u32).to_le_bytes());
            let next = text_va + text.len() + 7;
            text.extend([0x48, 0x8d, 0x05]);
            let there = data_va + random.below(functions) * 8;
            text.extend((there.wrapping_sub(next) as u32).to_le_bytes());
            text.extend(&[0x48, 0x89, 0xc3, 0x85, 0xc0, 0x74, 0x13][..random.below(8).min(7)]);
        }
        text.resize(starts[index + 1], 0x90);
    }
    let pointers: Vec<u8> =
        (0..functions).flat_map(|index| (va(index * 7 % functions) as u64).to_le_bytes()).collect();
    let relocations = (0..functions).flat_map(|index| {
        let fields = [(data_va + index * 8) as u64, 8, va(index * 7 % functions) as u64];
        fields.into_iter().flat_map(u64::to_le_bytes)
    });
    let frames_va = 0x40_0000;
    let mut frames = Vec::new();
    frames.extend(
        [16u32, 0, 0x0052_7a01, 0x0178_1001, 0x0700_1b0c].iter().flat_map(|w| w.to_le_bytes()),
    );
    let mut index = Vec::new();
    for function in 0..functions {
        let at = frames.len();
        let distance = va(function).wrapping_sub(frames_va + at + 8) as u32;
        let size = (starts[function + 1] - starts[function]) as u32;
        for word in [20, at as u32 + 4, distance, size, 0x100e_4100, 0] {
            frames.extend(word.to_le_bytes());
        }
        let base = 0x20_0000;
        index.extend((va(function).wrapping_sub(base) as u32).to_le_bytes());
        index.extend(((frames_va + at).wrapping_sub(base) as u32).to_le_bytes());
    }
    let header = [[1, 0x1b, 3, 0x3b], [0; 4], (functions as u32).to_le_bytes()].concat();
    vec![
        (0x1000, Section { name: ".rela.dyn", kind: 4, flags: 2, bytes: relocations.collect() }),
        (
            0x20_0000,
            Section { name: ".eh_frame_hdr", kind: 1, flags: 2, bytes: [header, index].concat() },
        ),
        (frames_va, Section { name: ".eh_frame", kind: 1, flags: 2, bytes: frames }),
        (text_va, Section { name: ".text", kind: 1, flags: 6, bytes: text }),
        (data_va, Section { name: ".data.rel.ro", kind: 1, flags: 3, bytes: pointers }),
    ]
}

/// The ELF file of sections at their addresses.
fn elf(sections: &[(usize, Section)]) -> Vec<u8> {
    let mut out = vec![0; PAGE];
    let mut headers = vec![0; 64];
    let mut names = vec![0];
    for (va, section) in sections {
        let at = out.len();
        out.extend(&section.bytes);
        out.resize(out.len().next_multiple_of(16), 0);
        headers.extend((names.len() as u32).to_le_bytes());
        headers.extend(section.kind.to_le_bytes());
        for field in [section.flags, *va as u64, at as u64, section.bytes.len() as u64, 0, 16, 0] {
            headers.extend(field.to_le_bytes());
        }
        names.extend(section.name.as_bytes());
        names.push(0);
    }
    headers.extend((names.len() as u32).to_le_bytes());
    headers.extend(3u32.to_le_bytes());
    for field in [0, 0, out.len() as u64, names.len() as u64 + 10, 0, 1, 0] {
        headers.extend(u64::to_le_bytes(field));
    }
    names.extend(b".shstrtab\0");
    out.extend(&names);
    let table = out.len() as u64;
    out.extend(&headers);
    out[..6].copy_from_slice(b"\x7fELF\x02\x01");
    out[16..20].copy_from_slice(&[3, 0, 62, 0]);
    out[40..48].copy_from_slice(&table.to_le_bytes());
    let count = sections.len() as u16 + 2;
    out[60..62].copy_from_slice(&count.to_le_bytes());
    out[62..64].copy_from_slice(&(count - 1).to_le_bytes());
    out
}
