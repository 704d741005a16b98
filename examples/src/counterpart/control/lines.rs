//! Lines of a stranger, none of them longer than is good.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt as _};

/// The longest line, in bytes.
pub(super) const MAX_LENGTH: usize = 256;

/// Lines, one after the other.
pub(super) struct Lines<R> {
    input: R,
}

/// A line without its end.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Line {
    /// What it says. Bytes that are no UTF-8 are replaced.
    Text(String),
    /// It was longer than [`MAX_LENGTH`], and is gone.
    TooLong,
}

impl<R: AsyncBufRead + Unpin> Lines<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input }
    }

    /// The next line; `None` at the end.
    pub(super) async fn next(&mut self) -> io::Result<Option<Line>> {
        let mut line = Vec::new();
        let mut is_too_long = false;
        loop {
            let read = self.input.fill_buf().await?;
            if read.is_empty() {
                // What is not ended was not meant.
                return Ok(None);
            }
            let end = read.iter().position(|byte| *byte == b'\n');
            let part = &read[..end.unwrap_or(read.len())];
            is_too_long |= line.len() + part.len() > MAX_LENGTH;
            if !is_too_long {
                line.extend_from_slice(part);
            }
            let used = part.len() + usize::from(end.is_some());
            self.input.consume(used);
            if end.is_some() {
                return Ok(Some(match is_too_long {
                    true => Line::TooLong,
                    false => Line::Text(String::from_utf8_lossy(&line).into_owned()),
                }));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::BufReader;

    async fn read(bytes: &[u8]) -> Vec<Line> {
        // A buffer that ends in the middle of everything.
        let mut lines = Lines::new(BufReader::with_capacity(7, bytes));
        let mut read = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            read.push(line);
        }
        read
    }

    #[tokio::test]
    async fn a_line_that_is_too_long_is_one_line() {
        let longest = "x".repeat(MAX_LENGTH);
        let input = format!(
            "h\n{longest}\n{longest}y\n{}\ns\nnot ended",
            "z".repeat(100_000)
        );
        let text = |text: &str| Line::Text(text.to_owned());
        let expected = [
            text("h"),
            text(&longest),
            Line::TooLong,
            Line::TooLong,
            text("s"),
        ];
        assert_eq!(read(input.as_bytes()).await, expected);
    }

    #[tokio::test]
    async fn bytes_that_are_no_text_are_read_all_the_same() {
        assert_eq!(read(b"\xff\n").await, [Line::Text("\u{fffd}".into())]);
    }
}
