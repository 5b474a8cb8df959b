"""What commands say while they work."""

from selfsort import progress


def test_time_left_where_a_stage_begins_again(monkeypatch, capsys):
    now = iter([0.0, 0.0, 50.0, 100.0, 100.0, 1000.0, 1000.0, 1020.0, 1040.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(now))
    report = progress.plain_lines()
    for done in (0, 50, 100, 100, 10, 10, 30, 50):  # the second time 10 of them come from a cache
        report("decode", done, 100)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "decode: 50 of 100, about 50 s left"
    assert lines[-1] == "decode: 50 of 100, about 50 s left"
    assert lines[-2] == "decode: 30 of 100, about 70 s left"
