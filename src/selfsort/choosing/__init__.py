"""Choosing without labels: which clustering is better, and how many clusters there are."""

from selfsort.choosing.consensus import consensus, vote
from selfsort.choosing.how_many import KChoice, choose_k
from selfsort.choosing.scores import SCORES, label_free_scores, neighbor_graph

__all__ = ["SCORES", "KChoice", "choose_k", "consensus", "label_free_scores", "neighbor_graph", "vote"]
