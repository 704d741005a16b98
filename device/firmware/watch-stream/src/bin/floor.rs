//! A program without a stream, with what every device has besides: signatures of participants, and their
//! verification.

#![no_std]
#![no_main]

use core::hint::black_box;

use cortex_m_rt::entry;
use embedded_storage::nor_flash::NorFlash as _;
use perun_firmware_watch_stream::flash::Flash;
use perun_firmware_watch_stream::meter;
use perun_firmware_watch_stream::random::HostRandom;
use perun_protocol::signature::K256;
use perun_protocol::{SecretKey, Signer as _};
use rand_core::RngCore as _;
use semihosting::{println, process};

#[entry]
fn main() -> ! {
    meter::start();
    let (written, cost) = meter::measured(|| {
        let mut bytes = [0; 32];
        HostRandom.fill_bytes(&mut bytes);
        let mut flash = Flash::BLANK;
        let written = black_box(&mut flash).write(0, &bytes);
        let key = SecretKey::from_bytes(black_box(&[0x11; 32])).expect("a key");
        let signature = key.sign(&bytes);
        let is_good = key.participant().verify::<K256>(&bytes, &signature);
        written.is_ok() && is_good
    });
    println!("{written} {:>9} {:>6}", cost.instructions, cost.stack);
    process::exit(0)
}
