#!/usr/bin/env python3
"""Posts CDRs as mod_xml_cdr does: again and again until the answer is 200, from several connections at once.

    post.py HOST PORT USER PASSWORD COUNT TEMPLATE ACKNOWLEDGED

TEMPLATE is a CDR with UUID in it; each one that was acknowledged is a line of the file ACKNOWLEDGED.
"""

import base64
import http.client
import sys
import threading
import time
import urllib.parse

HOST, PORT, USER, PASSWORD, COUNT, TEMPLATE, ACKNOWLEDGED = sys.argv[1:8]
AUTH = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
with open(TEMPLATE, encoding="utf-8") as file:
    DOCUMENT = file.read()
THREADS = 6
lock = threading.Lock()
acknowledged = open(ACKNOWLEDGED, "w", encoding="ascii")
tries = 0


def post(connection, uuid):
    """Whether it was acknowledged."""
    body = "cdr=" + urllib.parse.quote(DOCUMENT.replace("UUID", uuid), safe="")
    headers = {"Authorization": AUTH, "Content-Type": "application/x-www-form-urlencoded", "User-Agent": "freeswitch-xml/1.0"}
    connection.request("POST", f"/freeswitch/cdr?uuid=a_{uuid}", body, headers)
    response = connection.getresponse()
    response.read()
    return response.status == 200


def work(number):
    global tries
    connection = None
    for n in range(number, int(COUNT), THREADS):
        uuid = f"00000000-0000-4000-8000-{n:012d}"
        while True:
            with lock:
                tries += 1
            try:
                connection = connection or http.client.HTTPConnection(HOST, int(PORT), timeout=10)
                if post(connection, uuid):
                    break
            except (OSError, http.client.HTTPException):
                connection = None
                time.sleep(0.02)
        with lock:
            acknowledged.write(uuid + "\n")
            acknowledged.flush()


threads = [threading.Thread(target=work, args=(n,)) for n in range(THREADS)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(f"done after {tries} tries", flush=True)
