//! Reads the figures in a board's log; `device/firmware/application/src/figures.rs` writes them.

use std::collections::HashMap;

use crate::Failure;

/// Who is at the other end of a link.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum End {
    /// With whom the board has its channel.
    Peer,
    /// Who watches for it.
    Watcher,
}

/// Bytes of a link's stream.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Traffic {
    /// That the board sent.
    pub sent: u64,
    /// That came to it.
    pub received: u64,
}

/// What something cost.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Cost {
    /// Instructions of all calls into the device.
    pub instructions: u64,
    /// How many calls those were.
    pub calls: u64,
    /// Bytes between the board and its peer.
    pub peer: Traffic,
    /// Bytes between the board and its watcher.
    pub watcher: Traffic,
}

/// Instructions of what no payment can do without.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Cryptography {
    /// One signature.
    pub sign: u64,
    /// One check of a signature.
    pub verify: u64,
}

/// What a board says of itself at a press on `Status`, of all the time since it started.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Status {
    /// Instructions while it did not sleep.
    pub awake: u64,
    /// Records written to flash.
    pub flash_writes: u64,
    /// Bytes written to flash.
    pub flash_bytes: u64,
    /// The deepest stack, in bytes.
    pub stack: u64,
    /// The most that was in use of the heap, in bytes.
    pub heap: u64,
    /// What is set apart for the heap, in bytes.
    pub heap_area: u64,
}

/// What the log has said so far.
#[derive(Debug, Default)]
pub struct Meter {
    /// Who is reached at which address.
    ends: Vec<(String, End)>,
    links: HashMap<String, End>,
    /// Everything since it was last taken.
    pub cost: Cost,
    /// The board's own measurement.
    pub cryptography: Cryptography,
    /// As of the last press.
    pub status: Status,
}

impl Meter {
    /// For a board that reaches these.
    pub fn new(ends: Vec<(String, End)>) -> Self {
        Self {
            ends,
            ..Self::default()
        }
    }

    /// Reads a line; those without figures don't matter.
    ///
    /// # Errors
    /// If a figure is none that we know.
    pub fn read(&mut self, line: &str) -> Result<(), Failure> {
        let Some((_, figure)) = line.split_once(" figures: ") else {
            return Ok(());
        };
        let read = self.read_figure(figure);
        read.ok_or_else(|| format!("an unknown figure: {figure}").into())
    }

    fn read_figure(&mut self, figure: &str) -> Option<()> {
        let words: Vec<&str> = figure.split([' ', ',', ';']).collect();
        match words[..] {
            ["sign", "took", ns, "ns"] => self.cryptography.sign = ns.parse().ok()?,
            ["verify", "took", ns, "ns"] => self.cryptography.verify = ns.parse().ok()?,
            [_, "took", ns, "ns"] => {
                self.cost.instructions += ns.parse::<u64>().ok()?;
                self.cost.calls += 1;
            }
            [link, "is", address] => {
                let (_, end) = self.ends.iter().find(|(known, _)| known == address)?;
                self.links.insert(link.to_owned(), *end);
            }
            [link, "sent", bytes, "B"] => self.traffic(link)?.sent += bytes.parse::<u64>().ok()?,
            [link, "received", bytes, "B"] => {
                self.traffic(link)?.received += bytes.parse::<u64>().ok()?;
            }
            ["flash", ..] => {
                let [flash_writes, _erases, flash_bytes] = numbers(&words)[..] else {
                    return None;
                };
                self.status = Status {
                    flash_writes,
                    flash_bytes,
                    ..self.status
                };
            }
            ["stack", ..] => {
                let [stack, _in_use, heap, heap_area, _allocations, awake] = numbers(&words)[..]
                else {
                    return None;
                };
                self.status = Status {
                    awake,
                    stack,
                    heap,
                    heap_area,
                    ..self.status
                };
            }
            _ => return None,
        }
        Some(())
    }

    fn traffic(&mut self, link: &str) -> Option<&mut Traffic> {
        Some(match self.links.get(link)? {
            End::Peer => &mut self.cost.peer,
            End::Watcher => &mut self.cost.watcher,
        })
    }
}

fn numbers(words: &[&str]) -> Vec<u64> {
    words.iter().filter_map(|word| word.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_and_other_lines_are_not() {
        let mut meter = Meter::new(vec![
            ("10.0.0.1:5".to_owned(), End::Peer),
            ("10.0.0.1:6".to_owned(), End::Watcher),
        ]);
        let log = "0.1 INFO figures: sign took 2561240 ns\n\
            0.1 INFO figures: verify took 2786520 ns\n\
            0.2 INFO 10.0.0.1:6: connected\n\
            0.2 INFO figures: LinkId(0) is 10.0.0.1:6\n\
            0.2 INFO figures: LinkId(1) is 10.0.0.1:5\n\
            0.3 INFO figures: LinkId(1) received 79 B\n\
            0.3 INFO figures: receive took 3000 ns\n\
            0.4 INFO figures: LinkId(0) sent 126 B\n\
            0.4 INFO figures: handle_timeout took 40 ns\n\
            0.5 INFO figures: stack 9560 B at most; heap 4100 B now, 9000 B at most of 49152 B, 77 \
            allocations; 5000 ns awake\n\
            0.5 INFO figures: flash 41 writes, 1 erases, 17220 B written";
        for line in log.lines() {
            meter.read(line).unwrap();
        }
        let cost = Cost {
            instructions: 3040,
            calls: 2,
            peer: Traffic {
                sent: 0,
                received: 79,
            },
            watcher: Traffic {
                sent: 126,
                received: 0,
            },
        };
        assert_eq!(meter.cost, cost);
        let cryptography = Cryptography {
            sign: 2_561_240,
            verify: 2_786_520,
        };
        assert_eq!(meter.cryptography, cryptography);
        let status = Status {
            awake: 5000,
            flash_writes: 41,
            flash_bytes: 17_220,
            stack: 9560,
            heap: 9000,
            heap_area: 49_152,
        };
        assert_eq!(meter.status, status);
        // Neither bytes of a link whose end is unknown nor news are passed over.
        assert!(meter.read("1.0 INFO figures: LinkId(7) sent 3 B").is_err());
        assert!(meter.read("1.0 INFO figures: heat 3 K").is_err());
    }
}
