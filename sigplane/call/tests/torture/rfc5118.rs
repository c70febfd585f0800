//! A message of our own for each that RFC 5118 describes, by the name that the RFC gives it.

use crate::messages::ipv6;
use crate::{answered, called, malformed, passed, registered};

crate::fate_is! {
    ipv6_good ipv6::IPV6_GOOD => registered();
    ipv6_bad ipv6::IPV6_BAD => malformed();
    port_ambiguous ipv6::PORT_AMBIGUOUS => registered();
    port_unambiguous ipv6::PORT_UNAMBIGUOUS => registered();
    via_received_param_with_delim ipv6::VIA_RECEIVED_PARAM_WITH_DELIM => answered(481, &["sip_requests_received", "sip_no_such_dialog"]);
    via_received_param_no_delim ipv6::VIA_RECEIVED_PARAM_NO_DELIM => answered(200, &["sip_requests_received", "sip_options_answered"]);
    ipv6_in_sdp ipv6::IPV6_IN_SDP => called("sip:lena");
    mult_ip_in_header ipv6::MULT_IP_IN_HEADER => answered(481, &["sip_requests_received", "sip_no_such_dialog"]);
    mult_ip_in_sdp ipv6::MULT_IP_IN_SDP => called("sip:lena");
    ipv4_mapped_ipv6 ipv6::IPV4_MAPPED_IPV6 => called("sip:lena");
    ipv6_bug_abnf_3_colons ipv6::IPV6_BUG_ABNF_3_COLONS => malformed();
    ipv6_correct_abnf_2_colons ipv6::IPV6_CORRECT_ABNF_2_COLONS => passed("OPTIONS", "sip:lena");
}
