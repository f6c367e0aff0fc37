"""What layers, losses, optimizers, schedules and initializers have in common: how they are shown and kept in files."""

from __future__ import annotations

from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Generic, TypeVar, cast


class Part:
    """A frozen dataclass whose fields are its arguments, as checked."""

    def __repr__(self) -> str:
        """The call that makes it: the first argument, and what differs from the defaults."""
        shown = []
        for place, field in enumerate(sorted(fields(self), key=lambda field: bool(field.kw_only))):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            default = value == field.default if field.default is not MISSING else False
            if place == 0 and not field.kw_only:
                shown.append(repr(value))
            elif not default and field.name not in self._implied():
                shown.append(f"{field.name}={value!r}")
        return f"{type(self).__name__}({', '.join(shown)})"

    def _implied(self) -> tuple[str, ...]:
        """Names of arguments whose values stand for the defaults too."""
        return ()

    def _store(self, **checked: Any) -> None:
        """Put checked values, as Python's own types, in place of what was given."""
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    def described(self) -> Any:
        """What JSON can write, from which `construct` makes the same: the class and the arguments."""
        return {"class": type(self).__name__, **{f.name: _described(getattr(self, f.name)) for f in fields(self)}}  # type: ignore[arg-type]


P = TypeVar("P", bound=Part)
Class = TypeVar("Class", bound=type[Part])
PARTS: dict[str, type[Part]] = {}  # the classes of all registries: a file may name these and no others


class Registry(dict[str, type[P]], Generic[P]):
    """The classes of one kind of part by their names, in the order in which they were defined.

    A class joins by the decorator `register` in its own file. What is public, what files may name, and of what the
    tests and the documentation must have a row, follow from that.
    """

    def register(self, part: Class) -> Class:
        """Add a class, and return it. Raises ValueError if another class has its name, of whatever kind."""
        name = part.__name__
        known = PARTS.get(name, part)
        if (known.__module__, known.__qualname__) != (part.__module__, part.__qualname__):
            raise ValueError(f"a part must have a name of its own, got a second class {name!r}")
        PARTS[name] = part
        self[name] = cast(type[P], part)
        return part


class Custom:
    """A part of the user's own, which files know by its name alone."""

    name: str

    def described(self) -> Any:
        return {"custom": self.name}

    def __copy__(self) -> Any:  # what is compiled for it is never let go
        return self

    def __deepcopy__(self, memo: Any) -> Any:
        return self


def _described(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_described(part) for part in value]
    return value.described() if hasattr(value, "described") else value


def construct(description: Any, custom: dict[str, Any], kind: type = object) -> Any:
    """The part that `described` described, an instance of `kind`.

    custom: the user's own parts, by their names. Raises ValueError for a class that no registry has.
    """
    if isinstance(description, list):
        return tuple(construct(part, custom) for part in description)
    if not isinstance(description, dict):
        return description
    if "custom" in description:
        return custom[description["custom"]]
    arguments = dict(description)
    name = arguments.pop("class")
    if name not in PARTS or not issubclass(PARTS[name], kind):
        raise ValueError(f"unknown class {name!r}")
    return PARTS[name](**{name: construct(value, custom) for name, value in arguments.items()})


def custom_parts(thing: Any) -> dict[str, Any]:
    """The user's own parts within a part, by name."""
    if isinstance(thing, Custom):
        return {thing.name: thing}
    if isinstance(thing, tuple):
        return {n: part for inside in thing for n, part in custom_parts(inside).items()}
    if isinstance(thing, Part) and is_dataclass(thing):
        return {n: part for field in fields(thing) for n, part in custom_parts(getattr(thing, field.name)).items()}
    return {}
