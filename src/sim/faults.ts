import type { SimNode } from "./node.js";
import type { Swarm } from "./swarm.js";

/** Something that a swarm does to a cluster. */
export type Fault = (swarm: Swarm) => void;

/** Ends a fault after a while, unless its node is another one by then. */
function later(swarm: Swarm, node: SimNode, delayMs: number, end: () => void): void {
  swarm.sim.at(delayMs, () => {
    if (!node.isClosed) end();
  });
}

function stallFor(swarm: Swarm, state: "scriptStalled" | "stopped", mostMs: number): void {
  const node = swarm.victim();
  if (node === undefined) return;
  swarm.markUnwell(node.name, "stalled");
  node.stall(state);
  later(swarm, node, swarm.dice.below(mostMs), () => {
    node.resume();
    swarm.markWell(node.name);
  });
}

const joinAgainMs = 5000;
const mostDeafMs = 20_000;
const latestRestartMs = 30_000;
const leaveMs = 5000;
/** What was begun when the faults ended goes on for so long: a leave, the restart after it, its join. */
export const aftermathMs = leaveMs + latestRestartMs + joinAgainMs;

function restart(swarm: Swarm, name: string, newAddress: boolean): void {
  swarm.sim.at(swarm.dice.below(latestRestartMs), () => {
    if (swarm.sim.node(name) !== undefined) return;
    swarm.open(name, newAddress);
    joinUntilIn(swarm, name);
  });
}

/** As an application does whose join failed, through whoever knows most members. */
function joinUntilIn(swarm: Swarm, name: string): void {
  const node = swarm.sim.node(name);
  if (node === undefined || node.memberCount > 1) return;
  const [host] = swarm.sim.nodes.filter((other) => other !== node).sort((a, b) => b.memberCount - a.memberCount);
  if (host !== undefined) node.join(host.name);
  swarm.sim.at(joinAgainMs, () => joinUntilIn(swarm, name));
}

function crash(swarm: Swarm, refuses: boolean): void {
  const node = swarm.victim();
  if (node === undefined || swarm.sim.nodes.length < swarm.names.length / 2) return;
  node.close({ refuses });
  if (swarm.dice.below(2) === 0) restart(swarm, node.name, false);
}

/** Nothing gets to a member, but what it sends gets out: Rapid's figure 9. */
function deafen(swarm: Swarm): void {
  const node = swarm.victim();
  if (node === undefined) return;
  const { network } = swarm.sim;
  swarm.markUnwell(node.name, "deaf");
  for (const name of swarm.names) network.cut(name, node.name);
  later(swarm, node, swarm.dice.below(mostDeafMs), () => {
    for (const name of swarm.names) network.mend(name, node.name);
    swarm.markWell(node.name);
  });
}

/** The kinds of faults, and of life that goes on meanwhile. */
export const faults: Readonly<Record<string, Fault>> = {
  loss: (swarm) => {
    swarm.sim.network.lossRate = swarm.dice.nextFloat() * 0.1;
  },
  duplication: (swarm) => {
    swarm.sim.network.duplicateRate = swarm.dice.nextFloat() * 0.3;
  },
  tails: (swarm) => {
    swarm.sim.network.delay = { kind: "tail", minMs: 0.2, meanMs: swarm.dice.nextFloat() * 20 };
  },
  streamFaults: (swarm) => {
    swarm.sim.network.streamFaultRate = swarm.dice.nextFloat() * 0.5;
  },
  crash: (swarm) => crash(swarm, false),
  crashRefused: (swarm) => crash(swarm, true),
  leave: (swarm) => {
    const node = swarm.victim();
    if (node === undefined || swarm.sim.nodes.length < swarm.names.length / 2) return;
    node.leave();
    swarm.markUnwell(node.name, "leaving");
    later(swarm, node, leaveMs, () => {
      node.close();
      if (swarm.dice.below(2) === 0) restart(swarm, node.name, swarm.dice.below(2) === 0);
    });
  },
  scriptStall: (swarm) => stallFor(swarm, "scriptStalled", 20_000),
  stop: (swarm) => stallFor(swarm, "stopped", 40_000),
  clocks: (swarm) => {
    const node = swarm.victim();
    node?.host.setRate(0.95 + swarm.dice.nextFloat() * 0.1, swarm.sim.nowMs);
    if (swarm.dice.below(4) === 0) node?.host.jump(swarm.dice.below(60_000), swarm.sim.nowMs);
  },
  cut: (swarm) => {
    const [from, to] = [swarm.victim(), swarm.victim()];
    if (from !== undefined && to !== undefined && from !== to) swarm.sim.network.cut(from.name, to.name);
  },
  partition: (swarm) => {
    const parts: string[][] = Array.from({ length: 2 + swarm.dice.below(4) }, () => []);
    for (const name of swarm.names) parts[swarm.dice.below(parts.length)]?.push(name);
    swarm.sim.network.partition(parts);
    swarm.markNetwork(false);
    swarm.sim.at(swarm.dice.below(20_000), () => {
      swarm.sim.network.partition([]);
      swarm.markNetwork(true);
    });
  },
  narrow: (swarm) => {
    const node = swarm.victim();
    if (node === undefined) return;
    const bytesPerSecond = 20_000 + swarm.dice.below(100_000);
    const isShallow = swarm.dice.below(2) === 0;
    if (isShallow) swarm.markUnwell(node.name, "narrow");
    swarm.sim.network.setBandwidth(node.name, bytesPerSecond, isShallow ? 3000 + swarm.dice.below(20_000) : undefined);
  },
  links: (swarm) => {
    const [from, to] = [swarm.victim(), swarm.victim()];
    if (from === undefined || to === undefined) return;
    const link = { baseDelayMs: swarm.dice.below(40), lossRate: swarm.dice.nextFloat() };
    swarm.sim.network.setLink(from.name, to.name, link);
  },
  clog: (swarm) => {
    const [from, to] = [swarm.victim(), swarm.victim()];
    if (from === undefined || to === undefined) return;
    swarm.sim.network.clog(from.name, to.name, swarm.sim.nowMs + swarm.dice.below(10_000));
  },
  reordering: (swarm) => {
    swarm.sim.network.reorderRate = swarm.dice.nextFloat() * 0.3;
  },
  lognormal: (swarm) => {
    swarm.sim.network.delay = { kind: "lognormal", medianMs: 0.2 + swarm.dice.nextFloat() * 10, sigma: 0.5 };
  },
  deaf: deafen,
  // Rapid's figure 10; it stays so until the healing.
  lossy: (swarm) => {
    const node = swarm.victim();
    if (node === undefined) return;
    swarm.markUnwell(node.name, "lossy");
    swarm.sim.network.setLossTo(node.name, 0.5 + swarm.dice.nextFloat() / 2);
  },
  updates: (swarm) => {
    for (let i = 0; i < 3; i++) swarm.victim()?.updateMeta(swarm.nextUpdate());
  },
  broadcasts: (swarm) => {
    for (let i = 0; i < 5; i++) swarm.victim()?.broadcast(swarm.nextUpdate());
  },
};
