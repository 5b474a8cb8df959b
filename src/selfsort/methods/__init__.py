"""The methods, each a scikit-learn estimator in a module of its own that is loaded when it is first asked for.

Every method takes features or images, learns ``labels_`` and predicts new samples; see `selfsort.methods.base` for what
all of them share and promise.
"""

#: Name -> ``"module:Class"``; the contract tests run over all of these.
METHODS: dict[str, str] = {
    "graph": "selfsort.methods.graph:GraphClusterer",
    "kmeans": "selfsort.methods.kmeans:KMeans",
    "ae-kmeans": "selfsort.methods.ae_kmeans:AEKMeans",
    "dec": "selfsort.methods.dec:DEC",
    "idec": "selfsort.methods.dec:IDEC",
    "deepcluster": "selfsort.methods.deepcluster:DeepCluster",
    "iic": "selfsort.methods.iic:IIC",
    "mine": "selfsort.methods.mine:MINE",
    "simclr": "selfsort.methods.simclr:SimCLR",
    "scan": "selfsort.methods.scan:SCAN",
    "turtle": "selfsort.methods.turtle:TURTLE",
    "temi": "selfsort.methods.temi:TEMI",
}
