//! How views become files again, for all files of a patch together.
//!
//! Columns, not rows: the corrections of files from one hand are alike, so
//! that they pack well beside each other.

use crate::limits::{
    CORRECTIONS_BYTES, LIST_ABOVE, PLAIN_BYTES, RECIPES, RECIPES_BYTES, STREAMS, VIEW_BYTES,
};
use crate::varint;

/// What closes views: streams by preflate-rs 0.7.6 with corrections as it
/// writes them, and lists. Another version of either would be another codec.
pub const CODEC: u32 = 2;

/// Bytes of the view that stay as they are, and a stream's plain text behind them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Bytes that stay as they are.
    pub literal_len: u64,
    /// Bytes of plain text.
    pub plain_len: u64,
    /// What reconstructs the stream from its plain text.
    pub corrections: Vec<u8>,
}

/// How a view becomes the file again.
///
/// What follows the last run stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recipe {
    /// The runs, in order.
    pub runs: Vec<Run>,
    /// If it is a list, which then has no runs: how many directories above its
    /// own its paths begin.
    pub above: Option<u64>,
}

/// Bytes that are no recipes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecipeError {
    /// They end too soon.
    #[error("the recipes end within {what}")]
    Truncated {
        /// What was being read.
        what: &'static str,
    },
    /// A number beyond its bound.
    #[error("the recipes give {what} as {found}, at most {allowed} is allowed")]
    TooLarge {
        /// Which number.
        what: &'static str,
        /// What it is.
        found: u64,
        /// Its bound.
        allowed: u64,
    },
    /// They are for other files.
    #[error("{found} recipes were given for {expected} views")]
    Count {
        /// How many views there are.
        expected: usize,
        /// How many recipes.
        found: u64,
    },
    /// The runs go beyond the view.
    #[error("recipe {index} describes more than the {view_len} bytes of its view")]
    Beyond {
        /// Which recipe.
        index: usize,
        /// Its view's length.
        view_len: u64,
    },
    /// A list with streams.
    #[error("recipe {index} is that of a list, and has streams")]
    Mixed {
        /// Which recipe.
        index: usize,
    },
    /// Something follows where they should end.
    #[error("{found} bytes follow the recipes")]
    Trailing {
        /// How many.
        found: usize,
    },
}

/// The bytes of `recipes`.
#[must_use]
pub fn encode(recipes: &[Recipe]) -> Vec<u8> {
    let mut out = Vec::new();
    let runs = || recipes.iter().flat_map(|recipe| &recipe.runs);
    varint::put(&mut out, recipes.len() as u64);
    for recipe in recipes {
        let is_list = u64::from(recipe.above.is_some());
        varint::put(&mut out, (recipe.runs.len() as u64) << 1 | is_list);
    }
    for above in recipes.iter().filter_map(|recipe| recipe.above) {
        varint::put(&mut out, above);
    }
    for run in runs() {
        varint::put(&mut out, run.literal_len);
    }
    for run in runs() {
        varint::put(&mut out, run.plain_len);
    }
    for run in runs() {
        varint::put(&mut out, run.corrections.len() as u64);
    }
    for run in runs() {
        out.extend_from_slice(&run.corrections);
    }
    out
}

/// Reads the recipes of views with these lengths.
///
/// # Errors
/// [`RecipeError`], before more memory is taken than a few times the length
/// of `bytes`.
pub fn decode(mut bytes: &[u8], view_lens: &[u64]) -> Result<Vec<Recipe>, RecipeError> {
    let input = &mut bytes;
    bounded(input.len() as u64, RECIPES_BYTES, "their own length")?;
    let found = number(input, RECIPES as u64, "their number")?;
    if found != view_lens.len() as u64 {
        return Err(RecipeError::Count { expected: view_lens.len(), found });
    }
    let mut counts = Vec::with_capacity(view_lens.len());
    let mut aboves = Vec::with_capacity(view_lens.len());
    for index in 0..view_lens.len() {
        let found = number(input, (STREAMS as u64) << 1 | 1, "a number of streams")?;
        let count = usize::try_from(found >> 1).expect("it is within a small bound");
        if found & 1 == 1 && count > 0 {
            return Err(RecipeError::Mixed { index });
        }
        counts.push(count);
        aboves.push((found & 1 == 1).then_some(0));
    }
    for above in aboves.iter_mut().flatten() {
        *above = number(input, LIST_ABOVE, "where a list's paths begin")?;
    }
    let total: usize = counts.iter().sum();
    // Each run has three numbers: more than could be there are refused first.
    bounded(total as u64, input.len() as u64 / 3, "the number of all streams")?;
    let mut column = |allowed, what| -> Result<Vec<u64>, RecipeError> {
        (0..total).map(|_| number(input, allowed, what)).collect()
    };
    let literals = column(VIEW_BYTES, "a literal's length")?;
    let plains = column(PLAIN_BYTES, "a plain text's length")?;
    let lens = column(CORRECTIONS_BYTES, "a stream's corrections")?;
    let mut numbers = literals.into_iter().zip(plains).zip(lens);
    let mut recipes = Vec::with_capacity(counts.len());
    for (index, (count, view_len)) in counts.into_iter().zip(view_lens).enumerate() {
        let mut left = *view_len;
        let mut runs = Vec::with_capacity(count);
        for ((literal_len, plain_len), len) in numbers.by_ref().take(count) {
            left = left
                .checked_sub(literal_len + plain_len)
                .ok_or(RecipeError::Beyond { index, view_len: *view_len })?;
            let len = usize::try_from(len).expect("it is within a small bound");
            let what = "a stream's corrections";
            let (corrections, rest) =
                input.split_at_checked(len).ok_or(RecipeError::Truncated { what })?;
            *input = rest;
            runs.push(Run { literal_len, plain_len, corrections: corrections.to_vec() });
        }
        recipes.push(Recipe { runs, above: aboves[index] });
    }
    match input.len() {
        0 => Ok(recipes),
        found => Err(RecipeError::Trailing { found }),
    }
}

fn number(input: &mut &[u8], allowed: u64, what: &'static str) -> Result<u64, RecipeError> {
    let found = varint::take(input).ok_or(RecipeError::Truncated { what })?;
    bounded(found, allowed, what)?;
    Ok(found)
}

const fn bounded(found: u64, allowed: u64, what: &'static str) -> Result<(), RecipeError> {
    if found > allowed {
        return Err(RecipeError::TooLarge { what, found, allowed });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> (Vec<Recipe>, Vec<u64>) {
        let run = |literal_len, plain_len, corrections: &[u8]| Run {
            literal_len,
            plain_len,
            corrections: corrections.to_vec(),
        };
        let streams = |runs| Recipe { runs, above: None };
        let one = streams(vec![run(10, 300, b"abc"), run(0, 0, b"")]);
        let list = Recipe { runs: Vec::new(), above: Some(1) };
        (vec![one, list, streams(vec![run(1, 2, b"de")])], vec![320, 7, 3])
    }

    #[test]
    fn recipes_read_as_they_were_written() {
        let (recipes, view_lens) = sample();
        assert_eq!(decode(&encode(&recipes), &view_lens), Ok(recipes));
    }

    #[test]
    fn every_cut_and_every_other_view_is_refused() {
        let (recipes, view_lens) = sample();
        let bytes = encode(&recipes);
        for len in 0..bytes.len() {
            assert!(decode(&bytes[..len], &view_lens).is_err(), "{len}");
        }
        let longer = [bytes.clone(), vec![0]].concat();
        assert_eq!(decode(&longer, &view_lens), Err(RecipeError::Trailing { found: 1 }));
        assert!(matches!(decode(&bytes, &[320, 7]), Err(RecipeError::Count { .. })));
        let beyond = RecipeError::Beyond { index: 0, view_len: 309 };
        assert_eq!(decode(&bytes, &[309, 7, 3]), Err(beyond));
    }

    #[test]
    fn numbers_beyond_their_bounds_are_refused_before_memory_is_taken() {
        let mut many = vec![1];
        varint::put(&mut many, (STREAMS as u64) << 1);
        let refused = decode(&many, &[1]);
        assert!(matches!(refused, Err(RecipeError::TooLarge { .. })), "{refused:?}");
        assert_eq!(decode(&[1, 3, 0], &[1]), Err(RecipeError::Mixed { index: 0 }));
        let far = decode(&[1, 1, 65], &[1]);
        assert!(matches!(far, Err(RecipeError::TooLarge { .. })), "{far:?}");
        let mut long = vec![1, 2];
        varint::put(&mut long, VIEW_BYTES + 1);
        long.extend([0, 0, 0]);
        let refused = decode(&long, &[1]);
        assert!(matches!(refused, Err(RecipeError::TooLarge { .. })), "{refused:?}");
    }
}
