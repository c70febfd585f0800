use proptest::prelude::*;

use super::*;

const SAMPLE: &str = include_str!("../../tests/cdr.xml");
const UUID: &str = "5b7d2a10-0c44-4c0e-9a0b-2f6b0d1f7e01";

fn post(body: &[u8]) -> Result<Posted, CdrError> {
    read(None, body, 7, &Limits::default())
}

fn error(document: &str) -> CdrError {
    post(document.as_bytes()).unwrap_err()
}

/// A document with these variables.
fn with(variables: &str) -> String {
    format!("<cdr><variables>{variables}</variables></cdr>")
}

#[test]
fn a_cdr_is_read_in_each_form() {
    let form: String = form_urlencoded::Serializer::new(String::new())
        .append_pair("cdr", SAMPLE)
        .finish();
    let base64 = {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(SAMPLE)
    };
    let lines: Vec<&str> = base64
        .as_bytes()
        .chunks(72)
        .map(|l| std::str::from_utf8(l).unwrap())
        .collect();
    let expected = post(SAMPLE.as_bytes()).unwrap();
    for body in [
        form,
        format!("cdr={SAMPLE}"),
        format!("cdr={base64}"),
        format!("cdr={}", lines.join("\n")),
        format!("cdr={}", base64.trim_end_matches('=')),
        format!("\u{feff}{SAMPLE}"),
        format!("{SAMPLE}\n\0"),
    ] {
        assert_eq!(post(body.as_bytes()).unwrap(), expected, "{}", &body[..60]);
    }
    let cdr = expected.cdr;
    assert!(!expected.is_repaired);
    let is = FsCdr {
        uuid: UUID.into(),
        core_uuid: "8fb1c0a2-9d6f-4d3c-8a55-0f0a6f2c8d11".into(),
        switchname: "fs1".into(),
        leg: String::new(),
        sip_call_id: "call-1@10.0.0.1".into(),
        direction: "inbound".into(),
        caller_id_name: "Zoë & Co".into(),
        caller_id_number: "31201234567".into(),
        destination: "1000".into(),
        network_addr: "10.0.0.1".into(),
        start_us: 1_700_000_000_123_456,
        answer_us: Some(1_700_000_002_000_000),
        end_us: 1_700_000_007_500_000,
        duration_s: 7,
        billsec: 5,
        hangup_cause: "NORMAL_CLEARING".into(),
        q850: 16,
        disposition: "recv_bye".into(),
        read_codec: "PCMA".into(),
        write_codec: "PCMA".into(),
        in_packets: Some(250),
        in_bytes: Some(43_000),
        in_skipped: Some(3),
        out_packets: Some(251),
        out_bytes: Some(43_172),
        jitter_min: Some(6),
        jitter_max: Some(1_257),
        loss_rate: Some(1),
        mos: Some(449),
        quality: Some(9_930),
        bridge_uuid: "9a3f2a10-0c44-4c0e-9a0b-2f6b0d1f7e02".into(),
        last_app: "bridge".into(),
        received_ms: 7,
    };
    assert_eq!(cdr, is);
}

#[test]
fn the_query_says_which_leg() {
    let read = |uuid: &str| read(Some(uuid), SAMPLE.as_bytes(), 0, &Limits::default());
    assert_eq!(read(&format!("a_{UUID}")).unwrap().cdr.leg, "a");
    assert_eq!(read(UUID).unwrap().cdr.leg, "");
    assert_eq!(read("a_0"), Err(CdrError::OtherUuid));
    let unnamed = with("<start_epoch>5</start_epoch>");
    let one = super::read(Some("a_x-1"), unnamed.as_bytes(), 0, &Limits::default()).unwrap();
    assert_eq!(
        (one.cdr.uuid.as_str(), one.cdr.start_us, one.cdr.end_us),
        ("x-1", 5_000_000, 5_000_000)
    );
    assert_eq!(error(&unnamed), CdrError::Field("uuid"));
}

#[test]
fn what_is_hostile_is_refused_by_its_name() {
    let bomb = "<!DOCTYPE cdr [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;&a;\">]><cdr><variables><uuid>&b;</uuid></variables></cdr>";
    assert_eq!(error(bomb), CdrError::DocumentType);
    assert_eq!(
        error("<!DOCTYPE cdr SYSTEM \"file:///etc/passwd\"><cdr/>"),
        CdrError::DocumentType
    );
    assert_eq!(error(&with("<uuid>&xxe;</uuid>")), CdrError::Entity);
    assert_eq!(error("<cdr a=\"&xxe;\"/>"), CdrError::Entity);
    assert_eq!(error(&"<cdr>".repeat(100)), CdrError::Depth);
    assert_eq!(
        error(&format!("<cdr>{}</cdr>", "<a/>".repeat(30_000))),
        CdrError::Elements
    );
    let long = vec![b'<'; Limits::default().bytes + 1];
    assert_eq!(post(&long), Err(CdrError::TooLong(Limits::default().bytes)));
    assert_eq!(
        error("<?xml version=\"1.0\" encoding=\"UTF-16\"?><cdr/>"),
        CdrError::Charset
    );
    assert_eq!(
        error("<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><cdr/>"),
        CdrError::Charset
    );
    let utf16: Vec<u8> = "\u{feff}<cdr/>"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    assert_eq!(post(&utf16), Err(CdrError::Charset));
    for text in ["", "cdr=", " "] {
        assert_eq!(error(text), CdrError::Empty);
    }
    for text in ["hello", "cdr=aGVsbG8=", "cdr=%41"] {
        assert_eq!(error(text), CdrError::Encoding);
    }
    assert_eq!(error("<html/>"), CdrError::NotACdr);
    assert_eq!(error("<!-- -->"), CdrError::NotACdr);
    for text in [
        "<cdr>",
        "<cdr><a></cdr>",
        "<cdr/><cdr/>",
        "<cdr/>x",
        "</cdr>",
        "<cdr>&#0;</cdr>",
        "<cdr x=1/>",
        "<cdr>a&b</cdr>",
    ] {
        assert!(
            matches!(error(text), CdrError::Malformed(_) | CdrError::Entity),
            "{text}: {:?}",
            error(text)
        );
    }
    let uuid = "<start_epoch>5</start_epoch><uuid>'; DROP TABLE fs_cdr; --</uuid>";
    assert_eq!(error(&with(uuid)), CdrError::Field("uuid"));
    assert_eq!(
        error(&with("<uuid>x</uuid><start_epoch>soon</start_epoch>")),
        CdrError::Field("start_uepoch")
    );
}

#[test]
fn what_is_odd_is_no_reason_to_lose_a_record() {
    let latin1 = b"<cdr><variables><uuid>x</uuid><start_epoch>5</start_epoch></variables><callflow><caller_profile>\
        <caller_id_name>Zo\xeb</caller_id_name></caller_profile></callflow></cdr>";
    let posted = post(latin1).unwrap();
    assert!(posted.is_repaired);
    assert_eq!(posted.cdr.caller_id_name, "Zo\u{fffd}");
    let odd = with(
        "<uuid>x</uuid><uuid>y</uuid><start_epoch>5</start_epoch><answer_epoch>0</answer_epoch>\
         <rtp_audio_in_mos>NaN</rtp_audio_in_mos><rtp_audio_in_packet_count>-1</rtp_audio_in_packet_count>\
         <billsec>99999999999</billsec><duration>18446744073709551615</duration>\
         <hangup_cause>a%00b%0Ac</hangup_cause><hangup_cause_q850>99999</hangup_cause_q850><last_app><![CDATA[a<b]]></last_app>",
    );
    let cdr = post(odd.as_bytes()).unwrap().cdr;
    assert_eq!(
        (cdr.uuid.as_str(), cdr.answer_us, cdr.mos, cdr.in_packets),
        ("x", None, None, None)
    );
    assert_eq!(
        (cdr.billsec, cdr.q850, cdr.end_us),
        (u32::MAX, 0, 5_000_000)
    );
    assert_eq!(
        (cdr.hangup_cause.as_str(), cdr.last_app.as_str()),
        ("a\u{fffd}b\u{fffd}c", "a<b")
    );
}

proptest! {
    #[test]
    fn any_bytes_are_a_cdr_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..500)) {
        let _ = post(&bytes);
    }

    /// A CDR with something else in it.
    #[test]
    fn a_cdr_with_bytes_of_another_is_read_or_refused(at in 0..SAMPLE.len(), bytes in "\\PC{0,20}", most in 0..40_usize) {
        let at = SAMPLE.floor_char_boundary(at);
        let end = SAMPLE.ceil_char_boundary((at + most).min(SAMPLE.len()));
        let text = format!("{}{bytes}{}", &SAMPLE[..at], &SAMPLE[end..]);
        let _ = post(text.as_bytes());
    }

    /// Whatever is said of a call comes back as it was said.
    #[test]
    fn any_text_comes_back(text in "[^\\p{Cc}]{1,60}") {
        let encoded = percent_encoding::utf8_percent_encode(&text, percent_encoding::NON_ALPHANUMERIC);
        let document = with(&format!("<uuid>x</uuid><start_epoch>5</start_epoch><sip_call_id>{encoded}</sip_call_id>"));
        prop_assert_eq!(post(document.as_bytes()).unwrap().cdr.sip_call_id, text);
    }
}
