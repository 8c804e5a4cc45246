"""Puts products on the shelf. Run before each deploy; what is there already is brought up to date."""

import os

import psycopg

PRODUCTS = [
    (1, "Rye bread", "Baked this morning, 750 g", 420),
    (2, "Honey", "From the hives on the roof, 250 g", 690),
    (3, "Apples", "A bag of the year's last ones", 350),
    (4, "Coffee", "Roasted two streets away, 500 g", 1180),
]


def main() -> None:
    with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
        for product in PRODUCTS:
            connection.execute(
                """
                INSERT INTO products (id, name, description, price_cents) VALUES (%s, %s, %s, %s)
                ON CONFLICT (id) DO UPDATE SET name = excluded.name,
                    description = excluded.description, price_cents = excluded.price_cents
                """,
                product,
            )
    print(f"{len(PRODUCTS)} products are on the shelf")


if __name__ == "__main__":
    main()
