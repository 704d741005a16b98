//! Events and errors in logs by `defmt`: their words, as `Display` has them.
//!
//! The words are made on the board. Formats that are only numbers there and words on the host would be
//! shorter, and would need the same for everything in `perun_protocol`.

use defmt::{Display2Format, Format, Formatter, write};

use crate::{CommandError, Event, LinkError, PolicyError};

/// Logs a type by its `Display`.
macro_rules! by_display {
    ($($name:ty),+ $(,)?) => {$(
        impl Format for $name {
            fn format(&self, formatter: Formatter<'_>) {
                write!(formatter, "{}", Display2Format(self));
            }
        }
    )+};
}

by_display!(CommandError, Event, LinkError, PolicyError);
