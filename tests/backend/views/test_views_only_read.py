"""Views turn states into numbers and sentences: none of them calls a method of the store that writes."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

from backend import views
from backend.store import Store


def _writers() -> set[str]:
    """The store's methods that open a transaction for writing, as its source has it."""
    public = {name: method for name, method in inspect.getmembers(Store, inspect.isfunction) if not name.startswith("_")}
    return {name for name, method in public.items() if "writing(" in inspect.getsource(method)}


def test_no_view_writes_to_the_store() -> None:
    writers = _writers()
    assert {"append", "create_campaign", "set_machine_labels", "upsert_items"} <= writers
    called = [
        f"{path.name}:{node.lineno} {node.func.value.id}.{node.func.attr}"
        for path in Path(views.__path__[0]).glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in writers
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "store"
    ]
    assert called == []
