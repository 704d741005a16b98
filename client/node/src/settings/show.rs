//! Settings as text: in the file's format, so that what is shown can be put into a file.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::Settings;
use super::keys::{KEYS, Kind};
use super::values::{Entry, Origin, Values};

/// Where comments begin, if there is room.
const COLUMN: usize = 40;

impl Settings {
    /// As text, in the file's format; with the origin of each value if wanted.
    pub fn show(&self, origin: bool) -> String {
        let mut text = format!("# data: {}\n", self.data.display());
        for entry in self.values.entries() {
            let line = line(entry);
            let _ = match origin {
                true => writeln!(text, "{line:COLUMN$} # {}", entry.origin),
                false => writeln!(text, "{line}"),
            };
        }
        text
    }

    /// As JSON: an object of values, or of objects with `value` and `origin`.
    pub fn to_json(&self, origin: bool) -> Value {
        let data = json!(self.data.display().to_string());
        let data = match origin {
            true => json!({ "value": data }),
            false => data,
        };
        let mut object = Map::from_iter([("data".to_owned(), data)]);
        for entry in self.values.entries() {
            let value = match (is_list(entry.name), entry.texts.first()) {
                (true, _) => json!(entry.texts),
                (false, Some(text)) => json!(text),
                (false, None) => Value::Null,
            };
            let value = match origin {
                true => json!({ "value": value, "origin": entry.origin.to_string() }),
                false => value,
            };
            object.insert(entry.name.to_owned(), value);
        }
        Value::Object(object)
    }
}

/// A file in which everything is explained, and what nobody has set is commented out.
pub(super) fn sample(values: &Values) -> String {
    let mut text = String::from(
        "# A node for payment channels. Flags (--listen) and the environment (PERUND_LISTEN) go before\n\
         # what is set here; \"perund config show --origin\" tells what holds, and why.\n",
    );
    for entry in values.entries() {
        let help = KEYS.iter().find(|key| key.name == entry.name);
        let help = help.map_or("", |key| key.help);
        let comment = match entry.origin {
            Origin::Default => "#",
            _ => "",
        };
        let _ = write!(text, "\n# {help}.\n{comment}{}\n", line(entry));
    }
    text
}

fn line(entry: &Entry) -> String {
    let value = match (is_list(entry.name), entry.texts.first()) {
        (true, _) => {
            let texts: Vec<_> = entry.texts.iter().map(|text| quoted(text)).collect();
            format!("[{}]", texts.join(", "))
        }
        (false, Some(text)) => quoted(text),
        (false, None) => "\"\"".to_owned(),
    };
    format!("{}: {value}", entry.name)
}

fn is_list(name: &str) -> bool {
    let mut keys = KEYS.iter();
    keys.any(|key| key.name == name && key.kind == Kind::Many)
}

/// Quoted, unless it certainly means itself in YAML.
fn quoted(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:".contains(&byte);
    let begins_well = text.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '/');
    if begins_well && !text.ends_with(':') && text.bytes().all(is_plain) {
        return text.to_owned();
    }
    // A JSON string is a YAML string.
    json!(text).to_string()
}
