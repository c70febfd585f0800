"""A client that means no good: hostile.py HOST PORT KIND. Exits with 0 when the server ends the connection in time, and prints
how it was told so."""

import socket
import ssl
import sys
import time

host, port, kind = sys.argv[1], int(sys.argv[2]), sys.argv[3]
PATIENCE = 20


def tls(connection):
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(connection)


connection = socket.create_connection((host, port), timeout=PATIENCE)
if kind == "silent":
    pass
elif kind == "plain":
    connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
elif kind == "rubbish":
    connection = tls(connection)
    connection.sendall(b"\x00\x01\x02 rubbish\r\n\r\n")
elif kind == "long-header":
    connection = tls(connection)
    connection.sendall(b"GET /rpc HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 60_000)
elif kind == "slow-header":
    connection = tls(connection)
    connection.sendall(b"GET /rpc HTTP/1.1\r\n")
elif kind == "slow-body":
    connection = tls(connection)
    connection.sendall(b"POST /rpc HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n[")
elif kind == "idle":
    connection = tls(connection)
    connection.sendall(b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n")

begin = time.monotonic()
heard = b""
try:
    while time.monotonic() - begin < PATIENCE:
        if kind.startswith("slow"):
            # A drop now and then keeps nobody waiting for ever.
            connection.settimeout(0.3)
            try:
                read = connection.recv(4096)
            except TimeoutError:
                connection.sendall(b"a")
                continue
        else:
            read = connection.recv(4096)
        if not read:
            break
        heard += read
    else:
        sys.exit("the server did not end it")
except TimeoutError:
    sys.exit("the server did not end it")
except OSError:
    pass
print(heard.split(b"\r\n")[0].decode(errors="replace"))
