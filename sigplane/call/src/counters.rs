//! Named counters: every outcome has one.

use std::collections::BTreeMap;

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// A counter's name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub(crate) enum Counter {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Counter {
            /// All of them.
            pub(crate) const ALL: &[Self] = &[$(Self::$variant,)+];

            pub(crate) const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

counters! {
    /// Requests received.
    RequestsReceived = "sip_requests_received",
    /// Responses received.
    ResponsesReceived = "sip_responses_received",
    /// Datagrams of line ends only, or shorter than any message: keepalives.
    Keepalives = "sip_keepalives",
    /// Datagrams that are not SIP messages.
    NotSip = "sip_not_sip",
    /// Requests answered with 400, since a header is missing or broken.
    MalformedRequests = "sip_malformed_requests",
    /// Responses dropped, since a header is missing or broken.
    MalformedResponses = "sip_malformed_responses",
    /// ACKs dropped, since a header is missing or broken.
    MalformedAcks = "sip_malformed_acks",
    /// Datagrams that came by a path that the configuration does not have.
    UnknownPath = "sip_unknown_path",
    /// Retransmitted requests absorbed.
    RequestsAbsorbed = "sip_requests_absorbed",
    /// Retransmitted responses absorbed.
    ResponsesAbsorbed = "sip_responses_absorbed",
    /// Responses that belong to no transaction.
    ResponsesUnmatched = "sip_responses_unmatched",
    /// ACKs that belong to no dialog (those of refusals among them).
    AcksUnmatched = "sip_acks_unmatched",
    /// Messages that we sent again for want of an answer.
    Retransmissions = "sip_retransmissions",
    /// Our failures that were never acknowledged.
    AcksMissing = "sip_acks_missing",
    /// OPTIONS to ourselves answered with 200.
    OptionsAnswered = "sip_options_answered",
    /// Configurations taken while running.
    ConfigsTaken = "configs_taken",
    /// Configurations not taken, since something in them is fixed while running: a fault of ours.
    ConfigsUnfit = "configs_unfit",
    /// Messages of blocked sources that came by another way than the dataplane's: dropped.
    BlockedDropped = "sip_blocked",
    /// Requests of sources that are not trusted, non-SIP and responses to nothing included.
    WatchedRequests = "watched_requests",
    /// Failed attempts of sources that are not trusted.
    WatchedFailures = "watched_failures",
    /// Requests of programs that are known as scanners.
    WatchedScanners = "watched_scanners",
    /// New requests answered with 503, since they had waited too long.
    OverloadRefused = "overload_refused",
    /// Answered 405: a method that we do not serve outside of a dialog.
    MethodNotAllowed = "sip_method_not_allowed",
    /// Answered 416: a Request-URI of a scheme that we do not know.
    SchemeUnsupported = "sip_scheme_unsupported",
    /// Refused by a rule of `[[rule]]`.
    RulesRejected = "rules_rejected",
    /// Calls out of the pool answered with 404: no carrier of `trunk_routing` has a prefix of the number.
    RoutesUnknown = "routes_unknown",
    /// Calls that went on to another carrier, since one did not take them.
    CarriersPassedOver = "carriers_passed_over",
    /// Times that a trunk was passed over: it had as many calls as it may (`max_calls`).
    TrunksFull = "trunks_full",
    /// Times that a trunk was passed over: it had as many new calls in a second as it may (`max_cps`).
    TrunksTooFast = "trunks_too_fast",
    /// Times that a trunk was passed over: none of its targets took calls.
    TrunksDown = "trunks_down",
    /// Calls from a trunk answered with 503: more at a time than it may have (`max_calls_in`).
    TrunksInFull = "trunks_in_full",
    /// Calls from a trunk answered with 503: more in a second than it may have (`max_cps_in`).
    TrunksInTooFast = "trunks_in_too_fast",
    /// Calls of a tenant answered with 503: more at a time than it may have.
    TenantsFull = "tenants_full",
    /// Calls of a tenant answered with 503: more in a second than it may have.
    TenantsTooFast = "tenants_too_fast",
    /// Calls to the nearest set whose callers were at no known place: the first set in its list had them.
    PlacesUnknown = "places_unknown",
    /// Answered 505: a request of another version of SIP.
    VersionNotSupported = "sip_version_not_supported",
    /// Messages longer than allowed: requests answered with 513, others dropped.
    MessageTooLarge = "sip_message_too_large",
    /// Messages with more header fields than allowed: requests answered with 400, others dropped.
    HeadersOverLimit = "sip_headers_over_limit",
    /// Requests with more Vias than allowed: answered with 483, ACKs dropped.
    ViasOverLimit = "sip_vias_over_limit",
    /// Answered 420: an extension that we lack.
    BadExtension = "sip_bad_extension",
    /// Answered 481: no such dialog or transaction.
    NoSuchDialog = "sip_no_such_dialog",
    /// Answered 482: a request that is being served came on another way.
    LoopDetected = "sip_loop_detected",
    /// Answered 483: Max-Forwards is used up.
    TooManyHops = "sip_too_many_hops",
    /// Carriers' calls answered 404: the number is not in `did_routing`.
    DidsUnknown = "dids_unknown",
    /// Answered 403: who asks may not call.
    Forbidden = "sip_forbidden",
    /// CANCELs answered with 200.
    Cancels = "sip_cancels",
    /// Messages from the carrier side whose Call-ID was a token of ours, and was undone.
    TokensOpened = "hiding_tokens_opened",
    /// Messages from the carrier side refused or dropped: their Call-ID pretends to be a token of ours.
    TokensForged = "hiding_tokens_forged",
    /// Messages to the carrier side not sent, since they would have shown the inside: the key of
    /// their Call-ID is gone.
    HidingFailed = "hiding_failed",
    /// Messages that the network said it cannot deliver.
    Unreachable = "sip_unreachable",
    /// Connections that were closed.
    ConnectionsClosed = "sip_connections_closed",
    /// Calls accepted for routing.
    Calls = "calls",
    /// Calls from carriers.
    CallsInbound = "calls_inbound",
    /// Calls from pool members.
    CallsOutbound = "calls_outbound",
    /// Calls that were answered.
    CallsAnswered = "calls_answered",
    /// Calls that the target refused.
    CallsRejected = "calls_rejected",
    /// Calls cancelled by the caller.
    CallsCancelled = "calls_cancelled",
    /// Calls that rang out (timer C).
    CallsNoAnswer = "calls_no_answer",
    /// Calls answered with 503: no target left.
    CallsNoTarget = "calls_no_target",
    /// Calls answered with 503: no dataplane to carry their media.
    CallsNoDataplane = "calls_no_dataplane",
    /// Users that the table in memory does not have, and that the database was asked for.
    SubscribersAsked = "subscribers_asked_for",
    /// Such users that it was not asked for: as many in a second as allowed were asked for already.
    SubscribersNotAsked = "subscribers_not_asked_for",
    /// INVITEs left without an answer in the first moments of a life, before the dataplane was there: they come again.
    CallsLeftForLater = "calls_left_for_later",
    /// INVITEs answered with 503: the database's tables were not read yet.
    CallsNoTables = "calls_no_tables",
    /// Calls answered with 503: as many calls as allowed are in progress.
    CallsOverLimit = "calls_over_limit",
    /// Calls refused for their SDP.
    CallsMediaRefused = "calls_media_refused",
    /// Calls ended since no media came.
    CallsMediaTimeout = "calls_media_timeout",
    /// Calls ended at their longest duration.
    CallsMaxDuration = "calls_max_duration",
    /// Calls ended, since their session was not refreshed (RFC 4028).
    CallsSessionExpired = "calls_session_expired",
    /// Calls ended by our own fault or for want of our own means.
    CallsEndedLocally = "calls_ended_locally",
    /// Calls ended by an administrator's order.
    CallsEndedByAdministrator = "calls_ended_by_administrator",
    /// Calls ended since the dataplane would not carry their media.
    CallsMediaFailed = "calls_media_failed",
    /// Legs of calls whose peer sent media above its flow's rate.
    CallsMediaFlooded = "calls_media_flooded",
    /// Calls ended by a BYE of the caller.
    CallsEndedByCaller = "calls_ended_by_caller",
    /// Calls ended by a BYE of the callee.
    CallsEndedByCallee = "calls_ended_by_callee",
    /// States of targets set by the administrator.
    TargetsSet = "dispatcher_targets_set",
    /// Requests that were challenged: without credentials for us, or with such that were not taken.
    AuthChallenges = "auth_challenges",
    /// Requests with good credentials.
    AuthAccepted = "auth_accepted",
    /// Credentials that cannot be read: 400.
    AuthUnreadable = "auth_unreadable",
    /// Credentials for another realm.
    AuthRealm = "auth_wrong_realm",
    /// Credentials by an algorithm that was not offered.
    AuthAlgorithm = "auth_wrong_algorithm",
    /// Credentials with `qop=auth-int`, which is not taken.
    AuthInt = "auth_int",
    /// Credentials with another `qop`, or without.
    AuthQop = "auth_wrong_qop",
    /// Credentials with a hashed user name, which was not offered.
    AuthUserhash = "auth_userhash",
    /// Credentials for another Request-URI: 400.
    AuthUri = "auth_wrong_uri",
    /// Credentials with a wrong `nc` or without `cnonce`: 400.
    AuthCount = "auth_bad_count",
    /// Good credentials with an old nonce.
    AuthStale = "auth_stale",
    /// Credentials with a nonce that we did not make.
    AuthForged = "auth_forged_nonce",
    /// Credentials of an unknown user, or with a wrong password.
    AuthWrong = "auth_wrong_password",
    /// Credentials that were used before.
    AuthReplayed = "auth_replayed",
    /// Good credentials of another user than the one in To or From: 403.
    AuthOtherUser = "auth_other_user",
    /// REGISTERs passed on to the worker that has their address of record.
    RegistersPassedOn = "registers_passed_on",
    /// Addresses of record whose contacts an administrator removed.
    RegistrationsRemoved = "registrations_removed",
    /// Addresses of record of which bindings expired.
    RegistrationsExpired = "registrations_expired",
    /// Bindings taken up from the journal.
    RegistrationsRestored = "registrations_restored",
    /// Requests from the inside for users that are registered here.
    ToUsers = "to_users",
    /// Requests for users that are not registered: 480.
    UsersNotThere = "users_not_there",
    /// Requests for users that there are not: 404.
    UsersUnknown = "users_unknown",
    /// Requests dropped since too many waited for another worker's word; they come again.
    LookupsLost = "lookups_lost",
    /// Calls taken up from the journal.
    CallsRestored = "calls_restored",
    /// Calls from the journal that were not answered yet, and ended.
    CallsLost = "calls_lost",
    /// Calls taken up again by an INVITE: it came again after the process had died, or has the credentials that it was asked for.
    CallsResumed = "calls_resumed",
    /// Journal records that could not be read.
    JournalUnreadable = "journal_unreadable",
    /// Turned to the next target after a 408 or 5xx.
    FailoverResponse = "failover_response",
    /// Turned to the next target after an ICMP error.
    FailoverUnreachable = "failover_unreachable",
    /// Turned to the next target after silence.
    FailoverSilence = "failover_silence",
    /// Targets passed over, since none of our addresses reaches their family.
    TargetsWithoutWay = "targets_without_way",
    /// 2xx of a target that was given up, of a second fork, or to a re-INVITE that was given up:
    /// acknowledged and ended.
    LateAnswers = "late_answers",
    /// Early dialogs not taken up, since a call has too many.
    DialogsOverLimit = "dialogs_over_limit",
    /// Requests outside of calls that were passed on.
    Passages = "passages",
    /// Requests outside of calls that no target was there for.
    PassagesNoTarget = "passages_no_target",
    /// REGISTERs that were passed to the registrar.
    Registers = "registers",
    /// REGISTERs that the registrar accepted.
    RegistersAccepted = "registers_accepted",
    /// REGISTERs that the registrar answered otherwise, challenges (401, 407) among them.
    RegistersRefused = "registers_refused",
    /// REGISTERs answered with 503: as many as allowed are under way.
    RegistersOverLimit = "registers_over_limit",
    /// Flows with registered user agents that were learned.
    BindingsLearned = "bindings_learned",
    /// Flows that were forgotten, since the user agent unregistered.
    BindingsRemoved = "bindings_removed",
    /// Flows that were forgotten, since their registration was not refreshed.
    BindingsExpired = "bindings_expired",
    /// Flows that were forgotten, since their connection is gone.
    BindingsClosed = "bindings_closed",
    /// Flows that were not remembered, since there are too many.
    BindingsOverLimit = "bindings_over_limit",
    /// OPTIONS sent to registered user agents, to keep their NATs open.
    KeepalivesSent = "nat_keepalives_sent",
    /// Of these, those that were answered.
    KeepalivesAnswered = "nat_keepalives_answered",
    /// Of these, those that were not.
    KeepalivesMissed = "nat_keepalives_missed",
    /// User agents that get no more of them, since they do not answer.
    KeepalivesStopped = "nat_keepalives_stopped",
    /// Calls and other requests that registered user agents began.
    FromRegistered = "requests_from_registered",
    /// Requests from the inside that went to a registered user agent by its flow.
    ToFlows = "requests_to_flows",
    /// Answered 430: the connection of a registered user agent is gone, or nobody is at its address.
    FlowsFailed = "flows_failed",
    /// Answered 403: a Route pretends to be a Path of ours.
    FlowsForged = "flow_tokens_forged",
    /// Answered 430: a Path of ours whose key, or whose address of ours, is gone.
    FlowsOld = "flow_tokens_old",
    /// Service-Routes of registrars that did not pass, since they show the inside.
    ServiceRoutesDropped = "service_routes_dropped",
    /// 3xx answers.
    Redirects = "redirects",
    /// 3xx answers whose contacts were asked; the callers of the others got 480.
    RedirectsFollowed = "redirects_followed",
    /// Requests in dialogs passed on.
    InDialog = "in_dialog_requests",
    /// Requests in dialogs that the peer did not answer.
    InDialogTimeouts = "in_dialog_timeouts",
    /// Requests in dialogs from the wrong side.
    WrongSide = "in_dialog_wrong_side",
    /// Requests in dialogs and CANCELs answered with 403 (ACKs dropped): their source may not speak
    /// for that end of the dialog.
    InDialogForbidden = "in_dialog_forbidden",
    /// Requests in dialogs and CANCELs dropped: the tables were not read yet, so nobody can say
    /// whether their source may speak for that end of the dialog.
    InDialogTooEarly = "in_dialog_before_tables",
    /// Peers that were seen at another address in the middle of a call.
    SourcesChanged = "in_dialog_sources_changed",
    /// SDP answers that could not be anchored.
    AnswersRefused = "answers_refused",
    /// SDP offers in dialogs that could not be anchored.
    OffersRefused = "offers_refused",
    /// Bodies with SDP in a form that we cannot rewrite: taken out.
    BodiesUnreadable = "bodies_unreadable",
    /// BYEs of our own.
    ByesSent = "byes_sent",
    /// BYEs of our own that were not answered.
    ByesUnanswered = "byes_unanswered",
    /// BYEs of a peer that the other side challenged (401, 407): the call waits for the retry.
    ByesChallenged = "byes_challenged",
    /// Calls ended since nobody sent a challenged BYE again.
    ByesNotRetried = "byes_not_retried",
    /// Commands that the dataplane refused.
    CommandsFailed = "dataplane_commands_failed",
    /// Commands repeated, since the dataplane was overloaded.
    CommandsRepeated = "dataplane_commands_repeated",
    /// Sessions with the dataplane.
    DataplaneSessions = "dataplane_sessions",
    /// Flows found without a call, removed.
    FlowsOrphaned = "flows_orphaned",
    /// Flows missing or different, installed again.
    FlowsReinstalled = "flows_reinstalled",
    /// CDRs whose last media figures did not come in time.
    ReportsMissing = "cdr_reports_missing",
    /// CDRs made.
    Cdrs = "cdrs",
    /// Probes sent.
    ProbesSent = "probes_sent",
    /// Probes answered.
    ProbesAnswered = "probes_answered",
    /// Probes answered with a failure (408 or 5xx).
    ProbesFailed = "probes_failed",
    /// Probes not answered.
    ProbesTimedOut = "probes_timed_out",
    /// Targets that became active.
    TargetsActivated = "targets_activated",
    /// Targets that became inactive.
    TargetsDeactivated = "targets_deactivated",
    /// Names that the resolver was asked for.
    NamesAsked = "names_asked",
    /// Names that were found.
    NamesLocated = "names_located",
    /// Names that were found only in answers that are past their time, since DNS fails.
    NamesStale = "names_stale",
    /// Names that DNS does not know, or that lead nowhere that we could reach.
    NamesNotFound = "names_not_found",
    /// Names that DNS said nothing of in time.
    NamesUnanswered = "names_unanswered",
    /// Requests in dialogs that waited for a name.
    Held = "in_dialog_held_for_name",
    /// Of these, those that waited too long and went to where the peer was last seen.
    HeldTooLong = "in_dialog_held_too_long",
    /// Requests in dialogs that did not wait for a name, since too many did.
    HeldOverLimit = "in_dialog_held_over_limit",
    /// Probes that were not sent, since DNS does not say where the target is.
    ProbesUnlocated = "probes_without_address",
    /// Calls that passed over a target, since DNS does not say where it is.
    TargetsUnlocated = "targets_without_address",
    /// Rows of the database's tables that could not be used.
    BadRows = "table_rows_refused",
}

/// The counters' values.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// By [`Counter`]'s position.
    values: Vec<u64>,
    /// Those that other rooms name.
    named: BTreeMap<&'static str, u64>,
}

impl Counters {
    pub(crate) fn add(&mut self, counter: Counter) {
        self.add_many(counter, 1);
    }

    pub(crate) fn add_many(&mut self, counter: Counter, n: u64) {
        self.values.resize(Counter::ALL.len(), 0);
        if let Some(value) = self.values.get_mut(counter as usize) {
            *value = value.saturating_add(n);
        }
    }

    /// Moves a counter of another room: of the media sessions' refusals, of the message index.
    pub(crate) fn add_named(&mut self, name: &'static str) {
        let value = self.named.entry(name).or_default();
        *value = value.saturating_add(1);
    }

    /// All counters by name, those of ours that never moved included.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let own = Counter::ALL.iter().map(|c| {
            (
                c.name(),
                self.values.get(*c as usize).copied().unwrap_or_default(),
            )
        });
        own.chain(self.named.iter().map(|(name, value)| (*name, *value)))
    }
}
