"""Sources of images with their counts."""

from fastapi.testclient import TestClient

from tests.scenes import scene_bytes


def send(client: TestClient, source: str, split: str, seeds: range) -> list[int]:
    files = [("files", (f"{seed}.png", scene_bytes(seed))) for seed in seeds]
    answer = client.post("/images", files=files, data={"source": source, "split": split})
    return [item["image"]["id"] for item in answer.json()["items"]]


def test_sources_have_counts_by_split_and_come_page_by_page(client: TestClient) -> None:
    yard = send(client, "yard", "pool", range(400, 403))
    send(client, "yard", "negative-test", range(403, 405))
    send(client, "", "pool", range(405, 407))
    send(client, "barn", "pool", range(407, 409))
    client.put(f"/images/{yard[0]}/verdict", json={"verdict": "unsure"}).raise_for_status()

    first = client.get("/sources", params={"limit": 2}).json()
    last = client.get("/sources", params={"limit": 2, "after": first["next_after"]}).json()

    assert [item["source"] for item in first["items"]] == ["", "barn"]
    (found,) = last["items"]
    newest = client.get("/images", params={"after_id": yard[-1], "limit": 2}).json()["items"][-1]
    assert found == {
        "source": "yard",
        "num_images": 5,
        "splits": {"pool": 3, "negative_test": 2, "train": 0, "val": 0},
        "num_judged": 1,
        "newest_at": newest["created_at"],
    }
    assert last["next_after"] is None
    assert client.get("/sources", params={"after": ""}).json()["items"][0]["source"] == "barn"
