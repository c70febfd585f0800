//! FreeSWITCH's counters: of the threads that serve and ask it, read by whoever asks.

use crate::counting::counters;

counters! {
    /// Questions to the directory answered with a user.
    Users = "fs_directory_users",
    /// Questions to the directory answered with domains.
    Domains = "fs_directory_domains",
    /// Questions for another section than the directory: not found.
    OtherSection = "fs_directory_other_section",
    /// Questions for a domain that the directory does not tell of: not found.
    UnknownDomain = "fs_directory_unknown_domain",
    /// Questions for a user that there is not: not found.
    UnknownUser = "fs_directory_unknown_user",
    /// Questions for a user without a credential that FreeSWITCH can use: not found, since it would let the user in.
    NoCredential = "fs_directory_no_credential",
    /// Questions that the directory has no answer to, such as for a group: not found.
    Unanswerable = "fs_directory_unanswerable",
    /// Questions refused with 400: too many fields.
    BadForm = "fs_directory_bad_form",
    /// CDRs of FreeSWITCH that are on the disk.
    CdrTaken = "fs_cdr_taken",
    /// Of these, with bytes in another character set, which were replaced.
    CdrRepaired = "fs_cdr_repaired",
    /// CDRs of FreeSWITCH refused with 400: they cannot be read.
    CdrMalformed = "fs_cdr_malformed",
    /// CDRs of FreeSWITCH refused with 503: the journal or the disk did not take them. FreeSWITCH posts them again.
    CdrNotKept = "fs_cdr_not_kept",
    /// Requests below /freeswitch/ refused with 403: their source is not in `freeswitch.networks`.
    RefusedNetwork = "fs_refused_network",
    /// Requests below /freeswitch/ refused with 401: without a user and a password.
    NoPassword = "fs_no_password",
    /// Requests below /freeswitch/ refused with 401: with a wrong user or password.
    WrongPassword = "fs_wrong_password",
    /// Requests below /freeswitch/ refused with 429: their source has shown too many wrong passwords.
    TooManyWrong = "fs_too_many_wrong_passwords",
    /// Requests below /freeswitch/ refused with 405: not with this method.
    WrongMethod = "fs_wrong_method",
    /// Requests below /freeswitch/ refused with 404: nothing is there.
    NotFound = "fs_not_found",
    /// Event sockets that let us in.
    SocketReady = "fs_event_socket_ready",
    /// Attempts to connect to an event socket that failed.
    SocketUnreachable = "fs_event_socket_unreachable",
    /// Event sockets that do not let us in, or refuse what is asked.
    SocketRefused = "fs_event_socket_refused",
    /// Event sockets closed by the other end.
    SocketClosed = "fs_event_socket_closed",
    /// Event sockets closed by us: they speak another protocol, or too much.
    SocketGarbled = "fs_event_socket_garbled",
    /// Event sockets closed by us: no answer in time.
    SocketLate = "fs_event_socket_late",
    /// Answers of event sockets with a number of calls.
    SocketAnswers = "fs_event_socket_answers",
    /// Targets that drain and are not asked: there are too many of them.
    SocketTooMany = "fs_event_socket_too_many",
}
