//! Logs: for people, or as JSON; to the terminal, or to a file.

use std::fs::OpenOptions;
use std::io::IsTerminal as _;
use std::sync::Arc;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use crate::Error;
use crate::settings::{Log, LogFormat};

/// Starts logging as the settings say; for the whole process, once.
///
/// # Errors
/// [`Error::InvalidConfig`] if the file cannot be written, or the level is none.
pub fn start(log: &Log) -> Result<(), Error> {
    let invalid = |name: &str, value: String, reason: String| Error::InvalidConfig {
        name: name.to_owned(),
        value,
        reason,
    };
    let filter = EnvFilter::try_new(&log.level)
        .map_err(|error| invalid("loglevel", log.level.clone(), error.to_string()))?;
    let writer = match &log.file {
        None => BoxMakeWriter::new(std::io::stderr),
        Some(path) => {
            let mut options = OpenOptions::new();
            options.create(true).append(true);
            // It has users and peers in it.
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            let file = options.open(path);
            let file = file.map_err(|error| {
                invalid("logfile", path.display().to_string(), error.to_string())
            })?;
            BoxMakeWriter::new(Arc::new(file))
        }
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .with_ansi(log.file.is_none() && is_colourful());
    let started = match log.format {
        LogFormat::Json => builder.json().try_init(),
        LogFormat::Text => builder.try_init(),
    };
    // A second start in one process keeps the first.
    started.or(Ok(()))
}

fn is_colourful() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}
