// A telephone in a page, on sip.js over a secure WebSocket. The end-to-end test calls its functions and waits for its
// events. Its media is a fixed description of plain RTP (RTP/AVP) at the address that the test names: what this proves is
// signaling, no browser sends such media.
import {
  Inviter, Messager, Registerer, UserAgent,
} from "./node_modules/sip.js/lib/index.js";

const events = [];
const waiting = [];
let agent, registerer, settings, session;

function happens(event) {
  events.push(event);
  console.log(`tandem: ${event}`);
  serve();
}

// Gives those who wait the first event that they wait for; each event is given once.
function serve() {
  for (const wish of [...waiting]) {
    const at = events.findIndex((event) => event.startsWith(wish.words));
    if (at < 0) continue;
    waiting.splice(waiting.indexOf(wish), 1);
    wish.resolve(events.splice(at, 1)[0]);
  }
}

function sees(words) {
  return new Promise((resolve, reject) => {
    waiting.push({ words, resolve });
    setTimeout(() => reject(new Error(`no event "${words}"`)), 15000);
    serve();
  });
}

// What stands for media: an offer or an answer of one audio line, the same each time.
class FixedMedia {
  close() {}
  hasDescription(type) { return type === "application/sdp"; }
  getDescription() {
    const family = settings.media.includes(":") ? "IP6" : "IP4";
    const body = [
      "v=0", `o=page 1 1 IN ${family} ${settings.media}`, "s=-", `c=IN ${family} ${settings.media}`, "t=0 0",
      `m=audio ${settings.port} RTP/AVP 8`, "a=rtpmap:8 PCMA/8000", "a=sendrecv", "",
    ].join("\r\n");
    return Promise.resolve({ body, contentType: "application/sdp" });
  }
  setDescription(sdp) {
    happens(`media ${sdp.replaceAll("\r\n", "|")}`);
    return Promise.resolve();
  }
  sendDtmf() { return false; }
}

function uri(text) {
  const parsed = UserAgent.makeURI(text);
  if (!parsed) throw new Error(`no URI: ${text}`);
  return parsed;
}

// Resolves with the status code of the final answer.
function answered(send) {
  return new Promise((resolve, reject) => {
    const answer = (response) => resolve(response.message.statusCode);
    Promise.resolve(send({ onAccept: answer, onReject: answer, onRedirect: answer })).catch(reject);
  });
}

function follow(call) {
  session = call;
  call.stateChange.addListener((state) => happens(`call ${state}`));
  call.delegate = {
    onBye: (bye) => { happens("bye"); bye.accept(); },
    onCancel: () => happens("cancel"),
    onMessage: (message) => { happens(`inside ${message.request.body}`); message.accept(); },
  };
}

const phone = {
  events,
  sees,

  async connect(of) {
    settings = of;
    agent = new UserAgent({
      uri: uri(`sip:${of.user}@${of.domain}`),
      authorizationUsername: of.user,
      authorizationPassword: of.password,
      sendInitialProvisionalResponse: false,
      logBuiltinEnabled: false,
      sessionDescriptionHandlerFactory: () => new FixedMedia(),
      transportOptions: { server: of.server },
      delegate: {
        onDisconnect: (error) => happens(`disconnected ${error ?? ""}`),
        onInvite: (call) => { follow(call); happens("called"); },
        onMessage: (message) => { happens(`message ${message.request.body}`); message.accept(); },
      },
    });
    await agent.start();
  },

  register() {
    registerer = new Registerer(agent, { expires: 300 });
    return answered((requestDelegate) => registerer.register({ requestDelegate }));
  },

  unregister() { return answered((requestDelegate) => registerer.unregister({ requestDelegate })); },

  options(to) {
    const core = agent.userAgentCore;
    const { aor } = core.configuration;
    const request = core.makeOutgoingRequestMessage("OPTIONS", uri(to), aor, uri(to), {}, []);
    return answered((delegate) => { core.request(request, delegate); });
  },

  message(to, text) {
    const messager = new Messager(agent, uri(to), text);
    return answered((requestDelegate) => messager.message({ requestDelegate }));
  },

  // Sends the INVITE, no more.
  async call(to) {
    follow(new Inviter(agent, uri(to)));
    const said = (response) => happens(`answer ${response.message.statusCode}`);
    await session.invite({ requestDelegate: { onProgress: said, onAccept: said, onReject: said } });
  },

  ring() { return session.progress(); },
  answer() { return session.accept(); },
  refuse(statusCode) { return session.reject({ statusCode }); },
  cancel() { return session.cancel(); },
  hangUp() { return answered((requestDelegate) => session.bye({ requestDelegate })); },

  // The offer once more, inside of the call.
  again() { return answered((requestDelegate) => session.invite({ requestDelegate })); },

  // A message inside of the call.
  say(text) {
    const body = { contentDisposition: "render", contentType: "text/plain", content: text };
    return answered((requestDelegate) => session.message({ requestDelegate, requestOptions: { body } }));
  },

  // A WebSocket of another kind: what becomes of it.
  open(server, protocols) {
    return new Promise((resolve) => {
      const socket = new WebSocket(server, protocols);
      socket.onopen = () => resolve(`open ${socket.protocol}`);
      socket.onclose = (event) => resolve(`closed ${event.code}`);
    });
  },
};

// Modules keep their names to themselves; the test needs this one.
globalThis.phone = phone;
