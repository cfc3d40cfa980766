"""`latentd search` from end to end: space, judge, trials, confirmation, package."""

from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from tqdm import tqdm

from runtime.atomic import write_atomic
from trainer.data import DataSplit, open_data
from trainer.evaluation.judge import trained_judge
from trainer.recipe import SearchOrigin
from trainer.run_folder import RunFolder
from trainer.search.confirmation import Confirmation, Rematch, fresh_seeds
from trainer.search.crew import Crew
from trainer.search.derived_space import derived_space
from trainer.search.folder import SearchFolder
from trainer.search.objective import HeldOut, Objective, check_images
from trainer.search.progress import describe, trials_bar
from trainer.search.report import render
from trainer.search.results import SearchResults, collect
from trainer.search.search_config import Pruning, SearchConfig
from trainer.search.space import Space, parse_space, read_space, write_value
from trainer.search.study import DEFAULT, SharedStudy
from trainer.signals import StopRequest, stop_on_signals
from trainer.training import Say, TrainRequest, check_name, resolve, train


@dataclass(frozen=True)
class SearchRequest:
    """The command line of `latentd search`.

    Attributes:
        overrides: ``path=value`` each, in order, for every trial.
        name: of the package in the store; None: the recipe's name.
        space: search-space file; None: `trainer.search.derived_space`.
        trials: how many to begin altogether, over all commands on the folder.
        confirm: fresh seeds for the final comparison; 0 leaves it out.
        command: the line that goes on with this search, for messages.
    """

    recipe: str
    run: Path
    store: Path
    overrides: tuple[str, ...]
    name: str | None
    space: Path | None
    objective: Objective
    pruning: Pruning
    seed: int
    trials: int
    workers: int
    confirm: int
    command: str


def find_space(recipe: str, overrides: tuple[str, ...], path: Path | None) -> tuple[dict[str, object], Space]:
    """The search space as a file would hold it, and checked.

    Raises:
        ConfigError: see `parse_space`.
    """
    resolved = resolve(recipe, overrides)
    content = derived_space(resolved) if path is None else read_space(path)
    return content, parse_space(content, resolved, f"--space {path}" if path else f"search space of {recipe}")


def search(request: SearchRequest, say: Say) -> int:
    """Search, or go on searching, and publish the best; the exit code of the signal that stopped it, else 0.

    Raises:
        TrainerError: anything the user can mend, in one sentence.
    """
    content, space = find_space(request.recipe, request.overrides, request.space)
    check_name(request.name or request.recipe)
    recipe, folder = resolve(request.recipe, request.overrides), SearchFolder(request.run)
    data = open_data(recipe.data, RunFolder(folder.trial(DEFAULT).path).images)
    check_images(data)
    config = SearchConfig(
        recipe=request.recipe,
        settings=request.overrides,
        space=content,
        objective=request.objective,
        pruning=request.pruning,
        seed=request.seed,
        data_fingerprint=data.fingerprint(),
    )
    folder.adopt(config)
    real = _measure_real(folder, config, data, say)
    study = SharedStudy(folder, config, space, request.trials)
    with stop_on_signals() as signals:
        return _Search(request=request, config=config, folder=folder, study=study, real=real, say=say).run(
            recipe.seed, signals
        )


def _measure_real(folder: SearchFolder, config: SearchConfig, data: DataSplit, say: Say) -> float:
    """What real images score; trains the judge where nobody has."""
    with folder.locked("judge"):
        if not any(folder.path.glob("judge-*.pt")):
            say(f"training the judge of {len(data.train):,} images, once for all trials")
        real = HeldOut(data, trained_judge(data, folder.path)).real
    return float(getattr(real, config.objective))


class _Search:
    """A search on its way."""

    def __init__(
        self,
        *,
        request: SearchRequest,
        config: SearchConfig,
        folder: SearchFolder,
        study: SharedStudy,
        real: float,
        say: Say,
    ) -> None:
        self._request, self._config, self._folder = request, config, folder
        self._study, self._real, self._say = study, real, say
        self._crew = Crew(request.workers, config)

    def run(self, seed: int, signals: StopRequest) -> int:
        self._try_out(signals)
        if signals.requested:
            return self._stopped(signals)
        best = self._study.best
        if best is None:
            self._write()
            self._say(f"no trial got to its end; the reasons are in {self._folder.report}")
            return 1
        confirmation = None
        if self._request.confirm and best.number != DEFAULT:
            confirmation = self._confirm(best.number, seed, signals)
            if signals.requested:
                return self._stopped(signals)
        self._write(confirmation)
        self._say(verdict(self._study, self._config.objective, self._real, confirmation))
        return self._publish(confirmation)

    def _try_out(self, signals: StopRequest) -> None:
        with trials_bar(self._study, self._config.objective) as bar:

            def look() -> None:
                if bar.update():
                    self._write()

            self._crew.run_trials(self._study, signals, look)

    def _confirm(self, best: int, seed: int, signals: StopRequest) -> Confirmation:
        settings = {number: self._settings(number) for number in (DEFAULT, best)}
        rematch = Rematch(self._folder, self._config, best, settings, fresh_seeds(seed, self._request.confirm))
        folders = [folder for folder, _ in rematch.orders]
        with tqdm(total=len(folders), desc=f"trial {best} against the default with fresh seeds", unit="run") as bar:

            def look() -> None:
                ended = sum(folder.outcome() is not None for folder in folders)
                if ended > bar.n:
                    bar.update(ended - bar.n)

            self._crew.run_all(rematch.orders, signals, look)
        return rematch.result()

    def _publish(self, confirmation: Confirmation | None) -> int:
        """Package the best trial, or the recipe's own settings where those hold their ground."""
        best = self._study.best
        assert best is not None
        default = self._study.default
        holds = confirmation is None or default.value is None or confirmation.holds(self._config.objective)
        chosen = best if holds else default
        origin = SearchOrigin(
            folder=self._folder.path.resolve().name,
            trial=chosen.number,
            trials=sum(trial.state.is_finished() for trial in self._study.all()),
            parameters={each.path: each.value(chosen.params[each.path]) for each in self._study.space.dimensions},
            objective=self._config.objective,
            value=float(chosen.value or 0.0),
            default=default.value,
            confirmed=_mean(confirmation.best if holds else confirmation.default) if confirmation else None,
            confirmed_default=_mean(confirmation.default) if confirmation else None,
        )
        settings = (*self._settings(chosen.number), f"package.search={write_value(origin.model_dump(mode='json'))}")
        order = TrainRequest(
            recipe=self._config.recipe,
            run=self._folder.trial(chosen.number).path,
            store=self._request.store,
            overrides=settings,
            name=self._request.name,
            command=self._request.command,
        )
        with self._folder.locked("package"):
            outcome = train(order, self._say)
            if outcome.package is not None:
                self._write(confirmation, outcome.package.manifest.reference)
        self._say(f"report: {self._folder.report}")
        return outcome.exit_code

    def _settings(self, number: int) -> tuple[str, ...]:
        return (*self._config.settings, *self._study.space.settings(self._study.all()[number].params))

    def _write(self, confirmation: Confirmation | None = None, package: str | None = None) -> None:
        results: SearchResults = collect(self._study, self._config, self._real, confirmation, package)
        write_atomic(self._folder.results, results.to_json().encode())
        write_atomic(self._folder.report, render(results).encode())

    def _stopped(self, signals: StopRequest) -> int:
        ended = sum(trial.state.is_finished() for trial in self._study.all())
        self._say(
            f"stopped after {ended} of {self._study.trials} trials, all saved in {self._folder.path}. To go on:\n"
            f"  {self._request.command}"
        )
        return signals.exit_code


def verdict(study: SharedStudy, objective: Objective, real: float, confirmation: Confirmation | None) -> str:
    """By how much the search beats the recipe's own settings, in words."""
    best, default = study.best, study.default
    assert best is not None
    if best.number == DEFAULT:
        return f"no trial beats the recipe's own settings: held-out {objective} {best.value:.4g}, real {real:.4g}"
    beaten = "the default failed" if default.value is None else f"default {default.value:.4g}"
    lines = [
        f"best: trial {best.number}, held-out {objective} {best.value:.4g} ({beaten}, real {real:.4g})",
        f"  {describe(study, best)}",
    ]
    if confirmation is not None:
        lines.append(f"with fresh seeds: {_numbers(confirmation.best)}, default {_numbers(confirmation.default)}")
        if not confirmation.holds(objective):
            lines.append("the recipe's own settings hold their ground and are the ones that are published")
        elif min(len(confirmation.best), len(confirmation.default)) < 2:
            lines.append("one seed is no proof: --confirm 5 tells more")
        elif confirmation.within_noise:
            lines.append("better, but by less than two standard errors: --confirm 5 tells more")
    return "\n".join(lines)


def _numbers(values: tuple[float, ...]) -> str:
    if not values:
        return "failed"
    each = ", ".join(f"{value:.4g}" for value in values)
    return f"{mean(values):.4g} (of {each})" if len(values) > 1 else each


def _mean(values: tuple[float, ...]) -> float | None:
    return mean(values) if values else None
