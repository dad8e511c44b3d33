"""The page and the written file in a real browser: text in, coloured entities out, types switched."""

from __future__ import annotations

import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs the extra serve")
pytest.importorskip("selenium", reason="needs the extra fulltest")

import uvicorn
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from bioner_fast.data.document import Document, Entity, Passage
from bioner_fast.formats.registry import open_writer
from bioner_fast.serve import ServeSettings, create_app
from bioner_fast.tagging.tagger import Tagger

_WAIT = 60


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        if "fulltest" in os.environ.get("BIONER_EXTRAS", "").split(","):
            pytest.fail("there is no chromium and chromedriver")
        pytest.skip("no chromium and chromedriver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=400,800"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    found = webdriver.Chrome(options, webdriver.ChromeService(driver))
    yield found
    found.quit()


@pytest.fixture(scope="module")
def address(tagger: Tagger) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    application = create_app(tagger, ServeSettings(token="secret"))
    server = uvicorn.Server(uvicorn.Config(application, port=port, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + _WAIT
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.05)
    yield f"http://127.0.0.1:{port}/"
    server.should_exit = True
    thread.join(_WAIT)


def _message(browser: Any, part: str) -> None:
    WebDriverWait(browser, _WAIT).until(lambda b: part in b.find_element(By.ID, "message").text)


def test_page_tags_what_is_pasted(browser: Any, address: str, tagger: Tagger) -> None:
    text = "Familial breast cancer <img src=x onerror=alert(1)> and Crohn disease in Sjögren syndrome"
    (expected,) = tagger.tag([text])
    browser.get(address)
    area = browser.find_element(By.ID, "text")
    area.clear()
    area.send_keys(text)
    browser.find_element(By.ID, "go").click()
    _message(browser, "Bearer TOKEN")
    browser.find_element(By.ID, "token").send_keys("secret")
    browser.find_element(By.ID, "go").click()
    _message(browser, "entit")
    shown = browser.find_element(By.CSS_SELECTOR, "#result .bf-text")
    assert shown.get_property("textContent") == text
    assert len(shown.find_elements(By.CSS_SELECTOR, "mark:not(.bf-cut)")) == len(expected.entities)
    assert not browser.find_elements(By.CSS_SELECTOR, "#result img")
    # Nothing lies beside the narrow window.
    assert browser.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
    # What is refused above (401) is logged too; the policy of the page itself must not complain.
    complaints = [entry["message"] for entry in browser.get_log("browser")]
    assert not [message for message in complaints if "Content Security Policy" in message]


def test_types_and_scores_are_switched_in_a_written_page(browser: Any, tmp_path: Path) -> None:
    text = "BRAF in melanoma"
    entities = [Entity(0, 4, "gene", "BRAF", score=0.9), Entity(8, 16, "disease", "melanoma", score=0.4)]
    path = tmp_path / "out.html"
    with open_writer(path) as writer:
        for number in range(2000):
            writer.write(Document(str(number), [Passage(text, entities=entities)]))
    browser.get(path.as_uri())

    def off() -> int:
        return len(browser.find_elements(By.CSS_SELECTOR, "mark.bf-off"))

    assert len(browser.find_elements(By.CSS_SELECTOR, "main mark")) == 4000
    assert off() == 0
    (gene,) = browser.find_elements(By.CSS_SELECTOR, "button[data-t=gene]")
    assert gene.text == "gene 2,000"
    gene.click()
    assert off() == 2000
    assert gene.get_attribute("aria-pressed") == "false"
    slider = browser.find_element(By.ID, "score")
    browser.execute_script("arguments[0].value = 0.5; arguments[0].oninput()", slider)
    assert off() == 4000
    gene.click()
    assert off() == 2000
    assert browser.find_element(By.ID, "least").text == "0.50"
