//! A row of `fs_cdr`.

use serde::{Deserialize, Serialize};

/// What FreeSWITCH says of a leg of a call when that is over (mod_xml_cdr). Fractions are in hundredths, as FreeSWITCH writes
/// them with two digits; what it did not say, or not as a number, is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FsCdr {
    /// `uuid`: the leg's, unique for ever.
    pub uuid: String,
    /// `core_uuid`: of the process.
    pub core_uuid: String,
    /// `switchname`: the host.
    pub switchname: String,
    /// `leg`: `a` if FreeSWITCH says that it is the calling one (`prefix-a-leg`); empty when it does not say.
    pub leg: String,
    /// `sip_call_id`: `cdr.callid` of our call; empty for a leg without SIP.
    pub sip_call_id: String,
    /// `direction`: `inbound` or `outbound`, as FreeSWITCH sees it.
    pub direction: String,
    /// `caller_id_name`
    pub caller_id_name: String,
    /// `caller_id_number`
    pub caller_id_number: String,
    /// `destination`: the number that was called at last.
    pub destination: String,
    /// `network_addr`: where the leg came from.
    pub network_addr: String,
    /// `start_us`, Unix microseconds.
    pub start_us: u64,
    /// `answer_us`: none when it was not answered.
    pub answer_us: Option<u64>,
    /// `end_us`
    pub end_us: u64,
    /// `duration_s`
    pub duration_s: u32,
    /// `billsec`
    pub billsec: u32,
    /// `hangup_cause`, such as `NORMAL_CLEARING`.
    pub hangup_cause: String,
    /// `q850`: the cause's number by ITU-T Q.850; 0 for none.
    pub q850: u16,
    /// `disposition`: who ended it (`sip_hangup_disposition`).
    pub disposition: String,
    /// `read_codec`
    pub read_codec: String,
    /// `write_codec`
    pub write_codec: String,
    /// `in_packets`: RTP packets received.
    pub in_packets: Option<u64>,
    /// `in_bytes`
    pub in_bytes: Option<u64>,
    /// `in_skipped`: packets that did not come in time.
    pub in_skipped: Option<u64>,
    /// `out_packets`
    pub out_packets: Option<u64>,
    /// `out_bytes`
    pub out_bytes: Option<u64>,
    /// `jitter_min`: the least variance of the time between packets, in hundredths.
    pub jitter_min: Option<u64>,
    /// `jitter_max`: the greatest.
    pub jitter_max: Option<u64>,
    /// `loss_rate`, in hundredths of a percent.
    pub loss_rate: Option<u64>,
    /// `mos`, in hundredths.
    pub mos: Option<u64>,
    /// `quality`, in hundredths of a percent.
    pub quality: Option<u64>,
    /// `bridge_uuid`: the leg that it was joined with; empty for none.
    pub bridge_uuid: String,
    /// `last_app`: what the dialplan did last.
    pub last_app: String,
    /// `received_ms`: when it was posted, Unix milliseconds.
    pub received_ms: u64,
}
