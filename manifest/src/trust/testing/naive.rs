//! The same answers, found in the plainest way that the specification allows:
//! what clever code is held against.
//!
//! Slow, unbounded, and for small inputs only.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// OLPC canonical JSON; `None` for a float.
#[must_use]
pub fn canonical(value: &Value) -> Option<String> {
    let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    Some(match value {
        Value::Null | Value::Bool(_) => value.to_string(),
        Value::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => number.to_string(),
            (None, Some(number)) => number.to_string(),
            (None, None) => return None,
        },
        Value::String(text) => quoted(text),
        Value::Array(items) => {
            let items: Option<Vec<String>> = items.iter().map(canonical).collect();
            format!("[{}]", items?.join(","))
        }
        Value::Object(members) => {
            let mut names: Vec<(Vec<char>, &String)> =
                members.keys().map(|name| (name.chars().collect(), name)).collect();
            names.sort();
            let members: Option<Vec<String>> = names
                .into_iter()
                .map(|(_, name)| Some(format!("{}:{}", quoted(name), canonical(&members[name])?)))
                .collect();
            format!("{{{}}}", members?.join(","))
        }
    })
}

/// Whether `path` is one of PATHPATTERN `pattern` (TUF 4.5, glob(7)).
#[must_use]
pub fn matches(pattern: &str, path: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let path: Vec<char> = path.chars().collect();
    matches_from(&pattern, &path)
}

fn matches_from(pattern: &[char], path: &[char]) -> bool {
    let Some((first, rest)) = pattern.split_first() else { return path.is_empty() };
    let one = |yes: bool, rest: &[char]| yes && matches_from(rest, &path[1..]);
    let next = path.first().copied();
    match first {
        '*' => (0..=path.len())
            .take_while(|taken| !path[..*taken].contains(&'/'))
            .any(|taken| matches_from(rest, &path[taken..])),
        '?' => one(next.is_some_and(|c| c != '/'), rest),
        '[' => match set(rest) {
            Some((members, rest)) => one(next.is_some_and(|c| c != '/' && members(c)), rest),
            None => one(next == Some('['), rest),
        },
        plain => one(next == Some(*plain), rest),
    }
}

/// The set at the beginning of `pattern`, behind its bracket, and what follows.
fn set(pattern: &[char]) -> Option<(impl Fn(char) -> bool, &[char])> {
    let component = pattern.split(|c| *c == '/').next()?;
    let negated = component.first() == Some(&'!');
    let inside = &component[usize::from(negated)..];
    // The first character is a member, be it a bracket.
    let len = 1 + inside.get(1..)?.iter().position(|c| *c == ']')?;
    let members = inside[..len].to_vec();
    let rest = &pattern[usize::from(negated) + len + 1..];
    let holds = move |c: char| {
        let (mut i, mut found) = (0, false);
        while i < members.len() {
            match members.get(i + 1..i + 3) {
                Some(&['-', last]) => {
                    found |= (members[i]..=last).contains(&c);
                    i += 3;
                }
                _ => {
                    found |= members[i] == c;
                    i += 1;
                }
            }
        }
        found != negated
    };
    Some((holds, rest))
}

/// A delegation: to which role, for which patterns, whether it ends the search.
pub type Delegation = (String, Vec<String>, bool);

/// What the roles say: who delegates to whom, and who has which targets.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    /// The delegations of each role, in order.
    pub delegations: BTreeMap<String, Vec<Delegation>>,
    /// The targets of each role.
    pub targets: BTreeMap<String, BTreeSet<String>>,
}

/// How a visit of a role ended.
enum Visit {
    Found(String),
    GoOn,
    Stop,
}

impl Graph {
    /// TUF 5.6.7 as it reads: the roles visited for `path`, in order, and the
    /// one that has it; at most `most` beside the top-level targets.
    #[must_use]
    pub fn search(&self, path: &str, most: usize) -> (Vec<String>, Option<String>) {
        let mut visited = Vec::new();
        match self.visit("targets", path, most, &mut visited) {
            Visit::Found(role) => (visited, Some(role)),
            Visit::GoOn | Visit::Stop => (visited, None),
        }
    }

    fn visit(&self, role: &str, path: &str, most: usize, visited: &mut Vec<String>) -> Visit {
        if visited.iter().any(|seen| seen == role) {
            return Visit::GoOn;
        }
        if visited.len() > most {
            return Visit::Stop;
        }
        visited.push(role.to_owned());
        if self.targets.get(role).is_some_and(|targets| targets.contains(path)) {
            return Visit::Found(role.to_owned());
        }
        for (name, patterns, terminating) in self.delegations.get(role).into_iter().flatten() {
            if !patterns.iter().any(|pattern| matches(pattern, path)) {
                continue;
            }
            match self.visit(name, path, most, visited) {
                Visit::GoOn if !terminating => {}
                Visit::GoOn => return Visit::Stop,
                end => return end,
            }
        }
        Visit::GoOn
    }
}
