//! Any body as a question of mod_xml_curl: the answer is well-formed, and what is asked cannot write elements into it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tandem_freeswitch::directory::{Directory, DirectoryDomain, Request};
use tandem_policy::digest::Secret;

fuzz_target!(|body: &[u8]| {
    let domain = DirectoryDomain {
        name: "a".into(),
        dial_string: "x".into(),
    };
    let directory = Directory {
        domains: vec![domain],
        passwords: true,
        context: "c".into(),
    };
    let secret = Secret::new("p", "", "");
    let Ok(request) = Request::read(b"section=directory&domain=a", body) else {
        return;
    };
    let answer = directory.answer(&request, |_, _| secret.as_ref());
    assert!(answer.document.matches('<').count() <= 30);
    assert!(answer.document.ends_with("</document>\n"));
});
