"""The checkpoint brings an interrupted training back exactly, or not at all; an epoch is told in
one line."""

import numpy as np

from stockml.training.checkpoint import NAME, TrainingProgress, resume, save


def test_a_training_resumes_from_its_own_checkpoint_as_it_was_saved(tmp_path):
    state = [np.ones((3, 2)), np.arange(4), np.float32(np.pi * np.ones(5))]
    arrays = {"state": state, "best": state[:1], "none yet": []}
    saved = TrainingProgress("seed 2", 3, 2, 0.125, [{"epoch": 3, "loss": 0.25}], arrays)
    save(tmp_path, "one", saved)
    found = resume(tmp_path, "one")
    np.testing.assert_equal(vars(found), vars(saved))
    assert [each.dtype for each in found.arrays["state"]] == [each.dtype for each in state]


def test_without_a_checkpoint_or_with_one_that_is_another_trainings_or_damaged_it_begins_anew(
    tmp_path,
):
    assert resume(tmp_path, "one") == TrainingProgress()
    save(tmp_path, "another", TrainingProgress("seed 1", 4))
    assert resume(tmp_path, "one") == TrainingProgress()
    save(tmp_path, "one", TrainingProgress("seed 1", 5))
    assert resume(tmp_path, "one").epoch == 5, "one file, which the newest replaces"
    content = (tmp_path / NAME).read_bytes()
    for damaged in (b"", content[: len(content) // 2], b"no checkpoint"):
        (tmp_path / NAME).write_bytes(damaged)
        assert resume(tmp_path, "one") == TrainingProgress()
