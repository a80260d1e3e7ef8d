"""The file on the format page is read and written by the real code."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

import runwised.index
from runwised.formats.record import Column, Resume, Rows
from runwised.index.bucket_chunks import BUCKETS_A_CHUNK, FIELDS
from runwised.index.header import MAGIC, VERSION
from runwised.index.run_index import RunIndex
from runwised.index.sidecar import Sidecar, encode

PAGE = Path(runwised.index.__file__).with_name("FORMAT.md").read_text(encoding="utf-8")


def dumped() -> bytes:
    lines = PAGE.partition("## A whole file")[2].split("```")[1].strip().splitlines()
    return b"".join(bytes.fromhex("".join(re.findall(r"\b[0-9a-f]{2}\b", line[4:54]))) for line in lines)


def test_the_file_on_the_page_says_what_the_page_says() -> None:
    data = dumped()
    sidecar = Sidecar(lambda offset, length: data[offset : offset + length], len(data))
    assert sidecar.stamp == b"me"
    assert [(source.key, source.size, source.resume) for source in sidecar.sources] == [("a", 180, Resume(180))]
    assert [sidecar.locate(row) for row in range(3)] == [(0, 7), (0, 60), (0, 120)]
    series = sidecar.history.series("loss")
    assert series.steps.tolist() == [0, 1, 2]
    assert series.times.tolist() == [8.0, 9.0, 10.5]
    assert series.values.tolist() == [0.5, 0.25, 0.125]
    assert sidecar.history.stats("loss").min_step == 2


def test_the_index_on_the_page_is_written_as_the_page_shows() -> None:
    index = RunIndex()
    index.start_source("a")
    columns = (Column("loss", None, np.array([0.5, 0.25, 0.125])),)
    index.fold(Rows("history", np.array([7, 60, 120]), np.array([0, 1, 2]), np.array([8.0, 9.0, 10.5]), columns))
    index.set_resume(0, Resume(180), 180)
    assert b"".join(encode(index, b"me")) == dumped()


def test_the_page_has_the_version_the_magic_and_the_buckets_of_the_code() -> None:
    assert f"version {VERSION}\n" in PAGE
    assert f"`{MAGIC.decode()}`" in PAGE
    assert f"hold {BUCKETS_A_CHUNK} buckets of {len(FIELDS)} fields" in PAGE
    rows = PAGE.partition("| field | what |")[2].partition("\n\n")[0]
    assert re.findall(r"\b(?:low|high|mean|first|last|finite|\w+_(?:from|to))\b(?=[\w, ]*\|.*\|)", rows) == list(FIELDS)
