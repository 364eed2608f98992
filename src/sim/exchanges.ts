import { tattlerError } from "../errors.js";
import type { Random } from "../random.js";
import type { AddressHandle } from "../wire/addon.js";
import type { MemberRecord } from "../wire/records.js";
import type { Network, StreamFault } from "./network.js";
import type { JoinEnd, SimNode } from "./node.js";
import { RecordPool } from "./record_pool.js";

/** What exchanges need of the simulation. */
export interface ExchangeWorld {
  readonly network: Network;
  readonly random: Random;
  nowMs(): number;
  later(delayMs: number, work: () => void): void;
  perform(node: SimNode, work: (localMs: number) => void): void;
  /** The same, with who makes it do so. */
  hear(node: SimNode, speaker: AddressHandle, work: (localMs: number) => void): void;
  nodeAt(address: AddressHandle): SimNode | undefined;
  /** Puts a line into the trace. */
  note(text: string): void;
}

/** A state sync under way. */
interface Trade {
  readonly node: SimNode;
  readonly peer: SimNode;
  readonly delayMs: number;
  readonly backMs: number;
  readonly fault: StreamFault | null;
  readonly join: boolean;
  readonly records: readonly MemberRecord[];
  readonly state: Uint8Array;
  readonly end: JoinEnd;
}

const noState = new Uint8Array(0);

/** Streams between simulated nodes: a turn each way, without a handshake. */
export class Exchanges {
  /** Comparisons of two views, and those of them that found no difference. */
  compared = 0;
  futile = 0;
  readonly #world: ExchangeWorld;
  readonly #pool = new RecordPool();

  constructor(world: ExchangeWorld) {
    this.#world = world;
  }

  sync(node: SimNode, to: AddressHandle): void {
    this.#trade(node, to, false, (error) => {
      if (error !== null && !node.isClosed) node.swim.handleSyncFailed();
    });
  }

  join(node: SimNode, to: AddressHandle, end: JoinEnd): void {
    this.#trade(node, to, true, (error) => {
      if (error !== null && !node.isClosed) node.swim.handleSyncFailed();
      node.later(() => end(error));
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
      const backMs = isRunning(peer) ? this.#turn(peer, node) : null;
      if (backMs === null || fault === "reset") return;
      const { records, wanted } = peer.swim.sync.compare(salt, fingerprints);
      this.compared++;
      if (records.length + wanted.length === 0) this.futile++;
      this.#world.later(backMs, () => {
        if (!isRunning(node)) return;
        if (!this.#mergeVetted(node, peer, records)) return;
        if (fault === "stalled") return;
        const rest = node.swim.sync.recordsOf(salt, wanted);
        this.#world.later(there.delayMs, () => {
          if (isRunning(peer)) this.#mergeVetted(peer, node, rest);
        });
      });
    });
  }

  #trade(node: SimNode, to: AddressHandle, join: boolean, end: JoinEnd): void {
    const fault = this.#world.network.drawStreamFault();
    const there = this.#dial(node, to);
    const name = node.application.addressText(to);
    const { streamTimeoutMs } = node.config;
    if (there === null) return this.#world.later(streamTimeoutMs, () => end(timeoutOf(name)));
    if (fault === "refused") return this.#world.later(there.delayMs, () => end(unreachable(name)));
    const records = this.#recordsOf(node);
    let state = noState;
    node.later(() => {
      state = node.application.localState(join).slice();
    });
    this.#world.later(there.delayMs, () => {
      const backMs = isRunning(there.peer) ? this.#turn(there.peer, node) : null;
      if (backMs === null) return end(timeoutOf(name));
      this.#answer({ node, ...there, backMs, fault, join, records, state, end });
    });
  }

  #answer(trade: Trade): void {
    const { node, peer, delayMs, backMs, fault, join, records, state, end } = trade;
    const taken = peer.application.admit(node.name, records, join);
    if (typeof taken === "string") return this.#world.later(backMs, () => end(refusalOf(peer.name, taken, join)));
    const answer = { records: this.#recordsOf(peer), state: peer.application.localState(join).slice() };
    const mergeThere = (): void => this.#merge(peer, node, taken, state, join);
    // Who may refuse us is asked before anything of it is merged (E-75), which takes two more turns.
    const isConfirmed = join && node.application.judgesJoins;
    if (!isConfirmed) mergeThere();
    // Half of it is through: the peer knows us, and we wait for its answer.
    const leftMs = Math.max(0, node.config.streamTimeoutMs - delayMs);
    if (fault === "stalled") return this.#world.later(leftMs, () => end(timeoutOf(peer.name)));
    if (fault === "reset") return this.#world.later(backMs, () => end(closed(peer.name)));
    this.#world.later(backMs, () => {
      if (!isRunning(node)) return;
      const kept = node.application.vet(peer.name, answer.records, join);
      if (typeof kept === "string") return end(refusalOf("this node itself", kept, join));
      const mergeHere = (): void => {
        this.#merge(node, peer, kept, answer.state, join);
        end(null);
      };
      if (isConfirmed) this.#confirm(trade, mergeThere, mergeHere);
      else mergeHere();
    });
  }

  #confirm({ node, peer, delayMs, backMs, end }: Trade, mergeThere: () => void, mergeHere: () => void): void {
    this.#world.later(delayMs, () => {
      if (!isRunning(peer)) return end(closed(peer.name));
      mergeThere();
      this.#world.later(backMs, () => {
        if (isRunning(node)) mergeHere();
      });
    });
  }

  #recordsOf({ swim }: SimNode): MemberRecord[] {
    return this.#pool.shared(swim.sync.localRecords());
  }

  #mergeVetted(node: SimNode, from: SimNode, records: readonly MemberRecord[]): boolean {
    const taken = node.application.vet(from.name, records, false);
    if (typeof taken === "string") return false;
    this.#merge(node, from, taken, noState, false);
    return !node.isClosed;
  }

  #merge(
    node: SimNode,
    { name, address }: SimNode,
    records: readonly MemberRecord[],
    state: Uint8Array,
    join: boolean,
  ): void {
    if (node.isClosed) return; // by a delegate that was asked
    this.#world.note(`${node.name} merges ${records.length} of ${name}`);
    this.#world.hear(node, address, (localMs) => node.merge(localMs, name, records, state, join));
  }

  ping(node: SimNode, to: AddressHandle, target: string, seq: number, timeoutMs: number): void {
    const fault = this.#world.network.drawStreamFault();
    const there = this.#dial(node, to);
    const backMs = there === null ? null : this.#turn(there.peer, node);
    if (fault !== null || there === null || backMs === null || there.peer.name !== target) return;
    if (there.delayMs + backMs > timeoutMs) return;
    let mayPing = true;
    node.later(() => {
      mayPing = node.application.allowsTcpPing(target);
    });
    this.#world.later(there.delayMs + backMs, () => {
      const { peer } = there;
      if (!mayPing || !isRunning(node) || !isRunning(peer)) return;
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

function isRunning(node: SimNode): boolean {
  return !node.isClosed && node.host.isRunning;
}

function timeoutOf(peer: string): Error {
  return tattlerError("TATTLER_STREAM_TIMEOUT", [peer, "the deadline has passed"]);
}

function unreachable(peer: string): Error {
  return tattlerError("TATTLER_STREAM_UNREACHABLE", [peer, "nobody listens"]);
}

function closed(peer: string): Error {
  return tattlerError("TATTLER_STREAM_CLOSED", [peer, "the connection was reset"]);
}

function refusalOf(by: string, reason: string, join: boolean): Error {
  return tattlerError(join ? "TATTLER_JOIN_REFUSED" : "TATTLER_STREAM_REFUSED", [by, reason]);
}
