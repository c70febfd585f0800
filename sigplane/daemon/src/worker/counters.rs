//! The shell's own counters; the core has its own.

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// A counter's name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Count {
            $($(#[doc = $doc])+ $variant,)+
        }

        const NAMES: &[&str] = &[$($name,)+];
    };
}

counters! {
    /// SIP datagrams received through the dataplane's rings.
    ReceivedByRing = "net_received_by_ring",
    /// SIP datagrams received by the kernel's sockets.
    ReceivedBySocket = "net_received_by_socket",
    /// SIP messages received over connections.
    ReceivedByStream = "net_received_by_stream",
    /// SIP messages of our calls that another worker had read and passed on.
    ReceivedFromWorker = "net_received_from_worker",
    /// SIP messages of other workers' calls that were passed on to them.
    PassedToWorker = "net_passed_to_worker",
    /// SIP messages and sights for another worker that has no room for them: dropped.
    WorkerBoxFull = "net_worker_box_full",
    /// Users that the database was not asked for: its thread had enough to do.
    SubscribersNotAsked = "database_lookups_dropped",
    /// Commands of a session with the dataplane that has ended meanwhile: dropped.
    CommandsOfOldSession = "link_commands_of_old_session",
    /// Answers to REGISTER that left although the disk had not answered yet: what they promise may not outlive a power cut.
    PromisesLate = "journal_promises_late",
    /// SIP messages given to connections.
    SentByStream = "net_sent_by_stream",
    /// Datagrams in a ring that name a realm or an address that the configuration does not have.
    RingBadAddress = "net_ring_bad_address",
    /// SIP datagrams sent through the dataplane's rings.
    SentByRing = "net_sent_by_ring",
    /// SIP datagrams sent by the kernel's sockets.
    SentBySocket = "net_sent_by_socket",
    /// Datagrams that found the ring full and went by the kernel's socket.
    RingFull = "net_ring_full",
    /// Datagrams to a realm that were dropped, since there was no dataplane.
    SentWithoutDataplane = "net_sent_without_dataplane",
    /// Datagrams that the kernel did not send: no way there, or no room.
    SendFailed = "net_send_failed",
    /// Datagrams to be sent from an address that no socket has.
    NoSocket = "net_no_socket",
    /// Names that the resolver had no room for.
    ResolverBusy = "resolver_busy",
    /// ICMP errors that quote a datagram of ours.
    IcmpErrors = "net_icmp_errors",
    /// Receive errors of the kernel's sockets.
    SocketErrors = "net_socket_errors",
    /// Sessions with the dataplane that ended.
    LinkSessionsEnded = "link_sessions_ended",
    /// Commands that were dropped, since there was no dataplane.
    CommandsWithoutLink = "link_commands_without_session",
    /// Captured packets that the listener was too slow for.
    CapturePacketsDropped = "capture_packets_dropped",
    /// Times that a source was blocked for what it did.
    SourcesBlocked = "sources_blocked",
    /// Times that a source was heard again before its time was over.
    SourcesUnblocked = "sources_unblocked",
    /// Blocks that had to go for others, since there were too many.
    BlocksDisplaced = "blocks_displaced",
    /// Blocks that the dataplane, or the thread of the connections, did not take: what such sources send is dropped
    /// after it was read.
    BlocksNotInstalled = "blocks_not_installed",
    /// Times that the dataplane did not take how it is to relay SIP by itself.
    StatelessNotTaken = "stateless_not_taken",
    /// Sources with registered users that the dataplane was not told of: there are more than `police.max_registered`.
    SourcesNotClassified = "sources_not_classified",
    /// Calls in the journal that could not be taken up.
    CallsUnrestorable = "journal_calls_unrestorable",
    /// Failed attempts to write the journal.
    JournalErrors = "journal_errors",
    /// Records lost, since the journal could not be written for too long.
    JournalLost = "journal_records_lost",
    /// CDRs written to the journal.
    CdrsJournaled = "journal_cdrs",
}

/// The counters' values.
#[derive(Debug)]
pub(super) struct Counters([u64; NAMES.len()]);

impl Default for Counters {
    fn default() -> Self {
        Self([0; NAMES.len()])
    }
}

impl Counters {
    pub(super) fn add(&mut self, counter: Count) {
        self.add_many(counter, 1);
    }

    pub(super) fn add_many(&mut self, counter: Count, n: u64) {
        if let Some(value) = self.0.get_mut(counter as usize) {
            *value += n;
        }
    }

    pub(super) fn value(&self, counter: Count) -> u64 {
        self.0.get(counter as usize).copied().unwrap_or(0)
    }

    /// SIP messages that this worker took for its calls.
    pub(super) fn messages(&self) -> u64 {
        let taken = [
            Count::ReceivedByRing,
            Count::ReceivedBySocket,
            Count::ReceivedByStream,
            Count::ReceivedFromWorker,
        ];
        let passed = self.value(Count::PassedToWorker) + self.value(Count::WorkerBoxFull);
        let taken: u64 = taken.into_iter().map(|count| self.value(count)).sum();
        taken.saturating_sub(passed)
    }

    /// Names and values.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        NAMES.iter().copied().zip(self.0.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_counter_has_its_own_name_and_value() {
        let mut counters = Counters::default();
        counters.add(Count::ReceivedByRing);
        counters.add_many(Count::CdrsJournaled, 3);
        let moved: Vec<_> = counters.iter().filter(|(_, value)| *value > 0).collect();
        assert_eq!(moved, [("net_received_by_ring", 1), ("journal_cdrs", 3)]);
        let mut names = NAMES.to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), NAMES.len());
    }
}
