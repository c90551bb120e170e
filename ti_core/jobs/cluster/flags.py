"""Flags that send jobs to a Ray cluster."""

from __future__ import annotations

import argparse


def add_cluster_flags(parser: argparse.ArgumentParser) -> None:
    """Those of the server."""
    parser.add_argument(
        "--ray",
        metavar="ADDRESS",
        default="",
        help="send trainings to a Ray cluster (docs/cluster.md): auto for the one that runs on this computer, or"
        " host:port; needs the package ray",
    )
    parser.add_argument(
        "--ray-carry",
        action="store_true",
        help="with --ray: carry photos to all nodes and results back, even where these see the workspace",
    )
    parser.add_argument(
        "--ray-without-token",
        action="store_true",
        help="with --ray: use nodes that ask for no token too; whoever reaches their ports can run programs there",
    )
