//! A device's side alone: everything that an author does, with what nobody can foresee coming from the host.

#![no_std]
#![no_main]

use core::hint::black_box;

use cortex_m_rt::entry;
use perun_firmware_watch_stream::flash::Flash;
use perun_firmware_watch_stream::meter::{self, measured};
use perun_firmware_watch_stream::random::HostRandom;
use perun_protocol::{ChannelId, SecretKey, Timestamp, Version};
use perun_watch_stream::{Author, FlashStorage, MAX_MESSAGE_LENGTH, Policy, Schedule};
use rand_core::RngCore as _;
use semihosting::{println, process};

#[entry]
fn main() -> ! {
    meter::start();
    let (is_done, cost) = measured(|| life().is_some());
    println!("{is_done} {:>9} {:>6}", cost.instructions, cost.stack);
    process::exit(0)
}

/// Everything once; what comes from watchers is noise.
fn life() -> Option<()> {
    let owner = SecretKey::from_bytes(black_box(&[0x11; 32]))?;
    let channel = ChannelId::from_bytes(black_box([7; 32]));
    let storage = FlashStorage::new(Flash::BLANK).ok()?;
    let author = Author::create(storage, channel, &owner, &mut HostRandom).ok()?;
    let mut author = Author::start(author.into_storage()).ok()??;
    let now = Timestamp::from_nanos(black_box(1));
    let mut schedule = Schedule::new(Policy::USUAL, now);
    black_box(author.announcement());
    author.allow(black_box([1; 32])).ok()?;
    let mut noise = [0; MAX_MESSAGE_LENGTH];
    HostRandom.fill_bytes(&mut noise);
    black_box(author.receive(&noise).is_ok());
    black_box(schedule.poll(&author, now));
    black_box(author.open_epoch(&mut HostRandom).is_ok());
    black_box(author.publish(Version::new(1), &[], &noise[..256]).is_ok());
    black_box(author.heartbeat(&noise[..8]).is_ok());
    black_box(schedule.guard(&author, now));
    let watcher = author.watchers().first()?.id();
    author.remove(black_box(watcher)).ok()?;
    let export = author.export(black_box(&[9; 32]));
    Author::import(author.into_storage(), &export, black_box(&[9; 32])).ok()?;
    Some(())
}
