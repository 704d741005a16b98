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
use perun_protocol::{ChannelId, PublicKey, Timestamp};

use super::Device;
use crate::time::Observed;
use crate::watching::fund;
use crate::{Clock, Event, Random};

/// So often a watcher is asked for the time if nothing else is asked, in nanoseconds.
const TIME_EVERY_NS: u64 = 3600 * 1_000_000_000;

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
        let watchers = &self.settings.watchers;
        let is_any = watchers.iter().any(|watcher| self.is_connected(watcher));
        due.chain(is_any.then(|| self.time_due_ns())).min()
    }

    /// Tells each watcher that is connected what it is to know next.
    #[inline(never)]
    pub(super) fn tell_watchers(&mut self, uptime_ns: u64) {
        for place in 0..self.drivers.len() {
            self.hurry_if_new(place);
            self.ask_to_fund(place, uptime_ns);
            for index in 0..self.settings.watchers.len() {
                let watcher = self.settings.watchers[index];
                if !self.is_connected(&watcher) {
                    continue;
                }
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

    /// Has one watcher deposit: the one that was asked last, or the next one that is connected if that
    /// has refused.
    fn ask_to_fund(&mut self, place: usize, uptime_ns: u64) {
        let silence_ns = self.settings.times.silence_ns;
        let driver = &self.drivers[place];
        if driver.wanted != Some(AdjudicatorCall::Fund) {
            return;
        }
        let index = match driver.fund_asked {
            // Two of them must not deposit at the same time.
            Some((_, asked_ns)) if uptime_ns < asked_ns.saturating_add(silence_ns) => return,
            _ => {
                let watchers = &self.settings.watchers;
                let count = watchers.len();
                let order = (0..count).map(|place| (driver.fund_first + place) % count);
                let mut connected = order.filter(|index| self.is_connected(&watchers[*index]));
                connected.next()
            }
        };
        let driver = &mut self.drivers[place];
        if let (Some(index), Some(message)) = (index, fund(&driver.machine)) {
            driver.fund_asked = Some((index, uptime_ns));
            driver.fund_first = index;
            let watcher = self.settings.watchers[index];
            self.send(&watcher, &message.encode());
        }
    }

    pub(super) fn watcher_connected(&mut self, watcher: &PublicKey) {
        // Without a channel there is nothing to ask about, and a proposal needs the time.
        if let Some(index) = self.watcher_index(watcher) {
            self.time_asked_ns[index] = Some(self.clock.uptime_ns());
        }
        self.send(watcher, &RemoteMessage::TimeRequest.encode());
        self.forget_asked(watcher);
        let index = self.watcher_index(watcher);
        for driver in &mut self.drivers {
            // The same one is asked again, and no other meanwhile: what it has done, it finds.
            if driver.fund_asked.map(|(asked, _)| asked) == index {
                driver.fund_asked = None;
            }
        }
    }

    /// What was said to a watcher may be lost.
    fn forget_asked(&mut self, watcher: &PublicKey) {
        if let Some(index) = self.watcher_index(watcher) {
            for driver in &mut self.drivers {
                driver.watches[index].begin_again();
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

    /// Asks a watcher for the time, now and then, and until one has told it.
    pub(super) fn ask_for_time(&mut self, uptime_ns: u64) {
        if uptime_ns < self.time_due_ns() {
            return;
        }
        self.time_last_ns = uptime_ns;
        for index in 0..self.settings.watchers.len() {
            let watcher = self.settings.watchers[index];
            if self.is_connected(&watcher) {
                self.time_asked_ns[index] = Some(uptime_ns);
                self.send(&watcher, &RemoteMessage::TimeRequest.encode());
            }
        }
    }

    /// When watchers are asked for the time alone.
    pub(super) fn time_due_ns(&self) -> u64 {
        let pause_ns = match self.time.is_unknown() {
            true => self.settings.times.retry_ns,
            false => TIME_EVERY_NS,
        };
        self.time_last_ns.saturating_add(pause_ns)
    }

    fn watcher_index(&self, watcher: &PublicKey) -> Option<usize> {
        let mut watchers = self.settings.watchers.iter();
        watchers.position(|other| other == watcher)
    }

    #[inline(never)]
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
                // One answer to one question.
                if let Some(asked_ns) = self.time_asked_ns[index].take() {
                    self.observe_time(time.now, asked_ns, uptime_ns, index);
                }
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
            self.observe_time(ack.now, asked_ns, uptime_ns, index);
        }
        let now = self.now();
        let driver = &mut self.drivers[place];
        if let Some(newer) = ack.newer {
            // One that is not signed by all proves nothing but that the watcher is broken.
            let _ = driver.machine.handle_shown(now, newer);
        }
        if ack.version > driver.newest() {
            // It has what we have never signed, or will not show it.
            driver.watches[index].doubt(uptime_ns.saturating_add(times.retry_ns));
            let channel = ack.channel;
            return self.tell(Event::WatcherContradicts { channel, watcher });
        }
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
        if let Some(view) = ack.view {
            let own = driver.machine.newest();
            if let Ok(mut view) = view.verify(driver.machine.params(), own) {
                // Nobody has seen the future.
                view.at = view.at.min(now);
                let is_end = is_end(&view, driver.machine.setup().fund_by);
                driver.watches[index].says_over(is_end, uptime_ns);
                if !is_end || driver.is_agreed_over(uptime_ns) {
                    driver.wanted = None;
                    for asset in ack.kept {
                        driver.machine.handle_kept(asset);
                    }
                    driver.machine.handle_view(now, view);
                }
            }
        }
        self.check_copies(uptime_ns);
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
            RemoteCode::UnknownChannel => {
                let had = driver.watches[index].stored().is_some();
                driver.watches[index].forgot(uptime_ns.saturating_add(retry_ns));
                if had {
                    self.tell(Event::WatcherForgot { channel, watcher });
                }
                return self.check_copies(uptime_ns);
            }
            _ if about == Fund::KIND => {
                // Another one may do it, sooner than if there had been no answer at all.
                let again_ns = uptime_ns.saturating_add(retry_ns);
                driver.fund_asked = Some((index, again_ns.saturating_sub(silence_ns)));
                driver.fund_first = index + 1;
            }
            // It shows what it has when it is asked.
            RemoteCode::Outdated => {
                driver.watches[index].doubt(uptime_ns.saturating_add(retry_ns));
            }
            _ => driver.watches[index].ask_at(uptime_ns.saturating_add(retry_ns)),
        }
        self.tell(Event::WatcherRefused {
            channel,
            watcher,
            code,
            text,
        });
    }

    fn observe_time(&mut self, told: Timestamp, asked_ns: u64, uptime_ns: u64, index: usize) {
        if self.time.observe(told, asked_ns, uptime_ns, index) == Observed::PutBack {
            // What the machines wait for would come too late, and what they saw looks too new.
            self.stop(Event::ClockWasWrong);
        }
    }

    fn place(&self, channel: &ChannelId) -> Option<usize> {
        let mut drivers = self.drivers.iter();
        drivers.position(|driver| driver.machine.id() == *channel)
    }
}

/// Whether a view makes a machine forget its channel: it is concluded, or was never funded in time.
fn is_end(view: &View, fund_by: Timestamp) -> bool {
    match &view.status {
        Status::Open { holdings } => holdings.is_zero() && view.at >= fund_by,
        _ => is_over(view),
    }
}

fn is_over(view: &View) -> bool {
    matches!(view.status, Status::Concluded { .. })
}
