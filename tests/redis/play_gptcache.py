"""Plays log.json through GPTCache: questions in SQLite and FAISS, or, with a capacity, in its map of exact keys."""

import json
from pathlib import Path

import numpy as np
from gptcache import Cache, Config
from gptcache.adapter.adapter import adapt
from gptcache.manager import CacheBase, VectorBase, get_data_manager
from gptcache.processor.post import first
from gptcache.processor.pre import get_prompt
from gptcache.similarity_evaluation import ExactMatchEvaluation, SearchDistanceEvaluation

log = json.loads(Path("log.json").read_text("utf-8"))
vectors = np.load("vectors.npy")
number = {text: at for at, text in enumerate(log["texts"])}
cache = Cache()
if log.get("capacity"):
    cache.init(
        pre_embedding_func=get_prompt,
        data_manager=get_data_manager(data_path="map", max_size=log["capacity"]),
        similarity_evaluation=ExactMatchEvaluation(),
        post_process_messages_func=first,
        config=Config(auto_flush=10**9),
    )
else:
    stored = CacheBase("sqlite", sql_url="sqlite://")
    searched = VectorBase("faiss", dimension=vectors.shape[1], index_path="index")
    cache.init(
        pre_embedding_func=get_prompt,
        embedding_func=lambda prompt, **_: vectors[number[prompt]],
        data_manager=get_data_manager(stored, searched, max_size=10**9),
        # the squared distance of unit vectors is 2 - 2 cosine: bounded by 2, the score is twice the cosine
        similarity_evaluation=SearchDistanceEvaluation(max_distance=2.0),
        post_process_messages_func=first,
        config=Config(similarity_threshold=log["threshold"], auto_flush=10**9, disable_report=True),
    )

sources = []
for event, text in enumerate(log["text"]):
    missed = []

    def ask(event=event, missed=missed, **_):
        missed.append(event)
        return str(event)

    def store(answer, save, **_):
        save(answer)
        return answer

    answer = adapt(ask, lambda found: found, store, prompt=log["texts"][text], cache_obj=cache)
    sources.append(-1 if missed else int(answer))
Path("sources.json").write_text(json.dumps(sources), "utf-8")
