import os
import time

import celery
import redis
import rq

app = celery.Celery("jobs", broker=os.environ["REDIS"])
app.conf.task_acks_late = os.environ.get("ACKS_LATE") == "1"


def work():
    print("begun", flush=True)
    time.sleep(4)
    print("finished", flush=True)


@app.task(name="work")
def task():
    work()


if __name__ == "__main__":
    if os.environ["QUEUE"] == "rq":
        rq.Queue(connection=redis.from_url(os.environ["REDIS"])).enqueue("jobs.work")
    else:
        task.delay()
