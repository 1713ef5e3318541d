"""Pictures and PDFs to text over HTTP, a page at a time.

- `wire` holds what is asked and answered;
- `files` reads the files out of a request, in memory alone;
- `pages` has a file parsed and takes its pages through the engine; `service` shares that engine among all callers;
- `app` is the road to it.

Files are parsed by `engines.extraction.parsers.Parsers` alone, each request as a job of its own.
"""
