"""The examples in the rules' descriptions are true."""

import doctest
import importlib
import pkgutil

import pytest

import edge_agent.rules


@pytest.mark.parametrize("name", [module.name for module in pkgutil.iter_modules(edge_agent.rules.__path__)])
def test_examples_are_true(name):
    assert doctest.testmod(importlib.import_module(f"edge_agent.rules.{name}")).failed == 0
