# SPDX-License-Identifier: Apache-2.0
"""A coordinator that does what a test tells it: the server's side of holdfast.v1 on a thread, with
the laboratory's certificates. It grants, commands and looks at heartbeats; it decides nothing."""
import base64
import hashlib
import json
import socket
import ssl
import struct
import threading
import time

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Connection:
    """One agent's websocket: text frames both ways."""

    def __init__(self, sock):
        self.sock, self.lock = sock, threading.Lock()
        self.hello = None

    def handshake(self):
        head = b""
        while b"\r\n\r\n" not in head:
            head += self._some()
        lines = head.split(b"\r\n")
        fields = {name.strip().lower(): value.strip() for name, _, value in
                  (line.partition(b":") for line in lines[1:])}
        if lines[0].split()[1] != b"/v1/agent" or \
                fields[b"sec-websocket-protocol"] != b"holdfast.v1":
            raise ConnectionError(f"not holdfast.v1: {lines[0]!r}")
        digest = hashlib.sha1(fields[b"sec-websocket-key"] + GUID).digest()
        self.sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                          b"Connection: Upgrade\r\nSec-WebSocket-Protocol: holdfast.v1\r\n"
                          b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n")

    def _some(self):
        data = self.sock.recv(65536)
        if not data:
            raise ConnectionError("closed")
        return data

    def _exactly(self, n):
        data = b""
        while len(data) < n:
            piece = self.sock.recv(n - len(data))
            if not piece:
                raise ConnectionError("closed")
            data += piece
        return data

    def receive(self):
        """The next text message, whole."""
        text = b""
        while True:
            first, second = self._exactly(2)
            size = second & 127
            if size == 126:
                size = struct.unpack(">H", self._exactly(2))[0]
            elif size == 127:
                size = struct.unpack(">Q", self._exactly(8))[0]
            mask = self._exactly(4)
            data = bytes(b ^ mask[i % 4] for i, b in enumerate(self._exactly(size)))
            kind = first & 15
            if kind == 8:
                raise ConnectionError("closed by the agent")
            if kind == 9:
                self._frame(0x8A, data)
            elif kind in (0, 1):
                text += data
                if first & 128:
                    return json.loads(text)

    def _frame(self, first, data):
        n = len(data)
        head = bytes([first, n]) if n < 126 else bytes([first, 126]) + struct.pack(">H", n)
        with self.lock:
            self.sock.sendall(head + data)

    def send(self, message):
        self._frame(0x81, json.dumps({"v": 1, **message}).encode())


class ScriptedCoordinator:
    """Listens; keeps each node's newest heartbeat; `granting` nodes get their leases renewed."""

    def __init__(self, address, tls, ttl_s=3.0):
        self.ttl_us = int(ttl_s * 1e6)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls["certificate"], tls["key"])
        context.load_verify_locations(tls["ca"])
        context.verify_mode = ssl.CERT_REQUIRED
        self.context = context
        self.listener = socket.create_server((address, 0))
        self.url = f"wss://{address}:{self.listener.getsockname()[1]}"
        self.beats, self.connections, self.reports = {}, {}, []
        self.granting = {}  # node -> epoch
        # One that never answers: without grants no lease goes on by promises.
        self.candidates = {"version": "1", "members": ["nobody-1"]}
        self.sequence = 0
        self.closed = False
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self.closed = True
        self.listener.close()
        for connection in list(self.connections.values()):
            try:
                connection.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def _accept(self):
        while not self.closed:
            try:
                raw, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(raw,), daemon=True).start()

    def _serve(self, raw):
        try:
            connection = Connection(self.context.wrap_socket(raw, server_side=True))
            connection.handshake()
            hello = connection.receive()
            assert hello["type"] == "hello", hello
            node = hello["node"]
            connection.hello = hello
            self.connections[node] = connection
            while True:
                self._take(node, connection, connection.receive())
        except (OSError, ssl.SSLError):
            return

    def _take(self, node, connection, message):
        if message["type"] == "heartbeat":
            message["seen_at"] = time.monotonic()
            self.beats[node] = message
            epoch = self.granting.get(node)
            if message["want_lease"] and epoch == int(message["lease_epoch"]):
                connection.send({"type": "grant", "seq": message["seq"], "life": message["life"],
                                 "generation": "1", "epoch": str(epoch), "term": "1",
                                 "serial": message["lease_serial"], "ttl_us": str(self.ttl_us),
                                 "candidates": self.candidates})
        elif message["type"] == "report":
            self.reports.append(message)
            connection.send({"type": "report_ack", "id": message["id"]})

    # -- the script -----------------------------------------------------------------------------

    def beat(self, node):
        return self.beats.get(node)

    def wait(self, node, what, test, seconds=30):
        """Waits until test(newest heartbeat) holds and returns that heartbeat."""
        end = time.monotonic() + seconds
        beat = None
        while time.monotonic() < end:
            beat = self.beats.get(node)
            if beat is not None and test(beat):
                return beat
            time.sleep(0.02)
        raise AssertionError(f"{node}: {what}: not within {seconds} s; newest heartbeat: {beat}")

    def wait_state(self, node, state, seconds=30):
        return self.wait(node, f"state {state}", lambda b: b["state"] == state, seconds)

    def view(self, node, epoch, primary="", address="", timeline=1):
        self.connections[node].send({
            "type": "view", "generation": "1", "epoch": str(epoch), "term": "1",
            "primary": primary, "primary_address": address, "timeline": timeline,
            "ttl_us": str(self.ttl_us), "candidates": self.candidates})

    def command(self, agent, identity, kind, epoch, **more):
        """Sends it, counted from the newest heartbeat."""
        beat = self.beats[agent]
        self.sequence += 1
        self.connections[agent].send({
            "type": "command", "id": identity, "kind": kind, "generation": "1", "term": "1",
            "sequence": str(self.sequence), "epoch": str(epoch), "seq": beat["seq"],
            "life": beat["life"], "ttl_us": "5000000", "node": more.get("node", ""),
            "address": more.get("address", ""), "timeline": more.get("timeline", 0),
            "body": more.get("body", ""), "released_epoch": "0", "released_serial": "0"})

    def do(self, agent, identity, kind, epoch, seconds=60, **more):
        """Sends it and waits for its end; returns the heartbeat that says so."""
        self.command(agent, identity, kind, epoch, **more)
        beat = self.wait(agent, f"end of {kind}", lambda b: b["op"] == identity and
                         b["op_status"] in ("done", "failed"), seconds)
        assert beat["op_status"] == "done", beat["op_error"]
        return beat
