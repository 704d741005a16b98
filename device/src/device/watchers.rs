//! What watchers are told and asked, and what they say.
//!
//! Whatever the machines want of the adjudicator is said to watchers, who act for the device:
//!
//! ```text
//! Observe, Conclude, Withdraw   a query: a watcher concludes and withdraws by itself
//! Fund                          Fund, to one watcher that is connected
//! Dispute                       ForceClose, to all
//! ConcludeFinal                 the final state itself, as every new state
//! ```

use embedded_storage::nor_flash::NorFlash;
use perun_protocol::channel::AdjudicatorCall;
use perun_protocol::remote::{
    DisputeNotice, Fund, RemoteCode, RemoteMessage, RemoteRejection, WatchAck,
};
use perun_protocol::view::{Status, View};
use perun_protocol::{ChannelId, PublicKey};

use super::Device;
use crate::watching::fund;
use crate::{Clock, Event, Random};

impl<F: NorFlash, R: Random, C: Clock> Device<F, R, C> {
    /// When a watcher is to be told something, at the latest.
    pub(super) fn watchers_due_ns(&self) -> Option<u64> {
        let retry_ns = self.settings.times.retry_ns;
        let connected = self.settings.watchers.iter().enumerate();
        let connected = connected.filter(|(_, watcher)| self.is_connected(watcher));
        let due = connected.flat_map(|(index, _)| {
            let drivers = self.drivers.iter();
            let live = drivers.filter(|driver| driver.machine.newest().is_some());
            live.map(move |driver| driver.watches[index].due_ns(retry_ns))
        });
        due.min()
    }

    /// Tells each watcher that is connected what it is to know next.
    pub(super) fn tell_watchers(&mut self, uptime_ns: u64) {
        for place in 0..self.drivers.len() {
            self.hurry_if_new(place);
            let mut is_funder = true;
            for index in 0..self.settings.watchers.len() {
                let watcher = self.settings.watchers[index];
                if !self.is_connected(&watcher) {
                    continue;
                }
                if is_funder {
                    self.ask_to_fund(place, &watcher, uptime_ns);
                }
                is_funder = false;
                let retry_ns = self.settings.times.retry_ns;
                let driver = &mut self.drivers[place];
                let wanted = driver.wanted.as_ref();
                let watch = &mut driver.watches[index];
                let message = watch.next_message(&driver.machine, wanted, uptime_ns, retry_ns);
                if let Some(message) = message {
                    self.send(&watcher, &message.encode());
                }
            }
        }
    }

    /// A new wish is told at once; one that comes again after an answer waits its time.
    fn hurry_if_new(&mut self, place: usize) {
        let driver = &mut self.drivers[place];
        let wanted = driver.wanted.as_ref().map(core::mem::discriminant);
        if wanted.is_some() && wanted != driver.asked_for {
            driver.asked_for = wanted;
            driver.watches.iter_mut().for_each(|watch| watch.hurry());
        }
    }

    fn ask_to_fund(&mut self, place: usize, watcher: &PublicKey, uptime_ns: u64) {
        let silence_ns = self.settings.times.silence_ns;
        let driver = &mut self.drivers[place];
        let is_wanted = driver.wanted == Some(AdjudicatorCall::Fund);
        let is_asked = driver
            .fund_asked_ns
            .is_some_and(|asked| uptime_ns < asked.saturating_add(silence_ns));
        if !is_wanted || is_asked {
            return;
        }
        if let Some(message) = fund(&driver.machine) {
            driver.fund_asked_ns = Some(uptime_ns);
            self.send(watcher, &message.encode());
        }
    }

    pub(super) fn watcher_connected(&mut self, watcher: &PublicKey) {
        // Without a channel there is nothing to ask about, and a proposal needs the time.
        self.time_asked_ns = self.clock.uptime_ns();
        self.send(watcher, &RemoteMessage::TimeRequest.encode());
        self.forget_asked(watcher);
    }

    /// What was said to a watcher may be lost.
    fn forget_asked(&mut self, watcher: &PublicKey) {
        if let Some(index) = self.watcher_index(watcher) {
            for driver in &mut self.drivers {
                driver.watches[index].begin_again();
                driver.fund_asked_ns = None;
            }
        }
    }

    pub(super) fn watcher_disconnected(&mut self, watcher: &PublicKey) {
        self.forget_asked(watcher);
        let watchers = &self.settings.watchers;
        if !watchers.iter().any(|other| self.is_connected(other)) {
            // Nobody could store what would be signed now.
            for driver in &mut self.drivers {
                driver.machine.handle_lost_time();
            }
        }
    }

    fn watcher_index(&self, watcher: &PublicKey) -> Option<usize> {
        let mut watchers = self.settings.watchers.iter();
        watchers.position(|other| other == watcher)
    }

    pub(super) fn handle_remote(&mut self, watcher: &PublicKey, message: RemoteMessage) {
        let Some(index) = self.watcher_index(watcher) else {
            return;
        };
        match message {
            RemoteMessage::WatchAck(ack) => self.handle_ack(index, *ack),
            RemoteMessage::Funded(funded) => {
                if let Some(driver) = self.driver(&funded.channel) {
                    driver.watches[index].hurry();
                }
            }
            RemoteMessage::Time(time) => {
                let uptime_ns = self.clock.uptime_ns();
                self.time.observe(time.now, self.time_asked_ns, uptime_ns);
            }
            RemoteMessage::DisputeNotice(notice) => self.handle_notice(index, notice),
            RemoteMessage::RemoteRejection(rejection) => self.handle_refusal(index, rejection),
            // What only a device says, and what only newer software knows.
            _ => {}
        }
    }

    fn handle_ack(&mut self, index: usize, ack: WatchAck) {
        let uptime_ns = self.clock.uptime_ns();
        let times = self.settings.times;
        let watcher = self.settings.watchers[index];
        let Some(place) = self.place(&ack.channel) else {
            return;
        };
        if let Some(asked_ns) = self.drivers[place].watches[index].asked_ns() {
            self.time.observe(ack.now, asked_ns, uptime_ns);
        }
        let now = self.now();
        let driver = &mut self.drivers[place];
        let before = driver.watches[index].stored();
        driver.watches[index].answered(ack.version, uptime_ns.saturating_add(times.poll_ns));
        if before > ack.version && !matches!(driver.machine.view(), Some(view) if is_over(view)) {
            let channel = ack.channel;
            self.tell(Event::WatcherForgot { channel, watcher });
        } else if let Some(version) = ack.version
            && before < Some(version)
        {
            let channel = ack.channel;
            self.tell(Event::Guarded {
                channel,
                watcher,
                version,
            });
        }
        let driver = &mut self.drivers[place];
        if let Some(newer) = ack.newer {
            // One that is not signed by all proves nothing but that the watcher is broken.
            let _ = driver.machine.handle_shown(now, newer);
        }
        if let Some(view) = ack.view {
            let own = driver.machine.newest();
            if let Ok(mut view) = view.verify(driver.machine.params(), own) {
                // Nobody has seen the future.
                view.at = view.at.min(now);
                driver.wanted = None;
                for asset in ack.kept {
                    driver.machine.handle_kept(asset);
                }
                driver.machine.handle_view(now, view);
            }
        }
        let is_first = !core::mem::replace(&mut driver.is_checked, true);
        if is_first {
            self.connect_channel(&ack.channel);
        }
        self.wait_if_wanted(place, index, uptime_ns);
    }

    /// What is wanted again after an answer is asked for again after a while.
    fn wait_if_wanted(&mut self, place: usize, index: usize, uptime_ns: u64) {
        let retry_ns = self.settings.times.retry_ns;
        let later_ns = self.settings.times.store_later_ns;
        let Self { drivers, store, .. } = self;
        let driver = &mut drivers[place];
        let key = crate::records::state(driver.slot);
        let taken = driver.take_outputs(uptime_ns, later_ns, |record| store.write(key, record));
        if taken.is_err() {
            return self.fail();
        }
        match &driver.wanted {
            Some(_) => driver.watches[index].ask_at(uptime_ns.saturating_add(retry_ns)),
            None => driver.asked_for = None,
        }
    }

    fn handle_notice(&mut self, index: usize, notice: DisputeNotice) {
        let DisputeNotice {
            channel,
            registered,
            held,
            timeout,
            ..
        } = notice;
        if let Some(driver) = self.driver(&channel) {
            driver.watches[index].hurry();
            self.tell(Event::DisputeNoticed {
                channel,
                registered,
                held,
                timeout,
            });
        }
    }

    fn handle_refusal(&mut self, index: usize, rejection: RemoteRejection) {
        let RemoteRejection {
            channel,
            about,
            code,
            text,
            ..
        } = rejection;
        let retry_ns = self.settings.times.retry_ns;
        let silence_ns = self.settings.times.silence_ns;
        let uptime_ns = self.clock.uptime_ns();
        let watcher = self.settings.watchers[index];
        let Some(driver) = self.driver(&channel) else {
            return;
        };
        match code {
            // It is told everything, and asked what it has.
            RemoteCode::UnknownChannel => {
                driver.watches[index].forgot();
                let is_first = !core::mem::replace(&mut driver.is_checked, true);
                if is_first {
                    self.connect_channel(&channel);
                }
                return;
            }
            _ if about == Fund::KIND => {
                // Sooner than if there had been no answer at all.
                let again_ns = uptime_ns.saturating_add(retry_ns);
                driver.fund_asked_ns = Some(again_ns.saturating_sub(silence_ns));
            }
            RemoteCode::Outdated => driver.watches[index].ask_at(0),
            _ => driver.watches[index].ask_at(uptime_ns.saturating_add(retry_ns)),
        }
        self.tell(Event::WatcherRefused {
            channel,
            watcher,
            code,
            text,
        });
    }

    fn place(&self, channel: &ChannelId) -> Option<usize> {
        let mut drivers = self.drivers.iter();
        drivers.position(|driver| driver.machine.id() == *channel)
    }
}

fn is_over(view: &View) -> bool {
    matches!(view.status, Status::Concluded { .. })
}
