//! Generated questions to which both must give one answer.
//!
//! `TRUST_SEED=N` repeats a run; the seed is printed when a test fails.

use manifest::canonical;
use manifest::trust::delegation::SuccinctRoles;
use manifest::trust::pattern;
use serde_json::{Value, json};

use crate::oracle::oracle;

/// A small generator of which only the seed matters.
struct Random(u64);

impl Random {
    fn from_env() -> Self {
        let seed = std::env::var("TRUST_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or(20_261_123);
        println!("TRUST_SEED={seed}");
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn text(&mut self) -> String {
        const ODD: [char; 14] = [
            '"',
            '\\',
            '/',
            '\n',
            '\u{0}',
            '\u{1f}',
            '\u{7f}',
            '\u{e9}',
            '\u{301}',
            '\u{ffff}',
            '\u{e000}',
            '\u{10000}',
            '\u{10ffff}',
            '\u{2028}',
        ];
        (0..self.below(6))
            .map(|_| match self.below(3) {
                0 => ODD[usize::try_from(self.below(14)).unwrap()],
                _ => char::from(b'A' + u8::try_from(self.below(58)).unwrap()),
            })
            .collect()
    }

    fn value(&mut self, depth: u64) -> Value {
        match self.below(if depth == 0 { 6 } else { 9 }) {
            0 => Value::Null,
            1 => (self.below(2) == 0).into(),
            2 => self.next().into(),
            3 => self.next().cast_signed().into(),
            4 => self.below(100).into(),
            5 => self.text().into(),
            6 => (0..self.below(5)).map(|_| self.value(depth - 1)).collect(),
            _ => Value::Object(
                (0..self.below(8)).map(|_| (self.text(), self.value(depth - 1))).collect(),
            ),
        }
    }
}

#[test]
fn canonical_json_is_that_of_securesystemslib() {
    let Some(oracle) = oracle() else { return };
    let mut random = Random::from_env();
    let mut questions: Vec<String> = (0..3000).map(|_| random.value(5).to_string()).collect();
    questions.extend(
        [
            "1.0",
            "1e2",
            "[1, 2 ,3]",
            "\"\\ud800\"",
            "\"\\ud83d\\ude00\"",
            "{\"\\u0061\": 1, \"B\": 2}",
            "",
            "[",
            "{}x",
            "[1,]",
            "{\"a\":0.5}",
            "\"\\/\"",
        ]
        .map(str::to_owned),
    );
    let answers = oracle.ask("canonical", &questions);
    for (question, answer) in questions.iter().zip(answers) {
        let ours = canonical::parse(question.as_bytes(), 1 << 20)
            .ok()
            .and_then(|value| canonical::to_vec(&value).ok())
            .map(hex);
        assert_eq!(ours.as_deref(), answer.as_str(), "{question}");
    }
}

#[test]
fn path_patterns_match_as_in_python_tuf() {
    let Some(oracle) = oracle() else { return };
    let mut random = Random::from_env();
    let mut draw = |letters: &[char]| -> String {
        let count = random.below(9);
        (0..count)
            .map(|_| letters[usize::try_from(random.below(letters.len() as u64)).unwrap()])
            .collect()
    };
    let pattern_letters: Vec<char> = "ab-]*?[!/\u{e9}\n.^".chars().collect();
    let path_letters: Vec<char> = "aab-]b[!/\u{e9}\n.^".chars().collect();
    let pairs: Vec<(String, String)> =
        (0..20_000).map(|_| (draw(&pattern_letters), draw(&path_letters))).collect();
    let questions: Vec<String> = pairs.iter().map(|pair| json!(pair).to_string()).collect();
    let answers = oracle.ask("patterns", &questions);
    let mut matched = 0;
    for ((pattern, path), answer) in pairs.iter().zip(answers) {
        assert_eq!(pattern::matches(pattern, path), answer, "{pattern:?} {path:?}");
        matched += u32::from(answer == true);
    }
    assert!(matched > 200, "only {matched} of the questions were matches");
}

#[test]
fn succinct_bins_are_those_of_python_tuf() {
    let Some(oracle) = oracle() else { return };
    let mut random = Random::from_env();
    let pairs: Vec<(u64, String)> = (0..2000).map(|i| (1 + i % 32, random.text())).collect();
    let questions: Vec<String> = pairs.iter().map(|pair| json!(pair).to_string()).collect();
    let answers = oracle.ask("bins", &questions);
    for ((bit_length, path), answer) in pairs.iter().zip(answers) {
        let bins: SuccinctRoles = serde_json::from_value(json!({
            "keyids": [], "threshold": 1, "bit_length": bit_length, "name_prefix": "bin" }))
        .unwrap();
        let bin = bins.bin_of(path).unwrap();
        assert_eq!(answer, bin.as_str(), "{bit_length} {path:?}");
        assert!(bins.has(&bin));
    }
}

fn hex(bytes: Vec<u8>) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
