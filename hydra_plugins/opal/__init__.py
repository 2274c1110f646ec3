"""OPAL's Hydra plugins; Hydra finds them because the folder above is named hydra_plugins and is on the path."""
