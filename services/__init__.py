"""The engines over HTTP: `embeddings` (8001) and `vision` (8002), for callers that have texts and pictures, no job.

- `batching` gathers the requests of all callers for one engine;
- `residence` keeps the engine in memory only while it is needed; `health` tells whether it is well;
- `intake`, `guard` and `problems` are what every road passes: how much, from whom, and what is told of an error;
- `server` runs an app until SIGTERM.

Nothing of a request is logged or written: it is in memory while it is answered, and nowhere else.
"""
