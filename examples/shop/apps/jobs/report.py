"""Counts what was sold. Run by the schedule; the api shows the last report."""

import os

import psycopg
import redis


def main() -> None:
    with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
        orders, cents = connection.execute(
            """
            SELECT count(*), coalesce(sum(p.price_cents * o.quantity), 0)
            FROM orders o JOIN products p ON p.id = o.product_id WHERE o.status = 'completed'
            """
        ).fetchone()
    text = f"{orders} orders, {cents / 100:.2f} {os.environ.get('CURRENCY', 'EUR')}"
    redis.Redis.from_url(os.environ["REDIS_URL"]).set("report", text)
    print(f"report: {text}", flush=True)


if __name__ == "__main__":
    main()
