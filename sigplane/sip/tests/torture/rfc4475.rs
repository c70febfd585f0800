//! A message of our own for each that RFC 4475 describes, by the name that the RFC gives it.

use tandem_sip::FramingError::*;
use tandem_sip::Invalid::*;
use tandem_sip::Name;

use crate::Read::{Broken, First, Refused, Whole};
use crate::messages::{application, backward, invalid, syntax, transaction, valid};

crate::read_as! {
    wsinv valid::WSINV => Whole;
    intmeth valid::INTMETH => Whole;
    esc01 valid::ESC01 => Whole;
    escnull valid::ESCNULL => Whole;
    esc02 valid::ESC02 => Whole;
    lwsdisp valid::LWSDISP => Whole;
    longreq valid::LONGREQ => Whole;
    dblreq valid::DBLREQ => First;
    semiuri valid::SEMIURI => Whole;
    transports valid::TRANSPORTS => Whole;
    mpart01 valid::MPART01 => Whole;
    unreason valid::UNREASON => Whole;
    noreason valid::NOREASON => Whole;
    escruri syntax::ESCRURI => Whole;
    baddate syntax::BADDATE => Whole;
    regbadct syntax::REGBADCT => Whole;
    badaspec syntax::BADASPEC => Whole;
    baddn syntax::BADDN => Whole;
    badbranch transaction::BADBRANCH => Whole;
    unkscm application::UNKSCM => Whole;
    novelsc application::NOVELSC => Whole;
    unksm2 application::UNKSM2 => Whole;
    bext01 application::BEXT01 => Whole;
    invut application::INVUT => Whole;
    regaut01 application::REGAUT01 => Whole;
    bcast application::BCAST => Whole;
    zeromf application::ZEROMF => Whole;
    cparam01 application::CPARAM01 => Whole;
    cparam02 application::CPARAM02 => Whole;
    regescrt application::REGESCRT => Whole;
    sdp01 application::SDP01 => Whole;
    inv2543 backward::INV2543 => Whole;
    badinv01 invalid::BADINV01 => Broken(Unreadable(Name::Via));
    clerr invalid::CLERR => Refused(BodyTooShort);
    ncl invalid::NCL => Refused(ContentLength);
    scalar02 invalid::SCALAR02 => Broken(Unreadable(Name::MaxForwards));
    scalarlg invalid::SCALARLG => Broken(Unreadable(Name::CSeq));
    quotbal invalid::QUOTBAL => Broken(Unreadable(Name::To));
    ltgtruri invalid::LTGTRURI => Refused(RequestLine);
    lwsruri invalid::LWSRURI => Refused(RequestLine);
    lwsstart invalid::LWSSTART => Refused(RequestLine);
    trws invalid::TRWS => Refused(RequestLine);
    badvers invalid::BADVERS => Refused(Version);
    mismatch01 syntax::MISMATCH01 => Broken(CSeqMethod);
    mismatch02 syntax::MISMATCH02 => Broken(CSeqMethod);
    bigcode invalid::BIGCODE => Refused(StartLine);
    insuf application::INSUF => Broken(Missing(Name::From));
    multi01 application::MULTI01 => Broken(Repeated(Name::From));
    mcl01 application::MCL01 => Refused(ContentLength);
}
