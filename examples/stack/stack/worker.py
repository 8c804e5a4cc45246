"""Does jobs, one after the other, and ends between two of them."""

import signal

from .redis import Redis

running = True


def stop(*_):
    global running
    running = False


signal.signal(signal.SIGTERM, stop)
queue = Redis()
print("worker waits for jobs")
while running:
    job = queue("BLPOP", "jobs", 1)
    if job:
        queue("HINCRBY", "done", job[1], 1)
        print(f"did a job of {job[1]}")
