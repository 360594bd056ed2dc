"""The texts below the attributes of a model, read from its source.

Pydantic can collect them too (`use_attribute_docstrings`), but at every import, and only schemas and pages show them.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import textwrap
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel


def attribute_docs(model: type[BaseModel]) -> dict[str, str]:
    """The text below each attribute of a class, by the attribute's name; those of its bases included."""
    found: dict[str, str] = {}
    for base in reversed(model.__mro__):
        if issubclass(base, BaseModel) and base is not BaseModel:
            found |= _own_docs(base)
    return found


def describe_schema(schema: dict[str, Any], model: type[BaseModel]) -> None:
    """Add these texts to a JSON schema that pydantic made of a model, as the descriptions of its properties."""
    for part in _parts(model, set()):
        described = schema if part is model else schema.get("$defs", {}).get(part.__name__)
        if described is None:
            continue
        texts = attribute_docs(part)
        for name, field in part.model_fields.items():
            entry = described["properties"].get(field.alias or name)
            if entry is not None and name in texts:
                entry.setdefault("description", texts[name])


def _own_docs(model: type[BaseModel]) -> dict[str, str]:
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(model))).body
    body = definition.body if isinstance(definition, ast.ClassDef) else []
    return {
        attribute.target.id: inspect.cleandoc(text.value.value)
        for attribute, text in itertools.pairwise(body)
        if isinstance(attribute, ast.AnnAssign)
        and isinstance(attribute.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }


def _parts(annotation: Any, seen: set[Any]) -> Iterator[type[BaseModel]]:
    """A model and all models that its fields contain."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if annotation in seen:
            return
        seen.add(annotation)
        yield annotation
        for field in annotation.model_fields.values():
            yield from _parts(field.annotation, seen)
    for inner in get_args(annotation):
        yield from _parts(inner, seen)
