//! The log as people see it: `INFO happy_walkthrough > Concluding channel: 0x920c7366…`.

use std::fmt;

use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Shows the log on standard output, in the detail that `RUST_LOG` asks for, `info` if it does not.
pub fn show_log(program: &'static str) {
    let filter = EnvFilter::builder()
        .with_default_directive(tracing::Level::INFO.into())
        .from_env_lossy();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .event_format(Style { program });
    // Fails if somebody has set a log up already, who wants it otherwise then.
    let _ = subscriber.try_init();
}

/// Level, program and message; our own events go by the program's name.
struct Style {
    program: &'static str,
}

impl<S, N> FormatEvent<S, N> for Style
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        let target = metadata.target();
        let is_ours = target.starts_with("perun_examples");
        let target = if is_ours { self.program } else { target };
        write!(writer, "{:>5} {target} > ", metadata.level().as_str())?;
        context
            .field_format()
            .format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}
