//! The dialplan: calls from us to their contexts, and calls to us.

use super::{Route, Settings, profile::gateway};
use crate::xml::Document;

pub(super) fn dialplan(settings: &Settings) -> String {
    let mut document = Document::fragment();
    document
        .begin("include", &[])
        .comment(
            "Made by tandemctl export freeswitch. The profile's calls begin in the context tandem.",
        )
        .begin("context", &[("name", "tandem")]);
    for (n, route) in settings.routes.iter().enumerate() {
        extension(&mut document, &format!("tandem_{}", n + 1), route);
    }
    let rest = Route {
        context: settings.context.clone(),
        ..Route::default()
    };
    extension(&mut document, "tandem_rest", &rest);
    document
        .end()
        .comment("For calls out of here: transfer ${destination_number} XML tandem_out")
        .begin("context", &[("name", "tandem_out")])
        .begin("extension", &[("name", "tandem_out")])
        .begin(
            "condition",
            &[
                ("field", "destination_number"),
                ("expression", "^(\\+?[0-9*#]{2,32})$"),
            ],
        );
    let gateways: Vec<String> = (0..settings.sip.len().max(1))
        .map(|n| format!("sofia/gateway/{}/$1", gateway(n)))
        .collect();
    for (application, data) in [
        ("set", "hangup_after_bridge=true"),
        // The other address of the appliance, and only when the first one did not answer at all: carriers are the appliance's to choose.
        (
            "set",
            "failure_causes=RECOVERY_ON_TIMER_EXPIRE,NETWORK_OUT_OF_ORDER",
        ),
        ("bridge", &gateways.join("|")),
    ] {
        document.empty("action", &[("application", application), ("data", data)]);
    }
    document.finish()
}

fn extension(document: &mut Document, name: &str, route: &Route) {
    document.begin("extension", &[("name", name)]);
    let dest_type = route.dest_type.as_deref().map(|t| {
        let quoted = quote(t);
        ("${sip_h_X-Dest-Type}", format!("^{quoted}$"))
    });
    let number = route
        .number
        .as_deref()
        .map(|n| ("destination_number", n.to_owned()));
    let mut conditions: Vec<_> = dest_type.into_iter().chain(number).collect();
    if conditions.is_empty() {
        conditions.push(("destination_number", "^.+$".to_owned()));
    }
    let last = conditions.len() - 1;
    for (n, (field, expression)) in conditions.iter().enumerate() {
        let attributes = [("field", *field), ("expression", expression)];
        if n < last {
            document.empty("condition", &attributes);
            continue;
        }
        let target = format!("${{destination_number}} XML {}", route.context);
        document
            .begin("condition", &attributes)
            .empty("action", &[("application", "transfer"), ("data", &target)])
            .end();
    }
    document.end();
}

/// For a regular expression, what stands for itself.
fn quote(text: &str) -> String {
    let mut quoted = String::new();
    for c in text.chars() {
        if !c.is_alphanumeric() && !matches!(c, '_' | '-') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted
}
