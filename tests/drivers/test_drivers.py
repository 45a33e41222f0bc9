"""Each IMU's driver against a model of its registers on a simulated I2C bus."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from myowave.imu import IMUS
from tests.drivers.probe import (
    ARBITRATION_LOST,
    BUS_OK,
    IMU_BUS_ERROR,
    IMU_CONFIGURATION_LOST,
    IMU_NOT_FOUND,
    IMU_OK,
    NACK_ADDRESS,
    NACK_DATA,
    STUCK,
    TIMEOUT,
    Burst,
    Result,
    counts_of,
)

# From the data sheets: addresses, WHO_AM_I register, then (bank, register) of every setting that
# matters to range, rate, filter and integrity, with the value that stands for what we want.
ST = (0x6A, 0x6B)
TDK = (0x68, 0x69)
WHO_AM_I = {
    **dict.fromkeys(("lsm6ds3tr-c", "lsm6dso"), 0x0F),
    **dict.fromkeys(("mpu-6050", "mpu-6500", "mpu-9250", "icm-42688-p"), 0x75),
}
ADDRESSES = {name: ST if name.startswith("lsm") else TDK for name in WHO_AM_I}
MPU = {(0, 0x6B): 0x01, (0, 0x19): 0, (0, 0x1A): 1, (0, 0x1B): 0x10, (0, 0x1C): 0x10, (0, 0x38): 1}
CONFIGURATION = {
    "lsm6ds3tr-c": {
        **{(0, 0x10): 0x8D, (0, 0x11): 0x88, (0, 0x12): 0x44, (0, 0x13): 0x02},
        **{(0, 0x15): 0x01, (0, 0x17): 0xC8},
    },
    "lsm6dso": {
        **{(0, 0x10): 0x8E, (0, 0x11): 0x88, (0, 0x12): 0x44, (0, 0x13): 0x02},
        **{(0, 0x15): 0x01, (0, 0x17): 0x20, (0, 0x18): 0xE2},
    },
    "mpu-6050": MPU,
    "mpu-6500": {**MPU, (0, 0x1D): 1},
    "mpu-9250": {**MPU, (0, 0x1D): 1},
    "icm-42688-p": {
        **{(0, 0x4E): 0x0F, (0, 0x4F): 0x26, (0, 0x50): 0x26, (0, 0x52): 0x11, (0, 0x65): 0x08},
        **{(0, 0x14): 0x03, (0, 0x64): 0x00},
        **{(1, 0x0C): 6, (1, 0x0D): 36, (1, 0x0E): 0xA0, (2, 0x03): 12, (2, 0x04): 36},
        (2, 0x05): 0xA0,
    },
}
FAULTS = {
    "nack": NACK_ADDRESS,
    "nack_data": NACK_DATA,
    "arbitration": ARBITRATION_LOST,
    "hang": TIMEOUT,
    "sda_low": STUCK,
}
every_part = pytest.mark.parametrize("part", sorted(IMUS))


def movement(rows: int) -> np.ndarray:
    rng = np.random.default_rng(7)
    return rng.integers(-32768, 32768, (rows, 6)).astype(np.int16)


def test_firmware_and_host_know_the_same_parts_and_scales(probe):
    rows = [line.split() for line in probe("table")[:-1]]
    assert {row[0] for row in rows} == IMUS.keys()
    for name, acc, gyro, counts_per_g, *_ in rows:
        imu = IMUS[name]
        assert float(acc) == np.float32(imu.acc_lsb_m_s2)
        assert float(gyro) == pytest.approx(imu.gyro_lsb_rad_s, rel=1e-7)
        assert int(counts_per_g) == round(9.80665 / imu.acc_lsb_m_s2)


@every_part
@pytest.mark.parametrize("second", [0, 1])
def test_a_part_is_found_at_both_of_its_addresses(probe, part, second):
    found = Result.read(probe(f"part {part} {second}", "detect")[0])
    assert (found.status, found.part) == (IMU_OK, part)
    assert found.address == ADDRESSES[part][second]


@every_part
def test_a_part_with_another_who_am_i_is_not_taken_for_one_we_know(probe, part):
    answers = probe(f"part {part} 0", f"poke 0 {WHO_AM_I[part]} 0xA5", "detect")
    assert Result.read(answers[0]).status == IMU_NOT_FOUND


@every_part
def test_a_part_that_was_exchanged_is_not_set_up_as_the_one_before(probe, part):
    answers = probe(f"part {part} 0", "detect", f"poke 0 {WHO_AM_I[part]} 0xA5", "configure")
    assert Result.read(answers[1]).status == IMU_NOT_FOUND


@every_part
def test_a_part_is_found_in_whatever_bank_a_reset_board_left_it(probe, part):
    answers = probe(f"part {part} 0", "write 0x76 2", "detect", "configure")
    assert [Result.read(answer).status for answer in answers[1:]] == [IMU_OK, IMU_OK]


@every_part
def test_registers_after_set_up_are_those_of_the_data_sheet(probe, part):
    wanted = CONFIGURATION[part] | ({(0, 0x76): 0} if part == "icm-42688-p" else {})
    answers = probe(
        f"part {part} 0", "detect", "configure", *(f"peek {bank} {at}" for bank, at in wanted)
    )
    assert Result.read(answers[1]).status == IMU_OK
    assert dict(zip(wanted, map(int, answers[2:]), strict=True)) == wanted


@every_part
def test_samples_are_valid_as_soon_as_set_up_returns(probe, part):
    """Counts of a constant movement, at the table's range, with no wait of the caller's."""
    constant = np.array([[-32768, 32767, 4096, -1, 255, 256]], np.int16)
    answers = probe(f"part {part} 0", "detect", "configure", "burst", movement=constant)
    assert Burst.read(answers[2]).counts == tuple(constant[0])
    assert Result.read(answers[1]).nanoseconds < 200_000_000


@every_part
def test_without_set_up_there_are_no_samples(probe, part):
    """So the test above sees what set-up does: asleep, starting, or at another range."""
    constant = np.full((1, 6), 1234, np.int16)
    answers = probe(f"part {part} 0", "detect", "burst", movement=constant)
    assert Burst.read(answers[1]).counts != (1234,) * 6


@every_part
def test_a_register_that_does_not_hold_its_setting_fails_set_up(probe, part):
    """A part that ignores a write: the probe lets one setting of each be refused."""
    commands = []
    for bank, at in CONFIGURATION[part]:
        commands += [f"part {part} 0", "detect", f"refuse {bank} {at}", "configure"]
    answers = [Result.read(line) for line in probe(*commands)]
    # Some settings are what a register holds after reset: those it need not take.
    reset = probe(f"part {part} 0", *(f"peek {bank} {at}" for bank, at in CONFIGURATION[part]))
    for (key, wanted), before, result in zip(
        CONFIGURATION[part].items(), map(int, reset), answers[1::2], strict=True
    ):
        assert (result.status == IMU_OK) == (wanted == before), key


@every_part
def test_lost_configuration_is_seen_and_can_be_sent_again(probe, part):
    answers = probe(
        *(f"part {part} 0", "detect", "configure", "verify"),
        *("reset", "wait 100000000", "verify", "configure", "verify"),
    )
    statuses = [Result.read(answer).status for answer in answers]
    assert statuses == [IMU_OK, IMU_OK, IMU_OK, IMU_CONFIGURATION_LOST, IMU_OK, IMU_OK]


@every_part
def test_a_single_changed_setting_is_seen(probe, part):
    # Other banks are not looked at while sampling: selecting them would hide the samples.
    for bank, at in (key for key in CONFIGURATION[part] if key[0] == 0):
        changed = CONFIGURATION[part][bank, at] ^ 0x01
        answers = probe(
            f"part {part} 0", "detect", "configure", f"poke {bank} {at} {changed}", "verify"
        )
        assert Result.read(answers[2]).status == IMU_CONFIGURATION_LOST, hex(at)


@every_part
def test_verifying_takes_less_than_the_time_between_two_bursts(probe, part):
    verified = Result.read(probe(f"part {part} 0", "detect", "configure", "verify")[2])
    assert verified.nanoseconds <= 655_000


@every_part
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("call", ["configure", "verify"])
def test_a_bus_fault_at_any_transfer_is_told_and_then_overcome(probe, part, fault, call):
    commands: list[str] = []
    transfers = 80
    for skip in range(transfers):
        commands += [f"part {part} 0", "detect", "configure", f"skip {skip}"]
        # A part in reset does not answer, so a NACK there is waited for: many in a row are not.
        commands += [f"fault {fault} {500 if fault.startswith('nack') else 9}", call]
        # What was cut off may have left the part in reset.
        commands += ["clear", "recover", "wait 100000000", "configure", "verify"]
    answers = probe(*commands)
    faulty = 0
    for at in range(0, len(answers), 6):
        result = Result.read(answers[at + 2])
        if result.status != IMU_OK:
            faulty += 1
            assert (result.status, result.bus_status) == (IMU_BUS_ERROR, FAULTS[fault])
        assert int(answers[at + 3]) == BUS_OK
        assert [Result.read(line).status for line in answers[at + 4 : at + 6]] == [IMU_OK, IMU_OK]
    # Every transfer of the call was hit, and those after its last one were not.
    assert 1 <= faulty < transfers


@pytest.mark.parametrize("fault", FAULTS)
def test_a_bus_fault_is_not_taken_for_a_missing_imu(probe, fault):
    count = 9 if fault == "sda_low" else 500
    answers = probe(
        *("part icm-42688-p 0", f"fault {fault} {count}", "detect"),
        *("clear", "recover", "detect"),
    )
    failed = Result.read(answers[0])
    if fault == "nack":
        assert failed.status == IMU_NOT_FOUND
    else:
        assert (failed.status, failed.bus_status) == (IMU_BUS_ERROR, FAULTS[fault])
    assert Result.read(answers[2]).status == IMU_OK


def test_nine_clocks_free_a_part_cut_off_in_a_byte_and_not_a_short_circuit(probe):
    assert probe("part mpu-6050 0", "fault sda_low 9", "detect", "recover")[1] == str(BUS_OK)
    assert probe("part mpu-6050 0", "fault sda_low 4000", "detect", "recover")[1] == str(STUCK)


@pytest.mark.parametrize(
    ("part", "microseconds"), [("lsm6ds3tr-c", 345), ("icm-42688-p", 345), ("mpu-6050", 390)]
)
def test_a_burst_takes_its_bits_at_400_khz(probe, part, microseconds):
    """S, address, register, Sr, address, 12 or 14 bytes of 9 bits, P."""
    burst = Burst.read(probe(f"part {part} 0", "detect", "configure", "burst")[2])
    assert burst.nanoseconds == microseconds * 1000


def pack(part: str, counts: list[int]) -> bytes:
    acc, gyro = counts[:3], counts[3:]
    if part.startswith("lsm"):
        return struct.pack("<6h", *gyro, *acc)
    if part.startswith("mpu"):
        return struct.pack(">7h", *acc, 0x7FFF, *gyro)
    return struct.pack(">6h", *acc, *gyro)


@settings(max_examples=20, deadline=None)
@given(
    samples=st.lists(
        st.lists(
            st.one_of(st.sampled_from([-32768, -1, 0, 32767]), st.integers(-32768, 32767)),
            min_size=6,
            max_size=6,
        ),
        min_size=1,
        max_size=50,
    )
)
def test_a_burst_is_decoded_exactly(probe, samples):
    for part in IMUS:
        answers = probe(*(f"decode {part} {pack(part, counts).hex()}" for counts in samples))
        assert [list(counts_of(line)) for line in answers] == samples


def burst_at_every_phase(probe, part: str, *before: str) -> list[Burst]:
    """Bursts at many phases of the part's own clock."""
    commands = [f"part {part} 0", "detect", "configure", *before]
    for _ in range(400):
        commands += ["wait 37000", "burst"]
    answers = probe(*commands, movement=movement(997))
    return [Burst.read(line) for line in answers[2:]]


@every_part
def test_no_number_is_torn(probe, part):
    """Every number is one the movement held; with 1.66 kHz and a burst of 345 µs axes may be of
    two consecutive samples, but low and high byte never.
    """
    truth = movement(997)
    held = [set(truth[:, axis].tolist()) for axis in range(6)]
    bursts = burst_at_every_phase(probe, part)
    assert all(count in held[axis] for burst in bursts for axis, count in enumerate(burst.counts))
    assert len({burst.counts for burst in bursts}) > 100


def test_without_block_data_update_numbers_are_torn(probe):
    """So the test above can fail: CTRL3_C with BDU cleared."""
    held = [set(movement(997)[:, axis].tolist()) for axis in range(6)]
    bursts = burst_at_every_phase(probe, "lsm6ds3tr-c", "poke 0 0x12 0x04")
    assert any(
        count not in held[axis] for burst in bursts for axis, count in enumerate(burst.counts)
    )


@every_part
@pytest.mark.parametrize(
    ("g", "plausible"),
    [((0, 0, 1), 1), ((0.6, -0.6, 0.6), 1), ((0, 0, 0.45), 0), ((0, 1.6, 0), 0), ((-8, -8, -8), 0)],
)
def test_gravity_at_rest(probe, part, g, plausible):
    counts = [max(-32768, round(axis * 9.80665 / IMUS[part].acc_lsb_m_s2)) for axis in g]
    assert probe(f"gravity {part} {','.join(map(str, counts))}") == [str(plausible)]
