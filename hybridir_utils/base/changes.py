"""What differs between a record and the present, in words: parameters, code and versions, by name."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

MOST = 3  # modules named one by one
SHORT = 48  # characters of a value
ABSENT = object()


def changed_values(old: Mapping, new: Mapping, kind: str = "") -> list[str]:
    """`alpha 0.5 → 0.3` for every key that differs, inner ones as `settings.scale`; kind goes before each."""
    before, after = _flat(old), _flat(new)
    keys = [key for key in dict.fromkeys((*before, *after)) if before.get(key, ABSENT) != after.get(key, ABSENT)]
    return [f"{kind}{key} {_change(before.get(key, ABSENT), after.get(key, ABSENT))}" for key in keys]


def changed_modules(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """`hybridir_utils/data/batching.py changed`: the first MOST files, then how many more."""
    files = [f"{path} changed" for path in new if path in old and old[path] != new[path]]
    files += [f"{path} newly used" for path in new if path not in old] + [f"{path} no longer used" for path in old if path not in new]
    return files if len(files) <= MOST else [*files[:MOST], f"{len(files) - MOST} more modules changed"]


def changed_versions(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """`version of torch 2.12 → 2.13`."""
    return changed_values(old, new, "version of ")


def _flat(values: Mapping, prefix: str = "") -> dict:
    found = {}
    for key, value in values.items():
        found |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": _plain(value)}
    return found


def _plain(value: object) -> object:
    """As JSON gives it back: tuples are lists, and nan equals itself."""
    return json.loads(json.dumps(value, default=str), parse_constant=str)


def _change(old: object, new: object) -> str:
    """Of long lists, what came and what went; their order alone is told as such."""
    if isinstance(old, list) and isinstance(new, list) and max(len(json.dumps(old)), len(json.dumps(new))) > SHORT:
        moves = [f"+{_shown(item)}" for item in new if item not in old] + [f"−{_shown(item)}" for item in old if item not in new]
        return f"changed ({_cut(' '.join(moves)) or 'another order'})"
    return f"{_shown(old)} → {_shown(new)}"


def _shown(value: object) -> str:
    if value is ABSENT:
        return "nothing"
    if isinstance(value, str) and re.fullmatch("[0-9a-f]{40,64}", value):  # a fingerprint
        return value[:8]
    return _cut(value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False))


def _cut(text: str) -> str:
    return text if len(text) <= SHORT else f"{text[: SHORT - 1]}…"
