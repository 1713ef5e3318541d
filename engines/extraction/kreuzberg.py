"""The language of a text, as kreuzberg tells it: no cache, one thread, no guesses about quality."""

from typing import Final

LANGUAGE_SAMPLE: Final = 20_000
"""Characters; the language of a document shows in its beginning."""
_LANGUAGES: Final = {
    "bul": "bg", "ces": "cs", "dan": "da", "deu": "de", "ell": "el", "eng": "en", "est": "et", "fin": "fi",
    "fra": "fr", "hrv": "hr", "hun": "hu", "ita": "it", "lav": "lv", "lit": "lt", "nld": "nl", "nob": "nb",
    "pol": "pl", "por": "pt", "ron": "ro", "rus": "ru", "slk": "sk", "slv": "sl", "spa": "es", "swe": "sv",
    "tur": "tr", "ukr": "uk",
}  # fmt: skip
"""ISO 639-3, as kreuzberg names them, to 639-1. Others are left unnamed."""


def language(text: str) -> str | None:
    """ISO 639-1 code of the text's language, or None if that is not clear."""
    import kreuzberg as library

    config = library.ExtractionConfig(
        use_cache=False,
        enable_quality_processing=False,
        concurrency=library.ConcurrencyConfig(max_threads=1),
        language_detection=library.LanguageDetectionConfig(enabled=True, min_confidence=0.8, detect_multiple=False),
    )
    found = library.extract_bytes_sync(text[:LANGUAGE_SAMPLE].encode(), "text/plain", config=config)
    return _LANGUAGES.get(found.detected_languages[0]) if found.detected_languages else None
