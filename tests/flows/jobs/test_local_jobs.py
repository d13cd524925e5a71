"""A queue in a folder: a YAML file per job, moved by renames, held by locks of living processes."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.dub_report import DubReport
from flows.jobs.job import Job, State, absolute, find_job, job_key
from flows.jobs.local_jobs import LocalJobs, default_queue
from flows.settings import DubSettings
from stores.errors import InputError, MediaError, StoreError
from tasks.engine.run import NoProgress, Progress
from tests.command import invoke
from tests.media_factory import make_audio, make_video

Make = Callable[..., DubSettings]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Settings of dubs of files that are there."""
    for name in ("a.mp4", "b.wav"):
        (tmp_path / name).write_text(name)

    def make(output: str = "out.mp4", **changes: Any) -> DubSettings:
        files = {"video": tmp_path / "a.mp4", "audio": tmp_path / "b.wav"}
        given = {**files, "output": tmp_path / output, "store": str(tmp_path / "s")}
        return DubSettings.model_validate(given | changes)

    return make


@pytest.fixture
def queue(tmp_path: Path) -> LocalJobs:
    return LocalJobs(tmp_path / "jobs")


def report(settings: DubSettings, progress: Progress) -> DubReport:
    """A dub that ends well at once."""
    some: dict[str, Any] = {"frames": 9, "valid_frames": 9, "no_face_ranges": [], "stages": []}
    some |= {"seconds": 0, "speech_seconds": 0, "notes": ["it is short"], "versions": {}}
    return DubReport(run="0123456789ab", output=settings.output, **some)


def pass_through(settings: DubSettings, progress: Progress) -> DubReport:
    """A dub of a video without a face."""
    notes = ["no face was found: enlarge it"]
    return report(settings, progress).model_copy(update={"valid_frames": 0, "notes": notes})


def refuse(settings: DubSettings, progress: Progress) -> DubReport:
    raise MediaError("a.mp4 is no video")


def states(queue: LocalJobs) -> dict[str, str]:
    """Output → state, as folders and files say it alike."""
    for job in queue.all():
        text = (queue.folder / job.state / f"{job.id}.yaml").read_text()
        assert yaml.safe_load(text)["state"] == job.state
    return {job.output.stem: job.state.value for job in queue.all()}


def test_a_submission_twice_is_one_job_whatever_became_of_it(queue: LocalJobs, make: Make) -> None:
    job, new = queue.submit("k", make())
    assert new and job.state is State.QUEUED
    assert queue.submit("k", make()) == (job, False)
    queue.wait([job.id], report, NoProgress())
    again, new = queue.submit("k", make())
    assert (again.state, again.run, again.attempts, new) == (State.DONE, "0123456789ab", 1, False)
    assert len(list(queue.folder.rglob("*.yaml"))) == 1


def test_its_key_is_what_goes_in_and_how(make: Make, tmp_path: Path) -> None:
    def key(**changes: Any) -> str:
        given = make(**changes)
        return job_key(given, [given.video, given.audio])

    first = key()
    assert key() == key(workers=3) == first
    assert key(output="other.mp4") != first != key(face="track:1")
    (tmp_path / "b.wav").write_text("other words")
    assert key() != first


def test_jobs_are_run_in_order_and_a_failed_one_stops_no_other(
    queue: LocalJobs, make: Make
) -> None:
    ids = [queue.submit(name, make(f"{name}.mp4"))[0].id for name in ("one", "two", "three")]
    ran: list[str] = []

    def perform(settings: DubSettings, progress: Progress) -> DubReport:
        ran.append(settings.output.stem)
        assert states(queue)[settings.output.stem] == "running"
        return (refuse if settings.output.stem == "one" else report)(settings, progress)

    queue.wait(ids[:2], perform, NoProgress())
    assert ran == ["one", "two"]
    assert states(queue) == {"one": "failed", "two": "done", "three": "queued"}
    failed = find_job(queue.all(), "one.mp4")
    assert failed.error == "a.mp4 is no video"
    queue.retry(failed)
    assert find_job(queue.all(), failed.id).error == ""
    queue.wait(ids, report, NoProgress())
    assert set(states(queue).values()) == {"done"}
    assert find_job(queue.all(), failed.id).attempts == 2
    assert ran == ["one", "two"]


def test_a_dub_with_nothing_to_dub_is_filtered_and_notes_are_kept(
    queue: LocalJobs, make: Make
) -> None:
    job, _ = queue.submit("k", make())
    queue.wait([job.id], pass_through, NoProgress())
    assert states(queue) == {"out": "filtered"}
    filtered = find_job(queue.all(), job.id)
    assert (filtered.state.ended, filtered.run) == (True, "0123456789ab")
    assert filtered.error == "no usable face in any frame: the picture passed through"
    assert filtered.notes == ["no face was found: enlarge it"]
    again = queue.retry(filtered)
    assert (again.state, again.error, again.notes) == (State.QUEUED, "", [])
    queue.wait([job.id], report, NoProgress())
    assert find_job(queue.all(), job.id).notes == ["it is short"]


def test_ctrl_c_queues_again_and_cancel_does_not(queue: LocalJobs, make: Make) -> None:
    job, _ = queue.submit("k", make())

    def stopped(settings: DubSettings, progress: Progress) -> DubReport:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        queue.wait([job.id], stopped, NoProgress())
    assert states(queue) == {"out": "queued"}

    def cancelled(settings: DubSettings, progress: Progress) -> DubReport:
        queue.cancel(find_job(queue.all(), job.id))  # sends this process a signal
        raise AssertionError

    queue.wait([job.id], cancelled, NoProgress())
    assert states(queue) == {"out": "cancelled"}
    with pytest.raises(InputError, match="there is nothing to cancel"):
        queue.cancel(find_job(queue.all(), job.id))
    assert queue.cancel(queue.retry(find_job(queue.all(), job.id))).error == "before it ran"


_RUN = """
import sys, time
from pathlib import Path
from flows.jobs.local_jobs import LocalJobs
from tasks.engine.run import NoProgress
def perform(settings, progress):
    print("begun", flush=True)
    time.sleep(600)
queue = LocalJobs(Path(sys.argv[1]))
queue.wait([job.id for job in queue.all()], perform, NoProgress())
"""


def test_what_a_killed_process_ran_is_queued_again(queue: LocalJobs, make: Make) -> None:
    job, _ = queue.submit("k", make())
    command = [sys.executable, "-c", _RUN, str(queue.folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "begun\n"
        running = find_job(queue.all(), job.id)
        assert (running.state, running.process) == (State.RUNNING, other.pid)
        with queue._claimed([job.id]) as ours:
            assert ours is None  # another process has it
        other.send_signal(signal.SIGKILL)
        other.wait()
    queue.wait([job.id], report, NoProgress())
    assert (find_job(queue.all(), job.id).attempts, states(queue)) == (2, {"out": "done"})


def test_what_a_killed_process_ran_can_be_cancelled(queue: LocalJobs, make: Make) -> None:
    job, _ = queue.submit("k", make())
    with queue._claimed([job.id]) as claimed:
        assert claimed is not None
    assert queue.cancel(claimed).state is State.CANCELLED
    assert states(queue) == {"out": "cancelled"}


def test_a_job_is_shown_as_the_file_that_makes_it(make: Make, tmp_path: Path) -> None:
    given = make()
    job = Job(id="0", key="k", settings=given.model_dump(mode="json"), error="lost: x")
    file = tmp_path / "job.yaml"
    file.write_text(job.to_yaml())
    assert DubSettings.model_validate(yaml.safe_load(file.read_text())) == absolute(given)
    assert "# error: lost: x\n" in job.to_yaml()


def test_a_folder_that_is_no_queue(make: Make, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="name another folder with --queue"):
        LocalJobs(tmp_path / "file").submit("k", make())
    queue = LocalJobs(tmp_path / "jobs")
    assert queue.all() == []
    queue.submit("k", make())
    (queue.folder / "done" / "x.yaml").write_text("words")
    with pytest.raises(StoreError, match=r"x.yaml is no job"):
        queue.all()


def test_the_folder_is_named_or_the_users_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    monkeypatch.delenv("DUBFLOW_JOBS", raising=False)
    assert default_queue() == Path("/state/dubflow/jobs")
    monkeypatch.setenv("DUBFLOW_JOBS", "/named")
    assert default_queue() == Path("/named")


@pytest.fixture
def typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with media and a job.yaml of a dub, in which commands are typed."""
    make_video(tmp_path / "talk.mp4", frames=10)
    make_audio(tmp_path / "german.wav", codec="pcm_s16le")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setenv("DUBFLOW_JOBS", str(tmp_path / "jobs"))
    monkeypatch.setenv("DUBFLOW_STORE", str(tmp_path / "store"))
    monkeypatch.setattr("flows.dub.dub", lambda settings, progress: report(settings, progress))
    dub = ("dub", "talk.mp4", "german.wav", "-o", "out.mp4", "--dry-run")
    Path("job.yaml").write_text(invoke(*dub).stdout)
    return tmp_path


def test_the_command_submits_waits_and_tells_how_it_ended(
    typed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = invoke("jobs", "submit", "job.yaml")
    assert (first.exit_code, "queued: " in first.stderr) == (0, True)
    assert "is there already, queued" in invoke("jobs", "submit", "job.yaml").stderr
    (job,) = json.loads(invoke("jobs", "list", "--json").stdout)
    assert (job["state"], job["settings"]["video"]) == ("queued", str(typed / "talk.mp4"))
    assert invoke("jobs", "wait").exit_code == 0
    assert "# state: done" in invoke("jobs", "show", "out.mp4").stdout
    assert "no jobs" in invoke("jobs", "list", "--state", "failed").stdout
    assert "# note: it is short\n" in invoke("jobs", "show", "out.mp4").stdout
    monkeypatch.setattr("flows.dub.dub", lambda settings, progress: refuse(settings, progress))
    failed = invoke("jobs", "retry", job["id"], "--wait")
    assert failed.exit_code == 2
    assert "failed: a.mp4 is no video" in failed.stderr
    assert invoke("jobs", "retry", "out.mp4").exit_code == 0
    assert "cancelled: " in invoke("jobs", "cancel", job["id"][:6]).stderr
    assert invoke("jobs", "wait", "out.mp4").exit_code == 3


def test_what_a_dub_had_to_say_is_told_and_shown(
    typed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "flows.dub.dub", lambda settings, progress: pass_through(settings, progress)
    )
    ended = invoke("jobs", "submit", "job.yaml", "--wait", "--json")
    assert ended.exit_code == 0
    (job,) = json.loads(ended.stdout)
    assert (job["state"], job["notes"]) == ("filtered", ["no face was found: enlarge it"])
    assert f"{job['id']}: filtered: no usable face in any frame" in ended.stderr
    assert f"job {job['id']}: note: no face was found: enlarge it" in ended.stderr
    shown = invoke("jobs", "show", "out.mp4").stdout
    assert "# state: filtered\n" in shown and "# note: no face was found: enlarge it\n" in shown
    assert "out.mp4" in invoke("jobs", "list", "--state", "filtered").stdout


def test_a_second_submission_says_how_to_run_the_job_again(
    typed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(settings: DubSettings, progress: Progress) -> DubReport:
        settings.output.touch()
        return report(settings, progress)

    def again() -> str:
        told = invoke("jobs", "submit", "job.yaml")
        assert told.exit_code == 0
        return told.stderr.strip()

    monkeypatch.setattr("flows.dub.dub", lambda settings, progress: write(settings, progress))
    invoke("jobs", "submit", "job.yaml", "--wait")
    (job,) = json.loads(invoke("jobs", "list", "--json").stdout)
    done = f"{job['id']} is there already, done: {typed / 'out.mp4'}"
    assert again() == done
    Path("out.mp4").unlink()
    retried = f"`dubflow jobs retry {job['id']}` runs it again"
    assert again() == f"{done}, which is missing; {retried}"
    monkeypatch.setattr("flows.dub.dub", lambda settings, progress: refuse(settings, progress))
    invoke("jobs", "retry", job["id"], "--wait")
    assert again() == f"{done.replace('done', 'failed')}; {retried}"
    invoke("jobs", "retry", job["id"])
    assert "retry" not in again()


def test_all_that_is_wrong_with_a_job_is_told_a_line_each(typed: Path) -> None:
    Path("sub").mkdir()
    job = Path("job.yaml").read_text().replace("crf: 17.0", "crf: 99").replace("talk.mp4", "t.mp4")
    Path("sub/job.yaml").write_text(job)
    Path("rows.csv").write_text("video,audio,output\ntalk.mp4,no.wav,1.mp4\nt.mp4,german.wav,\n")
    refused = invoke("jobs", "submit", "sub/job.yaml", "none.yaml", "rows.csv")
    assert refused.exit_code == 1
    wanted = [
        "sub/job.yaml: encode.crf: input should be less than or equal to 40, got 99",
        f"sub/job.yaml: {typed / 't.mp4'}: no such file; ",
        f"sub/job.yaml: its paths are relative to the current folder, {typed}",
        "none.yaml: no such file; ",
        "rows.csv: row 2: no output given",
        f"rows.csv: row 1 1.mp4: {typed / 'no.wav'}: no such file; ",
        f"rows.csv: row 2 (not given): {typed / 't.mp4'}: no such file; ",
    ]
    lines = refused.stderr.splitlines()
    assert len(lines) == len(wanted), lines
    for line, words in zip(lines, wanted, strict=True):
        assert line.startswith(f"dubflow: {words}"), line
    assert json.loads(invoke("jobs", "list", "--json").stdout) == []


def test_a_batch_is_many_jobs_and_faults_of_all_are_told_before_any(typed: Path) -> None:
    rows = "video,audio,output\ntalk.mp4,german.wav,1.mp4\ntalk.mp4,german.wav,2.mp4\n"
    Path("rows.csv").write_text(rows)
    submitted = invoke("jobs", "submit", "rows.csv", "--key", "night", "--json")
    assert [job["key"] for job in json.loads(submitted.stdout)] == ["night:1", "night:2"]
    assert invoke("jobs", "submit", "rows.csv", "--key", "night", "--wait").exit_code == 0
    Path("rows.csv").write_text(rows + "lost.mp4,german.wav,3.mp4\ntalk.mp4,none.wav,4.mp4\n")
    refused = invoke("jobs", "submit", "rows.csv")
    assert refused.exit_code == 1
    assert "3.mp4: " in refused.stderr and "4.mp4: " in refused.stderr
    assert len(json.loads(invoke("jobs", "list", "--json").stdout)) == 2


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        (("show", "nothing"), 1, "there is no job 'nothing'"),
        (("list", "--state", "faild"), 1, "no state 'faild'; did you mean failed or "),
        (("submit", "none.yaml"), 1, "none.yaml"),
        (("submit",), 2, "FILES is missing"),
    ],
)
def test_lines_that_name_nothing(line: tuple[str, ...], code: int, words: str, typed: Path) -> None:
    ended = invoke("jobs", *line)
    assert (ended.exit_code, words in ended.stderr) == (code, True), ended.stderr


def test_an_output_that_is_there_is_not_replaced_unasked(typed: Path) -> None:
    Path("out.mp4").write_text("mine")
    assert "--overwrite" in invoke("jobs", "submit", "job.yaml").stderr
    assert invoke("jobs", "submit", "job.yaml", "--overwrite").exit_code == 0
    assert list((typed / "jobs" / "queued").iterdir())


def test_waiting_for_another_process_ends_with_its_job(
    queue: LocalJobs, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, _ = queue.submit("k", make())
    with queue._claimed([job.id]) as claimed:
        assert claimed is not None
        polls: list[float] = []

        def other_ends(seconds: float) -> None:
            polls.append(seconds)
            queue._end(claimed, State.DONE, "")

        monkeypatch.setattr(time, "sleep", other_ends)
        queue.wait([job.id], refuse, NoProgress())
    assert len(polls) == 1
