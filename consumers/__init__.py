"""Stages and the runtime that delivers to them."""
