"""Config entries as files: what is written is read back, and anything else is refused or somebody else's."""

from __future__ import annotations

import json

import pytest

from adapters.consul.files import FAMILY, FILES
from adapters.consul.names import entry
from hub.api import ConfigError, FileMark, UnmodelledError, UnsafeResourceError

BODY = b'{"Kind":"service-defaults","Name":"shop_web","Protocol":"http"}'
MARK = FileMark("consul", "route/shop/web", "referenced", "o" * 32, "[]", "Service/shop/web", "d" * 64)


@pytest.mark.parametrize(
    "mark",
    [
        None,
        MARK,
        FileMark("m", "access/shop/web", "grant"),
        FileMark("m", "u", "grant", needs="n" * 4000, origins="ü" * 1000, paused=True),
    ],
)
def test_an_entry_is_read_back_as_it_was_written(mark: FileMark | None) -> None:
    """With its mark, whatever its length; Consul's limits of Meta hold."""
    written = FILES.write(BODY, mark)
    (found,) = FILES.read(written)
    assert (found.ref, found.body, found.mark) == (entry("service-defaults", "shop_web"), BODY, mark)
    meta = json.loads(written).get("Meta", {})
    assert len(meta) <= 64
    assert all(len(key.encode()) <= 128 and len(value.encode()) <= 512 for key, value in meta.items())
    assert (FILES.trace in written) is (mark is not None)


def test_an_edit_of_the_mark_or_beside_it_shows() -> None:
    """Somebody's own Meta is part of the body, and so is what stands in the place of a part of ours."""
    document = json.loads(FILES.write(BODY, MARK))
    document["Meta"] |= {"team": "a", "smihub.io/note": "mine"}
    (found,) = FILES.read(json.dumps(document).encode())
    assert json.loads(found.body)["Meta"] == {"team": "a", "smihub.io/note": "mine"}
    assert found.mark == MARK


def test_a_mark_that_meta_has_no_room_for_is_refused() -> None:
    """Rather than written in part."""
    with pytest.raises(UnsafeResourceError, match="64 pairs"):
        FILES.write(BODY, FileMark("m", "u", "grant", needs="n" * 40_000))


@pytest.mark.parametrize("text", [b"[1]", b"{", b'{"Kind": "a", "Kind": "b"}', b'{"a": NaN}', b"\xff", b"[" * 9000])
def test_texts_that_are_no_entry_are_refused(text: bytes) -> None:
    """With the reason."""
    with pytest.raises(ConfigError):
        FILES.read(text)


def test_names_of_files_tell_their_entry() -> None:
    """Those of every kind that is written; anything else is a name with a digest."""
    for ref in (entry("service-intentions", "shop_api"), entry("service-router", "shop--web")):
        assert FILES.ref(FILES.name(ref)) == ref
    assert FILES.ref("service-intentions_*.json") is None
    assert FILES.ref("mesh_x.json") is None


def test_a_body_of_another_kind_is_not_shown() -> None:
    """Nor bytes that are no object; a note is for people."""
    assert FAMILY.view(BODY, "service-defaults")["Protocol"] == "http"
    for body, kind in ((BODY, "service-router"), (b"[]", "service-router"), (b"\xff", "service-router")):
        with pytest.raises(UnmodelledError):
            FAMILY.view(body, kind)
    assert FAMILY.view(FILES.note("service-defaults", BODY, "paused", "true"), "service-defaults")["Meta"]
    assert FAMILY.view(FILES.note("service-defaults", b"", "gone", "x"), "service-defaults")["gone"] == "x"
