//! Channels, and how well they are watched.

use std::time::Duration;

use perun_client::channel::Channel;
use perun_protocol::view::Status;

use super::Session;
use crate::api::v1;
use crate::api::v1::channel::Phase;

impl Session {
    /// The channels that are not over, and how well they are watched.
    pub fn channel_statuses(&self) -> Vec<v1::Channel> {
        let channels = self.client.channels();
        let mut statuses: Vec<_> = channels
            .iter()
            .map(|channel| self.status(channel))
            .collect();
        statuses.sort_by(|a, b| a.peer_alias.cmp(&b.peer_alias));
        statuses
    }

    fn status(&self, channel: &Channel) -> v1::Channel {
        let params = channel.params();
        let clock = self.client.chain().clock();
        let view = channel.view();
        let age = view.as_ref().and_then(|view| clock.age(view.at));
        let left = match view.as_ref().map(|view| &view.status) {
            Some(Status::Registered { timeout, .. }) => {
                let now = clock.now();
                now.map(|now| Duration::from_nanos(timeout.nanos_since(now)))
            }
            _ => None,
        };
        let phase = match view.as_ref().map(|view| &view.status) {
            Some(Status::Registered { .. }) => Phase::Disputed,
            Some(Status::Concluded { .. }) => Phase::Settling,
            _ if channel.is_open() => Phase::Open,
            _ => match channel.is_opening() {
                true => Phase::Opening,
                false => Phase::Settling,
            },
        };
        let secured = params.assets().iter().zip(channel.secured());
        v1::Channel {
            info: Some(self.info(channel)),
            peer_alias: self.alias(&channel.peer()),
            phase: phase.into(),
            peer_connected: self.client.is_connected(&channel.peer()),
            synced: channel.is_synced(),
            challenge_duration_s: params.challenge_duration().secs().into(),
            secured: secured
                .map(|(asset, amount)| self.show(asset, amount))
                .collect(),
            view_age_s: age.unwrap_or_default().as_secs_f64(),
            refutation_left_s: left.unwrap_or_default().as_secs_f64(),
        }
    }
}
