//! Every message of RFC 4475, by the name that the RFC gives its file.

use tandem_sip::FramingError::*;
use tandem_sip::Invalid::*;
use tandem_sip::Name;

use crate::Read::{Broken, Refused, Whole};

crate::read_as! {
    "rfc4475":
    wsinv "wsinv" Whole;
    intmeth "intmeth" Whole;
    esc01 "esc01" Whole;
    escnull "escnull" Whole;
    esc02 "esc02" Whole;
    lwsdisp "lwsdisp" Whole;
    longreq "longreq" Whole;
    dblreq "dblreq" Whole;
    semiuri "semiuri" Whole;
    transports "transports" Whole;
    mpart01 "mpart01" Whole;
    unreason "unreason" Whole;
    noreason "noreason" Whole;
    escruri "escruri" Whole;
    baddate "baddate" Whole;
    regbadct "regbadct" Whole;
    badaspec "badaspec" Whole;
    baddn "baddn" Whole;
    badbranch "badbranch" Whole;
    unkscm "unkscm" Whole;
    novelsc "novelsc" Whole;
    unksm2 "unksm2" Whole;
    bext01 "bext01" Whole;
    invut "invut" Whole;
    regaut01 "regaut01" Whole;
    bcast "bcast" Whole;
    zeromf "zeromf" Whole;
    cparam01 "cparam01" Whole;
    cparam02 "cparam02" Whole;
    regescrt "regescrt" Whole;
    sdp01 "sdp01" Whole;
    inv2543 "inv2543" Whole;
    badinv01 "badinv01" Broken(Unreadable(Name::Via));
    clerr "clerr" Refused(BodyTooShort);
    ncl "ncl" Refused(ContentLength);
    scalar02 "scalar02" Broken(Unreadable(Name::MaxForwards));
    scalarlg "scalarlg" Broken(Unreadable(Name::CSeq));
    quotbal "quotbal" Broken(Unreadable(Name::To));
    ltgtruri "ltgtruri" Refused(RequestLine);
    lwsruri "lwsruri" Refused(RequestLine);
    lwsstart "lwsstart" Refused(RequestLine);
    trws "trws" Refused(RequestLine);
    badvers "badvers" Refused(Version);
    mismatch01 "mismatch01" Broken(CSeqMethod);
    mismatch02 "mismatch02" Broken(CSeqMethod);
    bigcode "bigcode" Refused(StartLine);
    insuf "insuf" Broken(Missing(Name::From));
    multi01 "multi01" Broken(Repeated(Name::From));
    mcl01 "mcl01" Refused(ContentLength);
}
