"""SCAN as in the Keras example, whose every image ends in one cluster."""

from selfsort.reproduce.recipe import Recipe, Row, Variant

RECIPE = Recipe(
    title="SCAN, 20 clusters",
    method="scan",
    data="cifar-10",
    rows=(Row("pooled", {"acc_many_to_one": 0.1}),),
    source="Keras example 'Semantic Image Clustering', whose page shows all 60,000 images in cluster 18",
    params={"n_clusters": 20, "n_neighbors": 5, "prior": "equal"},
    full=Variant(
        minutes=10,
        params={
            "backbone": "resnet18",
            "width": 64,
            "pretext_epochs": 50,
            "temperature": 0.1,
            "batch_size": 512,
            "n_epochs": 50,
        },
    ),
    cpu=Variant(
        minutes=35,
        params={
            "backbone": "airbench",
            "width": 32,
            "pretext_epochs": 25,
            "pretext_optimizer": "muon",
            "pretext_learning_rate": 0.02,
            "pretext_weight_decay": 0.05,
            "pretext_growth": 0.9,
            "temperature": 0.1,
            "batch_size": 256,
            "n_epochs": 4,
            "label_epochs": 0,
            "learning_rate": 1e-3,
        },
    ),
    note="Each cluster is named by its most frequent class, as the example has it.",
    shown=("acc_many_to_one", "acc", "nmi", "n_clusters", "largest_share"),
)
