"""Servers on this machine: the embedded stack that ships in wheels, and real services for developers and tests."""
