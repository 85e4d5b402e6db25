# SPDX-License-Identifier: Apache-2.0
"""asking.py - clients that ask the forbidden question on and on, and what they saw against what is on record (P5)."""
import threading
import time

from gate import ALPHA, CHAT, CLIENT, dial, leaks, receive, refused, request_bytes


class Client(threading.Thread):
    """Asks the forbidden question on and on; keeps the source ports of refusals."""

    def __init__(self, ground, k, over):
        super().__init__(daemon=True)
        self.ground, self.k, self.over, self.ports, self.leaked = ground, k, over, [], 0

    def run(self):
        body = {'stream': self.k % 2 == 0, 'messages': [{'role': 'user', 'content': 'say BAD'}], 'delay': 0.001}
        while not self.over.is_set():
            try:
                with dial(self.ground, CLIENT) as s:
                    port = s.getsockname()[1]
                    s.sendall(request_bytes('POST', CHAT, body))
                    answer = receive(s, 10)
            except OSError:
                time.sleep(0.01)
                continue
            self.leaked += bool(leaks(answer.raw, ALPHA))
            # the first byte of the ending is the telling, whole or not
            if refused(answer) or b'content_filter' in answer.raw:
                self.ports.append(port)


def ask(ground, gate, clients, seconds):
    """Clients ask, the daemon is killed in the middle of it: the ports that saw a refusal, and how many leaked."""
    over = threading.Event()
    asking = [Client(ground, k, over) for k in range(clients)]
    for c in asking:
        c.start()
    time.sleep(seconds)
    gate.kill()
    over.set()
    for c in asking:
        c.join(15)
    return [p for c in asking for p in c.ports], sum(c.leaked for c in asking)


def of_records(events):
    """Ports of blocked exchanges, and how many blocking findings have no exchange record (killed in between)."""
    ports, whole = [], set()
    for event in events:
        exchange = event.get('exchange')
        if exchange:
            whole.add(exchange.get('exchange_id'))
            if exchange.get('verdict') == 'BLOCKED':
                ports.append(int(exchange.get('src', {}).get('port', 0)))
    loose = {e['finding'].get('exchange_id') for e in events
             if e.get('finding', {}).get('verdict') == 'BLOCKED' and e['finding'].get('exchange_id') not in whole}
    return ports, len(loose)
