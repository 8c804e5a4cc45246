"""Completes orders: has a receipt written, then marks the order."""

import hashlib
import hmac
import json
import os
import signal
import sys
import threading
import urllib.request

import psycopg
import redis

QUEUE = "orders"
IN_WORK = "orders:in-work"
WAIT_SECONDS = 1

stopping = threading.Event()


def sign(body: bytes) -> str:
    return hmac.new(os.environ["SIGNING_KEY"].encode(), body, hashlib.sha256).hexdigest()


def write_receipt(order_id: str, text: str) -> str:
    body = json.dumps({"id": order_id, "text": text}).encode()
    request = urllib.request.Request(
        f"http://{os.environ['RECEIPTS_ADDRESS']}/receipts",
        data=body,
        headers={"content-type": "application/json", "x-signature": sign(body)},
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.load(response)["receipt"]


def complete(connection: psycopg.Connection, order_id: str) -> None:
    row = connection.execute(
        """
        SELECT p.name, o.quantity, o.customer, p.price_cents * o.quantity
        FROM orders o JOIN products p ON p.id = o.product_id
        WHERE o.id = %s AND o.status <> 'completed'
        """,
        (order_id,),
    ).fetchone()
    if row is None:
        print(f"order {order_id} is not waiting", flush=True)
        return
    name, quantity, customer, total = row
    receipt = write_receipt(order_id, f"{quantity} × {name} for {customer}: {total} cents")
    connection.execute(
        "UPDATE orders SET status = 'completed', receipt = %s, completed_at = now() WHERE id = %s",
        (receipt, order_id),
    )
    print(f"order {order_id} is completed", flush=True)


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    queue = redis.Redis.from_url(os.environ["REDIS_URL"], decode_responses=True)
    # What an earlier worker had taken and not finished comes first.
    while queue.lmove(IN_WORK, QUEUE, "RIGHT", "RIGHT"):
        pass
    print("worker is ready", flush=True)
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        while not stopping.is_set():
            order_id = queue.blmove(QUEUE, IN_WORK, WAIT_SECONDS, "RIGHT", "LEFT")
            if order_id is None:
                continue
            try:
                complete(connection, order_id)
            except OSError as error:
                # The receipts service may be restarting: the order goes back to the queue.
                print(f"order {order_id} has to wait: {error}", file=sys.stderr, flush=True)
                queue.lpush(QUEUE, order_id)
                stopping.wait(WAIT_SECONDS)
            queue.lrem(IN_WORK, 1, order_id)
    print("worker stops", flush=True)


if __name__ == "__main__":
    main()
