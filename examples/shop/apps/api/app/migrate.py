"""Brings the tables up to date. Run by the build: the database is reachable while building."""

import os

import psycopg

MIGRATIONS = [
    """
    CREATE TABLE products (
        id integer PRIMARY KEY,
        name text NOT NULL,
        description text NOT NULL,
        price_cents integer NOT NULL CHECK (price_cents > 0)
    )
    """,
    """
    CREATE TABLE orders (
        id uuid PRIMARY KEY,
        product_id integer NOT NULL REFERENCES products (id),
        quantity integer NOT NULL CHECK (quantity BETWEEN 1 AND 99),
        customer text NOT NULL,
        status text NOT NULL DEFAULT 'pending',
        receipt text,
        created_at timestamptz NOT NULL DEFAULT now(),
        completed_at timestamptz
    )
    """,
]


def main() -> None:
    with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
        # Two builds at the same time wait for one another.
        connection.execute("SELECT pg_advisory_xact_lock(7001)")
        connection.execute("CREATE TABLE IF NOT EXISTS migrations (number integer PRIMARY KEY)")
        row = connection.execute("SELECT coalesce(max(number), 0) FROM migrations").fetchone()
        done = row[0]
        for number, statement in enumerate(MIGRATIONS, start=1):
            if number > done:
                connection.execute(statement)
                connection.execute("INSERT INTO migrations (number) VALUES (%s)", (number,))
                print(f"migration {number} done")
    print(f"the database has {len(MIGRATIONS)} migrations")


if __name__ == "__main__":
    main()
