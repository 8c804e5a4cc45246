import time

print("up", flush=True)


def app(environ, start_response):
    print("begun", flush=True)
    time.sleep(3)
    print("finished", flush=True)
    start_response("200 OK", [("content-length", "8")])
    return [b"finished"]
