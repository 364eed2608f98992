import { afterEach, describe, expect, it } from "vitest";
import { type ChaosAgent, ChaosAgents } from "./chaos_agents.js";
import { ChaosNetwork, whyNoNetwork } from "./chaos_network.js";

const count = 6;

/** Agents on hosts of their own, n0 on host 0 and so on, and the network between them. */
export class ChaosHosts extends ChaosAgents {
  #network: ChaosNetwork | null = null;

  get network(): ChaosNetwork {
    if (this.#network === null) throw new Error("no network was opened");
    return this.#network;
  }

  /** One agent on each host but so many, which stay free. */
  async open(free = 0): Promise<void> {
    this.#network = await ChaosNetwork.open(count);
    await this.startAll(count - free, (index) => ({ place: this.network.host(index) }));
  }

  on(indices: readonly number[]): ChaosAgent[] {
    return indices.map((index) => this.of(`n${index}`));
  }

  /** Reported failures of others than this one. */
  failuresBut(name: string): string[] {
    return this.failures().filter((line) => !line.endsWith(`: ${name}`));
  }

  override async clear(): Promise<void> {
    await super.clear();
    const strays = (await this.#network?.close()) ?? [];
    this.#network = null;
    expect(strays).toEqual([]);
  }
}

/** Tests that need a network to spoil; where a machine allows none, one test that says so and why. */
export function describeOnHosts(what: string, tests: (hosts: ChaosHosts) => void): void {
  const reason = whyNoNetwork();
  if (reason !== "") {
    it(`cannot test ${what}: this machine lets us make no network (${reason})`, () => {
      expect(whyNoNetwork()).not.toBe("");
    });
    return;
  }
  describe(what, () => {
    const hosts = new ChaosHosts();
    afterEach(() => hosts.clear());
    tests(hosts);
  });
}
