"""Exams of networks: what they say, and the small files that a room hands in."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

import sedflow_lab as sl
from sedflow_lab.diagnostics.exam import Exam, grade, read_exams
from sedflow_lab.errors import InputError

EXAM = Exam("Ada", "small", 18_655, 1000, 200, 2.5, 11.1, 0.05, 14, 15, 0.2, 100)


def test_a_grade_repeats_what_run_and_record_say(tiny_bundle):
    posterior = sl.load_posterior(tiny_bundle)
    run = sl.run_calibration(posterior, simulations=24, draws=60)
    exam, record = grade(posterior.bundle, run, "Ada"), posterior.bundle.training["record"]
    assert (exam.name, exam.steps, exam.simulations, exam.galaxies) == ("Ada", 80, 1000, 24)
    assert exam.loss == record["validation_loss"][-1] and exam.seconds == record["seconds"]
    check = run.check()
    assert exam.calibrated == check.uniform.sum() and exam.worst == check.ks.max()
    assert sorted(run.efficiency)[11] <= exam.efficiency <= sorted(run.efficiency)[12]


def test_what_is_handed_in_is_read_again_best_first(tmp_path):
    for name, efficiency in (("Ada", 0.05), ("Émilie du Châtelet", 0.2), ("../Bob", 0.1)):
        path = replace(EXAM, name=name, efficiency=efficiency).save(tmp_path)
        assert path.parent == tmp_path
    replace(EXAM, efficiency=0.01).save(tmp_path)  # Ada hands in again
    exams, strange = read_exams(tmp_path)
    assert [e.name for e in exams] == ["Émilie du Châtelet", "../Bob", "Ada"]
    assert exams[-1].efficiency == 0.01 and strange == []


@pytest.mark.parametrize(
    "change",
    [{"kind": "another"}, {"efficiency": "good"}, {"steps": 1.5}, {"loss": None}, {"more": 1}],
)
def test_files_of_others_are_named_and_do_no_harm(tmp_path, change):
    EXAM.save(tmp_path)
    (tmp_path / "b.json").write_text(json.dumps(EXAM.to_dict() | change))
    (tmp_path / "c.json").write_text("{")
    exams, strange = read_exams(tmp_path)
    assert exams == [EXAM] and strange == ["b.json", "c.json"]


def test_a_room_that_is_not_there_is_told(tmp_path):
    with pytest.raises(InputError, match="There is no folder"):
        read_exams(tmp_path / "none")
    with pytest.raises(InputError, match="There is no folder"):
        EXAM.save(tmp_path / "none")
