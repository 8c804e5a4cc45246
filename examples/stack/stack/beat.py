"""Adds a job every second."""

import os
import time

from .redis import Redis

queue = Redis()
seconds = float(os.environ.get("BEAT_SECONDS", 1))
print(f"beat adds a job every {seconds:g} s")
while True:
    queue("RPUSH", "jobs", "beat")
    time.sleep(seconds)
