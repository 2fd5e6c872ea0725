"""Validation errors in plain English, at the key that the user wrote."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from dpa_sse.ops.core.suggest import did_you_mean
from dpa_sse.pipeline.config.breach import Breach
from dpa_sse.pipeline.config.fields import section_keys, section_models, suggestion, unit_of
from dpa_sse.pipeline.config.problems import KeyPath
from dpa_sse.pipeline.config.sections import NAME_RULE, PROJECT_NAME, ProjectSections

MAX_WORDS = 20
"""Words of a text that was meant to be a list."""
MAX_FAULTS = 200
"""Faults of one file that are examined: explaining thousands takes longer than correcting the first ones."""
SHARES = ("strain", "frame_strain", "test", "validation", "site_disorder", "conv_accuracy", "min_success_ratio")
"""Keys whose values are shares, for people who write per cent."""
BOOLEAN_WORDS = {"yes": True, "on": True, "y": True, "no": False, "off": False, "n": False}


class Fault(NamedTuple):
    """One fault of the data: its path, its kind (pydantic's name for it), and a message for the user."""

    path: KeyPath
    kind: str
    message: str
    depends_on: tuple[KeyPath, ...] = ()


def faults(error: ValidationError, data: Any, root: type[BaseModel] = ProjectSections) -> list[Fault]:
    """Return the faults of ``data`` that a validation error reports, one per place and cause.

    ``root`` is the class that the data were to become.
    """
    found: dict[tuple[KeyPath, str], Fault] = {}
    wanted: dict[KeyPath, list[str]] = {}
    for detail in error.errors(include_url=False)[:MAX_FAULTS]:
        if detail["type"] == "sections":
            for breach in detail["ctx"]["rules"][:MAX_FAULTS]:
                found[(breach.path, breach.message)] = _of_breach(breach)
            continue
        path = written_path(detail, data)
        few = detail["type"] == "missing" and isinstance(detail["loc"][-1], int)  # a triple with two entries
        fault = Fault(path, "too_few" if few else detail["type"], _message(detail, path, data, root))
        if detail["type"] in _WANTED:
            kinds = wanted.setdefault(path, [])
            kinds.append(_WANTED[detail["type"]])
            fault = fault._replace(message=_wrong_type(kinds, path, detail["input"]))
            found[(path, "type")] = fault
        else:
            found.setdefault((path, fault.message), fault)
    return list(found.values())


def _of_breach(breach: Breach) -> Fault:
    return Fault(breach.path, "sections", breach.message, breach.depends_on)


def written_path(detail: ErrorDetails, data: Any) -> KeyPath:
    """Return the path of an error as the user wrote it, without pydantic's names for alternatives."""
    path: list[str | int] = []
    value: Any = data
    for index, part in enumerate(detail["loc"]):
        if isinstance(value, dict) and part in value:
            path.append(part)
            value = value[part]
        elif isinstance(value, list) and isinstance(part, int):
            if part >= len(value):
                break  # the list is too short: blame the list itself
            path.append(part)
            value = value[part]
        elif detail["type"] == "missing" and index == len(detail["loc"]) - 1:
            path.append(part)
    if detail["type"] in ("union_tag_not_found", "union_tag_invalid"):
        path.append(str(detail["ctx"]["discriminator"]).strip("'"))
    if detail["type"] == "value_error" and isinstance(value, dict):
        named = [key for key in re.findall(r"\w+", detail["msg"]) if key in value]
        path += named[:1]
    return tuple(path)


_WANTED = {
    "int_type": "a whole number", "int_parsing": "a whole number", "int_from_float": "a whole number",
    "int_parsing_size": "a smaller whole number",
    "float_type": "a number", "float_parsing": "a number",
    "bool_type": "true or false", "bool_parsing": "true or false",
    "string_type": "text", "list_type": "a list", "tuple_type": "a list", "dict_type": "a section of keys and values",
    "model_type": "a section of keys and values", "model_attributes_type": "a section of keys and values",
    "finite_number": "a finite number",
}


def show(value: Any) -> str:
    """Return a value as it is written in a file, shortened."""
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a section"
    if isinstance(value, list):
        return "a list"
    text = repr(value) if isinstance(value, str) else f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _wrong_type(kinds: list[str], path: KeyPath, value: Any) -> str:
    """Return what is expected and what was given, with advice on the most common slips."""
    wanted = " or ".join(dict.fromkeys(kinds))
    if value is None:
        return f"must be {wanted}; no value is given (leave the key out to use the default)"
    message = f"must be {wanted}, not {show(value)}"
    if wanted == "text" and isinstance(value, (bool, int, float)):
        return f'must be text; put it in quotes: "{show(value)}"'
    if wanted == "a list":
        return message + _list_advice(value, path)
    if wanted == "a section of keys and values" and isinstance(value, str):
        return message + _section_advice(value, path)
    if wanted.endswith("number") and isinstance(value, str):
        return f"{message}; {_number_advice(value, path)}" if _number_advice(value, path) else message
    return message


def _list_advice(value: Any, path: KeyPath) -> str:
    """Return how to write the list that was meant: of the words of a text, or of one value."""
    if path[-1:] == ("supercell",):
        counts = [int(one) for one in re.findall(r"\d+", str(value))]
        return f"; write {counts if len(counts) == 3 else counts * 3}" if len(counts) in (1, 3) else ""
    words = re.split(r"[\s,;]+", value.strip()) if isinstance(value, str) else [show(value)]
    simple = len(words) <= MAX_WORDS and all(re.fullmatch(r"[\w./+-]{1,20}", word) for word in words)
    return f"; write [{', '.join(words)}]" if simple else ""


def _section_advice(value: str, path: KeyPath) -> str:
    """Return what to write instead of a name: a labeler, a system."""
    if path == ("labeler",):
        return _calculator(value)
    if path[:1] == ("systems",) and len(path) == 2 and re.fullmatch(r"[\w.+/-]{1,40}", value):
        return f"; write {{name: {re.sub(r'.*/|[.].*', '', value) or 'a'}, structure: {value}}}"
    return ""


def _number_advice(value: str, path: KeyPath) -> str:
    """Return how to turn a text into the number that was meant."""
    if re.fullmatch(r"[-+]?[0-9.]+([eE][-+]?[0-9]+)?", value):
        return "remove the quotes"
    if re.fullmatch(r"[-+]?[0-9]+,[0-9]+", value):
        return "use a decimal point"
    if re.fullmatch(r"[-+]?[0-9.]+([eE][-+]?[0-9]+)? *[A-Za-z/%]+", value):
        key = next((part for part in reversed(path) if isinstance(part, str)), "")
        unit = unit_of(key)
        return "write only the number" + (f", in {unit}" if unit else "")
    return ""


def _missing(path: KeyPath, data: Any, root: type[BaseModel]) -> str:
    """Return that a key is missing, and what it means: its description, or what the schema knows about it."""
    key = str(path[-1])
    field = (section_keys(path[:-1], data, root) or {}).get(key)
    text = field.description if field is not None else None
    if text is None and section_models(path, data, root):
        needed = [name for name, inner in (section_keys(path, data, root) or {}).items() if inner.is_required()]
        text = f"a section with {' and '.join(needed)}" if needed else None
    if text is None and unit_of(key):
        text = f"{'numbers' if key.partition('_')[0].endswith('s') else 'a number'} in {unit_of(key)}"
    if text and text[1:2].islower():  # not an abbreviation
        text = text[0].lower() + text[1:]
    return "is missing" + (f": {text.rstrip('.')}" if text else "")


def _limit(detail: ErrorDetails, path: KeyPath) -> str:
    name, comparison = _LIMITS[detail["type"]]
    key = next((part for part in reversed(path) if isinstance(part, str)), "")
    unit = unit_of(key)
    unit_text = f" {unit}" if unit else ""
    text = f"must be {comparison} {detail['ctx'][name]:g}{unit_text}, not {show(detail['input'])}"
    return text + _slip(key, detail["type"], detail["input"])


def _slip(key: str, kind: str, value: Any) -> str:
    """Return what a value outside its limits was probably meant to be: another unit."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return ""
    if key.startswith("timestep") and kind == "greater_than_equal" and value >= 1e-4:
        return f"; LAMMPS (units metal) counts in ps: {value:g} ps = {1000 * value:g} fs"
    if key == "extrapolate_to_K" and kind == "greater_than_equal":
        return f"; {value:g} degrees Celsius are {value + 273.15:g} K" if value > -100 else ""
    if kind in ("less_than", "less_than_equal") and key in SHARES and 1 < value <= 100:
        return f"; it is a share: {value:g} % is {value / 100:g}"
    return ""


_LIMITS = {
    "greater_than": ("gt", "larger than"), "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "smaller than"), "less_than_equal": ("le", "at most"),
}


def _length(detail: ErrorDetails) -> str:
    few = detail["type"].endswith("too_short")
    wanted = detail["ctx"]["min_length" if few else "max_length"]
    if few and not detail["input"]:
        return "must not be empty"
    amount = f"at {'least' if few else 'most'} {wanted} {'entry' if wanted == 1 else 'entries'}"
    return f"must have {amount}, not {len(detail['input'])}"


def _choice(expected: str, value: Any) -> str:
    choices = re.findall(r"'([^']*)'", expected)
    return f"must be {_either(choices)}, not {show(value)}{did_you_mean(str(value), choices)}"


def _calculator_kind(path: KeyPath, word: object) -> str:
    """Return how to write a calculator that was taken for a kind of labeler."""
    return _calculator(str(word)) if path[-1:] == ("kind",) else ""


def _calculator(word: str) -> str:
    from dpa_sse.ops.labelers.registry import LABELERS
    from dpa_sse.ops.labelers.settings import CALCULATORS, PROGRAMS

    found = CALCULATORS.get(word.lower())
    if found:
        return f"; write {{kind: ase, calculator: {found}}}"
    kind = PROGRAMS.get(word.lower(), word.lower())
    return f"; write {{kind: {kind}}}" if kind in LABELERS else ""


def _either(choices: list[str]) -> str:
    """Return ``'a', 'b' or 'c'``."""
    quoted = [repr(one) for one in choices]
    return " or ".join([", ".join(quoted[:-1]), quoted[-1]] if quoted[1:] else quoted)


def _message(detail: ErrorDetails, path: KeyPath, data: Any, root: type[BaseModel]) -> str:
    """Return what is wrong, for the kinds of errors that are not simply a wrong type."""
    kind = detail["type"]
    context: dict[str, Any] = detail.get("ctx") or {}
    message = detail["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    if kind == "extra_forbidden":
        hint = suggestion(path, data, root)
        message = "unknown key" + (f" - {hint}" if hint else "")
    elif kind == "missing" and isinstance(detail["loc"][-1], int):
        message = "must have 3 entries, e.g. [1, 1, 1]"
    elif kind == "missing":
        message = _missing(path, data, root)
    elif kind in _LIMITS:
        message = _limit(detail, path)
    elif kind in ("too_short", "too_long"):
        message = _length(detail)
    elif kind == "string_pattern_mismatch":
        allowed = NAME_RULE if context["pattern"] == PROJECT_NAME else (
            "at most 64 letters, digits and . _ + -, starting with a letter or digit")
        message = f"{show(detail['input'])} cannot be used in file names: use {allowed}"
    elif kind == "literal_error":
        message = _choice(context["expected"], detail["input"])
    elif kind == "union_tag_invalid":
        message = _choice(context["expected_tags"], context["tag"]) + _calculator_kind(path, context["tag"])
    elif kind == "union_tag_not_found":
        kinds = [model.model_fields["kind"].default for model in section_models(path[:-1], data, root)]
        message = f"is missing: one of {', '.join(map(repr, kinds))}"
    return message
