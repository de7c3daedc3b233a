"""What any simulated service can be made to do wrong: when a fault acts, which requests it hits, and how often.

A service's own faults are a subclass: KINDS lists them, READERS reads their options from text. A wrong option is
refused, not ignored.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from typing import Any, ClassVar, Self

BEFORE, AFTER = "before", "after"


@dataclass(frozen=True, slots=True)
class AnyFault:
    """The options that every kind takes. `when` "" stands for the kind's own; `path` may hold *."""

    # kind: when it acts unless told otherwise ("" where that is no choice), and the options it takes beside COMMON
    KINDS: ClassVar[Mapping[str, tuple[str, frozenset[str]]]] = {}
    COMMON: ClassVar[frozenset[str]] = frozenset({"kind", "path", "method", "times", "probability", "seed"})
    READERS: ClassVar[Mapping[str, Any]] = {
        "path": str,
        "method": str,
        "times": int,
        "probability": float,
        "seed": int,
        "seconds": float,
        "when": str,
    }
    REPEATED: ClassVar[Mapping[str, str]] = {}
    """Options that may come several times, and the fields that gather them."""

    kind: str
    path: str = "*"
    method: str = ""
    times: int | None = None
    probability: float = 1.0
    seed: int = 0
    seconds: float = 1.0
    when: str = ""

    def __post_init__(self) -> None:
        if self.kind not in self.KINDS:
            raise ValueError(f"no fault is called {self.kind!r}; there are {', '.join(self.KINDS)}")
        self._refuse_foreign_options()
        if not 0 <= self.probability <= 1:
            raise ValueError(f"probability of {self.kind} is {self.probability}; it goes from 0 to 1")
        if self.when not in ("", BEFORE, AFTER):
            raise ValueError(f"when of {self.kind} is {self.when!r}; it is {BEFORE} or {AFTER}")
        if self.seconds < 0 or (self.times is not None and self.times < 1):
            raise ValueError(f"seconds of {self.kind} can't be negative, and times is at least 1")

    def _refuse_foreign_options(self) -> None:
        allowed = self.COMMON | self.KINDS[self.kind][1]
        for field in fields(self):
            if field.name not in allowed and getattr(self, field.name) != field.default:
                takes = ", ".join(sorted(allowed - {"kind"}))
                raise ValueError(f"{self.kind} has no option {field.name}; it takes {takes}")

    @property
    def stage(self) -> str:
        """Return when it acts on a request: before the work, after it, or "" for what changes the work itself."""
        return self.when or self.KINDS[self.kind][0]

    def concerns(self, method: str, path: str) -> bool:
        """Return whether it is for requests of this method and path."""
        return fnmatchcase(path, self.path) and self.method.upper() in ("", method)

    def answer(self) -> Any:
        """Return the answer the fault gives in place of the true one, None if it gives none."""
        return None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `kind` or `kind:option=value,option=value`, or raise ValueError saying what is wrong with it."""
        kind, _, options = text.partition(":")
        pairs = []
        for option in filter(None, options.split(",")):
            name, equals, value = option.partition("=")
            if not equals:
                raise ValueError(f"{option!r} in fault {text!r} should read option=value")
            pairs.append((name.strip(), value.strip()))
        return cls._build(kind.strip(), pairs)

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Read `{"kind": …, "option": …}` or the text form, or raise ValueError; a repeated option may be a list."""
        if isinstance(value, str):
            return cls.parse(value)
        if not isinstance(value, dict) or not isinstance(value.get("kind"), str):
            raise ValueError('a fault is an object with a "kind", or its text form')
        return cls._build(value["kind"], ((name, option) for name, option in value.items() if name != "kind"))

    @classmethod
    def _build(cls, kind: str, pairs: Iterable[tuple[str, Any]]) -> Self:
        options: dict[str, Any] = {}
        for name, value in pairs:
            if name in cls.REPEATED:
                field, named = cls.REPEATED[name], value if isinstance(value, list) else [value]
                options[field] = (*options.get(field, ()), *map(str, named))
            elif name in cls.READERS:
                options[name] = cls._read(name, value)
            else:
                known = ", ".join([*cls.REPEATED, *cls.READERS])
                raise ValueError(f"{kind} has no option {name}; options are {known}")
        return cls(kind, **options)

    @classmethod
    def _read(cls, name: str, value: Any) -> Any:
        try:
            return cls.READERS[name](value)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{name}={value} is not a value for {name}") from error
