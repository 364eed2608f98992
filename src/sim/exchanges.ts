import type { Random } from "../random.js";
import type { AddressHandle } from "../wire/addon.js";
import type { MemberRecord } from "../wire/records.js";
import type { Network } from "./network.js";
import type { SimNode } from "./node.js";

/** What exchanges need of the simulation. */
export interface ExchangeWorld {
  readonly network: Network;
  readonly random: Random;
  nowMs(): number;
  later(delayMs: number, work: () => void): void;
  perform(node: SimNode, work: (localMs: number) => void): void;
  nodeAt(address: AddressHandle): SimNode | undefined;
  /** Puts a line into the trace. */
  note(text: string): void;
}

/** Streams between simulated nodes: a turn each way, without a handshake. */
export class Exchanges {
  /** Comparisons of two views, and those of them that found no difference. */
  compared = 0;
  futile = 0;
  readonly #world: ExchangeWorld;

  constructor(world: ExchangeWorld) {
    this.#world = world;
  }

  sync(node: SimNode, to: AddressHandle): void {
    const fail = (): void => {
      if (!node.isClosed) node.swim.handleSyncFailed();
    };
    const fault = this.#world.network.drawStreamFault();
    const there = this.#dial(node, to);
    const { streamTimeoutMs } = node.config;
    if (there === null) return this.#world.later(streamTimeoutMs, fail);
    if (fault === "refused") return this.#world.later(there.delayMs, fail);
    const records = node.swim.sync.localRecords();
    this.#world.later(there.delayMs, () => {
      const { peer } = there;
      const backMs = peer.isClosed || !peer.host.isRunning ? null : this.#turn(peer, node);
      if (backMs === null) return fail();
      const answer = peer.swim.sync.localRecords();
      this.#merge(peer, node.name, records);
      // Half of it is through: the peer knows us, and we wait for its answer.
      if (fault === "stalled") return this.#world.later(Math.max(0, streamTimeoutMs - there.delayMs), fail);
      if (fault === "reset") return this.#world.later(backMs, fail);
      this.#world.later(backMs, () => {
        if (!node.isClosed && node.host.isRunning) this.#merge(node, peer.name, answer);
      });
    });
  }

  /** Three turns: fingerprints, what is missing there and wanted here, and that. */
  reconcile(node: SimNode, to: AddressHandle): void {
    const there = this.#dial(node, to);
    const fault = this.#world.network.drawStreamFault();
    if (there === null || fault === "refused") return;
    const salt = this.#world.random.nextUint32();
    const fingerprints = node.swim.sync.fingerprints(salt);
    this.#world.later(there.delayMs, () => {
      const { peer } = there;
      const backMs = peer.isClosed || !peer.host.isRunning ? null : this.#turn(peer, node);
      if (backMs === null || fault === "reset") return;
      const { records, wanted } = peer.swim.sync.compare(salt, fingerprints);
      this.compared++;
      if (records.length + wanted.length === 0) this.futile++;
      this.#world.later(backMs, () => {
        if (node.isClosed || !node.host.isRunning) return;
        this.#merge(node, peer.name, records);
        if (fault === "stalled") return;
        const rest = node.swim.sync.recordsOf(salt, wanted);
        this.#world.later(there.delayMs, () => {
          if (!peer.isClosed && peer.host.isRunning) this.#merge(peer, node.name, rest);
        });
      });
    });
  }

  #merge(node: SimNode, from: string, records: readonly MemberRecord[]): void {
    this.#world.note(`${node.name} merges ${records.length} of ${from}`);
    this.#world.perform(node, (localMs) => node.swim.handleSync(localMs, from, records));
  }

  ping(node: SimNode, to: AddressHandle, target: string, seq: number, timeoutMs: number): void {
    const fault = this.#world.network.drawStreamFault();
    const there = this.#dial(node, to);
    const backMs = there === null ? null : this.#turn(there.peer, node);
    if (fault !== null || there === null || backMs === null || there.peer.name !== target) return;
    if (there.delayMs + backMs > timeoutMs) return;
    this.#world.later(there.delayMs + backMs, () => {
      const { peer } = there;
      if (node.isClosed || peer.isClosed || !peer.host.isRunning || !node.host.isRunning) return;
      this.#world.perform(node, (localMs) => node.swim.handleStreamAck(localMs, seq));
    });
  }

  #dial(from: SimNode, to: AddressHandle): { readonly peer: SimNode; readonly delayMs: number } | null {
    const peer = from.host.state === "gated" ? undefined : this.#world.nodeAt(to);
    const delayMs = peer === undefined ? null : this.#turn(from, peer);
    return peer === undefined || delayMs === null ? null : { peer, delayMs };
  }

  #turn(from: SimNode, to: SimNode): number | null {
    return this.#world.network.dial(from.name, to.name, this.#world.nowMs());
  }
}
