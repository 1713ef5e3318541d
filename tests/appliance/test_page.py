"""The page in a real browser. Debian's Chromium is driven by Playwright; none is downloaded."""

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from appliance.page import FILE, policy
from tests.appliance.serving import HOSTILE, LONG, TOKEN, TWICE, Appliance
from tests.conftest import IN_CI

SENTENCE = "Chromium is not there: apt install chromium"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.fail(SENTENCE, pytrace=False) if IN_CI else pytest.skip(SENTENCE)
    sandbox = [] if os.geteuid() else ["--no-sandbox"]  # root has none
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=sandbox)
        yield browser
        browser.close()


@pytest.fixture
def language(request: pytest.FixtureRequest) -> str:
    """The visitor's: English unless the test asks for another."""
    return str(getattr(request, "param", "en-GB"))


IN_BOTH_LANGUAGES = pytest.mark.parametrize("language", ["en-GB", "de-DE"], indirect=True)


@pytest.fixture
def page(browser: Browser, appliance: Appliance, language: str) -> Iterator[Page]:
    """The page as a visitor meets it. No error may reach the browser's console, and no other host may be asked."""
    context = browser.new_context(locale=language)
    page = context.new_page()
    page.set_default_timeout(10_000)
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(appliance.url)
    yield page
    context.close()
    assert [one for one in said if "401" not in one] == []
    assert [url for url in asked if not url.startswith(appliance.url)] == []


def enter(page: Page) -> None:
    page.locator("#token").fill(TOKEN)
    page.keyboard.press("Enter")
    expect(page.locator("#question")).to_be_focused()


def search(page: Page, question: str) -> None:
    page.locator("#question").fill(question)
    page.keyboard.press("Enter")
    page.locator("#found .card").first.wait_for()


@IN_BOTH_LANGUAGES
def test_it_speaks_the_visitor_s_language(page: Page, language: str) -> None:
    expect(page.locator("html")).to_have_attribute("lang", language[:2])
    title = {"en-GB": "Your token, please", "de-DE": "Ihr Token, bitte"}[language]
    expect(page.locator("#enter h2")).to_have_text(title)
    assert page.locator("[data-say]").evaluate_all("all => all.filter(one => !one.textContent.trim()).length") == 0


def test_it_asks_for_the_token_and_keeps_it_in_the_tab(page: Page) -> None:
    page.locator("#token").fill("a wrong one")
    page.keyboard.press("Enter")
    expect(page.locator("#enter-note")).not_to_be_empty()
    enter(page)
    page.reload()
    expect(page.locator("#question")).to_be_visible()
    assert page.evaluate("[localStorage.length, document.cookie]") == [0, ""]
    page.locator("#leave").click()
    expect(page.locator("#token")).to_be_focused()
    assert page.evaluate("sessionStorage.length") == 0


@IN_BOTH_LANGUAGES
def test_a_question_is_asked_and_its_passage_opened_by_keyboard_alone(page: Page) -> None:
    enter(page)
    search(page, "When does the contract end?")
    first = page.locator("#found .card").first
    expect(first).to_contain_text("The contract ends after twelve months.")
    expect(first.locator("mark").first).to_have_text("contract")
    expect(page.locator("#note")).to_contain_text(
        "word" if page.locator("html").get_attribute("lang") == "en" else "Wört"
    )
    first.locator("button").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#reader-title")).to_be_focused()
    expect(page.locator("#text mark")).to_have_text("The contract ends after twelve months.")
    page.go_back()
    expect(first).to_be_visible()


def test_the_passage_is_marked_where_it_stands_in_a_long_document(page: Page) -> None:
    enter(page)
    search(page, '"Paragraph 150"')
    page.locator("#found .card button").first.click()
    expect(page.locator("#text mark")).to_have_text("Paragraph 150 speaks of valves.")
    expect(page.locator("#text mark")).to_be_in_viewport()
    expect(page.locator("#text")).not_to_contain_text("Paragraph 299 ")
    for button in ("#earlier", "#later"):
        while page.locator(button).is_visible():
            before = page.locator("#text").inner_text()
            page.locator(button).click()
            page.wait_for_function("before => document.getElementById('text').innerText !== before", arg=before)
    for number in (0, 299):
        expect(page.locator("#text")).to_contain_text(f"Paragraph {number} speaks")
    expect(page.locator("#text mark")).to_have_text("Paragraph 150 speaks of valves.")


def test_a_document_cannot_be_more_than_text(page: Page) -> None:
    enter(page)
    search(page, "claims bold")
    page.locator("#found .card").filter(has_text=HOSTILE).locator("button").click()
    expect(page.locator("#text")).to_contain_text("<script>document.title = 'taken'</script> & <b>bold</b> 😀 claims.")
    expect(page.locator("#text mark")).to_contain_text("😀 claims.")
    assert page.locator("#text b, #text script, main img, #reader-title *").count() == 0
    assert page.title() in {"Documents", "Dokumente"}


def test_it_warns_of_marked_text_and_tells_other_names(page: Page) -> None:
    enter(page)
    search(page, "zebra")
    card = page.locator("#found .card").first
    expect(card.locator(".warning")).to_have_count(2)
    expect(card.locator(".warning").last).to_contain_text("hidden from whoever reads the document")
    expect(card.locator(".meta").first).to_contain_text(f"the same file: {TWICE[1]}")
    card.locator("button").click()
    expect(page.locator("#reader-marks .warning")).to_have_count(2)
    expect(page.locator("#reader-meta")).to_contain_text(TWICE[1])
    page.locator("#to-about").click()
    expect(page.locator("#told")).to_contain_text("Of these, with hidden text")


def test_filters_reach_the_search(page: Page) -> None:
    enter(page)
    page.locator("summary").click()
    page.locator("#document").fill(LONG)
    page.locator("#limit").select_option("20")
    search(page, "valves contract")
    expect(page.locator("#found .card")).to_have_count(20)
    expect(page.locator("#found .card").filter(has_text=LONG)).to_have_count(20)
    page.locator("#language").fill("en")
    page.locator("#question").press("Enter")
    expect(page.locator("#found .card")).to_have_count(0)


def test_it_says_what_the_image_is_built_from(page: Page) -> None:
    enter(page)
    page.locator("#to-about").click()
    told = page.locator("#told")
    for text in ("f" * 64, "310", '"model": "fake"'):
        expect(told).to_contain_text(text)
    told.locator("summary").click()
    expect(told).to_contain_text("BSD-3-Clause")
    expect(told).to_contain_text("<i>libc6</i>")


def test_without_a_token_the_page_asks_for_none(browser: Browser, open_appliance: Appliance) -> None:
    page = browser.new_page()
    page.goto(open_appliance.url)
    expect(page.locator("#question")).to_be_focused()
    expect(page.locator("#leave")).to_be_hidden()
    page.close()


def test_the_policy_lets_only_the_page_s_own_code_run(appliance: Appliance) -> None:
    content = FILE.read_text()
    with appliance.client() as client:
        answer = client.get("/")
    assert answer.text == content
    assert answer.headers["content-security-policy"] == policy(content)
    for forbidden in ("unsafe", "http:", "https:", " *"):
        assert forbidden not in policy(content)
    for outside in ("src=", "href=", "@import", "url(", "innerHTML", "eval("):
        assert outside not in content


def test_a_path_that_turns_the_writing_round_turns_itself_alone(page: Page) -> None:
    enter(page)
    end, begin = page.evaluate("""() => {
        const line = meta(["invoice\\u202efdp.exe", "page 7"]);
        document.querySelector("main").append(line);
        const [path, number] = [...line.children].map((part) => part.getBoundingClientRect());
        return [path.right, number.left];
    }""")
    assert end <= begin


def test_a_text_from_right_to_left_begins_at_the_right(page: Page) -> None:
    enter(page)
    left, middle = page.evaluate("""() => {
        const text = element("p", { class: "text" }, "\\u05e9\\u05dc\\u05d5\\u05dd");
        document.querySelector("main").append(text);
        const range = document.createRange();
        range.selectNodeContents(text);
        const whole = text.getBoundingClientRect();
        return [range.getBoundingClientRect().left, whole.left + whole.width / 2];
    }""")
    assert left > middle
