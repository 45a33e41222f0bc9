"""The sEMG recorded with the movement that a board plays, as the envelope the model was taught.

`myowave virtual --link PATH` puts a link `PATH.recording` to the recording beside its port, so that
`myowave monitor PORT` can show what the muscle did beside what the model says.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from myowave.envelope import Reference, recording_envelope
from myowave.errors import RecordingError
from myowave.model_card import ModelCard
from myowave.recording import RATE_HZ, Recording

LINK_SUFFIX = ".recording"
# As `check` judges a day the card has no reference for.
CALIBRATION = "calibration:60:99"


def recording_beside(port: str | Path) -> Path:
    """Return where the link to the recording of a virtual board at `port` stands, if it does."""
    return Path(f"{port}{LINK_SUFFIX}")


class RecordedEmg:
    """Recorded envelopes by tick of the board that plays them.

    The envelope has the filters, the delay and the amplitude reference of the model's training
    target. A subject or day without a reference in the card gets one from this recording.

    Parameters
    ----------
    recording : Recording
        What the board plays, from tick 0 on.
    card : ModelCard
        Of the model whose output it stands beside.

    Attributes
    ----------
    name : str
        Of the recording.
    muscles : tuple of str
        The model's; those the recording lacks are NaN.

    Raises
    ------
    RecordingError
        If the recording holds sEMG of none of the model's muscles, or is too short for the filters.
    """

    def __init__(self, recording: Recording, card: ModelCard) -> None:
        shared = [muscle for muscle in card.muscles if muscle in recording.muscles]
        if not shared:
            raise RecordingError(
                f"recording '{recording.name}': sEMG of {', '.join(recording.muscles) or 'nothing'}"
                f", expected one of the model's muscles {', '.join(card.muscles)}"
            )
        self.name = recording.name
        self.muscles = card.muscles
        columns = [recording.muscles.index(muscle) for muscle in shared]
        recording = replace(recording, emg=recording.emg[:, columns], muscles=tuple(shared))
        reference = Reference.from_json(card.normalization)
        if any(
            (recording.subject, recording.day, muscle) not in reference.values_mv
            for muscle in shared
        ):
            method = str(card.target.get("reference", ""))
            own = Reference.fit(
                [recording],
                method if method.startswith("calibration") else CALIBRATION,
                reference.envelope,
            )
            # Where the card has a reference it is the one the model was taught with.
            reference = own.merged(reference)
        fractions = reference.normalize(
            recording, recording_envelope(recording, reference.envelope)
        )
        late = min(round(float(card.target.get("delay_ms", 0)) * RATE_HZ / 1000), len(fractions))
        self._values = np.full((len(fractions), len(card.muscles)), np.nan)
        places = [card.muscles.index(muscle) for muscle in shared]
        self._values[late:, places] = fractions[: len(fractions) - late]

    def at(self, ticks: NDArray[np.integer]) -> NDArray[np.float64]:
        """Return the recorded envelope at `ticks`.

        Parameters
        ----------
        ticks : (n,) integer array
            Ticks of the board since its start. A board that plays in a loop counts on, so ticks
            after the recording's end are those of its next round.

        Returns
        -------
        (n, m) float64
            Fractions of the reference; NaN before tick 0 and for a muscle that was not recorded.
        """
        ticks = np.asarray(ticks)
        values: NDArray[np.float64] = self._values[ticks % len(self._values)]
        values[ticks < 0] = np.nan
        return values
