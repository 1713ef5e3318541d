"""Texts to vectors over HTTP, in three dialects: our own, that of Text Embeddings Inference (TEI), and OpenAI's.

- `wire` holds what is asked and answered in each;
- `texts` measures and cuts texts; pure;
- `service` has the engine, shared by all callers; `app` the roads to it.
"""
