"""A configuration says what it means, or why it cannot."""

from pathlib import Path

import pytest

from myowave.errors import ConfigError
from myowave.train_config import (
    NetworkConfig,
    TrainConfig,
    config_from_dict,
    config_to_dict,
    load_config,
)

REPOSITORY = Path(__file__).resolve().parents[2]


def test_round_trip():
    config = config_from_dict(
        {
            "seed": 3,
            "network": {"dilations": [4, 8], "kernel": 3},
            "target": {"muscles": ["biceps"], "envelope": {"notch_hz": 50, "causal": True}},
            "split": {"by": "subject", "test": ["P714"]},
        }
    )
    assert config.network.dilations == (4, 8)
    assert config.target.envelope.notch_hz == 50.0
    assert config_from_dict(config_to_dict(config)) == config
    assert config_from_dict(config_to_dict(TrainConfig())) == TrainConfig()


@pytest.mark.parametrize("path", sorted(REPOSITORY.glob("tools/*.toml")), ids=lambda p: p.name)
def test_recipes_of_the_repository_load(path):
    load_config(path)


def test_receptive_field_and_phases():
    network = NetworkConfig(front_kernel=16, kernel=2, dilations=(16, 32, 64, 128, 256, 512))
    assert network.receptive_field == 16 + 1008
    assert network.phases == 16
    assert network.phase_samples(3) == 1024 + 32
    assert NetworkConfig(dilations=(6, 9), kernel=3, front_kernel=1).receptive_field == 31


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("sead = 1", "unknown key 'sead', expected one of name"),
        ("[fit]\nstep = 5", "unknown key 'fit.step'"),
        ("[target.envelope]\nlow = 5", "unknown key 'target.envelope.low'"),
        ("seed = 1.5", "seed 1.5: expected int"),
        ("seed = true", "seed True: expected int"),
        ("[fit]\nlearning_rate = 'fast'", "fit.learning_rate 'fast': expected float"),
        ("[fit]\nlearning_rate = nan", "expected a finite number"),
        ("[fit]\nsteps = 0", "fit.steps 0: expected 1 to 1000000"),
        ("[fit]\nsteps = 100000000", "fit.steps 100000000: expected 1 to 1000000"),
        ("[fit]\nbatch = 100000000", "fit.batch 100000000: expected 1 to 1024"),
        ("[fit]\nchunk_ms = 100000000", "fit.chunk_ms 100000000: expected 1 to 60000"),
        ("[fit]\nbatch = 1024\nchunk_ms = 60000", "expected a product of at most 4000000"),
        ("[fit]\nlearning_rate = 1e30", "fit.learning_rate 1e+30: expected more than 0, at most 1"),
        ("seed = -1", "seed -1: expected 0 to 2147483647"),
        ("threads = 100000000", "threads 100000000: expected 0 to 1024"),
        ("[network]\nchannels = 100000000", "network.channels 100000000: expected 1 to 256"),
        ("[network]\nskip_channels = 257", "network.skip_channels 257: expected 1 to 256"),
        ("[network]\nhead_channels = 257", "network.head_channels 257: expected 1 to 256"),
        ("[network]\nfront_kernel = 257", "network.front_kernel 257: expected 1 to 256"),
        ("[network]\nkernel = 65", "network.kernel 65: expected 1 to 64"),
        ("[network]\ndilations = [4, 4097]", "network.dilations 4097: expected 1 to 4096"),
        (
            f"[network]\ndilations = {[1] * 65}",
            "network.dilations: 65 blocks, expected 1 to 64",
        ),
        ("[network]\nkernel = 64\ndilations = [4096]", "field of 258064 samples, expected at most"),
        ("[target]\ndelay_ms = 10001", "target.delay_ms 10001: expected 0 to 10000"),
        ("[export]\nrepresentative_windows = 100000000", "expected 2 to 10000"),
        ("[export]\nverification_windows = 100000000", "expected 4 to 10000"),
        ("fit = 3", "fit 3: expected a table"),
        ("[network]\ndilations = 4", "network.dilations 4: expected a list"),
        ("[network]\ndilations = []", "network.dilations"),
        ("[network]\ndilations = [4, 0]", "network.dilations"),
        ("[network]\ngate_convolutions = 3", "expected 1 or 2"),
        ("[network]\ndropout = 1.0", "network.dropout 1.0: expected 0 to 0.9"),
        ("[target]\ndelay_ms = -1", "target.delay_ms -1"),
        ("[target.envelope]\nband_hz = [20.0]", "expected 2 values"),
        ("[target.envelope]\nlowpass_hz = -6.0", "lowpass_hz"),
        ("[split]\nby = 'window'", "split.by 'window': expected recording, day or subject"),
        ("[split]\nverdicts = ['fine']", "split.verdicts 'fine'"),
        ("[export]\nimu = 'bno055'", "unknown IMU 'bno055'"),
        ("seed = ", "not TOML"),
    ],
)
def test_mistakes_are_named(tmp_path, text, reason):
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert reason in str(caught.value)


def test_absent_file(tmp_path):
    with pytest.raises(ConfigError, match=r"absent\.toml: No such file"):
        load_config(tmp_path / "absent.toml")
