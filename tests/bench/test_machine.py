"""What the machine says of itself, measured against loads that the tests bring about."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import torch
from torch import nn

from bench import machine
from bench.errors import UsageError
from bench.machine import hardware
from bench.machine import load as load_room

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, which Linux has")


@contextmanager
def program(code: str) -> Iterator[subprocess.Popen[str]]:
    """Run Python code in a process of its own; enter when it has printed its first line."""
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


# What it is


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in place of /proc."""
    monkeypatch.setattr(hardware, "PROC", tmp_path)
    machine.identity.cache_clear()
    yield tmp_path
    machine.identity.cache_clear()


CPUINFO = """\
processor\t: 0
model name\t: Example CPU @ 2.00GHz
flags\t\t: fpu avx2 avx512f avx512_vnni amx_tiles

processor\t: 1
model name\t: Another CPU
"""


def test_it_is_described_from_cpuinfo(proc: Path) -> None:
    (proc / "cpuinfo").write_text(CPUINFO)
    reported = machine.describe("cpu")
    assert reported["cpu"] == "Example CPU @ 2.00GHz"
    assert reported["instructions"] == [
        "avx2",
        "avx512f",
        "avx512_vnni",
    ]  # amx_tiles is another name
    assert reported["gpu"] is None
    assert 1 <= reported["cores"] <= (os.cpu_count() or 1)
    assert reported["memory_bytes"] is None or reported["memory_bytes"] > 2**27


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("flags\t\t: fpu avx512f avx512_bf16 amx_tile", ("avx512_bf16",)),
        ("flags\t\t: fpu amx_bf16 avx512_bf16", ("avx512_bf16", "amx_bf16")),
        ("flags\t\t: fpu avx2 avx512f bf16", ()),  # bf16 alone is Arm's word
        ("Features\t: fp asimd i8mm bf16", ("bf16",)),
    ],
)
def test_instructions_for_bf16(proc: Path, line: str, expected: tuple[str, ...]) -> None:
    assert machine.bf16_instructions() == ()
    (proc / "cpuinfo").write_text(f"processor\t: 0\nmodel name\t: amx_bf16\n{line}\n")
    assert machine.bf16_instructions() == expected


def test_it_has_a_name_where_nothing_is_reported(proc: Path) -> None:
    reported = machine.describe("cpu")
    assert reported["cpu"]
    assert reported["instructions"] == []


def test_another_processor_is_another_identity(proc: Path) -> None:
    (proc / "cpuinfo").write_text(CPUINFO)
    first = machine.identity("cpu")
    (proc / "cpuinfo").write_text(CPUINFO.replace("2.00", "3.00"))
    assert machine.identity("cpu") == first  # kept: nobody changes the processor of a running one
    machine.identity.cache_clear()
    assert machine.identity("cpu") != first


@linux
def test_cores_are_those_that_the_process_may_use() -> None:
    code = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from bench import machine\n"
        "print(machine.cores(), machine.describe('cpu')['cores'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "1"]


def test_a_gpu_that_is_not_there_has_no_name() -> None:
    assert machine.describe("cuda:97")["gpu"] is None


# Memory

PLANTED = 5_000_000
"""Floats that the tests allocate and let go of inside the block."""


def test_the_peak_counts_tensors_that_were_let_go_of_and_none_from_before() -> None:
    before = torch.zeros(PLANTED)
    with machine.peak_memory("cpu") as peak:
        assert peak.bytes is None  # not known before the end
        first = torch.zeros(PLANTED)
        second = torch.zeros(PLANTED)
        del first
        third = torch.zeros(PLANTED // 2)
        del before, second, third
    assert peak.bytes == 2 * 4 * PLANTED


def test_the_peak_of_a_backward_pass_by_hand() -> None:
    weight = torch.zeros(1000, 1000, requires_grad=True)
    x = torch.zeros(1000, 500)
    with machine.peak_memory("cpu") as peak:
        y = weight @ x
        y.backward(torch.ones_like(y))
    # y, the gradient of y, the gradient of the weight
    assert peak.bytes == 4 * (1000 * 500 + 1000 * 500 + 1000 * 1000)


def test_the_peak_does_not_depend_on_what_the_process_did_before() -> None:
    def peak() -> int | None:
        torch.manual_seed(0)
        with machine.peak_memory("cpu") as found:
            network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU())
            network(torch.rand(16, 3, 32, 32)).sum().backward()
        return found.bytes

    first = peak()
    held = [torch.ones(PLANTED) for _ in range(3)]
    second = peak()
    del held
    assert first is not None
    assert first == second == peak()


@pytest.mark.slow
def test_counting_says_nothing_to_the_terminal() -> None:
    code = (
        "import torch\nfrom bench import machine\n"
        "with machine.peak_memory('cpu') as peak: torch.zeros(10)\nassert peak.bytes\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert (ran.stdout, ran.stderr) == (b"", b"")


def test_what_one_block_made_and_another_lets_go_of_is_not_counted_there() -> None:
    """Torch reports such a release with its bytes, and memory from before at the same address."""
    found, network = [], None
    for _ in range(4):
        torch.manual_seed(0)
        with machine.peak_memory("cpu") as peak:
            network = nn.Sequential(nn.Conv2d(3, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3))
            for _ in range(2):
                network(torch.rand(8, 3, 32, 32)).sum().backward()
        found.append(peak.bytes)
    assert network is not None
    assert len(set(found)) == 1


def test_inside_another_profile_nothing_is_counted_and_it_goes_on() -> None:
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as outer:
        with machine.peak_memory("cpu") as peak:
            torch.zeros(10)
        torch.ones(3).cumsum(0)
    assert peak.bytes is None
    assert "aten::cumsum" in {event.key for event in outer.key_averages()}


def test_a_block_that_fails_is_not_counted_and_fails_on() -> None:
    with pytest.raises(ValueError, match="inside"), machine.peak_memory("cpu") as peak:
        raise ValueError("inside")
    assert peak.bytes is None


def test_the_peak_is_none_where_torch_cannot_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.profiler, "kineto_available", lambda: False)
    with machine.peak_memory("cpu") as peak:
        torch.zeros(10)
    assert peak.bytes is None


# Load


@linux
def test_load_sees_a_burning_process() -> None:
    burn = "print('ready', flush=True)\nwhile True: pass"
    with program(burn), machine.busy_elsewhere() as load:
        time.sleep(0.5)
    # one core, or others compete for it and are just as busy; half, for ticks and short throttling
    assert 0.5 / machine.cores() < load.share <= 1


@linux
def test_load_is_not_what_the_process_does_itself() -> None:
    """Of one core, what is ours and what is theirs are no more than all, however noisy it is."""
    code = """if True:
    import os, time
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    from bench import machine
    with machine.busy_elsewhere() as load:
        started, own = time.monotonic(), time.process_time()
        while time.monotonic() < started + 0.5:
            pass
        own = (time.process_time() - own) / (time.monotonic() - started)
    print(own + load.share)
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    # counted twice, ours would make it 1 + own; a fifth is what ticks of 10 ms can be off
    assert float(done.stdout) < 1.2


def stat(proc: Path, *lines: str) -> None:
    (proc / "stat").write_text("\n".join(["cpu 9 9 9 9 9 9 9 9 9 9", *lines, "intr 5 0 0"]))


@linux
def test_load_counts_the_busy_columns_of_its_own_cores(
    proc: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware.os, "sched_getaffinity", lambda thread: {1, 12})
    stat(proc, *(f"cpu{n} 0 0 0 0 0 0 0 0 0 0" for n in (0, 1, 2, 12)))
    clock = iter([100.0, 110.0])
    monkeypatch.setattr(load_room.time, "monotonic", lambda: next(clock))
    own = iter([0.0, 1.0])
    monkeypatch.setattr(load_room.time, "process_time", lambda: next(own))
    with machine.busy_elsewhere() as load:
        # user nice system idle iowait irq softirq steal guest guest_nice; guest is part of user
        stat(
            proc,
            "cpu0 1000 0 0 0 0 0 0 0 0 0",
            f"cpu1 {_ticks(2)} {_ticks(1)} 0 777 888 0 0 0 999 999",
            "cpu2 1000 0 0 0 0 0 0 0 0 0",
            f"cpu12 0 0 {_ticks(0.5)} 777 888 {_ticks(0.5)} {_ticks(0.5)} {_ticks(0.5)} 0 0",
        )
    # 5 s busy on two cores within 10 s, of which 1 s was this process's own
    assert load.share == pytest.approx((5 - 1) / 20)


def _ticks(seconds: float) -> int:
    return round(seconds * os.sysconf("SC_CLK_TCK"))


def test_load_is_none_where_it_cannot_be_reported(proc: Path) -> None:
    with machine.busy_elsewhere() as load:
        time.sleep(0.25)
    assert load.share is None


@linux
def test_load_of_a_moment_is_none() -> None:
    with machine.busy_elsewhere() as load:
        pass
    assert load.share is None


# The lock

HOLD = """if True:
    from bench import machine
    with machine.timing_lock():
        print("ready", flush=True)
        input()
    """
WAIT = """if True:
    import signal
    from bench import machine
    signal.signal(signal.SIGINT, signal.default_int_handler)
    reported = []
    def waiting():
        if not reported:
            print("ready", flush=True)
        reported.append(1)
    with machine.timing_lock(waiting):
        print("inside")
    """


class ExcludedError(Exception):
    pass


def refuse() -> None:
    raise ExcludedError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the test's own for the lock, here and in other processes."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_second_process_is_kept_out_until_the_first_is_through(folder: Path) -> None:
    with program(HOLD) as other:
        with pytest.raises(ExcludedError), machine.timing_lock(refuse):
            pytest.fail("two processes held the lock")
        other.communicate("\n", timeout=30)
        assert other.returncode == 0
    with machine.timing_lock(refuse):
        pass


def test_who_is_killed_lets_go(folder: Path) -> None:
    with program(HOLD) as other:
        other.kill()
        other.wait(timeout=30)
        with machine.timing_lock(refuse):
            pass


def test_who_waits_gets_in(folder: Path) -> None:
    with ExitStack() as after:
        with machine.timing_lock():
            other = after.enter_context(program(WAIT))
            assert other.poll() is None
        output, _ = other.communicate(timeout=30)
    assert output == "inside\n"


def test_ctrl_c_ends_the_wait(folder: Path) -> None:
    with machine.timing_lock(), program(WAIT) as other:
        other.send_signal(signal.SIGINT)
        output, errors = other.communicate(timeout=30)
    assert output == ""
    assert errors.strip().endswith("KeyboardInterrupt")


def test_an_error_inside_lets_go(folder: Path) -> None:
    with pytest.raises(ExcludedError), machine.timing_lock():
        raise ExcludedError
    with machine.timing_lock(refuse):
        pass


def test_a_lock_that_cannot_be_opened_is_reported(folder: Path) -> None:
    (folder / f"bench-{os.getuid()}.lock").mkdir()
    with pytest.raises(UsageError, match=r"bench-.*\.lock: cannot be locked: .*TMPDIR"):
        machine.timing_lock().__enter__()


def test_a_link_in_the_lock_s_place_is_not_followed(folder: Path) -> None:
    (folder / f"bench-{os.getuid()}.lock").symlink_to(folder / "elsewhere")
    with pytest.raises(UsageError, match="cannot be locked"):
        machine.timing_lock().__enter__()
    assert not (folder / "elsewhere").exists()


def test_the_room_is_torch_free() -> None:
    code = (
        "import sys\nfrom bench import machine\nmachine.identity('cpu')\n"
        "with machine.busy_elsewhere(): pass\n"
        "assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
