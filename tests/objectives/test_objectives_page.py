"""docs/objectives.md tells the truth, and the room keeps to torch."""

import ast
import doctest
import inspect
import re
import sys
from pathlib import Path

import pytest

import plaudit.objectives as objectives

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "objectives.md").read_text(encoding="utf-8")
ROOM = sorted((ROOT / "src" / "plaudit" / "objectives").glob("*.py"))
NUMBER = re.compile(r"-?\d+\.\d+(?:e-?\d+)?")


class Rounded(doctest.OutputChecker):
    """Numbers agree when they agree to the three decimals that the page shows."""

    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        def rounded(text: str) -> str:
            return NUMBER.sub(lambda match: f"{float(match[0]):.3f}".replace("-0.000", "0.000"), text)

        return super().check_output(rounded(want), rounded(got), optionflags)


def examples() -> str:
    return "\n".join(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL))


def test_the_examples_print_what_the_page_says() -> None:
    test = doctest.DocTestParser().get_doctest(examples(), {}, "objectives.md", None, 0)
    assert len(test.examples) > 30
    report: list[str] = []
    failed, _ = doctest.DocTestRunner(checker=Rounded()).run(test, out=report.append)
    assert not failed, "".join(report)


def test_a_wrong_number_on_the_page_would_be_noticed() -> None:
    wrong = examples().replace("[0.693, 0.127, 1.127]", "[0.693, 0.128, 1.127]")
    assert wrong != examples()
    test = doctest.DocTestParser().get_doctest(wrong, {}, "objectives.md", None, 0)
    failed, _ = doctest.DocTestRunner(checker=Rounded()).run(test, out=lambda _: None)
    assert failed == 1


def plain_signature(function: object) -> str:
    """The call as the page writes it: names and defaults without annotations."""
    signature = inspect.signature(function)  # type: ignore[arg-type]
    parameters = [p.replace(annotation=inspect.Parameter.empty) for p in signature.parameters.values()]
    bare = signature.replace(parameters=parameters, return_annotation=inspect.Signature.empty)
    return f"{function.__name__}{bare}"  # type: ignore[attr-defined]


def test_every_function_has_a_heading_with_its_true_signature() -> None:
    headings = re.findall(r"^### `(.+)`$", PAGE, re.MULTILINE)
    public = [getattr(objectives, name) for name in objectives.__all__]
    functions = [f for f in public if callable(f) and f is not objectives.KLController]
    assert sorted(headings) == sorted(plain_signature(f) for f in functions)


def test_every_name_is_on_the_page_and_every_function_in_the_table() -> None:
    table = "\n".join(line for line in PAGE.splitlines() if line.startswith("| `"))
    for name in objectives.__all__:
        assert f"`{name}" in PAGE, name
        if name != "KLController" and callable(getattr(objectives, name)):
            assert f"`{name}`" in table, name


@pytest.mark.parametrize("name", sorted(set(objectives.__all__) - {"EXACT_TIES"}))
def test_every_public_name_says_what_it_is(name: str) -> None:
    assert (inspect.getdoc(getattr(objectives, name)) or "").strip()


@pytest.mark.parametrize("path", ROOM, ids=lambda path: path.name)
def test_the_room_imports_torch_and_nothing_of_ours(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    modules = [a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names]
    modules += [n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)]
    for module in modules:
        root = module.split(".")[0]
        assert root == "torch" or root in sys.stdlib_module_names or module.startswith("plaudit.objectives")
