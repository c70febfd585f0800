//! A message of our own for each that RFC 4475 describes, by the name that the RFC gives it.

use crate::messages::{application, backward, invalid, syntax, transaction, valid};
use crate::{answered, called, malformed, passed, registered, silence};

crate::fate_is! {
    // It names a dialog that we do not have.
    wsinv valid::WSINV => answered(481, &["sip_requests_received", "sip_no_such_dialog"]);
    intmeth valid::INTMETH => passed("a-9.Z!~*_+`'%like~that", "sip:2+2=4,&so$on/then?;(_-'!*.~%2F");
    esc01 valid::ESC01 => called("sip:tel%3A%2B15550100%40example.org");
    escnull valid::ESCNULL => registered();
    esc02 valid::ESC02 => passed("OP%54I%4fNS", "sip:");
    lwsdisp valid::LWSDISP => passed("OPTIONS", "sip:lena");
    // No branch: it is told from others as in RFC 2543.
    longreq valid::LONGREQ => called("sip:lena");
    dblreq valid::DBLREQ => registered();
    semiuri valid::SEMIURI => passed("OPTIONS", "sip:lena;room=4%40hall");
    transports valid::TRANSPORTS => passed("OPTIONS", "sip:lena");
    mpart01 valid::MPART01 => passed("MESSAGE", "sip:lena");
    unreason valid::UNREASON => silence(&["sip_responses_received", "sip_responses_unmatched"]);
    noreason valid::NOREASON => silence(&["sip_responses_received", "sip_responses_unmatched"]);
    badinv01 invalid::BADINV01 => malformed();
    clerr invalid::CLERR => malformed();
    ncl invalid::NCL => malformed();
    scalar02 invalid::SCALAR02 => malformed();
    scalarlg invalid::SCALARLG => silence(&["sip_malformed_responses"]);
    quotbal invalid::QUOTBAL => malformed();
    ltgtruri invalid::LTGTRURI => malformed();
    lwsruri invalid::LWSRURI => malformed();
    lwsstart invalid::LWSSTART => malformed();
    // The RFC leaves it open to be liberal here; we are not.
    trws invalid::TRWS => malformed();
    // The RFC allows a 400 or to leave out the header; so it is left out.
    escruri syntax::ESCRURI => called("sip:lena");
    // A proxy decides nothing by Date.
    baddate syntax::BADDATE => called("sip:lena");
    regbadct syntax::REGBADCT => registered();
    badaspec syntax::BADASPEC => passed("OPTIONS", "sip:lena");
    baddn syntax::BADDN => passed("OPTIONS", "sip:l.larsen");
    badvers invalid::BADVERS => answered(505, &["sip_version_not_supported"]);
    mismatch01 syntax::MISMATCH01 => malformed();
    mismatch02 syntax::MISMATCH02 => malformed();
    bigcode invalid::BIGCODE => silence(&["sip_not_sip", "sip_bad_start_line"]);
    // A branch of the cookie alone is none.
    badbranch transaction::BADBRANCH => passed("OPTIONS", "sip:lena");
    insuf application::INSUF => malformed();
    unkscm application::UNKSCM => answered(416, &["sip_requests_received", "sip_scheme_unsupported"]);
    novelsc application::NOVELSC => answered(416, &["sip_requests_received", "sip_scheme_unsupported"]);
    unksm2 application::UNKSM2 => registered();
    bext01 application::BEXT01 => answered(420, &["sip_requests_received", "sip_bad_extension"]);
    invut application::INVUT => called("sip:lena");
    regaut01 application::REGAUT01 => registered();
    multi01 application::MULTI01 => malformed();
    mcl01 application::MCL01 => malformed();
    bcast application::BCAST => silence(&["sip_responses_received", "sip_responses_unmatched"]);
    zeromf application::ZEROMF => answered(483, &["sip_requests_received", "sip_too_many_hops"]);
    cparam01 application::CPARAM01 => registered();
    cparam02 application::CPARAM02 => registered();
    regescrt application::REGESCRT => registered();
    sdp01 application::SDP01 => called("sip:lena");
    // RFC 2543 asked for no tag in From; nothing that we could tell a dialog by.
    inv2543 backward::INV2543 => malformed();
}
