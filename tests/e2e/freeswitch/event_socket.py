#!/usr/bin/env python3
"""An event socket as mod_event_socket's inbound mode is documented to be: authentication, `api show ... count`, `event plain`,
heartbeats, farewell. FreeSWITCH itself is not in Debian.

    event_socket.py ADDRESS PORT PASSWORD FILE

FILE has two numbers, calls and channels, read anew for every answer; a third word `bye` has every connection sent away.
"""

import socketserver
import sys
import urllib.parse

ADDRESS, PORT, PASSWORD, FILE = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]


def numbers():
    with open(FILE, encoding="ascii") as file:
        return file.read().split()


class Connection(socketserver.StreamRequestHandler):
    def say(self, headers, body=""):
        if body:
            headers = headers + [("Content-Length", str(len(body)))]
        text = "".join(f"{name}: {value}\n" for name, value in headers) + "\n" + body
        self.wfile.write(text.encode())

    def reply(self, text):
        self.say([("Content-Type", "command/reply"), ("Reply-Text", text)])

    def command(self):
        lines = []
        while True:
            line = self.rfile.readline(4096).decode().rstrip("\n")
            if line:
                lines.append(line)
            elif lines or not line:
                return " ".join(lines)

    def handle(self):
        self.say([("Content-Type", "auth/request")])
        is_in = False
        while command := self.command():
            print(command.replace(PASSWORD, "***"), flush=True)
            word, _, rest = command.partition(" ")
            if word == "auth":
                is_in = rest == PASSWORD
                self.reply("+OK accepted" if is_in else "-ERR invalid")
                if not is_in:
                    break
            elif not is_in:
                self.reply("-ERR command not found")
            elif word == "event":
                self.reply("+OK event listener enabled plain")
                event = {"Event-Name": "HEARTBEAT", "Event-Info": "System Ready", "Session-Count": numbers()[1]}
                body = "".join(f"{n}: {urllib.parse.quote(v)}\n" for n, v in event.items()) + "\n"
                self.say([("Content-Type", "text/event-plain")], body)
            elif word == "api":
                said = numbers()
                if said[2:] == ["bye"]:
                    self.say([("Content-Type", "text/disconnect-notice"), ("Controlled-Session-UUID", "0")], "Disconnected, goodbye.\n")
                    break
                count = said[0] if "show calls" in rest else said[1]
                body = f'{{"row_count":{count}}}' if rest.endswith("as json") else f"\n{count} total.\n"
                self.say([("Content-Type", "api/response")], body)
            elif word == "exit":
                self.reply("+OK bye")
                break
            else:
                self.reply("-ERR command not found")


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


with Server((ADDRESS, PORT), Connection) as server:
    print("listening", flush=True)
    server.serve_forever()
