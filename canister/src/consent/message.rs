//! A message before it is known where it is shown.

use std::fmt::Write as _;

use icrc_ledger_types::icrc21::requests::DisplayMessageType;
use icrc_ledger_types::icrc21::responses::{ConsentMessage, FieldsDisplay, Value};

/// What a person reads.
pub(super) struct Message {
    intent: &'static str,
    fields: Vec<(String, Value)>,
    /// What happens, and what cannot be taken back.
    effect: String,
}

impl Message {
    pub(super) fn new(intent: &'static str) -> Self {
        Self {
            intent,
            fields: Vec::new(),
            effect: String::new(),
        }
    }

    pub(super) fn text(mut self, name: impl Into<String>, content: impl ToString) -> Self {
        let content = content.to_string();
        self.fields.push((name.into(), Value::Text { content }));
        self
    }

    pub(super) fn duration_s(mut self, name: &str, amount: u64) -> Self {
        self.fields
            .push((name.into(), Value::DurationSeconds { amount }));
        self
    }

    pub(super) fn effect(mut self, sentences: &[&str]) -> Self {
        self.effect = sentences.join(" ");
        self
    }

    /// The message as the device can show it: markdown, unless it asks for fields.
    pub(super) fn shown_on(self, device: Option<&DisplayMessageType>) -> ConsentMessage {
        match device {
            Some(DisplayMessageType::FieldsDisplay) => {
                let intent = self.intent.into();
                let effect = self.effect.clone();
                let fields = self.text("What happens", effect).fields;
                ConsentMessage::FieldsDisplayMessage(FieldsDisplay { intent, fields })
            }
            Some(DisplayMessageType::GenericDisplay) | None => {
                ConsentMessage::GenericDisplayMessage(self.markdown())
            }
        }
    }

    fn markdown(self) -> String {
        let mut out = format!("# {}", self.intent);
        for (name, value) in &self.fields {
            let value = match value {
                Value::Text { content } => content.clone(),
                Value::DurationSeconds { amount } => duration(*amount),
                Value::TokenAmount { .. } | Value::TimestampSeconds { .. } => {
                    unreachable!("no message has such fields")
                }
            };
            write!(out, "\n\n**{name}:**\n`{value}`").expect("a string takes every text");
        }
        write!(out, "\n\n{}", self.effect).expect("a string takes every text");
        out
    }
}

/// A length of time in words.
pub(super) fn duration(seconds: u64) -> String {
    let units = [("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)];
    let mut rest = seconds;
    let mut words = Vec::new();
    for (unit, length) in units {
        if rest >= length {
            words.push(format!("{} {unit}", rest / length));
            rest %= length;
        }
    }
    if words.is_empty() {
        return "0 s".into();
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::duration;

    #[test]
    fn lengths_of_time_are_told_in_words() {
        assert_eq!(duration(0), "0 s");
        assert_eq!(duration(59), "59 s");
        assert_eq!(duration(86_400), "1 d");
        assert_eq!(duration(90_061), "1 d 1 h 1 min 1 s");
    }
}
