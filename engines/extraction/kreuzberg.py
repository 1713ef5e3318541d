"""The one place that calls kreuzberg: no cache, one thread, no quality guesses, its errors made ours."""

from typing import Any, Final

from engines.extraction.kinds import in_words
from schemas.errors import Permanent

PAGE_MARK: Final = "\ue000{page_num}\ue001"
"""Private-use characters around the number, so that a page's beginning can be told from its text."""
LANGUAGE_SAMPLE: Final = 20_000
"""Characters; the language of a document shows in its beginning."""
_LANGUAGES: Final = {
    "bul": "bg", "ces": "cs", "dan": "da", "deu": "de", "ell": "el", "eng": "en", "est": "et", "fin": "fi",
    "fra": "fr", "hrv": "hr", "hun": "hu", "ita": "it", "lav": "lv", "lit": "lt", "nld": "nl", "nob": "nb",
    "pol": "pl", "por": "pt", "ron": "ro", "rus": "ru", "slk": "sk", "slv": "sl", "spa": "es", "swe": "sv",
    "tur": "tr", "ukr": "uk",
}  # fmt: skip
"""ISO 639-3, as kreuzberg names them, to 639-1. Others are left unnamed."""


def read(
    data: bytes,
    media_type: str,
    *,
    output: str = "markdown",
    page_marks: bool = False,
    structure: bool = False,
    images: bool = False,
) -> Any:
    """kreuzberg's ExtractionResult. `output` is `markdown` or `plain`; `images` and `structure` cost time and memory.

    Raises Permanent `document.encrypted` or `document.broken`.
    """
    import kreuzberg as library

    html_options: Any = {"strip_tags": ["b", "strong", "i", "em", "a"], "wrap": False}  # its stub calls these a bool
    config = library.ExtractionConfig(
        use_cache=False,
        enable_quality_processing=False,
        output_format=output,
        include_document_structure=structure,
        concurrency=library.ConcurrencyConfig(max_threads=1),
        content_filter=library.ContentFilterConfig(
            include_headers=True, include_footers=True, strip_repeating_text=False
        ),
        pages=library.PageConfig(
            extract_pages=True, insert_page_markers=page_marks, marker_format=f"\n\n{PAGE_MARK}\n\n"
        ),
        images=library.ImageExtractionConfig(extract_images=True) if images else None,
        html_options=html_options,
    )
    try:
        return library.extract_bytes_sync(data, media_type, config=config)
    except Exception as error:  # its own types, and pyo3 panics: whatever it is, this file cannot be read
        if "password" in str(error).lower() or "encrypt" in str(error).lower():
            raise Permanent("document.encrypted", kind=in_words(media_type)) from None
        raise Permanent("document.broken", kind=media_type) from None


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
