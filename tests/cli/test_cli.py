"""The command as people run it: exit codes, one sentence on stderr, JSON alone on stdout."""

import contextlib
import json
import os
import pty
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from prompts.file import DEFAULT_PROMPT, SUFFIX, read_prompt

pytestmark = pytest.mark.slow

ARTIFACT = Path(__file__).parents[1] / "artifacts" / f"v1-kv{SUFFIX}"
ATTUNE = [sys.executable, "-I", "-m", "attune"]


def attune(
    *arguments: str, model: Path | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "200"}
    if model is not None:
        environment["ATTUNE_MODEL"] = str(model)
    return subprocess.run(
        [*ATTUNE, *arguments], capture_output=True, text=True, env=environment, cwd=cwd, check=False
    )


def refused(done: subprocess.CompletedProcess[str], code: int, sentence: str) -> None:
    """One sentence on stderr, nothing on stdout, the right exit code."""
    assert done.returncode == code, done.stderr
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    file = tmp_path / "repository" / "src" / "app.py"
    (tmp_path / "repository" / ".git").mkdir(parents=True)
    file.parent.mkdir()
    file.write_text("import os\n\n\ndef main():\n    return os.environ\n", encoding="utf-8")
    return file


@pytest.fixture
def tunable(tmp_path: Path) -> Path:
    root = tmp_path / "tunable"
    root.mkdir()
    for n in range(6):
        lines = (f"def f_{n}_{m}(x_{m}):\n    return x_{m} + {n}\n\n" for m in range(4 + n))
        (root / f"file_{n}.py").write_text("\n".join(lines))
    return root


def test_complete_prints_text_or_says_why_not(source: Path, tiny_model: Path) -> None:
    done = attune("complete", f"{source}:5:12", "--json", model=tiny_model)
    answer = json.loads(done.stdout)
    assert done.returncode == (0 if answer["text"] else 1)
    assert answer["kind"] == "line"
    assert answer["prompt"] is None
    silent = attune("complete", f"{source}:4:6", model=tiny_model)
    refused(silent, 1, "no completion here: the cursor stands inside a word.")


BAD_PLACES = {
    "app.py": "is not FILE:LINE:COL",
    "app.py:x:1": "is not FILE:LINE:COL",
    "app.py:9:1": "line 9 does not exist; the file has 6 lines",
    "app.py:1:99": "column 99 does not exist; line 1 ends at column 10",
    "app.py:0:1": "line 0 does not exist",
    "none.py:1:1": "cannot be read",
    ".:1:1": "cannot be read",
}


@pytest.mark.parametrize("place", BAD_PLACES)
def test_bad_places(place: str, source: Path) -> None:
    refused(attune("complete", place, cwd=source.parent), 2, BAD_PLACES[place])


def test_another_encoding_and_a_huge_file_are_answered_with_a_notice(
    source: Path, tiny_model: Path
) -> None:
    latin = source.with_name("latin.py")
    latin.write_bytes(b"caf\xe9 = 1\nx = \n")
    shown = attune("why", f"{latin}:2:5", "--json", model=tiny_model)
    assert "latin.py is not UTF-8" in shown.stderr
    assert json.loads(shown.stdout)["pieces"]
    huge = source.with_name("huge.py")
    huge.write_bytes(b"x = 1\n" * 400_000)
    shown = attune("why", f"{huge}:200000:5", model=tiny_model)
    assert "too large to be parsed: only the plain window" in " ".join(shown.stdout.split())


def test_bad_models(source: Path, tiny_model: Path, tmp_path: Path) -> None:
    at = f"{source}:5:12"
    refused(attune("complete", at, model=tmp_path / "none"), 2, "There is no model folder")
    cut = tmp_path / "cut"
    shutil.copytree(tiny_model, cut)
    weights = cut / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:500])
    refused(attune("complete", at, model=cut), 2, "missing or truncated")


def test_bad_prompts(source: Path, tiny_model: Path, tmp_path: Path) -> None:
    at = f"{source}:5:12"
    artifact = Path(__file__).parents[1] / "artifacts" / "v1-kv.attune.safetensors"
    foreign = attune("complete", at, "--prompt", str(artifact), model=tiny_model)
    refused(foreign, 2, "does not fit model")
    missing = attune("complete", at, "--prompt", "none.attune.safetensors", model=tiny_model)
    refused(missing, 2, "cannot be read")
    weights = str(tiny_model / "model.safetensors")
    refused(attune("complete", at, "--prompt", weights, model=tiny_model), 2, "manifest")


def test_inspect(tmp_path: Path) -> None:
    artifact = Path(__file__).parents[1] / "artifacts" / "v1-kv.attune.safetensors"
    shown = attune("prompt", "inspect", str(artifact))
    assert shown.returncode == 0
    assert "virtual tokens" in shown.stdout
    described = json.loads(attune("prompt", "inspect", str(artifact), "--json").stdout)
    assert described["manifest"]["form"] == "kv"
    assert len(described["sha256"]) == 64
    cut = tmp_path / "cut.attune.safetensors"
    cut.write_bytes(artifact.read_bytes()[:-1])
    refused(attune("prompt", "inspect", str(cut)), 2, "cut.attune.safetensors")


def test_tune_and_eval(tunable: Path, tiny_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "p.attune.safetensors"
    tuning = ("tune", str(tunable), "--minutes", "0.05", "--out", str(out))
    done = attune(*tuning, "--json", model=tiny_model)
    report = json.loads(done.stdout)
    assert done.returncode == (0 if report["proven"] else 1), done.stderr
    written = Path(report["written"])
    assert written.exists()
    assert (written == out) == report["proven"]
    page = tmp_path / "page.html"
    assert attune("report", str(written), "--html", str(page)).returncode == 0
    assert "<svg" in page.read_text()
    measured = attune("eval", str(tunable), "--prompt", str(written), "--json", model=tiny_model)
    proof = json.loads(measured.stdout)
    assert not (tmp_path / "p.unfinished.safetensors").exists()
    # Another process: the last bit of a float32 sum may round the other way.
    assert proof["gain"] == pytest.approx(report["proof"]["gain"], abs=1e-4)
    shown = attune("eval", str(tunable), "--prompt", str(written), model=tiny_model)
    assert "bits per byte" in shown.stdout


def test_status_of_the_prompt_that_serves_a_file(tunable: Path, tiny_model: Path) -> None:
    folder = tunable / ".attune"
    folder.mkdir()
    shutil.copy(ARTIFACT, folder / f"own{SUFFIX}")
    (folder / "attune.toml").write_text('[[route]]\nglobs = ["file_1.py"]\nprompt = "own"\n')

    def status(file: Path) -> subprocess.CompletedProcess[str]:
        return attune("status", str(tunable), "--for", str(file), model=tiny_model)

    refused(status(tunable / "file_1.py"), 2, "Prompt 'example' does not fit")
    refused(status(tunable / "file_2.py"), 2, "No prompt serves file_2.py: there is none yet")
    refused(status(tunable.parent / "file_1.py"), 2, "name a file of the repository")


def test_progress_as_json_lines(tunable: Path, tiny_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "p.attune.safetensors"
    tuning = ("tune", str(tunable), "--steps", "4", "--out", str(out), "--progress-json")
    done = attune(*tuning, "--json", model=tiny_model)
    lines = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    phases = list(dict.fromkeys(line["phase"] for line in lines))
    assert phases == ["initialise", "train", "calibrate", "evaluate"]
    training = [line for line in lines if line["phase"] == "train"]
    assert [line["done"] for line in training] == [0.25, 0.5, 0.75, 1.0]
    assert [line["steps"] for line in training] == [1, 2, 3, 4]
    assert {line["description"] for line in training} == {"Tuning"}
    assert lines[-1]["seconds_left"] == 0.0
    report = json.loads(done.stdout)
    selected = next(
        point for point in report["validation"] if point["step"] == report["selected_step"]
    )
    assert lines[-1]["selected_gain"] == selected["gain"]


ONE = ["-I", "-m", "attune"]
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
ACCELERATE = ["-m", "accelerate.commands.launch", "--cpu", "--num_processes=2",
              "--num_machines=1", "--mixed_precision=no", "--dynamo_backend=no",
              "--main_process_port=0"]  # fmt: skip


def test_two_processes_end_where_one_does(tunable: Path, tiny_model: Path, tmp_path: Path) -> None:
    """The processes share the examples and sum the gradient over gloo.

    Of the form kv, which is not pruned: of two tokens that are looked at alike, a last digit
    decides which one stays.
    """
    ends = {}
    for name, launched in (
        ("one", ONE),
        ("torchrun", [*TORCHRUN, "-m", "attune"]),
        ("accelerate", [*ACCELERATE, "-m", "attune"]),
    ):
        out = tmp_path / name / "p.attune.safetensors"
        done = subprocess.run(
            [sys.executable, *launched, "tune", str(tunable), "--steps", "6", "--out", str(out),
             "--form", "kv", "--json"],
            capture_output=True,
            text=True,
            timeout=240,
            env={**os.environ, "ATTUNE_MODEL": str(tiny_model), "OMP_NUM_THREADS": "1"},
            cwd=tmp_path,
        )  # fmt: skip
        assert '"steps": 6' in done.stdout, done.stderr
        written = next(out.parent.glob("*.attune.safetensors"))
        ends[name] = read_prompt(written)
        assert [file.name for file in out.parent.iterdir()] == [written.name]
    one = ends.pop("one")
    assert one.manifest.recipe["steps"] > 0, "the prompt has moved"
    for other in ends.values():
        np.testing.assert_allclose(other.embeddings, one.embeddings, rtol=1e-3, atol=2e-3)
        gain = other.manifest.measured["gain"]
        assert gain == pytest.approx(one.manifest.measured["gain"], abs=1e-3)


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({}, "no source files"),
        ({"a.txt": b"x"}, "no source files"),
        ({"a.py": b"x = 1\n"}, "too few"),
        ({"a.py": b"\xff", "b.py": b"\xfe"}, "2 not UTF-8"),
    ],
)
def test_nothing_to_tune_on(
    files: dict[str, bytes], sentence: str, tmp_path: Path, tiny_model: Path
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    for name, content in files.items():
        (root / name).write_bytes(content)
    refused(attune("tune", str(root), model=tiny_model), 2, sentence)
    assert {file.name for file in root.iterdir()} == set(files), "nothing is left behind"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--out", "p.bin"], "does not end with"),
        (["--out", "file_0.py/p.attune.safetensors"], "cannot be written"),
        (["--seed", "99999999999999999999999"], "--seed"),
        (["--minutes", "0"], "--minutes"),
        (["--refresh", "--include", "a/**"], "leave out --include"),
        (["--refresh", "--form", "kv"], "leave out --form"),
        (["--refresh"], "has no prompt of its own yet"),
    ],
)
def test_bad_options(options: list[str], sentence: str, tunable: Path, tiny_model: Path) -> None:
    done = attune("tune", ".", *options, model=tiny_model, cwd=tunable)
    refused(done, 2, sentence)


def test_the_repository_around_is_meant_where_none_is_named(
    tunable: Path, tiny_model: Path
) -> None:
    (tunable / ".attune").mkdir()
    (tunable / ".attune" / "prompt.attune.safetensors").write_bytes(b"nonsense")
    (tunable / "deep" / "down").mkdir(parents=True)
    for command in (("prompt", "list"), ("doctor",)):
        done = attune(*command, model=tiny_model, cwd=tunable / "deep" / "down")
        assert "prompt.attune" in done.stdout, done.stderr
        here = ("-C", ".") if command[0] == "prompt" else (".",)
        done = attune(*command, *here, model=tiny_model, cwd=tunable / "deep" / "down")
        assert "prompt.attune" not in done.stdout


def test_no_repository(tmp_path: Path, tiny_model: Path) -> None:
    refused(attune("tune", str(tmp_path / "none"), model=tiny_model), 2, "is not a folder")


def test_ctrl_c_ends_a_run_at_once(tunable: Path, tiny_model: Path) -> None:
    """On a terminal of its own, because the progress that tells when to press shows only there."""
    environment = {**os.environ, "ATTUNE_MODEL": str(tiny_model), "TERM": "xterm"}
    terminal, other_end = pty.openpty()
    with subprocess.Popen(
        [*ATTUNE, "tune", str(tunable), "--minutes", "3"],
        stdout=subprocess.DEVNULL,
        stderr=other_end,
        env=environment,
        # a shell that runs the tests in the background has them ignore the signal
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    ) as running:
        os.close(other_end)
        seen = b""
        while b"Tuning" not in seen:
            seen += os.read(terminal, 1000)
        running.send_signal(signal.SIGINT)
        with contextlib.suppress(OSError):  # Linux reports a closed terminal as an error
            while more := os.read(terminal, 1000):
                seen += more
        running.wait(timeout=60)
    os.close(terminal)
    assert b"stopped by Ctrl-C" in seen
    assert b"Traceback" not in seen
    kept = (tunable / DEFAULT_PROMPT).exists()
    assert running.returncode == (0 if kept else 1)


def test_doctor_finds_what_is_wrong(tunable: Path, tiny_model: Path) -> None:
    well = attune("doctor", str(tunable), "--json", model=tiny_model)
    findings = {one["subject"]: one for one in json.loads(well.stdout)["findings"]}
    assert 'run "attune tune"' in findings["prompt"]["value"]
    (tunable / ".attune").mkdir()
    (tunable / ".attune" / "prompt.attune.safetensors").write_bytes(b"nonsense")
    ill = attune("doctor", str(tunable), model=tiny_model)
    assert ill.returncode == 1
    assert "PROBLEM" in ill.stdout
    refused(attune("doctor", str(tunable / "none"), model=tiny_model), 2, "no folder")
    lost = attune("doctor", str(tunable), model=tunable / "none")
    assert lost.returncode == 1
    assert "no model folder" in lost.stdout.replace("\n", " ")


@pytest.mark.parametrize("address", ["8765", "localhost:x", "localhost:99999"])
def test_bad_addresses(address: str) -> None:
    done = attune("serve", "--tcp", address)
    assert done.returncode == 2
    assert "HOST:PORT" in done.stderr


def test_an_address_that_others_reach_needs_a_token(tmp_path: Path) -> None:
    token = tmp_path / "token"
    refused(attune("serve", "--tcp", "0.0.0.0:0"), 2, "--token-file")
    refused(attune("serve", "--tcp", "0.0.0.0:0", "--token-file", str(token)), 2, "cannot be read")
    token.write_text("short\n")
    refused(attune("serve", "--tcp", "0.0.0.0:0", "--token-file", str(token)), 2, "32 characters")


def test_a_traceback_is_shown_only_when_asked(tmp_path: Path) -> None:
    missing = str(tmp_path / "none.py:1:1")
    assert "Traceback" not in attune("complete", missing).stderr
    assert "Traceback" in attune("-v", "complete", missing).stderr


def test_a_workspaces_own_packages_are_never_imported(source: Path, tiny_model: Path) -> None:
    for name in ("prompts", "tuning", "code_model", "torch"):
        package = source.parent / name
        package.mkdir()
        (package / "__init__.py").write_text("raise SystemExit('the workspace was imported')\n")
    done = attune("complete", "app.py:5:12", "--json", model=tiny_model, cwd=source.parent)
    assert json.loads(done.stdout)["kind"] == "line"
