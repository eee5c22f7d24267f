//! Shell patterns over target paths, as in TUF 4.5 (PATHPATTERN).
//!
//! `*`, `?` and `[…]` match within one path component and never `/`; letters
//! keep their case; there is no escape character. Time is at most the product
//! of the two lengths, whatever the pattern.

/// Whether `path` is one that `pattern` speaks of.
#[must_use]
pub fn matches(pattern: &str, path: &str) -> bool {
    let mut patterns = pattern.split('/');
    let mut parts = path.split('/');
    loop {
        match (patterns.next(), parts.next()) {
            (None, None) => return true,
            (Some(pattern), Some(part)) if component_matches(pattern, part) => {}
            _ => return false,
        }
    }
}

/// Matches one component; on failure the last `*` takes one more character.
fn component_matches(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    let (mut p, mut t) = (0, 0);
    let mut last_star: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&'*') {
            p += 1;
            last_star = Some((p, t));
        } else if let Some(next) = one_matches(&pattern, p, text[t]) {
            p = next;
            t += 1;
        } else if let Some((after_star, taken)) = last_star {
            p = after_star;
            t = taken + 1;
            last_star = Some((after_star, t));
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// Matches `c` against the one-character pattern at `p`; gives where the next
/// one begins.
fn one_matches(pattern: &[char], p: usize, c: char) -> Option<usize> {
    match *pattern.get(p)? {
        '?' => Some(p + 1),
        '[' => match set_at(pattern, p) {
            Some((set, end)) => contains(set, c).then_some(end),
            // Without its bracket it is a plain character.
            None => (c == '[').then_some(p + 1),
        },
        plain => (plain == c).then_some(p + 1),
    }
}

/// The inside of the set that opens at `p`, and the place after its `]`.
fn set_at(pattern: &[char], p: usize) -> Option<(&[char], usize)> {
    let mut end = p + 1;
    if pattern.get(end) == Some(&'!') {
        end += 1;
    }
    // A bracket that comes first is a member.
    if pattern.get(end) == Some(&']') {
        end += 1;
    }
    while *pattern.get(end)? != ']' {
        end += 1;
    }
    Some((&pattern[p + 1..end], end + 1))
}

fn contains(set: &[char], c: char) -> bool {
    let (negated, set) = match set {
        ['!', rest @ ..] => (true, rest),
        _ => (false, set),
    };
    let mut found = false;
    let mut i = 0;
    while i < set.len() {
        if i + 2 < set.len() && set[i + 1] == '-' {
            found |= (set[i]..=set[i + 2]).contains(&c);
            i += 3;
        } else {
            found |= set[i] == c;
            i += 1;
        }
    }
    found != negated
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_specification_hold() {
        for (pattern, path, yes) in [
            ("targets/*.tgz", "targets/foo.tgz", true),
            ("targets/*.tgz", "targets/foo.txt", false),
            ("foo-version-?.tgz", "foo-version-2.tgz", true),
            ("foo-version-?.tgz", "foo-version-alpha.tgz", false),
            ("*.tgz", "foo.tgz", true),
            ("*.tgz", "targets/foo.tgz", false),
            ("foo.tgz", "foo.tgz", true),
            ("foo.tgz", "bar.tgz", false),
        ] {
            assert_eq!(matches(pattern, path), yes, "{pattern} {path}");
        }
    }

    #[test]
    fn a_star_does_not_cross_a_slash() {
        assert!(matches("hello/stable/*/*", "hello/stable/linux/1.release"));
        assert!(!matches("hello/stable/*/*", "hello/stable/linux/a/1.release"));
        assert!(!matches("hello/stable/*/*", "hello/stable/1.release"));
        assert!(!matches("*", "a/b"));
        assert!(!matches("a?b", "a/b"));
        assert!(!matches("a[/]b", "a/b"));
    }

    #[test]
    fn sets_ranges_and_odd_characters() {
        for (pattern, path, yes) in [
            ("[abc]", "b", true),
            ("[!abc]", "b", false),
            ("[!abc]", "d", true),
            ("[a-c]x", "bx", true),
            ("[]]", "]", true),
            ("[a-]", "-", true),
            ("[", "[", true),
            ("[ab", "[ab", true),
            ("\\*", "\\x", true),
            ("\u{e9}?", "\u{e9}\u{1f600}", true),
            ("A", "a", false),
            ("", "", true),
            ("*", "", true),
        ] {
            assert_eq!(matches(pattern, path), yes, "{pattern} {path}");
        }
    }

    #[test]
    fn many_stars_take_no_time() {
        let pattern = "*a".repeat(5000);
        let text = "a".repeat(4999);
        assert!(!matches(&pattern, &text));
        assert!(matches(&pattern, &"a".repeat(5000)));
    }
}
