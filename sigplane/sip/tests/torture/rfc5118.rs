//! Every message of RFC 5118, by the name that the RFC gives its file.

use tandem_sip::Invalid::RequestUri;

use crate::Read::{Broken, Whole};

crate::read_as! {
    "rfc5118":
    ipv6_good "ipv6-good" Whole;
    ipv6_bad "ipv6-bad" Broken(RequestUri);
    port_ambiguous "port-ambiguous" Whole;
    port_unambiguous "port-unambiguous" Whole;
    via_received_param_with_delim "via-received-param-with-delim" Whole;
    via_received_param_no_delim "via-received-param-no-delim" Whole;
    ipv6_in_sdp "ipv6-in-sdp" Whole;
    mult_ip_in_header "mult-ip-in-header" Whole;
    mult_ip_in_sdp "mult-ip-in-sdp" Whole;
    ipv4_mapped_ipv6 "ipv4-mapped-ipv6" Whole;
    ipv6_bug_abnf_3_colons "ipv6-bug-abnf-3-colons" Broken(RequestUri);
    ipv6_correct_abnf_2_colons "ipv6-correct-abnf-2-colons" Whole;
}
