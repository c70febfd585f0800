//! What the agent is told: a profile's sections, checked and in the agent's own units.

use std::net::SocketAddr;

use super::arrivals::{Rate, Spread};
use super::text::Pattern;
use crate::{MILLISECOND, Nanos, SECOND};

/// One of the agent's own addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Side {
    /// The generator's port.
    pub port: usize,
    /// Address and UDP port of its SIP.
    pub address: SocketAddr,
}

/// Users with passwords: each has a number, from 0.
#[derive(Clone, Debug)]
pub struct Users {
    /// How many.
    pub count: u32,
    /// Their names.
    pub(crate) name: Pattern,
    /// Their passwords.
    pub(crate) password: Pattern,
    /// Where they are at home.
    pub(crate) domain: Vec<u8>,
}

impl Users {
    /// Names and passwords as in a profile: `user%06d`.
    ///
    /// # Errors
    /// With the one that cannot be read.
    pub fn new(count: u32, name: &str, password: &str, domain: &str) -> Result<Self, String> {
        if count == 0 {
            return Err("there must be at least one user".to_owned());
        }
        Ok(Self {
            count,
            name: Pattern::new(name)?,
            password: Pattern::new(password)?,
            domain: Pattern::new(domain)?.with(0),
        })
    }
}

/// How long calls are up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldSpread {
    /// Each as long.
    #[default]
    Fixed,
    /// Exponentially distributed with that mean: as telephone calls are.
    Exponential,
}

/// Who ends a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hangup {
    /// Who placed it.
    #[default]
    Caller,
    /// Who answered it.
    Called,
    /// One or the other, by turns.
    Both,
}

/// Calls.
#[derive(Clone, Debug)]
pub struct CallSettings {
    /// The callers.
    pub caller: Side,
    /// Who answers; None when others do.
    pub called: Option<Side>,
    /// Where INVITEs go.
    pub appliance: SocketAddr,
    /// Calls a second.
    pub rate: Rate,
    /// How they are spread.
    pub spread: Spread,
    /// At once at most.
    pub concurrent: u32,
    /// In all at most.
    pub limit: Option<u64>,
    /// How long each is up; without it until the run's end.
    pub hold: Option<Nanos>,
    /// What `hold` is.
    pub hold_spread: HoldSpread,
    /// Who ends them.
    pub hangup: Hangup,
    /// Whether they have media.
    pub media: bool,
    /// Milliseconds of media in a packet.
    pub ptime: u8,
    /// The UDP ports of media, first and last.
    pub media_ports: (u16, u16),
    /// Who is called.
    pub(crate) number: Pattern,
    /// Who calls.
    pub(crate) name: Pattern,
    /// Who calls, with a password, instead of `name`.
    pub users: Option<Users>,
    /// From INVITE to 180; without it there is none.
    pub ring_after: Option<Nanos>,
    /// From INVITE to 200.
    pub answer_after: Nanos,
    /// How long callers wait for an answer behind the first sign of life.
    pub patience: Nanos,
    /// One call of so many is refused by who is called, with this code.
    pub refuse: Option<(u32, u16)>,
}

impl CallSettings {
    /// The plainest calls: a number of them a second, each up for a second.
    #[must_use]
    pub fn new(caller: Side, called: Option<Side>, appliance: SocketAddr, rate: f64) -> Self {
        let fixed = |text: &str| Pattern::new(text).unwrap_or_else(|_| Pattern::nothing());
        Self {
            caller,
            called,
            appliance,
            rate: Rate::Constant(rate),
            spread: Spread::Even,
            concurrent: 1_000_000,
            limit: None,
            hold: Some(SECOND),
            hold_spread: HoldSpread::Fixed,
            hangup: Hangup::Caller,
            media: false,
            ptime: 20,
            media_ports: (10_000, 59_999),
            number: fixed("+4930%d"),
            name: fixed("+4940%d"),
            users: None,
            ring_after: Some(0),
            answer_after: 0,
            patience: 60 * SECOND,
            refuse: None,
        }
    }

    /// The number that is called and the caller's name, as in a profile.
    ///
    /// # Errors
    /// With the one that cannot be read.
    pub fn names(mut self, number: &str, name: &str) -> Result<Self, String> {
        self.number = Pattern::new(number)?;
        self.name = Pattern::new(name)?;
        Ok(self)
    }

    /// # Errors
    /// With what cannot be.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.rate.check()?;
        let (first, last) = self.media_ports;
        if first < 1024 || first % 2 == 1 || last <= first {
            return Err(
                "media_ports: an even first port of at least 1024, and a last one above it".into(),
            );
        }
        if self.media && self.concurrent > self.most_media() {
            return Err(format!(
                "concurrent = {}, but media_ports has room for {} calls",
                self.concurrent,
                self.most_media()
            ));
        }
        if self
            .refuse
            .is_some_and(|(every, code)| every == 0 || !(300..700).contains(&code))
        {
            return Err("refuse: one call of at least 1, and a code of 300 to 699".into());
        }
        if self.concurrent == 0 || !(1..=200).contains(&self.ptime) {
            return Err("concurrent is at least 1, and ptime 1 to 200".into());
        }
        Ok(())
    }

    /// For how many calls there are ports.
    pub(crate) fn most_media(&self) -> u32 {
        let (first, last) = self.media_ports;
        (u32::from(last) + 1 - u32::from(first)) / 2
    }
}

/// Registrations.
#[derive(Clone, Debug)]
pub struct RegisterSettings {
    /// Where the user agents are.
    pub from: Side,
    /// Where REGISTERs go.
    pub appliance: SocketAddr,
    /// REGISTERs a second.
    pub rate: Rate,
    /// How they are spread.
    pub spread: Spread,
    /// Who registers.
    pub users: Users,
    /// Seconds that are asked for.
    pub expires: u32,
    /// Whether users register again and again at the rate, not only when half of their time is over.
    pub repeat: bool,
}

/// T1 of RFC 3261: until the first repetition.
pub(crate) const T1: Nanos = 500 * MILLISECOND;
/// T2 of RFC 3261: the longest time between two repetitions of what is no INVITE.
pub(crate) const T2: Nanos = 4 * SECOND;
/// 64 T1: how long a transaction is tried.
pub(crate) const TRIED: Nanos = 64 * T1;
/// From the last media packet to the BYE: what is on its way shall arrive.
pub(crate) const TAIL: Nanos = 100 * MILLISECOND;
