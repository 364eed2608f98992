/** Real nodes on loopback with quick timings; closed after each test, last opened first. */
import { randomBytes } from "node:crypto";
import { readdirSync } from "node:fs";
import { afterEach, expect } from "vitest";
import type { GossipOptions } from "../../src/config.js";
import type { Delegates, NodeEvent, NodeEventName } from "../../src/delegates.js";
import { TattlerError } from "../../src/errors.js";
import { GossipNode } from "../../src/node.js";

export const sharedKey = new Uint8Array(randomBytes(32));

/** Timings for tests. The transmit budget is large, so that gossip to a few members reaches all of them. */
export const fast = {
  profile: "local",
  // The profile's second is less than a busy machine may stand still.
  streamTimeoutMs: 10_000,
  bind: "127.0.0.1:0",
  cluster: "test",
  probeIntervalMs: 100,
  probeTimeoutMs: 50,
  gossipIntervalMs: 20,
  retransmitMult: 8,
} as const satisfies Partial<GossipOptions>;

const opened: { close(): Promise<unknown> | unknown }[] = [];

/** To be called once by each test file. */
export function closeAfterEach(): void {
  afterEach(async () => {
    for (const one of opened.splice(0).reverse()) await one.close();
  });
}

/** Closed after the test, too. */
export function closeLater<T extends { close(): Promise<unknown> | unknown }>(one: T): T {
  opened.push(one);
  return one;
}

export async function newNode(
  name: string,
  options: Partial<GossipOptions> = {},
  delegates: Delegates = {},
): Promise<GossipNode> {
  return closeLater(await GossipNode.create({ ...fast, keys: [sharedKey], ...options, name }, delegates));
}

/** Nodes that all know each other. */
export async function newCluster(
  names: readonly string[],
  options: Partial<GossipOptions> = {},
): Promise<GossipNode[]> {
  const nodes: GossipNode[] = [];
  for (const name of names) nodes.push(await newNode(name, options));
  const [first, ...rest] = nodes as [GossipNode, ...GossipNode[]];
  for (const node of rest) await node.join([first.self.address]);
  await allSee(nodes, nodes.length);
  return nodes;
}

/** a, b, c ... as names. */
export function letters(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `n${index}`);
}

export async function allSee(nodes: readonly GossipNode[], count: number): Promise<void> {
  await until(() => nodes.every((node) => node.memberCount === count), `${count} members everywhere`);
}

/** Resolves once the condition holds; rejects with the error of a condition that throws. */
export async function until(condition: () => boolean, what: string, limitMs = 15_000): Promise<void> {
  const deadline = performance.now() + limitMs;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`waited ${limitMs} ms for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** Settles as the promise does, if that is in time. */
export async function within<T>(promise: Promise<T>, what: string, limitMs = 15_000): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${limitMs} ms for ${what}`)), limitMs);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** The error that a call throws or rejects with. */
export async function errorOf(call: () => unknown): Promise<TattlerError> {
  try {
    await call();
  } catch (error) {
    expect(error).toBeInstanceOf(TattlerError);
    return error as TattlerError;
  }
  throw new Error("it succeeded");
}

const names = ["join", "update", "leave", "suspect", "fail", "recover", "message", "error"] as const;

/** Everything that a node's listeners are told from now on. */
export class Watch {
  readonly events: NodeEvent[] = [];

  constructor(node: GossipNode) {
    for (const type of names) node.on(type, (detail) => this.events.push({ type, detail } as NodeEvent));
  }

  of<E extends NodeEventName>(type: E): Extract<NodeEvent, { type: E }>["detail"][] {
    return this.events.filter((event) => event.type === type).map((event) => event.detail) as never;
  }

  /** "join b", "fail c": what happened to whom, in order. Suspicions are left out unless asked for. */
  story(withSuspicions = false): string[] {
    return this.events.flatMap(({ type, detail }) => {
      if (type === "message" || type === "error" || (type === "suspect" && !withSuspicions)) return [];
      return [`${type} ${detail.name}`];
    });
  }

  async until(line: string, limitMs?: number): Promise<void> {
    await until(() => this.story(true).includes(line), `"${line}" among ${this.story(true).join(", ")}`, limitMs);
  }
}

export function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString();
}

export function bytes(content: string): Uint8Array {
  return new Uint8Array(Buffer.from(content));
}

export function threads(): number {
  return readdirSync("/proc/self/task").length;
}

/** What was opened since is closed. The system goes on counting a thread for a moment after it was joined. */
export async function fewAgain(before: { readonly threads: number; readonly descriptors: number }): Promise<void> {
  await until(() => threads() <= before.threads, `${before.threads} threads`);
  await until(() => descriptors() === before.descriptors, `${before.descriptors} descriptors`);
}

export function descriptors(): number {
  return readdirSync("/proc/self/fd").length;
}
