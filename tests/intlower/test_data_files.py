from __future__ import annotations

import contextlib
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from intlower.compiler.errors import DataError
from intlower.data_files import (
    fit_inputs,
    fit_labels,
    fit_samples,
    read_data,
    read_npz,
    write_npz,
)

IMAGES = np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2)
SHAPE = {"image": (None, 3, 2, 2)}


def npy_bytes(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def archive(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name, data in members.items():
            file.writestr(name, data)
    return path


@settings(deadline=None, max_examples=50)
@given(
    array=st_numpy.arrays(
        st.sampled_from(["f4", "f8", "i1", "u1", "i8", "?", ">f4", ">i2"]),
        st_numpy.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5),
    ),
    fortran=st.booleans(),
)
def test_what_numpy_saves_is_read_back(
    array: np.ndarray, fortran: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("npz") / "x.npz"
    np.savez_compressed(path, x=np.asarray(array, order="F" if fortran else "C"))
    read = read_npz(path)["x"]
    assert read.dtype == array.dtype.newbyteorder("=")
    assert np.array_equal(read, array, equal_nan=array.dtype.kind == "f")
    assert read.flags.c_contiguous


def test_what_is_written_numpy_reads_and_the_bytes_depend_on_the_arrays_alone(
    tmp_path: Path,
) -> None:
    arrays = {"a/b": IMAGES, "labels": np.array([1, 2])}
    write_npz(tmp_path / "one.npz", arrays)
    write_npz(tmp_path / "two.npz", arrays)
    with np.load(tmp_path / "one.npz") as stored:
        assert {name: stored[name].tolist() for name in stored} == {
            name: array.tolist() for name, array in arrays.items()
        }
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.npz", "two.npz"]


def test_a_failing_write_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="No space left"):
        write_npz(tmp_path / "x.npz", {"x": IMAGES})
    assert list(tmp_path.iterdir()) == []


def test_a_link_stays_and_what_it_names_is_written(tmp_path: Path) -> None:
    elsewhere, link = tmp_path / "elsewhere", tmp_path / "link.npz"
    elsewhere.mkdir()
    link.symlink_to(elsewhere / "real.npz")
    write_npz(link, {"x": np.arange(3)})
    assert link.is_symlink()
    with np.load(elsewhere / "real.npz") as written:
        assert written["x"].tolist() == [0, 1, 2]


def test_the_files_of_a_folder_are_joined_in_the_order_of_their_names(tmp_path: Path) -> None:
    for number in (2, 0, 1):
        np.savez(tmp_path / f"part{number}.npz", x=np.full((2, 3), number, np.float32))
    assert read_data(tmp_path)["x"][:, 0].tolist() == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ({"y": IMAGES}, "is not in every file"),
        ({"x": IMAGES[:, :1]}, r"float32\[2, 1, 2, 2\], but float32\[2, 3, 2, 2\]"),
        ({"x": IMAGES.astype(np.float64)}, "float64"),
    ],
)
def test_the_files_of_a_folder_must_fit_each_other(
    second: dict[str, np.ndarray], message: str, tmp_path: Path
) -> None:
    np.savez(tmp_path / "a.npz", x=IMAGES)
    np.savez(tmp_path / "b.npz", **second)
    with pytest.raises(DataError, match=message):
        read_data(tmp_path)


def test_a_folder_without_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no \.npz file"):
        read_data(tmp_path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_data(tmp_path / "x.npz")


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"x.npy": b"no array"},
        {"x.txt": npy_bytes(IMAGES)},
        {"x.npy": npy_bytes(IMAGES)[:-1]},
        {"x.npy": npy_bytes(IMAGES) + b"more"},
        {"x.npy": npy_bytes(np.array(["text"]))},
        {"x.npy": npy_bytes(np.zeros(2, [("a", "f4")]))},
        {"x.npy": npy_bytes(np.array([1 + 2j]))},
        {"x.npy": npy_bytes(np.array([{}], object))},
        {"x.npy": npy_bytes(IMAGES).replace(b"(2, 3, 2, 2)", b"(2,-3,-2, 2)")},
        {"x.npy": npy_bytes(IMAGES).replace(b"(2, 3, 2, 2)", b"(999999999,)")},
    ],
)
def test_an_archive_of_anything_but_plain_arrays_is_refused(
    members: dict[str, bytes], tmp_path: Path
) -> None:
    with pytest.raises(DataError) as caught:
        read_npz(archive(tmp_path / "x.npz", members))
    assert caught.value.hint


def test_an_array_larger_than_the_limit_is_refused_before_it_is_unpacked(
    tmp_path: Path,
) -> None:
    path = tmp_path / "x.npz"
    np.savez_compressed(path, a=np.zeros(1000), b=np.zeros(1_000_000))
    assert path.stat().st_size < 20_000
    with pytest.raises(DataError, match=r"'b' takes 8_000_128 bytes, past the limit"):
        read_npz(path, limit=1_000_000)


def test_an_archive_that_unpacks_to_far_more_than_it_is_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file, file.open("x.npy", "w") as x:
        np.lib.format.write_array_header_1_0(
            x, {"descr": "|u1", "fortran_order": False, "shape": (1 << 28,)}
        )
        for _ in range(1 << 8):
            x.write(bytes(1 << 20))
    assert path.stat().st_size < 1 << 20
    with pytest.raises(DataError, match="times as many as it takes"):
        read_npz(path)


def test_sizes_that_the_archive_states_and_does_not_have_are_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "x.npz", {"x.npy": npy_bytes(np.zeros(100))})
    data = bytearray(path.read_bytes())
    # The central directory's entry: sizes stand 20 and 24 bytes after its signature.
    entry = data.rindex(b"PK\x01\x02")
    for offset in (20, 24):
        data[entry + offset : entry + offset + 4] = (928 + 8).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(DataError):
        read_npz(path)


@settings(deadline=None, max_examples=100)
@given(data=st.data())
def test_a_damaged_archive_is_read_or_refused_and_never_crashes(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("npz") / "x.npz"
    np.savez(path, x=IMAGES, labels=np.array([1, 2]))
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    with contextlib.suppress(DataError):
        read_npz(path)


def test_inputs_that_fit_come_back_as_float32_in_the_models_order() -> None:
    expected = {"b": (None, 2), "a": (4, 1)}
    arrays = {"a": np.ones((4, 1), np.float64), "b": np.ones((4, 2), np.float16)}
    fitted = fit_inputs({**arrays, "labels": np.zeros(4, int)}, expected, "x.npz")
    assert list(fitted) == ["b", "a"]
    assert {array.dtype for array in fitted.values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize(
    ("arrays", "message", "hint"),
    [
        ({"imag": IMAGES}, "'imag' is not an input", "did you mean 'image'"),
        ({"image": IMAGES, "mask": IMAGES}, "'mask' is not an input", "inputs: 'image'"),
        ({"labels": IMAGES}, "'image' is missing", "the file has 'labels'"),
        ({"image": IMAGES[0]}, r"\[3, 2, 2\], not \[N, 3, 2, 2\]", "batch axis"),
        ({"image": IMAGES.transpose(0, 2, 3, 1)}, "not", "channels first"),
        ({"image": IMAGES[:, :2]}, "not", "as the model takes them"),
        ({"image": np.float32(1)}, "not", "as the model takes them"),
        ({"image": IMAGES[:0]}, "no samples", "at least one"),
        ({"image": IMAGES.astype(np.uint8)}, "type uint8, not float32", "astype"),
        ({"image": IMAGES > 0}, "type bool", "astype"),
        ({"image": np.where(IMAGES == 5, np.nan, IMAGES)}, r"nan at \[0, 1, 0, 1\]", "remove"),
        ({"image": IMAGES.astype(np.float64) * 1e300}, "inf at", "remove"),
    ],
)
def test_inputs_that_do_not_fit_are_refused_with_a_hint(
    arrays: dict[str, np.ndarray], message: str, hint: str
) -> None:
    with pytest.raises(DataError, match=message) as caught:
        fit_inputs(arrays, SHAPE, "x.npz")
    assert str(caught.value).startswith("x.npz: ")
    assert hint in caught.value.hint


def test_inputs_of_different_lengths_are_refused() -> None:
    expected = {"a": (None, 2), "b": (None, 2)}
    with pytest.raises(DataError, match="different numbers of samples"):
        fit_inputs({"a": np.ones((1, 2)), "b": np.ones((2, 2))}, expected, "x.npz")


def test_codes_stand_in_for_reals_only_where_they_may() -> None:
    arrays = {"image": IMAGES.astype(np.int8)}
    codes = {"image": np.dtype(np.int8)}
    assert fit_inputs(arrays, SHAPE, "x.npz", codes=codes)["image"].dtype == np.int8
    with pytest.raises(DataError, match="int8, not float32"):
        fit_inputs(arrays, SHAPE, "x.npz")


def test_samples_of_an_unknown_model_may_have_any_shape_but_must_be_samples() -> None:
    arrays = {"anything": IMAGES.astype(np.float64), "labels": np.array([0, 1])}
    assert list(fit_samples(arrays, "x.npz")) == ["anything"]
    with pytest.raises(DataError, match="no samples"):
        fit_samples({"anything": IMAGES[:0]}, "x.npz")
    with pytest.raises(DataError, match="has shape"):
        fit_samples({"anything": np.float32(1)}, "x.npz")


@pytest.mark.parametrize(
    "labels",
    [np.array([0.0, 1.0]), np.array([0, 1, 2]), np.array([[0], [1]]), np.array([0, -1])],
)
def test_labels_that_are_no_classes_are_refused(labels: np.ndarray) -> None:
    with pytest.raises(DataError, match="'labels'"):
        fit_labels({"labels": labels}, 2, "x.npz")


def test_labels_come_back_as_int64() -> None:
    labels = fit_labels({"labels": np.array([3, 1], np.uint8)}, 2, "x.npz")
    assert labels.dtype == np.int64
    assert labels.tolist() == [3, 1]
