//! RFC 5118, by the names that the RFC gives its files.

use crate::{answered, called, malformed, passed, registered};

crate::fate_is! {
    "rfc5118":
    ipv6_good "ipv6-good" registered();
    ipv6_bad "ipv6-bad" malformed();
    port_ambiguous "port-ambiguous" registered();
    port_unambiguous "port-unambiguous" registered();
    via_received_param_with_delim "via-received-param-with-delim" answered(481, &["sip_requests_received", "sip_no_such_dialog"]);
    via_received_param_no_delim "via-received-param-no-delim" answered(200, &["sip_requests_received", "sip_options_answered"]);
    ipv6_in_sdp "ipv6-in-sdp" called("sip:user");
    mult_ip_in_header "mult-ip-in-header" answered(481, &["sip_requests_received", "sip_no_such_dialog"]);
    mult_ip_in_sdp "mult-ip-in-sdp" called("sip:user");
    ipv4_mapped_ipv6 "ipv4-mapped-ipv6" called("sip:user");
    ipv6_bug_abnf_3_colons "ipv6-bug-abnf-3-colons" malformed();
    ipv6_correct_abnf_2_colons "ipv6-correct-abnf-2-colons" passed("OPTIONS", "sip:user");
}
