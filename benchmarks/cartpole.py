"""A policy for the cart-pole, trained until its episodes are long: examples/cartpole.py beside the same in PyTorch.

    python benchmarks/cartpole.py [--seeds 5]

Both play and learn by the same method with the same network, until an iteration's episodes have a mean length of 195
of 200 steps; PyTorch is eager, on one thread, and the simulation around it is plain Python, as is usual. The random
numbers differ, so seeds are compared by their median, in seconds and in microseconds a step played.
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "examples"))

import cartpole


def move(state, push):
    """As cartpole.move, for a list."""
    x, v, angle, spin = state
    force, mass, pole, half_length = 10.0 if push else -10.0, 1.1, 0.1, 0.5
    sine, cosine = math.sin(angle), math.cos(angle)
    common = (force + pole * half_length * spin**2 * sine) / mass
    turn = (9.8 * sine - cosine * common) / (half_length * (4 / 3 - pole * cosine**2 / mass))
    pull = common - pole * half_length * turn * cosine / mass
    state[:] = x + 0.02 * v, v + 0.02 * pull, angle + 0.02 * spin, spin + 0.02 * turn
    return abs(state[0]) < 2.4 and abs(state[2]) < 0.2095


def in_torch(seed, iterations):
    """As cartpole.improve."""
    import torch
    from torch import nn

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    random.seed(seed)
    net = nn.Sequential(nn.Linear(4, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 2))
    for layer in net[::2]:
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)
    optimizer, loss = torch.optim.Adam(net.parameters(), 0.02), nn.CrossEntropyLoss()

    def play():
        state, states, actions = [random.uniform(-0.05, 0.05) for _ in range(4)], [], []
        with torch.no_grad():
            for _ in range(cartpole.STEPS):
                p = torch.softmax(net(torch.tensor(state)), 0)
                states.append(list(state))
                actions.append(int(random.random() < p[1].item()))
                if not move(state, actions[-1]):
                    break
        return states, actions

    played, mean = 0, 0.0
    for iteration in range(iterations):
        episodes = sorted((play() for _ in range(cartpole.EPISODES)), key=lambda episode: len(episode[0]))
        lengths = [len(states) for states, _ in episodes]
        played, mean = played + sum(lengths), statistics.mean(lengths)
        if mean >= cartpole.SOLVED:
            return iteration + 1, played, mean
        best = episodes[-cartpole.KEPT :]
        X = torch.tensor([state for states, _ in best for state in states])
        y = torch.tensor([action for _, actions in best for action in actions])
        optimizer.zero_grad()
        loss(net(X), y).backward()
        optimizer.step()
    return iterations, played, mean


def in_fastbp(seed, iterations):
    return cartpole.improve(cartpole.build(seed).handle(cartpole.KEPT * cartpole.STEPS), seed, iterations)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    seeds = range(parser.parse_args().seeds)
    median = {}
    for name, train in (("fastbp", in_fastbp), ("PyTorch", in_torch)):
        train(0, 1)  # compiles, loads
        seconds, each = [], []
        for seed in seeds:
            begin = time.perf_counter()
            iterations, played, mean = train(seed, 300)
            seconds.append(time.perf_counter() - begin)
            each.append(1e6 * seconds[-1] / played)
            print(f"{name}: {iterations} iterations, {played:,} steps, {mean:.1f}: {seconds[-1]:.3f} s", flush=True)
        median[name] = np.median(seconds), np.median(each)
        print(f"{name}: median {median[name][0]:.4f} s, {median[name][1]:.2f} µs a step")
    times, by_step = (median["PyTorch"][i] / median["fastbp"][i] for i in (0, 1))
    print(f"fastbp is {times:.0f} times as fast to the score, {by_step:.0f} times a step")


if __name__ == "__main__":
    main()
