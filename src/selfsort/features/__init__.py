"""From pixels to geometry: encoders, the feature cache, neighbors, the graph, k-means, projections and the map."""
