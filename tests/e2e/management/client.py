"""Asks the management API as programs of others do: by HTTPS with Python's own client, and by the unix socket.

client.py https URL CA TOKEN_FILE    client.py unix SOCKET

Reads [[method, params], ...] from standard input, calls one after the other, and prints the answers as one JSON list.
"""

import json
import socket
import ssl
import sys
import urllib.request


def https(url, ca, token_file):
    context = ssl.create_default_context(cafile=ca)
    token = open(token_file).read().strip()

    def ask(request):
        headers = {"Content-Type": "application/json", "Authorization": "Bearer " + token}
        body = json.dumps(request).encode()
        asked = urllib.request.Request(url + "/rpc", body, headers)
        with urllib.request.urlopen(asked, timeout=20, context=context) as answer:
            return json.load(answer)

    return ask


def unix(path):
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(20)
    connection.connect(path)
    lines = connection.makefile("r")

    def ask(request):
        connection.sendall(json.dumps(request).encode() + b"\n")
        return json.loads(lines.readline())

    return ask


ask = {"https": https, "unix": unix}[sys.argv[1]](*sys.argv[2:])
answers = []
for number, (method, params) in enumerate(json.load(sys.stdin)):
    answer = ask({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
    assert answer["id"] == number, answer
    answers.append(answer)
print(json.dumps(answers))
