"""Products and orders over HTTP."""

import os
import uuid
from contextlib import asynccontextmanager

import redis
from fastapi import FastAPI, HTTPException
from fastapi.middleware.cors import CORSMiddleware
from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool
from pydantic import BaseModel, Field

QUEUE = "orders"

pool = ConnectionPool(
    os.environ["DATABASE_URL"], min_size=1, max_size=5, open=False, kwargs={"row_factory": dict_row}
)
queue = redis.Redis.from_url(os.environ["REDIS_URL"], decode_responses=True)


@asynccontextmanager
async def lifespan(_: FastAPI):
    pool.open(wait=True, timeout=30)
    yield
    pool.close()


app = FastAPI(title="Shop", lifespan=lifespan)
app.add_middleware(
    CORSMiddleware,
    allow_origins=[os.environ["ALLOWED_ORIGIN"].rstrip("/")],
    allow_methods=["GET", "POST"],
    allow_headers=["content-type"],
)


class NewOrder(BaseModel):
    product_id: int
    quantity: int = Field(ge=1, le=99)
    customer: str = Field(min_length=1, max_length=80)


@app.get("/health")
def health():
    with pool.connection() as connection:
        connection.execute("SELECT 1")
    return {"status": "ok", "version": os.environ.get("RENDER_GIT_COMMIT", "")[:7]}


@app.get("/products")
def products():
    with pool.connection() as connection:
        return connection.execute("SELECT * FROM products ORDER BY id").fetchall()


@app.post("/orders", status_code=201)
def place_order(order: NewOrder):
    order_id = uuid.uuid4()
    with pool.connection() as connection:
        known = connection.execute("SELECT 1 FROM products WHERE id = %s", (order.product_id,))
        if known.fetchone() is None:
            raise HTTPException(404, "there is no such product")
        connection.execute(
            "INSERT INTO orders (id, product_id, quantity, customer) VALUES (%s, %s, %s, %s)",
            (order_id, order.product_id, order.quantity, order.customer),
        )
    # After the commit: the worker never sees an order that is not there.
    queue.lpush(QUEUE, str(order_id))
    return {"id": str(order_id), "status": "pending"}


@app.get("/orders/{order_id}")
def order_state(order_id: uuid.UUID):
    with pool.connection() as connection:
        found = connection.execute(
            "SELECT id, status, receipt FROM orders WHERE id = %s", (order_id,)
        ).fetchone()
    if found is None:
        raise HTTPException(404, "there is no such order")
    return found


@app.get("/report")
def report():
    return {"report": queue.get("report")}
