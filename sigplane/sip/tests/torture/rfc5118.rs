//! A message of our own for each that RFC 5118 describes, by the name that the RFC gives it.

use tandem_sip::Invalid::RequestUri;

use crate::Read::{Broken, Whole};
use crate::messages::ipv6;

crate::read_as! {
    ipv6_good ipv6::IPV6_GOOD => Whole;
    ipv6_bad ipv6::IPV6_BAD => Broken(RequestUri);
    port_ambiguous ipv6::PORT_AMBIGUOUS => Whole;
    port_unambiguous ipv6::PORT_UNAMBIGUOUS => Whole;
    via_received_param_with_delim ipv6::VIA_RECEIVED_PARAM_WITH_DELIM => Whole;
    via_received_param_no_delim ipv6::VIA_RECEIVED_PARAM_NO_DELIM => Whole;
    ipv6_in_sdp ipv6::IPV6_IN_SDP => Whole;
    mult_ip_in_header ipv6::MULT_IP_IN_HEADER => Whole;
    mult_ip_in_sdp ipv6::MULT_IP_IN_SDP => Whole;
    ipv4_mapped_ipv6 ipv6::IPV4_MAPPED_IPV6 => Whole;
    ipv6_bug_abnf_3_colons ipv6::IPV6_BUG_ABNF_3_COLONS => Broken(RequestUri);
    ipv6_correct_abnf_2_colons ipv6::IPV6_CORRECT_ABNF_2_COLONS => Whole;
}
