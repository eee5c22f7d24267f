//! Who of a site fetches a block from afar.
//!
//! Members on one local network share what they fetch: each block is some
//! one's to bring, so that about one copy crosses the link to the world,
//! however many they are. They agree without a word, by rendezvous hashing:
//! the one with the highest claim fetches.

use manifest::content::ContentId;
use manifest::key::PublicKey;

/// A member's claim to a block of an object.
#[must_use]
pub fn claim(member: &PublicKey, object: ContentId, block: u32) -> u64 {
    let word = |bytes: &[u8; 32]| {
        u64::from_le_bytes(bytes[..8].try_into().expect("eight of thirty-two bytes"))
    };
    let mut mixed = word(member.as_bytes())
        ^ word(object.as_bytes()).rotate_left(17)
        ^ u64::from(block).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    // The finaliser of splitmix64: keys are no secret, claims need only be even.
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use manifest::key::SigningKey;

    use super::*;

    #[test]
    fn blocks_are_divided_evenly_and_most_stay_where_they_were_when_one_leaves() {
        let members: Vec<PublicKey> =
            (1..=5).map(|n| SigningKey::from_seed(&[n; 32]).public()).collect();
        let object = ContentId::of(b"object");
        let owner = |members: &[PublicKey], block| {
            (0..members.len()).max_by_key(|n| claim(&members[*n], object, block)).unwrap()
        };
        let mut share = [0; 5];
        let mut moved = 0;
        for block in 0..2_000 {
            let all = owner(&members, block);
            share[all] += 1;
            moved += usize::from(all != 4 && owner(&members[..4], block) != all);
        }
        assert!(share.iter().all(|share| (300..500).contains(share)), "{share:?}");
        assert_eq!(moved, 0);
    }
}
