//! Short names for channels and proposals, as perunnodecli has them: `ch_1_bob`, `request_2_bob`.
//!
//! They stay the same from one start of the program to the next, because they are kept in a file for
//! each node and user (`~/.local/state/perun/names/`). A number is never given twice.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// How many names are kept of each kind: of what is over, only the newest are of use.
const KEPT: usize = 10_000;

/// The names of one user at one node.
#[derive(Debug, Default)]
pub struct Names {
    book: Book,
    /// Nothing is kept without.
    file: Option<PathBuf>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
struct Book {
    channels: Kind,
    requests: Kind,
}

/// Names of one kind.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
struct Kind {
    /// How many were given.
    given: u64,
    /// What they name, by name.
    ids: BTreeMap<String, String>,
}

/// What a text names.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Named<'a> {
    /// One thing.
    Id(&'a str),
    /// Several.
    Several,
    /// Nothing.
    Nothing,
}

impl Names {
    /// Those of a user at a node.
    pub fn load(node: &str, user: &str) -> Self {
        let Some(folder) = super::config::folder("XDG_STATE_HOME", ".local/state") else {
            return Self::default();
        };
        let plain = |text: &str| -> String {
            let plain = |c: char| {
                if c.is_ascii_alphanumeric() || c == '-' {
                    c
                } else {
                    '_'
                }
            };
            text.chars().map(plain).take(100).collect()
        };
        let name = format!("{}@{}.json", plain(user), plain(node));
        Self::at(folder.join("names").join(name))
    }

    fn at(file: PathBuf) -> Self {
        Self {
            book: read(&file),
            file: Some(file),
        }
    }

    /// The name of a channel, given now if it has none.
    pub fn of_channel(&mut self, id: &str, peer: &str) -> String {
        self.name(|book| &mut book.channels, "ch", id, peer)
    }

    /// The name of a proposal, given now if it has none.
    pub fn of_request(&mut self, id: &str, peer: &str) -> String {
        self.name(|book| &mut book.requests, "request", id, peer)
    }

    /// The channel of a name.
    pub fn channel(&self, name: &str) -> Option<&str> {
        self.book.channels.ids.get(name).map(String::as_str)
    }

    /// The proposal of a name.
    pub fn request(&self, name: &str) -> Option<&str> {
        self.book.requests.ids.get(name).map(String::as_str)
    }

    fn name(
        &mut self,
        kind: fn(&mut Book) -> &mut Kind,
        word: &str,
        id: &str,
        peer: &str,
    ) -> String {
        if let Some(name) = kind(&mut self.book).named(id) {
            return name;
        }
        let give = |book: &mut Book| {
            let kind = kind(book);
            // Another process may have given it a name since.
            kind.named(id).unwrap_or_else(|| kind.give(word, id, peer))
        };
        // A name that is not kept is better than none.
        match self.file.clone().map(|file| change(&file, give)) {
            Some(Ok((book, name))) => {
                self.book = book;
                name
            }
            Some(Err(_)) | None => give(&mut self.book),
        }
    }
}

impl Kind {
    fn named(&self, id: &str) -> Option<String> {
        let found = self.ids.iter().find(|(_, named)| *named == id);
        found.map(|(name, _)| name.clone())
    }

    fn give(&mut self, word: &str, id: &str, peer: &str) -> String {
        self.given += 1;
        let name = format!("{word}_{}_{peer}", self.given);
        self.ids.insert(name.clone(), id.to_owned());
        if self.ids.len() > KEPT {
            let number = |name: &str| -> u64 {
                let digits = name.split('_').nth(1);
                digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
            };
            if let Some(oldest) = self.ids.keys().min_by_key(|name| number(name)).cloned() {
                self.ids.remove(&oldest);
            }
        }
        name
    }
}

/// The one of `ids` that a text means: all of it, or its first digits, at least four.
pub fn by_prefix<'a>(ids: impl IntoIterator<Item = &'a str>, text: &str) -> Named<'a> {
    let mut found = Named::Nothing;
    for id in ids {
        if id == text {
            return Named::Id(id);
        }
        if text.len() >= 4 && id.starts_with(text) {
            found = match found {
                Named::Nothing => Named::Id(id),
                _ => Named::Several,
            };
        }
    }
    found
}

/// A file that can't be read is as good as none: it holds conveniences only.
fn read(file: &Path) -> Book {
    let text = fs::read(file).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

/// Changes the file while no other process does.
fn change<T>(file: &Path, change: impl FnOnce(&mut Book) -> T) -> io::Result<(Book, T)> {
    let folder = file.parent().ok_or(io::ErrorKind::InvalidInput)?;
    fs::create_dir_all(folder)?;
    let lock = File::create(file.with_extension("lock"))?;
    lock.lock()?;
    let mut book = read(file);
    let value = change(&mut book);
    let new = file.with_extension("new");
    fs::write(&new, serde_json::to_vec(&book)?)?;
    fs::rename(&new, file)?;
    Ok((book, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_last_and_are_shared() {
        let folder = std::env::temp_dir().join(format!("perun-names-{}", std::process::id()));
        let file = folder.join("alice.json");
        let mut one = Names::at(file.clone());
        let mut two = Names::at(file.clone());
        assert_eq!(one.of_channel("aa", "bob"), "ch_1_bob");
        assert_eq!(two.of_channel("bb", "bob"), "ch_2_bob");
        assert_eq!(two.of_channel("aa", "bob"), "ch_1_bob");
        assert_eq!(one.of_channel("aa", "robert"), "ch_1_bob");
        assert_eq!(one.of_request("p", "bob"), "request_1_bob");
        let three = Names::at(file);
        assert_eq!(three.channel("ch_2_bob"), Some("bb"));
        assert_eq!(three.request("request_1_bob"), Some("p"));
        assert_eq!(three.channel("ch_3_bob"), None);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn the_first_digits_are_enough_if_nothing_else_has_them() {
        let ids = ["abcdef", "abcdxx", "123456"];
        assert_eq!(by_prefix(ids, "1234"), Named::Id("123456"));
        assert_eq!(by_prefix(ids, "abcd"), Named::Several);
        assert_eq!(by_prefix(ids, "abcde"), Named::Id("abcdef"));
        assert_eq!(by_prefix(ids, "123"), Named::Nothing);
        assert_eq!(by_prefix(ids, "ffff"), Named::Nothing);
    }

    #[test]
    fn a_book_does_not_grow_without_end() {
        let mut kind = Kind::default();
        for i in 0..KEPT + 5 {
            kind.give("ch", &i.to_string(), "bob");
        }
        assert_eq!(kind.ids.len(), KEPT);
        assert!(!kind.ids.contains_key("ch_1_bob"));
    }
}
