# ruff: noqa: E501, RUF001
import pytest

from engines.extraction import extract, probe
from engines.extraction.encodings import decode, known

TEXTS = {
    "German": "Sehr geehrte Damen und Herren, die Prüfung der Geräte ergab größere Mängel. Mit freundlichen Grüßen",
    "French": "Voici le contrat signé ; les pièces coûtent cher à l'été, où la façade naïve a été posée.",
    "Polish": "Szanowni Państwo, w załączeniu przesyłam fakturę za ostatni miesiąc. Proszę o potwierdzenie. Żółta łódź.",
    "Czech": "Vážení, v příloze zasíláme fakturu za poslední měsíc. Příliš žluťoučký kůň úpěl ďábelské ódy.",
    "Russian": "Уважаемые господа, во вложении направляем счет за последний месяц. Просим подтвердить получение.",
    "Greek": "Αγαπητοί κύριοι, σας επισυνάπτουμε το τιμολόγιο του τελευταίου μήνα.",
    "Turkish": "Sayın yetkili, geçen ayın faturasını ekte gönderiyoruz. Lütfen teyit ediniz, şükranlarımızla.",
    "Japanese": "拝啓、先月の請求書を添付いたしますので、ご確認をお願いいたします。敬具 カタカナとひらがな",
    "Chinese": "尊敬的先生们,随函附上上个月的发票,请确认收到。",
    "Korean": "안녕하세요, 지난달 청구서를 첨부하오니 확인해 주시기 바랍니다.",
}
WRITTEN = [
    ("German", "cp1252 iso8859-1 iso8859-15 cp850 mac-roman"),
    ("French", "cp1252 iso8859-1 iso8859-15"),
    ("Polish", "iso8859-2 cp1250"),
    ("Czech", "iso8859-2 cp1250"),
    ("Russian", "koi8-r cp1251 iso8859-5 cp866"),
    ("Greek", "cp1253 iso8859-7"),
    ("Turkish", "cp1254 iso8859-9"),
    ("Japanese", "shift-jis cp932 euc-jp iso2022-jp"),
    ("Chinese", "gb18030 gbk big5"),
    ("Korean", "euc-kr"),
]
UNICODE = "utf-8 utf-8-sig utf-16 utf-16-le utf-16-be utf-32 utf-32-le utf-32-be".split()  # noqa: SIM905


@pytest.mark.parametrize(
    ("language", "encoding"), [(language, encoding) for language, many in WRITTEN for encoding in many.split()]
)
def test_an_encoding_is_told_by_its_letters(language: str, encoding: str) -> None:
    data = TEXTS[language].encode(encoding, errors="ignore")
    assert decode(data) == data.decode(encoding)
    assert probe(data, "x").route == "text"


@pytest.mark.parametrize("encoding", UNICODE)
@pytest.mark.parametrize("language", ["German", "French", "Polish"])
def test_unicode_in_every_form(language: str, encoding: str) -> None:
    assert decode(TEXTS[language].encode(encoding)).removeprefix("\ufeff") == TEXTS[language]


def test_a_long_text_is_the_same_as_a_short_one() -> None:
    assert decode(TEXTS["Russian"].encode("koi8-r") * 5000) == TEXTS["Russian"] * 5000


@pytest.mark.parametrize(
    ("name", "codec"),
    [("ISO-8859-1", "cp1252"), ("latin1", "cp1252"), ("utf8", "utf-8"), ("Shift_JIS", "cp932"), ("GB2312", "gb18030")],
)
def test_a_declared_encoding_is_read_as_browsers_do(name: str, codec: str) -> None:
    assert known(name) == codec


@pytest.mark.parametrize(
    "name", ["zip", "rot13", "base64", "hex", "idna", "unicode_escape", "utf-7", "", None, "x" * 999, "a\0b"]
)
def test_what_is_no_encoding_of_text_is_not_used(name: str | None) -> None:
    assert known(name) is None


def test_a_wrong_declaration_is_not_believed() -> None:
    page = "<meta charset=utf-8><p>Grüße aus Köln</p>".encode("cp1252")
    assert extract(page, "text/html").text == "Grüße aus Köln"
