"""DeepCluster on CIFAR-10, with k-means' and with the graph's pseudo-labels."""

from selfsort.reproduce.recipe import Recipe, Row, Variant, codes

RECIPE = Recipe(
    title="DeepCluster",
    method="deepcluster",
    data="cifar-10",
    rows=(
        Row("train-test", name="pseudo-labels of k-means", params={"pseudo_labels": "kmeans"}),
        Row("train-test", name="pseudo-labels of the graph", params={"pseudo_labels": "graph"}),
    ),
    source="no number that we could verify: Caron et al., ECCV 2018, report ImageNet alone",
    params={"n_clusters": 10},
    full=Variant(minutes=30, params={"backbone": "alexnet", "width": 96, "n_epochs": 200}),
    cpu=Variant(minutes=15, params={"backbone": "vgg-f", "width": 16, "n_epochs": 20}),
    note="Its settings were found in trials on 10,000 training images with seed 100.",
    shown=("linear", "knn", "acc", "nmi"),
    measure=codes,
)
