"""Simulate whole recordings: one trial, or a set of people, days and trials as files."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from myowave.errors import ConfigError
from myowave.files import require_writable
from myowave.imu import DEFAULT_IMU, from_counts, imu_by_name
from myowave.recording import RATE_HZ, SUFFIX, Recording, require_replaceable, save
from myowave.simulate.arm import Motion, move_arm
from myowave.simulate.programme import Bout, draw_programme
from myowave.simulate.sensors import imu_counts, raw_emg
from myowave.simulate.subject import Session, Subject, draw_session, draw_subject

# Raised whenever the same seed would give other samples.
EQUATIONS_VERSION = 1
SHORTEST_S = 5.0
LONGEST_S = 3600.0
MOST_SUBJECTS = 99
MOST_DAYS = 28
MUSCLES = ("biceps", "triceps")
# Simulated before the recording starts, so that it opens on a settled arm and settled filters.
LEAD_IN_S = 1.0


@dataclass(frozen=True)
class Simulation:
    """A simulated recording with what no real one can show.

    Attributes
    ----------
    recording : Recording
        What the sensors saw.
    motion : Motion
        Excitation, activation, torque and joint angles, sample by sample.
    bouts : tuple of Bout
        When the arm did what, in seconds of the recording.
    subject, session : Subject, Session
        Who, and how the sensors were worn.
    """

    recording: Recording
    motion: Motion
    bouts: tuple[Bout, ...]
    subject: Subject
    session: Session


@dataclass(frozen=True)
class SimulationSet:
    """Which recordings to make.

    Attributes
    ----------
    seconds : float
        Length of each recording, 5 to 3600.
    seed : int
        Makes the population; not negative.
    subjects, days, trials : int
        How many people, days a person, trials a day.
    muscles : int
        1 for biceps, 2 for biceps and triceps.
    imu : str
        A name of `imu.IMUS`.
    flips : bool
        Whether the sensor is worn turned by 180° about Z on every second day (with one day: by
        every second person), as happens in real recordings.
    """

    seconds: float
    seed: int
    subjects: int = 1
    days: int = 1
    trials: int = 1
    muscles: int = 1
    imu: str = DEFAULT_IMU
    flips: bool = False

    def __post_init__(self) -> None:
        """Raise ConfigError for a value out of range, so that nothing is written before."""
        for name, value, limit in (
            ("subjects", self.subjects, MOST_SUBJECTS),
            ("days", self.days, MOST_DAYS),
            ("trials", self.trials, 999),
        ):
            if not 1 <= value <= limit:
                raise ConfigError(f"{name}: {value}, expected 1 to {limit}")
        _check(self.seconds, self.seed, self.muscles, self.imu)

    @property
    def n_recordings(self) -> int:
        """How many recordings the set holds."""
        return self.subjects * self.days * self.trials

    def recordings(self) -> Iterator[Recording]:
        """Simulate the recordings one after the other, by subject, day and trial."""
        for subject in range(1, self.subjects + 1):
            for day in range(1, self.days + 1):
                turns = day if self.days > 1 else subject
                for trial in range(1, self.trials + 1):
                    yield simulate(
                        self.seconds,
                        self.seed,
                        subject=subject,
                        day=day,
                        trial=trial,
                        muscles=self.muscles,
                        imu=self.imu,
                        flipped=self.flips and turns % 2 == 0,
                    )


def simulate(
    seconds: float,
    seed: int,
    *,
    subject: int = 1,
    day: int = 1,
    trial: int = 1,
    muscles: int = 1,
    imu: str = DEFAULT_IMU,
    flipped: bool = False,
) -> Recording:
    """Simulate one trial: IMU at the wrist and raw EMG of the upper arm at 1 kHz.

    Parameters
    ----------
    seconds : float
        Length, 5 to 3600.
    seed : int
        Makes the population; the same arguments give the same bytes.
    subject, day, trial : int
        Which person, which day (mounting, electrodes) and which trial (movements) of it, from 1.
    muscles : int
        1 for ("biceps",), 2 for ("biceps", "triceps").
    imu : str
        A name of `imu.IMUS`; the samples are whole counts of it, so `imu.to_counts` gets them back.
    flipped : bool
        Wear the sensor turned by 180° about its Z axis.

    Returns
    -------
    Recording
        Its provenance holds `simulated: True`, the seed, the equations' version and every
        parameter; `day` is a placeholder ("2000-01-01" for day 1).

    Raises
    ------
    ConfigError
        For a value out of range or an unknown IMU.

    Examples
    --------
    >>> recording = simulate(5.0, seed=7)
    >>> recording.name, recording.acc.shape, recording.provenance["simulated"]
    ('sim01_2000-01-01_1', (5000, 3), True)
    """
    return simulate_truth(
        seconds,
        seed,
        subject=subject,
        day=day,
        trial=trial,
        muscles=muscles,
        imu=imu,
        flipped=flipped,
    ).recording


def simulate_truth(
    seconds: float,
    seed: int,
    *,
    subject: int = 1,
    day: int = 1,
    trial: int = 1,
    muscles: int = 1,
    imu: str = DEFAULT_IMU,
    flipped: bool = False,
) -> Simulation:
    """Simulate one trial and return what caused it, too; arguments and errors as in `simulate`."""
    _check(seconds, seed, muscles, imu)
    for name, number, limit in (
        ("subject", subject, MOST_SUBJECTS),
        ("day", day, MOST_DAYS),
        ("trial", trial, 999),
    ):
        if not 1 <= number <= limit:
            raise ConfigError(f"{name}: {number}, expected 1 to {limit}")
    part = imu_by_name(imu)
    person = draw_subject(seed, subject)
    session = draw_session(seed, subject, day, flipped=flipped)

    # Independent streams: another IMU or a second muscle leaves the motion as it is.
    streams = np.random.SeedSequence(seed, spawn_key=(2, subject, day, trial)).spawn(4)
    plan_rng, arm_rng, imu_rng, emg_rng = (np.random.default_rng(stream) for stream in streams)
    lead_in = round(LEAD_IN_S * RATE_HZ)
    time_s = (np.arange(lead_in + round(seconds * RATE_HZ)) - lead_in) / RATE_HZ
    programme = draw_programme(plan_rng, person, seconds)
    motion = move_arm(arm_rng, person, programme, time_s)

    counts = imu_counts(imu_rng, person, session, motion, part)[lead_in:]
    units = from_counts(counts, part)
    emg = raw_emg(emg_rng, person, session, motion, muscles)[lead_in:]
    names = MUSCLES[:muscles]
    recording = Recording(
        acc=units[:, :3],
        gyro=units[:, 3:],
        emg=emg,
        muscles=names,
        subject=person.name,
        day=session.day,
        name=f"{person.name}_{session.day}_{trial}",
        source_rates_hz={"acc": float(RATE_HZ), "gyro": float(RATE_HZ), "emg": float(RATE_HZ)},
        source_units={"acc": "m/s²", "gyro": "rad/s", "emg": "mV"},
        provenance={
            "simulated": True,
            "generator": "myowave simulate",
            "equations_version": EQUATIONS_VERSION,
            "seed": seed,
            "trial": trial,
            "imu": imu,
            "subject": person.as_json(),
            "session": session.as_json(),
        },
    )
    bouts = tuple(
        Bout(bout.kind, bout.start_s, min(bout.end_s, seconds))
        for bout in programme.bouts
        if bout.start_s < seconds
    )
    return Simulation(recording, motion.after(lead_in), bouts, person, session)


def write_set(request: SimulationSet, path: Path) -> Iterator[Path]:
    """Write the set's recordings and yield each file once it is there.

    One recording goes to the file `path`, several into the folder `path`, named by subject, day and
    trial. A recording of that name is replaced, another file never.

    Raises
    ------
    ConfigError
        If `path` is a folder where a file is needed, or the other way round, or not writable, or
        if a file that is no recording is in the way.
    """
    several = request.n_recordings > 1
    if several and path.exists() and not path.is_dir():
        raise ConfigError(
            f"{path}: a file, expected a folder for {request.n_recordings} recordings"
        )
    if not several and path.is_dir():
        raise ConfigError(f"{path}: a folder, expected a file name for one recording")
    folder = path if several else path.parent
    # Before the first recording is simulated, which takes a while.
    if several:
        require_writable(folder / f"recording{SUFFIX}")
    else:
        require_replaceable(path)
    for recording in request.recordings():
        target = folder / f"{recording.name}{SUFFIX}" if several else path
        require_replaceable(target)
        save(recording, target)
        yield target


def _check(seconds: float, seed: int, muscles: int, imu: str) -> None:
    # Written so that NaN fails too.
    if not SHORTEST_S <= seconds <= LONGEST_S:
        raise ConfigError(f"seconds: {seconds:g}, expected {SHORTEST_S:g} to {LONGEST_S:g}")
    if seed < 0:
        raise ConfigError(f"seed: {seed}, expected a whole number, 0 or more")
    if not 1 <= muscles <= len(MUSCLES):
        raise ConfigError(f"muscles: {muscles}, expected 1 (biceps) or 2 (biceps and triceps)")
    imu_by_name(imu)
