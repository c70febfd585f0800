//! What effects do: each in a thread of its own, so that the screen never waits.

use std::thread;

use serde_json::{json, to_value};
use tandem_admin::{CallKey, Ended, Target, method as m};

use super::client::Client;
use super::load::Runner;
use super::trace::Follower;
use super::{Hub, apply, machine};
use crate::feed::Effect;

/// What is being done.
pub(super) struct Actions {
    hub: Hub,
    follower: Follower,
    runner: Runner,
}

impl Actions {
    pub(super) fn new(hub: &Hub) -> Self {
        Self {
            hub: hub.clone(),
            follower: Follower::default(),
            runner: Runner::default(),
        }
    }

    /// Begins an effect; what becomes of it is an event.
    pub(super) fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Quit | Effect::Redraw => {}
            Effect::SetTarget(params) => self.ask(move |client| {
                let params = to_value(&params).unwrap_or_default();
                let target: Target = client.call(m::DISPATCHER_SET_STATE, params)?;
                Ok(format!("{} is {}", target.uri, target.state))
            }),
            Effect::EndCall(key) => self.ask(move |client| {
                let ended: Ended = client.call(m::DLG_END, json!(CallKey { key }))?;
                Ok(format!("call {key} is ended ({})", ended.ended))
            }),
            Effect::Follow(call_id) => self.follower.follow(&self.hub, call_id),
            Effect::Unfollow => self.follower.end(),
            Effect::StartLoad { profile, socket } => {
                self.runner.start(&self.hub, profile, socket);
            }
            Effect::StopLoad => self.runner.stop(&self.hub),
            Effect::Plan(wishes) => self.aside(move |hub| machine::look(hub, &wishes)),
            Effect::Blink(interface) => self.aside(move |hub| machine::blink(hub, &interface)),
            Effect::KeepDraft(draft) => machine::keep(&self.hub, &draft),
            Effect::Apply(files) => self.aside(move |hub| apply::apply(hub, &files)),
        }
    }

    fn aside(&self, work: impl FnOnce(&Hub) + Send + 'static) {
        let hub = self.hub.clone();
        thread::spawn(move || work(&hub));
    }

    fn ask(&self, question: impl FnOnce(&mut Client) -> Result<String, String> + Send + 'static) {
        let hub = self.hub.clone();
        thread::spawn(move || {
            let said = Client::connect(&hub.options.socket).and_then(|mut c| question(&mut c));
            hub.done(said);
        });
    }
}
