use proptest::prelude::*;

use super::*;

const GREETING: &str = "Content-Type: auth/request\n\n";
const ACCEPTED: &str = "Content-Type: command/reply\nReply-Text: +OK accepted\n\n";
const LISTENING: &str =
    "Content-Type: command/reply\nReply-Text: +OK event listener enabled plain\n\n";

fn response(body: &str) -> String {
    let length = body.len();
    format!("Content-Type: api/response\nContent-Length: {length}\n\n{body}")
}

fn ready() -> Client {
    let mut client = Client::new("ClueCon");
    assert_eq!(client.receive(GREETING.as_bytes()), Ok(vec![]));
    assert_eq!(client.transmit(), b"auth ClueCon\n\n");
    assert_eq!(client.receive(ACCEPTED.as_bytes()), Ok(vec![News::Ready]));
    assert_eq!(client.transmit(), b"event plain HEARTBEAT\n\n");
    assert!(!client.ask(), "an answer is owed");
    assert_eq!(client.receive(LISTENING.as_bytes()), Ok(vec![]));
    client
}

#[test]
fn calls_and_channels_are_asked_for() {
    let mut client = ready();
    assert!(client.ask() && !client.ask());
    assert_eq!(
        client.transmit(),
        b"api show calls count as json\n\napi show channels count as json\n\n"
    );
    let event = "Event-Name: HEARTBEAT\nEvent-Info: System%20Ready\nSession-Count: 5\n\n";
    let heartbeat = format!(
        "Content-Length: {}\nContent-Type: text/event-plain\n\n{event}",
        event.len()
    );
    let all = format!(
        "{}{heartbeat}{}",
        response("{\"row_count\":2}"),
        response("\n4 total.\n")
    );
    let expected = [News::Calls(2), News::Sessions(5), News::Channels(4)];
    assert_eq!(client.receive(all.as_bytes()), Ok(expected.to_vec()));
    assert!(client.ask());
    // A byte at a time.
    let mut heard = Vec::new();
    for byte in all.as_bytes() {
        heard.extend(client.receive(&[*byte]).unwrap());
    }
    assert_eq!(heard, expected);
}

#[test]
fn what_is_of_no_use_ends_the_connection() {
    let mut client = Client::new("x");
    client.receive(GREETING.as_bytes()).unwrap();
    let wrong = "Content-Type: command/reply\nReply-Text: -ERR invalid\n\n";
    assert_eq!(client.receive(wrong.as_bytes()), Err(SocketError::Denied));
    let rude = "Content-Type: text/rude-rejection\nContent-Length: 24\n\nAccess Denied, go away.\n";
    assert_eq!(
        Client::new("x").receive(rude.as_bytes()),
        Err(SocketError::Rejected)
    );
    let bye = "Content-Type: text/disconnect-notice\nContent-Length: 4\n\nBye\n";
    assert_eq!(ready().receive(bye.as_bytes()), Err(SocketError::Goodbye));
    let mut client = ready();
    client.ask();
    let denied = response("-ERR permission denied\n");
    let refused = SocketError::Refused("-ERR permission denied".into());
    assert_eq!(client.receive(denied.as_bytes()), Err(refused));
    let stray = response("{\"row_count\":2}");
    assert!(matches!(
        ready().receive(stray.as_bytes()),
        Err(SocketError::Protocol(_))
    ));
    assert!(matches!(
        ready().receive(LISTENING.as_bytes()),
        Err(SocketError::Protocol(_))
    ));
    assert!(matches!(
        Client::new("x").receive(b"SSH-2.0-x\n\n"),
        Err(SocketError::Protocol(_))
    ));
    assert_eq!(
        Client::new("x").receive(&[b'x'; MAX_HEADERS]),
        Err(SocketError::TooLong)
    );
    assert_eq!(
        Client::new("x").receive(b"Content-Length: 99999999\n\n"),
        Err(SocketError::TooLong)
    );
    assert!(matches!(
        Client::new("x").receive(b"Content-Length: -1\n\n"),
        Err(SocketError::Protocol(_))
    ));
}

#[test]
fn a_password_is_one_line_and_never_shown() {
    let mut client = Client::new("a\napi shutdown");
    client.receive(GREETING.as_bytes()).unwrap();
    assert_eq!(client.transmit(), b"auth a\n\n");
    assert_eq!(format!("{client:?}"), "Client(Authenticating)");
}

proptest! {
    #[test]
    fn any_bytes_are_news_or_refused(parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 0..8)) {
        let mut client = ready();
        client.ask();
        for part in parts {
            if client.receive(&part).is_err() {
                break;
            }
        }
    }

    /// However it is cut: the same news.
    #[test]
    fn pieces_do_not_matter(cuts in proptest::collection::vec(0..200_usize, 0..6), calls in any::<u32>(), channels in any::<u32>()) {
        let all = format!("{}{}", response(&format!("{{\"row_count\":{calls}}}")), response(&format!("{channels} total.")));
        let mut client = ready();
        client.ask();
        let mut news = Vec::new();
        let mut rest = all.as_bytes();
        for cut in cuts {
            let (piece, behind) = rest.split_at(cut.min(rest.len()));
            news.extend(client.receive(piece).unwrap());
            rest = behind;
        }
        news.extend(client.receive(rest).unwrap());
        prop_assert_eq!(news, [News::Calls(calls.into()), News::Channels(channels.into())]);
    }
}
