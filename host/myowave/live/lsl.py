"""Send what a board measures to the Lab Streaming Layer: envelope, raw IMU, markers.

Three outlets, described as XDF files expect it (channels/channel/label, unit, type), so that
LabRecorder and every other LSL program of a laboratory sees the board beside its own devices.
"""

import os
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from myowave.clock import LiveClock
from myowave.errors import ToolError
from myowave.imu import IMU_CHANNELS
from myowave.link import Identity
from myowave.live.session import Listener
from myowave.model_card import ModelCard, find_card
from myowave.wire import Frame

# What a consumer has not yet fetched when the outlets close would be lost.
LINGER_S = 0.5
_CONFIGURATIONS = ("lsl_api.cfg", "~/lsl_api/lsl_api.cfg", "/etc/lsl_api/lsl_api.cfg")


def load_library() -> Any:
    """Return the module pylsl.

    Raises
    ------
    ToolError
        If pylsl or the library behind it is missing; the message names the remedy.
    """
    try:
        import pylsl
    except ModuleNotFoundError:
        raise ToolError(
            "LSL outlets need the package pylsl: pip install '.[lsl]' in the clone"
        ) from None
    except (RuntimeError, OSError, AttributeError) as error:
        reason = (str(error).strip().splitlines() or ["no reason given"])[0].strip()
        raise ToolError(
            f"LSL outlets need the library liblsl, which pylsl cannot load ({reason}): install it "
            "from https://github.com/sccn/liblsl/releases, or name it in $PYLSL_LIB"
        ) from None
    places = [os.environ.get("LSLAPICFG", ""), *_CONFIGURATIONS]
    if not any(place and Path(place).expanduser().is_file() for place in places):
        # Unless told otherwise liblsl writes news to stderr, into the middle of a terminal's view.
        pylsl.set_config_content("[log]\nlevel = -2\n")
    return pylsl


class LslOutlets(Listener):
    """Outlets for one board, from its first identity on.

    Names are "MyoWave envelope", "MyoWave IMU" and "MyoWave markers". A board that comes back
    with the same model goes on in the same streams; with another model it gets new ones. Of raw
    counts there are only those the session asks the board for (`raw`).

    Parameters
    ----------
    url : str
        Port of the board; with the computer's name it makes the streams' identifiers unique, so
        that an inlet finds the same stream again after a restart.
    model_dirs : sequence of Path
        Where to look for the model's card first.

    Raises
    ------
    ToolError
        If pylsl or liblsl is missing.
    """

    def __init__(self, url: str, model_dirs: Sequence[Path] = ()) -> None:
        self._lsl = load_library()
        self._url = url
        self._model_dirs = tuple(model_dirs)
        self._identity: Identity | None = None
        # In place of Unix time it gets LSL's, which nobody sets forth or back.
        self._clock = LiveClock()
        self._outlets: dict[str, Any] = {}

    def on_identity(self, identity: Identity, host_s: float) -> None:
        """Open the outlets, or others in their place when what they carry has changed."""
        del host_s
        if self._identity is None or _content(identity) != _content(self._identity):
            self._open(identity)
        self._identity = identity
        # The board may have been started anew meanwhile.
        self._clock.reset()

    def on_frame(self, frame: Frame, host_s: float) -> None:
        """Send the samples of a data frame."""
        identity = self._identity
        if frame.name != "data" or identity is None or not self._outlets:
            return
        device_us = frame["time_us"] + np.arange(frame["count"]) * 1_000_000 // identity.rate_hz
        self._clock.add(int(device_us[-1]), self._lsl_time(host_s))
        stamps = [self._clock.host_s(int(moment)) for moment in device_us]
        envelope = identity.envelope(frame["predictions"])
        self._outlets["envelope"].push_chunk(envelope.astype(np.float32), stamps)
        if len(frame["counts"]):
            self._outlets["imu"].push_chunk(si_units(frame["counts"], identity), stamps)

    def on_event(self, event: str, host_s: float, details: dict[str, Any]) -> None:
        """Send a marker; close the outlets at the end."""
        if event == "marker" and self._outlets:
            self._outlets["markers"].push_sample([details["label"]], self._lsl_time(host_s))
        elif event == "closed":
            self.close()

    def close(self) -> None:
        """Close all outlets, after a moment in which consumers fetch what is on its way."""
        if any(outlet.have_consumers() for outlet in self._outlets.values()):
            time.sleep(LINGER_S)
        self._outlets.clear()

    def _lsl_time(self, host_s: float) -> float:
        """Convert a Unix time of just now to LSL's clock."""
        return float(self._lsl.local_clock()) - (time.time() - host_s)

    def _open(self, identity: Identity) -> None:
        card = find_card(identity.model_sha256, self._model_dirs)
        # Not "EMG": a program that gathers sEMG would take a prediction for a measurement.
        muscles = [(muscle, "fraction of reference", "MISC") for muscle in identity.muscles]
        imu = [
            (name, "m/s^2", "ACC") if name.startswith("acc") else (name, "rad/s", "GYRO")
            for name in IMU_CHANNELS
        ]
        self._outlets = {
            "envelope": self._outlet("envelope", "MISC", muscles, identity, card),
            "imu": self._outlet("IMU", "IMU", imu, identity, card),
            "markers": self._outlet(
                "markers", "Markers", [("marker", "", "Markers")], identity, card
            ),
        }

    def _outlet(
        self,
        what: str,
        kind: str,
        channels: Sequence[tuple[str, str, str]],
        identity: Identity,
        card: ModelCard | None,
    ) -> Any:
        lsl = self._lsl
        samples = kind != "Markers"
        source = (socket.gethostname(), self._url, what, identity.model_sha256)
        info = lsl.StreamInfo(
            f"MyoWave {what}",
            kind,
            len(channels),
            float(identity.rate_hz) if samples else lsl.IRREGULAR_RATE,
            lsl.cf_float32 if samples else lsl.cf_string,
            ":".join(("myowave", *source)),
        )
        description = info.desc()
        listed = description.append_child("channels")
        for label, unit, channel_kind in channels:
            channel = listed.append_child("channel")
            channel.append_child_value("label", label)
            if unit:
                channel.append_child_value("unit", unit)
            channel.append_child_value("type", channel_kind)
        _describe(description.append_child("acquisition"), _acquisition(identity))
        _describe(description.append_child("model"), _model(identity, card))
        return lsl.StreamOutlet(info)


def si_units(counts: NDArray[np.int16], identity: Identity) -> NDArray[np.float32]:
    """Convert (n, 6) raw counts to m/s² and rad/s, with the scales the board states."""
    lsb = np.repeat([identity.acc_lsb_m_s2, identity.gyro_lsb_rad_s], 3)
    physical: NDArray[np.float32] = (counts * lsb).astype(np.float32)
    return physical


def _content(identity: Identity) -> tuple[Any, ...]:
    """Return what the streams' descriptions rest on."""
    return (*_acquisition(identity).items(), *_model(identity, None).items(), identity.muscles)


def _acquisition(identity: Identity) -> dict[str, str]:
    return {
        "manufacturer": "MyoWave",
        "model": identity.board,
        "firmware": identity.firmware,
        "imu": identity.imu,
        "acc_lsb_m_s2": repr(identity.acc_lsb_m_s2),
        "gyro_lsb_rad_s": repr(identity.gyro_lsb_rad_s),
    }


def _model(identity: Identity, card: ModelCard | None) -> dict[str, str]:
    """Return what is known of the network: the delays only where its card was found."""
    known = {
        "sha256": identity.model_sha256,
        "rate_hz": str(identity.rate_hz),
        # That many samples, less one, after a start or a gap are warm-up.
        "receptive_field_samples": str(identity.receptive_field),
    }
    if card is not None:
        known["name"] = card.name
        for delay in ("filter_delay_ms", "delay_ms"):
            if delay in card.target:
                known[delay] = f"{float(card.target[delay]):g}"
    return known


def _describe(element: Any, values: dict[str, str]) -> None:
    for name, value in values.items():
        element.append_child_value(name, value)
