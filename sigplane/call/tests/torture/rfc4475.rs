//! RFC 4475, by the names that the RFC gives its files.

use crate::{answered, called, malformed, passed, registered, silence};

crate::fate_is! {
    "rfc4475":
    // It names a dialog that we do not have.
    wsinv "wsinv" answered(481, &["sip_requests_received", "sip_no_such_dialog"]);
    intmeth "intmeth" passed("!interesting-Method0123456789_*+`.%indeed'~", "sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*");
    esc01 "esc01" called("sip:sips%3Auser%40example.com");
    escnull "escnull" registered();
    esc02 "esc02" passed("RE%47IST%45R", "sip:");
    lwsdisp "lwsdisp" passed("OPTIONS", "sip:user");
    // No branch: it is told from others as in RFC 2543.
    longreq "longreq" called("sip:user");
    dblreq "dblreq" registered();
    semiuri "semiuri" passed("OPTIONS", "sip:user;par=u%40example.net");
    transports "transports" passed("OPTIONS", "sip:user");
    mpart01 "mpart01" passed("MESSAGE", "sip:kumiko");
    unreason "unreason" silence(&["sip_responses_received", "sip_responses_unmatched"]);
    noreason "noreason" silence(&["sip_responses_received", "sip_responses_unmatched"]);
    badinv01 "badinv01" malformed();
    clerr "clerr" malformed();
    ncl "ncl" malformed();
    scalar02 "scalar02" malformed();
    scalarlg "scalarlg" silence(&["sip_malformed_responses"]);
    quotbal "quotbal" malformed();
    ltgtruri "ltgtruri" malformed();
    lwsruri "lwsruri" malformed();
    lwsstart "lwsstart" malformed();
    // The RFC leaves it open to be liberal here; we are not.
    trws "trws" malformed();
    // The RFC allows a 400 or to leave out the header; so it is left out.
    escruri "escruri" called("sip:user");
    // A proxy decides nothing by Date.
    baddate "baddate" called("sip:user");
    regbadct "regbadct" registered();
    badaspec "badaspec" passed("OPTIONS", "sip:user");
    baddn "baddn" passed("OPTIONS", "sip:t.watson");
    badvers "badvers" answered(505, &["sip_version_not_supported"]);
    mismatch01 "mismatch01" malformed();
    mismatch02 "mismatch02" malformed();
    bigcode "bigcode" silence(&["sip_not_sip", "sip_bad_start_line"]);
    // A branch of the cookie alone is none.
    badbranch "badbranch" passed("OPTIONS", "sip:user");
    insuf "insuf" malformed();
    unkscm "unkscm" answered(416, &["sip_requests_received", "sip_scheme_unsupported"]);
    novelsc "novelsc" answered(416, &["sip_requests_received", "sip_scheme_unsupported"]);
    unksm2 "unksm2" registered();
    bext01 "bext01" answered(420, &["sip_requests_received", "sip_bad_extension"]);
    invut "invut" called("sip:user");
    regaut01 "regaut01" registered();
    multi01 "multi01" malformed();
    mcl01 "mcl01" malformed();
    bcast "bcast" silence(&["sip_responses_received", "sip_responses_unmatched"]);
    zeromf "zeromf" answered(483, &["sip_requests_received", "sip_too_many_hops"]);
    cparam01 "cparam01" registered();
    cparam02 "cparam02" registered();
    regescrt "regescrt" registered();
    sdp01 "sdp01" called("sip:user");
    // RFC 2543 asked for no tag in From; nothing that we could tell a dialog by.
    inv2543 "inv2543" malformed();
}
