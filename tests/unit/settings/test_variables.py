"""Every variable says what it means, at the place where it is declared."""

import ast
import inspect
from itertools import pairwise

import pytest
from pydantic import BaseModel

from rota.settings.database import DatabaseVariables
from rota.settings.queues import QueueOptions
from rota.settings.redis import RedisVariables
from rota.settings.variables import Variables


@pytest.mark.parametrize("model", [Variables, RedisVariables, DatabaseVariables, QueueOptions])
def test_a_sentence_stands_below_each_field(model: type[BaseModel]) -> None:
    (declared,) = ast.parse(inspect.getsource(model)).body
    assert isinstance(declared, ast.ClassDef)
    for field, below in pairwise([*declared.body, ast.Pass()]):
        if isinstance(field, ast.AnnAssign):
            assert isinstance(below, ast.Expr), ast.unparse(field)
            meaning = ast.literal_eval(below.value)
            assert meaning.endswith("."), meaning
