//! Lines of a file or of a pipe, in order, until the first that fails.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::Path;

use super::context::Context;
use super::failure::Failure;
use super::{once, tell, typed};

/// The longest line that is taken, in bytes.
const MAX_LINE: u64 = 64 * 1024;

/// What follows a line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Next {
    /// The next one.
    Line,
    /// The end.
    Leave,
}

/// Runs the lines, and answers the exit code: 0, or that of the first failure. The end of the input is
/// the end.
pub async fn run(
    context: &mut Context,
    file: Option<&Path>,
    keep_going: bool,
) -> Result<u8, Failure> {
    refuse_key(context)?;
    // Questions would be answered by the next line.
    context.may_ask = false;
    let name = file.map_or("input".into(), |file| file.display().to_string());
    let mut input: Box<dyn BufRead + Send> = match file {
        Some(file) => {
            let opened = File::open(file).map_err(|error| Failure::own(&name, error))?;
            Box::new(BufReader::new(opened))
        }
        None => Box::new(BufReader::new(io::stdin())),
    };
    let mut code = 0;
    for number in 1_u64.. {
        let reading = tokio::task::spawn_blocking(move || {
            let line = next_line(&mut input);
            (input, line)
        });
        let (read, line) = tokio::select! {
            read = reading => read.map_err(|error| Failure::own(&name, error))?,
            _ = tokio::signal::ctrl_c() => return Err(Failure::Interrupted),
        };
        input = read;
        let place = format!("{name}:{number}");
        let Some(line) = line.map_err(|error| Failure::own(&place, error))? else {
            break;
        };
        match run_line(context, &line).await {
            Ok(Next::Line) => {}
            Ok(Next::Leave) => break,
            Err(failure) => {
                tell(
                    &failure,
                    context.call.json,
                    context.key_to_repeat(&failure),
                    Some(&place),
                );
                if code == 0 {
                    code = failure.code();
                }
                if !keep_going || matches!(failure, Failure::Interrupted) {
                    break;
                }
            }
        }
    }
    Ok(code)
}

/// Of several commands with the same key only the first would be done.
pub fn refuse_key(context: &Context) -> Result<(), Failure> {
    match context.call.idempotency_key {
        None => Ok(()),
        Some(_) => Err(Failure::Usage(
            "--idempotency-key is one command's, and here are several: write it on the line that it is for"
                .into(),
        )),
    }
}

/// Does what a line says, and prints what it answers.
pub async fn run_line(context: &mut Context, text: &str) -> Result<Next, Failure> {
    if matches!(text.trim(), "exit" | "quit") {
        return Ok(Next::Leave);
    }
    let line = match typed::line(text) {
        Ok(Some(line)) => line,
        Ok(None) => return Ok(Next::Line),
        Err(typed::Stop::Said(text)) => {
            print!("{text}");
            return Ok(Next::Line);
        }
        Err(typed::Stop::Wrong(failure)) => return Err(failure),
    };
    let before = context.begin_line(line.call);
    let done = once(context, line.command).await;
    context.end_line(before);
    done.map(|()| Next::Line)
}

fn next_line(input: &mut (impl BufRead + ?Sized)) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    input.take(MAX_LINE + 1).read_until(b'\n', &mut bytes)?;
    if bytes.is_empty() {
        return Ok(None);
    }
    if bytes.len() as u64 > MAX_LINE {
        return Err(io::Error::other("the line is too long"));
    }
    let line = String::from_utf8(bytes).map_err(|_| io::Error::other("the line is not UTF-8"))?;
    Ok(Some(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_ends_where_it_ends() {
        let mut input = io::Cursor::new("one\ntwo");
        assert_eq!(next_line(&mut input).unwrap().as_deref(), Some("one\n"));
        assert_eq!(next_line(&mut input).unwrap().as_deref(), Some("two"));
        assert_eq!(next_line(&mut input).unwrap(), None);
        assert_eq!(next_line(&mut input).unwrap(), None);
    }

    #[test]
    fn nobody_fills_the_memory_by_a_line() {
        let mut input = io::Cursor::new(vec![b'x'; 1 << 20]);
        assert!(next_line(&mut input).is_err());
        assert!(next_line(&mut io::Cursor::new(b"\xff\n")).is_err());
    }
}
