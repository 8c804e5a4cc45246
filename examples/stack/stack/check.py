"""Whether the api answers: its health check, for where nothing asks over HTTP."""

import os
from urllib.request import urlopen

urlopen(f"http://127.0.0.1:{os.environ.get('PORT', 8000)}/health", timeout=3)
