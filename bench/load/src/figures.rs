//! What a run measured: plain data. Everything that counts up is a difference in a [`Sample`] and a sum in
//! [`Figures::totals`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::histogram::{Histogram, Percentiles};

/// What one run measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// The profile's name.
    pub name: String,
    /// When it began, in seconds since 1970.
    pub started: u64,
    /// The same with its fraction, so that its samples can be laid beside what else happened.
    #[serde(default)]
    pub started_s: f64,
    /// How long it took, in seconds, with the wait for what was on its way.
    pub duration_s: f64,
    /// One a second.
    pub samples: Vec<Sample>,
    /// Over all of it.
    pub totals: Totals,
}

/// What happened within a second.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// When it ended, in seconds since the run began.
    pub at_s: f64,
    /// How long it was, in seconds.
    pub length_s: f64,
    /// Media.
    pub rtp: RtpCounts,
    /// From the sender's clock reading to the receiver's, in nanoseconds.
    pub latency: Percentiles,
    /// Interarrival jitter (RFC 3550 section 6.4.1) of each stream as each packet came, in nanoseconds.
    pub jitter: Percentiles,
    /// Frames that are not media of ours: floods and raw frames.
    pub raw: RawCounts,
    /// SIP.
    pub sip: SipCounts,
    /// The generator's own state.
    pub generator: GeneratorCounts,
}

/// What happened over all of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// Media. `lost` is exact here: sent less received, when all that was on its way had its time to come.
    pub rtp: RtpCounts,
    /// From the sender's clock reading to the receiver's, in nanoseconds.
    pub latency: Histogram,
    /// Interarrival jitter of each stream as each packet came, in nanoseconds.
    pub jitter: Histogram,
    /// Floods and raw frames.
    pub raw: RawCounts,
    /// SIP.
    pub sip: SipCounts,
    /// From INVITE to 200, in nanoseconds.
    pub setup: Histogram,
    /// From INVITE to the first sign of ringing, in nanoseconds.
    pub ringing: Histogram,
    /// From REGISTER to 200, in nanoseconds.
    pub registration: Histogram,
    /// The generator's own state.
    pub generator: GeneratorCounts,
    /// How far behind its schedule each packet was sent, in nanoseconds.
    pub lateness: Histogram,
}

macro_rules! counts {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident,)* }
     $({ $($(#[$state_doc:meta])* $state:ident: $type:ty,)* })?) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: u64,)*
            $($($(#[$state_doc])* pub $state: $type,)*)?
        }

        impl $name {
            /// What was counted since `earlier`. What is a state and no count is as it is now.
            #[must_use]
            pub fn since(&self, earlier: &Self) -> Self {
                Self {
                    $($field: self.$field.saturating_sub(earlier.$field),)*
                    $($($state: Since::since(&self.$state, &earlier.$state),)*)?
                }
            }
        }
    };
}

/// What has a difference of its own.
trait Since {
    fn since(&self, earlier: &Self) -> Self;
}

impl Since for BTreeMap<u16, u64> {
    fn since(&self, earlier: &Self) -> Self {
        let less = |(code, count): (&u16, &u64)| {
            let before = earlier.get(code).copied().unwrap_or(0);
            (*count > before).then(|| (*code, count - before))
        };
        self.iter().filter_map(less).collect()
    }
}

/// A state: the later one counts.
impl Since for u64 {
    fn since(&self, _: &Self) -> Self {
        *self
    }
}

counts! {
    /// Media packets.
    RtpCounts {
        /// Given to the device.
        sent,
        /// Came to the stream that they belong to, each one once.
        received,
        /// Did not come. In a sample: gaps in the sequence seen in that second, less those filled later.
        lost,
        /// Came behind one that was sent later.
        reordered,
        /// Came once more.
        duplicated,
        /// Came to another address or port than the stream's.
        misdelivered,
        /// Were media of ours with a wrong checksum; they count as lost, too.
        damaged,
        /// Were media of ours, but of no stream that there is: too late, or of another run.
        unknown,
        /// Bytes of the frames sent, without frame check sequence.
        bytes_sent,
        /// Bytes of the frames received.
        bytes_received,
    }
    {
        /// Streams that are sent now, each one direction.
        streams: u64,
    }
}

counts! {
    /// Frames that are not media of ours.
    RawCounts {
        /// Given to the device.
        sent,
        /// Their bytes.
        bytes_sent,
        /// Received, and neither ARP, ND, SIP for the agent nor media.
        received,
    }
}

counts! {
    /// SIP. Calls are counted at the calling end, unless it says otherwise.
    SipCounts {
        /// INVITEs sent, without repetitions.
        calls_attempted,
        /// 2xx received for them.
        calls_answered,
        /// Ended by BYE and its 200.
        calls_completed,
        /// No final answer came, or none to the BYE.
        timeouts,
        /// Calls that the answering end took.
        calls_taken,
        /// BYEs that came before their time.
        calls_cut,
        /// Calls that were due and did not begin, since as many were up as may be.
        calls_held_back,
        /// Calls that were answered without media that could be sent to.
        without_media,
        /// Final answers and BYEs of the answering end that nothing came back for.
        unacknowledged,
        /// Messages for calls that are long over.
        late,
        /// Messages sent again by us.
        retransmissions_sent,
        /// Messages that came again.
        retransmissions_received,
        /// REGISTERs sent, without repetitions and answers to challenges.
        registrations_attempted,
        /// 200 received for them.
        registrations_answered,
        /// REGISTERs without a final answer.
        registrations_timeouts,
        /// Registrations that were due while the same user's was still open.
        registrations_held_back,
        /// Datagrams received that are no SIP message or belong to nothing.
        strange,
    }
    {
        /// Calls refused, by the answer's code.
        calls_failed: BTreeMap<u16, u64>,
        /// Registrations refused, by the answer's code; a challenge that was answered is none.
        registrations_failed: BTreeMap<u16, u64>,
        /// BYEs refused, by the answer's code.
        byes_refused: BTreeMap<u16, u64>,
        /// Calls that are up now.
        calls_up: u64,
        /// Contacts that are registered now.
        registered: u64,
    }
}

counts! {
    /// The generator's own state: whether it was the limit.
    GeneratorCounts {
        /// Rounds of its loop.
        rounds,
        /// Nanoseconds in rounds that had something to do.
        busy_ns,
        /// Nanoseconds in all.
        total_ns,
        /// Packets sent more than a millisecond behind schedule.
        late,
        /// Packets never sent, because the generator was too far behind: they count as nothing else.
        skipped,
        /// Times that the device took less than was given to it; what it did not take is given again.
        refused,
        /// Frames that our device dropped because we did not fetch them in time. They count as lost, too.
        missed,
        /// Packets that could not be sent because no neighbour answered for their destination.
        unresolved,
    }
    {
        /// The longest time between two looks at the clock, in nanoseconds.
        longest_gap_ns: u64,
    }
}

impl SipCounts {
    /// Calls refused, by whatever code.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.calls_failed.values().sum()
    }

    /// Calls that did not come up.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.refused() + self.timeouts
    }
}

impl GeneratorCounts {
    /// How much of its time it worked, in percent.
    #[must_use]
    pub fn busy_percent(&self) -> f64 {
        if self.total_ns == 0 {
            return 0.0;
        }
        self.busy_ns as f64 * 100.0 / self.total_ns as f64
    }
}

impl Figures {
    /// Why what was measured may be the generator's limit rather than the appliance's; none if nothing says so.
    #[must_use]
    pub fn generator_limit(&self) -> Option<String> {
        let GeneratorCounts {
            skipped, missed, ..
        } = self.totals.generator;
        let scheduled = self.totals.rtp.sent + skipped;
        if missed > 0 {
            return Some(format!("{missed} frames were not fetched in time"));
        }
        // One of a thousand that was never sent is more than a hiccup of the machine.
        if skipped > 0 && skipped * 1000 > scheduled {
            return Some(format!(
                "{skipped} of {scheduled} packets were not sent in time"
            ));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_a_difference_and_a_state_is_none() {
        let mut before = SipCounts {
            calls_attempted: 3,
            calls_up: 9,
            ..SipCounts::default()
        };
        before.calls_failed.insert(503, 2);
        let mut now = before.clone();
        (now.calls_attempted, now.calls_up) = (10, 4);
        now.calls_failed.insert(486, 1);
        let since = now.since(&before);
        assert_eq!(
            (since.calls_attempted, since.calls_up, since.failed()),
            (7, 4, 1)
        );
        assert_eq!(since.calls_failed, BTreeMap::from([(486, 1)]));
    }
}
