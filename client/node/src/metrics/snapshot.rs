//! What is: looked at when somebody asks.

use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::{ChannelLabels, Seconds, SessionLabels, seconds};
use crate::api::v1::channel::Phase;
use crate::node::Node;

/// What a node is like at some moment.
#[derive(Debug)]
pub(super) struct Snapshot {
    sessions: Gauge,
    channels: Family<ChannelLabels, Gauge>,
    view_age: Family<SessionLabels, Seconds>,
    refutation_left: Family<SessionLabels, Seconds>,
    devices: Gauge,
    watched: Gauge,
}

impl Snapshot {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let snapshot = Self {
            sessions: Gauge::default(),
            channels: Family::default(),
            view_age: Family::default(),
            refutation_left: Family::default(),
            devices: Gauge::default(),
            watched: Gauge::default(),
        };
        let help = "Sessions that are open";
        registry.register("sessions", help, snapshot.sessions.clone());
        let help = "Channels that are not over";
        registry.register("channels", help, snapshot.channels.clone());
        let help = "Age of the oldest certified view of a channel";
        let family = snapshot.view_age.clone();
        registry.register_with_unit("watcher_view_age", help, seconds(), family);
        let help = "Least time that is left to refute something; absent if nothing is registered";
        let family = snapshot.refutation_left.clone();
        registry.register_with_unit("watcher_refutation_left", help, seconds(), family);
        let help = "Devices for which channels are watched";
        registry.register("devices", help, snapshot.devices.clone());
        let help = "Channels that are watched for devices";
        registry.register("devices_watched", help, snapshot.watched.clone());
        snapshot
    }

    /// Looks at a node.
    pub(super) fn take(&mut self, node: &Node) {
        self.channels.clear();
        self.view_age.clear();
        self.refutation_left.clear();
        let sessions = node.open_sessions();
        self.sessions.set(number(sessions.len()));
        for session in sessions {
            let labels = SessionLabels {
                session: session.name().to_owned(),
            };
            for channel in session.channel_statuses() {
                let phase = ChannelLabels {
                    session: labels.session.clone(),
                    phase: phase_name(channel.phase()),
                };
                self.channels.get_or_create(&phase).inc();
                let age = self.view_age.get_or_create_owned(&labels);
                age.set(age.get().max(channel.view_age_s));
                if channel.phase() == Phase::Disputed {
                    let is_first = !self.has_refutation(&labels);
                    let left = self.refutation_left.get_or_create_owned(&labels);
                    let least = match is_first {
                        true => channel.refutation_left_s,
                        false => left.get().min(channel.refutation_left_s),
                    };
                    left.set(least);
                }
            }
        }
        let devices = node.devices();
        self.devices
            .set(devices.map_or(0, |devices| number(devices.served().len())));
        self.watched
            .set(devices.map_or(0, |devices| number(devices.watched())));
    }

    fn has_refutation(&self, labels: &SessionLabels) -> bool {
        self.refutation_left.get(labels).is_some()
    }
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Opening => "opening",
        Phase::Open => "open",
        Phase::Disputed => "disputed",
        Phase::Settling => "settling",
    }
}
