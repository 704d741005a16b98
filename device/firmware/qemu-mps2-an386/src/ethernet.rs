//! The Ethernet controller, an SMSC LAN9118: packets through its two FIFOs, an interrupt for each
//! that comes.

use core::task::Context;

use embassy_net_driver::{Capabilities, Driver, HardwareAddress, LinkState, RxToken, TxToken};
use embassy_sync::waitqueue::AtomicWaker;

use crate::interrupts::Interrupt;
use crate::register::Register;

const fn register(offset: usize) -> Register {
    // SAFETY: the controller's registers begin there, and it doesn't touch memory.
    unsafe { Register::at(0x4020_0000 + offset) }
}

const RX_DATA: Register = register(0x00);
const TX_DATA: Register = register(0x20);
const RX_STATUS: Register = register(0x40);
const TX_STATUS: Register = register(0x48);
const IRQ_CONFIG: Register = register(0x54);
const INT_STATUS: Register = register(0x58);
const INT_ENABLE: Register = register(0x5c);
const BYTE_TEST: Register = register(0x64);
const FIFO_INT: Register = register(0x68);
const TX_CONFIG: Register = register(0x70);
const HW_CONFIG: Register = register(0x74);
const RX_FIFO: Register = register(0x7c);
const TX_FIFO: Register = register(0x80);
const MAC_COMMAND: Register = register(0xa4);
const MAC_DATA: Register = register(0xa8);

/// Registers behind `MAC_COMMAND`.
const MAC_CONTROL: u32 = 1;
const MAC_ADDRESS_HIGH: u32 = 2;
const MAC_ADDRESS_LOW: u32 = 3;

const MAC_BUSY: u32 = 1 << 31;
const MAC_READ: u32 = 1 << 30;
const MAC_RX_AND_TX: u32 = 0b1100;

/// Packets wait in the receive FIFO.
const RX_WAITING: u32 = 1 << 3;

/// A frame without its checksum, rounded up to words.
const FRAME_BYTES: usize = 1516;
const CHECKSUM_BYTES: usize = 4;
const MTU: usize = 1514;

static WAKER: AtomicWaker = AtomicWaker::new();

/// The controller, and room for one frame in either direction.
pub struct Ethernet {
    received: [u8; FRAME_BYTES],
    transmitted: [u8; FRAME_BYTES],
    address: [u8; 6],
}

impl Ethernet {
    /// One that isn't started, for a static.
    pub const NEW: Self = Self {
        received: [0; FRAME_BYTES],
        transmitted: [0; FRAME_BYTES],
        address: [0; 6],
    };

    /// Resets the controller and lets it receive.
    pub fn start(&mut self) {
        assert_eq!(BYTE_TEST.read(), 0x8765_4321, "no LAN9118");
        HW_CONFIG.write(1);
        // 5 KiB of FIFO for what we send; frames are stored before they leave.
        HW_CONFIG.write(5 << 16 | 1 << 20);
        // An interrupt as soon as one packet waits, none for packets that left.
        FIFO_INT.write(0xff00_0000);
        IRQ_CONFIG.write(0x111);
        // The reset loads the address that QEMU was told.
        let [low, high] = [MAC_ADDRESS_LOW, MAC_ADDRESS_HIGH].map(mac_read);
        let address = u64::from(high & 0xffff) << 32 | u64::from(low);
        self.address.copy_from_slice(&address.to_le_bytes()[..6]);
        TX_CONFIG.write(0b10);
        mac_write(MAC_CONTROL, mac_read(MAC_CONTROL) | MAC_RX_AND_TX);
        Interrupt::Ethernet.enable();
    }
}

fn mac_read(register: u32) -> u32 {
    MAC_COMMAND.write(MAC_BUSY | MAC_READ | register);
    while MAC_COMMAND.read() & MAC_BUSY != 0 {}
    MAC_DATA.read()
}

fn mac_write(register: u32, value: u32) {
    MAC_DATA.write(value);
    MAC_COMMAND.write(MAC_BUSY | register);
    while MAC_COMMAND.read() & MAC_BUSY != 0 {}
}

fn packet_waits() -> bool {
    RX_FIFO.read() >> 16 & 0xff != 0
}

fn room_for_packet() -> bool {
    // The two command words need room, too.
    TX_FIFO.read() & 0xffff >= (FRAME_BYTES + 8) as u32
}

/// The interrupt stays up while packets wait, so it is switched off until they are taken.
pub extern "C" fn interrupt() {
    INT_ENABLE.write(0);
    INT_STATUS.write(u32::MAX);
    WAKER.wake();
}

impl Driver for Ethernet {
    type RxToken<'a> = Received<'a>;
    type TxToken<'a> = Room<'a>;

    fn receive(&mut self, cx: &mut Context<'_>) -> Option<(Received<'_>, Room<'_>)> {
        if !packet_waits() {
            WAKER.register(cx.waker());
            INT_ENABLE.write(RX_WAITING);
            // One that came in between has raised no interrupt.
            if !packet_waits() {
                return None;
            }
        }
        Some((Received(&mut self.received), Room(&mut self.transmitted)))
    }

    fn transmit(&mut self, cx: &mut Context<'_>) -> Option<Room<'_>> {
        if !room_for_packet() {
            // The controller empties its FIFO by itself.
            cx.waker().wake_by_ref();
            return None;
        }
        Some(Room(&mut self.transmitted))
    }

    fn link_state(&mut self, _: &mut Context<'_>) -> LinkState {
        LinkState::Up
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.max_transmission_unit = MTU;
        capabilities.max_burst_size = Some(1);
        capabilities
    }

    fn hardware_address(&self) -> HardwareAddress {
        HardwareAddress::Ethernet(self.address)
    }
}

/// A packet that waits.
pub struct Received<'a>(&'a mut [u8; FRAME_BYTES]);

impl RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, read: F) -> R {
        let stored = (RX_STATUS.read() >> 16 & 0x3fff) as usize;
        for index in 0..stored.div_ceil(4) {
            let word = RX_DATA.read().to_le_bytes();
            // The checksum of the longest frame has no place, and nobody wants it.
            if let Some(place) = self.0.get_mut(4 * index..4 * index + 4) {
                place.copy_from_slice(&word);
            }
        }
        let length = stored.saturating_sub(CHECKSUM_BYTES).min(MTU);
        read(&mut self.0[..length])
    }
}

/// Room for a packet.
pub struct Room<'a>(&'a mut [u8; FRAME_BYTES]);

impl TxToken for Room<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        let outcome = write(&mut self.0[..length]);
        // First and last segment, and how long it and the packet are.
        TX_DATA.write(0x3000 | length as u32);
        TX_DATA.write(length as u32);
        let (words, _) = self.0[..length.next_multiple_of(4)].as_chunks::<4>();
        for word in words {
            TX_DATA.write(u32::from_le_bytes(*word));
        }
        while TX_FIFO.read() >> 16 & 0xff != 0 {
            TX_STATUS.read();
        }
        outcome
    }
}
