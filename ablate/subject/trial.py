"""One run of a subject on trial: trained here, recorded nowhere."""

import logging
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ablate.subject.interface import Dataset, Interrupted, Job, Outcome, Row, Subject
from ablate.subject.scores import Scores
from ablate.subject.settings import Config, Settings

LOG = "log.txt"


@dataclass
class Attempt:
    """What came of training a run in a folder, in which it goes on when it is tried again."""

    folder: Path
    rows: list[Row] = field(default_factory=list)  # the epochs that were trained
    resumed: list[Row] = field(default_factory=list)  # those that had been trained before
    outcome: Scores | Exception = field(default_factory=Scores)
    seconds: float = 0.0

    @property
    def curves(self) -> list[dict[str, object]]:
        """All epochs, without the times that they took."""
        rows = [*self.resumed, *self.rows]
        return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]

    def log_tail(self, n_lines: int) -> list[str]:
        """The last lines of what it has printed."""
        try:
            text = (self.folder / LOG).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return []
        return text.splitlines()[-n_lines:]


def attempt(
    subject: Subject,
    config: Config,
    data: Dataset,
    device: str,
    folder: Path,
    should_stop: Callable[[Attempt], bool] = lambda _: False,
) -> Attempt:
    """Train a run in ``folder``, saving after every epoch, until it ends or ``should_stop``."""
    folder.mkdir(parents=True, exist_ok=True)
    tried = Attempt(folder)
    trainer = subject.trainer(device)
    log = logging.Logger("ablate.trial")
    handler = logging.FileHandler(folder / LOG, encoding="utf-8")
    log.addHandler(handler)
    job = Job(
        run_id="trial",
        title="a run on trial",
        settings=Settings(config.flat()),
        folder=folder,
        data=data,
        report=tried.rows.append,
        resumed=tried.resumed.extend,
        should_stop=lambda: should_stop(tried),
        log=log,
        save_every_s=0.0,
    )
    began = time.monotonic()
    try:
        trainer.begin(job)
        ended: list[tuple[Job, Outcome]] = []
        while not ended:
            ended = trainer.advance()
        ((_, outcome),) = ended
        tried.outcome = outcome if isinstance(outcome, Exception) else outcome()
    except Exception as error:
        tried.outcome = error
    finally:
        tried.seconds = time.monotonic() - began
        if isinstance(tried.outcome, Exception) and not isinstance(tried.outcome, Interrupted):
            log.error("%s", "".join(traceback.format_exception(tried.outcome)))
        handler.close()
    return tried
