import { describe, expect, it } from "vitest";
import { scaledSuspicionMs } from "../../src/swim/suspicion.js";
import { type Deed, VirtualCluster, type VirtualNode } from "../support/virtual_cluster.js";

const seeds = [1, 2, 3, 4, 5];

function joined(count: number, seed: number, changes = {}): VirtualCluster {
  const cluster = new VirtualCluster(count, seed, changes);
  cluster.join();
  cluster.deeds.length = 0;
  return cluster;
}

const deedsOf = (cluster: VirtualCluster, ...kinds: Deed["kind"][]): Deed[] =>
  cluster.deeds.filter((deed) => kinds.includes(deed.kind));

/** Longest time to a failure seen by all, as memberlist bounds it: two sweeps, the longest suspicion, its spread. */
function failureBoundMs(members: number): number {
  return 2 * members * 1000 + 6 * scaledSuspicionMs(4, members, 1000) + 5000;
}

describe("a cluster of cores", () => {
  it.each([20, 40, 64])("of %d nodes converges through one seed join", (count) => {
    for (const seed of seeds) {
      const cluster = new VirtualCluster(count, seed);
      // Whom gossip forgets in the rush, the state syncs bring: their interval is 60 s at this size.
      expect(cluster.join(60_000)).toBeLessThan(count <= 32 ? 10_000 : 60_000);
      expect(deedsOf(cluster, "join").length).toBe(count * (count - 1));
      expect(deedsOf(cluster, "suspect", "fail", "leave", "update", "recover", "accuse")).toEqual([]);
      expect(cluster.stop()).toEqual([]);
    }
  });

  it("does the same for the same seed", () => {
    const story = (seed: number): string => {
      const cluster = new VirtualCluster(20, seed);
      cluster.loss = 0.2;
      for (const node of cluster.nodes.slice(1)) cluster.sync(node, cluster.node(0).address);
      cluster.run(30_000);
      return JSON.stringify([cluster.deeds, cluster.datagrams]);
    };
    expect(story(7)).toBe(story(7));
    expect(story(7)).not.toBe(story(8));
  });

  it.each([3, 20, 64])("of %d nodes declares a crashed one failed, everywhere, and nobody else", (count) => {
    for (const seed of seeds) {
      const cluster = joined(count, seed);
      const victim = cluster.node(count - 1);
      victim.isCrashed = true;
      cluster.runUntil(
        () => cluster.running.every((node) => node.stateOf(victim.name) === "dead"),
        failureBoundMs(count),
      );
      const fails = deedsOf(cluster, "fail");
      expect(fails.length).toBe(count - 1);
      expect(new Set(fails.map((deed) => deed.about))).toEqual(new Set([victim.name]));
      expect(deedsOf(cluster, "leave")).toEqual([]);
    }
  });

  it.each([2, 20])("of %d nodes finds a crash well before the bound", (count) => {
    const times = seeds.map((seed) => {
      const cluster = joined(count, seed);
      const startMs = cluster.nowMs;
      cluster.node(1).isCrashed = true;
      cluster.runUntil(() => cluster.node(0).stateOf("n1") === "dead", failureBoundMs(count));
      return cluster.nowMs - startMs;
    });
    // The least suspicion and some intervals: confirmations have brought the time-out down.
    expect(Math.max(...times)).toBeLessThan(scaledSuspicionMs(4, count, 1000) + 6000);
  });

  it.each(["crashed", "left"])("forgets who has %s within minutes, everywhere and for good (M-175)", (how) => {
    for (const seed of [1, 2]) {
      const cluster = joined(32, seed);
      const gone = cluster.node(31);
      if (how === "left") cluster.leave(gone);
      cluster.run(3000);
      gone.isCrashed = true;
      const remember = (): number => cluster.running.filter((node) => node.swim.roster.has(gone.handle)).length;
      expect(remember()).toBe(31);
      // A suspicion, gossipToTheDeadMs and a sweep, first for those who saw it and then for those who were told.
      cluster.run(5 * 60_000);
      expect(remember()).toBe(0);
      expect(cluster.stop()).toEqual([]);
    }
  });

  it("survives several crashes at once, and counts who is left", () => {
    for (const seed of seeds) {
      const cluster = joined(32, seed);
      for (const node of cluster.nodes.slice(0, 8)) node.isCrashed = true;
      cluster.runUntil(() => cluster.running.every((node) => node.swim.stats().members === 24), failureBoundMs(32));
      expect(new Set(deedsOf(cluster, "fail").map((deed) => Number(deed.about.slice(1)))).size).toBe(8);
    }
  });

  it("makes no false failure with 5 % of the datagrams lost, for a minute", () => {
    for (const seed of seeds) {
      const cluster = joined(32, seed);
      cluster.loss = 0.05;
      cluster.run(60_000);
      expect(deedsOf(cluster, "fail", "leave")).toEqual([]);
      cluster.loss = 0;
      cluster.runUntil(() => cluster.nodes.every((node) => node.swim.stats().alive === 32), 30_000);
    }
  });

  it("refutes suspicions under a loss that raises some", () => {
    const cluster = joined(20, 11, { tcpPing: false });
    cluster.loss = 0.15;
    cluster.run(60_000);
    const raised = cluster.nodes.reduce((sum, node) => sum + node.swim.stats().suspicionsRaised, 0);
    const refuted = cluster.nodes.reduce((sum, node) => sum + node.swim.stats().refutations, 0);
    expect([raised > 5, refuted > 0, deedsOf(cluster, "fail").length]).toEqual([true, true, 0]);
  });
});

describe("a node whose processing stalls (ARCHITECTURE 5.1, 5.3)", () => {
  function stalled(seed: number, loss: number): { cluster: VirtualCluster; node: VirtualNode } {
    const cluster = joined(32, seed);
    cluster.loss = loss;
    const node = cluster.node(5);
    cluster.run(seed * 137);
    cluster.deeds.length = 0;
    cluster.stall(node, 10_000);
    cluster.run(10_000);
    return { cluster, node };
  }

  it("for 10 s accuses nobody", () => {
    for (const seed of seeds) {
      const { cluster, node } = stalled(seed, 0);
      cluster.run(20_000);
      expect(cluster.deeds.filter((deed) => deed.kind === "accuse" && deed.node === node.name)).toEqual([]);
      expect(node.swim.stats().failedProbes).toBe(0);
    }
  });

  it("declares nobody dead in the end, nor is declared dead, with 5 % loss on top", () => {
    for (const seed of seeds) {
      const { cluster } = stalled(seed, 0.05);
      cluster.run(20_000);
      expect(deedsOf(cluster, "fail")).toEqual([]);
    }
  });

  it("keeps a suspect of before the stall whose refutation waits unread", () => {
    for (const seed of seeds) {
      const cluster = joined(8, seed);
      const [node, suspect] = [cluster.node(5), cluster.node(6)];
      cluster.run(seed * 137);
      const by = cluster.node(3).handle;
      node.swim.handleSuspect(cluster.nowMs, suspect.handle, by, suspect.swim.selfIncarnation, 0, -1);
      for (const other of [2, 4]) {
        const at = suspect.swim.selfIncarnation;
        node.swim.handleSuspect(cluster.nowMs, suspect.handle, cluster.node(other).handle, at, 0, -1);
      }
      // Its own pings and ours tell the suspect; we stall before we hear the answer.
      suspect.swim.handleSuspect(cluster.nowMs, suspect.handle, by, suspect.swim.selfIncarnation, 0, -1);
      cluster.stall(node, 10_000);
      cluster.run(11_000);
      expect(node.stateOf(suspect.name)).toBe("alive");
      expect(deedsOf(cluster, "fail")).toEqual([]);
    }
  });
});

describe("a deaf node (ARCHITECTURE 5.2)", () => {
  it("accuses nobody for a minute, and is found by the others", () => {
    for (const seed of seeds) {
      const cluster = joined(32, seed);
      cluster.run(seed * 137);
      cluster.deeds.length = 0;
      const node = cluster.node(9);
      node.isDeaf = true;
      cluster.run(60_000);
      expect(cluster.deeds.filter((deed) => deed.node === node.name)).toEqual([]);
      expect(node.swim.stats()).toMatchObject({ alive: 32, failedProbes: 0 });
      expect(deedsOf(cluster, "fail").filter((deed) => deed.about === node.name).length).toBe(31);
      expect(deedsOf(cluster, "fail").length).toBe(31);
    }
  });

  it("that hears again is back in seconds, and nobody else was harmed", () => {
    for (const seed of seeds) {
      const cluster = joined(16, seed);
      const node = cluster.node(9);
      node.isDeaf = true;
      cluster.run(20_000);
      node.isDeaf = false;
      cluster.runUntil(() => cluster.nodes.every((other) => other.swim.stats().alive === 16), 40_000);
      expect(deedsOf(cluster, "fail").filter((deed) => deed.about !== node.name)).toEqual([]);
    }
  });
});

describe("a partition (M-176)", () => {
  it("that is shorter than a suspicion heals without a failure", () => {
    for (const seed of seeds) {
      const cluster = joined(20, seed);
      for (const node of cluster.nodes.slice(0, 10)) node.group = 1;
      cluster.run(3000);
      for (const node of cluster.nodes) node.group = 0;
      cluster.runUntil(() => cluster.nodes.every((node) => node.swim.stats().alive === 20), 60_000);
      expect(deedsOf(cluster, "fail")).toEqual([]);
    }
  });

  it("that lasts lets each side go on with its own members", () => {
    const cluster = joined(20, 3);
    for (const node of cluster.nodes.slice(0, 10)) node.group = 1;
    cluster.runUntil(
      () => cluster.nodes.every((node) => node.swim.stats().members === 10),
      failureBoundMs(20) + 60_000,
    );
    const crossed = deedsOf(cluster, "fail").filter(({ node, about }) => {
      return Number(node.slice(1)) < 10 === Number(about.slice(1)) < 10;
    });
    expect(crossed).toEqual([]);
  });
});

describe("a leave (M-214, T-011)", () => {
  it("is seen as leave by all and never as failure, though the node then goes", () => {
    for (const seed of seeds) {
      const cluster = joined(32, seed);
      cluster.loss = 0.05;
      const node = cluster.node(7);
      cluster.leave(node);
      cluster.runUntil(() => node.swim.isLeaveSpread(), 10_000);
      node.isCrashed = true;
      cluster.runUntil(() => cluster.running.every((other) => other.stateOf(node.name) === "left"), 5000);
      cluster.run(40_000);
      const about = cluster.deeds.filter((deed) => deed.about === node.name && deed.node !== node.name);
      expect(about.filter((deed) => deed.kind === "leave").length).toBe(31);
      expect(about.filter((deed) => deed.kind === "fail")).toEqual([]);
    }
  });

  it("lets the name come back from another node at once (M-171)", () => {
    const cluster = joined(8, 2);
    const node = cluster.node(7);
    cluster.leave(node);
    cluster.runUntil(() => cluster.nodes.every((other) => other.stateOf("n7") === "left"), 10_000);
    expect(cluster.nodes.slice(0, 7).every((other) => other.swim.stats().members === 7)).toBe(true);
    expect(cluster.stop()).toEqual([]);
  });
});
