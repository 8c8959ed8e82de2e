"""Models of other libraries: Transformers video classifiers and timm image encoders."""
