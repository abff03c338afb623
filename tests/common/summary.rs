//! Reads what `--stats` writes.

use serde_json::Value;

/// The summary of one recording.
#[derive(Clone, Debug)]
pub struct Summary {
    json: Value,
}

impl Summary {
    /// Parses the JSON; anything that is no object fails the test.
    pub fn parse(text: &str) -> Summary {
        let json: Value =
            serde_json::from_str(text).unwrap_or_else(|error| panic!("--stats is no JSON: {error}\n{text}"));
        assert!(json.is_object(), "--stats is no JSON object: {text}");
        Summary { json }
    }

    /// A number by its key.
    pub fn number(&self, key: &str) -> f64 {
        self.json[key].as_f64().unwrap_or_else(|| panic!("--stats has no number {key:?}: {}", self.json))
    }

    /// A count by its key.
    pub fn count(&self, key: &str) -> u64 {
        self.json[key].as_u64().unwrap_or_else(|| panic!("--stats has no count {key:?}: {}", self.json))
    }

    /// The sum of shares under a key with reasons.
    pub fn sum(&self, key: &str) -> f64 {
        let reasons =
            self.json[key].as_object().unwrap_or_else(|| panic!("--stats has no object {key:?}: {}", self.json));
        reasons.values().map(|share| share.as_f64().expect("a share is a number")).sum()
    }

    /// Whether a key is there.
    pub fn has(&self, key: &str) -> bool {
        self.json.get(key).is_some()
    }

    /// All of it, for messages.
    pub fn json(&self) -> &Value {
        &self.json
    }
}
