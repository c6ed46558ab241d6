"""The output layer of a checkpoint: which forms are read, that little is, and what damaged ones say."""

import json
import shutil

import numpy as np
import pytest

from pytest_gptoss.model.errors import UsageError
from pytest_gptoss.model.lm_head import read_lm_head
from pytest_gptoss.model.resources import fixture
from pytest_gptoss.model.safetensors_file import as_float32, find_tensor, map_tensor

HEAD, TIED, NORM = "lm_head.weight", "model.embed_tokens.weight", "model.norm.weight"
INDEX = "model.safetensors.index.json"
TINY = fixture("tiny-gpt-oss")


def bf16(values):
    """Bits of float32 values that bfloat16 holds exactly."""
    return (np.asarray(values, dtype=np.float32).view(np.uint32) >> 16).astype(np.uint16)


def exact(shape, seed=0):
    """Values that every stored dtype holds exactly."""
    return np.random.default_rng(seed).integers(-16, 17, shape).astype(np.float32) / 8


STORED = {"BF16": bf16, "F16": np.float16, "F32": np.float32, "I32": np.int32, "U8": np.uint8}


def write(path, tensors, *, cut=0, header=None):
    """A ``.safetensors`` file of name -> (dtype, values); ``cut`` bytes are missing at its end."""
    entries, data = {"__metadata__": {"format": "pt"}}, b""
    for name, (dtype, values) in tensors.items():
        raw = STORED[dtype](values).tobytes()
        place = [len(data), len(data) + len(raw)]
        entries[name] = {"dtype": dtype, "shape": list(np.shape(values)), "data_offsets": place}
        data += raw
    text = json.dumps(entries).encode() if header is None else header
    whole = len(text).to_bytes(8, "little") + text + data
    path.write_bytes(whole[: len(whole) - cut])
    return path


def ordinary(dtype="BF16", head=HEAD):
    return {"model.other": (dtype, exact((3,))), head: (dtype, exact((9, 4))), NORM: (dtype, exact((4,), 1))}


def refusal(path):
    with pytest.raises(UsageError) as caught:
        read_lm_head(path)
    said = str(caught.value)
    assert "\n" not in said
    return said


@pytest.mark.parametrize("dtype", ["BF16", "F16", "F32"])
@pytest.mark.parametrize("head", [HEAD, TIED])
def test_rows_of_a_file_come_exactly_and_in_order(tmp_path, dtype, head):
    found = read_lm_head(write(tmp_path / "a.safetensors", ordinary(dtype, head)))
    assert (found.vocabulary, found.hidden) == (9, 4)
    assert found.norm.tolist() == exact((4,), 1).tolist()
    rows = found.rows([8, 0, 3, 3])
    assert rows.dtype == np.float32
    assert rows.tolist() == exact((9, 4))[[8, 0, 3, 3]].tolist()
    assert found.rows([]).shape == (0, 4)


def test_a_folder_with_one_file(tmp_path):
    write(tmp_path / "model.safetensors", ordinary())
    assert read_lm_head(tmp_path).rows([1]).tolist() == [exact((9, 4))[1].tolist()]


def sharded(folder, **shards):
    """A folder with an index; by shard, name -> (dtype, values)."""
    names = {name: f"{shard}.safetensors" for shard, tensors in shards.items() for name in tensors}
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": names}))
    for shard, tensors in shards.items():
        write(folder / f"{shard}.safetensors", tensors)
    return folder


def test_of_a_folder_with_an_index_only_the_named_shards_are_opened(tmp_path):
    tensors = ordinary()
    folder = sharded(tmp_path, one={HEAD: tensors[HEAD]}, two={NORM: tensors[NORM]}, three={"x": ("U8", [1])})
    (folder / "three.safetensors").unlink()
    assert read_lm_head(folder).rows([2]).tolist() == [exact((9, 4))[2].tolist()]


def test_the_output_layer_goes_before_the_embedding(tmp_path):
    tensors = {**ordinary(), TIED: ("BF16", exact((9, 4), 5))}
    assert read_lm_head(write(tmp_path / "a.safetensors", tensors)).rows([2])[0].tolist() == (
        exact((9, 4))[2].tolist()
    )


def test_the_compact_form_shares_its_last_row():
    found = read_lm_head(TINY)
    assert (found.vocabulary, found.hidden) == (201_088, 128)
    used = map_tensor(find_tensor(TINY, "used_ids"), {"I32": np.int32}).elements
    table = as_float32(map_tensor(find_tensor(TINY, HEAD)).elements)
    absent = sorted(set(range(300)) - set(used.tolist()))[:3]
    assert (found.rows(used) == table[:-1]).all()
    assert (found.rows([*absent, 201_087]) == table[-1]).all()


def test_the_compact_form_as_a_file_alone(tmp_path):
    file = shutil.copy(TINY / "model.safetensors", tmp_path / "weights.safetensors")
    assert read_lm_head(file).vocabulary == 201_088


def test_an_id_that_the_vocabulary_lacks(tmp_path):
    found = read_lm_head(write(tmp_path / "a.safetensors", ordinary()))
    for ids in ([9], [-1, 2]):
        with pytest.raises(IndexError, match="of a vocabulary of 9"):
            found.rows(ids)


# -- what is refused ------------------------------------------------------------------------------


def test_nothing_there(tmp_path):
    assert "nowhere does not exist" in refusal(tmp_path / "nowhere")


def test_a_folder_without_weights(tmp_path):
    assert f"holds neither {INDEX} nor model.safetensors" in refusal(tmp_path)


@pytest.mark.parametrize("missing", [HEAD, NORM])
def test_a_file_without_the_tensor(tmp_path, missing):
    tensors = {name: each for name, each in ordinary().items() if name != missing}
    said = refusal(write(tmp_path / "a.safetensors", tensors))
    assert f"holds no {missing}" in said
    assert (f"nor {TIED}" in said) == (missing == HEAD)


def test_an_embedding_that_is_not_tied_does_not_stand_in(tmp_path):
    (tmp_path / "config.json").write_text('{"tie_word_embeddings": false}')
    said = refusal(write(tmp_path / "a.safetensors", ordinary(head=TIED)))
    assert f"config.json says that {TIED} is not tied" in said


def test_an_index_that_names_a_missing_shard(tmp_path):
    folder = sharded(tmp_path, one=ordinary())
    (folder / "one.safetensors").unlink()
    assert f"one.safetensors is missing, which {INDEX} names for {HEAD}" in refusal(folder)


def test_a_shard_without_what_the_index_says(tmp_path):
    folder = sharded(tmp_path, one=ordinary())
    write(folder / "one.safetensors", {NORM: ordinary()[NORM]})
    assert f"holds no {HEAD}, though {INDEX} says so" in refusal(folder)


@pytest.mark.parametrize("text", ["{", "[]", '{"weight_map": {"a": 1}}', "{}", "[" * 100_000])
def test_an_index_that_is_none(tmp_path, text):
    (tmp_path / INDEX).write_text(text)
    assert INDEX in refusal(tmp_path)


def test_a_truncated_file(tmp_path):
    said = refusal(write(tmp_path / "a.safetensors", ordinary(), cut=1))
    assert f"{NORM} lies at bytes 78 to 86 of the data, the file holds 85: it is cut short" in said


def test_a_header_longer_than_the_file(tmp_path):
    file = tmp_path / "a.safetensors"
    for raw in (b"", b"abc", (10**12).to_bytes(8, "little") + b"{}"):
        file.write_bytes(raw)
        assert "is not readable as safetensors (a header of" in refusal(file)


def test_a_git_lfs_pointer(tmp_path):
    file = tmp_path / "a.safetensors"
    file.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    assert "git-lfs pointer" in refusal(file)


@pytest.mark.parametrize("header", [b"\xff\xfe", b"{", b"[]", b'{"lm_head.weight": {"dtype": "BF16"}}'])
def test_a_broken_header(tmp_path, header):
    said = refusal(write(tmp_path / "a.safetensors", {}, header=header))
    assert "a.safetensors" in said
    assert "fetch it again" in said


def test_a_quantised_output_layer(tmp_path):
    tensors = {**ordinary(), HEAD: ("U8", np.ones((9, 4)))}
    said = refusal(write(tmp_path / "a.safetensors", tensors))
    assert f"{HEAD} is stored as U8, BF16, F16, F32 can be read" in said


def test_a_tensor_of_another_size_than_its_shape(tmp_path):
    entry = {"dtype": "BF16", "shape": [9, 4], "data_offsets": [0, 8]}
    file = write(tmp_path / "a.safetensors", {}, header=json.dumps({HEAD: entry}).encode())
    file.write_bytes(file.read_bytes() + bytes(8))
    assert "has 8 bytes, BF16 [9, 4] takes 72" in refusal(file)


@pytest.mark.parametrize(("head", "norm"), [((9, 4), (5,)), ((9,), (4,)), ((9, 4), (2, 2))])
def test_shapes_that_do_not_fit_each_other(tmp_path, head, norm):
    tensors = {HEAD: ("BF16", exact(head)), NORM: ("BF16", exact(norm))}
    said = refusal(write(tmp_path / "a.safetensors", tensors))
    assert f"the shape {list(head)} and the final norm {list(norm)}" in said


@pytest.mark.parametrize("used", [[3, 2], [2, 2], [-1, 2], [1, 2, 3]])
def test_used_ids_that_do_not_fit(tmp_path, used):
    tensors = {HEAD: ("BF16", exact((3, 4))), NORM: ("BF16", exact((4,))), "used_ids": ("I32", used)}
    assert "does not name the 2 tokens" in refusal(write(tmp_path / "a.safetensors", tensors))
