"""Writes docs/states.md from the tables of all state machines: `python -m api.state_diagrams`."""

import pkgutil
from importlib import import_module
from pathlib import Path

import api
from api.conventions.states import StateMachine

HEAD = """# States

Every thing of the service desk that has a state has its table once, as a `StateMachine` in the `rules.py` of its room.
This page is made from those tables by `python -m api.state_diagrams`; a test compares the two. The words on the arrows
are the actions; an arrow without one is the wish for that very state.
"""


def machines() -> dict[str, tuple[str, StateMachine]]:
    """All machines by name, each with the module that holds its table."""
    found: dict[str, tuple[str, StateMachine]] = {}
    for module_info in pkgutil.walk_packages(api.__path__, "api."):
        if module_info.name.rpartition(".")[2] != "rules":
            continue
        module = import_module(module_info.name)
        for thing in vars(module).values():
            if isinstance(thing, StateMachine):
                owner, _ = found.setdefault(thing.name, (module_info.name, thing))
                if found[thing.name][1] is not thing:
                    raise ValueError(f"two state machines are called {thing.name}: in {owner} and {module_info.name}")
    return dict(sorted(found.items()))


def page() -> str:
    """The whole page as Markdown."""
    parts = [HEAD]
    for name, (module, machine) in machines().items():
        place = module.replace(".", "/") + ".py"
        parts.append(f"## {name}\n\nTable: `{place}`.\n\n```mermaid\n{machine.diagram()}\n```\n")
        if machine.notes:
            parts.append(machine.notes.strip() + "\n")
    return "\n".join(parts)


if __name__ == "__main__":
    path = Path(__file__).resolve().parents[1] / "docs" / "states.md"
    path.write_text(page(), encoding="utf-8")
