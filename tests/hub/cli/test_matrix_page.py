"""The page of `smihub matrix -o html`, in a browser: looked at, filtered, and used without a mouse."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hub.cli.matrix_page import page_of
from hub.matrix import matrix_of
from tests.hub.matrix.seeing import PODS, seeing_text
from tests.servers.browser import Page, browser
from tests.servers.readings import ISTIO, LINKERD

GRANT = """\
apiVersion: access.smi-spec.io/v1alpha3
kind: TrafficTarget
metadata: {name: t-%s, namespace: d}
spec:
  destination: {kind: ServiceAccount, name: %s, namespace: d}
  sources: [{kind: ServiceAccount, name: %s, namespace: d}]
  rules: [{kind: HTTPRouteGroup, name: r}]
---
"""
ROUTES = """\
apiVersion: specs.smi-spec.io/v1alpha4
kind: HTTPRouteGroup
metadata: {name: r, namespace: d}
spec: {matches: [{name: m, methods: [GET], pathRegex: "/v[0-9]+/x"}]}
---
"""
MARKUP = ROUTES.replace("}]}", ", headers: {x-a: <i>x</i>}}]}")
POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: app-%d, namespace: d}\nspec: {serviceAccountName: app-%d, containers: [{name: a, ports: [{containerPort: 8080}]}]}\n---\n"


def page(text: str) -> str:
    """The page of a YAML text."""
    return page_of({"": matrix_of(seeing_text(text, (ISTIO, LINKERD)))})


def test_the_page_asks_no_server_and_runs_no_script_but_its_own() -> None:
    """Nothing is loaded, and nothing that users wrote can become markup."""
    found = page(PODS + GRANT % ("a", "api", "web") + ROUTES.replace("}]}", ", headers: {x-a: </script><b>}}]}"))
    assert "default-src 'none'" in found
    assert not re.search(r"(?:src|href)\s*=|https?://|@import|url\(", found)
    assert found.count("</script>") == 2
    assert "<b>" not in found


@pytest.fixture(name="shown", scope="module")
def shown_page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Page, Path]]:
    """A browser, and a folder for files."""
    folder = tmp_path_factory.mktemp("browser")
    with browser(folder / "profile") as found:
        yield found, folder


def _open(shown: tuple[Page, Path], text: str) -> Page:
    opened, folder = shown
    (folder / "matrix.html").write_text(page(text), encoding="utf-8")
    opened.open(folder / "matrix.html")
    assert opened.errors() == []
    return opened


def _labels(opened: Page) -> list[str]:
    found: list[str] = opened.run("return [...document.querySelectorAll('td')].map((each) => each.ariaLabel)")
    return found


def _set(opened: Page, name: str, value: Any) -> None:
    field = "checked" if isinstance(value, bool) else "value"
    text = str(value).lower() if isinstance(value, bool) else f"'{value}'"
    opened.run(
        f"const it = document.getElementById('{name}'); it.{field} = {text}; it.dispatchEvent(new Event('input'))"
    )


@pytest.mark.browser
def test_cells_say_what_is_allowed_in_signs_and_in_words(shown: tuple[Page, Path]) -> None:
    """Without colours, and for screen readers; the view of a mesh has its own words."""
    opened = _open(shown, PODS + GRANT % ("a", "api", "web") + ROUTES)
    assert _labels(opened) == ["d/web to d/api: part allowed, a mesh differs"]
    assert opened.run("return document.querySelector('td').textContent") == "◐≠"
    _set(opened, "by", "istio")
    assert opened.run("return document.querySelector('td').textContent") == "≠"
    _set(opened, "by", "linkerd")
    assert opened.run("return document.querySelector('td').textContent") == "◐"
    _set(opened, "empty", True)
    assert len(_labels(opened)) == 4 * 3


@pytest.mark.browser
def test_it_works_with_the_keyboard_alone(shown: tuple[Page, Path]) -> None:
    """Arrows move, Enter opens, Escape closes and goes back to the cell."""
    opened = _open(shown, PODS + GRANT % ("a", "api", "old") + GRANT % ("b", "api", "web") + MARKUP)
    opened.run("document.querySelector('td').focus()")
    opened.press("down", "enter")
    assert opened.run("return document.querySelector('aside h2').textContent") == "d/web → d/api"
    text = opened.run("return document.querySelector('aside').innerText")
    assert "istio.path-not-expressible" in text
    assert 'x-a: "<i>x</i>"' in text, "what users wrote is text"
    assert "smihub explain --batch -" in text
    opened.press("escape")
    assert opened.run("return document.getElementById('detail').hidden")
    assert opened.run("return document.activeElement.ariaLabel").startswith("d/web to d/api")


@pytest.mark.browser
def test_filters_leave_what_was_asked_for(shown: tuple[Page, Path]) -> None:
    """By names of callers and receivers, and by differences; what matches nothing says so."""
    opened = _open(shown, PODS + GRANT % ("a", "api", "web") + GRANT % ("b", "old", "api") + ROUTES)
    assert len(_labels(opened)) == 4
    _set(opened, "from", "WEB")
    assert [each.partition(":")[0] for each in _labels(opened)] == ["d/web to d/api"]
    _set(opened, "from", "nobody")
    assert "No caller and receiver match" in opened.run("return document.getElementById('grid').innerText")


@pytest.mark.browser
def test_two_hundred_identities_can_be_used(shown: tuple[Page, Path]) -> None:
    """All cells are there, the names stay in view, and a filter answers at once."""
    grants = "".join(GRANT % (number, f"app-{number}", f"app-{number * 7 % 200}") for number in range(200))
    pods = "".join(POD % (number, number) for number in range(200))
    opened = _open(shown, pods + grants + ROUTES)
    _set(opened, "empty", True)
    assert len(_labels(opened)) == 201 * 200
    opened.run("document.getElementById('grid').scrollTo(3000, 3000)")
    assert opened.run("return document.querySelector('tbody th').getBoundingClientRect().left") >= 0
    assert opened.run("return document.querySelector('thead th:nth-child(2)').getBoundingClientRect().top") > 0
    opened.run("document.querySelector('tbody').rows[30].cells[30].focus()")
    opened.press(*["up"] * 25, *["left"] * 25)
    sides = "{top: inner.top - head.bottom, left: inner.left - name.right}"
    found = opened.run(
        "const [inner, head, name] = [document.activeElement, document.querySelector('thead th'), document.querySelector('tbody th')]"
        f".map((each) => each.getBoundingClientRect()); return {sides}"
    )
    assert min(found.values()) >= -1, "the cell is not under the names"
    _set(opened, "from", "app-19")
    assert len(_labels(opened)) == 11 * 200
