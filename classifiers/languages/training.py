"""Fits a scope's head for other languages from its English rows: the encoder puts a question and its translation near
each other, once what all texts of a language share is taken away."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from classifiers.calibration import threshold_at
from classifiers.languages.contrast import contrasted
from classifiers.languages.encoder import MultilingualEncoder, windows_of
from classifiers.languages.groups import LANGUAGES, OTHER, group_of
from classifiers.languages.model import MATCH, MultilingualHead, Place, centred
from classifiers.languages.prompts import held_out_prompts, training_prompts
from classifiers.names.aliases import LexicalDetector, confirmed
from classifiers.names.ordinary import Alias
from classifiers.svm.fitting import HeadTraining, Rows, fit_head, fit_machine
from classifiers.svm.model import Head
from classifiers.traffic import general_traffic

__all__ = ["FittedLanguages", "fit_languages"]

Array = NDArray[np.float32]
Progress = Callable[[str, int, int], None]

_LEAST_ALPHA = 0.015  # ten of the shipped prompts lie above such a threshold; those are about books and films
_LEANING = 0.1
_MOST_ALPHA = 0.05  # a threshold lies well above the boundary of those that lean
_ENGLISH_STEP = 3  # every third English prompt is enough for negatives
_FOLDS = 5
_CONTRAST = 5.0  # chosen with questions in French, Japanese and Hindi in view
_WORSE = 0.03  # of the forget rows: a head of few points may miss so many more than a machine
_DUPLICATE_COSINE = 0.7  # of centred embeddings: an English prompt so near a forget row is about the scope


@dataclass(frozen=True, slots=True)
class FittedLanguages:
    """A head, the rate `alpha` that its threshold stands for, the shipped prompts (`rows`) that set it, and how many of
    the prompts held out it flags."""

    head: MultilingualHead
    alpha: float
    rows: int
    alarms: int
    held_out_rows: int


def fit_languages(
    *,
    forget: Sequence[str],
    retain: Sequence[str],
    aliases: Sequence[str | Alias],
    encoder: MultilingualEncoder,
    fpr: float,
    seed: int = 0,
    progress: Progress = lambda *_: None,
) -> FittedLanguages:
    """Fits on English rows, on shipped English prompts and on shipped prompts in other languages, and sets the
    threshold by the latter: each is scored by a head that was fitted without it.

    Args:
        forget: English prompts inside the scope.
        retain: English prompts near the scope, but outside.
        aliases: the scope's names: a shipped prompt that holds one is left out.
        encoder: gives the embeddings.
        fpr: the false-positive rate to reach; the shipped prompts allow none below .015, and it is .05 at most.
        seed: of the folds.
        progress: is told a stage, the number of stages done, and of how many.
    """
    progress("read other languages", 0, 3)
    names = LexicalDetector({"scope": aliases})
    outside = {language: _Shipped.of(training_prompts(language), names, encoder) for language in LANGUAGES}
    progress("read English", 1, 3)
    english = _Shipped.of(general_traffic()[::_ENGLISH_STEP], names, encoder)
    rows = _Rows.of(_read(encoder, forget), _read(encoder, retain), english)
    progress("fit on all languages", 2, 3)
    alpha = min(max(fpr, _LEAST_ALPHA), _MOST_ALPHA)
    head, count = _fitted(rows, outside, alpha, seed)
    held_out = {language: _unnamed(held_out_prompts(language), names) for language in LANGUAGES}
    alarms = sum(
        int((head.score(_read(encoder, prompts), language) > MATCH).sum()) for language, prompts in held_out.items()
    )
    progress("other languages ready", 3, 3)
    return FittedLanguages(head, alpha, count, alarms, sum(map(len, held_out.values())))


@dataclass(frozen=True, slots=True)
class _Shipped:
    """Shipped prompts of one language: the embeddings [prompts, hidden] of those that do not name the scope, and the
    mean [hidden] of all. The mean is the same in every scope, and so is a prompt that is centred by it: a gateway with
    many scopes keeps either once."""

    unnamed: Array
    centre: Array

    @classmethod
    def of(cls, prompts: Sequence[str], names: LexicalDetector, encoder: MultilingualEncoder) -> "_Shipped":
        embeddings = _read(encoder, prompts)
        named = np.array([bool(confirmed(verdicts)) for verdicts in names.detect(prompts)])
        return cls(embeddings[~named], np.asarray(embeddings.mean(axis=0), dtype=np.float32))

    @property
    def turned(self) -> Array:
        """[prompts, hidden] centred."""
        return centred(self.unnamed, self.centre)


@dataclass(frozen=True, slots=True)
class _Rows:
    """English embeddings [rows, hidden], centred by the shipped English prompts, and how a head is fitted on them."""

    forget: Array
    retain: Array
    english: Array
    machine: bool = False

    @classmethod
    def of(cls, forget: Array, retain: Array, english: _Shipped) -> "_Rows":
        inside, general = centred(forget, english.centre), english.turned
        far = (general @ inside.T).max(axis=1) < _DUPLICATE_COSINE
        return cls(inside, centred(retain, english.centre) if len(retain) else inside[:0], general[far])

    def fit(self, outside: Array, seed: int) -> Head:
        """A head of these rows and of centred prompts [prompts, hidden] in other languages."""
        none = self.forget[:0]
        traffic = np.concatenate([self.english, outside])
        fit = fit_machine if self.machine else fit_head
        return fit(Rows(self.forget, none), Rows(self.retain, none), traffic, HeadTraining(), seed=seed)

    @property
    def contrast(self) -> float:
        """How much the contrast of the points counts in a score."""
        return _CONTRAST if self.machine else 0.0

    def score(self, head: Head, moved: Array) -> Array:
        """Scores [rows] of centred embeddings [rows, hidden] by a head of these rows."""
        return contrasted(head, self.contrast, moved)

    def left_out(self, outside: Array, seed: int) -> Array:
        """The scores [rows] of forget rows by heads that were fitted without them."""
        folds = np.random.default_rng(seed).permutation(len(self.forget)) % _FOLDS
        scores = np.zeros(len(folds), dtype=np.float32)
        for fold in np.unique(folds) if len(folds) > 1 else ():
            head = replace(self, forget=self.forget[folds != fold]).fit(outside, seed)
            scores[folds == fold] = head.score(self.forget[folds == fold])
        return scores


def _fitted(rows: _Rows, outside: Mapping[str, _Shipped], alpha: float, seed: int) -> tuple[MultilingualHead, int]:
    """A head of few points, if it finds the forget rows that folds leave out as well as a support-vector machine does,
    or that machine. And the number of prompts that set its threshold."""
    few = _calibrated(rows, outside, alpha, seed)
    spared = max(1, round(_WORSE * len(rows.forget)))
    if few.missed <= spared:
        return few.head, few.rows
    many = _calibrated(replace(rows, machine=True), outside, alpha, seed)
    best = few if few.missed <= many.missed + spared else many
    return best.head, best.rows


@dataclass(frozen=True, slots=True)
class _Calibrated:
    """A head, the number of prompts (`rows`) that set its threshold, and how many forget rows that folds leave out lie
    below it: as if they were in a language that nothing is known of."""

    head: MultilingualHead
    rows: int
    missed: int


def _calibrated(rows: _Rows, outside: Mapping[str, _Shipped], alpha: float, seed: int) -> _Calibrated:
    centres = _centres(outside)
    turned = {language: prompts.turned for language, prompts in outside.items()}
    scores_of = _left_out(rows, turned, seed)
    every = np.concatenate(list(turned.values()))
    head = rows.fit(every, seed)
    places = {
        language: Place(centres[language], float(np.median(scores)), float(np.std(scores)))
        for language, scores in scores_of.items()
    }
    deviations = np.concatenate(
        [(scores - places[language].middle) / places[language].spread for language, scores in scores_of.items()]
    )
    matching = threshold_at(alpha, deviations.tolist()).threshold
    leaning = float(np.quantile(deviations, 1 - _LEANING))
    places |= {
        group: _careful(head, centres[group], [outside[one] for one in languages])
        for group, languages in _grouped().items()
    }
    threshold = places[OTHER].middle + matching * places[OTHER].spread
    missed = int((rows.left_out(every, seed) <= threshold).sum())
    learned = MultilingualHead(head, places, leaning, matching, alpha / _LEANING, rows.contrast)
    return _Calibrated(learned, len(deviations), missed)


def _centres(outside: Mapping[str, _Shipped]) -> dict[str, Array]:
    """The centre [hidden] of each language, and of each group the mean of its languages' centres."""
    centres = {language: prompts.centre for language, prompts in outside.items()}
    grouped = {group: np.mean([centres[one] for one in languages], axis=0) for group, languages in _grouped().items()}
    return centres | {group: np.asarray(centre, dtype=np.float32) for group, centre in grouped.items()}


def _grouped() -> dict[str, list[str]]:
    """The shipped languages of each group; `OTHER` has all."""
    groups: dict[str, list[str]] = {}
    for language in LANGUAGES:
        groups.setdefault(group_of(language), []).append(language)
    return groups | {OTHER: list(LANGUAGES)}


def _careful(head: Head, centre: Array, outside: Sequence[_Shipped]) -> Place:
    """The place of a language of a group whose own prompts are not known. Each language of the group is scored as if it
    were that one, with the group's centre, and the highest middle and the widest spread are taken: a language that is
    read too strictly lets questions without a name pass, but one that is read too laxly has its harmless questions
    corrupted, and nobody would see why."""
    scores = [head.score(centred(prompts.unnamed, centre)) for prompts in outside]
    return Place(centre, max(float(np.median(one)) for one in scores), max(float(np.std(one)) for one in scores))


def _left_out(rows: _Rows, turned: Mapping[str, Array], seed: int) -> dict[str, NDArray[np.float64]]:
    """For each language the scores of its prompts by heads that were fitted without them."""
    folds = {
        language: np.random.default_rng(seed).permutation(len(prompts)) % _FOLDS for language, prompts in turned.items()
    }
    scores = {language: np.zeros(len(prompts)) for language, prompts in turned.items()}
    for fold in range(_FOLDS):
        kept = [prompts[folds[language] != fold] for language, prompts in turned.items()]
        head = rows.fit(np.concatenate(kept), seed)
        for language, prompts in turned.items():
            out = folds[language] == fold
            scores[language][out] = rows.score(head, prompts[out])
    return scores


def _read(encoder: MultilingualEncoder, texts: Sequence[str]) -> Array:
    """[texts, hidden] of the first window of each text that has a letter or digit; [0, 0] if none has."""
    windows = [window for text in texts for window in islice(windows_of(text), 1)]
    return encoder.embeddings(windows) if windows else np.zeros((0, 0), dtype=np.float32)


def _unnamed(prompts: Sequence[str], names: LexicalDetector) -> list[str]:
    found = names.detect(prompts)
    return [prompt for prompt, verdicts in zip(prompts, found, strict=True) if not confirmed(verdicts)]
