"""A Ray cluster of a head, where no job runs, and one node on this computer, as a program of its own that lives until
its input is closed. It prints the address, and obeys lines: "add" brings another node, "kill" ends the first one at
once, "head" ends the head.
"""

from __future__ import annotations

import sys

from ray.cluster_utils import Cluster

SMALL = {"object_store_memory": 80 * 2**20}


def main(python_path: str = "") -> None:
    """Until the input is closed. `python_path` is where the node looks for packages first; a second one does not."""
    cluster = Cluster(initialize_head=True, head_node_args={**SMALL, "num_cpus": 0, "include_dashboard": False})
    variables = {"env_vars": {"PYTHONPATH": python_path}} if python_path else {}
    first = cluster.add_node(num_cpus=1, **SMALL, **variables)
    if python_path:
        cluster.add_node(num_cpus=1, **SMALL)
    print(f"address {cluster.address}", flush=True)
    for line in sys.stdin:
        match line.strip():
            case "add":
                cluster.add_node(num_cpus=1, **SMALL)
            case "kill":
                cluster.remove_node(first, allow_graceful=False)
            case "head":
                cluster.head_node.kill_gcs_server()
        print("done", flush=True)
    cluster.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
