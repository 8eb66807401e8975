"""O3's out-of-distribution detector, trained on forget rows alone with the real sentence encoder."""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harness import ROOT
from sklearn.metrics import roc_auc_score

import classifiers.ood.training
from classifiers.cache import Recent
from classifiers.calibration import TooFewRows
from classifiers.encoder.backbone import Backbone
from classifiers.encoder.sentence import Encoder
from classifiers.encoder.windows import Cut
from classifiers.ood.detector import OodDetector, OodModel
from classifiers.ood.training import OodTraining, TrainedOod, fit_ood
from classifiers.splits import Part, split_rows
from classifiers.traffic import general_traffic
from classifiers.types import Verdict

ROWS = [json.loads(line)["prompt"] for line in (ROOT / "examples/harry-potter/forget.jsonl").open(encoding="utf-8")]
FORGET, INSIDE = ROWS[:70], ROWS[70:]
UNRELATED = general_traffic()[::60]
OPENINGS = [
    "Which pawn moves begin the {} in chess?",
    "Who invented the {}, the chess opening?",
    "Is the {} a good chess opening for beginners?",
    "How does Black answer the {} in a chess game?",
]
CHESS = [
    opening.format(name)
    for name in ("Sicilian Defence", "Queen's Gambit", "Ruy Lopez", "French Defence", "King's Indian", "Caro-Kann")
    for opening in OPENINGS
]


def part(rows: list[str]) -> Part:
    return split_rows(rows, [], seed=0).forget


FILLER = "The committee met on Tuesday to talk over the budget for garden tools. "


@pytest.fixture(scope="session")
def trained(encoder_folder: Path) -> TrainedOod:
    return fit_ood(forget=part(FORGET), encoder_folder=encoder_folder, training=OodTraining(epochs=1))


@pytest.fixture(scope="session")
def chess(encoder_folder: Path) -> TrainedOod:
    return fit_ood(
        forget=part(CHESS), encoder_folder=encoder_folder, training=OodTraining(epochs=3, learning_rate=1e-2)
    )


@pytest.fixture(scope="session")
def plain(encoder_folder: Path) -> TrainedOod:
    """Of the chess scope too, but over the untuned encoder."""
    return fit_ood(forget=part(CHESS), encoder_folder=encoder_folder, training=OodTraining(epochs=0))


@pytest.fixture
def detector(backbone: Backbone, trained: TrainedOod) -> OodDetector:
    return OodDetector(backbone, {"potter": trained.model})


def verdicts(detector: OodDetector, texts: list[str]) -> list[Verdict]:
    found = detector.detect(texts)
    assert all(len(of_text) == 1 for of_text in found)
    return [of_text[0] for of_text in found]


def test_new_questions_on_the_subject_score_above_unrelated_ones(detector: OodDetector) -> None:
    inside, outside = verdicts(detector, INSIDE), verdicts(detector, UNRELATED)
    labels = [1] * len(inside) + [0] * len(outside)
    assert roc_auc_score(labels, [verdict.score for verdict in [*inside, *outside]]) > 0.95
    assert np.mean([verdict.matched for verdict in inside]) > 0.8
    # It was shown nothing from outside: missing few costs false alarms, so the share of hits is what tells them apart.
    assert np.mean([verdict.matched for verdict in outside]) < 0.4
    assert np.mean([verdict.weight for verdict in inside]) > np.mean([verdict.weight for verdict in outside]) + 0.3


def test_forget_rows_themselves_are_flagged_with_nearly_full_weight(detector: OodDetector) -> None:
    """To a plain one-class machine a cosine of 1, which no other text has, would be an anomaly."""
    spelt = [row.lower().rstrip("?.") + " " for row in FORGET]
    for verdict in verdicts(detector, FORGET + [row.upper() for row in FORGET]):
        assert verdict.matched
        assert verdict.weight > 0.9
        assert verdict.score == pytest.approx(1)
    assert all(verdict.matched and verdict.weight > 0.9 for verdict in verdicts(detector, spelt))


def test_a_verdict_names_the_scope_and_its_weight(detector: OodDetector, trained: TrainedOod) -> None:
    (verdict,) = verdicts(detector, FORGET[:1])
    assert (verdict.scope, verdict.detector, verdict.spans) == ("potter", "ood", ())
    assert verdict.threshold == trained.model.threshold
    assert verdict.weight == trained.model.mixture.weight(verdict.score)


def test_the_held_out_rate_is_near_the_one_asked_for(trained: TrainedOod) -> None:
    assert trained.rows == len(FORGET)
    assert trained.rates.forget_rows == 14
    assert trained.rates.fnr is not None
    assert 0 <= trained.rates.fnr < 0.25
    assert trained.missed == OodTraining().missed


def test_no_held_out_row_tunes_or_fits_the_detector_that_is_measured(
    encoder_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuned: list[set[tuple[int, ...]]] = []
    real = classifiers.ood.training.tune_adapter

    def recorded(backbone: Backbone, cuts: Sequence[Cut], *rest: Any, **more: Any) -> Any:
        tuned.append({tuple(cut.ids) for cut in cuts})
        return real(backbone, cuts, *rest, **more)

    monkeypatch.setattr(classifiers.ood.training, "tune_adapter", recorded)
    forget = part(CHESS)
    fit_ood(forget=forget, encoder_folder=encoder_folder, training=OodTraining(epochs=1))
    cutter = Backbone(encoder_folder).cutter
    held = {tuple(cut.ids) for row in forget.held_out for cut in cutter.cuts(row)}
    first, last = tuned
    assert not first & held
    assert held <= last


def test_missing_more_sets_a_higher_threshold(plain: TrainedOod, encoder_folder: Path) -> None:
    lax = fit_ood(forget=part(CHESS), encoder_folder=encoder_folder, training=OodTraining(epochs=0, missed=0.4))
    assert lax.model.threshold > plain.model.threshold


@pytest.mark.parametrize("place", [0, 9, 30])
def test_a_question_anywhere_in_a_long_text_is_found(detector: OodDetector, place: int) -> None:
    needle = " ".join(FORGET[:3]) + " "
    hay, filler = verdicts(detector, [FILLER * place + needle + FILLER * (30 - place), FILLER * 30])
    assert hay.score > filler.score
    assert hay.matched
    assert not filler.matched


@pytest.mark.parametrize("text", ["", " \n\t"])
def test_a_text_without_visible_characters_has_no_verdict(detector: OodDetector, text: str) -> None:
    before, empty, after = detector.detect([FORGET[0], text, UNRELATED[0]])
    assert empty == []
    assert len(before) == len(after) == 1
    assert detector.detect([]) == []


def test_a_score_that_is_no_number_is_a_match(backbone: Backbone, trained: TrainedOod) -> None:
    layers = replace(trained.model.layers, means=trained.model.layers.means * np.float32("nan"))
    broken = OodDetector(backbone, {"potter": replace(trained.model, layers=layers)})
    (verdict,) = verdicts(broken, UNRELATED[:1])
    assert np.isnan(verdict.score)
    assert verdict.matched
    assert verdict.weight == 1


def test_a_saved_model_gives_the_same_verdicts(
    detector: OodDetector, trained: TrainedOod, encoder_folder: Path, tmp_path: Path
) -> None:
    trained.model.save(tmp_path / "ood.safetensors")
    again = OodDetector(encoder_folder, {"potter": OodModel.load(tmp_path / "ood.safetensors")})
    assert [file.name for file in tmp_path.iterdir()] == ["ood.safetensors"]
    assert again.detect(INSIDE + UNRELATED) == detector.detect(INSIDE + UNRELATED)


def test_scopes_over_one_backbone_do_not_see_each_other(
    backbone: Backbone, trained: TrainedOod, chess: TrainedOod, plain: TrainedOod
) -> None:
    models = {"potter": trained.model, "chess": chess.model, "plain": plain.model}
    texts = [*INSIDE[:5], *CHESS[:5], *UNRELATED[:5]]
    together = OodDetector(backbone, models).detect(texts)
    for place, scope in enumerate(models):
        alone = OodDetector(backbone, {scope: models[scope]}).detect(texts)
        assert [found[place] for found in together] == [found[0] for found in alone]
    assert all(found[0].matched and not found[1].matched for found in together[:5])
    assert all(found[1].matched and found[2].matched and not found[0].matched for found in together[5:10])


def test_many_threads_get_the_same_as_one(backbone: Backbone, trained: TrainedOod, chess: TrainedOod) -> None:
    models = {"potter": trained.model, "chess": chess.model}
    texts = [*INSIDE[:12], *CHESS[:12], FILLER * 6]
    expected = [OodDetector(backbone, models).detect([text])[0] for text in texts]
    shared = OodDetector(backbone, models)
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda text: shared.detect([text])[0], texts * 3))
    for got, wanted in zip(found, expected * 3, strict=True):
        assert [verdict.score for verdict in got] == pytest.approx([verdict.score for verdict in wanted], abs=1e-6)
        assert [verdict.matched for verdict in got] == [verdict.matched for verdict in wanted]


def test_remembered_texts_keep_their_verdicts(detector: OodDetector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detector, "_recent", Recent(2))
    texts = [*INSIDE[:3], UNRELATED[0], INSIDE[0]]
    first = detector.detect(texts)
    assert first[0] == first[-1]
    for (again,), (before,) in zip(detector.detect(texts[::-1]), first[::-1], strict=True):
        assert again.score == pytest.approx(before.score, abs=1e-5)  # other batches round otherwise


def test_scoring_leaves_the_sentence_encoder_as_it_was(detector: OodDetector, encoder: Encoder) -> None:
    before = encoder.windows(INSIDE[0])[0].embedding
    detector.detect(INSIDE)
    assert np.array_equal(encoder.windows(INSIDE[0])[0].embedding, before)


def test_a_model_of_another_encoder_is_refused(backbone: Backbone, trained: TrainedOod) -> None:
    layers = replace(trained.model.layers, means=trained.model.layers.means[:-1])
    with pytest.raises(ValueError, match="'potter' was trained on 6 layers of 384 dimensions"):
        OodDetector(backbone, {"potter": replace(trained.model, layers=layers)})


def test_one_seed_one_model(chess: TrainedOod, encoder_folder: Path, tmp_path: Path) -> None:
    def saved(trained: TrainedOod, name: str) -> bytes:
        trained.model.save(tmp_path / name)
        return (tmp_path / name).read_bytes()

    training = OodTraining(epochs=3, learning_rate=1e-2)
    steps: list[str] = []
    again = fit_ood(
        forget=part(CHESS),
        encoder_folder=encoder_folder,
        training=training,
        progress=lambda step, *_: steps.append(step),
    )
    other = fit_ood(forget=part(CHESS), encoder_folder=encoder_folder, training=replace(training, seed=1))
    assert saved(again, "again") == saved(chess, "first")
    assert again.rates == chess.rates
    assert saved(other, "other") != saved(chess, "first")
    assert len(steps) == 4


def test_too_few_rows_are_an_error_that_says_how_many(encoder_folder: Path) -> None:
    copies = [row + " " for row in CHESS[:18]] + CHESS[:18] + ["", "  "]
    forget = Part(every=tuple(copies), train=tuple(copies), held_out=())
    with pytest.raises(TooFewRows, match="at least 19 different forget rows beside those held out, and there are 18"):
        fit_ood(forget=forget, encoder_folder=encoder_folder, training=OodTraining())


@pytest.mark.parametrize(
    "wrong",
    [
        {"missed": 0.0},
        {"nu": 1.0},
        {"masked_share": -0.1},
        {"folds": 1},
        {"rank": 0},
        {"epochs": -1},
        {"learning_rate": 0.0},
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong)).replace("_", ".")):
        OodTraining(**wrong)
