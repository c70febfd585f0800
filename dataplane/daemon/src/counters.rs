//! Counters: each has one writing thread and any number of readers, so none needs a
//! read-modify-write.

use std::sync::atomic::{AtomicU64, Ordering};

/// One counter.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Adds to it; by its one writer only.
    #[inline]
    pub(crate) fn add(&self, n: u64) {
        self.0.store(
            self.0.load(Ordering::Relaxed).wrapping_add(n),
            Ordering::Relaxed,
        );
    }

    /// Makes it this; by its one writer only. For gauges.
    pub(crate) fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }

    /// Its value.
    pub(crate) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Declares a set of counters with one writer, and their names.
macro_rules! counters {
    ($(#[$meta:meta])* $set:ident { $($(#[$doc:meta])* $name:ident,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Default)]
        // A cache line of its own: the writers are on different cores.
        #[repr(align(128))]
        pub(crate) struct $set { $($(#[$doc])* pub(crate) $name: Counter,)* }

        impl $set {
            /// Every counter with its name.
            pub(crate) fn all(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name.value()),)*].into_iter()
            }
        }
    };
}

counters! {
    /// What a worker counts besides its relay's outcomes.
    WorkerCounters {
        /// Packets that a device did not take in time.
        tx_full,
        /// Packets for a port that has no link: dropped.
        tx_link_down,
        /// Packets for a port that is being restarted: dropped.
        tx_port_restarts,
        /// Frames longer than the device sends: dropped.
        tx_too_long,
        /// Packets in several buffers, which we ask no device for.
        rx_segmented,
        /// Packets received here that another worker owns, given to it.
        handed_off,
        /// The same, without room on the way: dropped.
        hand_off_full,
        /// Packets sent by another worker since this one has no queue of that port.
        tx_handed_off,
        /// Frames given to the kernel.
        exception_given,
        /// Frames for the kernel above their class's rate: dropped.
        exception_policed,
        /// IP fragments for the kernel above their rate: dropped.
        exception_fragment_policed,
        /// Frames for the kernel without room on the way: dropped.
        exception_ring_full,
        /// SIP datagrams given to the controller.
        sip_received,
        /// SIP datagrams without a Call-ID that can be read, given to the first of the controller's
        /// workers; counted when there are several.
        sip_without_call_id,
        /// SIP datagrams without a controller: dropped.
        sip_no_controller,
        /// Requests outside of dialogs that were dropped, since the controller was too slow and so much of its ring was full that the rest
        /// is for responses, for calls that are there, and for sources that are trusted more: from a quarter of it on for unknown
        /// sources, a half for registered and three quarters for trusted ones.
        sip_ring_crowded,
        /// Other SIP of unknown sources that was dropped since half of the controller's ring was full, and of registered ones
        /// since three quarters were.
        sip_ring_reserved,
        /// SIP datagrams that the controller was too slow for: dropped.
        sip_ring_full,
        /// SIP datagrams of the controller that were sent to the wire.
        sip_sent,
        /// SIP datagrams of the controller that were given to the kernel to be sent: next hop not
        /// resolved, or too long.
        sip_sent_by_kernel,
        /// SIP datagrams of the controller that could not be sent: dropped.
        sip_not_sent,
        /// Times that the controller's ring had to be emptied since its content made no sense.
        sip_ring_corrupt,
        /// Commands on flows that the controller gave.
        flow_commands,
        /// Flow pairs that are installed now.
        flows,
        /// Packets that could not be made since no buffer was free: dropped.
        no_buffer,
        /// Events and answers without room on the way to the control thread: dropped.
        report_ring_full,
        /// Packets that a capture took.
        captured,
        /// Packets that matched a capture but found no room: not captured.
        capture_full,
        /// Turns of the poll loop that found something to do.
        poll_busy,
        /// Turns of the poll loop that found nothing.
        poll_idle,
        /// Nanoseconds of the turns that found something to do.
        poll_busy_ns,
        /// Nanoseconds of the turns that found nothing, sleep included.
        poll_idle_ns,
    }
}

counters! {
    /// What the exception thread counts.
    ExceptionCounters {
        /// Frames given to the kernel.
        tap_written,
        /// Frames that the kernel did not take: dropped.
        tap_write_failed,
        /// Frames taken from the kernel.
        tap_read,
        /// Frames of the kernel without a buffer or room on the way to a worker: dropped.
        tap_read_dropped,
        /// SIP datagrams given to the kernel to be sent.
        kernel_sip_sent,
        /// SIP datagrams that the kernel refused: dropped.
        kernel_sip_failed,
    }
}

counters! {
    /// What the control thread counts.
    ControlCounters {
        /// Controllers that were accepted.
        controller_sessions,
        /// Controllers that were refused.
        controller_refused,
        /// Controllers that were fenced by a newer one.
        controller_fenced,
        /// Controllers that were disconnected since they read too slowly.
        controller_slow,
        /// Controllers that sent what is no message.
        controller_protocol,
        /// Commands received, but for those on flows.
        commands,
        /// Commands that no worker had room for.
        commands_overloaded,
        /// Events without a controller: dropped; the flow table keeps what they tell.
        events_no_controller,
        /// Snapshots of addresses, routes and neighbours given to the workers.
        forwarding_updates,
        /// Times that a worker made no progress for longer than `dataplane.stuck_report`.
        workers_stuck,
        /// Times that a port's queue took or gave no packets any more although it had a link.
        queues_stalled,
        /// Times that a port was stopped and started since a queue of it had stalled.
        ports_restarted,
        /// Times that this was not possible: a worker did not give its queue back, or the driver failed.
        port_restarts_failed,
        /// Times that the control thread did not run for a second or longer: the process was stopped, or the machine
        /// has more to do than cores.
        control_gaps,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_counter_is_listed_under_its_own_name() {
        let counters = ControlCounters::default();
        counters.commands.add(2);
        counters.commands.add(3);
        counters.forwarding_updates.add(7);
        let moved: Vec<_> = counters.all().filter(|(_, value)| *value != 0).collect();
        assert_eq!(moved, [("commands", 5), ("forwarding_updates", 7)]);
    }
}
