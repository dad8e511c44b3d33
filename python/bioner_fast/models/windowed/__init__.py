"""The published networks, which read a window around each token: cnn and mlp."""
