//! The host, by semihosting: log, arguments, files, randomness, exit. On a real board such a call
//! without a debugger is a fault: only this firmware uses it.

use alloc::ffi::CString;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::fmt::{self, Write as _};
use core::panic::PanicInfo;

use critical_section::Mutex;
use log::{LevelFilter, Log, Metadata, Record};
use perun_application::Random;
use semihosting::experimental::{env, random};
use semihosting::fs::File;
use semihosting::io::{self, Read as _, Stdout, Write as _};

/// Exit codes of QEMU.
pub const REFUSED: i32 = 2;
pub const FLASH_FAILED: i32 = 3;
const PANIC: i32 = 101;
pub const HARD_FAULT: i32 = 102;

/// Ends QEMU.
pub fn exit(code: i32) -> ! {
    semihosting::process::exit(code)
}

/// Logs why the board can't work, and ends QEMU.
pub fn refuse(reason: impl fmt::Display) -> ! {
    log::error!("{reason}");
    exit(REFUSED)
}

/// The argument `name=value`, given with `-semihosting-config arg=…`.
pub fn argument(name: &str) -> Option<String> {
    let arguments = env::args::<1024>().ok()?;
    let values = arguments.filter_map(|argument| {
        let (key, value) = argument.ok()?.split_once('=')?;
        (key == name).then(|| String::from(value))
    });
    { values }.next()
}

/// A path, as semihosting wants it.
pub fn path(path: &str) -> CString {
    CString::new(path).unwrap_or_default()
}

/// A file as text.
pub fn read(file: &str) -> io::Result<String> {
    let mut bytes = Vec::new();
    let mut file = File::open(path(file))?;
    let mut chunk = [0; 256];
    loop {
        let count = file.read(&mut chunk)?;
        if count == 0 {
            return Ok(String::from_utf8_lossy(&bytes).into_owned());
        }
        bytes.extend_from_slice(&chunk[..count]);
    }
}

/// Randomness of the host.
pub struct HostRandom;

impl Random for HostRandom {
    fn fill(&mut self, bytes: &mut [u8]) {
        random::fill_bytes(bytes).expect("the host has randomness");
    }
}

/// Logs lines of plain text to QEMU's standard output.
struct Lines {
    output: Mutex<RefCell<Option<Stdout>>>,
}

static LINES: Lines = Lines {
    output: Mutex::new(RefCell::new(None)),
};

/// Starts the log.
pub fn start_log() {
    critical_section::with(|section| {
        *LINES.output.borrow_ref_mut(section) = io::stdout().ok();
    });
    // Fails if there is a logger already, and there is none.
    let _ = log::set_logger(&LINES);
    log::set_max_level(LevelFilter::Info);
}

impl Log for Lines {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let mut line = Line::new();
        let ms = embassy_time::Instant::now().as_millis();
        let (secs, ms) = (ms / 1000, ms % 1000);
        // A line that is too long is cut.
        let _ = write!(line, "{secs}.{ms:03} {} {}", record.level(), record.args());
        critical_section::with(|section| {
            if let Some(output) = &mut *LINES.output.borrow_ref_mut(section) {
                // Nobody is left to tell.
                let _ = output.write_all(line.finish());
            }
        });
    }

    fn flush(&self) {}
}

/// One line, written at once, so that no other can come between its parts.
struct Line {
    bytes: [u8; Self::LONGEST],
    length: usize,
}

impl Line {
    const LONGEST: usize = 256;

    const fn new() -> Self {
        Self {
            bytes: [0; Self::LONGEST],
            length: 0,
        }
    }

    fn finish(&mut self) -> &[u8] {
        self.bytes[self.length] = b'\n';
        &self.bytes[..=self.length]
    }
}

impl fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // The last byte stays for the line's end.
        let room = Self::LONGEST - 1 - self.length;
        let count = text.len().min(room);
        self.bytes[self.length..][..count].copy_from_slice(&text.as_bytes()[..count]);
        self.length += count;
        if count < text.len() {
            return Err(fmt::Error);
        }
        Ok(())
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    log::error!("{info}");
    exit(PANIC)
}
