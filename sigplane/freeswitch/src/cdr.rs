//! The CDRs of mod_xml_cdr: a document for each leg of a call, posted when that is over.
//!
//! ```text
//! POST ...?uuid=[a_]UUID
//! encode=true     Content-Type: application/x-www-form-urlencoded      cdr=<percent-encoded>
//! encode=base64   Content-Type: application/x-www-form-base64-encoded  cdr=<base64>
//! encode=false    Content-Type: application/x-www-form-plaintext       cdr=<the document>
//! encode=textxml  Content-Type: text/xml                               <the document>
//! ```
//! With `disable-100-continue` FreeSWITCH says nothing of the form (its own header gets lost), so the body itself decides.

mod body;
mod document;
mod row;

use tandem_policy::FsCdr;
use thiserror::Error;

/// What is wrong with what was posted. It is said in the answer, FreeSWITCH's log has it, and the CDR is in its `err-log-dir`.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum CdrError {
    /// It is longer than [`Limits`] says.
    #[error("longer than {0} bytes")]
    TooLong(usize),
    /// There is nothing in it.
    #[error("there is no CDR in the body")]
    Empty,
    /// It is neither a document nor an encoded one.
    #[error("neither XML nor percent-encoded or base64 of it")]
    Encoding,
    /// It says that it is in another character set.
    #[error("its character set is not UTF-8")]
    Charset,
    /// A document type: there is none in a CDR, and reading one is dangerous.
    #[error("it has a document type")]
    DocumentType,
    /// A reference to an entity that XML does not have by itself.
    #[error("it has an entity of its own")]
    Entity,
    /// Elements in elements in elements.
    #[error("its elements are nested too deeply")]
    Depth,
    /// More elements than a CDR has.
    #[error("it has too many elements")]
    Elements,
    /// It is not well-formed.
    #[error("not well-formed XML: {0}")]
    Malformed(String),
    /// Another document than a CDR.
    #[error("its root is not `cdr`")]
    NotACdr,
    /// Something that must be there is not, or not as it must be.
    #[error("`{0}` is missing, or is not what it should be")]
    Field(&'static str),
    /// The query and the document name two legs.
    #[error("its `uuid` is another one than the query's")]
    OtherUuid,
}

/// What a CDR may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of a body, and of the document.
    pub bytes: usize,
    /// Elements within elements.
    pub depth: usize,
    /// Elements in all.
    pub elements: usize,
}

impl Default for Limits {
    /// FreeSWITCH's own have some 250 elements, seven deep, in 20 to 200 KB.
    fn default() -> Self {
        Self {
            bytes: 2 * 1024 * 1024,
            depth: 32,
            elements: 20_000,
        }
    }
}

/// A CDR, and how it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posted {
    /// The CDR.
    pub cdr: FsCdr,
    /// There were bytes in it that are not UTF-8; U+FFFD stands for them. A name in another character set is no reason to
    /// lose a call's record.
    pub is_repaired: bool,
}

/// Reads what was posted. `uuid` is the query's, `now_ms` the time, in Unix milliseconds.
///
/// # Errors
/// Says what is wrong with it.
pub fn read(
    uuid: Option<&str>,
    body: &[u8],
    now_ms: u64,
    limits: &Limits,
) -> Result<Posted, CdrError> {
    let text = body::document(body, limits.bytes)?;
    let document = document::read(&text, limits)?;
    let cdr = row::row(&document, uuid, now_ms)?;
    let is_repaired = text.contains('\u{fffd}');
    Ok(Posted { cdr, is_repaired })
}

#[cfg(test)]
mod tests;
