"""Contracts as a person reads them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from assay.cli.tables import contract_table
from assay.profile.learn import learn
from assay.profile.relation import profile

random = np.random.default_rng(3)


def test_what_is_between_fields_is_said_and_keys_are() -> None:
    low = random.normal(size=2_000)
    frame = pd.DataFrame(
        {"name": [f"N{i}" for i in range(2_000)], "t_low": low, "t_high": low, "tags": [["a"]] * 2_000}
    )
    text = contract_table(learn(profile(frame, dataset="d")))
    assert "Between fields, counted and never refused:\nt_low = t_high  So in all 2,000 rows; were" in text
    assert "Keys, as it seems:\nname  All different in 2,000 rows." in text
    assert [line for line in text.splitlines() if line.startswith("tags[]") and "missing" in line] == []


def test_what_was_left_out_is_said_once_for_all_fields() -> None:
    frame = pd.DataFrame(random.normal(size=(300, 8)), columns=list("abcdefgh"))
    text = contract_table(learn(profile(frame, dataset="d")))
    assert "required, from 1,000 rows on  a, b, c, d, e and 3 more" in text
    assert text.count("from 1,000 rows on") == 2
