import { randomBytes } from "node:crypto";
import type { GossipOptions } from "../../src/config.js";
import type { Delegates } from "../../src/delegates.js";
import { GossipNode } from "../../src/node.js";

export const key = new Uint8Array(randomBytes(32));

/** Short intervals, so that tests on one machine end soon. */
export const quick = {
  profile: "local",
  // The profile's second is less than a busy machine may stand still.
  streamTimeoutMs: 10_000,
  probeIntervalMs: 200,
  probeTimeoutMs: 100,
  gossipIntervalMs: 20,
  suspicionMult: 2,
} as const satisfies Partial<GossipOptions>;

/** Nodes of one test; close() stops them all. */
export class TestCluster {
  readonly nodes: GossipNode[] = [];

  async open(name: string, options: Partial<GossipOptions> = {}, delegates: Delegates = {}): Promise<GossipNode> {
    const node = await GossipNode.create({ ...quick, name, bind: "127.0.0.1:0", keys: [key], ...options }, delegates);
    this.nodes.push(node);
    return node;
  }

  /** Nodes n0 ... that all know each other. */
  async form(count: number, options: Partial<GossipOptions> = {}): Promise<GossipNode[]> {
    const nodes: GossipNode[] = [];
    for (let i = 0; i < count; i++) nodes.push(await this.open(`n${i}`, options));
    const seed = nodes[0]?.self.address ?? "";
    await Promise.all(nodes.slice(1).map((node) => node.join([seed])));
    await until(() => nodes.every((node) => node.memberCount === count), "convergence");
    return nodes;
  }

  async close(): Promise<void> {
    await Promise.all(this.nodes.splice(0).map((node) => node.close()));
  }
}

/** Waits for a condition, with a limit. */
export async function until(condition: () => boolean, what: string, limitMs = 20_000): Promise<void> {
  const deadline = Date.now() + limitMs;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`waited ${limitMs} ms for ${what}`);
    await new Promise<void>((resolve) => setTimeout(() => resolve(), 5));
  }
}

/** The error that a promise rejects with. */
export async function failureOf(promise: Promise<unknown>): Promise<Error & { readonly code?: string }> {
  try {
    await promise;
  } catch (error) {
    return error as Error;
  }
  throw new Error("it did not fail");
}
